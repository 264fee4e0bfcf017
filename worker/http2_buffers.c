#include "worker/http2_buffers.h"

#include <assert.h>
#include <sys/mman.h>

#define STEP 64u /* buffers that are made usable at once: whole pages */

static_assert(STEP * HTTP2_BUFFER_BYTES % 4096 == 0 && HTTP2_BUFFERS_MAX % STEP == 0,
              "protection is changed by whole pages");

struct http2_buffer {
    struct http2_buffer *next;
};

/* Address space costs nothing, and is not counted where memory must not be overcommitted. */
static bool reserve(struct http2_buffers *buffers)
{
    if (buffers->base)
        return true;
    void *base = mmap(NULL, HTTP2_BUFFERS_SPACE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return false;
    buffers->base = base;
    return true;
}

static bool extend(struct http2_buffers *buffers)
{
    if (buffers->begun < buffers->usable)
        return true;
    if (buffers->usable == HTTP2_BUFFERS_MAX || !reserve(buffers))
        return false;
    uint8_t *next = buffers->base + (size_t)buffers->usable * HTTP2_BUFFER_BYTES;
    if (mprotect(next, STEP * HTTP2_BUFFER_BYTES, PROT_READ | PROT_WRITE) < 0)
        return false;
    buffers->usable += STEP;
    return true;
}

void *http2_buffers_take(struct http2_buffers *buffers)
{
    struct http2_buffer *buffer = buffers->free;
    if (buffer) {
        buffers->free = buffer->next;
        buffers->live++;
        return buffer;
    }
    if (!extend(buffers))
        return NULL;
    buffers->live++;
    return buffers->base + (size_t)buffers->begun++ * HTTP2_BUFFER_BYTES;
}

void http2_buffers_give(struct http2_buffers *buffers, void *data)
{
    struct http2_buffer *buffer = data;
    assert(buffers->live && http2_buffers_hold(buffers, data));
    buffer->next = buffers->free;
    buffers->free = buffer;
    if (--buffers->live || buffers->begun <= STEP)
        return;
    madvise(buffers->base, (size_t)buffers->usable * HTTP2_BUFFER_BYTES, MADV_DONTNEED);
    buffers->free = NULL;
    buffers->begun = 0;
}

void http2_buffers_finish(struct http2_buffers *buffers)
{
    assert(!buffers->live);
    if (buffers->base)
        munmap(buffers->base, HTTP2_BUFFERS_SPACE);
    *buffers = (struct http2_buffers){0};
}

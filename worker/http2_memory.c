#include "worker/http2_internal.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_STEP 16u

static_assert(HTTP2_CHUNK_MAX % CHUNK_STEP == 0, "every class has one size");

/* What lies before each chunk: asking the heap for its size would cost more than the rest. */
struct http2_chunk {
    _Alignas(max_align_t) size_t room; /* bytes behind this */
    union {
        size_t
            class_at; /* while it is taken: room / CHUNK_STEP, or 0 for those that are not kept */
        struct http2_chunk *next;
    };
};

static_assert(sizeof(struct http2_chunk) == 16, "two words");

static void *chunk_make(struct http2_memory *memory, size_t room)
{
    struct http2_chunk *chunk = reserve_take(&memory->reserve, sizeof(*chunk) + room);
    bool kept = room <= HTTP2_CHUNK_MAX && !reserve_holds(&memory->reserve, chunk);
    chunk->room = room;
    chunk->class_at = kept ? room / CHUNK_STEP : 0;
    return chunk + 1;
}

static void *chunk_take(struct http2_memory *memory, size_t size)
{
    size_t class = (size + CHUNK_STEP - 1) / CHUNK_STEP;
    if (size == 0 || size > SIZE_MAX - sizeof(struct http2_chunk))
        return NULL;
    if (size > HTTP2_CHUNK_MAX)
        return chunk_make(memory, size);
    struct http2_chunk *chunk = memory->free[class];
    if (!chunk)
        return chunk_make(memory, class * CHUNK_STEP);
    memory->free[class] = chunk->next;
    memory->kept_bytes -= chunk->room;
    chunk->class_at = class;
    return chunk + 1;
}

static void chunk_give(struct http2_memory *memory, void *data)
{
    struct http2_chunk *chunk = (struct http2_chunk *)data - 1;
    size_t class = chunk->class_at;
    if (class == 0 || memory->kept_bytes >= HTTP2_CHUNKS_KEPT_BYTES) {
        reserve_give(&memory->reserve, chunk);
        return;
    }
    chunk->next = memory->free[class];
    memory->free[class] = chunk;
    memory->kept_bytes += chunk->room;
}

static void *chunk_resize(struct http2_memory *memory, void *data, size_t size)
{
    if (!data)
        return chunk_take(memory, size);
    const struct http2_chunk *chunk = (struct http2_chunk *)data - 1;
    if (size <= chunk->room)
        return data;
    void *larger = chunk_take(memory, size);
    if (larger) {
        memcpy(larger, data, chunk->room);
        chunk_give(memory, data);
    }
    return larger;
}

/* ---- what nghttp2 calls ---- */

static void *on_malloc(size_t size, void *memory)
{
    return chunk_take(memory, size);
}

static void on_free(void *data, void *context)
{
    struct http2_memory *memory = context;
    if (!data)
        return;
    if (http2_buffers_hold(&memory->buffers, data))
        http2_buffers_give(&memory->buffers, data);
    else
        chunk_give(memory, data);
}

static void *on_calloc(size_t count, size_t size, void *memory)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    void *data = chunk_take(memory, bytes);
    return data ? memset(data, 0, bytes) : NULL;
}

/* A session's output buffer that is to be larger goes to the heap. */
static void *leave_buffer(struct http2_memory *memory, void *data, size_t size)
{
    if (size <= HTTP2_BUFFER_BYTES)
        return data;
    void *larger = chunk_take(memory, size);
    if (!larger)
        return NULL;
    memcpy(larger, data, HTTP2_BUFFER_BYTES);
    http2_buffers_give(&memory->buffers, data);
    return larger;
}

/* nghttp2 makes its buffers by this one. */
static void *on_realloc(void *data, size_t size, void *context)
{
    struct http2_memory *memory = context;
    if (http2_buffers_hold(&memory->buffers, data))
        return leave_buffer(memory, data, size);
    void *buffer = NULL;
    if (!data && size >= HTTP2_BUFFER_LEAST && size <= HTTP2_BUFFER_BYTES)
        buffer = http2_buffers_take(&memory->buffers);
    return buffer ? buffer : chunk_resize(memory, data, size);
}

int http2_memory_init(struct http2_memory *memory)
{
    *memory =
        (struct http2_memory){.functions = {memory, on_malloc, on_free, on_calloc, on_realloc}};
    return reserve_init(&memory->reserve);
}

nghttp2_mem *http2_memory_functions(struct http2_memory *memory)
{
#ifdef __SANITIZE_ADDRESS__
    (void)memory; /* which would not see the misuse of chunks that are kept */
    return NULL;
#else
    return &memory->functions;
#endif
}

void http2_memory_finish(struct http2_memory *memory)
{
    for (size_t class = 0; class <= HTTP2_CHUNK_MAX / CHUNK_STEP; class ++)
        while (memory->free[class]) {
            struct http2_chunk *chunk = memory->free[class];
            memory->free[class] = chunk->next;
            free(chunk);
        }
    reserve_finish(&memory->reserve);
    http2_buffers_finish(&memory->buffers);
}

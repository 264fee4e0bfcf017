/* nghttp2's output buffers, one of 16 KiB a session, of which an idle connection has used the first
 * few hundred bytes. On the heap they would lie where TLS handshakes have been, on pages that are
 * there already; here a page is there once it was written to. */
#ifndef HERALD_HTTP2_BUFFERS_H
#define HERALD_HTTP2_BUFFERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP2_BUFFER_LEAST 16385u /* what is asked for is a frame's payload and a little more: */
#define HTTP2_BUFFER_BYTES 16448u /* whole cache lines */
#define HTTP2_BUFFERS_MAX 65536u  /* past these, the heap's */

struct http2_buffers {
    uint8_t *base;             /* address space for all of them; NULL: none was taken yet */
    unsigned usable;           /* of the first so many */
    unsigned begun;            /* so many were handed out at least once */
    unsigned live;             /* so many are in use */
    struct http2_buffer *free; /* of those that were */
};

/* Returns HTTP2_BUFFER_BYTES bytes, or NULL: the heap is to be asked. */
void *http2_buffers_take(struct http2_buffers *buffers);

#define HTTP2_BUFFERS_SPACE ((size_t)HTTP2_BUFFERS_MAX * HTTP2_BUFFER_BYTES)

/* Whether `data` was taken from here; false for NULL. */
static inline bool http2_buffers_hold(const struct http2_buffers *buffers, const void *data)
{
    return buffers->base && (uintptr_t)data - (uintptr_t)buffers->base < HTTP2_BUFFERS_SPACE;
}

/* When the last one comes back, their memory is the system's again. */
void http2_buffers_give(struct http2_buffers *buffers, void *data);

/* None is in use any more. */
void http2_buffers_finish(struct http2_buffers *buffers);

#endif

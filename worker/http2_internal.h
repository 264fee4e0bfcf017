/* What the files of http2.h share: requests' header lists and nghttp2's memory, pooled by the
 * worker's context. */
#ifndef HERALD_HTTP2_INTERNAL_H
#define HERALD_HTTP2_INTERNAL_H

#include "policy/reserve.h"
#include "worker/http2.h"
#include "worker/http2_buffers.h"

#include <nghttp2/nghttp2.h>

/* Sets up a pool whose lists keep nghttp2's texts. */
void http2_fields_init(struct header_pool *pool);

/* A text of nghttp2's, and what keeps it. */
struct http2_text {
    struct span text;
    nghttp2_rcbuf *owner;
};

static inline struct http2_text http2_text_of(nghttp2_rcbuf *owner)
{
    nghttp2_vec vec = nghttp2_rcbuf_get_buf(owner);
    return (struct http2_text){{(const char *)vec.base, vec.len}, owner};
}

/* Adds a field, which keeps its texts, or a pseudo-field. Past a limit the list becomes `too_large`
 * and stores nothing more, while fields go on being counted (RFC 9113 10.5.1). */
void http2_fields_add(struct header_list *list, const struct config_limits *limits,
                      const struct http2_text *name, const struct http2_text *value);

/* Fields as nghttp2 takes them, texts borrowed: one; those of a list from place `at` on, as far as there
 * is `room` in all, with the number then filled as the result; :status, for which `digits` has 8
 * bytes. */
nghttp2_nv http2_nv_make(struct span name, struct span value);
size_t http2_nv_fill(nghttp2_nv *nva, size_t at, size_t room, const struct field *fields,
                     size_t count);
nghttp2_nv http2_nv_status(int status, char *digits);

#define HTTP2_CHUNK_MAX 1024u                      /* larger ones are the heap's alone */
#define HTTP2_CHUNKS_KEPT_BYTES (4u * 1024 * 1024) /* of free chunks of all sizes */

/* What nghttp2 allocates for each stream and frame, some ten chunks a request: free ones are kept
 * by size, since a worker of one thread needs nothing of what a heap has to do besides.
 * nghttp2 sees no allocation fail: it frees some of what it then could not queue twice. The session
 * that was given of the reserve ends. */
struct http2_memory {
    nghttp2_mem functions;
    struct http2_chunk *free[HTTP2_CHUNK_MAX / 16 + 1]; /* by size / 16 */
    size_t kept_bytes;
    struct reserve reserve;
    struct http2_buffers buffers;
};

/* `memory` is not moved afterwards. Returns 0 or -ENOMEM. */
int http2_memory_init(struct http2_memory *memory);

/* What a session is made with, until http2_memory_finish. */
nghttp2_mem *http2_memory_functions(struct http2_memory *memory);

/* Frees what is kept; every session has ended. */
void http2_memory_finish(struct http2_memory *memory);

#endif

/* What the files of http2.h share: http2.c (a session's life, what is asked of it), http2_receive.c
 * (frames in), http2_send.c (frames out); and requests' header lists and nghttp2's memory, pooled by
 * the worker's context. */
#ifndef HERALD_HTTP2_INTERNAL_H
#define HERALD_HTTP2_INTERNAL_H

#include "policy/reserve.h"
#include "worker/frames.h"
#include "worker/http2.h"
#include "worker/http2_buffers.h"
#include "worker/stream_ids.h"

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

#define HTTP2_FAILURE_MAX 160
#define HTTP2_EARLY_MAX 4 /* PRIORITY_UPDATEs kept for requests that are yet to come */

struct http2_context {
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    const struct session_events *events;
    const struct config_limits *limits;
    struct header_pool lists;
    struct http2_memory memory;
};

struct http2 {
    nghttp2_session *session;
    struct http2_context *context;
    struct guard *guard;
    void *connection;

    struct header_list *building; /* of the request whose header block is under way */
    int32_t building_id;
    bool in_header_block;   /* its last frame has not begun */
    bool in_header_frame;   /* the last frame that began is of a header block */
    uint64_t header_blocks; /* that have begun */
    struct frames frames;
    int32_t overflowed_id;  /* the stream whose window a WINDOW_UPDATE overflowed last */
    bool settings_overflow; /* SETTINGS overflowed one */

    /* Where http2_produce writes; between calls only `pending` matters. */
    uint8_t *out;
    size_t out_room; /* bytes of `out`, */
    size_t copied;   /* and those that were written there */
    size_t room;
    size_t used;
    size_t end_apart;    /* of `used`: where a response ended that is to be readable at once */
    bool lends;          /* the content that is framed next is lent */
    struct span pending; /* what mem_send returned and didn't fit: nghttp2's, until its next call */
    int32_t unwritten_end; /* the stream that ends with `pending`; 0: none does */
    bool unwritten_apart;  /* and is to be readable at once */

    struct {
        int32_t id;
        void *stream;
    } recent; /* the stream that was last looked for: the next event is mostly its own */
    int32_t closing_id; /* of the stream whose close is being told; 0: none */

    struct stream_ids ids;
    int32_t last_taken; /* above this a GOAWAY has refused them: their frames are read over */
    struct {
        int32_t id;
        struct priority priority;
    } early[HTTP2_EARLY_MAX]; /* the last ones; the id is 0 where there is none */
    unsigned early_next;

    unsigned open_streams;
    bool terminated;
    char failure[HTTP2_FAILURE_MAX];
};

/* The stream as its events' owner knows it; NULL for one that is closed, or was never taken. */
static inline void *http2_stream_of(struct http2 *http2, int32_t id)
{
    if (id == http2->closing_id)
        return NULL;
    if (id == http2->recent.id)
        return http2->recent.stream;
    void *stream = nghttp2_session_get_stream_user_data(http2->session, id);
    if (stream) {
        http2->recent.id = id;
        http2->recent.stream = stream;
    }
    return stream;
}

static inline void http2_forget_recent(struct http2 *http2, int32_t id)
{
    if (id == http2->recent.id)
        http2->recent.id = 0;
}

/* Ends the session, once, for this reason. */
void http2_terminate(struct http2 *http2, enum http2_error error, const char *why);

/* nghttp2 had to be given of the reserve: the session gives it back by ending. */
void http2_end_if_memory_lacked(struct http2 *http2);

/* What nghttp2 calls while it reads (http2_receive.c), and while it writes (http2_send.c). */
void http2_receive_with(nghttp2_session_callbacks *callbacks);
void http2_send_with(nghttp2_session_callbacks *callbacks);

#endif

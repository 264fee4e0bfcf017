/* What a connection's protocol tells the owner of its streams (stream.c), HTTP/2 or HTTP/1.1. */
#ifndef HERALD_SESSION_EVENTS_H
#define HERALD_SESSION_EVENTS_H

#include "worker/header_list.h"
#include "worker/priority.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `connection` is what the protocol's session was made with; `stream` what `begin` or http2_promise
 * associated with the stream. Whatever is to be sent may be submitted inside, sessions not ended.
 */
struct session_events {
    /* A request begins. Returns the caller's stream, or NULL to refuse it. */
    void *(*begin)(void *connection, int32_t id);
    /* Its header list is complete; the stream takes the list. `end`: no content follows. */
    void (*request)(void *stream, struct header_list *list, bool end);
    /* Request content, borrowed until it returns. The peer may send as much more once session_consumed
     * was told of it. */
    void (*content)(void *stream, const void *data, size_t length);
    void (*request_end)(void *stream);
    /* RST_STREAM came. For a stream already gone `stream` is NULL. */
    void (*reset)(void *connection, void *stream, int32_t id, uint32_t error);
    /* The stream's last event; `error` is enum http2_error. */
    void (*close)(void *stream, uint32_t error);

    /* Response content: how many of the next bytes, at most `max`, can be had now. *last tells
     * whether they are the final ones. -EAGAIN: session_resume will be called; other -errno: the
     * stream is reset with INTERNAL_ERROR. */
    ptrdiff_t (*available)(void *stream, size_t max, bool *last);
    /* Copies the next `length` bytes, as many as `available` has just said, into `out`. */
    void (*take)(void *stream, uint8_t *out, size_t length);
    /* Whether the next bytes may be sent from where they are; and instead of `take`, that they are,
     * after the first `at` bytes of what is being written out. */
    bool (*lends)(void *stream);
    void (*lend)(void *stream, size_t at, size_t length);
    /* The end of the response was written out. *apart, false at first: what follows is to share no
     * TLS record with it (session_end_apart). */
    void (*response_end)(void *stream, bool *apart);

    /* The rest is HTTP/2's alone. The promise was written out, so the promised stream can be
     * answered; or it was not sent, because pushes were switched off meanwhile or its parent is
     * gone: no `close` follows then. After the peer's GOAWAY `close` may come with neither before
     * it. */
    void (*promised)(void *stream);
    void (*not_promised)(void *connection, int32_t id);

    /* The client's PRIORITY_UPDATE for its request (RFC 9218 7.1); for one that came ahead of the
     * request it is called between `begin` and `request`. */
    void (*prioritized)(void *stream, struct priority priority);

    /* Nothing else can be written now: what was to wait for that may be submitted. Returns whether
     * anything was. */
    bool (*nothing_ready)(void *connection);

    void (*settings)(void *connection); /* the peer's SETTINGS arrived */
    void (*goaway)(void *connection, int32_t last, uint32_t error); /* the peer's GOAWAY */
    void (*ping_acknowledged)(void *connection);
};

#endif

/* What a connection speaks once that is known: the calls that are the same in every protocol. What
 * is HTTP/2's alone, promises and priorities, is called of http2.h, where a session has one. */
#ifndef HERALD_SESSION_H
#define HERALD_SESSION_H

#include "worker/http1.h"
#include "worker/http2.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Neither is set while the connection has not come so far; both never are. */
struct session {
    struct http2 *http2;
    struct http1 *http1;
};

static inline bool session_is_open(const struct session *session)
{
    return session->http2 || session->http1;
}

/* No `close` comes for streams still open: their owner ends them. */
void session_close(struct session *session);

/* What access logs call it. */
struct span session_protocol(const struct session *session);

/* What Via fields call it (RFC 9110 7.6.3). */
static inline struct span session_version(const struct session *session)
{
    return session->http2 ? SPAN_LITERAL("2") : span_after(http1_protocol(session->http1), 5);
}

/* Feeds what the peer sent. Returns 0, or -EPROTO when the connection must end: what is to be said
 * about it is queued then, and nothing more may be fed. */
static inline int session_receive(struct session *session, const void *data, size_t length)
{
    return session->http2 ? http2_receive(session->http2, data, length)
                          : http1_receive(session->http1, data, length);
}

/* Writes what is queued to `out`, as many bytes as fit into `room` (at least HTTP2_ROOM_MIN), but
 * for content that is lent, which counts too: http2_produce. Returns their number, 0 when nothing
 * is to be sent now, or -ENOMEM. */
static inline ptrdiff_t session_produce(struct session *session, uint8_t *out, size_t room)
{
    return session->http2 ? http2_produce(session->http2, out, room)
                          : http1_produce(session->http1, out, room);
}

/* Where in what session_produce has just written a response ends that is to be readable before what
 * follows it; 0: nowhere. */
static inline size_t session_end_apart(const struct session *session)
{
    return session->http2 ? http2_end_apart(session->http2) : 0;
}

/* The stream whose response has ended with what session_produce has not written out whole; 0: there is
 * none. In HTTP/1.1 a response ends once all of it was written. */
static inline int32_t session_unwritten_end(const struct session *session)
{
    return session->http2 ? http2_unwritten_end(session->http2) : 0;
}

/* True while session_produce would write something. */
static inline bool session_wants_write(const struct session *session)
{
    return session->http2 ? http2_wants_write(session->http2) : http1_wants_write(session->http1);
}

/* True when the session needs nothing more: it can be closed once its output is sent. */
static inline bool session_done(const struct session *session)
{
    return session->http2 ? http2_done(session->http2) : http1_done(session->http1);
}

/* True when it ended for an error of the peer's, and why, for the log. */
static inline bool session_failed(const struct session *session)
{
    return session->http2 ? http2_failed(session->http2) : http1_failed(session->http1);
}

static inline const char *session_failure(const struct session *session)
{
    return session->http2 ? http2_failure(session->http2) : http1_failure(session->http1);
}

/* Whether the connection must end with a reset: http1_is_cut. */
static inline bool session_is_cut(const struct session *session, bool all_sent)
{
    return session->http1 && http1_is_cut(session->http1, all_sent);
}

/* Submits an interim response; to a client of HTTP/1.1 none but 100 goes. Spans must live until it
 * was written out. Returns 0 or -ENOMEM, -EINVAL for a stream that takes none. */
static inline int session_inform(struct session *session, int32_t id, int status,
                                 const struct field *fields, size_t count)
{
    return session->http2 ? http2_inform(session->http2, id, status, fields, count)
                          : http1_inform(session->http1, status);
}

/* Submits the response; with `content`, its bytes come through `available` and `take`. The fields'
 * spans must live until the stream closes. Returns 0, -ENOMEM or -EINVAL. */
static inline int session_respond(struct session *session, int32_t id, int status,
                                  const struct field *fields, size_t count, bool content)
{
    if (session->http2)
        return http2_respond(session->http2, id, status, fields, count, content);
    http1_respond(session->http1, status, fields, count, content);
    return 0;
}

/* Content that was not available has become so. */
static inline void session_resume(struct session *session, int32_t id)
{
    if (session->http2)
        http2_resume(session->http2, id);
    else
        http1_resume(session->http1);
}

/* `length` bytes of the content of the stream's request are needed no more: the peer may send as
 * many again. */
static inline void session_consumed(struct session *session, int32_t id, size_t length)
{
    if (session->http2)
        http2_consumed(session->http2, id, length);
    else
        http1_consumed(session->http1, length);
}

/* Whether more of what the peer sends can be taken in now. */
static inline bool session_wants_read(const struct session *session)
{
    return !session->http1 || http1_wants_read(session->http1);
}

/* The peer sends nothing more. Returns whether it still waits for an answer; session_done tells
 * when that was written. */
static inline bool session_receive_end(struct session *session)
{
    return session->http1 && http1_receive_end(session->http1);
}

/* Ends a stream; what is queued of it is dropped. */
static inline void session_reset(struct session *session, int32_t id, enum http2_error error)
{
    if (session->http2)
        http2_reset(session->http2, id, error);
    else
        http1_reset(session->http1, error);
}

/* The connection takes no more requests than those under way: the peer is told, in two steps where
 * the protocol has two (RFC 9113 6.8). */
static inline void session_shutdown_notice(struct session *session)
{
    if (session->http2)
        http2_shutdown_notice(session->http2);
    else
        http1_shutdown_notice(session->http1);
}

static inline void session_goaway(struct session *session)
{
    if (session->http2)
        http2_goaway(session->http2, HTTP2_NO_ERROR);
    else
        http1_goaway(session->http1);
}

/* The peer takes promises now. */
static inline bool session_push_enabled(const struct session *session)
{
    return session->http2 && http2_push_enabled(session->http2);
}

/* Bytes of content that the connection takes from this side now. */
static inline uint32_t session_window(const struct session *session)
{
    return session->http2 ? http2_window(session->http2) : UINT32_MAX;
}

/* True when the peer takes nothing of the stream's content now. */
static inline bool session_window_shut(const struct session *session, int32_t id)
{
    return session->http2 && http2_window_shut(session->http2, id);
}

/* Streams under way, those promised too. */
static inline unsigned session_open_streams(const struct session *session)
{
    return session->http2 ? http2_open_streams(session->http2) : http1_open_streams(session->http1);
}

/* The number (from 1) of the header block that has begun and not ended; 0: there is none. */
static inline uint64_t session_header_block(const struct session *session)
{
    return session->http2 ? http2_header_block(session->http2) : http1_header_block(session->http1);
}

#endif

/* HTTP/2 by nghttp2, which is used here only: frames in, events out; responses in, frames out.
 * One context serves a worker, one struct http2 a connection. Nothing is sent or received here. */
#ifndef HERALD_HTTP2_H
#define HERALD_HTTP2_H

#include "master/handoff/config.h"
#include "master/handoff/span.h"
#include "policy/request.h"
#include "worker/guard.h"
#include "worker/header_list.h"
#include "worker/session_events.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http2_context;
struct http2;

/* RFC 9113 7. */
enum http2_error {
    HTTP2_NO_ERROR = 0x0,
    HTTP2_PROTOCOL_ERROR = 0x1,
    HTTP2_INTERNAL_ERROR = 0x2,
    HTTP2_FLOW_CONTROL_ERROR = 0x3,
    HTTP2_STREAM_CLOSED = 0x5,
    HTTP2_FRAME_SIZE_ERROR = 0x6,
    HTTP2_REFUSED_STREAM = 0x7,
    HTTP2_CANCEL = 0x8,
    HTTP2_ENHANCE_YOUR_CALM = 0xb,
};

/* The version of nghttp2 that runs. */
const char *http2_library(void);

#define HTTP2_PREFACE_LENGTH 24
/* Returns NULL when memory runs out. `events`, `limits` are borrowed for the context's life. */
struct http2_context *http2_context_create(const struct session_events *events,
                                           const struct config_limits *limits);
void http2_context_destroy(struct http2_context *context);

/* A server session, its SETTINGS queued. `guard` is the connection's account of misbehaviour.
 * Returns NULL when memory runs out. */
struct http2 *http2_create(struct http2_context *context, struct guard *guard, void *connection);

/* No `close` comes for streams still open: their owner ends them. NULL is accepted. */
void http2_destroy(struct http2 *http2);

/* Feeds what the peer sent. Returns 0, or -EPROTO when the connection must end: the GOAWAY is queued
 * then, and nothing more may be fed. */
int http2_receive(struct http2 *http2, const void *data, size_t length);

/* Writes queued frames, `room` bytes of them at most (at least HTTP2_ROOM_MIN); content is framed as
 * the room allows, so none is chosen before it can be written. They are written to `out`, which has
 * that room or HTTP2_COPIED_MAX bytes, whichever is less; but for the content that is lent to be
 * sent from where it is. Returns their number, lent ones too, 0 when nothing is to be sent now, or
 * -ENOMEM. */
#define HTTP2_ROOM_MIN 2048
#define HTTP2_COPIED_MAX (4 * (16384 + 9) + 512) /* four full DATA frames */
ptrdiff_t http2_produce(struct http2 *http2, uint8_t *out, size_t room);

/* Where in what http2_produce has just written a response ends that is to be readable before what
 * follows it; 0: nowhere. */
size_t http2_end_apart(const struct http2 *http2);

/* The stream whose response has ended, as `response_end` said, with a frame that http2_produce has not
 * written out whole: a large header block at the end of its room; 0: there is none. The stream may
 * have closed. */
int32_t http2_unwritten_end(const struct http2 *http2);

/* True when the session needs nothing more: it can be closed once its output is sent. */
bool http2_done(const struct http2 *http2);

/* True when it ended for an error of the peer's, whether http2_receive told so or not: some errors
 * are found while output is produced. */
bool http2_failed(const struct http2 *http2);

/* True while http2_produce would write something. */
bool http2_wants_write(const struct http2 *http2);

/* Submits an interim response (103). Spans must live until it was written out. Returns 0 or -ENOMEM,
 * -EINVAL for a stream that takes none. */
int http2_inform(struct http2 *http2, int32_t id, int status, const struct field *fields,
                 size_t count);

/* Submits the response; with `content`, its bytes come through `available` and `take`. The fields'
 * spans must live until the stream closes. */
int http2_respond(struct http2 *http2, int32_t id, int status, const struct field *fields,
                  size_t count, bool content);

/* `length` bytes of the stream's request content were taken: the windows open again by as much (RFC
 * 9113 6.9). The stream may have closed. */
void http2_consumed(struct http2 *http2, int32_t id, size_t length);

/* Content that was not available has become so. */
void http2_resume(struct http2 *http2, int32_t id);

/* Promises `fields`' request (with :method GET) on the parent. Returns the promised stream's id or a
 * -errno. The spans must live until `promised` or `not_promised`. (RFC 9113 8.4) */
int32_t http2_promise(struct http2 *http2, int32_t parent, struct span scheme,
                      struct span authority, struct span target, const struct field *fields,
                      size_t count, void *stream);

/* A promised stream's RFC 9218 priority: after `promised`. */
void http2_prioritize(struct http2 *http2, int32_t id, uint8_t urgency, bool incremental);

/* Resets a stream; what is queued of it is dropped. */
void http2_reset(struct http2 *http2, int32_t id, enum http2_error error);

/* The two steps of RFC 9113 6.8: first the notice (last stream 2^31-1) with a PING, whose
 * acknowledgement tells that the peer saw it; then the real last stream id. */
void http2_shutdown_notice(struct http2 *http2);
void http2_goaway(struct http2 *http2, enum http2_error error);

/* The peer takes promises now (RFC 9113 6.5.2 SETTINGS_ENABLE_PUSH). */
bool http2_push_enabled(const struct http2 *http2);

/* The peer's SETTINGS_MAX_CONCURRENT_STREAMS: how many pushed streams may be open. */
uint32_t http2_streams_max(const struct http2 *http2);

/* Bytes of content that the connection's window takes from this side now (RFC 9113 6.9.1). */
uint32_t http2_window(const struct http2 *http2);

/* True when the peer's window for the stream has no room (RFC 9113 6.9). */
bool http2_window_shut(const struct http2 *http2, int32_t id);

/* Streams that are open or half-closed, the client's and pushed ones, unwritten promises too. */
unsigned http2_open_streams(const struct http2 *http2);

/* The number (from 1) of the header block that has begun and not ended; 0: there is none. */
uint64_t http2_header_block(const struct http2 *http2);

/* Why the session failed, for the log; "" when it didn't. */
const char *http2_failure(const struct http2 *http2);

#endif

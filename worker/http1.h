/* HTTP/1.1 and 1.0 by llhttp, which is used here only: bytes in, events out; responses in, bytes
 * out. One context serves a worker, one struct http1 a connection. Nothing is sent or received
 * here.
 *
 * A connection has one request under way. What a client sends beyond it waits as it came, and is
 * looked at when the response has been written: pipelined requests are answered in their order (RFC
 * 9112 9.3.2). What two parties might read differently is refused with 400, and ends the connection
 * (RFC 9112 11.2). */
#ifndef HERALD_HTTP1_H
#define HERALD_HTTP1_H

#include "master/handoff/config.h"
#include "policy/request.h"
#include "worker/guard.h"
#include "worker/header_list.h"
#include "worker/session_events.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http1_context;
struct http1;

/* Returns NULL when memory runs out. `events`, `limits` are borrowed for the context's life. */
struct http1_context *http1_context_create(const struct session_events *events,
                                           const struct config_limits *limits);
void http1_context_destroy(struct http1_context *context); /* NULL is accepted */

/* `guard` is the connection's account of misbehaviour; `secure`: it is encrypted. Returns NULL when
 * memory runs out. */
struct http1 *http1_create(struct http1_context *context, struct guard *guard, bool secure,
                           void *connection);

/* No `close` comes for a stream still open: its owner ends it. NULL is accepted. */
void http1_destroy(struct http1 *http1);

/* Feeds what the peer sent. Returns 0, or -ENOMEM when the connection must end. What is wrong with
 * it is answered in its turn: http1_failed tells once that has been written. */
int http1_receive(struct http1 *http1, const void *data, size_t length);

/* The peer sends nothing more. Returns whether it still waits for something: then http1_done tells
 * when that has been written. */
bool http1_receive_end(struct http1 *http1);

/* Whether more of what the peer sends can be taken in: false while it is ahead of its answers, or
 * of whoever consumes its request's content. */
bool http1_wants_read(const struct http1 *http1);

/* As those of the same names in http2.h. */
ptrdiff_t http1_produce(struct http1 *http1, uint8_t *out, size_t room);
bool http1_wants_write(const struct http1 *http1);
bool http1_done(const struct http1 *http1);
bool http1_failed(const struct http1 *http1);
const char *http1_failure(const struct http1 *http1);

/* Whether the connection's end now would pass for that of a response which is not whole: nothing
 * but a reset tells its client so (RFC 9112 8). `all_sent`: what was produced is. */
bool http1_is_cut(const struct http1 *http1, bool all_sent);

/* Tells the client that its request's content is wanted, if it waits for that: `status` is 100. No
 * other interim response is sent, which is said by -EINVAL: clients of HTTP/1.1 get wrong what they
 * did not ask for (RFC 9110 15.2). */
int http1_inform(struct http1 *http1, int status);

/* Answers the request under way. With `content`, its bytes come through `available` and `take`;
 * they are sent in chunks where no field tells their length, and up to the connection's end to a
 * client of HTTP/1.0. What a response's end depends on is not taken from `fields`: Connection and
 * Transfer-Encoding are left out, as is what CR, LF or NUL is in. */
void http1_respond(struct http1 *http1, int status, const struct field *fields, size_t count,
                   bool content);

/* Content that was not available has become so. */
void http1_resume(struct http1 *http1);

/* `length` bytes of the request's content are needed no more. */
void http1_consumed(struct http1 *http1, size_t length);

/* Gives the request under way up: `error` is enum http2_error. Unless that is NO_ERROR, which there
 * is nothing to do for, the connection ends; where nothing of the response was written yet, a 408
 * (CANCEL) or 500 is. */
void http1_reset(struct http1 *http1, uint32_t error);

/* The response under way, or the next, is the connection's last, and says so. */
void http1_shutdown_notice(struct http1 *http1);

/* Likewise, and no request is waited for any more. */
void http1_goaway(struct http1 *http1);

/* 1 while a request is under way. */
unsigned http1_open_streams(const struct http1 *http1);

/* The number (from 1) of the header block that has begun and not ended; 0: there is none. */
uint64_t http1_header_block(const struct http1 *http1);

/* "http/1.1" or "http/1.0": of the request under way. */
struct span http1_protocol(const struct http1 *http1);

#endif

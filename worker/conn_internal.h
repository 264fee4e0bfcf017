/* What the parts of a connection share: conn.c (its life, bytes out), conn_input.c (bytes in),
 * conn_path.c (what the kernel tells of the path: TCP_INFO) and conn_deadline.c (what happens when
 * nothing does). */
#ifndef HERALD_CONN_INTERNAL_H
#define HERALD_CONN_INTERNAL_H

#include "worker/conn.h"

struct tcp_info;

#define CONN_LINGER_MS 1000 /* how long a closed connection waits for the peer's own close */

static inline uint64_t conn_now_ms(const struct conn *conn)
{
    return conn->worker->timers.now_ms;
}

/* It moves on to a later state. */
void conn_set_state(struct conn *conn, enum conn_state state);

/* Ends it for what its session has found wrong with what the peer sent: counted and logged. */
void conn_fail(struct conn *conn);

/* Before it is received from. */
void conn_input_init(struct conn *conn);

/* Once the session has moved on: receives or does not, as it wants, and stands in line for what
 * waits. Not of a connection that ends: */
void conn_input_settle(struct conn *conn);

/* What waits of a connection that ends is read over; where the peer's end was behind it, it has come
 * now. */
void conn_input_drop(struct conn *conn);

/* The peer took output now. */
void conn_progressed(struct conn *conn);

/* True while it is the peer that something is waited for: acknowledgements, or a request's end. */
bool conn_waits_for_peer(const struct conn *conn);

/* Sets the timer to when conn_on_timer next has something to do. */
void conn_set_deadline(struct conn *conn);
void conn_on_timer(struct timer *timer);

/* The second GOAWAY of RFC 9113 6.8, once. */
void conn_second_goaway(struct conn *conn);

/* Reads TCP_INFO into `info` and conn->acked_bytes. Returns how many bytes of it the kernel filled in;
 * 0 when it cannot be read. */
size_t conn_read_tcp_info(struct conn *conn, struct tcp_info *info);

/* How many bytes of frames the next send may take, at most `most`. 0: none before the socket is
 * writable. */
size_t conn_room(struct conn *conn, size_t most);

/* On a paced connection: whether the last segment of what is sent is to wait until it is whole. */
void conn_cork(struct conn *conn, bool more);

/* Fills conn->peer, for the log. */
void conn_name_peer(struct conn *conn);
void conn_log_failure(struct conn *conn, const char *why);

#endif

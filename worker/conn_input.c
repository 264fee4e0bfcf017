#include "worker/conn_internal.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>

#define READ_OVER_MAX (64 * 1024) /* bytes of a peer whose connection ends */
#define TURN_NS 30000             /* of a wake-up, for what came in bulk */

static const char PREFACE[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

static_assert(sizeof(PREFACE) - 1 == HTTP2_PREFACE_LENGTH, "RFC 9113 3.4");

/* ---- what the bytes are ---- */

static bool start_http2(struct conn *conn)
{
    conn->session.http2 = http2_create(conn->worker->http2, &conn->guard, conn);
    return session_is_open(&conn->session);
}

static bool start_http1(struct conn *conn)
{
    conn->session.http1 =
        http1_create(conn->worker->http1, &conn->guard, conn_is_secure(conn), conn);
    return session_is_open(&conn->session);
}

/* ALPN has said HTTP/2, and something else came. */
static int refuse_protocol(struct conn *conn)
{
    session_close(&conn->session);
    stats_add(conn->worker->stats, COUNTER_protocol_errors, 1);
    conn_finish(conn);
    return -EPROTO;
}

/* How many of the next bytes are the next of the preface. */
static size_t match_preface(struct conn *conn, const uint8_t *data, size_t length)
{
    const char *next = PREFACE + conn->preface_matched;
    size_t left = HTTP2_PREFACE_LENGTH - conn->preface_matched;
    size_t n = 0;
    while (n < length && n < left && data[n] == (uint8_t)next[n])
        n++;
    conn->preface_matched += (unsigned)n;
    return n;
}

static int feed(struct conn *conn, const void *data, size_t length)
{
    if (session_receive(&conn->session, data, length) >= 0)
        return 0;
    if (conn->state < CONN_ENDING)
        conn_fail(conn);
    return -EPROTO;
}

/* What a client in cleartext speaks: HTTP/2 if its first bytes are the preface (RFC 9113 3.3), of
 * which no request of HTTP/1.1 is the beginning. */
static int tell_apart(struct conn *conn, const uint8_t *data, size_t length)
{
    unsigned before = conn->preface_matched;
    size_t n = match_preface(conn, data, length);
    bool http2 = conn->preface_matched == HTTP2_PREFACE_LENGTH;
    if (!http2 && n == length)
        return 0;
    if (http2 ? !start_http2(conn) : !start_http1(conn)) {
        conn_abort(conn);
        return -EPROTO;
    }
    conn_set_state(conn, CONN_OPEN);
    if (conn->worker->draining)
        conn_drain(conn);
    if (before && feed(conn, PREFACE, before) < 0)
        return -EPROTO;
    return feed(conn, data, length);
}

/* Plaintext, from the socket or through TLS. Returns 0, or -EPROTO when nothing more is wanted. */
static int receive_plaintext(void *context, const void *data, size_t length)
{
    struct conn *conn = context;
    if (conn->state >= CONN_ENDING)
        return -EPROTO;
    if (!session_is_open(&conn->session))
        return tell_apart(conn, data, length);
    if (conn->state == CONN_PREFACE) {
        if (match_preface(conn, data, length) < length &&
            conn->preface_matched < HTTP2_PREFACE_LENGTH)
            return refuse_protocol(conn);
        if (conn->preface_matched == HTTP2_PREFACE_LENGTH)
            conn_set_state(conn, CONN_OPEN);
    }
    return feed(conn, data, length);
}

static void handshake_done(struct conn *conn)
{
    struct stats *stats = conn->worker->stats;
    stats_add(stats, tls_resumed(conn->tls) ? COUNTER_resumptions : COUNTER_handshakes, 1);
    bool http2 = tls_protocol(conn->tls) == TLS_PROTOCOL_H2;
    conn_set_state(conn, http2 ? CONN_PREFACE : CONN_OPEN);
    if (http2 ? !start_http2(conn) : !start_http1(conn))
        conn_abort(conn);
    else if (conn->worker->draining)
        conn_drain(conn);
}

/* The session must exist before the first plaintext, which may come with the handshake's end. */
static int receive_through_tls(void *context, const void *data, size_t length)
{
    struct conn *conn = context;
    if (conn->state == CONN_HANDSHAKE && tls_ready(conn->tls))
        handshake_done(conn);
    return receive_plaintext(conn, data, length);
}

/* Only now: a crowd of connections that are opened and left is to take little memory. */
static bool begin_tls(struct conn *conn)
{
    conn->tls = tls_create(conn->worker->tls);
    if (!conn->tls)
        conn_abort(conn);
    return conn->tls != NULL;
}

static void receive_tls(struct conn *conn, struct span *data, size_t most)
{
    int rc = tls_receive(conn->tls, data, most, receive_through_tls, conn);
    if (conn->state == CONN_HANDSHAKE && tls_ready(conn->tls))
        handshake_done(conn);
    if (rc == 0 || conn->state >= CONN_ENDING)
        return;
    if (conn->state == CONN_HANDSHAKE)
        stats_add(conn->worker->stats, COUNTER_handshake_failures, 1);
    conn_finish(conn);
}

/* Looks at `most` bytes of the data, which then begins behind them; TLS may keep some of those. */
static void look_at(struct conn *conn, struct span *data, size_t most)
{
    if (conn->state == CONN_HANDSHAKE && !conn->tls && !begin_tls(conn))
        return;
    if (conn->tls) {
        receive_tls(conn, data, most);
        return;
    }
    size_t length = data->length < most ? data->length : most;
    const char *bytes = data->data;
    *data = span_after(*data, length);
    receive_plaintext(conn, bytes, length);
}

/* What a peer sends after its connection's end was decided: a little is read over, so that its
 * close is seen and it can read why. A flood stays in the kernel, where it holds up nobody but its
 * sender. */
static void read_over(struct conn *conn, size_t length)
{
    conn->read_over += length;
    if (conn->read_over <= READ_OVER_MAX || conn->deaf)
        return;
    conn->deaf = true;
    ring_cancel(conn->worker->ring, &conn->recv);
}

static void peer_gone(struct conn *conn)
{
    if (conn->state == CONN_HANDSHAKE)
        stats_add(conn->worker->stats, COUNTER_handshake_failures, 1);
    conn_abort(conn);
}

/* Of a peer that is not listened to any more, only the end is awaited. */
static void await_close(struct conn *conn)
{
    if (conn->watching) {
        peer_gone(conn);
        return;
    }
    conn->watching = true;
    ring_poll(conn->worker->ring, &conn->recv, conn->fd, POLLRDHUP);
}

/* The peer has closed its side. In HTTP/1.1 it may wait for an answer all the same, as small
 * clients do that send their request whole (RFC 9112 9.6); else nobody waits any more. */
static void peer_ended(struct conn *conn)
{
    bool waits = conn->state == CONN_OPEN && session_receive_end(&conn->session);
    if (!waits) {
        peer_gone(conn);
        return;
    }
    conn->peer_ended = true;
    conn_dirty(conn);
}

static void receiving_ended(struct conn *conn, int result)
{
    if (result == 0)
        peer_ended(conn);
    else
        peer_gone(conn);
}

/* ---- whose turn it is ---- */

static bool has_more(const struct conn *conn)
{
    return input_length(&conn->input) || (conn->tls && tls_pending(conn->tls));
}

static bool wants_input(const struct conn *conn)
{
    return !session_is_open(&conn->session) || session_wants_read(&conn->session);
}

/* A handshake that has let others pass: it is ended before another begins. */
static bool is_halfway(const struct conn *conn)
{
    return conn->state == CONN_HANDSHAKE && conn->tls && tls_pending(conn->tls);
}

/* A peer that is ahead of what its session takes waits outside the line until that wants more. */
static void stand_in_line(struct conn *conn)
{
    struct link *line = &conn->worker->inputs;
    if (!list_has(&conn->input.turn) && conn->state < CONN_ENDING && wants_input(conn) &&
        (has_more(conn) || conn->input.ended))
        list_insert(is_halfway(conn) ? line->next : line, &conn->input.turn);
}

/* Looks at the next slice, and then at the peer's end, if that is what comes next. */
static void take_turn(struct conn *conn)
{
    if (has_more(conn)) {
        struct span next = input_next(&conn->input), left = next;
        look_at(conn, &left, conn->input.slice);
        input_taken(&conn->input, next.length - left.length);
    }
    if (conn->input.ended && conn->state < CONN_ENDING && !has_more(conn)) {
        conn->input.ended = false;
        receiving_ended(conn, conn->input.end_result);
    }
}

/* Asks the kernel, which may know more than has come through the ring: nobody makes a handshake for a
 * peer that is gone. */
static bool peer_has_left(const struct conn *conn)
{
    struct pollfd ends = {.fd = conn->fd, .events = POLLRDHUP};
    return poll(&ends, 1, 0) == 1;
}

/* Returns the time at which it ended. */
static uint64_t take_timed_turn(struct conn *conn, uint64_t began_ns)
{
    bool handshake = conn->state == CONN_HANDSHAKE; /* which says nothing of what follows it */
    size_t length = input_length(&conn->input);
    conn_dirty(conn);
    if (handshake && !conn->tls && peer_has_left(conn))
        peer_gone(conn);
    if (conn->state < CONN_ENDING) {
        conn->active_ms = conn_now_ms(conn);
        take_turn(conn);
        stand_in_line(conn);
    }
    uint64_t now = timer_clock_ns();
    if (!handshake)
        input_took(&conn->input, length, now - began_ns);
    return now;
}

bool conn_input_run(struct worker *worker)
{
    struct link *line = &worker->inputs;
    if (list_empty(line))
        return false;
    ring_submit(worker->ring); /* nobody's answer waits for what is looked at now */
    uint64_t began = timer_clock_ns(), now = began;
    while (!list_empty(line) && now - began < TURN_NS) {
        struct conn *conn = LIST_OWNER(line->next, struct conn, input.turn);
        list_remove(&conn->input.turn);
        now = take_timed_turn(conn, now);
    }
    return !list_empty(line);
}

/* ---- receiving ---- */

/* Looks at what has come just now. More than a little of it may be dear, and then less is to pass
 * the next time. */
static void look_at_once(struct conn *conn, struct span *data)
{
    size_t length = data->length;
    uint64_t began = length > INPUT_SLICE ? timer_clock_ns() : 0;
    look_at(conn, data, conn->input.slice);
    if (began)
        input_took(&conn->input, length, timer_clock_ns() - began);
}

/* Little is looked at as it comes; the rest of it is what `data` is then. */
static void pass(struct conn *conn, struct span *data)
{
    if (input_passes(&conn->input, conn->worker->wakeups, data->length) &&
        conn->state != CONN_HANDSHAKE) /* which is dear whatever its length */
        look_at_once(conn, data);
}

static void keep(struct conn *conn, struct span data)
{
    if (data.length && conn->state < CONN_ENDING &&
        input_keep(&conn->input, data.data, data.length) < 0)
        conn_abort(conn);
}

/* `bytes` is NULL where they have been received behind what waits. */
static void received(struct conn *conn, const void *bytes, size_t length)
{
    struct span data = span_make(bytes, length);
    size_t room = bytes ? RING_BUFFER_BYTES : INPUT_PORTION;
    stats_add(conn->worker->stats, COUNTER_bytes_received, length);
    if (conn->state >= CONN_ENDING) {
        read_over(conn, length);
        return;
    }
    conn->active_ms = conn_now_ms(conn);
    conn->input.flows = conn->input.bulk;
    if (length < room)
        input_came_short(&conn->input, conn->active_ms);
    if (conn->ledger.open)
        conn_look(conn);
    if (bytes) {
        pass(conn, &data);
        keep(conn, data);
    }
    conn_dirty(conn);
    stand_in_line(conn);
}

void conn_receive(struct conn *conn)
{
    if (conn->recv.armed || conn->starved || conn->held || conn->peer_ended || conn->input.ended)
        return;
    void *room = NULL;
    if (!conn->deaf && conn->input.flows)
        room = input_receive(&conn->input);
    if (conn->deaf)
        await_close(conn);
    else if (room)
        ring_recv_into(conn->worker->ring, &conn->recv, conn->fd, room, INPUT_PORTION);
    else
        ring_recv(conn->worker->ring, &conn->recv, conn->fd, conn->input.bulk);
}

/* Receives again when this wake-up's buffers are back. */
static void receive_again(struct conn *conn)
{
    if (conn->starved || conn->held || conn->peer_ended || conn->input.ended)
        return;
    conn->starved = true;
    conn->next_starved = conn->worker->starved;
    conn->worker->starved = conn;
}

/* A peer that is ahead of what can be taken in is not listened to meanwhile: its window shuts. */
static void hold_or_receive(struct conn *conn)
{
    bool full = input_is_full(&conn->input, conn->held);
    bool wants = wants_input(conn) && !full;
    if (full)
        input_came_in_bulk(&conn->input, conn_now_ms(conn));
    if (wants && conn->held) {
        conn->held = false;
        conn_receive(conn);
    } else if (!wants && !conn->held) {
        conn->held = true;
        ring_cancel(conn->worker->ring, &conn->recv);
    }
}

void conn_input_settle(struct conn *conn)
{
    hold_or_receive(conn);
    stand_in_line(conn);
}

void conn_input_drop(struct conn *conn)
{
    size_t length = input_length(&conn->input);
    list_remove(&conn->input.turn);
    if (conn->state == CONN_CLOSING)
        return;
    input_clear(&conn->input);
    if (length)
        read_over(conn, length);
    if (conn->input.ended) {
        conn->input.ended = false;
        receiving_ended(conn, conn->input.end_result);
    }
}

/* A peer that leaves before this side's first word of a handshake has nothing to wait for, so its turn
 * is not waited for either: whoever opens and closes faster than handshakes are made would otherwise
 * have as many connections as it likes stand in line. A handshake that is halfway goes on step by step: it
 * can be ended at its end only, which would take the rest of it at once. */
static bool has_last_words(const struct conn *conn)
{
    return has_more(conn) &&
           (conn->state != CONN_HANDSHAKE || conn->queued_bytes || is_halfway(conn));
}

static void on_recv(struct ring_op *op, const struct ring_event *event)
{
    struct conn *conn = (struct conn *)((char *)op - offsetof(struct conn, recv));
    if (conn->input.receiving)
        input_received(&conn->input,
                       event->result > 0 && conn->state < CONN_ENDING ? (size_t)event->result : 0);
    if (conn->state == CONN_CLOSING) {
        conn_dirty(conn);
        return;
    }
    if (conn->watching) {
        ; /* what completed is the poll */
    } else if (event->result > 0) {
        received(conn, event->data, (size_t)event->result);
    } else if (event->result == -ENOBUFS) {
        stats_add(conn->worker->stats, COUNTER_buffer_shortages, 1);
    } else if (conn->deaf || event->result == -ECANCELED) {
        ; /* this side has cancelled it */
    } else if (has_last_words(conn)) {
        conn->input.ended = true;
        conn->input.end_result = event->result;
        conn_dirty(conn);
    } else {
        receiving_ended(conn, event->result);
    }
    if (event->more || conn->state == CONN_CLOSING)
        return;
    if (conn->deaf)
        await_close(conn);
    else
        receive_again(conn);
}

void conn_input_init(struct conn *conn)
{
    input_init(&conn->input);
    conn->recv.done = on_recv;
}

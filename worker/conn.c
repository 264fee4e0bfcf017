#include "worker/conn_internal.h"

#include "worker/addresses.h"
#include "worker/outcome.h"
#include "worker/stream.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PLAINTEXT_MAX HTTP2_COPIED_MAX  /* bytes of frames a send, where they are encrypted, */
#define CLEARTEXT_MAX (7 * (16384 + 9)) /* and where content is lent: less than may wait unsent */

static void on_send(struct ring_op *op, const struct ring_event *event);
static void on_writable(struct ring_op *op, const struct ring_event *event);

static struct conn *conn_of_send(struct ring_op *op)
{
    return (struct conn *)((char *)op - offsetof(struct conn, send));
}

void conn_set_state(struct conn *conn, enum conn_state state)
{
    assert(state > conn->state);
    conn->state = state;
}

/* ---- opening ---- */

void conn_name_peer(struct conn *conn)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    if (getpeername(conn->fd, (struct sockaddr *)&address, &length) < 0)
        return;
    if (address.ss_family == AF_INET)
        inet_ntop(AF_INET, &((struct sockaddr_in *)&address)->sin_addr, conn->peer,
                  sizeof(conn->peer));
    else if (address.ss_family == AF_INET6)
        inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&address)->sin6_addr, conn->peer,
                  sizeof(conn->peer));
}

void conn_log_failure(struct conn *conn, const char *why)
{
    worker_log_error(conn->worker, "info", "%s: connection ended: %s", conn->peer, why);
}

static void link_conn(struct conn *conn)
{
    struct worker *worker = conn->worker;
    conn->next = worker->conns;
    if (worker->conns)
        worker->conns->previous = conn;
    worker->conns = conn;
    worker->conns_count++;
    atomic_store_explicit(&worker->slot->connections, worker->conns_count, memory_order_relaxed);
}

static struct conn *conn_create(struct worker *worker, int fd, bool tls)
{
    struct conn *conn = calloc(1, sizeof(*conn));
    if (!conn)
        return NULL;
    conn->worker = worker;
    conn->fd = fd;
    conn->state = tls ? CONN_HANDSHAKE : CONN_PREFACE;
    conn_input_init(conn);
    conn->timer.fired = conn_on_timer;
    conn->opened_ms = conn->active_ms = conn->progress_ms = worker->timers.now_ms;
    guard_init(&conn->guard, &worker->config->limits, &worker->timers.now_ms);
    list_init(&conn->pages_waiting.pages);
    read_ahead_init(&conn->ahead, worker->config->limits.stream_buffer,
                    worker->config->limits.connection_buffer);
    if (timers_reserve(&worker->timers, worker->conns_count + worker->timers.count + 8)) {
        free(conn);
        return NULL;
    }
    return conn;
}

static int enter_address(struct worker *worker, int fd)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof(peer);
    if (!worker->addresses || getpeername(fd, (struct sockaddr *)&peer, &length) < 0)
        return ADDRESS_UNCOUNTED;
    return addresses_enter(worker->addresses, &peer);
}

static void leave_address(struct worker *worker, int place)
{
    if (worker->addresses)
        addresses_leave(worker->addresses, place);
}

void conn_open(struct worker *worker, int fd, bool tls, unsigned https_port)
{
    if (worker->stopping) { /* accepted before the cancel took effect: nobody would end it */
        close(fd);
        return;
    }
    if (worker->conns_count >= worker->config->limits.connections) {
        stats_add(worker->stats, COUNTER_limit_connections, 1);
        close(fd);
        return;
    }
    int place = enter_address(worker, fd);
    if (place == -EBUSY) {
        stats_add(worker->stats, COUNTER_limit_address, 1);
        close(fd);
        return;
    }
    struct conn *conn = conn_create(worker, fd, tls);
    if (!conn) {
        leave_address(worker, place);
        stats_add(worker->stats, COUNTER_accept_failures, 1);
        close(fd);
        return;
    }
    conn->place = place;
    conn->https_port = https_port;
    stats_add(worker->stats, COUNTER_accepted, 1);
    link_conn(conn);
    worker_worked(worker, 1);
    conn_receive(conn);
    timer_set(&worker->timers, &conn->timer, conn->opened_ms + worker->config->limits.handshake);
}

/* ---- closing ---- */

static void unlink_conn(struct conn *conn)
{
    struct worker *worker = conn->worker;
    if (conn->previous)
        conn->previous->next = conn->next;
    else
        worker->conns = conn->next;
    if (conn->next)
        conn->next->previous = conn->previous;
    worker->conns_count--;
    atomic_store_explicit(&worker->slot->connections, worker->conns_count, memory_order_relaxed);
}

static void bury_when_idle(struct conn *conn)
{
    if (conn->state != CONN_CLOSING || conn->recv.armed || conn->send.armed || conn->dirty ||
        conn->starved)
        return;
    unlink_conn(conn);
    conn->next = conn->worker->dead;
    conn->worker->dead = conn;
    conn->worker->dead_count++;
}

/* A client that would take the rest of a response for the whole is to see no orderly end: closing
 * the socket resets the connection, if nothing has shut it down before. */
static void end_socket(struct conn *conn)
{
    static const struct linger NONE = {.l_onoff = 1};
    bool cut = session_is_cut(&conn->session, !conn->send.armed);
    if (!cut || setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &NONE, sizeof(NONE)) < 0)
        shutdown(conn->fd, SHUT_RDWR);
}

static void end_streams(struct conn *conn)
{
    unsigned count = 0;
    for (; conn->streams; count++)
        stream_end(conn->streams);
    worker_worked(conn->worker, 1 + count / 4);
}

void conn_abort(struct conn *conn)
{
    struct worker *worker = conn->worker;
    if (conn->state == CONN_CLOSING)
        return;
    if (conn->ledger.open) {
        conn->ledger.looked_ms = 0; /* the last look, however lately there was one */
        conn_look(conn);
    }
    conn_set_state(conn, CONN_CLOSING);
    timer_stop(&worker->timers, &conn->timer);
    list_remove(&conn->input.turn);
    end_streams(conn);
    struct ledger_sink sink = conn_sink(conn);
    ledger_abandon(&conn->ledger, &sink);
    outcomes_abandon(conn);
    ring_cancel(worker->ring, &conn->recv);
    ring_cancel(worker->ring, &conn->send);
    end_socket(conn);
    stats_add(worker->stats, COUNTER_closed, 1);
    conn_dirty(conn); /* it is buried at the end of the wake-up at the earliest */
}

void conn_destroy(struct conn *conn)
{
    assert(conn->state == CONN_CLOSING && !conn->streams);
    if (conn->outbox)
        outbox_give(&conn->worker->outboxes, conn->outbox);
    close(conn->fd);
    leave_address(conn->worker, conn->place);
    ledger_finish(&conn->ledger);
    free(conn->visits);
    input_finish(&conn->input);
    session_close(&conn->session);
    tls_destroy(conn->tls);
    free(conn);
}

void conn_finish(struct conn *conn)
{
    if (conn->state >= CONN_ENDING)
        return;
    conn_set_state(conn, CONN_ENDING);
    conn_dirty(conn);
}

void conn_fail(struct conn *conn)
{
    struct stats *stats = conn->worker->stats;
    stats_add(stats, COUNTER_protocol_errors, 1);
    if (conn->guard.failed)
        stats_add(stats, conn->guard.tripped, 1);
    conn_name_peer(conn);
    conn_log_failure(conn, session_failure(&conn->session));
    conn_finish(conn);
}

/* Everything is sent: half-close, and wait a little for the peer's close, since closing at once
 * with unread input would make the kernel reset what the peer has not read yet. All that is kept
 * meanwhile is the socket: who is cut off again and again has many of them. */
static void linger(struct conn *conn)
{
    if (conn->peer_ended) {
        conn_abort(conn);
        return;
    }
    conn_set_state(conn, CONN_LINGERING);
    conn->ended_ms = conn_now_ms(conn);
    shutdown(conn->fd, SHUT_WR);
    end_streams(conn);
    session_close(&conn->session);
    tls_destroy(conn->tls);
    conn->tls = NULL;
    timer_set(&conn->worker->timers, &conn->timer,
              conn->ended_ms + (conn->ledger.open ? CONN_LINGER_MS / 4 : CONN_LINGER_MS));
}

/* ---- sending ---- */

void conn_dirty(struct conn *conn)
{
    if (conn->dirty)
        return;
    conn->dirty = true;
    conn->next_dirty = conn->worker->dirty;
    conn->worker->dirty = conn;
}

void conn_progressed(struct conn *conn)
{
    conn->progress_ms = conn_now_ms(conn);
    conn->progress_acked = conn->acked_bytes;
}

/* What is sent besides content, answers to PINGs say, is no progress while a window is shut. */
static bool moves_on(struct conn *conn)
{
    bool content = conn->guard.bytes_sent != conn->progress_content;
    conn->progress_content = conn->guard.bytes_sent;
    return content || streams_need_no_window(conn);
}

static void on_send(struct ring_op *op, const struct ring_event *event)
{
    struct conn *conn = conn_of_send(op);
    if (conn->outbox) {
        outbox_give(&conn->worker->outboxes, conn->outbox);
        conn->outbox = NULL;
    }
    if (conn->state != CONN_CLOSING && event->result != (int)conn->sending)
        conn_abort(conn);
    else if (event->result > 0)
        stats_add(conn->worker->stats, COUNTER_bytes_sent, (uint64_t)event->result);
    worker_worked(conn->worker, (unsigned)conn->sending / 4096);
    if (moves_on(conn))
        conn_progressed(conn);
    conn_dirty(conn);
}

/* What waits is decided anew now that the kernel has little left. An error shows in the next send.
 */
static void on_writable(struct ring_op *op, const struct ring_event *event)
{
    struct conn *conn = conn_of_send(op);
    (void)event;
    conn->writable = true;
    conn_dirty(conn);
}

/* A page's end shares no record with the pushes behind it: a record is read once it is there whole.
 */
static ptrdiff_t seal(struct conn *conn, const uint8_t *plaintext, size_t length, uint8_t *out)
{
    size_t page = session_end_apart(&conn->session);
    if (page == 0 || page >= length)
        return tls_seal(conn->tls, plaintext, length, out);
    ptrdiff_t first = tls_seal(conn->tls, plaintext, page, out);
    if (first < 0)
        return first;
    ptrdiff_t rest = tls_seal(conn->tls, plaintext + page, length - page, out + first);
    return rest < 0 ? rest : first + rest;
}

/* Appends the session's frames, encrypted. Returns the new length, or -errno. */
static ptrdiff_t fill_sealed(struct conn *conn, uint8_t *out, size_t length, size_t room)
{
    uint8_t *plaintext = conn->worker->plaintext;
    ptrdiff_t n = session_produce(&conn->session, plaintext, room);
    if (n <= 0)
        return n < 0 ? n : (ptrdiff_t)length;
    assert(length + tls_sealed_max(conn->tls, (size_t)n) <= OUTBOX_BYTES);
    ptrdiff_t sealed = seal(conn, plaintext, (size_t)n, out + length);
    return sealed < 0 ? sealed : (ptrdiff_t)length + sealed;
}

#define HANDSHAKE_OUTPUT_MAX (OUTBOX_BYTES - PLAINTEXT_MAX - 4096)

/* Writes what may go out now, `room` bytes of frames at most. Returns its length, or -errno. */
static ptrdiff_t fill(struct conn *conn, uint8_t *out, size_t room)
{
    ptrdiff_t length = 0;
    if (!conn->tls)
        return session_is_open(&conn->session) ? session_produce(&conn->session, out, room) : 0;
    struct span handshake = tls_output(conn->tls);
    if (handshake.length > HANDSHAKE_OUTPUT_MAX)
        handshake.length = HANDSHAKE_OUTPUT_MAX;
    if (handshake.length) {
        memcpy(out, handshake.data, handshake.length);
        length = (ptrdiff_t)handshake.length;
        tls_output_taken(conn->tls, handshake.length);
    }
    if (session_is_open(&conn->session) && tls_ready(conn->tls) &&
        tls_output(conn->tls).length == 0)
        length = fill_sealed(conn, out, (size_t)length, room);
    return length;
}

static bool has_output(const struct conn *conn)
{
    return (conn->tls && tls_output(conn->tls).length) ||
           (session_is_open(&conn->session) && conn->state != CONN_HANDSHAKE &&
            (conn->pushes_waiting || session_wants_write(&conn->session)));
}

static void await_writable(struct conn *conn)
{
    if (!conn_waits_for_peer(conn))
        conn_progressed(conn);
    conn->send.done = on_writable;
    ring_poll(conn->worker->ring, &conn->send, conn->fd, POLLOUT);
}

/* Fills an outbox, in cleartext with what is lent to conn->outbox, too. Returns the send's length,
 * 0 or -errno; nothing is in conn->outbox then. */
static ptrdiff_t fill_outbox(struct conn *conn, size_t room)
{
    struct outbox *outbox = outbox_take(&conn->worker->outboxes);
    if (!outbox)
        return -ENOMEM;
    conn->outbox = conn->tls ? NULL : outbox;
    ptrdiff_t length = fill(conn, outbox->bytes, room);
    conn->outbox = length > 0 ? outbox : NULL;
    if (length <= 0)
        outbox_give(&conn->worker->outboxes, outbox);
    return length;
}

/* Starts a send if there is something, or waits until there may be one. Returns false when there
 * was nothing. */
static bool send_ready(struct conn *conn)
{
    if (!has_output(conn)) {
        conn_cork(conn, false);
        return false;
    }
    size_t room = conn_room(conn, conn->tls ? PLAINTEXT_MAX : CLEARTEXT_MAX);
    if (room == 0) {
        await_writable(conn);
        return true;
    }
    ptrdiff_t length = fill_outbox(conn, room);
    if (length <= 0) {
        if (length < 0)
            conn_abort(conn);
        else
            conn_cork(conn, false);
        return false;
    }
    if (!conn_waits_for_peer(conn))
        conn_progressed(conn); /* the peer's time begins now */
    conn->sending = (size_t)length;
    conn->queued_bytes += (uint64_t)length;
    ledger_flushed(&conn->ledger, conn->queued_bytes, session_unwritten_end(&conn->session));
    conn->send.done = on_send;
    if (has_output(conn))
        conn_cork(conn, true);
    outbox_send(conn->outbox, conn->sending - conn->outbox->lent_bytes, conn->worker->ring,
                &conn->send, conn->fd);
    if (conn->sending >= PLAINTEXT_MAX / 2)
        conn->large = true; /* many small responses */
    return true;
}

/* Nothing is left to be sent: what the connection does next. */
static void rest(struct conn *conn)
{
    if (conn->state < CONN_ENDING) {
        if (session_is_open(&conn->session) && session_done(&conn->session)) {
            if (session_failed(&conn->session))
                conn_fail(conn);
            else
                conn_finish(conn);
        }
        return;
    }
    if (session_is_cut(&conn->session, true)) {
        conn_abort(conn);
        return;
    }
    if (conn->ledger.open) { /* a client that is told of the end may rely on what it acknowledged */
        conn->ledger.looked_ms = 0;
        conn_look(conn);
    }
    if (conn->tls) /* after the GOAWAY: nothing can be encrypted behind a close_notify */
        tls_close(conn->tls);
    if (conn->state == CONN_ENDING && !send_ready(conn) && conn->state == CONN_ENDING)
        linger(conn);
}

static void note_header_block(struct conn *conn)
{
    uint64_t block = session_is_open(&conn->session) ? session_header_block(&conn->session) : 0;
    if (block != conn->header_block)
        conn->header_ms = block ? conn_now_ms(conn) : 0;
    conn->header_block = block;
}

void conn_flush(struct conn *conn)
{
    conn->dirty = false;
    if (conn->state >= CONN_ENDING)
        conn_input_drop(conn);
    if (!conn->send.armed)
        read_ahead_settle(&conn->ahead);
    if (conn->orphan_pushes)
        streams_release_orphans(conn);
    if (conn->state < CONN_LINGERING && !conn->send.armed && !send_ready(conn))
        rest(conn);
    if (conn->state < CONN_LINGERING) {
        conn_input_settle(conn);
        note_header_block(conn);
        conn_set_deadline(conn);
    }
    bury_when_idle(conn);
}

/* ---- draining and events ---- */

void conn_drain(struct conn *conn)
{
    if (conn->state >= CONN_ENDING || conn->notice_ms)
        return;
    if (!session_is_open(&conn->session))
        return; /* still shaking hands: the session will begin with the notice */
    conn->notice_ms = conn_now_ms(conn);
    session_shutdown_notice(&conn->session);
    conn_dirty(conn);
}

void conn_on_ping_acknowledged(void *connection)
{
    struct conn *conn = connection;
    if (conn->notice_ms)
        conn_second_goaway(conn);
}

void conn_on_settings(void *connection)
{
    conn_dirty(connection);
}

void conn_on_goaway(void *connection, int32_t last, uint32_t error)
{
    struct conn *conn = connection;
    struct ledger_sink sink = conn_sink(conn);
    (void)error;
    conn->goaway_received = true; /* no new promise (RFC 9113 6.8) */
    ledger_lose_above(&conn->ledger, last, &sink);
    conn_dirty(conn);
}

#include "worker/conn_internal.h"

#include "worker/outcome.h"
#include "worker/stream.h"

#include <linux/tcp.h>

#define LOOK_MS 1000   /* TCP_INFO is read this often while claims wait, whatever happens */
#define LOOK_TIMED_MS 5 /* more than a round trip, when something is timed */
#define NOTICE_MS 1000 /* the second GOAWAY follows the notice at the latest */

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

bool conn_waits_for_peer(const struct conn *conn)
{
    return conn->send.armed || (session_is_open(&conn->session) && session_open_streams(&conn->session) > 0);
}

/* Acknowledgements wake nobody. What is timed is looked for after each round trip; by then it is
 * known to the millisecond when the last one came. Behind a shut window nothing is under way. */
static uint64_t look_ms(const struct conn *conn)
{
    uint64_t round_trip_ms = conn->rtt_us / 1000 * 5 / 4 + LOOK_TIMED_MS;
    bool due = conn->queued_bytes > conn->acked_bytes && outcomes_are_timed(conn);
    return due ? sooner(round_trip_ms, LOOK_MS) : LOOK_MS;
}

/* The time at which conn_on_timer has something to do. */
void conn_set_deadline(struct conn *conn)
{
    const struct config_limits *limits = &conn->worker->config->limits;
    uint64_t deadline = UINT64_MAX;
    if (conn->state < CONN_OPEN)
        deadline = conn->opened_ms + limits->handshake;
    else if (!conn_waits_for_peer(conn))
        deadline = conn->active_ms + limits->idle;
    if (conn_waits_for_peer(conn))
        deadline = sooner(deadline, conn->progress_ms + limits->send_progress);
    if (conn->header_ms)
        deadline = sooner(deadline, conn->header_ms + limits->header);
    if (conn->notice_ms && !conn->goaway_sent)
        deadline = sooner(deadline, conn->notice_ms + NOTICE_MS);
    if (conn->ledger.open)
        deadline = sooner(deadline, conn_now_ms(conn) + look_ms(conn));
    if (!conn->receiving)
        conn->bodies_ms = 0;
    else if (!conn->bodies_ms) /* not moved by what arrives: a dribble would move it for ever */
        conn->bodies_ms = conn_now_ms(conn) + LOOK_MS;
    if (conn->bodies_ms)
        deadline = sooner(deadline, conn->bodies_ms);
    timer_set(&conn->worker->timers, &conn->timer, deadline);
}

static void give_up(struct conn *conn, enum counter counter)
{
    stats_add(conn->worker->stats, counter, 1);
    conn_name_peer(conn);
    conn_log_failure(conn, stats_prose(counter));
    conn_abort(conn);
}

/* No output was taken for the limit's time: unless the peer's kernel did acknowledge some meanwhile,
 * which a single large send does not show. */
static void check_progress(struct conn *conn)
{
    struct tcp_info info;
    if (conn->send.armed && conn_read_tcp_info(conn, &info) && conn->acked_bytes > conn->progress_acked)
        conn_progressed(conn);
    else if (!conn->send.armed && streams_need_no_window(conn))
        conn_progressed(conn); /* it is this side that has nothing to send yet */
    else
        give_up(conn, COUNTER_limit_send);
}

static void end_idle(struct conn *conn)
{
    stats_add(conn->worker->stats, COUNTER_limit_idle, 1);
    if (session_is_open(&conn->session))
        session_goaway(&conn->session);
    conn_finish(conn);
}

void conn_second_goaway(struct conn *conn)
{
    if (conn->goaway_sent || !session_is_open(&conn->session)) /* the peer turned out to speak something else */
        return;
    conn->goaway_sent = true;
    session_goaway(&conn->session);
    conn_dirty(conn);
}

/* The connection lives on; one line tells of however many of its streams. */
static void log_slow(struct conn *conn)
{
    if (conn->slow_logged)
        return;
    conn->slow_logged = true;
    conn_name_peer(conn);
    worker_log_error(conn->worker, "info", "%s: %s", conn->peer, stats_prose(COUNTER_limit_body));
}

static void check_deadlines(struct conn *conn)
{
    const struct config_limits *limits = &conn->worker->config->limits;
    uint64_t now = conn_now_ms(conn);
    bool behind = list_has(&conn->input.turn); /* the rest may have come, and not had its turn */
    if (conn->state < CONN_OPEN && !behind && now >= conn->opened_ms + limits->handshake)
        give_up(conn, COUNTER_limit_handshake);
    else if (conn->header_ms && !behind && now >= conn->header_ms + limits->header)
        give_up(conn, COUNTER_limit_header);
    else if (conn->state == CONN_OPEN && !conn_waits_for_peer(conn) &&
             now >= conn->active_ms + limits->idle)
        end_idle(conn);
    else if (conn_waits_for_peer(conn) && now >= conn->progress_ms + limits->send_progress)
        check_progress(conn);
    if (conn->state == CONN_CLOSING)
        return;
    if (conn->bodies_ms && now >= conn->bodies_ms) {
        conn->bodies_ms = 0;
        if (!behind && streams_check_receiving(conn))
            log_slow(conn);
    }
    if (conn->notice_ms && now >= conn->notice_ms + NOTICE_MS)
        conn_second_goaway(conn);
    if (conn->ledger.open)
        conn_look(conn);
    conn_dirty(conn);
}

void conn_on_timer(struct timer *timer)
{
    struct conn *conn = (struct conn *)((char *)timer - offsetof(struct conn, timer));
    if (conn->state != CONN_LINGERING) {
        check_deadlines(conn);
        return;
    }
    conn_look(conn);
    if (conn_now_ms(conn) >= conn->ended_ms + CONN_LINGER_MS)
        conn_abort(conn);
    else
        timer_set(&conn->worker->timers, timer, conn->ended_ms + CONN_LINGER_MS);
}

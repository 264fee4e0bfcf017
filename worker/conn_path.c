#include "worker/conn_internal.h"

#include "worker/outcome.h"

#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <unistd.h>

#define ASSUMED_MSS 1460 /* bytes; what Ethernet carries over IPv4 */
#define RENEW_MS 2000 /* claims are given more time this often */
#define SMALL_WINDOW_BYTES 65536 /* TLS records of a whole send would wait for a second window */

/* As if the kernel told what is assumed: a connection at rest, in slow start, whose peer takes any
 * amount. */
static size_t assumed_info(const struct conn_assumed *assumed, struct tcp_info *info)
{
    info->tcpi_rtt = info->tcpi_min_rtt = assumed->rtt_us;
    info->tcpi_snd_mss = ASSUMED_MSS;
    info->tcpi_snd_cwnd = assumed->cwnd_bytes / ASSUMED_MSS;
    info->tcpi_snd_ssthresh = INT32_MAX;
    info->tcpi_delivery_rate = assumed->bandwidth_bps / 8;
    return offsetof(struct tcp_info, tcpi_delivery_rate) + sizeof(info->tcpi_delivery_rate);
}

size_t conn_read_tcp_info(struct conn *conn, struct tcp_info *info)
{
    socklen_t length = sizeof(*info);
    memset(info, 0, sizeof(*info));
    if (conn->assumed)
        return assumed_info(conn->assumed, info);
    if (getsockopt(conn->fd, IPPROTO_TCP, TCP_INFO, info, &length) < 0)
        return 0;
    conn->acked_bytes = info->tcpi_bytes_acked;
    conn->rtt_us = info->tcpi_rtt;
    /* The kernel counts in ticks; what was seen missing the last time came after that. */
    uint64_t now = timer_clock_us();
    uint64_t acked_us = now - info->tcpi_last_ack_recv * UINT64_C(1000);
    conn->acked_us = acked_us > conn->read_us ? acked_us : conn->read_us;
    conn->read_us = now;
    return length;
}

static bool read_path(struct conn *conn, struct path *path, struct tcp_info *info)
{
    size_t length = conn_read_tcp_info(conn, info);
    if (!length)
        return false;
    path_read(path, info, length, conn->worker->slow_start_after_idle);
    conn->path_known = true;
    conn->paced = path_is_paced(path->rtt_us);
    return true;
}

void conn_look(struct conn *conn)
{
    struct tcp_info info;
    uint64_t now = conn_now_ms(conn);
    bool final = conn->state >= CONN_LINGERING || conn->recv.armed == false;
    if (!final && !outcomes_are_timed(conn) && conn->ledger.looked_ms && (now - conn->ledger.looked_ms) * 1000 < conn->rtt_us)
        return;
    conn->ledger.looked_ms = now;
    if (!conn_read_tcp_info(conn, &info))
        return;
    struct ledger_sink sink = conn_sink(conn);
    ledger_acknowledged(&conn->ledger, conn->acked_bytes, &sink);
    /* Only while bytes progress: what a peer that is gone was promised is to lapse, so that another
     * connection of its client can be sent it. */
    if (conn->ledger.open && now - conn->renewed_ms >= RENEW_MS &&
        conn->acked_bytes > conn->renewed_acked_bytes) {
        conn->renewed_ms = now;
        conn->renewed_acked_bytes = conn->acked_bytes;
        ledger_renew(&conn->ledger, &conn->worker->pushes);
    }
}

bool conn_path_facts(struct conn *conn, struct path *path, struct client_facts *facts)
{
    struct tcp_info info;
    if (!read_path(conn, path, &info))
        return false;
    facts->rtt_us = info.tcpi_rtt;
    facts->cwnd_bytes =
        path->cwnd_bytes < UINT32_MAX ? (uint32_t)path->cwnd_bytes : UINT32_MAX;
    facts->bandwidth_bps = info.tcpi_delivery_rate * 8;
    return true;
}

uint64_t conn_unacked_bytes(const struct conn *conn)
{
    uint64_t ours = conn->tls ? tls_output(conn->tls).length : 0;
    return ours + (conn->queued_bytes > conn->acked_bytes
                       ? conn->queued_bytes - conn->acked_bytes : 0);
}

/* ---- pacing ---- */

/* Set anew once the window has doubled or halved. */
static void set_unsent_max(struct conn *conn, uint32_t bytes)
{
    if (conn->unsent_max / 2 < bytes && bytes / 2 < conn->unsent_max)
        return;
    conn->unsent_max = bytes;
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof(bytes));
}

size_t conn_room(struct conn *conn, size_t most)
{
    struct tcp_info info;
    struct path path;
    bool writable = conn->writable;
    conn->writable = false;
    if (conn->large && !conn->path_known)
        read_path(conn, &path, &info);
    if (!conn->paced || !read_path(conn, &path, &info) || !conn->paced)
        return most;
    set_unsent_max(conn, path_unsent_max(&path));
    size_t room = path_room(&path, conn_unacked_bytes(conn), most);
    if (!room && writable)
        room = path_room_least(&path, most);
    if (conn->tls && path.cwnd_bytes < SMALL_WINDOW_BYTES)
        tls_send_small(conn->tls, room);
    return room;
}

void conn_cork(struct conn *conn, bool more)
{
    int value = more;
    if (conn->corked == more || (more && !conn->paced))
        return;
    conn->corked = more;
    setsockopt(conn->fd, IPPROTO_TCP, TCP_CORK, &value, sizeof(value));
}

bool conn_path_restarts(void)
{
    char digit = '1';
    int fd = open("/proc/sys/net/ipv4/tcp_slow_start_after_idle", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return true;
    if (read(fd, &digit, 1) < 1)
        digit = '1';
    close(fd);
    return digit != '0';
}

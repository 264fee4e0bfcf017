#include "worker/conn_internal.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <time.h>

#define RENEW_MS 2000 /* claims are given more time this often */

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

bool conn_read_tcp_info(struct conn *conn, struct tcp_info *info)
{
    socklen_t length = sizeof(*info);
    memset(info, 0, sizeof(*info));
    if (getsockopt(conn->fd, IPPROTO_TCP, TCP_INFO, info, &length) < 0)
        return false;
    conn->acked_bytes = info->tcpi_bytes_acked;
    conn->rtt_us = info->tcpi_rtt;
    conn->acked_us = now_us() - info->tcpi_last_ack_recv * UINT64_C(1000);
    return true;
}

void conn_look(struct conn *conn)
{
    struct tcp_info info;
    uint64_t now = conn_now_ms(conn);
    bool final = conn->state >= CONN_LINGERING || conn->recv.armed == false;
    if (!final && conn->ledger.looked_ms && (now - conn->ledger.looked_ms) * 1000 < conn->rtt_us)
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

void conn_path_facts(struct conn *conn, struct client_facts *facts)
{
    struct tcp_info info;
    if (!conn_read_tcp_info(conn, &info))
        return;
    facts->rtt_us = info.tcpi_rtt;
    facts->cwnd_bytes = info.tcpi_snd_cwnd * info.tcpi_snd_mss;
    facts->bandwidth_bps = info.tcpi_delivery_rate * 8;
}

#include "worker/path.h"

#include <linux/tcp.h>

#define PACED_RTT_US 10000    /* below, a full send is a small part of a second round trip anyway */
#define INITIAL_SEGMENTS 10   /* RFC 6928, and what the kernel goes back to after a pause */
#define AHEAD_US 5000         /* a worker may be this long away while the kernel goes on sending */
#define AHEAD_PARTS 8         /* or this part of a round trip, if that is longer */
#define FULL_RTT_QUARTERS 5   /* quarters of the shortest round trip: from here on bytes queue */
#define SEND_LEAST 2048       /* bytes: a smaller send is not worth its system call */

#define HAS(info_length, member) \
    ((info_length) >= offsetof(struct tcp_info, member) + sizeof(((struct tcp_info *)0)->member))

/* The congestion window in segments once the kernel has taken the pause into account: halved for
 * each retransmission time-out that passed, down to the initial one (RFC 2861). */
static uint32_t after_pause(const struct tcp_info *info, bool restarts)
{
    uint32_t cwnd = info->tcpi_snd_cwnd;
    uint32_t least = cwnd < INITIAL_SEGMENTS ? cwnd : INITIAL_SEGMENTS;
    int64_t pause_us = (int64_t)info->tcpi_last_data_sent * 1000;
    if (!restarts || info->tcpi_unacked || info->tcpi_rto == 0 || pause_us <= info->tcpi_rto)
        return cwnd;
    while ((pause_us -= info->tcpi_rto) > 0 && cwnd > least)
        cwnd >>= 1;
    return cwnd > least ? cwnd : least;
}

/* Known only where the kernel measured a rate that the application did not hold back, on a path that
 * was full: in slow start the rate is that of the window, and the next one is twice as large. */
static uint64_t bdp(const struct tcp_info *info, size_t length, const struct path *path)
{
    if (!HAS(length, tcpi_delivery_rate) || info->tcpi_delivery_rate_app_limited ||
        info->tcpi_delivery_rate == 0 || path->rtt_us == 0)
        return PATH_UNKNOWN;
    bool queues = (uint64_t)info->tcpi_rtt * 4 >= (uint64_t)path->rtt_us * FULL_RTT_QUARTERS;
    if (path->slow_start && !queues)
        return PATH_UNKNOWN;
    return (uint64_t)((double)info->tcpi_delivery_rate * path->rtt_us / 1e6);
}

void path_read(struct path *path, const struct tcp_info *info, size_t length, bool restarts)
{
    bool has_min = HAS(length, tcpi_min_rtt) && info->tcpi_min_rtt && info->tcpi_min_rtt != ~0U;
    uint32_t cwnd = after_pause(info, restarts);
    *path = (struct path){
        .cwnd_bytes = (uint64_t)cwnd * info->tcpi_snd_mss,
        .receiver_bytes = HAS(length, tcpi_snd_wnd) ? info->tcpi_snd_wnd : PATH_UNKNOWN,
        .mss = info->tcpi_snd_mss,
        .rtt_us = has_min ? info->tcpi_min_rtt : info->tcpi_rtt,
        .slow_start = cwnd < info->tcpi_snd_ssthresh,
    };
    path->bdp_bytes = bdp(info, length, path);
}

bool path_is_paced(uint32_t rtt_us)
{
    return rtt_us >= PACED_RTT_US;
}

static uint64_t at_least(uint64_t bytes, uint64_t least)
{
    return bytes > least ? bytes : least;
}

uint32_t path_unsent_max(const struct path *path)
{
    uint64_t window = path->cwnd_bytes;
    uint64_t part = window / AHEAD_PARTS;
    uint64_t ahead = path->rtt_us ? window * AHEAD_US / path->rtt_us : part;
    uint64_t half = at_least(at_least(part, ahead < window ? ahead : window), 2 * path->mss);
    return half < UINT32_MAX / 4 ? (uint32_t)half * 2 : UINT32_MAX / 2;
}

size_t path_room_least(const struct path *path, size_t most)
{
    uint64_t least = at_least(path_unsent_max(path) / 2, SEND_LEAST);
    return least < most ? (size_t)least : most;
}

size_t path_room(const struct path *path, uint64_t unacked, size_t most)
{
    uint64_t window =
        path->cwnd_bytes < path->receiver_bytes ? path->cwnd_bytes : path->receiver_bytes;
    if (unacked >= window)
        return 0;
    uint64_t room = at_least(window - unacked + path_unsent_max(path) / 2, SEND_LEAST);
    return room < most ? (size_t)room : most;
}

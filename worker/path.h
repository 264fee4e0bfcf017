/* A connection's path to its client, as TCP_INFO tells it, and how much goes into the socket at once.
 * Pure arithmetic: nothing is read or set here.
 *
 * A path is paced when its round trip is long enough that bytes waiting in the kernel cost time: then
 * what is sent is decided late. A send takes what the congestion window has room for and a little to
 * wait behind it; the next one begins when most of that is gone. So a cancel, or a stream that is
 * more urgent, takes effect within one send. Other paths get full sends: they cost less CPU. */
#ifndef HERALD_PATH_H
#define HERALD_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tcp_info;

#define PATH_UNKNOWN UINT64_MAX

struct path {
    uint64_t cwnd_bytes;     /* the congestion window, as the next send will find it */
    uint64_t receiver_bytes; /* the peer's TCP window; PATH_UNKNOWN: the kernel doesn't say */
    uint64_t bdp_bytes;      /* bandwidth × round trip, once the path is known to be full; PATH_UNKNOWN */
    uint32_t mss;
    uint32_t rtt_us;         /* the shortest round trip of late; 0: not known */
    bool slow_start;         /* the congestion window doubles in a round trip */
};

/* Reads the first `length` bytes of `info`, all that this kernel has. `restarts`: the kernel begins
 * again with a small window after a pause (net.ipv4.tcp_slow_start_after_idle), which TCP_INFO does
 * not show before the next send. */
void path_read(struct path *path, const struct tcp_info *info, size_t length, bool restarts);

/* Whether a connection with this round trip, in microseconds, is paced. */
bool path_is_paced(uint32_t rtt_us);

/* What may wait in the kernel of a paced connection, in bytes (TCP_NOTSENT_LOWAT): the socket counts
 * as writable once less than half of it does. An eighth of a round trip, 5 ms, or two segments. */
uint32_t path_unsent_max(const struct path *path);

/* How many bytes of frames a paced connection may send now, `unacked` of its bytes being with the
 * kernel and not acknowledged; at most `most`. 0: none before the socket is writable. */
size_t path_room(const struct path *path, uint64_t unacked, size_t most);

/* The least that a send is made for once the socket is writable. */
size_t path_room_least(const struct path *path, size_t most);

#endif

/* The listening sockets: one SO_REUSEPORT socket per share and configured address. They outlive
 * workers and generations, so that a queue of connections survives both.
 *
 * The kernel spreads new connections over all listening sockets of an address. While an address has
 * more sockets than the serving generation has shares (the next one is being staged, or shares were
 * retired), a classic BPF program steers new connections to the first `shares` ones. It counts
 * sockets by the order in which they began to listen; therefore they are opened by rising share and
 * closed by falling share. */
#ifndef HERALD_LISTEN_H
#define HERALD_LISTEN_H

#include "master/handoff/config.h"
#include "master/handoff/fault.h"
#include "master/handoff/segment.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define LISTEN_POINTS_MAX 64
#define LISTEN_SHARES_MAX (SEGMENT_SLOTS_MAX / 2)
#define LISTEN_RETIRE_MS 5000 /* half-open connections have that long to reach their queue */

/* One address. */
struct listen_point {
    struct sockaddr_storage wanted; /* as configured: what a later config is compared with */
    struct sockaddr_storage actual; /* the kernel chose a port for port 0 */
    socklen_t length;
    unsigned shares;    /* that the serving generation accepts from; 0: being staged */
    unsigned open;      /* sockets that listen, at least `shares` */
    unsigned settled;   /* of these, the ones that a promotion has made permanent */
    bool steered;       /* a program is attached */
    bool removed;       /* no config names it any more; it closes when its queue is empty */
    int64_t retired_ms; /* when `shares` last fell */
    int fds[LISTEN_SHARES_MAX];
};

struct listen_table {
    struct listen_point points[LISTEN_POINTS_MAX];
    unsigned count;
};

/* Whether every address of `config` can be bound by this process alone: nobody listens there.
 * Changes nothing. For a port that only the rest of a killed server has (HOLDER_GOES), waits until
 * it is free, `patience_ms` at most, and says so in `waited`. Returns 0 or -errno with `fault`. */
int listen_check(const struct config *config, unsigned patience_ms, bool *waited,
                 struct fault *fault);

/* Opens what `config` needs for `shares` shares and is not there yet: new addresses, further shares
 * of old ones, which get no connection before listen_promote. An address that is new is bound
 * without SO_REUSEPORT first, so that a second server on it is noticed. Returns 0, or -errno with
 * `fault` and the table as it was. */
int listen_stage(struct listen_table *table, const struct config *config, unsigned shares,
                 struct fault *fault);

/* Closes what was opened since the last promotion: its generation will not serve. */
void listen_abandon(struct listen_table *table);

/* The staged generation serves: its shares get the new connections; further shares are retired and
 * other addresses removed, to be closed by listen_retire. */
void listen_promote(struct listen_table *table, const struct config *config, unsigned shares,
                    int64_t now_ms);

/* Writes the sockets for a generation's handoff, [share * config->listens_count + listen], for
 * shares below `shares`; -1 where there is none. */
void listen_fill(const struct listen_table *table, const struct config *config, unsigned shares,
                 int *fds);

/* The most shares that any address has, retired ones included. */
unsigned listen_open_shares(const struct listen_table *table);

/* True once a retired share may be taken from its adopter: LISTEN_RETIRE_MS went by and no queue
 * of it holds a connection. */
bool listen_share_idle(const struct listen_table *table, unsigned share, int64_t now_ms);

/* Closes the share, which is the last open one of every address, everywhere: the sockets stop
 * listening in every process that inherited them. */
void listen_close_share(struct listen_table *table, unsigned share);

/* Closes the removed addresses whose queues are empty, or all of them when `force`. Returns how
 * many are left. */
unsigned listen_close_removed(struct listen_table *table, bool force);

/* No config is served any more: every address is removed, to be closed by listen_close_removed. */
void listen_remove_all(struct listen_table *table);

/* Stops listening on every address, in every process. */
void listen_finish(struct listen_table *table);

/* Connections that wait in the queue of a listening socket; 0 for one that does not listen. */
unsigned listen_queued(int fd);

/* "127.0.0.1:8080", "[::1]:8443" into `text`. */
#define LISTEN_TEXT_MAX 64
const char *listen_text(const struct sockaddr_storage *address, char *text);

/* The address where config->listens[index] listens, which tells its port; NULL before staging. */
const struct sockaddr_storage *listen_address(const struct listen_table *table,
                                              const struct config *config, size_t index);

#endif

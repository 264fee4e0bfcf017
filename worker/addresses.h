/* How many connections each client address has at this worker, and how fast it begins new ones.
 * Off unless the config sets limits.address_connections or limits.address_rate: behind one address
 * there may be many people. An IPv6 address counts by its /64, which one host may have whole.
 *
 * Connections of one address come to all workers alike (SO_REUSEPORT hashes the port too), so the
 * limits are of one worker. */
#ifndef HERALD_ADDRESSES_H
#define HERALD_ADDRESSES_H

#include "master/handoff/config.h"

#include <stdint.h>
#include <sys/socket.h>

struct addresses;

#define ADDRESS_UNCOUNTED (-1) /* more addresses are connected than are kept: this one is let in */

/* Returns 0 and *addresses, owned by the caller; NULL when no limit is set. -ENOMEM. `limits` and
 * `now_ms`, the loop's clock, are borrowed. */
int addresses_create(const struct config_limits *limits, const uint64_t *now_ms,
                     struct addresses **addresses);
void addresses_destroy(struct addresses *addresses); /* NULL is accepted */

/* A connection begins. Returns a place for addresses_leave, ADDRESS_UNCOUNTED, or -EBUSY when the
 * address has too many, or begins them too fast. */
int addresses_enter(struct addresses *addresses, const struct sockaddr_storage *peer);

/* The connection that got `place` has ended. */
void addresses_leave(struct addresses *addresses, int place);

#endif

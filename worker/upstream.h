/* The servers behind origins: whose turn it is, who rests after a failure. Pure: no I/O, no clock.
 */
#ifndef HERALD_UPSTREAM_H
#define HERALD_UPSTREAM_H

#include "master/handoff/config.h"
#include "master/handoff/segment.h"
#include "master/handoff/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UPSTREAM_REST_FACTOR_MAX 60 /* times origin.rest is the longest rest */

struct origin_handle;

/* One server, shared by all routes that name it with the same way of connecting. */
struct upstream {
    const struct config_server *server;
    const struct config_origin *origin; /* of the first such route */
    char *addresses;        /* literal, with commas between; "" when none is known; owned */
    unsigned lookups;       /* how often they have changed */
    unsigned active;        /* exchanges under way */
    unsigned failures;      /* since it last answered */
    uint64_t rest_began_ms; /* 0: it does not rest */
    uint64_t rest_until_ms;
    struct segment_server *told; /* where others read how it does; NULL: nowhere */
    struct origin_handle *idle; /* origin_handle.c's, and the next: to be used again */
    unsigned idle_count;
};

struct upstreams;

/* Those of all routes of `config`, which is borrowed. Returns NULL when memory runs out. */
struct upstreams *upstreams_create(const struct config *config);
void upstreams_destroy(struct upstreams *upstreams); /* NULL is accepted */

size_t upstreams_count(const struct upstreams *upstreams);
struct upstream *upstreams_at(struct upstreams *upstreams, size_t index);

/* From now on each tells in one of `told` (borrowed, `room` of them) how it does; the others are freed,
 * and servers beyond `room` tell nothing. */
void upstreams_tell(struct upstreams *upstreams, struct segment_server *told, size_t room);

/* The next server in turn for a request of `origin` that has not been at the places in `tried`: one
 * that is well, else the one whose rest began first. Returns its place among origin->servers with
 * *upstream; -EBUSY when each has origin->connections under way, -EHOSTUNREACH when no address is
 * known of any, -ENOENT when each was tried. */
int upstreams_choose(struct upstreams *upstreams, const struct config_origin *origin,
                     uint32_t tried, uint64_t now_ms, struct upstream **upstream);

/* It answered: it is well. */
void upstream_answered(struct upstream *upstream);

/* It failed. Returns whether it begins to rest, for rest_ms doubled with each failure before. */
bool upstream_failed(struct upstream *upstream, uint32_t rest_ms, uint64_t now_ms);

/* A host name has other addresses now. Returns 0 or -ENOMEM. */
int upstreams_rename(struct upstreams *upstreams, struct span name, struct span addresses);

#endif

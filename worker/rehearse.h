/* What this worker's code would decide for a request, found out by running it: the same frames,
 * facts, policies, look-ups, limits and claims as for a client's, in a process whose view of the
 * shared segment is its own, so that nothing of it happens. For `herald explain`. */
#ifndef HERALD_REHEARSE_H
#define HERALD_REHEARSE_H

#include "master/handoff/handoff.h"
#include "policy/request.h"

#include <stdbool.h>

#define REHEARSE_FIELDS_MAX 64
#define REHEARSE_BLOCK_MAX 16000 /* bytes of a request's header block */

struct rehearse_question {
    struct span method;
    bool secure; /* over TLS: https */
    struct span authority;
    struct span target; /* path and query, as on the wire */
    struct field fields[REHEARSE_FIELDS_MAX]; /* names in lower case */
    size_t fields_count;
    struct span client;     /* as in the log; empty: one that was never here */
    bool no_push;           /* SETTINGS_ENABLE_PUSH is 0 */
    uint32_t streams_max;   /* SETTINGS_MAX_CONCURRENT_STREAMS */
    uint32_t rtt_us;        /* of the connection */
    uint32_t cwnd_bytes;
    uint64_t bandwidth_bps; /* 0: not known */
};

/* The policies' version that is to decide. */
#define REHEARSE_ACTIVE 0 /* the one that the segment names for the client */

/* Answers each question by a line of JSON without line feed: the access log's members and what else
 * is known; {"error":...} when there is no answer. `told` borrows it. `handoff` has no listeners
 * (shares is 0), a slot that no worker has, the segment's descriptors, and `version` among its
 * versions. The segment is private
 * to this process from here on (segment_privatize). Returns 0 or -errno with `fault`. Called once
 * in a process, which exits afterwards. */
int worker_rehearse(const struct handoff *handoff, uint32_t version,
                    const struct rehearse_question *questions, size_t count,
                    void (*told)(void *context, struct span answer), void *context,
                    struct fault *fault);

#endif

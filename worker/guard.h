/* One connection's account of misbehaviour: frames that are cheap to send and dear to answer are
 * counted here against the config's limits. Pure arithmetic on the loop's clock. */
#ifndef HERALD_GUARD_H
#define HERALD_GUARD_H

#include "master/handoff/config.h"
#include "master/handoff/stats.h"
#include "worker/frames.h"

#include <stddef.h>
#include <stdint.h>

enum guard_event {
    GUARD_PING,
    GUARD_SETTINGS,
    GUARD_PRIORITY,
    GUARD_WINDOW_UPDATE,
    GUARD_EMPTY_DATA,
    GUARD_DATA,         /* with content: ends a run of empty ones */
    GUARD_SMALL_DATA,   /* with a few octets, which may be padding alone: the same, at a cost */
    GUARD_CLIENT_RESET,
    GUARD_PUSH_RESET,   /* of a promised stream: one for each promise, and a few */
    GUARD_SERVER_RESET, /* an error of the peer's made the server reset a stream */
    GUARD_PROMISE,      /* one was sent */
    GUARD_REQUEST,
    GUARD_HEADERS,      /* a header block begins */
    GUARD_CONTINUATION, /* and goes on */
    GUARD_UNKNOWN,      /* a frame of a type that nothing defines (RFC 9113 5.5) */
    GUARD_EVENTS
};

/* Tokens that come back with time: a burst of `burst`, then `rate` a second. */
struct guard_bucket {
    uint64_t milli_tokens;
    uint64_t filled_ms;
};

struct guard {
    const struct config_limits *limits;
    const uint64_t *now_ms;  /* the loop's clock */
    struct guard_bucket ping, settings, resets, server_resets, unknown;
    struct guard_bucket account; /* what all kinds together use up of their limits */
    uint64_t priorities, window_updates, requests;
    uint64_t promises, push_resets;
    uint64_t resets_total;   /* streams that the client reset before their response ended */
    uint64_t bytes_sent;     /* response content: earns WINDOW_UPDATEs */
    unsigned empty_data;     /* in a row */
    unsigned continuations;  /* of the header block under way */
    uint64_t block_fields, block_bytes; /* that it has decoded to so far */
    enum counter tripped;    /* the limit's counter, once one was passed */
    bool failed;
};

void guard_init(struct guard *guard, const struct config_limits *limits, const uint64_t *now_ms);

/* What a frame of this kind costs the peer's account, or GUARD_EVENTS for nothing. */
enum guard_event guard_event_of(const struct frame_header *header);

/* Counts one event. Returns true while the peer is within its limits; after the first false the
 * connection is to end with ENHANCE_YOUR_CALM, and `tripped` names the limit. */
bool guard_count(struct guard *guard, enum guard_event event);

/* A header block begins to be decoded: later than GUARD_HEADERS, which may run ahead by many. */
void guard_begin_fields(struct guard *guard);

/* Counts a decoded field of the header block under way, trailers and refused requests included:
 * `bytes` are its name's and value's, and 32 (RFC 9113 10.5.1). What is a little too much is
 * answered 431; a few octets that decode to many times the limits are no honest client's. Returns
 * as guard_count does. */
bool guard_count_field(struct guard *guard, size_t bytes);

#endif

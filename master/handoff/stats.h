/* Counters: one array per slot in the segment, each written by one worker, read by anyone. */
#ifndef HERALD_STATS_H
#define HERALD_STATS_H

#include <stdatomic.h>
#include <stdint.h>

enum counter {
#define COUNTER(name, prose) COUNTER_##name,
#include "master/handoff/counters.def"
#undef COUNTER
    COUNTERS
};

/* Skips by reason are counted by policy/reasons.def's order; this bounds them. */
#define STATS_REASONS_MAX 64

struct stats {
    _Atomic uint64_t counters[COUNTERS];
    _Atomic uint64_t verdicts[STATS_REASONS_MAX]; /* indexed by enum reason */
};

/* The counter's name as in counters.def, and what it counts. */
const char *stats_name(enum counter counter);
const char *stats_prose(enum counter counter);

/* Only the slot's own worker may call these: a plain load and store, no locked instruction. */
static inline void stats_add(struct stats *stats, enum counter counter, uint64_t n)
{
    _Atomic uint64_t *at = &stats->counters[counter];
    atomic_store_explicit(at, atomic_load_explicit(at, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static inline void stats_verdict(struct stats *stats, unsigned reason)
{
    _Atomic uint64_t *at = &stats->verdicts[reason];
    atomic_store_explicit(at, atomic_load_explicit(at, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

#endif

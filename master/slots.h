/* The segment's slots: which are free, and the push table's sweeps, without which none of them may
 * be given out again. */
#ifndef HERALD_SLOTS_H
#define HERALD_SLOTS_H

#include "master/handoff/segment.h"
#include "policy/push_upkeep.h"

#include <stdbool.h>
#include <stdint.h>

#define SLOTS_SWEEP_EVERY_MS (PUSH_SWEEP_PERIOD_S * 1000 / 2)

enum slot_use { SLOT_USE_FREE, SLOT_USE_TAKEN, SLOT_USE_UNSWEPT };

struct slots {
    struct segment *segment;
    struct push_table table;
    enum slot_use uses[SEGMENT_SLOTS_MAX];
    unsigned free;
    bool sweeping;
    int sweep_slot; /* whose claims are being removed; -1: the periodic sweep */
    struct push_sweep sweep;
    int64_t next_sweep_ms;     /* of the periodic one */
    struct push_census census; /* of the last sweep that was finished */
    int64_t census_ms;         /* when; 0: none yet */
};

/* Borrows `segment`, which outlives `slots`. Returns 0 or -EINVAL. */
int slots_init(struct slots *slots, struct segment *segment, int64_t now_ms);

/* A free slot with the worker's part of it reset, or -EAGAIN: all are taken or unswept. */
int slots_take(struct slots *slots);

/* The worker of `slot` was reaped: its claims will be swept, then the slot is free. */
void slots_give_back(struct slots *slots, int slot);

/* How many slots are free, or will be once they are swept. */
unsigned slots_available(const struct slots *slots);

/* Does a bounded piece of sweeping (about a millisecond). Returns when it is to be called next:
 * `now_ms` while there is more to do. */
int64_t slots_step(struct slots *slots, int64_t now_ms);

/* Counts the table's words now if that takes a few milliseconds only, else the last sweep's count
 * stands. */
void slots_count(struct slots *slots, int64_t now_ms);

/* Moves a loaded table to today's clock (push_table_rebase) without touching the parts that are
 * empty. Returns the number of entries kept. */
uint64_t slots_rebase(struct segment *segment, uint64_t saved_boottime_s, uint64_t saved_age_s);

#endif

/* What a push table needs now and then: sweeping, the move to another clock after a restart, and
 * the arithmetic of its size. */
#ifndef HERALD_PUSH_UPKEEP_H
#define HERALD_PUSH_UPKEEP_H

#include "policy/push_table.h"

/* What one sweep saw: words by state, after its own removals. Other processes go on meanwhile, so
 * it is exact only for a table at rest. */
struct push_census {
    uint64_t buckets;
    uint64_t full_buckets; /* all slots taken by live words */
    uint64_t tentative;
    uint64_t claimed;
    uint64_t held;
    uint64_t declined;
    uint64_t removed; /* dead words, and claims of the dead owner */
};

/* A walk over the table, a few buckets at a time. */
struct push_sweep {
    uint64_t next;  /* bucket */
    int dead_owner; /* or PUSH_TABLE_NO_OWNER */
    struct push_census census;
};

/* Starts a walk that removes dead words and, unless `dead_owner` is PUSH_TABLE_NO_OWNER, every
 * claim of that owner, whose process must have been reaped. */
void push_sweep_begin(struct push_sweep *sweep, int dead_owner);

/* Walks up to `buckets_max` buckets further. Returns true once the whole table was walked; `census`
 * is complete then. The table may be in use, and several sweeps may run at once. */
bool push_sweep_step(struct push_sweep *sweep, struct push_table *table, uint64_t buckets_max);

/* push_sweep_begin and every step, for a table small enough or a caller with nothing else to do. */
struct push_census push_sweep_all(struct push_table *table, int dead_owner);

/* Moves a table that was saved when its clock stood at `saved_boottime_s`, `saved_age_s` of
 * wall-clock time ago, to the clock of today: beliefs keep the time they had left, less the age;
 * those that expired, claims, and words that no herald writes are dropped. To be called once, after
 * loading and before any other process sees the table. Returns the number of entries kept. */
uint64_t push_table_rebase(struct push_table *table, uint64_t saved_boottime_s,
                           uint64_t saved_age_s);

/* The share of beliefs that a table holding `per_bucket` live ones in the mean has lost to full
 * buckets: at 6 about 5 %, at 3 about 0.2 %. */
double push_capacity_lost(double per_bucket);

/* How many live beliefs fit into `bytes` of table when at most the share `lost_max` (0 to 1) may be
 * lost to full buckets. */
uint64_t push_capacity(uint64_t bytes, double lost_max);

/* The chance that a look-up of an absent key meets a foreign word of the same tag and one push is
 * skipped, in a table of `bytes` with `entries` live ones. */
double push_capacity_false_skip(uint64_t bytes, uint64_t entries);

#endif

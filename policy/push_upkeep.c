#include "policy/push_upkeep.h"

#include <assert.h>
#include <math.h>
#include <string.h>

void push_sweep_begin(struct push_sweep *sweep, int dead_owner)
{
    assert(dead_owner >= PUSH_TABLE_NO_OWNER && dead_owner <= PUSH_OWNER_MAX);
    *sweep = (struct push_sweep){.dead_owner = dead_owner};
}

static bool removable(uint64_t word, int dead_owner, struct push_ticks now)
{
    return !push_word_live(word, now) ||
           (push_word_in_flight(word) && push_word_owner(word) == dead_owner);
}

static void count(struct push_census *census, enum push_word_state state)
{
    switch (state) {
    case PUSH_WORD_TENTATIVE:
        census->tentative++;
        break;
    case PUSH_WORD_CLAIMED:
        census->claimed++;
        break;
    case PUSH_WORD_HELD:
        census->held++;
        break;
    case PUSH_WORD_DECLINED:
        census->declined++;
        break;
    }
}

/* A swap that fails met a change by a living process, which leaves no word of a dead owner and no
 * dead word; so one try is enough. */
static void sweep_bucket(struct push_sweep *sweep, struct push_bucket *bucket,
                         struct push_ticks now)
{
    unsigned live = 0;
    for (unsigned i = 0; i < PUSH_BUCKET_SLOTS; i++) {
        uint64_t word = PUSH_WORD_LOAD(&bucket->words[i], memory_order_relaxed);
        if (word == 0)
            continue;
        if (!removable(word, sweep->dead_owner, now)) {
            count(&sweep->census, push_word_state(word));
            live++;
        } else if (PUSH_WORD_SWAP(&bucket->words[i], word, 0)) {
            sweep->census.removed++;
        }
    }
    sweep->census.buckets++;
    sweep->census.full_buckets += live == PUSH_BUCKET_SLOTS;
}

bool push_sweep_step(struct push_sweep *sweep, struct push_table *table, uint64_t buckets_max)
{
    struct push_ticks now = push_table_ticks(table);
    uint64_t left = table->mask + 1 - sweep->next;
    uint64_t end = sweep->next + (buckets_max < left ? buckets_max : left);
    for (; sweep->next < end; sweep->next++)
        sweep_bucket(sweep, &table->buckets[sweep->next], now);
    return sweep->next > table->mask;
}

struct push_census push_sweep_all(struct push_table *table, int dead_owner)
{
    struct push_sweep sweep;
    push_sweep_begin(&sweep, dead_owner);
    while (!push_sweep_step(&sweep, table, 4096))
        ;
    return sweep.census;
}

/* The word as it reads on the new clock, or 0. `passed` coarse ticks went by since it was saved. */
static uint64_t rebased(uint64_t word, struct push_ticks saved, struct push_ticks now,
                        uint64_t passed)
{
    uint16_t left;
    if (word == 0 || push_word_tag(word) == 0 || push_word_in_flight(word) ||
        !push_word_live(word, saved))
        return 0;
    left = push_word_coarse_left(word, saved);
    if (left <= passed)
        return 0;
    return (word & ~UINT64_C(0xffff)) | (uint16_t)(now.coarse + left - passed);
}

/* Old and new clock differ by a multiple of a tick only by chance. The shift is rounded to the
 * nearest tick, so that restarts within one boot, whose shift is a few milliseconds of clock
 * discipline, move nothing, however many there are. */
uint64_t push_table_rebase(struct push_table *table, uint64_t saved_boottime_s,
                           uint64_t saved_age_s)
{
    const int64_t tick_s = (int64_t)(PUSH_COARSE_TICK_MS / 1000);
    uint64_t now_s = table->clock_ms(table->clock_context) / 1000;
    struct push_ticks now = {0, now_s / (uint64_t)tick_s};
    struct push_ticks saved = {0, saved_boottime_s / (uint64_t)tick_s};
    int64_t shift_s = (int64_t)now_s - (int64_t)saved_boottime_s - (int64_t)saved_age_s;
    int64_t shift = (shift_s + (shift_s < 0 ? -tick_s / 2 : tick_s / 2)) / tick_s;
    int64_t passed = (int64_t)(now.coarse - saved.coarse) - shift;
    uint64_t kept = 0;
    for (uint64_t at = 0; at <= table->mask; at++) {
        for (unsigned i = 0; i < PUSH_BUCKET_SLOTS; i++) {
            _Atomic uint64_t *slot = &table->buckets[at].words[i];
            uint64_t word = atomic_load_explicit(slot, memory_order_relaxed);
            word = rebased(word, saved, now, passed > 0 ? (uint64_t)passed : 0);
            atomic_store_explicit(slot, word, memory_order_relaxed);
            kept += word != 0;
        }
    }
    return kept;
}

/* Keys fall into buckets as a Poisson process; what a bucket gets beyond its slots is lost. */
double push_capacity_lost(double per_bucket)
{
    double chance = exp(-per_bucket), kept = 0, below = 0;
    if (per_bucket <= 0)
        return 0;
    for (unsigned n = 0; n < PUSH_BUCKET_SLOTS; n++) {
        kept += n * chance;
        below += chance;
        chance *= per_bucket / (n + 1);
    }
    kept += PUSH_BUCKET_SLOTS * (1 - below);
    return 1 - kept / per_bucket;
}

uint64_t push_capacity(uint64_t bytes, double lost_max)
{
    double low = 0, high = 1e6;
    uint64_t buckets = bytes / sizeof(struct push_bucket);
    assert(lost_max >= 0 && lost_max < 1);
    for (unsigned i = 0; i < 64; i++) {
        double middle = (low + high) / 2;
        if (push_capacity_lost(middle) <= lost_max)
            low = middle;
        else
            high = middle;
    }
    if (low > PUSH_BUCKET_SLOTS)
        low = PUSH_BUCKET_SLOTS;
    return (uint64_t)(low * (double)buckets);
}

double push_capacity_false_skip(uint64_t bytes, uint64_t entries)
{
    double buckets = (double)(bytes / sizeof(struct push_bucket));
    return (double)entries / buckets / (double)((UINT64_C(1) << PUSH_TAG_BITS) - 1);
}

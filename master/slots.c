#include "master/slots.h"

#include "policy/shared_dict.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STEP_BUCKETS 32768u                    /* 2 MiB */
#define COUNT_AT_ONCE_BYTES (32 * 1024 * 1024) /* of the segment that are in memory */
#define REBASE_BYTES 65536u

int slots_init(struct slots *slots, struct segment *segment, int64_t now_ms)
{
    memset(slots, 0, sizeof(*slots));
    slots->segment = segment;
    slots->free = SEGMENT_SLOTS_MAX;
    slots->sweep_slot = -1;
    slots->next_sweep_ms = now_ms + SLOTS_SWEEP_EVERY_MS;
    return push_table_attach(&slots->table, segment->pushes, segment->header->pushes_bytes,
                             PUSH_TABLE_NO_OWNER);
}

int slots_take(struct slots *slots)
{
    for (int i = 0; i < SEGMENT_SLOTS_MAX; i++) {
        struct segment_slot *slot = &slots->segment->slots[i];
        if (slots->uses[i] != SLOT_USE_FREE)
            continue;
        slots->uses[i] = SLOT_USE_TAKEN;
        slots->free--;
        atomic_store(&slot->heartbeat, 0);
        atomic_store(&slot->connections, 0);
        atomic_store(&slot->in_policy, 0);
        atomic_fetch_add(&slot->incarnation, 1);
        return i;
    }
    return -EAGAIN;
}

/* What a worker that is dead had locked of the dictionaries is open again. */
static void open_shared(struct segment *segment, int slot)
{
    struct shared_dict dict;
    for (unsigned i = 0; i < SEGMENT_SHARED_MAX && segment->shared[i]; i++)
        if (shared_dict_attach(&dict, segment->shared[i], segment->header->shared_bytes[i],
                               (uint32_t)slot + 1, segment->secrets->hash_key) == 0)
            shared_dict_release(&dict, (uint32_t)slot + 1);
}

void slots_give_back(struct slots *slots, int slot)
{
    struct segment_slot *page = &slots->segment->slots[slot];
    assert(slots->uses[slot] == SLOT_USE_TAKEN);
    slots->uses[slot] = SLOT_USE_UNSWEPT;
    atomic_store(&page->state, SLOT_DEAD);
    atomic_store(&page->pid, 0);
    atomic_store(&page->connections, 0);
    atomic_store(&page->in_policy, 0);
    open_shared(slots->segment, slot);
}

unsigned slots_available(const struct slots *slots)
{
    unsigned taken = 0;
    for (int i = 0; i < SEGMENT_SLOTS_MAX; i++)
        taken += slots->uses[i] == SLOT_USE_TAKEN;
    return SEGMENT_SLOTS_MAX - taken;
}

static int unswept(const struct slots *slots)
{
    for (int i = 0; i < SEGMENT_SLOTS_MAX; i++)
        if (slots->uses[i] == SLOT_USE_UNSWEPT)
            return i;
    return -1;
}

static void sweep_begin(struct slots *slots, int slot)
{
    push_sweep_begin(&slots->sweep, slot < 0 ? PUSH_TABLE_NO_OWNER : slot + 1);
    slots->sweeping = true;
    slots->sweep_slot = slot;
}

/* Goes on behind what was never written: looking at it would fill it with memory. */
static void sweep_skip_hole(struct slots *slots)
{
    const struct segment *segment = slots->segment;
    uint64_t base = segment->header->pushes_offset;
    off_t at = (off_t)(base + slots->sweep.next * sizeof(struct push_bucket));
    off_t data = lseek(segment->fd, at, SEEK_DATA);
    if (data > at)
        slots->sweep.next = ((uint64_t)data - base) / sizeof(struct push_bucket);
    else if (data < 0 && errno == ENXIO)
        slots->sweep.next = slots->table.mask + 1;
}

static void sweep_step(struct slots *slots, int64_t now_ms)
{
    sweep_skip_hole(slots);
    if (!push_sweep_step(&slots->sweep, &slots->table, STEP_BUCKETS))
        return;
    slots->sweeping = false;
    slots->census = slots->sweep.census;
    slots->census.buckets = slots->table.mask + 1;
    slots->census_ms = now_ms;
    if (slots->sweep_slot >= 0) {
        slots->uses[slots->sweep_slot] = SLOT_USE_FREE;
        slots->free++;
        atomic_store(&slots->segment->slots[slots->sweep_slot].state, SLOT_EMPTY);
    } else {
        slots->next_sweep_ms = now_ms + SLOTS_SWEEP_EVERY_MS;
    }
}

int64_t slots_step(struct slots *slots, int64_t now_ms)
{
    if (!slots->sweeping) {
        int slot = unswept(slots);
        if (slot >= 0 || now_ms >= slots->next_sweep_ms)
            sweep_begin(slots, slot);
    }
    if (slots->sweeping)
        sweep_step(slots, now_ms);
    return slots->sweeping || unswept(slots) >= 0 ? now_ms : slots->next_sweep_ms;
}

void slots_count(struct slots *slots, int64_t now_ms)
{
    struct stat st;
    if (fstat(slots->segment->fd, &st) < 0 || st.st_blocks * 512 > COUNT_AT_ONCE_BYTES)
        return;
    /* Deaths come first, then one walk of its own, each of a bounded number of steps. */
    while (slots->sweeping || unswept(slots) >= 0)
        slots_step(slots, now_ms);
    sweep_begin(slots, -1);
    while (slots->sweeping)
        sweep_step(slots, now_ms);
}

uint64_t slots_rebase(struct segment *segment, uint64_t saved_boottime_s, uint64_t saved_age_s)
{
    uint64_t base = segment->header->pushes_offset;
    uint64_t length = segment->header->pushes_bytes;
    uint64_t kept = 0;
    for (uint64_t at = 0; at < length; at += REBASE_BYTES) {
        struct push_table part;
        off_t data = lseek(segment->fd, (off_t)(base + at), SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            break;
        if (data > 0 && (uint64_t)data - base >= length)
            break;
        if (data > 0)
            at = ((uint64_t)data - base) / REBASE_BYTES * REBASE_BYTES;
        if (push_table_attach(&part, (char *)segment->pushes + at, REBASE_BYTES,
                              PUSH_TABLE_NO_OWNER) == 0)
            kept += push_table_rebase(&part, saved_boottime_s, saved_age_s);
    }
    return kept;
}

#include "master/slots.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static struct segment segment;
static struct slots slots;

static int setup(void **state)
{
    struct fault fault;
    (void)state;
    if (segment_create(&segment, UINT64_C(4) << 20, &fault) < 0)
        return -1;
    return slots_init(&slots, &segment, 0);
}

static int teardown(void **state)
{
    (void)state;
    segment_finish(&segment);
    return 0;
}

static struct push_key key_of(uint64_t n)
{
    uint64_t mixed = (n + 1) * UINT64_C(0x9e3779b97f4a7c15);
    return (struct push_key){.bucket_hash = mixed >> 20, .tag = n + 1};
}

static void attach(struct push_table *table, int owner)
{
    assert_int_equal(push_table_attach(table, segment.pushes, segment.header->pushes_bytes, owner),
                     0);
}

static void sweep_until_done(int64_t now_ms)
{
    for (int i = 0; i < 1000 && slots_step(&slots, now_ms) == now_ms; i++)
        ;
}

static void a_slot_is_given_out_once(void **state)
{
    bool seen[SEGMENT_SLOTS_MAX] = {false};
    (void)state;
    for (int i = 0; i < SEGMENT_SLOTS_MAX; i++) {
        int slot = slots_take(&slots);
        assert_true(slot >= 0 && slot < SEGMENT_SLOTS_MAX);
        assert_false(seen[slot]);
        seen[slot] = true;
    }
    assert_int_equal(slots_take(&slots), -EAGAIN);
    assert_int_equal(slots_available(&slots), 0);
}

static void a_slot_comes_back_only_after_its_claims_were_swept(void **state)
{
    struct push_table worker;
    struct push_table other;
    struct push_token token;
    (void)state;
    for (int i = 0; i < SEGMENT_SLOTS_MAX; i++)
        slots_take(&slots);
    attach(&worker, 5 + 1);
    attach(&other, 6 + 1);
    for (uint64_t n = 0; n < 100; n++) {
        assert_int_equal(push_table_claim(&worker, key_of(n), 1, PUSH_KNOWN, &token), PUSH_CLAIMED);
        assert_int_equal(push_table_claim(&other, key_of(n + 100), 1, PUSH_KNOWN, &token),
                         PUSH_CLAIMED);
    }
    slots_give_back(&slots, 5);
    assert_int_equal(slots_take(&slots), -EAGAIN);
    assert_int_equal(slots_available(&slots), 1);
    sweep_until_done(10);
    assert_int_equal(slots_take(&slots), 5);
    for (uint64_t n = 0; n < 100; n++) {
        assert_int_equal(push_table_peek(&other, key_of(n), 1), PUSH_ABSENT);
        assert_int_equal(push_table_peek(&worker, key_of(n + 100), 1), PUSH_ELSEWHERE);
    }
    assert_int_equal(slots.census.claimed, 100);
}

static void several_deaths_at_once_are_all_swept(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(slots_take(&slots), i);
    for (int i = 0; i < 4; i++)
        slots_give_back(&slots, i);
    sweep_until_done(10);
    assert_int_equal(slots.free, SEGMENT_SLOTS_MAX);
    assert_int_equal(slots_take(&slots), 0);
}

static void the_next_worker_of_a_slot_finds_it_reset(void **state)
{
    (void)state;
    int slot = slots_take(&slots);
    struct segment_slot *page = &segment.slots[slot];
    uint32_t incarnation = atomic_load(&page->incarnation);
    atomic_store(&page->connections, 7);
    atomic_store(&page->in_policy, 1);
    atomic_store(&page->heartbeat, 99);
    atomic_store(&page->stats.counters[COUNTER_requests], 1234);
    slots_give_back(&slots, slot);
    assert_int_equal(atomic_load(&page->state), SLOT_DEAD);
    assert_int_equal(atomic_load(&page->connections), 0);
    sweep_until_done(10);
    assert_int_equal(slots_take(&slots), slot);
    assert_int_equal(atomic_load(&page->incarnation), incarnation + 1);
    assert_int_equal(atomic_load(&page->in_policy), 0);
    assert_int_equal(atomic_load(&page->heartbeat), 0);
    assert_int_equal(atomic_load(&page->stats.counters[COUNTER_requests]), 1234);
}

static void the_whole_table_is_swept_within_the_bound(void **state)
{
    (void)state;
    int64_t next = slots_step(&slots, 0);
    assert_true(next > 0 && next <= PUSH_SWEEP_PERIOD_S * 1000);
    assert_int_equal(slots.census_ms, 0);
    sweep_until_done(next);
    assert_int_equal(slots.census_ms, next);
    assert_true(slots_step(&slots, next) > next);
}

static void sweeping_an_empty_table_takes_no_memory(void **state)
{
    struct stat before;
    struct stat after;
    (void)state;
    assert_int_equal(fstat(segment.fd, &before), 0);
    slots_give_back(&slots, slots_take(&slots));
    sweep_until_done(10);
    slots_count(&slots, 20);
    assert_int_equal(fstat(segment.fd, &after), 0);
    assert_true(after.st_blocks - before.st_blocks < 64); /* 32 KiB: the slot's own pages */
    assert_int_equal(slots.census.buckets, (UINT64_C(4) << 20) / 64);
}

static void a_count_is_of_now(void **state)
{
    struct push_table worker;
    (void)state;
    attach(&worker, 1);
    for (uint64_t n = 0; n < 500; n++)
        assert_true(push_table_note(&worker, key_of(n), 1, PUSH_HELD, 3600, PUSH_KNOWN));
    slots_count(&slots, 30);
    assert_int_equal(slots.census.held, 500);
    assert_int_equal(slots.census_ms, 30);
}

static void a_rebased_table_keeps_what_it_held_and_stays_thin(void **state)
{
    struct push_table worker;
    struct stat before;
    struct stat after;
    (void)state;
    attach(&worker, 1);
    for (uint64_t n = 0; n < 50; n++)
        assert_true(push_table_note(&worker, key_of(n), 1, PUSH_HELD, 86400, PUSH_KNOWN));
    uint64_t now_s = push_clock_boottime(NULL) / 1000;
    assert_int_equal(fstat(segment.fd, &before), 0);
    assert_int_equal(slots_rebase(&segment, now_s, 0), 50);
    for (uint64_t n = 0; n < 50; n++)
        assert_int_equal(push_table_peek(&worker, key_of(n), 1), PUSH_HELD);
    assert_int_equal(fstat(segment.fd, &after), 0);
    assert_true(after.st_blocks <= before.st_blocks + 50 * 128);
}

int main(void)
{
#define WITH_SLOTS(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_SLOTS(a_slot_is_given_out_once),
        WITH_SLOTS(a_slot_comes_back_only_after_its_claims_were_swept),
        WITH_SLOTS(several_deaths_at_once_are_all_swept),
        WITH_SLOTS(the_next_worker_of_a_slot_finds_it_reset),
        WITH_SLOTS(the_whole_table_is_swept_within_the_bound),
        WITH_SLOTS(sweeping_an_empty_table_takes_no_memory),
        WITH_SLOTS(a_count_is_of_now),
        WITH_SLOTS(a_rebased_table_keeps_what_it_held_and_stays_thin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

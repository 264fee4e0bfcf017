#include "policy/push_upkeep.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BUCKETS 64
#define DAY 86400u

static struct push_bucket memory[BUCKETS];
static uint64_t now_ms;

static uint64_t fake_clock(void *context)
{
    return *(uint64_t *)context;
}

static struct push_table attach(int owner)
{
    struct push_table table;
    assert_int_equal(push_table_attach(&table, memory, sizeof memory, owner), 0);
    table.clock_ms = fake_clock;
    table.clock_context = &now_ms;
    return table;
}

static int setup(void **state)
{
    (void)state;
    memset(memory, 0, sizeof memory);
    now_ms = 1000 * PUSH_COARSE_TICK_MS;
    return 0;
}

static struct push_key key(unsigned n)
{
    return (struct push_key){n, 1000 + n};
}

static void hold(struct push_table *table, unsigned n, uint32_t life_s)
{
    assert_true(push_table_note(table, key(n), 7, PUSH_HELD, life_s, PUSH_KNOWN));
}

static void the_claims_of_a_dead_owner_are_swept_and_no_others(void **state)
{
    struct push_table dead = attach(4), alive = attach(5), master = attach(PUSH_TABLE_NO_OWNER);
    struct push_token token, mine;
    struct push_census census;
    (void)state;
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(push_table_claim(&dead, key(i), 7, PUSH_KNOWN, &token), PUSH_CLAIMED);
    memory[3].words[7] = push_word_make(9, 1, PUSH_WORD_TENTATIVE, 4u << 8 | 0xe9);
    assert_int_equal(push_table_claim(&alive, key(200), 7, PUSH_KNOWN, &mine), PUSH_CLAIMED);
    hold(&alive, 201, DAY);
    census = push_sweep_all(&master, 4);
    assert_int_equal(census.removed, 101);
    assert_int_equal(census.claimed, 1);
    assert_int_equal(census.held, 1);
    assert_int_equal(push_table_peek(&master, key(50), 7), PUSH_ABSENT);
    assert_true(push_table_token_live(&alive, &mine));
    assert_true(push_table_settle(&alive, &mine, PUSH_HELD, DAY));
}

static void a_sweep_removes_what_expired(void **state)
{
    struct push_table table = attach(0);
    struct push_token token;
    struct push_census census;
    (void)state;
    hold(&table, 1, 256);
    hold(&table, 2, 512);
    assert_int_equal(push_table_claim(&table, key(3), 7, PUSH_KNOWN, &token), PUSH_CLAIMED);
    now_ms += PUSH_COARSE_TICK_MS;
    census = push_sweep_all(&table, PUSH_TABLE_NO_OWNER);
    assert_int_equal(census.removed, 2);
    assert_int_equal(census.held, 1);
    assert_int_equal(push_table_peek(&table, key(2), 7), PUSH_HELD);
}

/* Sweeping at the bound keeps every word within its window through several wraps of both units. */
static void nothing_comes_back_to_life_when_sweeps_keep_their_period(void **state)
{
    struct push_table table = attach(0);
    struct push_token token;
    (void)state;
    hold(&table, 1, 100);
    assert_int_equal(push_table_claim(&table, key(2), 7, PUSH_KNOWN, &token), PUSH_CLAIMED);
    for (unsigned i = 0; i < 500000; i++) {
        now_ms += PUSH_SWEEP_PERIOD_S * 1000;
        push_sweep_all(&table, PUSH_TABLE_NO_OWNER);
        if (i >= 2)
            assert_int_equal(push_table_peek(&table, key(1), 7), PUSH_ABSENT);
        assert_int_equal(push_table_peek(&table, key(2), 7), PUSH_ABSENT);
    }
}

/* That the bound is needed: past it, a dead claim reads as live. */
static void without_sweeps_a_lapsed_claim_seems_live_after_128_ticks(void **state)
{
    struct push_table table = attach(0);
    struct push_token token;
    (void)state;
    assert_int_equal(push_table_claim(&table, key(2), 7, PUSH_KNOWN, &token), PUSH_CLAIMED);
    now_ms += (PUSH_CLAIM_TICKS + 128) * PUSH_FINE_TICK_MS;
    assert_int_equal(push_table_peek(&table, key(2), 7), PUSH_ABSENT);
    now_ms += PUSH_FINE_TICK_MS;
    assert_int_equal(push_table_peek(&table, key(2), 7), PUSH_ELSEWHERE);
    assert_true(PUSH_SWEEP_PERIOD_S * 1000 < 128 * PUSH_FINE_TICK_MS);
}

static void a_sweep_walks_in_steps_and_counts_by_state(void **state)
{
    struct push_table table = attach(0);
    struct push_token token;
    struct push_sweep sweep;
    unsigned steps = 1;
    (void)state;
    for (unsigned i = 0; i < 8; i++)
        hold(&table, 5 + i * BUCKETS, DAY);
    assert_true(push_table_note(&table, key(6), 7, PUSH_DECLINED, DAY, PUSH_KNOWN));
    assert_int_equal(push_table_claim(&table, key(7), 7, PUSH_KNOWN, &token), PUSH_CLAIMED);
    push_sweep_begin(&sweep, PUSH_TABLE_NO_OWNER);
    while (!push_sweep_step(&sweep, &table, 10))
        steps++;
    assert_int_equal(steps, (BUCKETS + 9) / 10);
    assert_int_equal(sweep.census.buckets, BUCKETS);
    assert_int_equal(sweep.census.full_buckets, 1);
    assert_int_equal(sweep.census.held, 8);
    assert_int_equal(sweep.census.declined, 1);
    assert_int_equal(sweep.census.claimed, 1);
    assert_int_equal(sweep.census.removed, 0);
}

static void a_saved_table_keeps_the_time_its_beliefs_had_left(void **state)
{
    struct push_table table = attach(0);
    (void)state;
    hold(&table, 1, 100 * 256);
    hold(&table, 2, 10 * 256);
    /* Rebooted: 20 ticks of wall-clock time later the new clock stands at 3 ticks. */
    uint64_t saved_s = now_ms / 1000;
    now_ms = 3 * PUSH_COARSE_TICK_MS;
    assert_int_equal(push_table_rebase(&table, saved_s, 20 * 256), 1);
    assert_int_equal(push_table_peek(&table, key(2), 7), PUSH_ABSENT);
    now_ms += 79 * PUSH_COARSE_TICK_MS;
    assert_int_equal(push_table_peek(&table, key(1), 7), PUSH_HELD);
    now_ms += PUSH_COARSE_TICK_MS;
    assert_int_equal(push_table_peek(&table, key(1), 7), PUSH_ABSENT);
}

/* Against full-width arithmetic, for clocks and ages of every phase within a tick: rounding up when
 * noted adds less than a tick, moving to the new clock adds or takes half of one. */
static void rebasing_errs_by_at_most_half_a_tick(void **state)
{
    struct push_table table = attach(0);
    (void)state;
    srand(1);
    for (unsigned i = 0; i < 100000; i++) {
        uint64_t saved_s = (uint64_t)rand() % 40000000, new_s = (uint64_t)rand() % 40000000;
        uint64_t age_s = (uint64_t)rand() % 9000000, life_s = 1 + (uint64_t)rand() % 12000000;
        int64_t ends_s, due_s = (int64_t)(new_s + life_s) - (int64_t)age_s;
        memset(memory, 0, sizeof memory);
        now_ms = saved_s * 1000;
        hold(&table, 1, (uint32_t)life_s);
        now_ms = new_s * 1000;
        if (push_table_rebase(&table, saved_s, age_s) == 0) {
            assert_true(life_s < age_s + 256);
            continue;
        }
        assert_true(push_word_live(memory[1].words[0], push_table_ticks(&table)));
        ends_s = push_word_coarse_left(memory[1].words[0], push_table_ticks(&table));
        ends_s = (ends_s + (int64_t)push_table_ticks(&table).coarse) * 256;
        assert_true(ends_s - due_s >= -128 && ends_s - due_s <= 256 + 128);
    }
}

static void restarts_within_one_boot_move_no_expiry(void **state)
{
    struct push_table table = attach(0);
    uint64_t word;
    (void)state;
    now_ms += 255 * 1000;
    hold(&table, 1, 30 * DAY);
    word = memory[1].words[0];
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t saved_s = now_ms / 1000;
        now_ms += 300 * 1000;
        assert_int_equal(push_table_rebase(&table, saved_s, i % 2 ? 299 : 301), 1);
        assert_int_equal(memory[1].words[0], word);
    }
}

static void rebasing_drops_claims_dead_words_and_junk(void **state)
{
    struct push_table table = attach(0);
    struct push_token token;
    (void)state;
    hold(&table, 1, DAY);
    hold(&table, 2, 256);
    assert_int_equal(push_table_claim(&table, key(3), 7, PUSH_KNOWN, &token), PUSH_CLAIMED);
    memory[9].words[0] = push_word_make(0, 7, PUSH_WORD_HELD, 1100);
    memory[9].words[1] = push_word_make(5, 7, PUSH_WORD_TENTATIVE, 0xff);
    now_ms += 2 * PUSH_COARSE_TICK_MS;
    assert_int_equal(push_table_rebase(&table, now_ms / 1000, 0), 1);
    assert_int_equal(push_table_peek(&table, key(1), 7), PUSH_HELD);
    assert_int_equal(push_sweep_all(&table, PUSH_TABLE_NO_OWNER).held, 1);
    for (unsigned i = 0; i < PUSH_BUCKET_SLOTS; i++)
        assert_int_equal(memory[9].words[i], 0);
}

static void an_age_beyond_every_life_empties_the_table(void **state)
{
    struct push_table table = attach(0);
    (void)state;
    for (unsigned i = 0; i < 100; i++)
        hold(&table, i, PUSH_LIFE_S_MAX);
    assert_int_equal(push_table_rebase(&table, now_ms / 1000, PUSH_LIFE_S_MAX + 256), 0);
}

static void capacity_agrees_with_the_documented_losses(void **state)
{
    const uint64_t gib = UINT64_C(1) << 30;
    (void)state;
    assert_true(fabs(push_capacity_lost(1e8 / 16777216.0) - 0.05) < 0.01);
    assert_true(fabs(push_capacity_lost(1e8 / 33554432.0) - 0.0017) < 0.0002);
    assert_true(push_capacity_lost(0) == 0);
    assert_true(push_capacity_lost(80) > 0.89);
    assert_in_range(push_capacity(gib, 0.05), 95000000, 105000000);
    assert_in_range(push_capacity(gib, 0.9), gib / 8, gib / 8);
    assert_true(fabs(push_capacity_false_skip(gib, 100000000) - 3.47e-10) < 1e-12);
}

/* Keys thrown at buckets of eight; what does not fit is what the formula says. */
static void losses_are_what_random_keys_suffer(void **state)
{
    enum { THROWN = 6 * 16384 };
    static uint8_t filled[16384];
    unsigned lost = 0;
    (void)state;
    srand(2);
    for (unsigned i = 0; i < THROWN; i++) {
        uint8_t *bucket = &filled[(unsigned)rand() % 16384];
        if (*bucket == PUSH_BUCKET_SLOTS)
            lost++;
        else
            ++*bucket;
    }
    assert_true(fabs((double)lost / THROWN - push_capacity_lost(6)) < 0.004);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_claims_of_a_dead_owner_are_swept_and_no_others),
        TEST(a_sweep_removes_what_expired),
        TEST(nothing_comes_back_to_life_when_sweeps_keep_their_period),
        TEST(without_sweeps_a_lapsed_claim_seems_live_after_128_ticks),
        TEST(a_sweep_walks_in_steps_and_counts_by_state),
        TEST(a_saved_table_keeps_the_time_its_beliefs_had_left),
        TEST(rebasing_errs_by_at_most_half_a_tick),
        TEST(restarts_within_one_boot_move_no_expiry),
        TEST(rebasing_drops_claims_dead_words_and_junk),
        TEST(an_age_beyond_every_life_empties_the_table),
        TEST(capacity_agrees_with_the_documented_losses),
        TEST(losses_are_what_random_keys_suffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

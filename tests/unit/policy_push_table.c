#include "policy/push_table.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BUCKETS 4
#define DAY 86400u

/* Both tick counters wrap at this instant: 2^16 coarse ticks, and a multiple of 2^8 fine ones. */
#define WRAP_MS (PUSH_COARSE_TICK_MS << 16)

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

/* All keys of the tests share bucket 1. */
static struct push_key key(unsigned n)
{
    return (struct push_key){UINT64_C(0xabcdef0000000001), 1000 + n};
}

static void wait_fine(uint64_t ticks)
{
    now_ms += ticks * PUSH_FINE_TICK_MS;
}

static void wait_coarse(uint64_t ticks)
{
    now_ms += ticks * PUSH_COARSE_TICK_MS;
}

static enum push_answer claim(struct push_table *table, unsigned n, uint16_t validator,
                              struct push_token *token)
{
    return push_table_claim(table, key(n), validator, PUSH_KNOWN, token);
}

static void hold(struct push_table *table, unsigned n, uint16_t validator, uint32_t life_s)
{
    assert_true(push_table_note(table, key(n), validator, PUSH_HELD, life_s, PUSH_KNOWN));
}

static uint64_t word_of(unsigned n)
{
    for (unsigned i = 0; i < PUSH_BUCKET_SLOTS; i++)
        if (push_word_tag(memory[1].words[i]) == key(n).tag)
            return memory[1].words[i];
    return 0;
}

static void memory_or_an_owner_out_of_range_is_refused(void **state)
{
    struct push_table table;
    (void)state;
    assert_int_equal(push_table_attach(&table, NULL, 64, 0), -EINVAL);
    assert_int_equal(push_table_attach(&table, (char *)memory + 8, 64, 0), -EINVAL);
    assert_int_equal(push_table_attach(&table, memory, 32, 0), -EINVAL);
    assert_int_equal(push_table_attach(&table, memory, 192, 0), -EINVAL);
    assert_int_equal(push_table_attach(&table, memory, 64, PUSH_OWNER_MAX + 1), -EINVAL);
    assert_int_equal(push_table_attach(&table, memory, 64, -2), -EINVAL);
    assert_int_equal(push_table_attach(&table, memory, 64, PUSH_OWNER_MAX), 0);
}

static void the_default_clock_is_the_time_since_boot(void **state)
{
    struct push_table table;
    uint64_t before = push_clock_boottime(NULL);
    (void)state;
    assert_int_equal(push_table_attach(&table, memory, 64, 0), 0);
    assert_true(before > 0);
    assert_true(push_table_ticks(&table).fine >= before / PUSH_FINE_TICK_MS);
    assert_true(push_table_ticks(&table).fine <= before / PUSH_FINE_TICK_MS + 5);
}

static void an_unknown_key_is_absent(void **state)
{
    struct push_table table = attach(0);
    (void)state;
    assert_int_equal(push_table_peek(&table, key(1), 7), PUSH_ABSENT);
}

static void a_claim_is_elsewhere_for_all_until_it_is_settled(void **state)
{
    struct push_table mine = attach(0), other = attach(1);
    struct push_token token, refused;
    (void)state;
    assert_int_equal(claim(&mine, 1, 7, &token), PUSH_CLAIMED);
    assert_int_equal(push_table_peek(&other, key(1), 7), PUSH_ELSEWHERE);
    assert_int_equal(claim(&other, 1, 7, &refused), PUSH_ELSEWHERE);
    assert_int_equal(refused.word, 0);
    assert_int_equal(claim(&mine, 1, 7, &refused), PUSH_ELSEWHERE);
    assert_true(push_table_settle(&mine, &token, PUSH_HELD, DAY));
    assert_int_equal(token.word, 0);
    assert_int_equal(push_table_peek(&other, key(1), 7), PUSH_HELD);
    assert_int_equal(claim(&other, 1, 7, &refused), PUSH_HELD);
}

static void a_declined_resource_is_not_pushed_again(void **state)
{
    struct push_table table = attach(3);
    struct push_token token;
    (void)state;
    assert_int_equal(claim(&table, 1, 7, &token), PUSH_CLAIMED);
    assert_true(push_table_settle(&table, &token, PUSH_DECLINED, DAY));
    assert_int_equal(push_table_peek(&table, key(1), 7), PUSH_DECLINED);
    assert_int_equal(claim(&table, 1, 7, &token), PUSH_DECLINED);
}

static void a_claim_that_came_to_nothing_leaves_nothing(void **state)
{
    struct push_table table = attach(0);
    struct push_token token;
    (void)state;
    assert_int_equal(claim(&table, 1, 7, &token), PUSH_CLAIMED);
    assert_true(push_table_settle(&table, &token, PUSH_ABSENT, 0));
    assert_int_equal(word_of(1), 0);
    assert_int_equal(claim(&table, 1, 7, &token), PUSH_CLAIMED);
    assert_true(push_table_settle(&table, &token, PUSH_HELD, 0));
    assert_int_equal(word_of(1), 0);
}

static void a_changed_validator_is_stale_and_may_be_claimed(void **state)
{
    struct push_table table = attach(0);
    struct push_token token;
    (void)state;
    hold(&table, 1, 7, DAY);
    assert_int_equal(push_table_peek(&table, key(1), 8), PUSH_STALE);
    assert_int_equal(claim(&table, 1, 8, &token), PUSH_CLAIMED);
    assert_int_equal(push_table_peek(&table, key(1), 8), PUSH_ELSEWHERE);
    assert_true(push_table_settle(&table, &token, PUSH_HELD, DAY));
    assert_int_equal(push_table_peek(&table, key(1), 8), PUSH_HELD);
    assert_int_equal(push_table_peek(&table, key(1), 7), PUSH_STALE);
}

static void a_claim_in_one_validator_keeps_others_from_another(void **state)
{
    struct push_table mine = attach(0), other = attach(1);
    struct push_token token, refused;
    (void)state;
    assert_int_equal(claim(&mine, 1, 7, &token), PUSH_CLAIMED);
    assert_int_equal(claim(&other, 1, 8, &refused), PUSH_ELSEWHERE);
}

static void a_lapsed_claim_is_absent_and_may_be_claimed_by_another(void **state)
{
    struct push_table mine = attach(0), other = attach(1);
    struct push_token token, second;
    (void)state;
    assert_int_equal(claim(&mine, 1, 7, &token), PUSH_CLAIMED);
    wait_fine(PUSH_CLAIM_TICKS - 1);
    assert_true(push_table_token_live(&mine, &token));
    assert_int_equal(push_table_peek(&other, key(1), 7), PUSH_ELSEWHERE);
    wait_fine(1);
    assert_false(push_table_token_live(&mine, &token));
    assert_int_equal(push_table_peek(&other, key(1), 7), PUSH_ABSENT);
    assert_int_equal(claim(&other, 1, 7, &second), PUSH_CLAIMED);
    assert_false(push_table_settle(&mine, &token, PUSH_HELD, DAY));
    assert_true(push_table_token_live(&other, &second));
    assert_true(push_table_settle(&other, &second, PUSH_DECLINED, DAY));
    assert_int_equal(push_table_peek(&mine, key(1), 7), PUSH_DECLINED);
}

static void a_lapsed_claim_that_nobody_took_still_settles(void **state)
{
    struct push_table table = attach(0);
    struct push_token token;
    (void)state;
    assert_int_equal(claim(&table, 1, 7, &token), PUSH_CLAIMED);
    wait_fine(PUSH_CLAIM_TICKS + PUSH_TOKEN_LATE_TICKS);
    assert_true(push_table_settle(&table, &token, PUSH_HELD, DAY));
    assert_int_equal(push_table_peek(&table, key(1), 7), PUSH_HELD);
}

static void a_token_too_late_settles_and_renews_nothing(void **state)
{
    struct push_table table = attach(0);
    struct push_token token, again;
    uint64_t word;
    (void)state;
    assert_int_equal(claim(&table, 1, 7, &token), PUSH_CLAIMED);
    again = token;
    word = token.word;
    wait_fine(PUSH_CLAIM_TICKS + PUSH_TOKEN_LATE_TICKS + 1);
    assert_false(push_table_settle(&table, &token, PUSH_HELD, DAY));
    assert_int_equal(token.word, 0);
    assert_false(push_table_renew(&table, &again));
    assert_int_equal(again.word, 0);
    assert_int_equal(word_of(1), word);
}

/* 256 fine ticks later the same claim is the same word: only the token's age tells them apart. */
static void a_token_of_the_round_before_does_not_settle_an_equal_word(void **state)
{
    struct push_table table = attach(0);
    struct push_token old, fresh;
    (void)state;
    assert_int_equal(claim(&table, 1, 7, &old), PUSH_CLAIMED);
    wait_fine(256);
    memset(memory, 0, sizeof memory);
    assert_int_equal(claim(&table, 1, 7, &fresh), PUSH_CLAIMED);
    assert_int_equal(old.word, fresh.word);
    assert_false(push_table_settle(&table, &old, PUSH_ABSENT, 0));
    assert_true(push_table_settle(&table, &fresh, PUSH_HELD, DAY));
}

static void a_renewed_claim_lives_from_the_renewal(void **state)
{
    struct push_table mine = attach(0), other = attach(1);
    struct push_token token, refused;
    (void)state;
    assert_int_equal(claim(&mine, 1, 7, &token), PUSH_CLAIMED);
    for (unsigned i = 0; i < 100; i++) {
        wait_fine(PUSH_CLAIM_TICKS - 1);
        assert_true(push_table_renew(&mine, &token));
        assert_int_equal(claim(&other, 1, 7, &refused), PUSH_ELSEWHERE);
    }
    assert_true(push_table_settle(&mine, &token, PUSH_HELD, DAY));
}

static void a_claim_that_went_to_another_cannot_be_renewed(void **state)
{
    struct push_table mine = attach(0), other = attach(1);
    struct push_token token, second;
    (void)state;
    assert_int_equal(claim(&mine, 1, 7, &token), PUSH_CLAIMED);
    wait_fine(PUSH_CLAIM_TICKS);
    assert_int_equal(claim(&other, 1, 7, &second), PUSH_CLAIMED);
    assert_false(push_table_renew(&mine, &token));
    assert_int_equal(token.word, 0);
    assert_true(push_table_renew(&other, &second));
}

static void a_zero_token_is_no_claim(void **state)
{
    struct push_table table = attach(0);
    struct push_token token = {0};
    (void)state;
    assert_false(push_table_token_live(&table, &token));
    assert_false(push_table_renew(&table, &token));
    assert_false(push_table_settle(&table, &token, PUSH_HELD, DAY));
}

static void a_belief_ends_with_its_life_rounded_up_to_a_tick(void **state)
{
    struct push_table table = attach(0);
    (void)state;
    now_ms += 1000;
    hold(&table, 1, 7, 1);
    hold(&table, 2, 7, 256);
    now_ms += PUSH_COARSE_TICK_MS - 1001;
    assert_int_equal(push_table_peek(&table, key(1), 7), PUSH_HELD);
    now_ms += 1;
    assert_int_equal(push_table_peek(&table, key(1), 7), PUSH_ABSENT);
    assert_int_equal(push_table_peek(&table, key(2), 7), PUSH_HELD);
    wait_coarse(1);
    assert_int_equal(push_table_peek(&table, key(2), 7), PUSH_ABSENT);
}

static void a_life_beyond_the_longest_is_cut_to_it(void **state)
{
    struct push_table table = attach(0);
    (void)state;
    hold(&table, 1, 7, PUSH_LIFE_S_MAX);
    hold(&table, 2, 7, UINT32_MAX);
    assert_int_equal(push_table_peek(&table, key(2), 7), PUSH_HELD);
    wait_coarse(PUSH_LIFE_TICKS_MAX - 1);
    assert_int_equal(push_table_peek(&table, key(1), 7), PUSH_HELD);
    assert_int_equal(push_table_peek(&table, key(2), 7), PUSH_HELD);
    wait_coarse(1);
    assert_int_equal(push_table_peek(&table, key(1), 7), PUSH_ABSENT);
    assert_int_equal(push_table_peek(&table, key(2), 7), PUSH_ABSENT);
}

/* The longest life seen by a process whose clock reading is a tick old. */
static void a_reader_one_tick_behind_sees_the_same_belief(void **state)
{
    struct push_table table = attach(0);
    (void)state;
    hold(&table, 1, 7, UINT32_MAX);
    now_ms -= PUSH_COARSE_TICK_MS;
    assert_int_equal(push_table_peek(&table, key(1), 7), PUSH_HELD);
}

static void claims_and_beliefs_live_across_the_wrap_of_both_clocks(void **state)
{
    struct push_table table = attach(0), other = attach(1);
    struct push_token token, refused;
    (void)state;
    for (uint64_t before = 1; before < PUSH_CLAIM_TICKS; before++) {
        memset(memory, 0, sizeof memory);
        now_ms = WRAP_MS - before * PUSH_FINE_TICK_MS;
        hold(&table, 1, 7, 600);
        assert_int_equal(claim(&table, 2, 7, &token), PUSH_CLAIMED);
        wait_fine(PUSH_CLAIM_TICKS - 1);
        assert_int_equal(push_table_peek(&other, key(1), 7), PUSH_HELD);
        assert_int_equal(claim(&other, 2, 7, &refused), PUSH_ELSEWHERE);
        wait_fine(1);
        assert_int_equal(push_table_peek(&other, key(2), 7), PUSH_ABSENT);
        assert_true(push_table_settle(&table, &token, PUSH_HELD, 600));
        wait_coarse(4);
        assert_int_equal(push_table_peek(&other, key(1), 7), PUSH_ABSENT);
        assert_int_equal(push_table_peek(&other, key(2), 7), PUSH_ABSENT);
    }
}

/* Every distance between a word's expiry and the clock, for both units. */
static void a_word_is_live_exactly_within_its_window(void **state)
{
    (void)state;
    for (unsigned now = 0; now < 512; now++) {
        struct push_ticks ticks = {now + 1024, 0};
        for (int left = -127; left <= 127; left++) {
            uint64_t expiry = ticks.fine + (uint64_t)left;
            uint64_t word = push_word_make(5, 1, PUSH_WORD_CLAIMED, (uint8_t)expiry);
            assert_int_equal(push_word_live(word, ticks), left > 0);
        }
    }
    for (uint64_t now = UINT64_C(1) << 16; now < UINT64_C(3) << 16; now += 4093) {
        struct push_ticks ticks = {0, now};
        for (int64_t left = -16384; left <= PUSH_COARSE_LIVE_TICKS; left++) {
            uint16_t expiry = (uint16_t)(now + (uint64_t)left);
            uint64_t word = push_word_make(5, 1, PUSH_WORD_HELD, expiry);
            assert_int_equal(push_word_live(word, ticks), left > 0);
        }
    }
}

static void a_full_bucket_gives_up_what_expires_first(void **state)
{
    struct push_table table = attach(0);
    struct push_token token;
    (void)state;
    for (unsigned i = 0; i < PUSH_BUCKET_SLOTS; i++)
        hold(&table, i, 7, DAY * (1 + (i + 5) % 8));
    for (unsigned i = 0; i < PUSH_BUCKET_SLOTS; i++) {
        unsigned first = (i + 3) % 8;
        assert_int_not_equal(word_of(first), 0);
        assert_int_equal(claim(&table, 100 + i, 7, &token), PUSH_CLAIMED);
        assert_int_equal(word_of(first), 0);
    }
    assert_int_equal(table.counts.evicted, PUSH_BUCKET_SLOTS);
}

static void eviction_order_holds_across_the_coarse_wrap(void **state)
{
    struct push_table table = attach(0);
    struct push_token token;
    (void)state;
    now_ms = WRAP_MS - 4 * PUSH_COARSE_TICK_MS;
    for (unsigned i = 0; i < PUSH_BUCKET_SLOTS; i++)
        hold(&table, i, 7, 256 * (i + 1));
    assert_int_equal(claim(&table, 100, 7, &token), PUSH_CLAIMED);
    assert_int_equal(word_of(0), 0);
    assert_int_not_equal(word_of(7), 0);
}

static void empty_and_dead_slots_are_taken_before_any_belief(void **state)
{
    struct push_table table = attach(0);
    struct push_token token;
    (void)state;
    for (unsigned i = 0; i < 6; i++)
        hold(&table, i, 7, DAY);
    assert_int_equal(claim(&table, 6, 7, &token), PUSH_CLAIMED);
    wait_fine(PUSH_CLAIM_TICKS);
    assert_int_equal(claim(&table, 10, 7, &token), PUSH_CLAIMED);
    assert_int_not_equal(word_of(6), 0);
    assert_int_equal(claim(&table, 11, 7, &token), PUSH_CLAIMED);
    assert_int_equal(word_of(6), 0);
    assert_int_equal(table.counts.evicted, 0);
}

static void a_live_claim_is_never_evicted(void **state)
{
    struct push_table table = attach(0), other = attach(1);
    struct push_token tokens[PUSH_BUCKET_SLOTS], token;
    (void)state;
    for (unsigned i = 0; i < PUSH_BUCKET_SLOTS; i++)
        assert_int_equal(claim(&table, i, 7, &tokens[i]), PUSH_CLAIMED);
    assert_int_equal(claim(&other, 100, 7, &token), PUSH_FULL);
    assert_false(push_table_note(&other, key(100), 7, PUSH_HELD, DAY, PUSH_KNOWN));
    for (unsigned i = 0; i < PUSH_BUCKET_SLOTS; i++)
        assert_true(push_table_settle(&table, &tokens[i], PUSH_HELD, DAY));
    assert_int_equal(claim(&other, 100, 7, &token), PUSH_CLAIMED);
}

static void a_claim_on_probation_spares_what_lasts_longer(void **state)
{
    struct push_table table = attach(0);
    struct push_token token;
    (void)state;
    for (unsigned i = 0; i < 7; i++)
        hold(&table, i, 7, DAY);
    assert_true(
        push_table_note(&table, key(50), 7, PUSH_HELD, PUSH_PROBATION_S, PUSH_ON_PROBATION));
    assert_int_equal(push_table_claim(&table, key(51), 7, PUSH_ON_PROBATION, &token), PUSH_CLAIMED);
    assert_int_equal(word_of(50), 0);
    assert_int_equal(push_table_claim(&table, key(52), 7, PUSH_ON_PROBATION, &token), PUSH_FULL);
    assert_false(push_table_note(&table, key(52), 7, PUSH_HELD, 60, PUSH_ON_PROBATION));
    for (unsigned i = 0; i < 7; i++)
        assert_int_equal(push_table_peek(&table, key(i), 7), PUSH_HELD);
    assert_int_equal(claim(&table, 53, 7, &token), PUSH_CLAIMED);
}

/* Whatever its own life was when probation began, no later probation entry outlives the bound. */
static void an_entry_on_probation_never_spares_another(void **state)
{
    struct push_table table = attach(0);
    struct push_token token;
    (void)state;
    for (unsigned offset = 0; offset < 256; offset++) {
        memset(memory, 0, sizeof memory);
        now_ms = 1000 * PUSH_COARSE_TICK_MS + offset * 1000;
        for (unsigned i = 0; i < PUSH_BUCKET_SLOTS; i++)
            assert_true(
                push_table_note(&table, key(i), 7, PUSH_HELD, PUSH_PROBATION_S, PUSH_ON_PROBATION));
        assert_int_equal(push_table_claim(&table, key(50), 7, PUSH_ON_PROBATION, &token),
                         PUSH_CLAIMED);
    }
}

static void a_belief_on_probation_is_lifted_to_its_full_life(void **state)
{
    struct push_table table = attach(0);
    struct push_entry entry;
    (void)state;
    assert_true(
        push_table_note(&table, key(1), 7, PUSH_HELD, PUSH_PROBATION_S, PUSH_ON_PROBATION));
    wait_fine(300); /* ten minutes, in which the id comes back */
    assert_true(push_table_lift(&table, key(1), 7, PUSH_HELD, 30 * DAY, 600));
    push_table_inspect(&table, key(1), &entry);
    assert_in_range(entry.left_s, 30 * DAY - 600, 30 * DAY - 600 + 512);
    wait_coarse(20);
    assert_int_equal(push_table_peek(&table, key(1), 7), PUSH_HELD);
    wait_coarse(30 * DAY / 256 - 20 + 2);
    assert_int_equal(push_table_peek(&table, key(1), 7), PUSH_ABSENT);
}

/* From whichever moment of a tick it was noted and lifted, and for whatever life: lifted once, it
 * lasts at least as long as without probation and at most two ticks longer, and never moves again.
 */
static void lifting_moves_nothing_twice(void **state)
{
    static const uint32_t lives[] = {3601, 3700, 3856, 3857, 4112, 7200, DAY, 30 * DAY,
                                     PUSH_LIFE_S_MAX};
    struct push_table table = attach(0);
    struct push_entry entry;
    (void)state;
    for (unsigned offset = 0; offset < 256; offset += 5)
        for (unsigned i = 0; i < sizeof lives / sizeof lives[0]; i++) {
            bool moved = false;
            memset(memory, 0, sizeof memory);
            now_ms = 1000 * PUSH_COARSE_TICK_MS + offset * 1000;
            push_table_note(&table, key(1), 7, PUSH_HELD, PUSH_PROBATION_S, PUSH_ON_PROBATION);
            uint64_t noted_s = now_ms / 1000;
            for (uint32_t age_s = 0; age_s < lives[i] && age_s < 12000; age_s += 97) {
                now_ms = (noted_s + age_s) * 1000;
                bool now_moved =
                    push_table_lift(&table, key(1), 7, PUSH_HELD, lives[i], age_s);
                assert_false(moved && now_moved);
                moved |= now_moved;
                push_table_inspect(&table, key(1), &entry);
                if (moved && lives[i] < PUSH_LIFE_S_MAX)
                    assert_in_range(age_s + entry.left_s, lives[i], lives[i] + 512);
            }
            assert_true(moved || lives[i] < PUSH_PROBATION_S + 256);
        }
}

static enum push_answer peek_ending(const struct push_table *table, unsigned n, uint16_t validator,
                                    bool *ending)
{
    return push_table_peek_ending(table, key(n), validator, push_table_ticks(table), ending);
}

/* So that a look-up of what was lifted, or was never on probation, costs no second one. */
static void only_what_may_be_on_probation_is_ending(void **state)
{
    struct push_table table = attach(0);
    struct push_token token;
    bool ending = true;
    (void)state;
    assert_int_equal(peek_ending(&table, 1, 7, &ending), PUSH_ABSENT);
    assert_false(ending);
    for (unsigned offset = 0; offset < 256; offset += 15) {
        memset(memory, 0, sizeof memory);
        now_ms = 1000 * PUSH_COARSE_TICK_MS + offset * 1000;
        push_table_note(&table, key(1), 7, PUSH_HELD, PUSH_PROBATION_S, PUSH_ON_PROBATION);
        assert_int_equal(peek_ending(&table, 1, 7, &ending), PUSH_HELD);
        assert_true(ending);
        assert_true(push_table_lift(&table, key(1), 7, PUSH_HELD, DAY, 0));
        assert_int_equal(peek_ending(&table, 1, 7, &ending), PUSH_HELD);
        assert_false(ending);
    }
    assert_int_equal(peek_ending(&table, 1, 8, &ending), PUSH_STALE);
    assert_false(ending);
    assert_int_equal(claim(&table, 2, 7, &token), PUSH_CLAIMED);
    assert_int_equal(peek_ending(&table, 2, 7, &ending), PUSH_ELSEWHERE);
    assert_false(ending);
}

static void only_what_probation_explains_alone_is_lifted(void **state)
{
    struct push_table table = attach(0);
    (void)state;
    hold(&table, 1, 7, 2 * DAY); /* by an id minted just before */
    for (uint32_t age_s = 0; age_s < 2 * DAY; age_s += 60) {
        assert_false(push_table_lift(&table, key(1), 7, PUSH_HELD, 2 * DAY, age_s));
        now_ms += 60000;
    }
    hold(&table, 2, 7, 3600); /* fresh for no longer than that */
    assert_false(push_table_lift(&table, key(2), 7, PUSH_HELD, 3600, 0));
    hold(&table, 3, 7, 1800);
    assert_false(push_table_lift(&table, key(3), 7, PUSH_HELD, 1800, 0));
}

static void lifting_hits_this_key_version_and_state_only(void **state)
{
    struct push_table table = attach(0), other = attach(1);
    struct push_token token;
    (void)state;
    assert_false(push_table_lift(&table, key(1), 7, PUSH_HELD, DAY, 0));
    push_table_note(&table, key(1), 7, PUSH_HELD, PUSH_PROBATION_S, PUSH_ON_PROBATION);
    push_table_note(&table, key(2), 7, PUSH_HELD, PUSH_PROBATION_S, PUSH_ON_PROBATION);
    uint64_t before = word_of(1), others = word_of(2);
    assert_false(push_table_lift(&table, key(1), 8, PUSH_HELD, DAY, 0));
    assert_false(push_table_lift(&table, key(1), 7, PUSH_DECLINED, DAY, 0));
    assert_int_equal(word_of(1), before);
    assert_true(push_table_lift(&table, key(1), 7, PUSH_HELD, DAY, 0));
    assert_int_equal(word_of(1) >> 16, before >> 16);
    assert_int_equal(word_of(2), others);
    assert_int_equal(claim(&other, 3, 7, &token), PUSH_CLAIMED);
    assert_false(push_table_lift(&table, key(3), 7, PUSH_HELD, DAY, 0));
    assert_int_equal(word_of(3), token.word);
}

/* Once it was lifted it is spared like any other known client's. */
static void a_refusal_is_lifted_too_and_then_spared(void **state)
{
    struct push_table table = attach(0);
    struct push_token token;
    (void)state;
    for (unsigned i = 0; i < PUSH_BUCKET_SLOTS; i++) {
        push_table_note(&table, key(i), 7, PUSH_DECLINED, PUSH_PROBATION_S, PUSH_ON_PROBATION);
        assert_true(push_table_lift(&table, key(i), 7, PUSH_DECLINED, DAY, 60));
    }
    assert_int_equal(push_table_claim(&table, key(50), 7, PUSH_ON_PROBATION, &token), PUSH_FULL);
}

static void the_clients_own_request_is_noted_as_held(void **state)
{
    struct push_table table = attach(0);
    struct push_token token;
    (void)state;
    hold(&table, 1, 7, DAY);
    assert_int_equal(claim(&table, 1, 7, &token), PUSH_HELD);
    hold(&table, 1, 8, DAY);
    assert_int_equal(push_table_peek(&table, key(1), 8), PUSH_HELD);
    assert_int_equal(push_table_peek(&table, key(1), 7), PUSH_STALE);
}

static void a_confirmation_refreshes_a_belief(void **state)
{
    struct push_table table = attach(0);
    (void)state;
    hold(&table, 1, 7, 512);
    wait_coarse(1);
    hold(&table, 1, 7, 512);
    hold(&table, 1, 7, 512);
    wait_coarse(1);
    assert_int_equal(push_table_peek(&table, key(1), 7), PUSH_HELD);
    wait_coarse(1);
    assert_int_equal(push_table_peek(&table, key(1), 7), PUSH_ABSENT);
}

static void a_late_cancel_turns_held_into_declined(void **state)
{
    struct push_table table = attach(0);
    struct push_token token;
    (void)state;
    assert_int_equal(claim(&table, 1, 7, &token), PUSH_CLAIMED);
    assert_true(push_table_settle(&table, &token, PUSH_HELD, DAY));
    assert_true(push_table_note(&table, key(1), 7, PUSH_DECLINED, DAY, PUSH_KNOWN));
    assert_int_equal(push_table_peek(&table, key(1), 7), PUSH_DECLINED);
    hold(&table, 1, 7, DAY);
    assert_int_equal(push_table_peek(&table, key(1), 7), PUSH_HELD);
}

static void a_note_leaves_a_live_claim_to_its_claimer(void **state)
{
    struct push_table mine = attach(0), other = attach(1);
    struct push_token token;
    (void)state;
    assert_int_equal(claim(&mine, 1, 7, &token), PUSH_CLAIMED);
    assert_false(push_table_note(&other, key(1), 7, PUSH_HELD, DAY, PUSH_KNOWN));
    assert_true(push_table_token_live(&mine, &token));
    wait_fine(PUSH_CLAIM_TICKS);
    assert_true(push_table_note(&other, key(1), 7, PUSH_HELD, DAY, PUSH_KNOWN));
    assert_false(push_table_settle(&mine, &token, PUSH_ABSENT, 0));
}

static void a_note_with_no_life_records_nothing(void **state)
{
    struct push_table table = attach(0);
    (void)state;
    assert_false(push_table_note(&table, key(1), 7, PUSH_HELD, 0, PUSH_KNOWN));
    assert_int_equal(word_of(1), 0);
}

static void a_process_without_owner_may_look_note_and_forget(void **state)
{
    struct push_table table = attach(PUSH_TABLE_NO_OWNER);
    (void)state;
    hold(&table, 1, 7, DAY);
    assert_int_equal(push_table_peek(&table, key(1), 7), PUSH_HELD);
    assert_int_equal(push_table_forget(&table, key(1)), 1);
    assert_int_equal(push_table_peek(&table, key(1), 7), PUSH_ABSENT);
}

static void forgetting_removes_beliefs_and_leaves_claims(void **state)
{
    struct push_table table = attach(0);
    struct push_token token;
    (void)state;
    hold(&table, 1, 7, DAY);
    hold(&table, 2, 7, DAY);
    assert_int_equal(push_table_forget(&table, key(1)), 1);
    assert_int_equal(push_table_forget(&table, key(1)), 0);
    assert_int_equal(push_table_peek(&table, key(2), 7), PUSH_HELD);
    assert_int_equal(claim(&table, 1, 7, &token), PUSH_CLAIMED);
    assert_int_equal(push_table_forget(&table, key(1)), 0);
    assert_true(push_table_settle(&table, &token, PUSH_HELD, DAY));
}

static void an_entry_tells_its_state_validator_and_time_left(void **state)
{
    struct push_table table = attach(0);
    struct push_token token;
    struct push_entry entry;
    (void)state;
    push_table_inspect(&table, key(1), &entry);
    assert_int_equal(entry.answer, PUSH_ABSENT);
    hold(&table, 1, 0xfff, DAY);
    push_table_inspect(&table, key(1), &entry);
    assert_int_equal(entry.answer, PUSH_HELD);
    assert_int_equal(entry.validator, 0xfff);
    assert_in_range(entry.left_s, DAY, DAY + 255);
    assert_int_equal(claim(&table, 2, 0, &token), PUSH_CLAIMED);
    push_table_inspect(&table, key(2), &entry);
    assert_int_equal(entry.answer, PUSH_ELSEWHERE);
    assert_int_equal(entry.validator, 0);
    assert_int_equal(entry.left_s, PUSH_CLAIM_TICKS * 2);
}

static void keys_differ_by_every_bit_of_their_tag(void **state)
{
    struct push_table table = attach(0);
    struct push_key one = {1, (UINT64_C(1) << PUSH_TAG_BITS) - 1};
    (void)state;
    assert_true(push_table_note(&table, one, 7, PUSH_HELD, DAY, PUSH_KNOWN));
    for (unsigned bit = 0; bit < PUSH_TAG_BITS; bit++) {
        struct push_key two = {1, one.tag ^ UINT64_C(1) << bit};
        assert_int_equal(push_table_peek(&table, two, 7), PUSH_ABSENT);
    }
    assert_int_equal(push_table_peek(&table, one, 7), PUSH_HELD);
}

/* The word a killed claimer leaves behind, and a second one beside it, are cleared by the next. */
static void what_a_killed_claimer_left_is_cleared_by_the_next(void **state)
{
    struct push_table table = attach(0);
    struct push_token token;
    uint8_t dies = (uint8_t)(push_table_ticks(&table).fine + 2);
    (void)state;
    memory[1].words[3] =
        push_word_make(key(1).tag, 7, PUSH_WORD_TENTATIVE, (uint16_t)(9u << 8 | dies));
    assert_int_equal(claim(&table, 1, 7, &token), PUSH_ELSEWHERE);
    wait_fine(2);
    memory[1].words[5] = push_word_make(key(1).tag, 6, PUSH_WORD_HELD,
                                        (uint16_t)(push_table_ticks(&table).coarse + 9));
    assert_int_equal(claim(&table, 1, 7, &token), PUSH_CLAIMED);
    assert_int_equal(memory[1].words[3], token.word);
    assert_int_equal(memory[1].words[5], 0);
}

static void every_answer_has_a_name(void **state)
{
    (void)state;
    for (int answer = PUSH_ABSENT; answer <= PUSH_CONTENDED; answer++)
        assert_non_null(push_answer_name((enum push_answer)answer));
    assert_string_equal(push_answer_name(PUSH_DECLINED), "declined");
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(memory_or_an_owner_out_of_range_is_refused),
        TEST(the_default_clock_is_the_time_since_boot),
        TEST(an_unknown_key_is_absent),
        TEST(a_claim_is_elsewhere_for_all_until_it_is_settled),
        TEST(a_declined_resource_is_not_pushed_again),
        TEST(a_claim_that_came_to_nothing_leaves_nothing),
        TEST(a_changed_validator_is_stale_and_may_be_claimed),
        TEST(a_claim_in_one_validator_keeps_others_from_another),
        TEST(a_lapsed_claim_is_absent_and_may_be_claimed_by_another),
        TEST(a_lapsed_claim_that_nobody_took_still_settles),
        TEST(a_token_too_late_settles_and_renews_nothing),
        TEST(a_token_of_the_round_before_does_not_settle_an_equal_word),
        TEST(a_renewed_claim_lives_from_the_renewal),
        TEST(a_claim_that_went_to_another_cannot_be_renewed),
        TEST(a_zero_token_is_no_claim),
        TEST(a_belief_ends_with_its_life_rounded_up_to_a_tick),
        TEST(a_life_beyond_the_longest_is_cut_to_it),
        TEST(a_reader_one_tick_behind_sees_the_same_belief),
        TEST(claims_and_beliefs_live_across_the_wrap_of_both_clocks),
        TEST(a_word_is_live_exactly_within_its_window),
        TEST(a_full_bucket_gives_up_what_expires_first),
        TEST(eviction_order_holds_across_the_coarse_wrap),
        TEST(empty_and_dead_slots_are_taken_before_any_belief),
        TEST(a_live_claim_is_never_evicted),
        TEST(a_claim_on_probation_spares_what_lasts_longer),
        TEST(an_entry_on_probation_never_spares_another),
        TEST(a_belief_on_probation_is_lifted_to_its_full_life),
        TEST(lifting_moves_nothing_twice),
        TEST(only_what_may_be_on_probation_is_ending),
        TEST(only_what_probation_explains_alone_is_lifted),
        TEST(lifting_hits_this_key_version_and_state_only),
        TEST(a_refusal_is_lifted_too_and_then_spared),
        TEST(the_clients_own_request_is_noted_as_held),
        TEST(a_confirmation_refreshes_a_belief),
        TEST(a_late_cancel_turns_held_into_declined),
        TEST(a_note_leaves_a_live_claim_to_its_claimer),
        TEST(a_note_with_no_life_records_nothing),
        TEST(a_process_without_owner_may_look_note_and_forget),
        TEST(forgetting_removes_beliefs_and_leaves_claims),
        TEST(an_entry_tells_its_state_validator_and_time_left),
        TEST(keys_differ_by_every_bit_of_their_tag),
        TEST(what_a_killed_claimer_left_is_cleared_by_the_next),
        TEST(every_answer_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

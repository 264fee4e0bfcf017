#include "policy/learned.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BUCKETS 4
#define HOME UINT64_C(0x1111111111111100)
#define CSS UINT64_C(0xaaaaaaaaaaaaaaaa)
#define SCRIPT UINT64_C(0xbbbbbbbbbbbbbbbb)
#define FONT UINT64_C(0xcccccccccccccccc)

static struct learned_bucket buckets[BUCKETS];
static struct learned learned;
static uint64_t now_s;
static struct learned_asset set[LEARNED_CELLS];
static struct learned_page known;

static int setup(void **state)
{
    (void)state;
    memset(buckets, 0, sizeof(buckets));
    now_s = 1000000;
    return learned_attach(&learned, buckets, sizeof(buckets));
}

static uint64_t spread(uint64_t n)
{
    n = (n + 1) * UINT64_C(0x9e3779b97f4a7c15);
    n ^= n >> 29;
    n *= UINT64_C(0xbf58476d1ce4e5b9);
    return n ^ n >> 32;
}

static bool note(uint64_t page, unsigned voter, uint64_t resource, uint8_t place)
{
    struct learned_asset asset = {.resource = resource, .place = place, .as = 3};
    return learned_note(&learned, page, spread(voter), &asset, now_s);
}

static unsigned next(uint64_t page, unsigned min_seen, unsigned min_percent)
{
    struct learned_wish wish = {min_seen, min_percent};
    return learned_next(&learned, page, &wish, now_s, set, LEARNED_CELLS, &known);
}

static bool proposes(uint64_t page, uint64_t resource)
{
    unsigned count = next(page, LEARNED_SEEN_MIN, 50);
    for (unsigned i = 0; i < count; i++)
        if (set[i].resource == resource)
            return true;
    return false;
}

/* Voters `first` to `last` ask for it. */
static void ask(uint64_t page, unsigned first, unsigned last, uint64_t resource)
{
    for (unsigned voter = first; voter <= last; voter++)
        note(page, voter, resource, 0);
}

static void what_enough_voters_asked_for_is_proposed(void **state)
{
    (void)state;
    assert_int_equal(next(HOME, LEARNED_SEEN_MIN, 50), 0);
    assert_int_equal(known.visitors, 0);
    ask(HOME, 1, 20, CSS);
    assert_int_equal(next(HOME, LEARNED_SEEN_MIN, 50), 1);
    assert_true(set[0].resource == CSS);
    assert_int_equal(set[0].as, 3);
    assert_int_equal(set[0].percent, 100);
    assert_in_range(set[0].seen, 10, 20);
    assert_in_range(known.visitors, 12, 30);
}

static void fewer_voters_than_are_wanted_propose_nothing(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 1000; n++)
        ask(HOME, 1, LEARNED_SEEN_MIN - 1, CSS);
    assert_int_equal(next(HOME, LEARNED_SEEN_MIN, 0), 0);
    assert_int_equal(next(HOME, 1, 0), 1);
}

static void what_one_voter_asked_for_is_proposed_to_nobody_however_often_it_asks(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 500; n++) {
        note(HOME, n % 40, CSS, 0);
        note(HOME, 7, SCRIPT, 1);
    }
    assert_true(proposes(HOME, CSS));
    assert_false(proposes(HOME, SCRIPT));
    assert_int_equal(next(HOME, LEARNED_SEEN_MIN, 0), 1);
}

static void what_a_small_part_of_the_visitors_asks_for_is_not_proposed(void **state)
{
    (void)state;
    for (unsigned voter = 0; voter < 400; voter++) {
        note(HOME, voter, CSS, 0);
        if (voter % 10 == 0)
            note(HOME, voter, SCRIPT, 1);
        if (voter % 10 != 0)
            note(HOME, voter, FONT, 2);
    }
    assert_true(proposes(HOME, CSS));
    assert_false(proposes(HOME, SCRIPT));
    assert_true(proposes(HOME, FONT));
}

static void assets_come_in_the_order_of_the_visits(void **state)
{
    (void)state;
    for (unsigned voter = 0; voter < 20; voter++) {
        note(HOME, voter, FONT, 2);
        note(HOME, voter, CSS, 0);
        note(HOME, voter, SCRIPT, 1);
    }
    assert_int_equal(next(HOME, LEARNED_SEEN_MIN, 50), 3);
    assert_true(set[0].resource == CSS);
    assert_true(set[1].resource == SCRIPT);
    assert_true(set[2].resource == FONT);
    struct learned_wish wish = {LEARNED_SEEN_MIN, 50};
    assert_int_equal(learned_next(&learned, HOME, &wish, now_s, set, 2, NULL), 2);
    assert_true(set[1].resource == SCRIPT);
}

static void pages_do_not_mix_even_in_one_bucket(void **state)
{
    const uint64_t other = HOME + BUCKETS;
    (void)state;
    ask(HOME, 1, 20, CSS);
    ask(other, 1, 20, CSS);
    ask(other, 1, 20, SCRIPT);
    assert_int_equal(next(HOME, LEARNED_SEEN_MIN, 50), 1);
    assert_int_equal(next(other, LEARNED_SEEN_MIN, 50), 2);
    assert_int_equal(next(other + BUCKETS, LEARNED_SEEN_MIN, 50), 0);
}

static void what_a_page_no_longer_asks_for_is_forgotten(void **state)
{
    unsigned voter = 0;
    (void)state;
    ask(HOME, 1, 300, CSS);
    while (proposes(HOME, CSS) && voter < 200)
        note(HOME, 1000 + voter++, SCRIPT, 0);
    assert_in_range(voter, 8, 150);
    ask(HOME, 2000, 2200, SCRIPT);
    assert_true(proposes(HOME, SCRIPT));
    assert_int_equal(next(HOME, 1, 0), 1);
}

static void time_forgets_too(void **state)
{
    (void)state;
    ask(HOME, 1, 10, CSS);
    now_s += LEARNED_EPOCH_S + 1;
    note(HOME, 50, SCRIPT, 0);
    assert_int_equal(next(HOME, LEARNED_SEEN_MIN, 50), 1);
    now_s += LEARNED_EPOCH_S + 1;
    note(HOME, 51, SCRIPT, 0);
    assert_int_equal(next(HOME, LEARNED_SEEN_MIN, 50), 0);
}

/* Saved when the clock showed now_s, loaded `lay_s` later, when it shows `then_s`: a machine that
 * was started anew counts from 0. */
static void lie(uint64_t lay_s, uint64_t then_s)
{
    learned_rebase(&learned, now_s, lay_s, then_s);
    now_s = then_s;
}

static void what_was_saved_is_as_old_as_it_was_and_as_long_as_it_lay(void **state)
{
    (void)state;
    ask(HOME, 1, 20, CSS);
    now_s += LEARNED_EPOCH_S;
    lie(LEARNED_EPOCH_S, 30);
    assert_int_equal(next(HOME, LEARNED_SEEN_MIN, 50), 1);
    lie(0, 90000000);
    assert_int_equal(next(HOME, LEARNED_SEEN_MIN, 50), 1);
    ask(HOME, 21, 30, CSS);
    assert_int_equal(next(HOME, LEARNED_SEEN_MIN, 50), 1);
    lie(5 * LEARNED_EPOCH_S, 600);
    assert_int_equal(next(HOME, LEARNED_SEEN_MIN, 50), 0);
    assert_int_equal(known.visitors, 0);
}

static void a_page_nobody_comes_to_is_forgotten(void **state)
{
    (void)state;
    ask(HOME, 1, 20, CSS);
    now_s += 2 * LEARNED_EPOCH_S;
    assert_int_equal(next(HOME, LEARNED_SEEN_MIN, 50), 1);
    now_s += 3 * LEARNED_EPOCH_S;
    assert_int_equal(next(HOME, LEARNED_SEEN_MIN, 50), 0);
    assert_int_equal(known.visitors, 0);
    note(HOME, 1, SCRIPT, 0);
    assert_int_equal(next(HOME, 1, 0), 1);
}

static bool holds_css(void *context, uint64_t resource)
{
    ++*(unsigned *)context;
    return resource == CSS;
}

/* Visitors who come again hold the page's stylesheet and ask for its news only. */
static void who_holds_an_asset_does_not_count_against_it(void **state)
{
    unsigned asked = 0;
    (void)state;
    ask(HOME, 1, 8, CSS);
    for (unsigned voter = 100; voter < 108; voter++) {
        note(HOME, voter, SCRIPT, 0);
        learned_held(&learned, HOME, spread(voter), holds_css, &asked, now_s);
    }
    assert_int_equal(asked, 16);
    assert_int_equal(next(HOME, LEARNED_SEEN_MIN, 0), 2);
    for (unsigned i = 0; i < 2; i++)
        if (set[i].resource == CSS)
            assert_in_range(set[i].percent, 90, 100);
}

static void a_full_bucket_gives_up_weak_cells_and_keeps_strong_ones(void **state)
{
    struct learned_load load;
    unsigned dropped = 0;
    (void)state;
    ask(HOME, 1, 300, CSS);
    for (unsigned n = 0; n < 5000; n++)
        note(HOME + n * BUCKETS, 1 + n % 7, spread(n), 0);
    assert_true(proposes(HOME, CSS));
    load = learned_walk(&learned);
    assert_int_equal(load.room, BUCKETS * LEARNED_CELLS);
    assert_int_equal(load.pages + load.assets, LEARNED_CELLS);
    for (unsigned voter = 0; voter < 200; voter++)
        dropped += !note(HOME + 7 * BUCKETS, voter, SCRIPT, 0);
    assert_true(dropped < 100);
    assert_true(proposes(HOME + 7 * BUCKETS, SCRIPT));
}

static void a_page_with_more_assets_than_a_bucket_keeps_those_that_come_first(void **state)
{
    (void)state;
    for (unsigned voter = 0; voter < 40; voter++)
        for (unsigned n = 0; n < 60; n++)
            note(HOME, voter, spread(n), (uint8_t)n);
    unsigned count = next(HOME, LEARNED_SEEN_MIN, 50);
    assert_in_range(count, LEARNED_CELLS - 4, LEARNED_CELLS - 1);
}

static void words_of_others_count_nothing(void **state)
{
    (void)state;
    ask(HOME, 1, 20, CSS);
    for (unsigned i = 0; i < LEARNED_CELLS; i++)
        if (buckets[HOME % BUCKETS].keys[i] == CSS)
            buckets[HOME % BUCKETS].keys[i] = SCRIPT; /* as if it were taken this moment */
    assert_int_equal(next(HOME, 1, 0), 0);
    ask(HOME, 1, 20, SCRIPT);
    assert_int_equal(next(HOME, LEARNED_SEEN_MIN, 50), 1);
    assert_true(set[0].resource == SCRIPT);
}

static void few_visits_are_watched_when_much_is_known(void **state)
{
    unsigned watched = 0;
    struct learned_page much = {.epoch = 3, .visitors = 40}, little = {.epoch = 3, .visitors = 5};
    (void)state;
    for (unsigned n = 0; n < 16000; n++)
        watched += learned_watches(&much, HOME, spread(n));
    assert_in_range(watched, 800, 1200);
    watched = 0;
    for (unsigned n = 0; n < 16000; n++)
        watched += learned_watches(&little, HOME, spread(n));
    assert_in_range(watched, 2800, 3600);
}

static void each_epoch_watches_other_clients(void **state)
{
    unsigned both = 0;
    struct learned_page one = {.epoch = 3, .visitors = 40}, two = {.epoch = 4, .visitors = 40};
    (void)state;
    for (unsigned n = 0; n < 16000; n++)
        both += learned_watches(&one, HOME, spread(n)) && learned_watches(&two, HOME, spread(n));
    assert_in_range(both, 20, 120);
}

static void memory_of_another_shape_is_refused(void **state)
{
    struct learned other;
    (void)state;
    assert_int_equal(learned_attach(&other, NULL, sizeof(buckets)), -EINVAL);
    assert_int_equal(learned_attach(&other, buckets, 0), -EINVAL);
    assert_int_equal(learned_attach(&other, buckets, sizeof(buckets[0]) * 3), -EINVAL);
    assert_int_equal(learned_attach(&other, (char *)buckets + 8, sizeof(buckets[0])), -EINVAL);
}

#define A_TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        A_TEST(what_enough_voters_asked_for_is_proposed),
        A_TEST(fewer_voters_than_are_wanted_propose_nothing),
        A_TEST(what_one_voter_asked_for_is_proposed_to_nobody_however_often_it_asks),
        A_TEST(what_a_small_part_of_the_visitors_asks_for_is_not_proposed),
        A_TEST(assets_come_in_the_order_of_the_visits),
        A_TEST(pages_do_not_mix_even_in_one_bucket),
        A_TEST(what_a_page_no_longer_asks_for_is_forgotten),
        A_TEST(time_forgets_too),
        A_TEST(a_page_nobody_comes_to_is_forgotten),
        A_TEST(what_was_saved_is_as_old_as_it_was_and_as_long_as_it_lay),
        A_TEST(who_holds_an_asset_does_not_count_against_it),
        A_TEST(a_full_bucket_gives_up_weak_cells_and_keeps_strong_ones),
        A_TEST(a_page_with_more_assets_than_a_bucket_keeps_those_that_come_first),
        A_TEST(words_of_others_count_nothing),
        A_TEST(few_visits_are_watched_when_much_is_known),
        A_TEST(each_epoch_watches_other_clients),
        A_TEST(memory_of_another_shape_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "worker/think.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include <cmocka.h>

static struct thinking thinking;
static const char routes[4096];

static int setup(void **state)
{
    (void)state;
    thinking = (struct thinking){0};
    return 0;
}

static void of_a_route_without_answers_nothing_is_expected(void **state)
{
    (void)state;
    assert_int_equal(think_expect(&thinking, &routes[0]), 0);
    think_note(&thinking, &routes[0], 200000);
    assert_int_equal(think_expect(&thinking, &routes[0]), 200000);
    for (size_t i = 1; i < sizeof(routes); i++)
        assert_int_equal(think_expect(&thinking, &routes[i]), 0);
}

static void quick_answers_are_believed_sooner_than_slow_ones(void **state)
{
    (void)state;
    think_note(&thinking, routes, 200000);
    think_note(&thinking, routes, 40000);
    assert_int_equal(think_expect(&thinking, routes), 160000);
    think_note(&thinking, routes, 320000);
    assert_int_equal(think_expect(&thinking, routes), 170000);
}

static void what_changes_for_good_is_followed(void **state)
{
    (void)state;
    think_note(&thinking, routes, 1000);
    for (unsigned i = 0; i < 200; i++)
        think_note(&thinking, routes, 300000);
    assert_in_range(think_expect(&thinking, routes), 290000, 300000);
    for (unsigned i = 0; i < 60; i++)
        think_note(&thinking, routes, 1000);
    assert_in_range(think_expect(&thinking, routes), 1000, 1010);
}

static void an_answer_that_takes_hours_counts_as_seconds(void **state)
{
    (void)state;
    think_note(&thinking, routes, UINT64_C(1) << 40);
    assert_int_equal(think_expect(&thinking, routes), 10000000);
}

static void a_route_that_takes_anothers_place_begins_anew(void **state)
{
    (void)state;
    think_note(&thinking, &routes[0], 200000);
    for (size_t i = 1; i < sizeof(routes); i++)
        think_note(&thinking, &routes[i], 1000 + i);
    assert_int_equal(think_expect(&thinking, &routes[0]), 0);
    assert_int_equal(think_expect(&thinking, &routes[4095]), 1000 + 4095);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(of_a_route_without_answers_nothing_is_expected, setup),
        cmocka_unit_test_setup(quick_answers_are_believed_sooner_than_slow_ones, setup),
        cmocka_unit_test_setup(what_changes_for_good_is_followed, setup),
        cmocka_unit_test_setup(an_answer_that_takes_hours_counts_as_seconds, setup),
        cmocka_unit_test_setup(a_route_that_takes_anothers_place_begins_anew, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "master/policy_health.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct health_limits LIMITS = {
    .window_ms = 60000, .failures_percent = 2, .soft = 20, .hard = 3};

static bool bad_at(const struct health *health, int64_t now_ms, char *text)
{
    bool severe;
    struct health_counts sum = health_sum(health, &LIMITS, now_ms);
    return health_is_bad(&sum, &LIMITS, &severe, text);
}

static void add(struct health *health, int64_t now_ms, uint64_t pages, uint64_t failures,
                uint64_t soft, uint64_t hard)
{
    const struct health_counts counts = {pages, failures, soft, hard, 0};
    health_add(health, &LIMITS, now_ms, &counts);
}

static void nothing_counted_is_not_bad(void **state)
{
    char text[HEALTH_TEXT_MAX];
    struct health health = {0};
    (void)state;
    assert_false(bad_at(&health, 5000, text));
}

static void three_hard_strikes_within_the_window_are_too_many(void **state)
{
    char text[HEALTH_TEXT_MAX];
    struct health health = {0};
    (void)state;
    add(&health, 1000, 0, 0, 0, 1);
    add(&health, 30000, 0, 0, 0, 1);
    assert_false(bad_at(&health, 30000, text));
    add(&health, 59000, 0, 0, 0, 1);
    assert_true(bad_at(&health, 59000, text));
    assert_string_equal(text, "3 hard deadlines, kills or crashes within 60 s");
}

static void what_is_older_than_the_window_is_forgotten(void **state)
{
    char text[HEALTH_TEXT_MAX];
    struct health health = {0};
    (void)state;
    add(&health, 1000, 0, 0, 0, 2);
    add(&health, 70000, 0, 0, 0, 1);
    assert_false(bad_at(&health, 70000, text));
    assert_int_equal(health_sum(&health, &LIMITS, 70000).hard, 1);
    assert_int_equal(health_sum(&health, &LIMITS, 200000).hard, 0);
    add(&health, 10000000, 5, 0, 0, 0); /* long idle: all parts are emptied */
    assert_int_equal(health_sum(&health, &LIMITS, 10000000).pages, 5);
}

static void one_worker_that_a_hook_held_until_it_was_killed_is_too_many(void **state)
{
    char text[HEALTH_TEXT_MAX];
    struct health health = {0};
    const struct health_counts wedge = {.hard = 1, .wedged = 1};
    (void)state;
    health_add(&health, &LIMITS, 1000, &wedge);
    assert_true(bad_at(&health, 1000, text));
    assert_string_equal(text, "one of its hooks did not end and its worker had to be killed");
}

static void twenty_soft_strikes_are_too_many(void **state)
{
    char text[HEALTH_TEXT_MAX];
    struct health health = {0};
    (void)state;
    add(&health, 1000, 1000, 0, 19, 0);
    assert_false(bad_at(&health, 1000, text));
    add(&health, 2000, 0, 0, 1, 0);
    assert_true(bad_at(&health, 2000, text));
}

static void a_rate_is_judged_from_ten_failures_on(void **state)
{
    char text[HEALTH_TEXT_MAX];
    struct health health = {0};
    (void)state;
    add(&health, 1000, 9, 9, 0, 0);
    assert_false(bad_at(&health, 1000, text));
    add(&health, 1100, 1, 1, 0, 0);
    assert_true(bad_at(&health, 1100, text));
    assert_string_equal(text, "it failed on 10 of 10 pages within 60 s");
}

static void a_rate_below_the_limit_is_borne(void **state)
{
    char text[HEALTH_TEXT_MAX];
    struct health health = {0};
    (void)state;
    add(&health, 1000, 1000, 19, 0, 0);
    assert_false(bad_at(&health, 1000, text));
    add(&health, 1100, 0, 1, 0, 0);
    assert_true(bad_at(&health, 1100, text)); /* 20 of 1,000 are the 2 percent */
}

static void a_limit_of_0_judges_nothing(void **state)
{
    char text[HEALTH_TEXT_MAX];
    bool severe;
    const struct health_limits none = {.window_ms = 60000};
    const struct health_counts counts = {100, 100, 100, 100, 100};
    (void)state;
    assert_false(health_is_bad(&counts, &none, &severe, text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_counted_is_not_bad),
        cmocka_unit_test(three_hard_strikes_within_the_window_are_too_many),
        cmocka_unit_test(what_is_older_than_the_window_is_forgotten),
        cmocka_unit_test(one_worker_that_a_hook_held_until_it_was_killed_is_too_many),
        cmocka_unit_test(twenty_soft_strikes_are_too_many),
        cmocka_unit_test(a_rate_is_judged_from_ten_failures_on),
        cmocka_unit_test(a_rate_below_the_limit_is_borne),
        cmocka_unit_test(a_limit_of_0_judges_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "master/backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void the_wait_doubles_from_a_tenth_of_a_second_to_thirty_seconds(void **state)
{
    static const int64_t expected[] = {100,  200,   400,   800,   1600, 3200,
                                       6400, 12800, 25600, 30000, 30000};
    struct backoff backoff = {0};
    (void)state;
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        assert_int_equal(backoff_next(&backoff, 0), expected[i]);
}

static void a_minute_of_service_starts_over(void **state)
{
    struct backoff backoff = {0};
    (void)state;
    for (int i = 0; i < 5; i++)
        backoff_next(&backoff, 0);
    assert_int_equal(backoff_next(&backoff, BACKOFF_HEALTHY_MS), 100);
    assert_int_equal(backoff_next(&backoff, 0), 200);
}

static void less_than_a_minute_of_service_does_not(void **state)
{
    struct backoff backoff = {0};
    (void)state;
    assert_int_equal(backoff_next(&backoff, BACKOFF_HEALTHY_MS - 1), 100);
    assert_int_equal(backoff_next(&backoff, BACKOFF_HEALTHY_MS - 1), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_wait_doubles_from_a_tenth_of_a_second_to_thirty_seconds),
        cmocka_unit_test(a_minute_of_service_starts_over),
        cmocka_unit_test(less_than_a_minute_of_service_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

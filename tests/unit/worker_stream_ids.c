#include "worker/stream_ids.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void ids_in_their_order_leave_no_gap(void **state)
{
    struct stream_ids ids = {0};
    (void)state;
    for (int32_t id = 1; id <= 9; id += 2)
        stream_ids_open(&ids, id);
    assert_int_equal(ids.last, 9);
    for (int32_t id = 1; id <= 11; id += 2)
        assert_false(stream_ids_passed_over(&ids, id));
}

static void ids_that_were_passed_over_are_known(void **state)
{
    struct stream_ids ids = {0};
    (void)state;
    stream_ids_open(&ids, 5);
    stream_ids_open(&ids, 7);
    stream_ids_open(&ids, 11);
    for (int32_t id = 1; id <= 13; id += 2)
        assert_int_equal(stream_ids_passed_over(&ids, id), id == 1 || id == 3 || id == 9);
}

static void of_many_gaps_the_last_is_known(void **state)
{
    struct stream_ids ids = {0};
    (void)state;
    for (int32_t id = 3; id < 3 + 4 * 3 * STREAM_IDS_GAPS_MAX; id += 4)
        stream_ids_open(&ids, id);
    assert_int_equal(ids.gaps_count, STREAM_IDS_GAPS_MAX);
    assert_true(stream_ids_passed_over(&ids, 1));
    assert_true(stream_ids_passed_over(&ids, ids.last - 2));
}

static void the_last_resets_are_known(void **state)
{
    struct stream_ids ids = {0};
    (void)state;
    assert_false(stream_ids_were_reset(&ids, 1));
    for (int32_t id = 1; id <= 2 * STREAM_IDS_RESETS_KEPT + 1; id += 2)
        stream_ids_reset(&ids, id);
    assert_false(stream_ids_were_reset(&ids, 1));
    assert_true(stream_ids_were_reset(&ids, 3));
    assert_true(stream_ids_were_reset(&ids, 2 * STREAM_IDS_RESETS_KEPT + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_in_their_order_leave_no_gap),
        cmocka_unit_test(ids_that_were_passed_over_are_known),
        cmocka_unit_test(of_many_gaps_the_last_is_known),
        cmocka_unit_test(the_last_resets_are_known),
    };
    return cmocka_run_group_tests_name("worker_stream_ids", tests, NULL, NULL);
}

/* How much may be pushed with a page. */
#include "worker/budget.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define MSS 1448
#define MIB (1024 * 1024)
#define PLENTY (1 << 24)
#define PAGE_FRAMES (BUDGET_PAGE_FIELDS + 9) /* of a page below 16 KiB */

static const struct path COLD = {.cwnd_bytes = 10 * MSS, .receiver_bytes = 65535,
                                 .bdp_bytes = PATH_UNKNOWN, .mss = MSS, .rtt_us = 40000,
                                 .slow_start = true};
static const struct path WARM = {.cwnd_bytes = 60 * MSS, .receiver_bytes = 1 << 20,
                                 .bdp_bytes = 35530, .mss = MSS, .rtt_us = 209000};

static struct budget_load page_of(uint64_t bytes)
{
    return (struct budget_load){.page_bytes = bytes, .credit_bytes = PLENTY};
}

static void a_cold_connection_has_what_its_first_window_leaves(void **state)
{
    struct budget_load load = page_of(4000);
    (void)state;
    struct budget budget = budget_of(&COLD, &load, MIB);
    assert_int_equal(budget.behind, 12 * MSS - 4000 - PAGE_FRAMES);
    assert_int_equal(budget.ahead, 12 * MSS);
    load.tls = true;
    assert_int_equal(budget_of(&COLD, &load, MIB).ahead, 12 * MSS - 12 * MSS / 50);
}

static void a_page_larger_than_the_window_leaves_nothing_behind_it(void **state)
{
    struct budget_load load = page_of(80000);
    (void)state;
    struct budget budget = budget_of(&COLD, &load, MIB);
    assert_int_equal(budget.behind, 0);
    assert_int_equal(budget.ahead, 12 * MSS);
}

static void a_full_path_carries_one_bandwidth_delay_product(void **state)
{
    struct budget_load load = page_of(20480);
    (void)state;
    assert_int_equal(budget_of(&WARM, &load, MIB).behind,
                     35530 - 20480 - BUDGET_PAGE_FIELDS - 2 * 9);
    load = page_of(40960);
    assert_int_equal(budget_of(&WARM, &load, MIB).behind, 0);
}

static void what_waits_or_is_under_way_is_not_idle(void **state)
{
    struct budget_load load = page_of(1000);
    (void)state;
    uint64_t idle = budget_of(&COLD, &load, MIB).behind;
    load.unacked_bytes = 3000;
    load.content_bytes = 2000;
    assert_int_equal(budget_of(&COLD, &load, MIB).behind, idle - 5000);
    load.content_bytes = UINT64_C(1) << 40;
    assert_int_equal(budget_of(&COLD, &load, MIB).behind, 0);
    assert_int_equal(budget_of(&COLD, &load, MIB).ahead, 0);
}

static void the_clients_http2_window_is_not_passed(void **state)
{
    struct budget_load load = page_of(1000);
    (void)state;
    load.credit_bytes = 6000;
    assert_int_equal(budget_of(&COLD, &load, MIB).behind, 5000);
    assert_int_equal(budget_of(&COLD, &load, MIB).ahead, 6000);
    load.content_bytes = 5500;
    assert_int_equal(budget_of(&COLD, &load, MIB).behind, 0);
    assert_int_equal(budget_of(&COLD, &load, MIB).ahead, 500);
    load = page_of(0);
    load.credit_bytes = 0;
    assert_int_equal(budget_of(&COLD, &load, MIB).ahead, 0);
}

static void a_shut_tcp_window_carries_nothing(void **state)
{
    struct budget_load load = page_of(0);
    struct path path = COLD;
    (void)state;
    path.receiver_bytes = 0;
    assert_int_equal(budget_of(&path, &load, MIB).ahead, 0);
    path = (struct path){0}; /* nothing could be read */
    assert_int_equal(budget_of(&path, &load, MIB).ahead, 0);
}

static void a_window_that_is_not_told_does_not_bound(void **state)
{
    struct budget_load load = page_of(0);
    struct path path = COLD;
    (void)state;
    path.receiver_bytes = PATH_UNKNOWN;
    assert_int_equal(budget_of(&path, &load, MIB).ahead, 12 * MSS);
}

static void an_unknown_round_trip_is_one(void **state)
{
    struct budget_load load = page_of(0);
    struct path path = COLD;
    (void)state;
    path.rtt_us = 0;
    load.wait_us = 1000000;
    assert_int_equal(budget_of(&path, &load, MIB).ahead, 12 * MSS);
}

static void a_page_that_takes_its_time_lets_whole_round_trips_pass(void **state)
{
    struct budget_load load = page_of(0);
    struct path path = COLD;
    (void)state;
    load.wait_us = 39999;
    assert_int_equal(budget_of(&path, &load, MIB).ahead, 12 * MSS);
    load.wait_us = 80000; /* 12, 24, and with the page 45: the receiver takes no more */
    assert_int_equal(budget_of(&path, &load, MIB).ahead, 36 * MSS + 65535);
    path.slow_start = false;
    assert_int_equal(budget_of(&path, &load, MIB).ahead, 30 * MSS);
}

/* Loopback: 10 segments of 64 KiB, the receiver's first 64 KiB, 30 µs. */
static void a_near_client_gets_all_that_the_site_allows(void **state)
{
    struct path path = {.cwnd_bytes = 655360, .receiver_bytes = 65535, .bdp_bytes = PATH_UNKNOWN,
                        .mss = 65483, .rtt_us = 30, .slow_start = true};
    struct budget_load load = page_of(12288);
    (void)state;
    assert_true(budget_of(&path, &load, MIB).behind >= MIB);
    path.rtt_us = 5001;
    assert_true(budget_of(&path, &load, MIB).behind < 65535);
}

static void sums_are_exact_up_to_the_sites_bound(void **state)
{
    struct path path = {.cwnd_bytes = UINT64_C(1) << 40, .receiver_bytes = PATH_UNKNOWN,
                        .bdp_bytes = PATH_UNKNOWN, .mss = 65483, .rtt_us = 1, .slow_start = true};
    struct budget_load load = page_of(UINT64_C(1) << 30);
    (void)state;
    load.unacked_bytes = load.content_bytes = UINT64_C(1) << 40;
    load.credit_bytes = UINT64_C(1) << 42;
    load.wait_us = UINT32_MAX;
    struct budget budget = budget_of(&path, &load, UINT64_C(1) << 30);
    assert_true(budget.behind >= UINT64_C(1) << 30);
    assert_true(budget.ahead >= budget.behind);
}

static void each_push_counts_its_fields_too(void **state)
{
    (void)state;
    assert_true(budget_fits(10000, 0, 0, 10000 - BUDGET_PUSH_FIELDS));
    assert_false(budget_fits(10000, 0, 0, 10000 - BUDGET_PUSH_FIELDS + 1));
    assert_true(budget_fits(10000, 5000, 3, 5000 - 4 * BUDGET_PUSH_FIELDS));
    assert_false(budget_fits(10000, 5000, 4, 5000 - 4 * BUDGET_PUSH_FIELDS));
    assert_false(budget_fits(10000, 20000, 1, 0));
    assert_false(budget_fits(0, 0, 0, 0));
    assert_false(budget_fits(100, 0, 0, UINT64_MAX));
}

/* A second round's budget is what the path carries besides the first one's pushes. */
static void a_budget_beside_what_was_pushed_has_as_much_room_for_more(void **state)
{
    struct budget fresh = {.behind = 9000, .ahead = 12000};
    struct budget budget = budget_beside(fresh, 50000, 7);
    (void)state;
    for (uint64_t size = 0; size < 13000; size += 20) {
        assert_int_equal(budget_fits(budget.behind, 50000, 7, size),
                         budget_fits(fresh.behind, 0, 0, size));
        assert_int_equal(budget_fits(budget.ahead, 50000, 7, size),
                         budget_fits(fresh.ahead, 0, 0, size));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cold_connection_has_what_its_first_window_leaves),
        cmocka_unit_test(a_page_larger_than_the_window_leaves_nothing_behind_it),
        cmocka_unit_test(a_full_path_carries_one_bandwidth_delay_product),
        cmocka_unit_test(what_waits_or_is_under_way_is_not_idle),
        cmocka_unit_test(the_clients_http2_window_is_not_passed),
        cmocka_unit_test(a_shut_tcp_window_carries_nothing),
        cmocka_unit_test(a_window_that_is_not_told_does_not_bound),
        cmocka_unit_test(an_unknown_round_trip_is_one),
        cmocka_unit_test(a_page_that_takes_its_time_lets_whole_round_trips_pass),
        cmocka_unit_test(a_near_client_gets_all_that_the_site_allows),
        cmocka_unit_test(sums_are_exact_up_to_the_sites_bound),
        cmocka_unit_test(each_push_counts_its_fields_too),
        cmocka_unit_test(a_budget_beside_what_was_pushed_has_as_much_room_for_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

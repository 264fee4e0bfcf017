#include "worker/guard.h"

#include "tests/default_limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include <cmocka.h>

static uint64_t now_ms;
static struct config_limits limits;
static struct guard guard;

static int setup(void **state)
{
    (void)state;
    now_ms = 1000;
    limits = DEFAULT_LIMITS;
    guard_init(&guard, &limits, &now_ms);
    return 0;
}

/* How many events in a row pass before the first that doesn't, up to `most`. */
static unsigned passes(enum guard_event event, unsigned most)
{
    unsigned n = 0;
    while (n < most && guard_count(&guard, event))
        n++;
    return n;
}

static void pings_pass_up_to_the_rate_and_no_further(void **state)
{
    (void)state;
    assert_int_equal(passes(GUARD_PING, 1000), limits.ping_rate);
    assert_true(guard.failed);
    assert_int_equal(guard.tripped, COUNTER_limit_ping);
}

static void a_second_later_as_many_pings_pass_again(void **state)
{
    (void)state;
    for (unsigned i = 0; i < limits.ping_rate; i++)
        assert_true(guard_count(&guard, GUARD_PING));
    now_ms += 1000;
    for (unsigned i = 0; i < limits.ping_rate; i++)
        assert_true(guard_count(&guard, GUARD_PING));
    assert_false(guard_count(&guard, GUARD_PING));
}

static void unknown_frames_have_a_limit_of_their_own(void **state)
{
    (void)state;
    assert_int_equal(passes(GUARD_UNKNOWN, 1000), limits.unknown_rate);
    assert_int_equal(guard.tripped, COUNTER_limit_unknown);
}

/* Ninety of a hundred of each kind, kind after kind. */
static void kinds_below_their_limits_are_too_much_together(void **state)
{
    static const enum guard_event KINDS[] = {GUARD_PING, GUARD_UNKNOWN, GUARD_CLIENT_RESET,
                                             GUARD_SERVER_RESET};
    (void)state;
    unsigned passed = 0;
    for (unsigned kind = 0; kind < 4; kind++)
        for (unsigned i = 0; i < 90 && !guard.failed; i++)
            passed += guard_count(&guard, KINDS[kind]);
    assert_int_equal(guard.tripped, COUNTER_limit_misbehaviour);
    assert_int_equal(passed, limits.misbehaviour * 100);
}

static void the_account_comes_back_with_time(void **state)
{
    (void)state;
    for (unsigned second = 0; second < 100; second++) { /* one whole limit a second, for ever */
        for (unsigned i = 0; i < 50; i++) {
            assert_true(guard_count(&guard, GUARD_PING));
            assert_true(guard_count(&guard, GUARD_UNKNOWN));
        }
        now_ms += 1000;
    }
}

static void what_a_client_has_earned_costs_the_account_nothing(void **state)
{
    (void)state;
    guard.bytes_sent = 200u << 20; /* a download for which Node sends 6,000 WINDOW_UPDATEs */
    assert_int_equal(passes(GUARD_WINDOW_UPDATE, 6000), 6000);
    for (unsigned i = 0; i < 1000; i++) {
        assert_true(guard_count(&guard, GUARD_REQUEST));
        for (unsigned j = 0; j < limits.priority_per_request; j++)
            assert_true(guard_count(&guard, GUARD_PRIORITY));
    }
    assert_int_equal(passes(GUARD_PING, 1000), limits.ping_rate);
    assert_int_equal(guard.tripped, COUNTER_limit_ping);
}

static void a_header_block_of_many_times_the_limits_is_an_attack(void **state)
{
    (void)state;
    unsigned fields = 0;
    while (fields < 100000 && guard_count_field(&guard, 34))
        fields++;
    assert_int_equal(fields, 4 * limits.header_fields);
    assert_int_equal(guard.tripped, COUNTER_limit_bomb);
}

static void each_header_block_is_counted_for_itself(void **state)
{
    (void)state;
    for (int block = 0; block < 1000; block++) {
        guard_begin_fields(&guard);
        for (unsigned i = 0; i < 3; i++)
            assert_true(guard_count_field(&guard, limits.header_bytes));
    }
    assert_true(guard_count_field(&guard, limits.header_bytes));
    assert_false(guard_count_field(&guard, 1));
}

static void settings_have_a_limit_of_their_own(void **state)
{
    (void)state;
    assert_int_equal(passes(GUARD_SETTINGS, 1000), limits.settings_rate);
    assert_int_equal(guard.tripped, COUNTER_limit_settings);
}

static void each_request_earns_priority_frames(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        guard_count(&guard, GUARD_REQUEST);
    assert_int_equal(passes(GUARD_PRIORITY, 10000),
                     limits.priority_base + 10 * limits.priority_per_request);
    assert_int_equal(guard.tripped, COUNTER_limit_priority);
}

static void an_honest_download_may_send_a_window_update_for_each_kilobyte(void **state)
{
    (void)state;
    guard.bytes_sent = 200ULL * 1024 * 1024;
    assert_int_equal(passes(GUARD_WINDOW_UPDATE, 7000), 7000);
    assert_false(guard.failed);
}

static void window_updates_without_a_download_are_limited(void **state)
{
    (void)state;
    assert_int_equal(passes(GUARD_WINDOW_UPDATE, 100000), limits.window_update_base);
    assert_int_equal(guard.tripped, COUNTER_limit_window_update);
}

static void empty_data_is_limited_only_in_a_row(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(passes(GUARD_EMPTY_DATA, (unsigned)limits.empty_data),
                         limits.empty_data);
        guard_count(&guard, GUARD_DATA);
    }
    assert_int_equal(passes(GUARD_EMPTY_DATA, 1000), limits.empty_data);
    assert_int_equal(guard.tripped, COUNTER_limit_empty_data);
}

static void continuations_are_limited_in_each_header_block(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        guard_count(&guard, GUARD_HEADERS);
        assert_int_equal(passes(GUARD_CONTINUATION, (unsigned)limits.continuations),
                         limits.continuations);
    }
    assert_false(guard_count(&guard, GUARD_CONTINUATION));
    assert_int_equal(guard.tripped, COUNTER_limit_continuation);
}

static void resets_beyond_the_burst_end_the_connection(void **state)
{
    (void)state;
    assert_int_equal(passes(GUARD_CLIENT_RESET, 1000), limits.reset_burst);
    assert_int_equal(guard.tripped, COUNTER_limit_reset);
}

static void each_promise_may_be_reset_and_few_streams_more(void **state)
{
    (void)state;
    for (int i = 0; i < 500; i++) {
        guard_count(&guard, GUARD_PROMISE);
        assert_true(guard_count(&guard, GUARD_PUSH_RESET));
    }
    assert_int_equal(passes(GUARD_PUSH_RESET, 10000), limits.reset_burst);
    assert_int_equal(guard.tripped, COUNTER_limit_reset);
}

static void slow_resets_of_a_busy_connection_pass(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        for (int j = 0; j < 3; j++)
            guard_count(&guard, GUARD_REQUEST);
        now_ms += 60;
        assert_true(guard_count(&guard, GUARD_CLIENT_RESET));
    }
}

static void half_of_many_requests_reset_ends_the_connection_however_slowly(void **state)
{
    (void)state;
    unsigned n = 0;
    do {
        guard_count(&guard, GUARD_REQUEST);
        guard_count(&guard, GUARD_REQUEST);
        now_ms += 1000;
        n++;
    } while (n < 1000 && guard_count(&guard, GUARD_CLIENT_RESET));
    assert_int_equal(n, 100);
    assert_int_equal(guard.tripped, COUNTER_limit_reset);
}

static void a_peer_that_makes_the_server_reset_streams_is_cut_off(void **state)
{
    (void)state;
    assert_int_equal(passes(GUARD_SERVER_RESET, 1000), limits.server_resets);
    assert_int_equal(guard.tripped, COUNTER_limit_server_reset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, setup)
        TEST(pings_pass_up_to_the_rate_and_no_further),
        TEST(a_second_later_as_many_pings_pass_again),
        TEST(settings_have_a_limit_of_their_own),
        TEST(a_header_block_of_many_times_the_limits_is_an_attack),
        TEST(each_header_block_is_counted_for_itself),
        TEST(unknown_frames_have_a_limit_of_their_own),
        TEST(kinds_below_their_limits_are_too_much_together),
        TEST(the_account_comes_back_with_time),
        TEST(what_a_client_has_earned_costs_the_account_nothing),
        TEST(each_request_earns_priority_frames),
        TEST(an_honest_download_may_send_a_window_update_for_each_kilobyte),
        TEST(window_updates_without_a_download_are_limited),
        TEST(empty_data_is_limited_only_in_a_row),
        TEST(continuations_are_limited_in_each_header_block),
        TEST(resets_beyond_the_burst_end_the_connection),
        TEST(each_promise_may_be_reset_and_few_streams_more),
        TEST(slow_resets_of_a_busy_connection_pass),
        TEST(half_of_many_requests_reset_ends_the_connection_however_slowly),
        TEST(a_peer_that_makes_the_server_reset_streams_is_cut_off),
    };
    return cmocka_run_group_tests_name("worker_guard", tests, NULL, NULL);
}

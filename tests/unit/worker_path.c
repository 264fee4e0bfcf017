/* What TCP_INFO says of a path, and how much is sent at once on it. */
#include "worker/path.h"

#include <linux/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MSS 1448
#define MOST (64 * 1024)
#define WHOLE sizeof(struct tcp_info)

/* A connection 40 ms away that has just been opened. */
static struct tcp_info fresh(void)
{
    struct tcp_info info = {0};
    info.tcpi_snd_cwnd = 10;
    info.tcpi_snd_mss = MSS;
    info.tcpi_snd_ssthresh = 0x7fffffff;
    info.tcpi_rtt = info.tcpi_min_rtt = 40000;
    info.tcpi_rto = 240000;
    info.tcpi_snd_wnd = 65535;
    return info;
}

static struct path path_of(const struct tcp_info *info, size_t length)
{
    struct path path;
    path_read(&path, info, length, true);
    return path;
}

static void a_fresh_connection_is_in_slow_start_with_its_initial_window(void **state)
{
    struct tcp_info info = fresh();
    struct path path = path_of(&info, WHOLE);
    (void)state;
    assert_int_equal(path.cwnd_bytes, 10 * MSS);
    assert_int_equal(path.receiver_bytes, 65535);
    assert_int_equal(path.rtt_us, 40000);
    assert_true(path.slow_start);
    assert_true(path.bdp_bytes == PATH_UNKNOWN);
}

static void what_an_older_kernel_does_not_tell_is_unknown_not_zero(void **state)
{
    struct tcp_info info = fresh();
    (void)state;
    info.tcpi_snd_wnd = 0;
    assert_int_equal(path_of(&info, WHOLE).receiver_bytes, 0);
    assert_true(path_of(&info, offsetof(struct tcp_info, tcpi_snd_wnd)).receiver_bytes ==
                PATH_UNKNOWN);
    info.tcpi_min_rtt = 0;
    info.tcpi_delivery_rate = 1000000;
    struct path path = path_of(&info, offsetof(struct tcp_info, tcpi_min_rtt));
    assert_int_equal(path.rtt_us, 40000);
    assert_true(path.bdp_bytes == PATH_UNKNOWN);
}

static void a_shortest_round_trip_that_was_never_measured_is_none(void **state)
{
    struct tcp_info info = fresh();
    (void)state;
    info.tcpi_min_rtt = ~0U;
    assert_int_equal(path_of(&info, WHOLE).rtt_us, 40000);
    info.tcpi_rtt = 0;
    assert_int_equal(path_of(&info, WHOLE).rtt_us, 0);
}

/* 1,360 kbit/s and 209 ms: 35,530 bytes. */
static void the_bandwidth_counts_once_the_path_is_full(void **state)
{
    struct tcp_info info = fresh();
    (void)state;
    info.tcpi_min_rtt = info.tcpi_rtt = 209000;
    info.tcpi_delivery_rate = 170000;
    assert_true(path_of(&info, WHOLE).bdp_bytes == PATH_UNKNOWN); /* slow start, nothing queues */
    info.tcpi_rtt = 262000;
    assert_int_equal(path_of(&info, WHOLE).bdp_bytes, 35530);
    info.tcpi_rtt = 209000;
    info.tcpi_snd_ssthresh = 10;
    assert_int_equal(path_of(&info, WHOLE).bdp_bytes, 35530);
    info.tcpi_delivery_rate_app_limited = 1;
    assert_true(path_of(&info, WHOLE).bdp_bytes == PATH_UNKNOWN);
}

static void a_pause_halves_the_window_for_each_timeout_down_to_the_initial_one(void **state)
{
    struct tcp_info info = fresh();
    struct path path;
    (void)state;
    info.tcpi_snd_cwnd = 80;
    info.tcpi_snd_ssthresh = 40;
    info.tcpi_last_data_sent = 240;
    assert_int_equal(path_of(&info, WHOLE).cwnd_bytes, 80 * MSS); /* not longer than a time-out */
    info.tcpi_last_data_sent = 500;
    path = path_of(&info, WHOLE);
    assert_int_equal(path.cwnd_bytes, 20 * MSS);
    assert_true(path.slow_start);
    info.tcpi_last_data_sent = 60000;
    assert_int_equal(path_of(&info, WHOLE).cwnd_bytes, 10 * MSS);
    info.tcpi_snd_cwnd = 4;
    assert_int_equal(path_of(&info, WHOLE).cwnd_bytes, 4 * MSS);
    info.tcpi_snd_cwnd = 80;
    path_read(&path, &info, WHOLE, false); /* the sysctl is off */
    assert_int_equal(path.cwnd_bytes, 80 * MSS);
    info.tcpi_unacked = 1; /* no pause: something is under way */
    assert_int_equal(path_of(&info, WHOLE).cwnd_bytes, 80 * MSS);
}

static void near_clients_are_not_paced(void **state)
{
    (void)state;
    assert_false(path_is_paced(0));
    assert_false(path_is_paced(50));
    assert_false(path_is_paced(9999));
    assert_true(path_is_paced(10000));
}

static void a_send_takes_what_the_window_has_room_for_and_a_little_more(void **state)
{
    struct path path = {.cwnd_bytes = 10 * MSS, .receiver_bytes = 65535, .mss = MSS,
                        .rtt_us = 40000};
    (void)state;
    assert_int_equal(path_unsent_max(&path), 4 * MSS);
    assert_int_equal(path_room(&path, 0, MOST), 12 * MSS);
    assert_int_equal(path_room(&path, 4 * MSS, MOST), 8 * MSS);
    assert_int_equal(path_room(&path, 10 * MSS, MOST), 0);
    assert_int_equal(path_room(&path, 1 << 20, MOST), 0);
    assert_int_equal(path_room_least(&path, MOST), 2 * MSS);
}

static void a_large_window_keeps_an_eighth_or_5_ms_in_the_kernel(void **state)
{
    struct path path = {.cwnd_bytes = 800000, .receiver_bytes = PATH_UNKNOWN, .mss = MSS,
                        .rtt_us = 200000};
    (void)state;
    assert_int_equal(path_unsent_max(&path), 2 * 100000);
    path.rtt_us = 10000;
    assert_int_equal(path_unsent_max(&path), 2 * 400000);
    assert_int_equal(path_room(&path, 0, MOST), MOST);
    assert_int_equal(path_room_least(&path, MOST), MOST);
}

static void the_receivers_window_bounds_a_send_and_a_shut_one_forbids_it(void **state)
{
    struct path path = {.cwnd_bytes = 10 * MSS, .receiver_bytes = 3000, .mss = MSS,
                        .rtt_us = 40000};
    (void)state;
    assert_int_equal(path_room(&path, 0, MOST), 3000 + 2 * MSS);
    assert_int_equal(path_room(&path, 3000, MOST), 0);
    path.receiver_bytes = 0;
    assert_int_equal(path_room(&path, 0, MOST), 0);
}

static void nothing_overflows(void **state)
{
    struct path path = {.cwnd_bytes = UINT64_MAX / 8, .receiver_bytes = PATH_UNKNOWN, .mss = 65483,
                        .rtt_us = 1000000};
    (void)state;
    assert_int_equal(path_unsent_max(&path), UINT32_MAX / 2);
    assert_int_equal(path_room(&path, 0, MOST), MOST);
    path = (struct path){0};
    assert_int_equal(path_unsent_max(&path), 0);
    assert_int_equal(path_room(&path, 0, MOST), 0);
    assert_int_equal(path_room_least(&path, MOST), 2048);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fresh_connection_is_in_slow_start_with_its_initial_window),
        cmocka_unit_test(what_an_older_kernel_does_not_tell_is_unknown_not_zero),
        cmocka_unit_test(a_shortest_round_trip_that_was_never_measured_is_none),
        cmocka_unit_test(the_bandwidth_counts_once_the_path_is_full),
        cmocka_unit_test(a_pause_halves_the_window_for_each_timeout_down_to_the_initial_one),
        cmocka_unit_test(near_clients_are_not_paced),
        cmocka_unit_test(a_send_takes_what_the_window_has_room_for_and_a_little_more),
        cmocka_unit_test(a_large_window_keeps_an_eighth_or_5_ms_in_the_kernel),
        cmocka_unit_test(the_receivers_window_bounds_a_send_and_a_shut_one_forbids_it),
        cmocka_unit_test(nothing_overflows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

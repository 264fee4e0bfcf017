#include "master/pulse.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define S INT64_C(1000000000)

static void a_second_of_cpu_without_a_heartbeat_is_stuck(void **state)
{
    struct pulse pulse = {0};
    (void)state;
    assert_int_equal(pulse_judge(&pulse, 7, false, 5 * S, 1000), PULSE_BEATS);
    assert_int_equal(pulse_judge(&pulse, 7, false, 5 * S + S - 1, 2000), PULSE_BEATS);
    assert_int_equal(pulse_judge(&pulse, 7, false, 6 * S, 2001), PULSE_STUCK);
}

static void a_second_of_cpu_inside_a_hook_is_the_policy_s_doing(void **state)
{
    struct pulse pulse = {0};
    (void)state;
    assert_int_equal(pulse_judge(&pulse, 7, true, 5 * S, 1000), PULSE_BEATS);
    assert_int_equal(pulse_judge(&pulse, 7, true, 6 * S, 2001), PULSE_WEDGED);
}

static void a_heartbeat_starts_over(void **state)
{
    struct pulse pulse = {0};
    (void)state;
    for (int i = 0; i < 100; i++)
        assert_int_equal(pulse_judge(&pulse, (uint64_t)i, false, i * S * 9 / 10, i * 900),
                         PULSE_BEATS);
}

static void an_idle_worker_is_not_stuck_however_long_it_sleeps(void **state)
{
    struct pulse pulse = {0};
    (void)state;
    assert_int_equal(pulse_judge(&pulse, 7, false, S, 0), PULSE_BEATS);
    assert_int_equal(pulse_judge(&pulse, 7, false, S, 86400000), PULSE_BEATS);
}

static void a_starved_worker_is_not_stuck(void **state)
{
    struct pulse pulse = {0};
    (void)state;
    assert_int_equal(pulse_judge(&pulse, 7, true, S, 0), PULSE_BEATS);
    assert_int_equal(pulse_judge(&pulse, 7, true, S + S / 2, 29999), PULSE_BEATS);
}

static void half_a_minute_inside_a_policy_is_stuck(void **state)
{
    struct pulse pulse = {0};
    (void)state;
    assert_int_equal(pulse_judge(&pulse, 7, true, S, 0), PULSE_BEATS);
    assert_int_equal(pulse_judge(&pulse, 7, true, S, PULSE_WALL_MS), PULSE_AWAY);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Real processes: one spins without a heartbeat, one spins with one. */
static void a_spinning_process_is_found_and_a_beating_one_is_not(void **state)
{
    struct segment_slot *slots =
        mmap(NULL, 2 * sizeof(*slots), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct pulse pulses[2];
    pid_t pids[2];
    bool stuck[2] = {false, false};
    int64_t end_ms = now_ms() + 30000; /* on a busy machine a second of CPU takes a while */
    (void)state;
    for (int i = 0; i < 2; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            alarm(40);
            for (;;)
                if (i == 1)
                    atomic_fetch_add(&slots[i].heartbeat, 1);
        }
        pulse_begin(&pulses[i], pids[i]);
    }
    while (!stuck[0] && now_ms() < end_ms) {
        usleep(20000);
        for (int i = 0; i < 2; i++)
            stuck[i] = stuck[i] || pulse_check(&pulses[i], &slots[i], now_ms()) != PULSE_BEATS;
    }
    for (int i = 0; i < 2; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
    assert_true(stuck[0]);
    assert_false(stuck[1]);
    munmap(slots, 2 * sizeof(*slots));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_of_cpu_without_a_heartbeat_is_stuck),
        cmocka_unit_test(a_second_of_cpu_inside_a_hook_is_the_policy_s_doing),
        cmocka_unit_test(a_heartbeat_starts_over),
        cmocka_unit_test(an_idle_worker_is_not_stuck_however_long_it_sleeps),
        cmocka_unit_test(a_starved_worker_is_not_stuck),
        cmocka_unit_test(half_a_minute_inside_a_policy_is_stuck),
        cmocka_unit_test(a_spinning_process_is_found_and_a_beating_one_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

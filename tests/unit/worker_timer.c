#include "worker/timer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct alarm {
    struct timer timer;
    unsigned fired;
    struct timers *again; /* set again 10 ms later by its own callback */
};

static unsigned order[4096];
static unsigned order_count;

static void on_alarm(struct timer *timer)
{
    struct alarm *alarm = (struct alarm *)timer;
    alarm->fired++;
    order[order_count++ % 4096] = (unsigned)timer->deadline_ms;
    if (alarm->again)
        timer_set(alarm->again, timer, alarm->again->now_ms + 10);
}

static int setup(void **state)
{
    struct timers *timers = calloc(1, sizeof(*timers));
    *state = timers;
    order_count = 0;
    return timers ? timers_reserve(timers, 8) : -1;
}

static int teardown(void **state)
{
    timers_finish(*state);
    free(*state);
    return 0;
}

static void a_timer_fires_once_its_deadline_has_come_and_not_before(void **state)
{
    struct timers *timers = *state;
    struct alarm alarm = {.timer.fired = on_alarm};
    timer_set(timers, &alarm.timer, 100);
    timers->now_ms = 99;
    timers_run(timers);
    assert_int_equal(alarm.fired, 0);
    timers->now_ms = 100;
    timers_run(timers);
    timers_run(timers);
    assert_int_equal(alarm.fired, 1);
    assert_false(timer_is_set(&alarm.timer));
}

static void a_deadline_moved_later_is_kept_at_the_later_time(void **state)
{
    struct timers *timers = *state;
    struct alarm alarm = {.timer.fired = on_alarm};
    timer_set(timers, &alarm.timer, 100);
    timer_set(timers, &alarm.timer, 200);
    timers->now_ms = 150;
    timers_run(timers);
    assert_int_equal(alarm.fired, 0);
    assert_int_equal(timers_wait_ns(timers), 50 * 1000000);
    timers->now_ms = 200;
    timers_run(timers);
    assert_int_equal(alarm.fired, 1);
}

static void a_deadline_moved_earlier_is_kept_at_the_earlier_time(void **state)
{
    struct timers *timers = *state;
    struct alarm late = {.timer.fired = on_alarm};
    struct alarm other = {.timer.fired = on_alarm};
    timer_set(timers, &other.timer, 50);
    timer_set(timers, &late.timer, 100);
    timer_set(timers, &late.timer, 20);
    assert_int_equal(timers_wait_ns(timers), 20 * 1000000);
    timers->now_ms = 20;
    timers_run(timers);
    assert_int_equal(late.fired, 1);
    assert_int_equal(other.fired, 0);
}

static void a_stopped_timer_does_not_fire(void **state)
{
    struct timers *timers = *state;
    struct alarm alarm = {.timer.fired = on_alarm};
    timer_set(timers, &alarm.timer, 100);
    timer_stop(timers, &alarm.timer);
    timer_stop(timers, &alarm.timer);
    timers->now_ms = 1000;
    timers_run(timers);
    assert_int_equal(alarm.fired, 0);
    assert_int_equal(timers_wait_ns(timers), -1);
}

static void a_callback_may_set_its_timer_again(void **state)
{
    struct timers *timers = *state;
    struct alarm alarm = {.timer.fired = on_alarm, .again = timers};
    timer_set(timers, &alarm.timer, 100);
    for (timers->now_ms = 100; timers->now_ms < 150; timers->now_ms++)
        timers_run(timers);
    assert_int_equal(alarm.fired, 5);
}

/* A thousand timers, more than room was reserved for, set, moved and stopped at random, fire in order and each exactly as often as
 * a plain list of deadlines says. */
static void many_timers_fire_in_order_whatever_was_moved(void **state)
{
    enum { COUNT = 1000 };
    struct timers *timers = *state;
    struct alarm *alarms = calloc(COUNT, sizeof(*alarms));
    unsigned due = 0;
    srandom(7);
    for (int i = 0; i < COUNT * 8; i++) {
        struct alarm *alarm = &alarms[random() % COUNT];
        alarm->timer.fired = on_alarm;
        if (random() % 4)
            timer_set(timers, &alarm->timer, 1 + (uint64_t)random() % 5000);
        else
            timer_stop(timers, &alarm->timer);
    }
    for (int i = 0; i < COUNT; i++)
        due += timer_is_set(&alarms[i].timer);
    for (timers->now_ms = 0; timers->now_ms <= 5000; timers->now_ms++)
        timers_run(timers);
    assert_int_equal(order_count, due);
    for (unsigned i = 1; i < order_count; i++)
        assert_true(order[i - 1] <= order[i]);
    free(alarms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(a_timer_fires_once_its_deadline_has_come_and_not_before),
        TEST(a_deadline_moved_later_is_kept_at_the_later_time),
        TEST(a_deadline_moved_earlier_is_kept_at_the_earlier_time),
        TEST(a_stopped_timer_does_not_fire),
        TEST(a_callback_may_set_its_timer_again),
        TEST(many_timers_fire_in_order_whatever_was_moved),
    };
    return cmocka_run_group_tests_name("worker_timer", tests, NULL, NULL);
}

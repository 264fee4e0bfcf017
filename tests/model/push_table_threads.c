/* Threads race over a small push table, each with a handle of its own: never two holders of a
 * claim, no live claim lost. Built with -fsanitize=thread as well, where it must be silent.
 * HERALD_SOAK=1 makes it long. */
#include "tests/model/race.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

#define THREADS 3
#define SWEEP_TICKS 50

static struct race race;
static uint64_t steps_max;

static void *run(void *argument)
{
    struct racer *racer = argument;
    for (uint64_t i = 0; i < steps_max && !atomic_load(&race.stop); i++)
        racer_step(racer);
    atomic_store(&race.calls[racer->worker], UINT64_MAX);
    return NULL;
}

/* Sweeps the whole table, as its keeper must while no claim that lapsed is 128 ticks old. */
static void sweep(void)
{
    struct push_table table;
    assert_int_equal(push_table_attach(&table, race.buckets, sizeof(race.buckets),
                                       PUSH_TABLE_NO_OWNER), 0);
    table.clock_ms = race_clock;
    table.clock_context = &race;
    push_sweep_all(&table, PUSH_TABLE_NO_OWNER);
}

/* Lets the clock go on only while no thread has slept through 40 ticks inside one call: the table
 * forbids 100. */
static bool run_clock(void)
{
    unsigned unswept = 0;
    uint64_t calls[THREADS] = {0}, ticks[THREADS] = {0};
    bool running = true;
    while (running) {
        bool late = running = false;
        for (unsigned n = 0; n < THREADS; n++) {
            uint64_t seen = atomic_load(&race.calls[n]);
            running |= seen != UINT64_MAX;
            ticks[n] = seen == calls[n] && seen != UINT64_MAX ? ticks[n] + 1 : 0;
            late |= ticks[n] > 40;
            calls[n] = seen;
        }
        if (!late) {
            atomic_fetch_add(&race.now_ms, PUSH_FINE_TICK_MS);
            unswept++;
        }
        if (unswept == SWEEP_TICKS) {
            unswept = 0;
            sweep();
        }
        if (!race_check_words(
                &race, (struct push_ticks){atomic_load(&race.now_ms) / PUSH_FINE_TICK_MS, 0}))
            return false;
        sched_yield();
    }
    return true;
}

static void racing_threads_never_hold_one_claim_twice(void **state)
{
    const char *soak = getenv("HERALD_SOAK");
    static struct racer racers[THREADS];
    pthread_t threads[THREADS];
    uint64_t claims = 0, settled = 0, began = (PUSH_COARSE_TICK_MS << 16) - 3000;
    (void)state;
    steps_max = soak && *soak && *soak != '0' ? 30000000 : 600000;
    atomic_store(&race.now_ms, began);
    for (unsigned n = 0; n < THREADS; n++) {
        assert_int_equal(racer_init(&racers[n], &race, n, n + 1), 0);
        assert_int_equal(pthread_create(&threads[n], NULL, run, &racers[n]), 0);
    }
    (void)run_clock();
    for (unsigned n = 0; n < THREADS; n++) {
        assert_int_equal(pthread_join(threads[n], NULL), 0);
        claims += atomic_load(&race.claims[n]);
        settled += atomic_load(&race.settled[n]);
    }
    assert_string_equal(race.failure, "");
    print_message("%llu claims won, %llu settled, %llu ticks\n", (unsigned long long)claims,
                  (unsigned long long)settled,
                  (unsigned long long)((race.now_ms - began) / PUSH_FINE_TICK_MS));
    assert_true(claims > steps_max / 10);
    assert_true(settled > claims / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(racing_threads_never_hold_one_claim_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

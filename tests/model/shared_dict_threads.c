/* Threads, then processes that are killed at any instant, race over a small dictionary that is full,
 * so that entries are given up all the time. Counters come to their exact sums, a value is never
 * another's or half of one, and a dead process's locks are all that it leaves. The threads are built
 * with -fsanitize=thread as well, where they must be silent. HERALD_SOAK=1 makes it long. */
#include "policy/shared_dict.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define RACERS 3
#define BYTES SHARED_BYTES_MIN
#define KEYS 200
#define COUNTERS 4 /* in a dictionary of their own, where nothing is given up */

static const uint8_t KEY[16] = {9};
static uint64_t steps_max;
static unsigned kills_max;

struct race {
    char values[BYTES], counters[BYTES];
    _Atomic uint64_t wrong, busy;
    _Atomic uint64_t begun[RACERS], counted[RACERS]; /* additions */
} __attribute__((aligned(4096)));

struct racer {
    struct race *race;
    struct shared_dict values, counters;
    unsigned index;
    uint64_t random;
};

static uint64_t below(struct racer *racer, uint64_t n)
{
    racer->random = racer->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (racer->random >> 33) % n;
}

static void racer_init(struct racer *racer, struct race *race, unsigned index, uint64_t seed)
{
    *racer = (struct racer){.race = race, .index = index, .random = seed};
    assert_int_equal(
        shared_dict_attach(&racer->values, race->values, BYTES, index + 1, KEY), 0);
    assert_int_equal(
        shared_dict_attach(&racer->counters, race->counters, BYTES, index + 1, KEY), 0);
}

/* Every byte of a value follows from its key and its length. */
static void write_one(struct racer *racer, unsigned key)
{
    char name[16], text[SHARED_VALUE_MAX];
    size_t length = below(racer, below(racer, 8) ? 200 : SHARED_VALUE_MAX + 1);
    struct shared_value value = {.type = SHARED_STRING, .text = span_make(text, length)};
    snprintf(name, sizeof(name), "key%u", key);
    memset(text, (int)(key + length) & 0xff, length);
    if (shared_dict_set(&racer->values, span_of(name), &value, (uint32_t)below(racer, 3), 1) ==
        SHARED_BUSY)
        atomic_fetch_add(&racer->race->busy, 1);
}

static void read_one(struct racer *racer, unsigned key)
{
    char name[16], text[SHARED_VALUE_MAX];
    struct shared_value value;
    snprintf(name, sizeof(name), "key%u", key);
    if (shared_dict_get(&racer->values, span_of(name), 1, &value, text) != SHARED_DONE)
        return;
    for (size_t i = 0; i < value.text.length; i++) {
        if ((unsigned char)text[i] != ((key + value.text.length) & 0xff)) {
            atomic_fetch_add(&racer->race->wrong, 1);
            return;
        }
    }
}

static void count_one(struct racer *racer, unsigned counter)
{
    char name[16];
    double sum;
    snprintf(name, sizeof(name), "count%u", counter);
    atomic_fetch_add(&racer->race->begun[racer->index], 1);
    if (shared_dict_incr(&racer->counters, span_of(name), 1, 0, 0, 1, &sum) == SHARED_DONE)
        atomic_fetch_add(&racer->race->counted[racer->index], 1);
    else
        atomic_fetch_add(&racer->race->busy, 1);
}

static void *run(void *argument)
{
    struct racer *racer = argument;
    for (uint64_t i = 0; i < steps_max; i++) {
        unsigned key = (unsigned)below(racer, KEYS);
        char name[16];
        snprintf(name, sizeof(name), "key%u", key);
        switch (below(racer, 4)) {
        case 0:
            write_one(racer, key);
            break;
        case 1:
            if (below(racer, 8) == 0)
                shared_dict_delete(&racer->values, span_of(name), 1);
            break;
        case 2:
            count_one(racer, key % COUNTERS);
            break;
        default:
            read_one(racer, key);
        }
    }
    return NULL;
}

static double total(struct racer *racer)
{
    double all = 0;
    for (unsigned i = 0; i < COUNTERS; i++) {
        char name[16], text[SHARED_VALUE_MAX];
        struct shared_value value;
        snprintf(name, sizeof(name), "count%u", i);
        if (shared_dict_get(&racer->counters, span_of(name), 1, &value, text) == SHARED_DONE)
            all += value.number;
    }
    return all;
}

static struct race *race_create(void)
{
    struct race *race = mmap(NULL, sizeof(*race), PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(race, MAP_FAILED);
    return race;
}

static void check(struct race *race, struct racer *racer)
{
    struct shared_census census;
    shared_dict_census(&racer->values, &census);
    assert_int_equal(census.damaged, 0);
    shared_dict_census(&racer->counters, &census);
    assert_int_equal(census.damaged, 0);
    assert_int_equal(atomic_load(&race->wrong), 0);
}

static void threads_lose_no_addition_and_read_whole_values(void **state)
{
    struct race *race = race_create();
    struct racer racers[RACERS];
    pthread_t threads[RACERS];
    uint64_t counted = 0;
    (void)state;
    for (unsigned i = 0; i < RACERS; i++) {
        racer_init(&racers[i], race, i, i + 1);
        assert_int_equal(pthread_create(&threads[i], NULL, run, &racers[i]), 0);
    }
    for (unsigned i = 0; i < RACERS; i++) {
        pthread_join(threads[i], NULL);
        counted += atomic_load(&race->counted[i]);
    }
    check(race, &racers[0]);
    assert_true(total(&racers[0]) == (double)counted);
    assert_true(counted > RACERS * steps_max / 8);
    munmap(race, sizeof(*race));
}

#ifndef __SANITIZE_THREAD__
static pid_t start(struct race *race, unsigned index, uint64_t seed)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct racer racer;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        racer_init(&racer, race, index, seed);
        for (;;)
            run(&racer);
    }
    return pid;
}

/* Each kill may leave at most one addition that was made and not noted. */
static void processes_killed_at_any_instant_leave_the_dictionary_valid(void **state)
{
    struct race *race = race_create();
    struct racer judge;
    pid_t pids[RACERS];
    uint64_t random = 1, held = 0, begun = 0, counted = 0;
    (void)state;
    racer_init(&judge, race, RACERS, 77);
    for (unsigned i = 0; i < RACERS; i++)
        pids[i] = start(race, i, i + 1);
    for (unsigned kill_number = 0; kill_number < kills_max; kill_number++) {
        unsigned i = kill_number % RACERS;
        random = random * UINT64_C(6364136223846793005) + 1;
        nanosleep(&(struct timespec){0, (long)(random >> 40) % 2000000}, NULL);
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
        held += shared_dict_release(&judge.values, i + 1);
        held += shared_dict_release(&judge.counters, i + 1);
        check(race, &judge);
        pids[i] = start(race, i, random);
    }
    for (unsigned i = 0; i < RACERS; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
        held += shared_dict_release(&judge.values, i + 1);
        held += shared_dict_release(&judge.counters, i + 1);
        begun += atomic_load(&race->begun[i]);
        counted += atomic_load(&race->counted[i]);
    }
    check(race, &judge);
    printf("%u kills, %llu locks held by the dead, %llu additions, %llu gave up waiting\n",
           kills_max, (unsigned long long)held, (unsigned long long)counted,
           (unsigned long long)atomic_load(&race->busy));
    assert_true(held > 0);
    assert_true(total(&judge) >= (double)counted && total(&judge) <= (double)begun);
    assert_true(begun - counted - atomic_load(&race->busy) <= kills_max + RACERS);
    munmap(race, sizeof(*race));
}
#endif

int main(void)
{
    bool soak = getenv("HERALD_SOAK") != NULL;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_lose_no_addition_and_read_whole_values),
#ifndef __SANITIZE_THREAD__
        cmocka_unit_test(processes_killed_at_any_instant_leave_the_dictionary_valid),
#endif
    };
    steps_max = soak ? 2000000 : 40000;
    kills_max = soak ? 5000 : 300;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

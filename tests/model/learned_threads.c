/* Threads, then processes that are killed at any instant, race over a learned table of one bucket, so
 * that cells are given up all the time. An asset that fewer than LEARNED_SEEN_MIN voters ever asked
 * for after a page never seems to have more of them, and no page has an asset that was never noted
 * for it. The threads are built with -fsanitize=thread as well, where they must be silent.
 * HERALD_SOAK=1 makes it long. */
#include "policy/learned.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define RACERS 3
#define PAGES 5
#define ASSETS 12 /* of each page; the last one is asked for by too few */
#define LONELY (ASSETS - 1)

struct race {
    struct learned_bucket buckets[1];
    _Atomic uint64_t now_s;
    _Atomic uint64_t proposed, refused, wrong;
};

struct racer {
    struct race *race;
    struct learned learned;
    uint64_t random;
};

static uint64_t steps_max;

static uint64_t spread(uint64_t n)
{
    n = (n + 1) * UINT64_C(0x9e3779b97f4a7c15);
    n ^= n >> 29;
    n *= UINT64_C(0xbf58476d1ce4e5b9);
    return n ^ n >> 32;
}

static uint64_t below(struct racer *racer, uint64_t n)
{
    racer->random = spread(racer->random);
    return (racer->random >> 16) % n;
}

/* Page and asset can be told from the resource. */
static uint64_t resource_of(uint64_t page, uint64_t asset)
{
    return spread(1000 + page * ASSETS + asset);
}

static void check(struct racer *racer, uint64_t page, uint64_t now_s)
{
    static const struct learned_wish wish = {LEARNED_SEEN_MIN, 0};
    struct learned_asset assets[LEARNED_CELLS];
    unsigned count = learned_next(&racer->learned, spread(page), &wish, now_s, assets,
                                  LEARNED_CELLS, NULL);
    for (unsigned i = 0; i < count; i++) {
        bool known = false;
        for (uint64_t n = 0; n < LONELY; n++)
            known |= assets[i].resource == resource_of(page, n);
        if (!known || assets[i].percent > 100)
            atomic_fetch_add(&racer->race->wrong, 1);
    }
    atomic_fetch_add(&racer->race->proposed, count);
}

static bool holds(void *context, uint64_t resource)
{
    struct racer *racer = context;
    return (resource & 7) == below(racer, 8);
}

static void step(struct racer *racer)
{
    uint64_t page = below(racer, PAGES), n = below(racer, ASSETS);
    uint64_t voter = spread(1 + below(racer, n == LONELY ? LEARNED_SEEN_MIN - 1 : 200));
    uint64_t now_s = atomic_load(&racer->race->now_s);
    struct learned_asset asset = {.resource = resource_of(page, n), .place = (uint8_t)n};
    if (!learned_note(&racer->learned, spread(page), voter, &asset, now_s))
        atomic_fetch_add(&racer->race->refused, 1);
    if (below(racer, 4) == 0)
        learned_held(&racer->learned, spread(page), voter, holds, racer, now_s);
    check(racer, below(racer, PAGES), now_s);
    if (below(racer, 3000) == 0)
        atomic_fetch_add(&racer->race->now_s, LEARNED_EPOCH_S / 4);
}

static void racer_init(struct racer *racer, struct race *race, unsigned seed)
{
    *racer = (struct racer){.race = race, .random = spread(seed)};
    learned_attach(&racer->learned, race->buckets, sizeof(race->buckets));
}

static void *run(void *argument)
{
    struct racer *racer = argument;
    for (uint64_t i = 0; i < steps_max; i++)
        step(racer);
    return NULL;
}

static void racing_threads_never_count_one_voter_too_many(void **state)
{
    static struct race race;
    static struct racer racers[RACERS];
    pthread_t threads[RACERS];
    (void)state;
    atomic_store(&race.now_s, (UINT64_C(1) << 24) * 60 - 100000); /* so that the minutes wrap */
    for (unsigned n = 0; n < RACERS; n++) {
        racer_init(&racers[n], &race, n);
        assert_int_equal(pthread_create(&threads[n], NULL, run, &racers[n]), 0);
    }
    for (unsigned n = 0; n < RACERS; n++)
        assert_int_equal(pthread_join(threads[n], NULL), 0);
    assert_int_equal(race.wrong, 0);
    assert_true(race.proposed > 1000);
    assert_true(race.refused > 100);
}

#ifndef __SANITIZE_THREAD__
static pid_t start(struct race *race, unsigned seed)
{
    static struct racer racer;
    pid_t parent = getpid();
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    racer_init(&racer, race, seed);
    while (getppid() == parent)
        step(&racer);
    _exit(0);
}

static void killed_processes_leave_a_table_that_works(void **state)
{
    struct race *race = mmap(NULL, sizeof(*race), PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pids[RACERS];
    unsigned kills = (unsigned)(steps_max / 1000);
    (void)state;
    assert_ptr_not_equal(race, MAP_FAILED);
    for (unsigned n = 0; n < RACERS; n++)
        pids[n] = start(race, n);
    for (unsigned i = 0; i < kills; i++) {
        nanosleep(&(struct timespec){0, 1000000 + i % 7 * 300000}, NULL);
        assert_int_equal(kill(pids[i % RACERS], SIGKILL), 0);
        assert_int_equal(waitpid(pids[i % RACERS], NULL, 0), pids[i % RACERS]);
        pids[i % RACERS] = start(race, RACERS + i);
    }
    for (unsigned n = 0; n < RACERS; n++) {
        kill(pids[n], SIGKILL);
        waitpid(pids[n], NULL, 0);
    }
    assert_int_equal(race->wrong, 0);
    uint64_t before = race->proposed;
    static struct racer last;
    racer_init(&last, race, 99);
    for (unsigned i = 0; i < 5000; i++)
        step(&last);
    assert_int_equal(race->wrong, 0);
    assert_true(race->proposed > before);
    munmap(race, sizeof(*race));
}
#endif

int main(void)
{
    const char *soak = getenv("HERALD_SOAK");
    steps_max = soak && *soak && *soak != '0' ? 5000000 : 150000;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(racing_threads_never_count_one_voter_too_many),
#ifndef __SANITIZE_THREAD__
        cmocka_unit_test(killed_processes_leave_a_table_that_works),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Threads, then processes that are killed at any instant, race over a names table so small that
 * names are given up all the time. Never is a text read that is not its name's, and never does a
 * name become public that fewer than NAMES_SEEN_MIN voters asked for. The threads are built with
 * -fsanitize=thread as well, where they must be silent. HERALD_SOAK=1 makes it long. */
#include "policy/names.h"

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

#define SETS 2
#define RACERS 3
#define RESOURCES 48 /* the last LONELY of them are asked for by too few */
#define LONELY 8

struct race {
    struct names_set sets[SETS];
    _Atomic uint64_t now_s;
    _Atomic bool stop;
    _Atomic uint64_t read, published, wrong;
};

struct racer {
    struct race *race;
    struct names names;
    uint64_t random;
    uint32_t ids[RESOURCES];
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

static void path_of(unsigned n, char text[64])
{
    snprintf(text, 64, "/a/%u/%.*s", n, (int)(n % 40), "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
}

static void check(struct racer *racer, unsigned n)
{
    struct names_entry entry;
    char path[64];
    if (!racer->ids[n] || !names_read(&racer->names, racer->ids[n], &entry))
        return;
    path_of(n, path);
    if (entry.resource != spread(n) || !span_equal(entry.path, span_of(path)) ||
        !span_equal(entry.site, SPAN_LITERAL("racing.example")))
        atomic_fetch_add(&racer->race->wrong, 1);
    atomic_fetch_add(&racer->race->read, 1);
}

static void step(struct racer *racer)
{
    char path[64];
    unsigned n = (unsigned)below(racer, RESOURCES);
    bool lonely = n >= RESOURCES - LONELY;
    uint64_t voter = spread(1000 + below(racer, lonely ? NAMES_SEEN_MIN - 1 : 50));
    uint64_t now_s = atomic_load(&racer->race->now_s);
    path_of(n, path);
    uint32_t id = names_note(&racer->names, spread(n), voter, SPAN_LITERAL("racing.example"),
                             span_of(path), now_s);
    if (id && lonely)
        atomic_fetch_add(&racer->race->wrong, 1);
    if (id && id != racer->ids[n]) {
        racer->ids[n] = id;
        atomic_fetch_add(&racer->race->published, 1);
    }
    check(racer, (unsigned)below(racer, RESOURCES));
    if (below(racer, 2000) == 0)
        atomic_fetch_add(&racer->race->now_s, 480);
}

static void racer_init(struct racer *racer, struct race *race, unsigned seed)
{
    memset(racer, 0, sizeof(*racer));
    racer->race = race;
    racer->random = spread(seed);
    names_attach(&racer->names, race->sets, sizeof(race->sets));
}

static void *run(void *argument)
{
    struct racer *racer = argument;
    for (uint64_t i = 0; i < steps_max; i++)
        step(racer);
    return NULL;
}

static void racing_threads_read_whole_names_only(void **state)
{
    static struct race race;
    static struct racer racers[RACERS];
    pthread_t threads[RACERS];
    (void)state;
    atomic_store(&race.now_s, 4090 * 480); /* so that the times wrap */
    for (unsigned n = 0; n < RACERS; n++) {
        racer_init(&racers[n], &race, n);
        assert_int_equal(pthread_create(&threads[n], NULL, run, &racers[n]), 0);
    }
    for (unsigned n = 0; n < RACERS; n++)
        assert_int_equal(pthread_join(threads[n], NULL), 0);
    assert_int_equal(race.wrong, 0);
    assert_true(race.published > 100);
    assert_true(race.read > 1000);
}

#ifndef __SANITIZE_THREAD__
static pid_t start(struct race *race, unsigned seed)
{
    pid_t parent = getpid();
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    static struct racer racer;
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
    unsigned kills = (unsigned)(steps_max / 2000);
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
    assert_true(race->published > 100);
    uint64_t before = race->published;
    static struct racer last;
    racer_init(&last, race, 99);
    for (unsigned i = 0; i < 20000; i++)
        step(&last);
    assert_int_equal(race->wrong, 0);
    assert_true(race->published > before);
    munmap(race, sizeof(*race));
}
#endif

int main(void)
{
    const char *soak = getenv("HERALD_SOAK");
    steps_max = soak && *soak && *soak != '0' ? 10000000 : 300000;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(racing_threads_read_whole_names_only),
#ifndef __SANITIZE_THREAD__
        cmocka_unit_test(killed_processes_leave_a_table_that_works),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Processes that are killed and threads that race over the shared figures: exact while nobody is
 * killed, sound whatever happens. Built with -fsanitize=thread as well, where it must be silent.
 * HERALD_SOAK=1 makes it long. */
#include "policy/figures.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define THREADS 4
#define SETS 2
#define HOT 5       /* resources that stay */
#define KILLS 40
#define KILLS_SOAK 2000

struct shared {
    struct tally_row rows[SETS * TALLY_SET];
    struct figures_region region;
};

static struct shared *shared;
static struct tally tally;
static struct figures figures;

static bool soak(void)
{
    const char *word = getenv("HERALD_SOAK");
    return word && *word && *word != '0';
}

static int setup(void **state)
{
    (void)state;
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    return tally_attach(&tally, shared->rows, sizeof(shared->rows)) ||
           figures_attach(&figures, &shared->region, sizeof(shared->region));
}

static int teardown(void **state)
{
    (void)state;
    return munmap(shared, sizeof(*shared));
}

/* All in one set, so that they meet. */
static uint64_t resource(unsigned n)
{
    return ((uint64_t)(n + 1) << 16) << 8;
}

static void work(unsigned steps)
{
    for (unsigned i = 0; i < steps; i++) {
        tally_add(&tally, resource(i % HOT), 1 << 8, TALLY_PROMISED, 1000);
        tally_add(&tally, resource(i % HOT), 1 << 8, TALLY_DELIVERED, 10);
        struct figures_row *row = figures_row(&figures, 1, i % 3);
        if (!row)
            continue;
        figures_add(row, TALLY_DELIVERED, 10);
        figures_page(row, FIGURES_PUSH, FIGURES_SERVED, &(struct figures_page){40000, 70, 7});
    }
}

static void *run(void *steps)
{
    work(*(unsigned *)steps);
    return NULL;
}

static void nothing_is_lost_between_threads(void **state)
{
    pthread_t threads[THREADS];
    unsigned steps = soak() ? 3000000 : 60000;
    double promised = 0;
    uint64_t bytes = 0, counted = 0, pages = 0;
    (void)state;
    work(HOT * 3); /* so that the rows are there: making one twice at once may lose its first counts */
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run, &steps), 0);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (unsigned n = 0; n < HOT; n++) {
        struct tally_figures read;
        assert_true(tally_read(&tally, resource(n), &read));
        promised += read.counts[TALLY_PROMISED];
        bytes += read.bytes[TALLY_DELIVERED];
    }
    for (unsigned version = 0; version < 3; version++) {
        struct figures_row *row = figures_row(&figures, 1, version);
        counted += row->kinds[TALLY_DELIVERED].count;
        struct figures_sample sample =
            figures_sample(&row->trials[FIGURES_PUSH][FIGURES_SERVED].bytes);
        pages += sample.n;
        assert_true(sample.mean == 70 && sample.variance == 0);
    }
    uint64_t all = THREADS * (uint64_t)steps + HOT * 3;
    assert_true(promised == (double)all);
    assert_int_equal(bytes, all * 10);
    assert_int_equal(counted, all);
    assert_int_equal(pages, all);
}

/* Rows come and go under the feet of those who count: only what they mean must stay sound. */
static void churn(unsigned seed)
{
    uint64_t random = seed * UINT64_C(2654435761) + 88172645463325252;
    for (;;) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        unsigned n = (unsigned)(random >> 33) % 40;
        tally_add(&tally, resource(n), 1 << 8, TALLY_PROMISED, 1000);
        tally_add(&tally, resource(n), 1 << 8, n % 2 ? TALLY_CANCELLED : TALLY_DELIVERED, 1000);
        tally_move(&tally, resource(n), TALLY_DELIVERED, TALLY_CANCELLED, 1000);
        struct figures_row *row = figures_row(&figures, n % 2, n);
        if (row)
            figures_page(row, FIGURES_PUSH, FIGURES_SERVED, &(struct figures_page){9000, 70, 7});
    }
}

static void check_sound(void)
{
    struct tally_figures read;
    for (size_t i = 0; i < tally_rows(&tally); i++) {
        if (!tally_row(&tally, i, &read))
            continue;
        double accepted = tally_accept_ratio(&read);
        uint64_t name = read.resource >> 24;
        assert_true(name >= 1 && name <= 40);
        assert_true(accepted == -1 || (accepted >= 0 && accepted <= 1));
    }
    for (unsigned i = 0; i < FIGURES_ROWS; i++) {
        const struct figures_row *row = figures_at(&figures, i);
        if (!row)
            continue;
        struct figures_sample time =
            figures_sample(&row->trials[FIGURES_PUSH][FIGURES_SERVED].time_ms);
        assert_true(isfinite(time.mean) && isfinite(time.variance) && time.variance >= 0);
        assert_true(time.n < 100 || (time.mean > 8 && time.mean < 10));
    }
}

static void a_kill_at_any_instant_leaves_sound_figures(void **state)
{
    unsigned kills = soak() ? KILLS_SOAK : KILLS;
    pid_t children[2];
    (void)state;
    for (unsigned k = 0; k < kills; k++) {
        for (unsigned i = 0; i < 2; i++) {
            children[i] = fork();
            assert_true(children[i] >= 0);
            if (children[i] == 0)
                churn(k * 2 + i + 1);
        }
        nanosleep(&(struct timespec){0, 1000000 + (long)(k * 7919 % 3000000)}, NULL);
        for (unsigned i = 0; i < 2; i++) {
            kill(children[i], SIGKILL);
            assert_int_equal(waitpid(children[i], NULL, 0), children[i]);
        }
        check_sound();
    }
    for (unsigned n = 0; n < HOT; n++) { /* and everything goes on */
        struct tally_figures before, after;
        tally_add(&tally, resource(n), 1 << 8, TALLY_PROMISED, 1000);
        assert_true(tally_read(&tally, resource(n), &before));
        tally_add(&tally, resource(n), 1 << 8, TALLY_PROMISED, 1000);
        assert_true(tally_read(&tally, resource(n), &after));
        assert_true(after.counts[TALLY_PROMISED] == before.counts[TALLY_PROMISED] + 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_lost_between_threads, setup, teardown),
        cmocka_unit_test_setup_teardown(a_kill_at_any_instant_leaves_sound_figures, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

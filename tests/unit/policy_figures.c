#include "policy/figures.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct figures_region region;
static uint64_t now_ms;
static struct figures figures;

static uint64_t clock_ms(void *unused)
{
    (void)unused;
    return now_ms;
}

static int setup(void **state)
{
    (void)state;
    memset(&region, 0, sizeof(region));
    now_ms = 5000000;
    int rc = figures_attach(&figures, &region, sizeof(region));
    figures.clock_ms = clock_ms;
    return rc;
}

static bool about(double value, double wanted, double within)
{
    return fabs(value - wanted) <= within;
}

static void a_site_and_a_version_have_a_row_of_their_own(void **state)
{
    (void)state;
    struct figures_row *a = figures_row(&figures, 1, 1);
    struct figures_row *b = figures_row(&figures, 1, 2);
    struct figures_row *c = figures_row(&figures, 2, 1);
    assert_true(a && b && c && a != b && b != c && a != c);
    figures_add(b, TALLY_DELIVERED, 500);
    assert_ptr_equal(figures_row(&figures, 1, 2), b);
    assert_int_equal(b->kinds[TALLY_DELIVERED].bytes, 500);
    assert_int_equal(a->kinds[TALLY_DELIVERED].bytes, 0);
    assert_int_equal(b->site, 1);
    assert_int_equal(b->version, 2);
    assert_int_equal(b->since_s, 5000);
}

static void the_pair_that_was_not_used_for_longest_makes_room(void **state)
{
    unsigned used = 0;
    (void)state;
    for (uint64_t version = 0; version < FIGURES_ROWS; version++) {
        now_ms += 1000;
        figures_add(figures_row(&figures, 7, version), TALLY_LOST, 9);
    }
    now_ms += 1000;
    struct figures_row *first = figures_row(&figures, 7, 0); /* used again */
    struct figures_row *fresh = figures_row(&figures, 8, 0);
    assert_non_null(fresh);
    assert_int_equal(fresh->kinds[TALLY_LOST].bytes, 0);
    assert_ptr_equal(figures_row(&figures, 7, 0), first);
    assert_int_equal(first->kinds[TALLY_LOST].bytes, 9);
    for (unsigned i = 0; i < FIGURES_ROWS; i++) {
        const struct figures_row *row = figures_at(&figures, i);
        used += row != NULL;
        assert_false(row && row->site == 7 && row->version == 1);
    }
    assert_int_equal(used, FIGURES_ROWS);
}

enum { WORKERS = 4 };
static pthread_barrier_t at_once;

static void *count_one(void *unused)
{
    struct figures own = figures;
    (void)unused;
    pthread_barrier_wait(&at_once);
    struct figures_row *row = figures_row(&own, 1, 1);
    if (row)
        figures_add(row, TALLY_PROMISED, 5);
    return NULL;
}

static void workers_that_begin_at_once_count_in_one_row(void **state)
{
    pthread_barrier_init(&at_once, NULL, WORKERS);
    for (unsigned round = 0; round < 300; round++) {
        pthread_t workers[WORKERS];
        setup(state);
        for (unsigned i = 0; i < WORKERS; i++)
            assert_int_equal(pthread_create(&workers[i], NULL, count_one, NULL), 0);
        for (unsigned i = 0; i < WORKERS; i++)
            pthread_join(workers[i], NULL);
        unsigned rows = 0;
        for (unsigned i = 0; i < FIGURES_ROWS; i++)
            rows += figures_at(&figures, i) != NULL;
        assert_int_equal(rows, 1);
        assert_int_equal(figures_row(&figures, 1, 1)->kinds[TALLY_PROMISED].count, WORKERS);
    }
    pthread_barrier_destroy(&at_once);
}

static void a_row_whose_maker_died_is_made_by_another(void **state)
{
    (void)state;
    for (unsigned i = 0; i < FIGURES_ROWS; i++)
        atomic_store(&region.keys[i], UINT64_C(1) << 63 | now_ms / 1000);
    assert_null(figures_row(&figures, 1, 1)); /* its makers may live */
    assert_null(figures_at(&figures, 0));
    now_ms += (FIGURES_CLAIM_S + 1) * 1000;
    assert_non_null(figures_row(&figures, 1, 1));
}

static void a_row_that_is_being_made_by_one_whose_clock_is_ahead_is_left_to_it(void **state)
{
    (void)state;
    for (unsigned i = 0; i < FIGURES_ROWS; i++)
        atomic_store(&region.keys[i], UINT64_C(1) << 63 | (now_ms / 1000 + 1));
    assert_null(figures_row(&figures, 7, 1));
}

static void what_is_moved_never_falls_below_nothing(void **state)
{
    (void)state;
    struct figures_row *row = figures_row(&figures, 1, 1);
    figures_add(row, TALLY_DELIVERED, 100);
    figures_move(row, TALLY_DELIVERED, TALLY_CANCELLED, 100);
    figures_move(row, TALLY_DELIVERED, TALLY_CANCELLED, 100);
    assert_int_equal(row->kinds[TALLY_DELIVERED].count, 0);
    assert_int_equal(row->kinds[TALLY_DELIVERED].bytes, 0);
    assert_int_equal(row->kinds[TALLY_CANCELLED].count, 2);
    assert_int_equal(row->kinds[TALLY_CANCELLED].bytes, 200);
}

static void the_mean_the_variance_and_the_median_are_those_of_the_pages(void **state)
{
    (void)state;
    struct figures_row *row = figures_row(&figures, 1, 1);
    const struct figures_trial *trial = &row->trials[FIGURES_PUSH][FIGURES_HELD_OUT];
    for (unsigned ms = 1; ms <= 1001; ms++)
        figures_page(row, FIGURES_PUSH, FIGURES_HELD_OUT,
                     &(struct figures_page){ms * 1000, 5000, ms % 2 ? 0 : 10});
    figures_page(row, FIGURES_PUSH, FIGURES_HELD_OUT, &(struct figures_page){0, 5000, 0});
    struct figures_sample time = figures_sample(&trial->time_ms);
    struct figures_sample bytes = figures_sample(&trial->bytes);
    assert_int_equal(trial->pages, 1002);
    assert_int_equal(time.n, 1001); /* no asset of the last page came */
    assert_true(about(time.mean, 501, 1e-9));
    assert_true(about(time.variance, 1001.0 * 1002 / 12, 1e-6)); /* of 1..n: n (n + 1) / 12 */
    assert_true(about(figures_median_ms(trial), 501, 501 * 0.06));
    assert_true(about(bytes.mean, 5000, 1e-9) && bytes.variance == 0);
    assert_true(about(figures_sample(&trial->waste).mean, 5000.0 / 1002, 1e-9));
    assert_int_equal(figures_sample(&row->trials[FIGURES_PUSH][FIGURES_SERVED].bytes).n, 0);
}

static void times_of_any_length_have_a_bin(void **state)
{
    static const uint64_t TIMES[] = {1, 63, 64, 65, 1000, 40000, 999999, 1u << 29, UINT64_MAX >> 1};
    (void)state;
    for (size_t i = 0; i < sizeof(TIMES) / sizeof(TIMES[0]); i++) {
        setup(NULL);
        struct figures_row *row = figures_row(&figures, 1, 1);
        figures_page(row, FIGURES_HINTS, FIGURES_SERVED, &(struct figures_page){TIMES[i], 1, 0});
        double median_us = figures_median_ms(&row->trials[FIGURES_HINTS][FIGURES_SERVED]) * 1000;
        double expected = TIMES[i] < 64 ? 64 : TIMES[i] > 1u << 30 ? 1u << 30 : (double)TIMES[i];
        assert_true(about(median_us, expected, expected * 0.05));
    }
}

static void an_empty_sample_has_no_mean(void **state)
{
    struct figures_moments moments = {0};
    struct figures_trial trial = {0};
    (void)state;
    assert_int_equal(figures_sample(&moments).n, 0);
    assert_true(figures_sample(&moments).mean == 0 && figures_sample(&moments).variance == 0);
    assert_true(figures_median_ms(&trial) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_site_and_a_version_have_a_row_of_their_own, setup),
        cmocka_unit_test_setup(the_pair_that_was_not_used_for_longest_makes_room, setup),
        cmocka_unit_test_setup(workers_that_begin_at_once_count_in_one_row, setup),
        cmocka_unit_test_setup(a_row_whose_maker_died_is_made_by_another, setup),
        cmocka_unit_test_setup(a_row_that_is_being_made_by_one_whose_clock_is_ahead_is_left_to_it,
                               setup),
        cmocka_unit_test_setup(what_is_moved_never_falls_below_nothing, setup),
        cmocka_unit_test_setup(the_mean_the_variance_and_the_median_are_those_of_the_pages, setup),
        cmocka_unit_test_setup(times_of_any_length_have_a_bin, setup),
        cmocka_unit_test_setup(an_empty_sample_has_no_mean, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

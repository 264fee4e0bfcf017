#include "policy/tally.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SETS 4
#define SITE UINT64_C(0xabcdef0123456700)

static struct tally_row rows[SETS * TALLY_SET];
static uint64_t now_ms;
static struct tally tally;

static uint64_t clock_ms(void *unused)
{
    (void)unused;
    return now_ms;
}

static int setup(void **state)
{
    (void)state;
    memset(rows, 0, sizeof(rows));
    now_ms = UINT64_C(1000) * TALLY_PERIOD_S * 77;
    int rc = tally_attach(&tally, rows, sizeof(rows));
    tally.clock_ms = clock_ms;
    return rc;
}

static void pass_periods(unsigned n)
{
    now_ms += UINT64_C(1000) * TALLY_PERIOD_S * n;
}

/* The `n`th resource of the set `set`. */
static uint64_t resource(unsigned set, unsigned n)
{
    return ((uint64_t)n << 20 | set) << 8 | 0x5a;
}

static void count(uint64_t id, enum tally_kind kind, unsigned n, uint64_t bytes)
{
    for (unsigned i = 0; i < n; i++)
        tally_add(&tally, id, SITE, kind, bytes);
}

static struct tally_figures read_of(uint64_t id)
{
    struct tally_figures figures;
    (void)tally_read(&tally, id, &figures);
    return figures;
}

static void what_is_counted_is_read(void **state)
{
    (void)state;
    count(resource(1, 1), TALLY_PROMISED, 3, 1000);
    count(resource(1, 1), TALLY_DELIVERED, 2, 900);
    count(resource(1, 1), TALLY_CANCELLED, 1, 10);
    struct tally_figures figures;
    assert_true(tally_read(&tally, resource(1, 1), &figures));
    assert_true(figures.counts[TALLY_PROMISED] == 3 && figures.bytes[TALLY_PROMISED] == 3000);
    assert_true(figures.counts[TALLY_DELIVERED] == 2 && figures.bytes[TALLY_DELIVERED] == 1800);
    assert_true(figures.counts[TALLY_CANCELLED] == 1 && figures.bytes[TALLY_CANCELLED] == 10);
    assert_int_equal(figures.site, SITE);
    assert_int_equal(figures.resource >> 8, resource(1, 1) >> 8);
    assert_int_equal(tally_waste_bytes(figures.bytes), 10);
    assert_false(tally_read(&tally, resource(1, 2), &figures));
    assert_true(figures.counts[TALLY_PROMISED] == 0);
}

static void a_resource_that_was_never_pushed_gets_no_row(void **state)
{
    struct tally_figures figures;
    (void)state;
    count(resource(0, 1), TALLY_REREQUESTED, 5, 100);
    tally_move(&tally, resource(0, 1), TALLY_DELIVERED, TALLY_CANCELLED, 10);
    assert_false(tally_read(&tally, resource(0, 1), &figures));
}

static void figures_are_halved_every_period(void **state)
{
    (void)state;
    count(resource(0, 1), TALLY_PROMISED, 8, 100);
    pass_periods(1);
    assert_true(read_of(resource(0, 1)).counts[TALLY_PROMISED] == 4);
    assert_int_equal(read_of(resource(0, 1)).bytes[TALLY_PROMISED], 400);
    count(resource(0, 1), TALLY_PROMISED, 2, 100);
    pass_periods(2);
    assert_true(read_of(resource(0, 1)).counts[TALLY_PROMISED] == 1.5);
    pass_periods(100);
    assert_true(read_of(resource(0, 1)).counts[TALLY_PROMISED] == 0);
}

static void the_period_counter_wraps_without_a_jump(void **state)
{
    (void)state;
    now_ms = UINT64_C(1000) * TALLY_PERIOD_S * 4095;
    count(resource(0, 1), TALLY_PROMISED, 8, 100);
    pass_periods(1);
    assert_true(read_of(resource(0, 1)).counts[TALLY_PROMISED] == 4);
}

static void a_clock_read_before_another_process_wrote_does_not_wipe_the_row(void **state)
{
    (void)state;
    pass_periods(1);
    count(resource(0, 1), TALLY_PROMISED, 8, 100);
    now_ms -= UINT64_C(1000) * TALLY_PERIOD_S;
    assert_true(read_of(resource(0, 1)).counts[TALLY_PROMISED] == 8);
}

static void a_full_set_gives_up_its_coldest_row(void **state)
{
    struct tally_figures figures;
    (void)state;
    for (unsigned n = 1; n <= TALLY_SET; n++)
        count(resource(2, n), TALLY_PROMISED, n == 3 ? 1 : 10 + n, 100);
    count(resource(2, 3), TALLY_CANCELLED, 50, 999); /* what counts is being promised */
    count(resource(2, 99), TALLY_PROMISED, 1, 7);
    assert_false(tally_read(&tally, resource(2, 3), &figures));
    assert_true(tally_read(&tally, resource(2, 99), &figures));
    assert_true(figures.counts[TALLY_PROMISED] == 1 && figures.bytes[TALLY_PROMISED] == 7);
    assert_true(figures.counts[TALLY_CANCELLED] == 0); /* nothing of the row's last owner */
    for (unsigned n = 1; n <= TALLY_SET; n++)
        assert_int_equal(tally_read(&tally, resource(2, n), &figures), n != 3);
}

static void what_was_hot_long_ago_is_colder_than_what_is_warm_now(void **state)
{
    struct tally_figures figures;
    (void)state;
    count(resource(2, 1), TALLY_PROMISED, 1000, 1);
    pass_periods(2);
    for (unsigned n = 2; n <= TALLY_SET + 1; n++)
        count(resource(2, n), TALLY_PROMISED, 5, 1);
    assert_false(tally_read(&tally, resource(2, 1), &figures));
    for (unsigned n = 2; n <= TALLY_SET + 1; n++)
        assert_true(tally_read(&tally, resource(2, n), &figures));
}

static void sums_stop_at_their_most_and_never_wrap(void **state)
{
    (void)state;
    count(resource(0, 1), TALLY_PROMISED, 40, UINT64_C(1) << 40);
    uint64_t most = read_of(resource(0, 1)).bytes[TALLY_PROMISED];
    assert_int_equal(most, (UINT64_C(1) << 44) - 1);
    assert_true(read_of(resource(0, 1)).counts[TALLY_PROMISED] == 40);
    tally_move(&tally, resource(0, 1), TALLY_DELIVERED, TALLY_CANCELLED, 50);
    assert_true(read_of(resource(0, 1)).counts[TALLY_DELIVERED] == 0);
    assert_int_equal(read_of(resource(0, 1)).bytes[TALLY_DELIVERED], 0);
    assert_true(read_of(resource(0, 1)).counts[TALLY_CANCELLED] == 1);
}

static void shares_are_told_once_enough_is_known(void **state)
{
    (void)state;
    uint64_t id = resource(0, 1);
    count(id, TALLY_PROMISED, 25, 100);
    count(id, TALLY_DELIVERED, TALLY_ENOUGH - 5, 100);
    count(id, TALLY_CANCELLED, 3, 10);
    count(id, TALLY_REFUSED, 1, 0);
    struct tally_figures figures = read_of(id);
    assert_true(tally_cancel_ratio(&figures) == -1);
    assert_true(tally_accept_ratio(&figures) == -1);
    count(id, TALLY_REFUSED, 1, 0);
    figures = read_of(id);
    assert_true(tally_cancel_ratio(&figures) == 0.25);
    assert_true(tally_accept_ratio(&figures) == 0.75);
    count(id, TALLY_LOST, 10, 0);
    figures = read_of(id);
    assert_true(tally_cancel_ratio(&figures) == 0.25); /* lost ones say nothing of the client */
    assert_true(tally_accept_ratio(&figures) == 0.5);
    assert_true(tally_rerequest_ratio(&figures) == -1);
    count(id, TALLY_DELIVERED, 5, 100);
    count(id, TALLY_REREQUESTED, 3, 100);
    count(id, TALLY_REDUNDANT, 2, 100);
    figures = read_of(id);
    assert_true(tally_rerequest_ratio(&figures) == 0.25);
}

static void memory_that_is_no_power_of_two_of_sets_is_refused(void **state)
{
    struct tally other;
    (void)state;
    assert_true(tally_attach(&other, rows, sizeof(rows) - 1024) < 0);
    assert_true(tally_attach(&other, rows, 128) < 0);
    assert_true(tally_attach(&other, (char *)rows + 64, 1024) < 0);
}

/* Whatever a killed process or another version left behind, nothing crashes and shares stay sound. */
static void any_bytes_are_a_table(void **state)
{
    uint64_t random = 88172645463325252;
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / (sizeof(uint64_t)); i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        ((uint64_t *)(void *)rows)[i] = random;
    }
    for (unsigned n = 0; n < 200; n++)
        count(resource(n % SETS, n), (enum tally_kind)(n % TALLY_KINDS), 3, 100);
    for (size_t i = 0; i < tally_rows(&tally); i++) {
        struct tally_figures figures;
        if (!tally_row(&tally, i, &figures))
            continue;
        double accepted = tally_accept_ratio(&figures), cancelled = tally_cancel_ratio(&figures);
        assert_true(accepted == -1 || (accepted >= 0 && accepted <= 1));
        assert_true(cancelled == -1 || (cancelled >= 0 && cancelled <= 1));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_is_counted_is_read, setup),
        cmocka_unit_test_setup(a_resource_that_was_never_pushed_gets_no_row, setup),
        cmocka_unit_test_setup(figures_are_halved_every_period, setup),
        cmocka_unit_test_setup(the_period_counter_wraps_without_a_jump, setup),
        cmocka_unit_test_setup(a_clock_read_before_another_process_wrote_does_not_wipe_the_row,
                               setup),
        cmocka_unit_test_setup(a_full_set_gives_up_its_coldest_row, setup),
        cmocka_unit_test_setup(what_was_hot_long_ago_is_colder_than_what_is_warm_now, setup),
        cmocka_unit_test_setup(sums_stop_at_their_most_and_never_wrap, setup),
        cmocka_unit_test_setup(shares_are_told_once_enough_is_known, setup),
        cmocka_unit_test_setup(memory_that_is_no_power_of_two_of_sets_is_refused, setup),
        cmocka_unit_test_setup(any_bytes_are_a_table, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

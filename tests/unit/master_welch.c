/* The interval of the experiment: against tables, and by repeating it. */
#include "master/welch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t seed;

static double uniform(void)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return ((double)(seed >> 11) + 0.5) / 9007199254740992.0;
}

static double normal(void)
{
    return sqrt(-2 * log(uniform())) * cos(2 * M_PI * uniform());
}

static bool about(double value, double wanted, double within)
{
    return fabs(value - wanted) <= within;
}

static void students_quantiles_are_those_of_the_tables(void **state)
{
    static const struct {
        double p, freedom, t;
    } TABLE[] = {{0.975, 1, 12.7062}, {0.975, 2, 4.30265},  {0.975, 5, 2.57058},
                 {0.975, 10, 2.22814}, {0.975, 30, 2.04227}, {0.975, 120, 1.97993},
                 {0.95, 4, 2.13185},   {0.995, 9, 3.24984},  {0.975, 1e7, 1.95996},
                 {0.975, 3.5, 2.93970}, {0.5, 7, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof(TABLE) / sizeof(TABLE[0]); i++)
        assert_true(about(welch_student(TABLE[i].p, TABLE[i].freedom), TABLE[i].t,
                          TABLE[i].t * 2e-4 + 1e-4));
}

/* Samples 1 to 6 of both: mean 3.5 and 5, variance 3.5 each; by hand, t(10) = 2.22814. */
static void the_interval_is_the_one_worked_by_hand(void **state)
{
    struct figures_sample a = {6, 3.5, 3.5}, b = {6, 5, 3.5};
    (void)state;
    struct welch welch = welch_difference(&a, &b);
    double error = 2.22814 * sqrt(3.5 / 6 + 3.5 / 6);
    assert_true(welch.known && about(welch.difference, -1.5, 1e-12));
    assert_true(about(welch.low, -1.5 - error, 1e-4) && about(welch.high, -1.5 + error, 1e-4));
}

static void nothing_is_claimed_of_a_single_page(void **state)
{
    struct figures_sample one = {1, 5, 0}, many = {100, 4, 2}, none = {0};
    (void)state;
    assert_false(welch_difference(&one, &many).known);
    assert_false(welch_difference(&many, &none).known);
    struct figures_sample same = {10, 4, 0};
    struct welch welch = welch_difference(&same, &same);
    assert_true(welch.known && welch.low == 0 && welch.high == 0);
}

static void add(struct figures_row *row, enum figures_arm arm, double ms)
{
    figures_page(row, FIGURES_PUSH, arm,
                 &(struct figures_page){(uint64_t)(ms * 1000), 1000, 0});
}

/* Page times as they are: log-normal, a tenth as many held out. Returns how often of `repeats` the
 * interval of the mean's difference held `gain_ms`; `*ratio_held`: that of the ratio held
 * `ratio`. */
static unsigned held(unsigned repeats, double gain_ms, double ratio, unsigned *ratio_held)
{
    static struct figures_row row;
    unsigned times = 0;
    *ratio_held = 0;
    for (unsigned k = 0; k < repeats; k++) {
        memset(&row, 0, sizeof(row));
        for (unsigned i = 0; i < 1100; i++) {
            double ms = exp(log(150) + 0.5 * normal());
            if (i % 11 == 0)
                add(&row, FIGURES_HELD_OUT, ms + gain_ms);
            else
                add(&row, FIGURES_SERVED, ms * ratio);
        }
        struct figures_trial *arms = row.trials[FIGURES_PUSH];
        struct figures_sample a = figures_sample(&arms[FIGURES_SERVED].time_ms);
        struct figures_sample b = figures_sample(&arms[FIGURES_HELD_OUT].time_ms);
        struct welch difference = welch_difference(&a, &b);
        times += difference.low <= -gain_ms && -gain_ms <= difference.high;
        a = figures_sample(&arms[FIGURES_SERVED].log_time);
        b = figures_sample(&arms[FIGURES_HELD_OUT].log_time);
        difference = welch_difference(&a, &b);
        *ratio_held += exp(difference.low) <= ratio && ratio <= exp(difference.high);
    }
    return times;
}

static void equal_arms_are_found_equal_in_95_of_100_experiments(void **state)
{
    unsigned ratio_held;
    (void)state;
    seed = 88172645463325252;
    unsigned times = held(2000, 0, 1, &ratio_held);
    print_message("means: %u of 2000, ratios: %u\n", times, ratio_held);
    assert_true(times > 2000 * 0.93 && times < 2000 * 0.965);
    assert_true(ratio_held > 2000 * 0.935 && ratio_held < 2000 * 0.965);
}

static void a_known_gain_lies_within_the_interval(void **state)
{
    unsigned unused;
    (void)state;
    seed = 424242;
    assert_true(held(500, 40, 1, &unused) > 500 * 0.92);
    seed = 99;
    held(500, 0, 0.8, &unused);
    assert_true(unused > 500 * 0.92);
}

/* The check of the checks: pages 40 ms quicker are not taken for equal ones. */
static void a_gain_is_not_mistaken_for_none(void **state)
{
    struct figures_row *row = calloc(1, sizeof(*row));
    (void)state;
    seed = 5;
    for (unsigned i = 0; i < 2200; i++)
        add(row, i % 2 ? FIGURES_SERVED : FIGURES_HELD_OUT,
            exp(log(150) + 0.5 * normal()) + (i % 2 ? 0 : 40));
    struct figures_sample a = figures_sample(&row->trials[FIGURES_PUSH][FIGURES_SERVED].time_ms);
    struct figures_sample b = figures_sample(&row->trials[FIGURES_PUSH][FIGURES_HELD_OUT].time_ms);
    struct welch welch = welch_difference(&a, &b);
    assert_true(welch.high < 0 && welch.low > -60);
    free(row);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(students_quantiles_are_those_of_the_tables),
        cmocka_unit_test(the_interval_is_the_one_worked_by_hand),
        cmocka_unit_test(nothing_is_claimed_of_a_single_page),
        cmocka_unit_test(equal_arms_are_found_equal_in_95_of_100_experiments),
        cmocka_unit_test(a_known_gain_lies_within_the_interval),
        cmocka_unit_test(a_gain_is_not_mistaken_for_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "master/welch.h"

#include <math.h>

#define CONFIDENT 0.975 /* on each side: 95 % lie between */
#define TERMS_MAX 300
#define TINY 1e-300

/* The continued fraction of the incomplete beta function (NIST DLMF 8.17.22), by Lentz's method. */
static double beta_fraction(double a, double b, double x)
{
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < TINY ? TINY : d);
    double value = d;
    for (int m = 1; m < TERMS_MAX; m++) {
        double term[2] = {m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
                          -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))};
        double step = 1;
        for (int i = 0; i < 2; i++) {
            d = 1 + term[i] * d;
            c = 1 + term[i] / c;
            d = 1 / (fabs(d) < TINY ? TINY : d);
            c = fabs(c) < TINY ? TINY : c;
            step = d * c;
            value *= step;
        }
        if (fabs(step - 1) < 1e-14)
            break;
    }
    return value;
}

/* The regularised incomplete beta function. */
static double beta(double a, double b, double x)
{
    if (x <= 0 || x >= 1)
        return x >= 1;
    double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    if (x < (a + 1) / (a + b + 2)) /* where the fraction converges quickly */
        return front * beta_fraction(a, b, x) / a;
    return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

/* The share of Student's distribution below t >= 0. */
static double below(double t, double freedom)
{
    return 1 - beta(freedom / 2, 0.5, freedom / (freedom + t * t)) / 2;
}

double welch_student(double p, double freedom)
{
    double low = 0, high = 1;
    while (high < 1e9 && below(high, freedom) < p)
        high *= 2;
    while (high - low > 1e-9 * high) {
        double middle = (low + high) / 2;
        if (below(middle, freedom) < p)
            low = middle;
        else
            high = middle;
    }
    return high;
}

struct welch welch_difference(const struct figures_sample *a, const struct figures_sample *b)
{
    struct welch welch = {.difference = a->mean - b->mean};
    if (a->n < 2 || b->n < 2)
        return welch;
    double of_a = a->variance / (double)a->n;
    double of_b = b->variance / (double)b->n;
    double both = of_a + of_b;
    double error = 0;
    if (both > 0) { /* Satterthwaite's degrees of freedom */
        double freedom = both * both / (of_a * of_a / (double)(a->n - 1) +
                                        of_b * of_b / (double)(b->n - 1));
        error = welch_student(CONFIDENT, freedom) * sqrt(both);
    }
    welch.known = true;
    welch.low = welch.difference - error;
    welch.high = welch.difference + error;
    return welch;
}

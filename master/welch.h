/* How sure one may be that two groups differ: Welch's interval for the difference of two means,
 * which takes neither equal sizes nor equal variances for granted. */
#ifndef HERALD_WELCH_H
#define HERALD_WELCH_H

#include "policy/figures.h"

struct welch {
    bool known; /* low and high are set: there were two of each at least */
    double difference;
    double low; /* the true difference lies from low to high, in 95 of 100 such experiments */
    double high;
};

/* The mean of `a` less that of `b`. */
struct welch welch_difference(const struct figures_sample *a, const struct figures_sample *b);

/* Below which t a share of `p` (0.5 to 0.9999) of Student's distribution lies, with `freedom` > 0
 * degrees of freedom; to 1e-6. */
double welch_student(double p, double freedom);

#endif

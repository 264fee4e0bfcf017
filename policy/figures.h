/* What pushing comes to, for each site and each version of its policies, shared by all workers:
 * exact sums since the pair was first seen, and the experiment that push.holdout makes.
 *
 * The experiment compares pages of clients that were pushed (or hinted) with pages of clients held
 * out, which would have been. Each of its figures is kept as a number, a sum and a sum of squares,
 * so that a mean and its error can be told; times also as a histogram, for the median.
 *
 * Additions are single relaxed atomic operations or compare-and-swaps of one word. A worker killed
 * between two of them leaves one page counted in part, an error of one page among all of them. Rows
 * are taken by a compare-and-swap of their key; a process that dies while it readies a row blocks it
 * for FIGURES_CLAIM_S only. When all are taken, the pair that was not used for longest makes room. */
#ifndef HERALD_FIGURES_H
#define HERALD_FIGURES_H

#include "policy/tally.h"

#define FIGURES_ROWS 64
#define FIGURES_CLAIM_S 10
#define FIGURES_BINS 384 /* 16 to the octave: a bin is 4 to 6 % wide */

/* How a client would be served: the two are compared each on its own. */
enum figures_means { FIGURES_PUSH, FIGURES_HINTS, FIGURES_MEANS };

enum figures_arm { FIGURES_SERVED, FIGURES_HELD_OUT, FIGURES_ARMS };

/* What is known of one page of the experiment. */
struct figures_page {
    uint64_t time_us; /* from its request to the acknowledgement of its last asset; 0: none came */
    uint64_t bytes;   /* of the page and those assets, however they came */
    uint64_t waste;   /* of them in vain */
};

/* sum and squares are the bits of doubles. */
struct figures_moments {
    _Atomic uint64_t n;
    _Atomic uint64_t sum;
    _Atomic uint64_t squares;
};

struct figures_trial {
    _Atomic uint64_t pages;          /* also those of which no asset came */
    struct figures_moments time_ms;
    struct figures_moments log_time; /* natural logarithm of milliseconds */
    struct figures_moments bytes;
    struct figures_moments waste;
    _Atomic uint32_t times[FIGURES_BINS];
};

struct figures_row {
    _Alignas(64) _Atomic uint64_t site;
    _Atomic uint64_t version;
    _Atomic uint64_t since_s; /* CLOCK_BOOTTIME */
    _Atomic uint64_t used_s;
    struct {
        _Atomic uint64_t count;
        _Atomic uint64_t bytes;
    } kinds[TALLY_KINDS];
    struct figures_trial trials[FIGURES_MEANS][FIGURES_ARMS];
};

/* What lies in the segment. */
struct figures_region {
    _Alignas(64) _Atomic uint64_t keys[FIGURES_ROWS]; /* 0: free */
    struct figures_row rows[FIGURES_ROWS];
};

struct figures {
    struct figures_region *region;
    uint64_t (*clock_ms)(void *context); /* push_clock_boottime */
    void *clock_context;
};

/* A sample's summary: mean and variance (n - 1) as far as n allows. */
struct figures_sample {
    uint64_t n;
    double mean;
    double variance;
};

/* Uses `bytes` of zeroed or formerly used memory at `base`. Returns 0, or -EINVAL when there is too
 * little of it. */
int figures_attach(struct figures *figures, void *base, size_t bytes);

/* The row of a site (identity_site) and the number of a version of the policies, made when there is none; NULL when every
 * row is just being made by others. To be asked for anew for each page: a row may be given away. */
struct figures_row *figures_row(struct figures *figures, uint64_t site, uint64_t version);

/* Counts as tally_add and tally_move do, without decay. */
void figures_add(struct figures_row *row, enum tally_kind kind, uint64_t bytes);
void figures_move(struct figures_row *row, enum tally_kind from, enum tally_kind to,
                  uint64_t bytes);

/* Counts one page of the experiment. */
void figures_page(struct figures_row *row, enum figures_means means, enum figures_arm arm,
                  const struct figures_page *page);

/* Row `i`, from 0 to FIGURES_ROWS - 1, or NULL when it is not in use. */
const struct figures_row *figures_at(const struct figures *figures, unsigned i);

struct figures_sample figures_sample(const struct figures_moments *moments);

/* The median of the times in milliseconds, to a bin's width; 0 without any. */
double figures_median_ms(const struct figures_trial *trial);

#endif

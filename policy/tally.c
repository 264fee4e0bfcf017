#include "policy/tally.h"

#include "policy/push_table.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* A figure: generation of its row (8 bits), the period it is decayed to (12), the value (44). Counts
 * have FRACTION_BITS behind the point, or halving would lose the small ones. */
#define VALUE_BITS 44
#define VALUE_MAX ((UINT64_C(1) << VALUE_BITS) - 1)
#define PERIOD_BITS 12
#define PERIOD_MASK ((UINT64_C(1) << PERIOD_BITS) - 1)
#define FRACTION_BITS 8
#define ONE (UINT64_C(1) << FRACTION_BITS)
#define NAME_SHIFT 8
#define GENERATION_MASK UINT64_C(0xff)
#define TRIES_MAX 256 /* each means that another process changed the word: an addition is given up */

static_assert(8 + PERIOD_BITS + VALUE_BITS == 64, "a word");

const char *tally_kind_name(enum tally_kind kind)
{
    static const char *const NAMES[TALLY_KINDS] = {"promised", "delivered", "cancelled",
                                                   "refused",  "lost",      "redundant",
                                                   "rerequested"};
    assert(kind < TALLY_KINDS);
    return NAMES[kind];
}

int tally_attach(struct tally *tally, void *base, size_t bytes)
{
    size_t sets = bytes / (TALLY_SET * sizeof(struct tally_row));
    if (sets == 0 || (sets & (sets - 1)) || (uintptr_t)base % _Alignof(struct tally_row))
        return -EINVAL;
    *tally = (struct tally){.rows = base, .sets = sets, .clock_ms = push_clock_boottime};
    return 0;
}

static uint64_t period_now(const struct tally *tally)
{
    return tally->clock_ms(tally->clock_context) / (TALLY_PERIOD_S * UINT64_C(1000)) & PERIOD_MASK;
}

/* The 56 bits that name a resource or site; never 0, which is an empty row. */
static uint64_t name_of(uint64_t id)
{
    uint64_t name = id >> NAME_SHIFT;
    return name ? name : 1;
}

/* ---- words ---- */

static uint64_t word_make(uint64_t generation, uint64_t period, uint64_t value)
{
    return generation << (64 - 8) | period << VALUE_BITS | (value < VALUE_MAX ? value : VALUE_MAX);
}

/* The word's value in `period`; 0 when it is another generation's. */
static uint64_t word_value(uint64_t word, uint64_t generation, uint64_t period)
{
    uint64_t age = (period - (word >> VALUE_BITS)) & PERIOD_MASK;
    if (word >> (64 - 8) != generation)
        return 0;
    if (age > PERIOD_MASK / 2) /* written by a process whose clock was read later */
        age = 0;
    return age < VALUE_BITS ? (word & VALUE_MAX) >> age : 0;
}

static void word_change(_Atomic uint64_t *at, uint64_t generation, uint64_t period, uint64_t more,
                        uint64_t less)
{
    uint64_t old = atomic_load_explicit(at, memory_order_relaxed);
    for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
        uint64_t value = word_value(old, generation, period) + more;
        uint64_t fresh = word_make(generation, period, value > less ? value - less : 0);
        if (atomic_compare_exchange_weak_explicit(at, &old, fresh, memory_order_relaxed,
                                                  memory_order_relaxed))
            return;
    }
}

/* ---- rows ---- */

static struct tally_row *set_of(const struct tally *tally, uint64_t name)
{
    return &tally->rows[(name & (tally->sets - 1)) * TALLY_SET];
}

/* The row of that name, or NULL; `*generation` is the one it had then. */
static struct tally_row *find(const struct tally *tally, uint64_t name, uint64_t *generation)
{
    struct tally_row *set = set_of(tally, name);
    for (unsigned i = 0; i < TALLY_SET; i++) {
        uint64_t word = atomic_load_explicit(&set[i].name, memory_order_relaxed);
        if (word >> NAME_SHIFT != name)
            continue;
        *generation = word & GENERATION_MASK;
        return &set[i];
    }
    return NULL;
}

/* How warm a row is: its promises lately; nothing was promised lately when the figure was not even
 * touched in this period or the last. 0 for an empty row. */
static uint64_t warmth(const struct tally_row *row, uint64_t word, uint64_t period)
{
    if (word >> NAME_SHIFT == 0)
        return 0;
    uint64_t count = atomic_load_explicit(&row->kinds[TALLY_PROMISED].count, memory_order_relaxed);
    if (((period - (count >> VALUE_BITS)) & PERIOD_MASK) - 2 < PERIOD_MASK / 2)
        return 1;
    return 1 + word_value(count, word & GENERATION_MASK, period);
}

/* Takes the coldest row of the set for `name`. A worker that does the same at the same time may
 * take another row for it: the first of the set is the one that is found from then on. NULL when
 * others were quicker. */
static struct tally_row *take(struct tally *tally, uint64_t name, uint64_t site, uint64_t period,
                              uint64_t *generation)
{
    struct tally_row *set = set_of(tally, name);
    struct tally_row *coldest = NULL;
    uint64_t least = UINT64_MAX;
    uint64_t old = 0;
    for (unsigned i = 0; i < TALLY_SET; i++) {
        uint64_t word = atomic_load_explicit(&set[i].name, memory_order_relaxed);
        uint64_t warm = warmth(&set[i], word, period);
        if (warm >= least)
            continue;
        least = warm;
        coldest = &set[i];
        old = word;
    }
    *generation = (old + 1) & GENERATION_MASK;
    if (!coldest || !atomic_compare_exchange_strong_explicit(
                        &coldest->name, &old, name << NAME_SHIFT | *generation,
                        memory_order_relaxed, memory_order_relaxed))
        return NULL;
    atomic_store_explicit(&coldest->site, name_of(site) << NAME_SHIFT | *generation,
                          memory_order_relaxed);
    return coldest;
}

void tally_add(struct tally *tally, uint64_t resource, uint64_t site, enum tally_kind kind,
               uint64_t bytes)
{
    uint64_t name = name_of(resource);
    uint64_t period = period_now(tally);
    uint64_t generation = 0;
    struct tally_row *row = find(tally, name, &generation);
    if (!row && kind == TALLY_PROMISED) {
        row = take(tally, name, site, period, &generation);
        if (!row)
            row = find(tally, name, &generation);
    }
    if (!row)
        return;
    word_change(&row->kinds[kind].count, generation, period, ONE, 0);
    word_change(&row->kinds[kind].bytes, generation, period, bytes, 0);
}

void tally_move(struct tally *tally, uint64_t resource, enum tally_kind from, enum tally_kind to,
                uint64_t bytes)
{
    uint64_t period = period_now(tally);
    uint64_t generation = 0;
    struct tally_row *row = find(tally, name_of(resource), &generation);
    if (!row)
        return;
    word_change(&row->kinds[from].count, generation, period, 0, ONE);
    word_change(&row->kinds[from].bytes, generation, period, 0, bytes);
    word_change(&row->kinds[to].count, generation, period, ONE, 0);
    word_change(&row->kinds[to].bytes, generation, period, bytes, 0);
}

/* ---- reading ---- */

static void read_row(const struct tally *tally, const struct tally_row *row, uint64_t word,
                     struct tally_figures *figures)
{
    uint64_t period = period_now(tally);
    uint64_t generation = word & GENERATION_MASK;
    uint64_t site = atomic_load_explicit(&row->site, memory_order_relaxed);
    figures->resource = word & ~GENERATION_MASK;
    figures->site = (site & GENERATION_MASK) == generation ? site & ~GENERATION_MASK : 0;
    for (unsigned kind = 0; kind < TALLY_KINDS; kind++) {
        uint64_t count = atomic_load_explicit(&row->kinds[kind].count, memory_order_relaxed);
        uint64_t bytes = atomic_load_explicit(&row->kinds[kind].bytes, memory_order_relaxed);
        figures->counts[kind] = (double)word_value(count, generation, period) / (double)ONE;
        figures->bytes[kind] = word_value(bytes, generation, period);
    }
}

bool tally_read(const struct tally *tally, uint64_t resource, struct tally_figures *figures)
{
    uint64_t generation = 0;
    uint64_t name = name_of(resource);
    const struct tally_row *row = find(tally, name, &generation);
    memset(figures, 0, sizeof(*figures));
    if (row)
        read_row(tally, row, name << NAME_SHIFT | generation, figures);
    return row != NULL;
}

size_t tally_rows(const struct tally *tally)
{
    return tally->sets * TALLY_SET;
}

bool tally_row(const struct tally *tally, size_t i, struct tally_figures *figures)
{
    const struct tally_row *row = &tally->rows[i];
    uint64_t word = atomic_load_explicit(&row->name, memory_order_relaxed);
    memset(figures, 0, sizeof(*figures));
    if (word >> NAME_SHIFT == 0)
        return false;
    read_row(tally, row, word, figures);
    return true;
}

/* ---- shares ---- */

static double share(double part, double whole)
{
    return whole < TALLY_ENOUGH ? -1 : part / whole;
}

double tally_accept_ratio(const struct tally_figures *figures)
{
    const double *counts = figures->counts;
    return share(counts[TALLY_DELIVERED], counts[TALLY_DELIVERED] + counts[TALLY_CANCELLED] +
                                              counts[TALLY_REFUSED] + counts[TALLY_LOST]);
}

double tally_cancel_ratio(const struct tally_figures *figures)
{
    const double *counts = figures->counts;
    double refused = counts[TALLY_CANCELLED] + counts[TALLY_REFUSED];
    return share(refused, counts[TALLY_DELIVERED] + refused);
}

double tally_rerequest_ratio(const struct tally_figures *figures)
{
    const double *counts = figures->counts;
    return share(counts[TALLY_REDUNDANT] + counts[TALLY_REREQUESTED], counts[TALLY_DELIVERED]);
}

uint64_t tally_waste_bytes(const uint64_t bytes[TALLY_KINDS])
{
    return bytes[TALLY_CANCELLED] + bytes[TALLY_REFUSED] + bytes[TALLY_LOST] +
           bytes[TALLY_REDUNDANT] + bytes[TALLY_REREQUESTED];
}

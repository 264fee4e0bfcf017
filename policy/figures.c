#include "policy/figures.h"

#include "policy/push_table.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <string.h>

#define CLAIM_BIT (UINT64_C(1) << 63) /* a key being made: the rest is when, in seconds */
#define TRIES_MAX 256
#define AWAIT_TRIES_MAX 16 /* of a row that another process makes */
#define BIN_BITS 4    /* 16 bins to the octave */
#define BIN_FLOOR 6   /* below 2^6 us everything is one bin */

static_assert(FIGURES_BINS == (64 - BIN_FLOOR - 34) << BIN_BITS, "2^6 us to 2^30 us");

int figures_attach(struct figures *figures, void *base, size_t bytes)
{
    if (bytes < sizeof(struct figures_region) ||
        (uintptr_t)base % _Alignof(struct figures_region))
        return -EINVAL;
    *figures = (struct figures){.region = base, .clock_ms = push_clock_boottime};
    return 0;
}

/* ---- rows ---- */

static uint64_t now_s(const struct figures *figures)
{
    return figures->clock_ms(figures->clock_context) / 1000;
}

static uint64_t key_of(uint64_t site, uint64_t version)
{
    uint64_t mixed = (site ^ version * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xd6e8feb86659fd93);
    mixed = (mixed ^ mixed >> 32) & ~CLAIM_BIT;
    return mixed ? mixed : 1;
}

static bool is_ready(uint64_t key)
{
    return key != 0 && !(key & CLAIM_BIT);
}

/* How willingly a row is given up; the highest goes. UINT64_MAX: it is free. 0: never. */
static uint64_t idleness(const struct figures *figures, unsigned i, uint64_t key, uint64_t now)
{
    uint64_t used =
        atomic_load_explicit(&figures->region->rows[i].used_s, memory_order_relaxed);
    if (key == 0)
        return UINT64_MAX;
    if (!is_ready(key)) /* one that read its clock a second later is not late */
        return now > (key & ~CLAIM_BIT) + FIGURES_CLAIM_S ? UINT64_MAX - 1 : 0;
    return now > used ? now - used : 0;
}

static void make_row(struct figures_row *row, uint64_t site, uint64_t version, uint64_t now)
{
    _Atomic uint64_t *words = (_Atomic uint64_t *)(void *)row;
    for (size_t i = 0; i < sizeof(*row) / sizeof(*words); i++)
        atomic_store_explicit(&words[i], 0, memory_order_relaxed);
    atomic_store_explicit(&row->site, site, memory_order_relaxed);
    atomic_store_explicit(&row->version, version, memory_order_relaxed);
    atomic_store_explicit(&row->since_s, now, memory_order_relaxed);
    atomic_store_explicit(&row->used_s, now, memory_order_relaxed);
}

/* The row of that key, which is made if nobody else makes one; else NULL. `*awaited`: another is at it. */
static struct figures_row *take_row(struct figures *figures, uint64_t key, uint64_t site,
                                    uint64_t version, uint64_t now, bool *awaited)
{
    struct figures_region *region = figures->region;
    uint64_t most = 0, old = 0;
    unsigned at = 0;
    *awaited = true;
    for (unsigned i = 0; i < FIGURES_ROWS; i++) {
        uint64_t held = atomic_load_explicit(&region->keys[i], memory_order_acquire);
        uint64_t idle = idleness(figures, i, held, now);
        if (held == key)
            return &region->rows[i];
        if (held && idle == 0 && !is_ready(held)) /* being made, perhaps for the same */
            return NULL;
        if (idle <= most)
            continue;
        most = idle;
        old = held;
        at = i;
    }
    *awaited = most != 0; /* else every row is in use this second */
    if (!most || !atomic_compare_exchange_strong(&region->keys[at], &old, CLAIM_BIT | now))
        return NULL;
    make_row(&region->rows[at], site, version, now);
    old = CLAIM_BIT | now;
    if (!atomic_compare_exchange_strong(&region->keys[at], &old, key))
        return NULL; /* it took too long: another has it now */
    return &region->rows[at];
}

static struct figures_row *find_row(const struct figures *figures, uint64_t key)
{
    for (unsigned i = 0; i < FIGURES_ROWS; i++)
        if (atomic_load_explicit(&figures->region->keys[i], memory_order_acquire) == key)
            return &figures->region->rows[i];
    return NULL;
}

/* Workers that all see their first page at once want the same row: one makes it, the others wait, for
 * microseconds. What they counted elsewhere would be missing from the sums for ever. */
static struct figures_row *make_or_await(struct figures *figures, uint64_t key, uint64_t site,
                                         uint64_t version, uint64_t now)
{
    bool awaited;
    struct figures_row *row = take_row(figures, key, site, version, now, &awaited);
    for (unsigned tries = 0; !row && awaited && tries < AWAIT_TRIES_MAX; tries++) {
        sched_yield();
        row = take_row(figures, key, site, version, now, &awaited);
    }
    return row;
}

struct figures_row *figures_row(struct figures *figures, uint64_t site, uint64_t version)
{
    uint64_t key = key_of(site, version);
    uint64_t now = now_s(figures);
    struct figures_row *row = find_row(figures, key);
    if (!row)
        row = make_or_await(figures, key, site, version, now);
    if (row && atomic_load_explicit(&row->used_s, memory_order_relaxed) != now)
        atomic_store_explicit(&row->used_s, now, memory_order_relaxed);
    return row;
}

const struct figures_row *figures_at(const struct figures *figures, unsigned i)
{
    uint64_t key = atomic_load_explicit(&figures->region->keys[i], memory_order_acquire);
    return is_ready(key) ? &figures->region->rows[i] : NULL;
}

/* ---- sums ---- */

void figures_add(struct figures_row *row, enum tally_kind kind, uint64_t bytes)
{
    atomic_fetch_add_explicit(&row->kinds[kind].count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&row->kinds[kind].bytes, bytes, memory_order_relaxed);
}

/* Never below zero: the row may be newer than what is moved. */
static void take_away(_Atomic uint64_t *at, uint64_t amount)
{
    uint64_t old = atomic_load_explicit(at, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(at, &old, old > amount ? old - amount : 0,
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}

void figures_move(struct figures_row *row, enum tally_kind from, enum tally_kind to,
                  uint64_t bytes)
{
    take_away(&row->kinds[from].count, 1);
    take_away(&row->kinds[from].bytes, bytes);
    figures_add(row, to, bytes);
}

/* ---- the experiment ---- */

static double double_of(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static void add_double(_Atomic uint64_t *at, double amount)
{
    uint64_t old = atomic_load_explicit(at, memory_order_relaxed);
    for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
        double sum = double_of(old) + amount;
        uint64_t bits;
        memcpy(&bits, &sum, sizeof(bits));
        if (atomic_compare_exchange_weak_explicit(at, &old, bits, memory_order_relaxed,
                                                  memory_order_relaxed))
            return;
    }
}

static void add_moment(struct figures_moments *moments, double value)
{
    add_double(&moments->sum, value);
    add_double(&moments->squares, value * value);
    atomic_fetch_add_explicit(&moments->n, 1, memory_order_relaxed);
}

static unsigned bin_of(uint64_t us)
{
    if (us < (1u << BIN_FLOOR))
        return 0;
    unsigned octave = 63 - (unsigned)__builtin_clzll(us);
    unsigned part = (unsigned)(us >> (octave - BIN_BITS)) & ((1u << BIN_BITS) - 1);
    unsigned bin = (octave - BIN_FLOOR) << BIN_BITS | part;
    return bin < FIGURES_BINS ? bin : FIGURES_BINS - 1;
}

/* The bin's lower edge in microseconds. */
static double edge_of(unsigned bin)
{
    unsigned octave = bin >> BIN_BITS;
    unsigned part = bin & ((1u << BIN_BITS) - 1);
    return ldexp(1 + (double)part / (1 << BIN_BITS), (int)(octave + BIN_FLOOR));
}

void figures_page(struct figures_row *row, enum figures_means means, enum figures_arm arm,
                  const struct figures_page *page)
{
    struct figures_trial *trial = &row->trials[means][arm];
    atomic_fetch_add_explicit(&trial->pages, 1, memory_order_relaxed);
    add_moment(&trial->bytes, (double)page->bytes);
    add_moment(&trial->waste, (double)page->waste);
    if (!page->time_us)
        return;
    double ms = (double)page->time_us / 1000;
    add_moment(&trial->time_ms, ms);
    add_moment(&trial->log_time, log(ms));
    atomic_fetch_add_explicit(&trial->times[bin_of(page->time_us)], 1, memory_order_relaxed);
}

struct figures_sample figures_sample(const struct figures_moments *moments)
{
    uint64_t n = atomic_load_explicit(&moments->n, memory_order_relaxed);
    double sum = double_of(atomic_load_explicit(&moments->sum, memory_order_relaxed));
    double squares = double_of(atomic_load_explicit(&moments->squares, memory_order_relaxed));
    struct figures_sample sample = {.n = n};
    if (n)
        sample.mean = sum / (double)n;
    if (n > 1)
        sample.variance = fmax(0, (squares - sum * sample.mean) / (double)(n - 1));
    return sample;
}

double figures_median_ms(const struct figures_trial *trial)
{
    double total = 0, below = 0;
    for (unsigned i = 0; i < FIGURES_BINS; i++)
        total += atomic_load_explicit(&trial->times[i], memory_order_relaxed);
    for (unsigned i = 0; i < FIGURES_BINS; i++) {
        double here = atomic_load_explicit(&trial->times[i], memory_order_relaxed);
        if (here > 0 && below + here >= total / 2) {
            double edge = edge_of(i);
            double next = i + 1 < FIGURES_BINS ? edge_of(i + 1) : edge;
            return (edge + (next - edge) * (total / 2 - below) / here) / 1000;
        }
        below += here;
    }
    return 0;
}

/* What became of pushes lately, resource by resource, shared by all workers: what policies ask
 * `stats` about, and what `herald status` calls wasteful.
 *
 * A row is two cache lines. Its figures decay: whatever was counted is halved every TALLY_PERIOD_S,
 * so that a row remembers some hours and forgets what a resource used to be. Rows lie in sets of
 * TALLY_SET; a resource that finds its set full takes the place of the coldest, the one with the
 * fewest promises lately.
 *
 * Every word is changed by one compare-and-swap and means something by itself: it carries the
 * generation of its row, so that what an evicted resource left behind counts for nothing, and the
 * period it was last brought up to, so that it decays when it is next looked at. There is nothing to
 * unlock and nothing half done after a SIGKILL anywhere; at worst one addition is missing. No call
 * here blocks, allocates or enters the kernel.
 *
 * No names are kept: a resource and a site are keyed hashes (identity_resource, identity_site), of
 * which 56 bits tell them apart. */
#ifndef HERALD_TALLY_H
#define HERALD_TALLY_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TALLY_SET 8                  /* rows of one set */
#define TALLY_PERIOD_S (4 * 60 * 60) /* figures are halved this often */
#define TALLY_ENOUGH 20              /* settled promises that it takes to speak of a share */

/* What can become of a push, and what else it may cost. */
enum tally_kind {
    TALLY_PROMISED,    /* PUSH_PROMISE was sent; bytes: the size promised */
    TALLY_DELIVERED,   /* acknowledged whole; bytes from here on: of DATA */
    TALLY_CANCELLED,   /* the client reset it with CANCEL; bytes: sent by then */
    TALLY_REFUSED,     /* the client reset it with REFUSED_STREAM */
    TALLY_LOST,        /* ended by anything else */
    TALLY_REDUNDANT,   /* the client asked for it itself while it was pushed */
    TALLY_REREQUESTED, /* the client asked for it although it was believed to hold it */
    TALLY_KINDS
};

/* "promised" and so on, for JSON. */
const char *tally_kind_name(enum tally_kind kind);

struct tally_row {
    _Alignas(128) _Atomic uint64_t name; /* 56 bits of the resource; the row's generation below */
    _Atomic uint64_t site;               /* 56 bits of the site; the generation they are of */
    struct {
        _Atomic uint64_t count;
        _Atomic uint64_t bytes;
    } kinds[TALLY_KINDS];
};

static_assert(sizeof(struct tally_row) == 128, "a row is two cache lines");

/* This process's view of rows that lie in memory it does not own. */
struct tally {
    struct tally_row *rows;
    size_t sets; /* a power of two */
    /* Milliseconds that never run back, the same for all processes; push_clock_boottime. */
    uint64_t (*clock_ms)(void *context);
    void *clock_context;
};

/* The figures of one resource, decayed to now. */
struct tally_figures {
    uint64_t resource; /* its upper 56 bits; 0: no such row */
    uint64_t site;     /* likewise */
    double counts[TALLY_KINDS];
    uint64_t bytes[TALLY_KINDS];
};

/* Uses `bytes` of zeroed or formerly used memory at `base`, aligned to 128, which outlives the
 * handle: a power of two of sets. Returns 0 or -EINVAL. */
int tally_attach(struct tally *tally, void *base, size_t bytes);

/* Counts one `kind` of `bytes`. A resource that has no row gets one for TALLY_PROMISED; of others
 * that were never pushed nothing is kept. */
void tally_add(struct tally *tally, uint64_t resource, uint64_t site, enum tally_kind kind,
               uint64_t bytes);

/* What was counted as `from` is `to` after all: a push that was cancelled after it had been
 * acknowledged. `bytes` were counted with it. */
void tally_move(struct tally *tally, uint64_t resource, enum tally_kind from, enum tally_kind to,
                uint64_t bytes);

/* Reads the figures of `resource`. Returns false, with zeroes, when there is no row. */
bool tally_read(const struct tally *tally, uint64_t resource, struct tally_figures *figures);

/* The row at `i`, from 0 to tally_rows() - 1; false for an empty one. */
size_t tally_rows(const struct tally *tally);
bool tally_row(const struct tally *tally, size_t i, struct tally_figures *figures);

/* Shares from 0 to 1, or -1 while fewer than TALLY_ENOUGH promises have been settled lately:
 * - accepted: delivered, of all that were settled;
 * - cancelled: cancelled or refused, of those that did not end for other reasons;
 * - asked again: redundant or re-requested, for each one delivered; may exceed 1. */
double tally_accept_ratio(const struct tally_figures *figures);
double tally_cancel_ratio(const struct tally_figures *figures);
double tally_rerequest_ratio(const struct tally_figures *figures);

/* Bytes that did no good: cancelled, refused, lost, redundant and re-requested. */
uint64_t tally_waste_bytes(const uint64_t bytes[TALLY_KINDS]);

#endif

/* What is asked for after a page: page -> assets, counted by distinct voters, shared by all workers.
 *
 * Pages and assets are keyed hashes here; an asset's name is found, if it is public, in the names
 * table (policy/names.h). What is counted is bits: a voter (identity_voter) sets one of 32, the same
 * one for the page and for all its assets, so that the bits of an asset are never more than the
 * distinct voters that asked for it, whoever asks how often, and a voter that asks for much adds no
 * more to any asset than one that asks for one.
 *
 * A page's bits are gathered in epochs. An epoch ends when 24 of the 32 are set, some 44 voters, or
 * after LEARNED_EPOCH_S; the last one and the one under way count, and all before are forgotten. So
 * what a page no longer asks for is gone after as many visits as taught it.
 *
 * Every word says of which page and asset it is and of which epoch, and is swapped whole: a process
 * may be killed anywhere, and a word left by another asset, or by an epoch long ago, is as good as
 * none. A full bucket gives up the weakest of its cells, the less willingly the more voters it has.
 * Nothing here blocks, allocates or makes a system call. */
#ifndef HERALD_LEARNED_H
#define HERALD_LEARNED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LEARNED_CELLS 32      /* of a bucket: each page that falls there has one, and each of its
                               * assets */
#define LEARNED_EPOCH_S 43200 /* the longest epoch; what is four times as old counts no more */
#define LEARNED_SEEN_MIN 5
#define LEARNED_SEEN_MAX 20 /* an epoch has no more bits for sure */

struct learned_cell {
    /* Who asked for it, by the epoch's parity: tag (20 bits), epoch (12), bits (32). */
    _Atomic uint64_t votes[2];
    /* An asset's: who held it already when he came to the page. A page's: when the epoch began. */
    _Atomic uint64_t held[2];
    /* tag (20), minute it was last noted (24), place in the visit (8), destination (8), flags (4) */
    _Atomic uint64_t touch;
};

struct learned_bucket {
    _Alignas(64) _Atomic uint64_t keys[LEARNED_CELLS]; /* a resource, or a page; 0: free */
    struct learned_cell cells[LEARNED_CELLS];
};

/* This process's view of a table that lies in memory it does not own. Not to be shared between
 * threads. */
struct learned {
    struct learned_bucket *buckets;
    uint64_t mask;   /* number of buckets - 1 */
    uint64_t random; /* how luck falls where cells are given up */
};

struct learned_asset {
    uint64_t resource; /* identity_resource */
    uint8_t as;        /* enum asset_as */
    bool crossorigin;  /* asked for in CORS mode */
    uint8_t place;     /* how many assets the visit asked for before it, in the mean */
    uint8_t seen;      /* bits: at least so many distinct voters asked for it */
    uint8_t percent;   /* of those who came to the page without it, how many asked for it */
};

/* What is asked of the assets of a page. */
struct learned_wish {
    unsigned min_seen;    /* LEARNED_SEEN_MIN to LEARNED_SEEN_MAX */
    unsigned min_percent; /* 0 to 100 */
};

/* How well a page is known. */
struct learned_page {
    uint32_t epoch;
    unsigned visitors; /* about so many distinct voters, of the epochs that count; 0: none */
};

struct learned_load {
    uint64_t room;   /* cells */
    uint64_t pages;  /* cells taken by pages, */
    uint64_t assets; /* and by their assets */
};

/* Attaches to `bytes` of memory at `base`: a power of two of struct learned_bucket. Zeroed memory
 * is an empty table. Returns 0 or -EINVAL. */
int learned_attach(struct learned *learned, void *base, size_t bytes);

/* `voter` asked for `asset` (its resource, as, crossorigin and place) after `page`. now_s: seconds
 * of a clock that all processes share. Returns false when there was no room. */
bool learned_note(struct learned *learned, uint64_t page, uint64_t voter,
                  const struct learned_asset *asset, uint64_t now_s);

/* `voter`, whose visit of `page` has been noted, may hold some of its assets already, and then does
 * not ask for them: `holds` tells. */
void learned_held(struct learned *learned, uint64_t page, uint64_t voter,
                  bool (*holds)(void *context, uint64_t resource), void *context, uint64_t now_s);

/* Writes the assets of `page` that fulfil the wish to `assets`, in the order in which visits ask for
 * them: `room` at most. Returns how many. `known` (may be NULL) tells of the page. */
unsigned learned_next(const struct learned *learned, uint64_t page, const struct learned_wish *wish,
                      uint64_t now_s, struct learned_asset *assets, unsigned room,
                      struct learned_page *known);

/* Whether this client's visit is one of those that get nothing of the learned set, so that the set
 * does not feed itself: one in 4 while little is known, one in 16 later; each epoch others. */
bool learned_watches(const struct learned_page *known, uint64_t page, uint64_t client);

/* For a table that was saved at `saved_boottime_s` and loaded `saved_age_s` later: every time in it
 * is moved to the clock that shows now_s, so that it is as old as it was and as long as it lay.
 * Nobody else may use the table meanwhile. */
void learned_rebase(struct learned *learned, uint64_t saved_boottime_s, uint64_t saved_age_s,
                    uint64_t now_s);

/* Walks the whole table. */
struct learned_load learned_walk(const struct learned *learned);

#endif

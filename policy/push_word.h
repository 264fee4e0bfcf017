/* The push table's entry: one 64-bit word, and the judgments that depend on nothing but a word and
 * the time. push_table.c is the algorithm on top.
 *
 *   bits 63..30  tag, never 0 (a word of zero is an empty slot)
 *   bits 29..18  validator
 *   bits 17..16  state
 *   bits 15..0   HELD, DECLINED: the coarse tick at which the word dies, modulo 2^16
 *                TENTATIVE, CLAIMED: owner (8 bits), then the fine tick at which the word dies,
 *                modulo 2^8
 *
 * Expiries wrap, so a word is live or dead only within a window around its expiry; sweeping at the
 * bounds that push_table.h states keeps every word inside its window. */
#ifndef HERALD_PUSH_WORD_H
#define HERALD_PUSH_WORD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#ifndef PUSH_BUCKET_SLOTS
#define PUSH_BUCKET_SLOTS 8
#endif
#ifndef PUSH_TRIES_MAX
#define PUSH_TRIES_MAX 8
#endif

#define PUSH_TAG_BITS 34
#define PUSH_VALIDATOR_BITS 12

#define PUSH_FINE_TICK_MS UINT64_C(2000)     /* claims */
#define PUSH_COARSE_TICK_MS UINT64_C(256000) /* beliefs */
#define PUSH_COARSE_LIVE_TICKS 49151         /* a belief is live while less than this remains */
#define PUSH_LIFE_TICKS_MAX 49150            /* one below, so that a reader a tick behind agrees */

enum push_word_state { PUSH_WORD_TENTATIVE, PUSH_WORD_CLAIMED, PUSH_WORD_HELD, PUSH_WORD_DECLINED };

/* Where a client's belief about one resource lies and how it is told from its neighbours. */
struct push_key {
    uint64_t bucket_hash; /* its low bits choose the bucket */
    uint64_t tag;         /* 1 to 2^34 - 1 */
};

/* One reading of the table's clock in both units, at full width. */
struct push_ticks {
    uint64_t fine;
    uint64_t coarse;
};

#define PUSH_RANK_NEVER UINT32_MAX

static inline bool push_word_swap(_Atomic uint64_t *at, uint64_t expected, uint64_t desired)
{
    return atomic_compare_exchange_strong_explicit(at, &expected, desired, memory_order_seq_cst,
                                                   memory_order_relaxed);
}

/* The model tests put their own scheduler between the algorithm and its memory, and choose smaller
 * bounds than those above. */
#ifndef PUSH_WORD_LOAD
#define PUSH_WORD_LOAD(at, order) atomic_load_explicit((at), (order))
#define PUSH_WORD_SWAP(at, expected, desired) push_word_swap((at), (expected), (desired))
#endif

static inline uint64_t push_word_make(uint64_t tag, uint16_t validator, enum push_word_state state,
                                      uint16_t expiry)
{
    return tag << 30 | (uint64_t)validator << 18 | (uint64_t)state << 16 | expiry;
}

static inline uint64_t push_word_tag(uint64_t word)
{
    return word >> 30;
}

static inline uint16_t push_word_validator(uint64_t word)
{
    return (uint16_t)(word >> 18 & 0xfff);
}

static inline enum push_word_state push_word_state(uint64_t word)
{
    return (enum push_word_state)(word >> 16 & 3);
}

static inline bool push_word_in_flight(uint64_t word)
{
    return push_word_state(word) <= PUSH_WORD_CLAIMED;
}

/* Whose claim it is. Meaningful for words in flight only. */
static inline uint8_t push_word_owner(uint64_t word)
{
    return (uint8_t)(word >> 8);
}

/* Fine ticks until a word in flight dies; not above 0 for a dead one. */
static inline int push_word_fine_left(uint64_t word, struct push_ticks now)
{
    return (int8_t)(uint8_t)((uint8_t)word - (uint8_t)now.fine);
}

/* Coarse ticks until a belief dies; PUSH_COARSE_LIVE_TICKS + 1 or more, or 0, for a dead one. */
static inline uint16_t push_word_coarse_left(uint64_t word, struct push_ticks now)
{
    return (uint16_t)((uint16_t)word - (uint16_t)now.coarse);
}

/* Whether a word that is not zero still counts. */
static inline bool push_word_live(uint64_t word, struct push_ticks now)
{
    if (push_word_in_flight(word))
        return push_word_fine_left(word, now) > 0;
    return (uint16_t)(push_word_coarse_left(word, now) - 1) < PUSH_COARSE_LIVE_TICKS;
}

/* How willingly a slot is given to a word of `tag`: the key's own slot first, then an empty one, a
 * dead one, then the belief that dies first. A live claim of another key is never given up. */
static inline uint32_t push_word_rank(uint64_t word, uint64_t tag, struct push_ticks now)
{
    if (word == 0)
        return 1;
    if (push_word_tag(word) == tag)
        return 0;
    if (!push_word_live(word, now))
        return 2;
    return push_word_in_flight(word) ? PUSH_RANK_NEVER : 3U + push_word_coarse_left(word, now);
}

/* Whether a claimer whose tentative word lies in `slot` may clear `word`, of the same key, from
 * slot `at`. Tentative words yield to lower slots, so of several claimers one is never cleared; a
 * belief in another validator is out of date. */
static inline bool push_word_yields(uint64_t word, unsigned at, unsigned slot, uint16_t validator,
                                    struct push_ticks now)
{
    if (!push_word_live(word, now))
        return true;
    if (push_word_in_flight(word))
        return push_word_state(word) == PUSH_WORD_TENTATIVE && at > slot;
    return push_word_validator(word) != validator;
}

#endif

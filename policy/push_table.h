/* The push table: what each client is believed to hold, shared by all workers.
 *
 * One entry says what one client knows of one resource. Entries are 64-bit words, eight to a bucket
 * of one cache line; all changes are compare-and-swaps of exact words, so a process may be killed
 * anywhere and there is nothing to unlock. Of several processes that claim the same key at once
 * exactly one is told PUSH_CLAIMED. A full bucket gives up the belief that expires first, and never
 * a live claim. Nothing here blocks, allocates or loops without bound.
 *
 * Time is CLOCK_BOOTTIME. Claims live PUSH_CLAIM_TICKS fine ticks (2 s each) and are renewed while
 * bytes progress; beliefs live in coarse ticks (256 s). Stored expiries wrap, which lays these
 * duties on whoever runs the table (push_upkeep.h does the sweeping):
 * - an owner id is unique among running processes, and is given out again only after the death of
 *   its process was reaped and a sweep for it has finished;
 * - that sweep finishes, and a sweep of everything is repeated, within PUSH_SWEEP_PERIOD_S;
 * - no process stays inside one call for 100 fine ticks. */
#ifndef HERALD_PUSH_TABLE_H
#define HERALD_PUSH_TABLE_H

#include "policy/push_word.h"

#include <assert.h>
#include <stddef.h>

#define PUSH_TABLE_NO_OWNER (-1) /* may look, note and sweep, but not claim */
#define PUSH_OWNER_MAX 255

#define PUSH_CLAIM_TICKS 8        /* fine: a claim lapses after 14 to 16 s */
#define PUSH_TENTATIVE_TICKS 2    /* fine */
#define PUSH_TOKEN_LATE_TICKS 100 /* fine: past its expiry by more, a token settles nothing */
#define PUSH_SWEEP_PERIOD_S 200   /* 100 fine ticks; a lapsed claim would seem live after 128 */

/* The longest belief, 145 days; longer ones are cut to it. */
#define PUSH_LIFE_S_MAX (PUSH_LIFE_TICKS_MAX * 256)

/* A claim on probation spares beliefs that last longer than this, and its own lasts no longer. */
#define PUSH_PROBATION_S 3600

struct push_bucket {
    _Alignas(64) _Atomic uint64_t words[8];
};

static_assert(sizeof(struct push_bucket) == 64, "a bucket is one cache line");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "words are shared between processes");

enum push_answer {
    PUSH_ABSENT,    /* nothing is known */
    PUSH_STALE,     /* the client holds or declined another version */
    PUSH_HELD,      /* the client holds this version */
    PUSH_DECLINED,  /* the client refused this version */
    PUSH_ELSEWHERE, /* it is being sent to the client now, here or by another worker */
    PUSH_CLAIMED,   /* it is the caller's to send */
    PUSH_FULL,      /* no slot: eight live claims of others, or beliefs that were to be spared */
    PUSH_CONTENDED, /* given up: the bucket changed under every try */
};

/* Whether the client ever sent its id back. */
enum push_standing {
    PUSH_KNOWN,
    PUSH_ON_PROBATION, /* evicts no belief that lasts longer than PUSH_PROBATION_S */
};

/* What happened in this process; nobody else writes or reads it. */
struct push_counts {
    uint64_t evicted;   /* live beliefs of other keys that made room */
    uint64_t retried;   /* tries that a concurrent change undid */
    uint64_t withdrawn; /* tentative words taken back in favour of another */
};

/* This process's view of a table that lies in memory it does not own. Not to be shared between
 * threads. */
struct push_table {
    struct push_bucket *buckets;
    uint64_t mask; /* number of buckets - 1 */
    int owner;     /* 0 to PUSH_OWNER_MAX, or PUSH_TABLE_NO_OWNER */
    /* Milliseconds that never run back, the same for all processes of the table. */
    uint64_t (*clock_ms)(void *context);
    void *clock_context;
    struct push_counts counts;
};

/* A claim that was won, to be settled once. All zero: no claim. */
struct push_token {
    uint64_t bucket;
    uint64_t word;   /* exactly what the claimer wrote */
    uint64_t expiry; /* fine tick, full width */
    unsigned slot;
};

/* What `client show` tells about one entry. */
struct push_entry {
    enum push_answer answer; /* ABSENT, HELD, DECLINED or ELSEWHERE, whatever the validator */
    uint16_t validator;
    uint32_t left_s; /* until it expires, rounded up to its tick */
};

/* Uses `bytes` of zeroed or formerly used table memory at `base`, which outlives the handle: a
 * power of two, at least 64, aligned to 64. Takes CLOCK_BOOTTIME for its clock; a test may set
 * another before the first call. Returns 0, or -EINVAL for memory or an owner out of range. */
int push_table_attach(struct push_table *table, void *base, size_t bytes, int owner);

/* Milliseconds of CLOCK_BOOTTIME; `unused` is ignored. */
uint64_t push_clock_boottime(void *unused);

/* The key's bucket will be looked at soon: most of a look-up's time is waiting for its cache line, and
 * several may be waited for at once. */
static inline void push_table_prefetch(const struct push_table *table, struct push_key key)
{
    __builtin_prefetch(&table->buckets[key.bucket_hash & table->mask]);
}

/* What is known of `key` for a resource whose validator is `validator` (12 bits): PUSH_ABSENT,
 * PUSH_STALE, PUSH_HELD, PUSH_DECLINED or PUSH_ELSEWHERE. Changes nothing. */
enum push_answer push_table_peek(const struct push_table *table, struct push_key key,
                                 uint16_t validator);

/* The same, as of `now`, a reading of push_table_ticks that many look-ups may share: it is no older
 * than one wake-up. `*ending`: a belief of that version was found, and it may be one on probation,
 * with no longer to go than such a one has. */
enum push_answer push_table_peek_ending(const struct push_table *table, struct push_key key,
                                        uint16_t validator, struct push_ticks now, bool *ending);

/* The key's entry of whichever validator. Changes nothing. */
void push_table_inspect(const struct push_table *table, struct push_key key,
                        struct push_entry *entry);

/* Claims `key` for this process, so that no other sends the same resource to the same client.
 * PUSH_CLAIMED fills `token`; PUSH_HELD, PUSH_DECLINED, PUSH_ELSEWHERE, PUSH_FULL and
 * PUSH_CONTENDED zero it and say why not. The table has an owner. */
enum push_answer push_table_claim(struct push_table *table, struct push_key key, uint16_t validator,
                                  enum push_standing standing, struct push_token *token);

/* Whether the claim has not lapsed. To be asked before every promise: a process that was suspended
 * after it claimed may find that another has claimed since. */
bool push_table_token_live(const struct push_table *table, const struct push_token *token);

/* Gives a claim another PUSH_CLAIM_TICKS from now. Returns false, with `token` zeroed, when the
 * entry is no longer this claim's: it had lapsed and went to someone else. */
bool push_table_renew(struct push_table *table, struct push_token *token);

/* Ends a claim: `to` is PUSH_HELD or PUSH_DECLINED for `life_s` seconds, or PUSH_ABSENT. A life of
 * 0 means PUSH_ABSENT; others are rounded up to a coarse tick and cut at PUSH_LIFE_S_MAX. Zeroes
 * `token`. Returns false and changes nothing when the entry is no longer this claim's (it had
 * lapsed), or for a zero token; push_table_note still records what became known. */
bool push_table_settle(struct push_table *table, struct push_token *token, enum push_answer to,
                       uint32_t life_s);

/* Records what became known without a claim: the client's own request was answered and
 * acknowledged (PUSH_HELD), or a CANCEL came after the claim was settled (PUSH_DECLINED). Replaces
 * an earlier belief, refreshes the same one. Returns false when nothing was recorded: a live claim
 * for the key will settle it, there is no slot, or another process noted it at the same time. */
bool push_table_note(struct push_table *table, struct push_key key, uint16_t validator,
                     enum push_answer what, uint32_t life_s, enum push_standing standing);

/* The client's id came back `age_s` after it was minted: gives a belief that was noted while it was
 * on probation the end it would have had otherwise, `life_s` after it was noted. `what` and
 * `validator` are those that push_table_peek found. Left alone is a belief that need not be of that
 * time: one with more than PUSH_PROBATION_S to go, or that `life_s` counted from any moment since
 * the minting explains as well. So it may be called again at any time and moves nothing twice.
 * Returns whether it was prolonged. */
bool push_table_lift(struct push_table *table, struct push_key key, uint16_t validator,
                     enum push_answer what, uint32_t life_s, uint32_t age_s);

/* Removes what is believed of `key`, of any validator; claims in flight stay. Returns the number of
 * entries removed. */
unsigned push_table_forget(struct push_table *table, struct push_key key);

/* "held", "declined" and so on, for people and for JSON. */
const char *push_answer_name(enum push_answer answer);

/* The clock's reading in the table's units. */
struct push_ticks push_table_ticks(const struct push_table *table);

#endif

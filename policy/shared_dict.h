/* Dictionaries that policies share: `shared.NAME`. Keys and values in memory that all workers map,
 * across versions of the policies, reloads and crashes of workers; not saved to disk.
 *
 * A dictionary is a hash table of buckets, each with a lock, a directory of words and the bytes
 * that the words point to. What is free follows from the directory alone, and every change becomes
 * visible by one store of one word (or of one number), made after the bytes it speaks of: a process
 * killed at any instant leaves a bucket as it was before its change or as it is after it, and
 * nothing of it is lost to garbage. So a lock whose holder died needs no repair, only to be opened:
 * the master does that for every worker that it reaps (shared_dict_release).
 *
 * No call enters the kernel but one that finds its bucket locked for long, which yields the CPU. */
#ifndef HERALD_SHARED_DICT_H
#define HERALD_SHARED_DICT_H

#include "master/handoff/span.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SHARED_KEY_MAX 250         /* bytes, from 1 */
#define SHARED_VALUE_MAX 8192      /* bytes of a string */
#define SHARED_BYTES_MIN (1 << 16) /* of a dictionary */
#define SHARED_ENTRIES 128         /* of one bucket */
#define SHARED_UNIT 64             /* bytes; entries take whole units */
#define SHARED_UNITS 240           /* of one bucket */
#define SHARED_WAIT_MS 100         /* for a lock, at most */

enum shared_type { SHARED_STRING = 1, SHARED_NUMBER, SHARED_BOOLEAN };

struct shared_value {
    enum shared_type type;
    struct span text; /* of SHARED_STRING; otherwise not looked at */
    double number;    /* of SHARED_NUMBER; 0 or 1 of SHARED_BOOLEAN */
};

enum shared_result {
    SHARED_DONE,
    SHARED_ABSENT,    /* there is no such key */
    SHARED_EXISTS,    /* there is one already */
    SHARED_BAD_KEY,   /* it is empty, or longer than SHARED_KEY_MAX */
    SHARED_TOO_LARGE, /* the string is longer than SHARED_VALUE_MAX */
    SHARED_NO_NUMBER, /* incr found a string or a boolean */
    SHARED_BUSY       /* somebody held the lock for SHARED_WAIT_MS */
};

/* What stands beside a bucket, in a cache line of its own. */
struct shared_line {
    _Atomic uint64_t owner;     /* who holds the lock; 0: nobody */
    _Atomic uint32_t writes;    /* entries written, which gives them an order */
    _Atomic uint32_t evictions; /* entries that were dropped for others before they expired */
    _Atomic uint32_t refusals;  /* operations that came to nothing: SHARED_BUSY, SHARED_TOO_LARGE */
} __attribute__((aligned(64)));

/* A word of the directory, from the top: 16 bits of the key's hash, 8 of the first unit, 8 of how
 * many units, 32 of the second at which the entry expires (0: never). 0: there is no entry. */
struct shared_bucket {
    _Atomic uint64_t words[SHARED_ENTRIES];
    unsigned char units[SHARED_UNITS][SHARED_UNIT];
};

static_assert(sizeof(struct shared_bucket) == 16384, "a bucket is whole pages");

/* A process's view of a dictionary. */
struct shared_dict {
    struct shared_line *lines;
    struct shared_bucket *buckets;
    uint32_t count; /* of buckets */
    uint32_t owner; /* names this process: its slot + 1; unique among those that run */
    uint8_t hash_key[16];
    bool alone; /* the memory is this process's copy (segment_privatize): locks mean nothing */
    bool dry;   /* nothing is changed; results are as if it were */
};

struct shared_census {
    uint64_t entries;
    uint64_t units;     /* that they take */
    uint64_t evictions; /* since the segment was made */
    uint64_t damaged; /* entries that contradict themselves or others: a bug, or hostile writing */
};

/* Views `bytes` of memory (from SHARED_BYTES_MIN, aligned to a page), which are zero for an empty
 * dictionary. `owner` is not 0; `hash_key` (16 bytes, copied) is the same for all. Returns 0 or
 * -EINVAL. */
int shared_dict_attach(struct shared_dict *dict, void *memory, uint64_t bytes, uint32_t owner,
                       const uint8_t *hash_key);

/* Reads a value; a string is copied to `text` (SHARED_VALUE_MAX bytes), which value->text then
 * borrows. now_s is a clock that all processes have in common. */
enum shared_result shared_dict_get(struct shared_dict *dict, struct span key, uint32_t now_s,
                                   struct shared_value *value, char *text);

/* Writes a value; ttl_s: seconds until it expires, 0: never. In a full bucket those go that
 * expired, then those that expire first, then those that were written least recently. */
enum shared_result shared_dict_set(struct shared_dict *dict, struct span key,
                                   const struct shared_value *value, uint32_t ttl_s,
                                   uint32_t now_s);

/* As set, but SHARED_EXISTS when there is a value. Of all processes that try, one succeeds. */
enum shared_result shared_dict_add(struct shared_dict *dict, struct span key,
                                   const struct shared_value *value, uint32_t ttl_s,
                                   uint32_t now_s);

/* Adds `by` to a number, whose expiry stays; where there is none it begins as `init`, with `ttl_s`.
 * `*sum` is what it comes to. Nobody's addition is lost to another's. */
enum shared_result shared_dict_incr(struct shared_dict *dict, struct span key, double by,
                                    double init, uint32_t ttl_s, uint32_t now_s, double *sum);

/* Removes a key. */
enum shared_result shared_dict_delete(struct shared_dict *dict, struct span key, uint32_t now_s);

/* The result as policies see it: "exists", "busy"; NULL for SHARED_DONE and SHARED_ABSENT. */
const char *shared_dict_why(enum shared_result result);

/* Opens what `owner`, a process that is dead for certain, had locked. Returns how many locks. */
unsigned shared_dict_release(struct shared_dict *dict, uint32_t owner);

/* Looks through all of it, a bucket at a time. For tests and people: it touches every page. */
void shared_dict_census(struct shared_dict *dict, struct shared_census *census);

/* How full a dictionary is, for people. */
struct shared_load {
    uint64_t entries;   /* that have not expired */
    uint64_t bytes;     /* that they take */
    uint64_t room;      /* bytes for entries, were they spread evenly: count on two thirds */
    uint64_t evictions; /* since the segment was made */
    uint64_t refusals;
};

/* Counts without locks, by the directories alone, so that what is being written meanwhile may count
 * or not. Buckets that nobody ever wrote to are not touched: no memory is taken for them. */
void shared_dict_load(const struct shared_dict *dict, uint32_t now_s, struct shared_load *load);

#endif

#include "policy/shared_dict.h"

#include "policy/identity.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>

#define SPINS 200
#define PAGE 4096u

/* What an entry's units hold: this, the key, a string's bytes. */
struct entry {
    uint64_t check;           /* of all but the next two */
    _Atomic uint64_t number;  /* a double's bits */
    _Atomic uint32_t written; /* the bucket's count of writes then */
    uint16_t text_bytes;
    uint8_t key_bytes;
    uint8_t type;
    char bytes[];
};

static_assert(sizeof(struct entry) == 24, "entries have no padding");
static_assert((sizeof(struct entry) + SHARED_KEY_MAX + SHARED_VALUE_MAX + SHARED_UNIT - 1) /
                      SHARED_UNIT <
                  SHARED_UNITS,
              "the largest entry fits into an empty bucket");

/* A bucket that is locked, and the key that it was locked for. */
struct place {
    struct shared_line *line;
    struct shared_bucket *bucket;
    struct span key;
    uint64_t tag; /* where a word has it */
    int index;    /* of the key's word; -1: there is none */
};

static inline uint64_t word_at(const struct shared_bucket *bucket, unsigned i)
{
    return atomic_load_explicit(&bucket->words[i], memory_order_relaxed);
}

/* The store by which a change becomes visible. */
static inline void set_word(struct shared_bucket *bucket, unsigned i, uint64_t word)
{
    atomic_store_explicit(&bucket->words[i], word, memory_order_release);
}

static inline unsigned first_of(uint64_t word)
{
    return (word >> 40) & 0xff;
}

static inline unsigned units_of(uint64_t word)
{
    return (word >> 32) & 0xff;
}

static inline bool has_expired(uint64_t word, uint32_t now_s)
{
    return (uint32_t)word && (uint32_t)word <= now_s;
}

static unsigned units_for(size_t key_bytes, size_t text_bytes)
{
    return (unsigned)((sizeof(struct entry) + key_bytes + text_bytes + SHARED_UNIT - 1) /
                      SHARED_UNIT);
}

/* The entry of a word, or NULL for one that lies about itself. */
static struct entry *entry_of(struct shared_bucket *bucket, uint64_t word)
{
    unsigned first = first_of(word), units = units_of(word);
    if (units == 0 || first + units > SHARED_UNITS)
        return NULL;
    struct entry *entry = (struct entry *)(void *)bucket->units[first];
    return units_for(entry->key_bytes, entry->text_bytes) == units ? entry : NULL;
}

static uint64_t check_of(const struct entry *entry)
{
    uint64_t facts =
        (uint64_t)entry->type << 32 | (uint64_t)entry->key_bytes << 16 | entry->text_bytes;
    return XXH3_64bits_withSeed(entry->bytes, (size_t)entry->key_bytes + entry->text_bytes, facts);
}

int shared_dict_attach(struct shared_dict *dict, void *memory, uint64_t bytes, uint32_t owner,
                       const uint8_t *hash_key)
{
    uint64_t count = bytes / sizeof(struct shared_bucket);
    *dict = (struct shared_dict){.lines = memory, .owner = owner};
    if (bytes < SHARED_BYTES_MIN || bytes > (UINT64_C(1) << 32) || !owner ||
        (uintptr_t)memory % PAGE)
        return -EINVAL;
    /* As many as fit behind their lines. */
    while ((count * sizeof(struct shared_line) + PAGE - 1) / PAGE * PAGE +
               count * sizeof(struct shared_bucket) >
           bytes)
        count--;
    uint64_t offset = (count * sizeof(struct shared_line) + PAGE - 1) / PAGE * PAGE;
    dict->buckets = (struct shared_bucket *)(void *)((char *)memory + offset);
    dict->count = (uint32_t)count;
    memcpy(dict->hash_key, hash_key, sizeof(dict->hash_key));
    return 0;
}

/* ---- locks ---- */

static uint64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool try_lock(struct shared_line *line, uint32_t owner)
{
    uint64_t nobody = 0;
    return atomic_load_explicit(&line->owner, memory_order_relaxed) == 0 &&
           atomic_compare_exchange_strong_explicit(&line->owner, &nobody, owner,
                                                   memory_order_acquire, memory_order_relaxed);
}

/* A copy of one's own of every page, so that what others write no longer shows. */
static void take_copy(struct shared_bucket *bucket)
{
    for (size_t at = 0; at < sizeof(*bucket); at += PAGE)
        atomic_fetch_or((_Atomic uint64_t *)(void *)((char *)bucket + at), 0);
}

static bool lock(struct shared_dict *dict, struct shared_line *line)
{
    if (dict->alone) {
        take_copy(&dict->buckets[line - dict->lines]);
        return true;
    }
    for (unsigned i = 0; i < SPINS; i++) {
        if (try_lock(line, dict->owner))
            return true;
    }
    for (uint64_t until_ms = clock_ms() + SHARED_WAIT_MS; clock_ms() <= until_ms;) {
        sched_yield();
        if (try_lock(line, dict->owner))
            return true;
    }
    return false;
}

static void unlock(struct shared_dict *dict, struct shared_line *line)
{
    if (!dict->alone)
        atomic_store_explicit(&line->owner, 0, memory_order_release);
}

unsigned shared_dict_release(struct shared_dict *dict, uint32_t owner)
{
    unsigned released = 0;
    for (uint32_t i = 0; i < dict->count; i++) {
        uint64_t holder = owner;
        released += atomic_load_explicit(&dict->lines[i].owner, memory_order_relaxed) == owner &&
                    atomic_compare_exchange_strong(&dict->lines[i].owner, &holder, 0);
    }
    return released;
}

/* ---- finding ---- */

static int find(const struct shared_dict *dict, const struct place *place)
{
    for (unsigned i = 0; i < SHARED_ENTRIES; i++) {
        uint64_t word = word_at(place->bucket, i);
        if (!word || (word ^ place->tag) >> 48)
            continue;
        const struct entry *entry = entry_of(place->bucket, word);
        if (entry && entry->key_bytes == place->key.length &&
            memcmp(entry->bytes, place->key.data, place->key.length) == 0 &&
            (!dict->alone || check_of(entry) == entry->check))
            return (int)i;
    }
    return -1;
}

static uint32_t bucket_of(const struct shared_dict *dict, uint64_t hash)
{
    return (uint32_t)(((hash & UINT32_MAX) * dict->count) >> 32);
}

static void count_refusal(const struct shared_dict *dict, struct shared_line *line)
{
    if (!dict->dry)
        atomic_fetch_add_explicit(&line->refusals, 1, memory_order_relaxed);
}

static enum shared_result open_place(struct shared_dict *dict, struct span key, uint32_t now_s,
                                     struct place *place)
{
    if (key.length == 0 || key.length > SHARED_KEY_MAX)
        return SHARED_BAD_KEY;
    uint64_t hash = identity_hash(dict->hash_key, key);
    uint32_t at = bucket_of(dict, hash);
    *place = (struct place){.line = &dict->lines[at],
                            .bucket = &dict->buckets[at],
                            .key = key,
                            .tag = hash >> 48 << 48};
    if (!lock(dict, place->line)) {
        count_refusal(dict, place->line);
        return SHARED_BUSY;
    }
    place->index = find(dict, place);
    if (place->index >= 0 && has_expired(word_at(place->bucket, (unsigned)place->index), now_s)) {
        if (!dict->dry)
            set_word(place->bucket, (unsigned)place->index, 0);
        place->index = -1;
    }
    return SHARED_DONE;
}

static struct entry *found(const struct place *place)
{
    return entry_of(place->bucket, word_at(place->bucket, (unsigned)place->index));
}

static double number_of(const struct entry *entry)
{
    uint64_t bits = atomic_load_explicit(&entry->number, memory_order_relaxed);
    double number;
    memcpy(&number, &bits, sizeof(number));
    return number;
}

static void set_number(struct entry *entry, double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof(bits));
    atomic_store_explicit(&entry->number, bits, memory_order_relaxed);
}

/* ---- room ---- */

/* The first of `units` units in a row that no word claims; -1: there are none. */
static int find_gap(const struct shared_bucket *bucket, unsigned units)
{
    bool used[512] = {false};
    unsigned run = 0;
    for (unsigned i = 0; i < SHARED_ENTRIES; i++) {
        uint64_t word = word_at(bucket, i);
        memset(used + first_of(word), 1, units_of(word));
    }
    for (unsigned at = 0; at < SHARED_UNITS; at++) {
        run = used[at] ? 0 : run + 1;
        if (run == units)
            return (int)(at + 1 - units);
    }
    return -1;
}

static int find_free_word(const struct shared_bucket *bucket)
{
    for (unsigned i = 0; i < SHARED_ENTRIES; i++)
        if (!word_at(bucket, i))
            return (int)i;
    return -1;
}

static bool drop_expired(struct shared_bucket *bucket, uint32_t now_s)
{
    bool any = false;
    for (unsigned i = 0; i < SHARED_ENTRIES; i++) {
        if (!has_expired(word_at(bucket, i), now_s))
            continue;
        set_word(bucket, i, 0);
        any = true;
    }
    return any;
}

/* Drops what expires first; of what never does, the one whose writing is longest ago. */
static void evict(const struct place *place)
{
    uint32_t writes = atomic_load_explicit(&place->line->writes, memory_order_relaxed);
    uint64_t most = 0;
    int victim = -1;
    for (unsigned i = 0; i < SHARED_ENTRIES; i++) {
        uint64_t word = word_at(place->bucket, i);
        const struct entry *entry = word ? entry_of(place->bucket, word) : NULL;
        uint32_t soon = (uint32_t)word ? UINT32_MAX - (uint32_t)word + 1 : 0;
        uint32_t age = entry ? writes - atomic_load_explicit(&entry->written, memory_order_relaxed)
                             : UINT32_MAX;
        uint64_t rank = (uint64_t)soon << 32 | age;
        if (word && (victim < 0 || rank > most)) {
            most = rank;
            victim = (int)i;
        }
    }
    assert(victim >= 0);
    set_word(place->bucket, (unsigned)victim, 0);
    atomic_fetch_add_explicit(&place->line->evictions, 1, memory_order_relaxed);
}

/* Makes room for `units` and a word; returns the first unit. The key's own old value goes before
 * anyone else's that has not expired. */
static unsigned make_room(struct place *place, unsigned units, uint32_t now_s)
{
    for (;;) {
        int gap = find_gap(place->bucket, units);
        bool has_word = place->index >= 0 || find_free_word(place->bucket) >= 0;
        if (gap >= 0 && has_word)
            return (unsigned)gap;
        if (drop_expired(place->bucket, now_s))
            continue;
        if (place->index >= 0) {
            set_word(place->bucket, (unsigned)place->index, 0);
            place->index = -1;
        } else {
            evict(place);
        }
    }
}

/* ---- writing ---- */

static uint32_t next_write(const struct place *place)
{
    return atomic_fetch_add_explicit(&place->line->writes, 1, memory_order_relaxed) + 1;
}

static uint64_t word_for(const struct place *place, unsigned first, unsigned units,
                         uint32_t expires_s)
{
    return place->tag | (uint64_t)first << 40 | (uint64_t)units << 32 | expires_s;
}

/* A number takes a number's place by one store, and a new expiry by another. */
static bool rewrite(const struct place *place, const struct shared_value *value, uint32_t expires_s)
{
    struct entry *entry = place->index >= 0 ? found(place) : NULL;
    if (!entry || entry->type != value->type || value->type == SHARED_STRING)
        return false;
    uint64_t word = word_at(place->bucket, (unsigned)place->index);
    set_number(entry, value->number);
    atomic_store_explicit(&entry->written, next_write(place), memory_order_relaxed);
    if ((uint32_t)word != expires_s)
        set_word(place->bucket, (unsigned)place->index,
                 word_for(place, first_of(word), units_of(word), expires_s));
    return true;
}

static void write_value(struct place *place, const struct shared_value *value, uint32_t expires_s,
                        uint32_t now_s)
{
    size_t text_bytes = value->type == SHARED_STRING ? value->text.length : 0;
    unsigned units = units_for(place->key.length, text_bytes);
    if (rewrite(place, value, expires_s))
        return;
    unsigned first = make_room(place, units, now_s);
    struct entry *entry = (struct entry *)(void *)place->bucket->units[first];
    entry->text_bytes = (uint16_t)text_bytes;
    entry->key_bytes = (uint8_t)place->key.length;
    entry->type = (uint8_t)value->type;
    memcpy(entry->bytes, place->key.data, place->key.length);
    if (text_bytes)
        memcpy(entry->bytes + place->key.length, value->text.data, text_bytes);
    entry->check = check_of(entry);
    set_number(entry, value->number);
    atomic_store_explicit(&entry->written, next_write(place), memory_order_relaxed);
    unsigned index = (unsigned)(place->index >= 0 ? place->index : find_free_word(place->bucket));
    set_word(place->bucket, index, word_for(place, first, units, expires_s));
}

static uint32_t expiry(uint32_t ttl_s, uint32_t now_s)
{
    if (!ttl_s)
        return 0;
    return ttl_s < UINT32_MAX - now_s ? now_s + ttl_s : UINT32_MAX;
}

/* ---- what others call ---- */

enum shared_result shared_dict_get(struct shared_dict *dict, struct span key, uint32_t now_s,
                                   struct shared_value *value, char *text)
{
    struct place place;
    enum shared_result result = open_place(dict, key, now_s, &place);
    if (result != SHARED_DONE)
        return result;
    struct entry *entry = place.index >= 0 ? found(&place) : NULL;
    if (!entry || entry->text_bytes > SHARED_VALUE_MAX) {
        unlock(dict, place.line);
        return SHARED_ABSENT;
    }
    value->type = (enum shared_type)entry->type;
    value->number = number_of(entry);
    memcpy(text, entry->bytes + entry->key_bytes, entry->text_bytes);
    value->text = span_make(text, entry->text_bytes);
    unlock(dict, place.line);
    return SHARED_DONE;
}

static enum shared_result put(struct shared_dict *dict, struct span key,
                              const struct shared_value *value, uint32_t ttl_s, uint32_t now_s,
                              bool only_new)
{
    struct place place;
    if (value->type == SHARED_STRING && value->text.length > SHARED_VALUE_MAX) {
        count_refusal(dict, &dict->lines[bucket_of(dict, identity_hash(dict->hash_key, key))]);
        return SHARED_TOO_LARGE;
    }
    enum shared_result result = open_place(dict, key, now_s, &place);
    if (result != SHARED_DONE)
        return result;
    if (only_new && place.index >= 0)
        result = SHARED_EXISTS;
    else if (!dict->dry)
        write_value(&place, value, expiry(ttl_s, now_s), now_s);
    unlock(dict, place.line);
    return result;
}

enum shared_result shared_dict_set(struct shared_dict *dict, struct span key,
                                   const struct shared_value *value, uint32_t ttl_s, uint32_t now_s)
{
    return put(dict, key, value, ttl_s, now_s, false);
}

enum shared_result shared_dict_add(struct shared_dict *dict, struct span key,
                                   const struct shared_value *value, uint32_t ttl_s, uint32_t now_s)
{
    return put(dict, key, value, ttl_s, now_s, true);
}

enum shared_result shared_dict_incr(struct shared_dict *dict, struct span key, double by,
                                    double init, uint32_t ttl_s, uint32_t now_s, double *sum)
{
    struct place place;
    enum shared_result result = open_place(dict, key, now_s, &place);
    if (result != SHARED_DONE)
        return result;
    struct entry *entry = place.index >= 0 ? found(&place) : NULL;
    uint32_t expires_s = expiry(ttl_s, now_s);
    if (entry && entry->type != SHARED_NUMBER) {
        unlock(dict, place.line);
        return SHARED_NO_NUMBER;
    }
    if (entry)
        expires_s = (uint32_t)word_at(place.bucket, (unsigned)place.index);
    *sum = (entry ? number_of(entry) : init) + by;
    struct shared_value value = {.type = SHARED_NUMBER, .number = *sum};
    if (!dict->dry)
        write_value(&place, &value, expires_s, now_s);
    unlock(dict, place.line);
    return SHARED_DONE;
}

enum shared_result shared_dict_delete(struct shared_dict *dict, struct span key, uint32_t now_s)
{
    struct place place;
    enum shared_result result = open_place(dict, key, now_s, &place);
    if (result != SHARED_DONE)
        return result;
    if (place.index < 0)
        result = SHARED_ABSENT;
    else if (!dict->dry)
        set_word(place.bucket, (unsigned)place.index, 0);
    unlock(dict, place.line);
    return result;
}

const char *shared_dict_why(enum shared_result result)
{
    static const char *const WORDS[] = {[SHARED_EXISTS] = "exists",
                                        [SHARED_BAD_KEY] = "bad key",
                                        [SHARED_TOO_LARGE] = "too large",
                                        [SHARED_NO_NUMBER] = "not a number",
                                        [SHARED_BUSY] = "busy"};
    return WORDS[result];
}

/* ---- looking through ---- */

static void count_bucket(struct shared_bucket *bucket, struct shared_census *census)
{
    bool used[512] = {false};
    for (unsigned i = 0; i < SHARED_ENTRIES; i++) {
        uint64_t word = word_at(bucket, i);
        if (!word)
            continue;
        const struct entry *entry = entry_of(bucket, word);
        bool overlaps = false;
        for (unsigned at = first_of(word); at < first_of(word) + units_of(word); at++) {
            overlaps = overlaps || used[at];
            used[at] = true;
        }
        census->entries++;
        census->units += units_of(word);
        census->damaged += !entry || overlaps || check_of(entry) != entry->check;
    }
}

void shared_dict_census(struct shared_dict *dict, struct shared_census *census)
{
    *census = (struct shared_census){0};
    for (uint32_t i = 0; i < dict->count; i++) {
        struct shared_line *line = &dict->lines[i];
        census->evictions += atomic_load_explicit(&line->evictions, memory_order_relaxed);
        if (!lock(dict, line)) {
            census->damaged++;
            continue;
        }
        count_bucket(&dict->buckets[i], census);
        unlock(dict, line);
    }
}

static void load_bucket(const struct shared_bucket *bucket, uint32_t now_s,
                        struct shared_load *load)
{
    for (unsigned i = 0; i < SHARED_ENTRIES; i++) {
        uint64_t word = word_at(bucket, i);
        if (!word || has_expired(word, now_s))
            continue;
        load->entries++;
        load->bytes += units_of(word) * SHARED_UNIT;
    }
}

void shared_dict_load(const struct shared_dict *dict, uint32_t now_s, struct shared_load *load)
{
    *load = (struct shared_load){.room = (uint64_t)dict->count * SHARED_UNITS * SHARED_UNIT};
    for (uint32_t i = 0; i < dict->count; i++) {
        const struct shared_line *line = &dict->lines[i];
        load->evictions += atomic_load_explicit(&line->evictions, memory_order_relaxed);
        load->refusals += atomic_load_explicit(&line->refusals, memory_order_relaxed);
        if (atomic_load_explicit(&line->writes, memory_order_relaxed))
            load_bucket(&dict->buckets[i], now_s, load);
    }
}

/* A head's life: empty or READY -> WRITING (its text is the swapper's to write) -> READY. The
 * incarnation grows with each WRITING. A writer that was killed leaves WRITING behind, which is
 * taken over after WRITING_UNITS; one that was only slow then writes into another's text, which
 * spoils both and no reader believes either: the checksum differs. */
#include "policy/names.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <xxhash.h>

#define UNIT_S 480 /* times are kept in these, modulo TIME_MASK + 1: 22 days */
#define TIME_MASK 0xfffu
#define SKEW_UNITS 8   /* a time so little ahead is another process's newer clock */
#define STALE_UNITS 15 /* two hours: voters of a name that does not get on */
#define WRITING_UNITS 2
#define TRIES_MAX 8

#define HEAD_STATE_SHIFT 12
#define HEAD_INCARNATION_SHIFT 14
#define HEAD_TAG_SHIFT 32
#define INCARNATION_MASK 0x3ffffu
#define INDEX_BITS 14
#define SEEN_VOTER_SHIFT 12
#define SEEN_TAG_SHIFT 28

enum head_state { NAME_EMPTY, NAME_WRITING, NAME_READY };

static_assert(sizeof(struct names_text) == 256, "a text is four cache lines");
static_assert(sizeof(struct names_set) == 64 + 64 + NAMES_WAYS * 256, "nothing is padded");
static_assert(NAMES_SETS_MAX * NAMES_WAYS == 1 << INDEX_BITS, "an id holds every index");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "words are shared between processes");

/* A text as it is hashed and copied. */
struct plain_text {
    uint16_t site_length, path_length;
    char text[NAMES_TEXT_MAX];
};
static_assert(sizeof(struct plain_text) == 240, "30 words");

int names_attach(struct names *names, void *base, size_t bytes)
{
    uint64_t sets = bytes / sizeof(struct names_set);
    if (!base || (uintptr_t)base % 64 != 0 || bytes % sizeof(struct names_set) != 0)
        return -EINVAL;
    if (sets == 0 || sets > NAMES_SETS_MAX || (sets & (sets - 1)) != 0)
        return -EINVAL;
    *names = (struct names){base, sets - 1};
    return 0;
}

static struct names_set *set_of(const struct names *names, uint64_t resource)
{
    return &names->sets[resource & names->mask];
}

static uint32_t unit_of(uint64_t now_s)
{
    return (uint32_t)(now_s / UNIT_S) & TIME_MASK;
}

static uint32_t age_of(uint64_t word, uint32_t now)
{
    uint32_t age = (now - (uint32_t)word) & TIME_MASK;
    return age > TIME_MASK - SKEW_UNITS ? 0 : age;
}

static uint64_t head_make(uint64_t resource, uint32_t incarnation, enum head_state state,
                          uint32_t now)
{
    return resource >> 32 << HEAD_TAG_SHIFT | (uint64_t)incarnation << HEAD_INCARNATION_SHIFT |
           (uint64_t)state << HEAD_STATE_SHIFT | now;
}

static enum head_state head_state(uint64_t head)
{
    return (enum head_state)(head >> HEAD_STATE_SHIFT & 3);
}

static uint32_t head_incarnation(uint64_t head)
{
    return (uint32_t)(head >> HEAD_INCARNATION_SHIFT) & INCARNATION_MASK;
}

static bool swap(_Atomic uint64_t *at, uint64_t old, uint64_t new)
{
    return atomic_compare_exchange_strong_explicit(at, &old, new, memory_order_acq_rel,
                                                   memory_order_relaxed);
}

static uint32_t id_of(const struct names *names, const struct names_set *set, unsigned way,
                      uint64_t head)
{
    uint32_t index = (uint32_t)(set - names->sets) * NAMES_WAYS + way;
    return head_incarnation(head) << INDEX_BITS | index;
}

static uint64_t check_of(uint32_t id, uint64_t resource, const struct plain_text *text)
{
    return XXH3_64bits_withSeed(text, sizeof(*text), resource ^ id);
}

/* ---- voters of names that are not public ---- */

static uint64_t seen_tag(uint64_t resource)
{
    uint64_t tag = resource >> SEEN_TAG_SHIFT;
    return tag ? tag : 1;
}

/* Two voters may come to the same 16 bits: then one too few is counted, never one too many. */
static uint64_t seen_voter(uint64_t resource, uint64_t voter)
{
    return (voter ^ resource) * UINT64_C(0x9e3779b97f4a7c15) >> 48;
}

struct seen_count {
    unsigned voters; /* distinct ones of the name */
    bool mine;       /* this voter is among them */
};

static struct seen_count count_seen(const uint64_t words[NAMES_WAYS], uint64_t tag, uint64_t voter)
{
    uint64_t voters[NAMES_WAYS] = {0};
    struct seen_count count = {0};
    for (unsigned i = 0; i < NAMES_WAYS; i++) {
        uint64_t other = words[i] >> SEEN_VOTER_SHIFT & 0xffff;
        unsigned same = 0;
        if (words[i] >> SEEN_TAG_SHIFT != tag)
            continue;
        while (same < count.voters && voters[same] != other)
            same++;
        if (same == count.voters)
            voters[count.voters++] = other;
        count.mine |= other == voter;
    }
    return count;
}

/* The word to give up for another: none, else of a name that has long got no further, else of the
 * one with the fewest voters. So of several names that crowd a set the foremost gets through. */
static unsigned seen_victim(const uint64_t words[NAMES_WAYS], uint64_t tag, uint32_t now)
{
    unsigned best = 0;
    uint32_t best_rank = UINT32_MAX;
    for (unsigned i = 0; i < NAMES_WAYS; i++) {
        uint32_t rank = 0, age = age_of(words[i], now);
        if (words[i] != 0 && age <= STALE_UNITS) {
            for (unsigned j = 0; j < NAMES_WAYS; j++)
                rank += words[j] >> SEEN_TAG_SHIFT == words[i] >> SEEN_TAG_SHIFT;
            rank = rank << 8 | (STALE_UNITS - age);
        }
        if (words[i] >> SEEN_TAG_SHIFT == tag)
            rank |= 1u << 16; /* one's own name last */
        if (rank < best_rank) {
            best = i;
            best_rank = rank;
        }
    }
    return best;
}

/* Counts the voter. Returns whether the name has enough of them. */
static bool seen_by_enough(struct names_set *set, uint64_t resource, uint64_t voter, uint32_t now)
{
    uint64_t tag = seen_tag(resource);
    uint64_t mine = seen_voter(resource, voter);
    uint64_t word = tag << SEEN_TAG_SHIFT | mine << SEEN_VOTER_SHIFT | now;
    for (unsigned try = 0; try < TRIES_MAX; try++) {
        uint64_t words[NAMES_WAYS];
        for (unsigned i = 0; i < NAMES_WAYS; i++)
            words[i] = atomic_load_explicit(&set->seen[i], memory_order_relaxed);
        struct seen_count count = count_seen(words, tag, mine);
        if (count.voters + !count.mine >= NAMES_SEEN_MIN)
            return true;
        if (count.mine)
            return false;
        unsigned i = seen_victim(words, tag, now);
        if (swap(&set->seen[i], words[i], word))
            return false;
    }
    return false;
}

static void forget_seen(struct names_set *set, uint64_t resource)
{
    for (unsigned i = 0; i < NAMES_WAYS; i++) {
        uint64_t word = atomic_load_explicit(&set->seen[i], memory_order_relaxed);
        if (word >> SEEN_TAG_SHIFT == seen_tag(resource))
            swap(&set->seen[i], word, 0);
    }
}

/* ---- public names ---- */

/* Which way has the public name, or NAMES_WAYS; `*head` is its head. */
static unsigned find(const struct names_set *set, uint64_t resource, uint64_t *head)
{
    for (unsigned i = 0; i < NAMES_WAYS; i++) {
        *head = atomic_load_explicit(&set->heads[i], memory_order_acquire);
        if (*head >> HEAD_TAG_SHIFT == resource >> 32 && head_state(*head) == NAME_READY &&
            atomic_load_explicit(&set->texts[i].resource, memory_order_relaxed) == resource)
            return i;
    }
    return NAMES_WAYS;
}

/* The way to write a new name to: an empty one, one whose writer is gone, or the name that was used
 * the longest ago, but no name in use. NAMES_WAYS when there is none, or when somebody is writing
 * this very name. */
static unsigned write_victim(struct names_set *set, uint64_t resource, uint32_t now, uint64_t *old)
{
    unsigned best = NAMES_WAYS;
    uint32_t best_age = 0;
    for (unsigned i = 0; i < NAMES_WAYS; i++) {
        uint64_t head = atomic_load_explicit(&set->heads[i], memory_order_relaxed);
        uint32_t age = age_of(head, now);
        if (head_state(head) == NAME_EMPTY) {
            age = TIME_MASK + 1;
        } else if (head_state(head) == NAME_WRITING) {
            if (age < WRITING_UNITS && head >> HEAD_TAG_SHIFT == resource >> 32)
                return NAMES_WAYS;
            age = age < WRITING_UNITS ? 0 : TIME_MASK;
        }
        if (age > best_age) {
            best = i;
            best_age = age;
            *old = head;
        }
    }
    return best;
}

static void store_text(struct names_text *text, const struct plain_text *plain)
{
    for (unsigned i = 0; i < sizeof(*plain) / 8; i++) {
        uint64_t word;
        memcpy(&word, (const char *)plain + i * 8, 8);
        atomic_store_explicit(&text->words[i], word, memory_order_relaxed);
    }
}

static void load_text(const struct names_text *text, struct plain_text *plain)
{
    for (unsigned i = 0; i < sizeof(*plain) / 8; i++) {
        uint64_t word = atomic_load_explicit(&text->words[i], memory_order_relaxed);
        memcpy((char *)plain + i * 8, &word, 8);
    }
}

static uint32_t publish(struct names *names, struct names_set *set, uint64_t resource,
                        const struct plain_text *plain, uint32_t now)
{
    uint64_t old = 0;
    unsigned way = write_victim(set, resource, now, &old);
    if (way == NAMES_WAYS)
        return 0;
    uint32_t incarnation = (head_incarnation(old) + 1) & INCARNATION_MASK;
    if (incarnation == 0)
        incarnation = 1;
    uint64_t writing = head_make(resource, incarnation, NAME_WRITING, now);
    uint64_t ready = head_make(resource, incarnation, NAME_READY, now);
    uint32_t id = id_of(names, set, way, ready);
    if (!swap(&set->heads[way], old, writing))
        return 0;
    struct names_text *text = &set->texts[way];
    store_text(text, plain);
    atomic_store_explicit(&text->resource, resource, memory_order_relaxed);
    atomic_store_explicit(&text->check, check_of(id, resource, plain), memory_order_relaxed);
    if (!swap(&set->heads[way], writing, ready))
        return 0;
    forget_seen(set, resource);
    return id;
}

static uint32_t use(struct names *names, struct names_set *set, unsigned way, uint64_t head,
                    uint32_t now)
{
    if (age_of(head, now) != 0) /* a swap that fails met somebody else's use */
        swap(&set->heads[way], head, (head & ~(uint64_t)TIME_MASK) | now);
    return id_of(names, set, way, head);
}

uint32_t names_note(struct names *names, uint64_t resource, uint64_t voter, struct span site,
                    struct span path, uint64_t now_s)
{
    struct names_set *set = set_of(names, resource);
    uint32_t now = unit_of(now_s);
    uint64_t head;
    unsigned way = find(set, resource, &head);
    if (way < NAMES_WAYS)
        return use(names, set, way, head, now);
    if (site.length > NAMES_TEXT_MAX || path.length > NAMES_TEXT_MAX - site.length ||
        !path.length || !seen_by_enough(set, resource, voter, now))
        return 0;
    struct plain_text plain = {.site_length = (uint16_t)site.length,
                               .path_length = (uint16_t)path.length};
    if (site.length)
        memcpy(plain.text, site.data, site.length);
    memcpy(plain.text + site.length, path.data, path.length);
    return publish(names, set, resource, &plain, now);
}

uint32_t names_find(struct names *names, uint64_t resource, uint64_t now_s)
{
    struct names_set *set = set_of(names, resource);
    uint64_t head;
    unsigned way = find(set, resource, &head);
    return way < NAMES_WAYS ? use(names, set, way, head, unit_of(now_s)) : 0;
}

enum reading { READ_ABSENT, READ_SPOILED, READ_WHOLE };

/* `*head` is what the id's head was meanwhile. */
static enum reading read_entry(const struct names *names, uint32_t id, struct names_entry *entry,
                               uint64_t *head)
{
    uint32_t index = id & ((1u << INDEX_BITS) - 1);
    struct plain_text plain;
    if (index / NAMES_WAYS > names->mask)
        return READ_ABSENT;
    const struct names_set *set = &names->sets[index / NAMES_WAYS];
    const struct names_text *text = &set->texts[index % NAMES_WAYS];
    *head = atomic_load_explicit(&set->heads[index % NAMES_WAYS], memory_order_acquire);
    if (head_state(*head) != NAME_READY || head_incarnation(*head) != id >> INDEX_BITS)
        return READ_ABSENT;
    load_text(text, &plain);
    entry->resource = atomic_load_explicit(&text->resource, memory_order_relaxed);
    if (atomic_load_explicit(&text->check, memory_order_relaxed) !=
            check_of(id, entry->resource, &plain) ||
        plain.site_length + plain.path_length > NAMES_TEXT_MAX)
        return READ_SPOILED;
    memcpy(entry->text, plain.text, sizeof(entry->text));
    entry->site = span_make(entry->text, plain.site_length);
    entry->path = span_make(entry->text + plain.site_length, plain.path_length);
    return READ_WHOLE;
}

/* A text that two writers spoiled gives its place back. One that is merely being replaced has
 * another head by now, and the swap fails. */
bool names_read(struct names *names, uint32_t id, struct names_entry *entry)
{
    uint64_t head;
    uint32_t index = id & ((1u << INDEX_BITS) - 1);
    enum reading reading = read_entry(names, id, entry, &head);
    if (reading == READ_SPOILED)
        swap(&names->sets[index / NAMES_WAYS].heads[index % NAMES_WAYS], head,
             (uint64_t)head_incarnation(head) << HEAD_INCARNATION_SHIFT);
    return reading == READ_WHOLE;
}

/* Moves a word's time, if there is one. */
static void rebase(_Atomic uint64_t *at, uint32_t units)
{
    uint64_t word = atomic_load_explicit(at, memory_order_relaxed);
    if (word)
        atomic_store_explicit(at, (word & ~(uint64_t)TIME_MASK) | ((word + units) & TIME_MASK),
                              memory_order_relaxed);
}

void names_rebase(struct names *names, uint64_t saved_boottime_s, uint64_t saved_age_s,
                  uint64_t now_s)
{
    uint32_t units = (uint32_t)(now_s / UNIT_S) - (uint32_t)(saved_boottime_s / UNIT_S) -
                     (uint32_t)(saved_age_s / UNIT_S);
    for (uint64_t i = 0; units && i <= names->mask; i++)
        for (unsigned way = 0; way < NAMES_WAYS; way++) {
            rebase(&names->sets[i].seen[way], units);
            rebase(&names->sets[i].heads[way], units);
        }
}

struct names_load names_walk(const struct names *names,
                             void (*visit)(void *context, uint32_t id,
                                           const struct names_entry *entry),
                             void *context)
{
    struct names_load load = {.room = (names->mask + 1) * NAMES_WAYS};
    for (uint64_t i = 0; i <= names->mask; i++) {
        const struct names_set *set = &names->sets[i];
        for (unsigned way = 0; way < NAMES_WAYS; way++) {
            struct names_entry entry;
            uint64_t head = atomic_load_explicit(&set->heads[way], memory_order_acquire);
            uint32_t id = id_of(names, set, way, head);
            load.pending += atomic_load_explicit(&set->seen[way], memory_order_relaxed) != 0;
            if (head_state(head) != NAME_READY)
                continue;
            load.names++;
            if (visit && read_entry(names, id, &entry, &head) == READ_WHOLE)
                visit(context, id, &entry);
        }
    }
    return load;
}

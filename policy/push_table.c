/* The algorithm rests on four rules, which the model tests check on every interleaving:
 * - only owner o writes tentative and claimed words that bear o, so a confirm, withdrawal or settle
 *   that succeeds hit the caller's own word;
 * - a claimer confirms only after every other slot, read after its tentative word was published,
 *   was free of a live claim, a belief in the same validator and a lower tentative word of the key;
 * - a claimer withdraws only for one of those three, so two never withdraw for each other;
 * - words of other keys go only by a swap of the exact word, and never while they are live claims.
 * The second reading must not move before the publication: both are sequentially consistent. */
#include "policy/push_table.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <time.h>

/* The most that a life of PUSH_PROBATION_S comes to, rounded up from anywhere within a tick. */
#define PROBATION_TICKS (PUSH_PROBATION_S * UINT64_C(1000) / PUSH_COARSE_TICK_MS + 2)
#define RIVALS_MAX 32 /* words of the key met after publication, before a claimer gives way */

/* One try of a claim or a note. */
struct attempt {
    struct push_table *table;
    _Atomic uint64_t *words;
    uint64_t bucket;
    uint64_t tag;
    uint16_t validator;
    enum push_standing standing;
    uint64_t now_ms;
    struct push_ticks now;
    unsigned slot; /* the best so far; PUSH_BUCKET_SLOTS: none */
    uint64_t old;  /* what that slot held */
    uint32_t rank;
};

uint64_t push_clock_boottime(void *unused)
{
    struct timespec now;
    (void)unused;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static struct push_ticks ticks_of(uint64_t ms)
{
    return (struct push_ticks){ms / PUSH_FINE_TICK_MS, ms / PUSH_COARSE_TICK_MS};
}

struct push_ticks push_table_ticks(const struct push_table *table)
{
    return ticks_of(table->clock_ms(table->clock_context));
}

int push_table_attach(struct push_table *table, void *base, size_t bytes, int owner)
{
    if (!base || (uintptr_t)base % sizeof(struct push_bucket) != 0)
        return -EINVAL;
    if (bytes < sizeof(struct push_bucket) || (bytes & (bytes - 1)) != 0)
        return -EINVAL;
    if (owner < PUSH_TABLE_NO_OWNER || owner > PUSH_OWNER_MAX)
        return -EINVAL;
    *table = (struct push_table){
        .buckets = base,
        .mask = bytes / sizeof(struct push_bucket) - 1,
        .owner = owner,
        .clock_ms = push_clock_boottime,
    };
    return 0;
}

static void check_key(struct push_key key, uint16_t validator)
{
    assert(key.tag != 0 && key.tag >> PUSH_TAG_BITS == 0);
    assert(validator >> PUSH_VALIDATOR_BITS == 0);
    (void)key;
    (void)validator;
}

static enum push_answer answer_of(uint64_t word)
{
    switch (push_word_state(word)) {
    case PUSH_WORD_HELD:
        return PUSH_HELD;
    case PUSH_WORD_DECLINED:
        return PUSH_DECLINED;
    default:
        return PUSH_ELSEWHERE;
    }
}

/* `*left`: the coarse ticks that a belief in this validator has to go; else untouched. */
static inline enum push_answer peek(const struct push_table *table, struct push_key key,
                                    uint16_t validator, struct push_ticks now, uint32_t *left)
{
    _Atomic uint64_t *words = table->buckets[key.bucket_hash & table->mask].words;
    bool elsewhere = false, stale = false;
    check_key(key, validator);
    for (unsigned i = 0; i < PUSH_BUCKET_SLOTS; i++) {
        uint64_t word = PUSH_WORD_LOAD(&words[i], memory_order_relaxed);
        if (push_word_tag(word) != key.tag || !push_word_live(word, now))
            continue;
        if (push_word_in_flight(word)) {
            elsewhere = true;
        } else if (push_word_validator(word) == validator) {
            *left = push_word_coarse_left(word, now);
            return answer_of(word);
        } else {
            stale = true;
        }
    }
    return elsewhere ? PUSH_ELSEWHERE : stale ? PUSH_STALE : PUSH_ABSENT;
}

enum push_answer push_table_peek(const struct push_table *table, struct push_key key,
                                 uint16_t validator)
{
    uint32_t left;
    return peek(table, key, validator, push_table_ticks(table), &left);
}

enum push_answer push_table_peek_ending(const struct push_table *table, struct push_key key,
                                        uint16_t validator, struct push_ticks now, bool *ending)
{
    uint32_t left = UINT32_MAX;
    enum push_answer answer = peek(table, key, validator, now, &left);
    *ending = left <= PROBATION_TICKS;
    return answer;
}

void push_table_inspect(const struct push_table *table, struct push_key key,
                        struct push_entry *entry)
{
    _Atomic uint64_t *words = table->buckets[key.bucket_hash & table->mask].words;
    uint64_t now_ms = table->clock_ms(table->clock_context);
    struct push_ticks now = ticks_of(now_ms);
    check_key(key, 0);
    *entry = (struct push_entry){.answer = PUSH_ABSENT};
    for (unsigned i = 0; i < PUSH_BUCKET_SLOTS; i++) {
        uint64_t word = PUSH_WORD_LOAD(&words[i], memory_order_relaxed);
        uint64_t expiry_ms;
        if (push_word_tag(word) != key.tag || !push_word_live(word, now))
            continue;
        if (entry->answer != PUSH_ABSENT && push_word_in_flight(word))
            continue;
        if (push_word_in_flight(word))
            expiry_ms = (now.fine + (unsigned)push_word_fine_left(word, now)) * PUSH_FINE_TICK_MS;
        else
            expiry_ms = (now.coarse + push_word_coarse_left(word, now)) * PUSH_COARSE_TICK_MS;
        entry->answer = answer_of(word);
        entry->validator = push_word_validator(word);
        entry->left_s = (uint32_t)((expiry_ms - now_ms + 999) / 1000);
    }
}

static struct attempt attempt_make(struct push_table *table, struct push_key key,
                                   uint16_t validator, enum push_standing standing)
{
    check_key(key, validator);
    return (struct attempt){
        .table = table,
        .bucket = key.bucket_hash & table->mask,
        .words = table->buckets[key.bucket_hash & table->mask].words,
        .tag = key.tag,
        .validator = validator,
        .standing = standing,
    };
}

/* The clock is read anew for every try: one that kept an old reading could for ever take for live
 * what all others take for dead. */
static void attempt_begin(struct attempt *attempt)
{
    attempt->now_ms = attempt->table->clock_ms(attempt->table->clock_context);
    attempt->now = ticks_of(attempt->now_ms);
    attempt->slot = PUSH_BUCKET_SLOTS;
    attempt->old = 0;
    attempt->rank = PUSH_RANK_NEVER;
}

static bool spared(const struct attempt *attempt, uint64_t word)
{
    return attempt->standing == PUSH_ON_PROBATION && word != 0 &&
           push_word_tag(word) != attempt->tag && push_word_live(word, attempt->now) &&
           !push_word_in_flight(word) &&
           push_word_coarse_left(word, attempt->now) > PROBATION_TICKS;
}

static void consider(struct attempt *attempt, unsigned at, uint64_t word)
{
    uint32_t rank = push_word_rank(word, attempt->tag, attempt->now);
    if (rank >= attempt->rank || spared(attempt, word))
        return;
    attempt->slot = at;
    attempt->old = word;
    attempt->rank = rank;
}

/* Puts `word` where consider() chose. Returns false when that slot has changed since. */
static bool publish(struct attempt *attempt, uint64_t word)
{
    if (!PUSH_WORD_SWAP(&attempt->words[attempt->slot], attempt->old, word)) {
        attempt->table->counts.retried++;
        return false;
    }
    if (attempt->rank > 2)
        attempt->table->counts.evicted++;
    return true;
}

static void withdraw(struct attempt *attempt, uint64_t word)
{
    (void)PUSH_WORD_SWAP(&attempt->words[attempt->slot], word, 0);
    attempt->table->counts.withdrawn++;
}

/* PUSH_ABSENT: a slot was chosen; otherwise the refusal, which is what most claims come to, so that
 * slots are compared only after it is ruled out. */
static enum push_answer claim_scan(struct attempt *attempt)
{
    uint64_t words[8];
    for (unsigned i = 0; i < PUSH_BUCKET_SLOTS; i++) {
        words[i] = PUSH_WORD_LOAD(&attempt->words[i], memory_order_relaxed);
        if (push_word_tag(words[i]) == attempt->tag && push_word_live(words[i], attempt->now) &&
            (push_word_in_flight(words[i]) || push_word_validator(words[i]) == attempt->validator))
            return answer_of(words[i]);
    }
    for (unsigned i = 0; i < PUSH_BUCKET_SLOTS; i++)
        consider(attempt, i, words[i]);
    return attempt->slot == PUSH_BUCKET_SLOTS ? PUSH_FULL : PUSH_ABSENT;
}

/* Clears slot `at` of the key's other words. Returns PUSH_ABSENT once none is left there, else what
 * the claimer must give way to. `met` counts words over the whole try. */
static enum push_answer claim_clear(const struct attempt *attempt, unsigned at, unsigned *met)
{
    for (;;) {
        uint64_t word = PUSH_WORD_LOAD(&attempt->words[at], memory_order_seq_cst);
        if (word == 0 || push_word_tag(word) != attempt->tag)
            return PUSH_ABSENT;
        if (!push_word_yields(word, at, attempt->slot, attempt->validator, attempt->now))
            return answer_of(word);
        if (++*met > RIVALS_MAX)
            return PUSH_CONTENDED;
        if (PUSH_WORD_SWAP(&attempt->words[at], word, 0))
            return PUSH_ABSENT;
    }
}

static enum push_answer claim_defend(const struct attempt *attempt)
{
    enum push_answer answer = PUSH_ABSENT;
    unsigned met = 0;
    for (unsigned i = 0; i < PUSH_BUCKET_SLOTS && answer == PUSH_ABSENT; i++)
        if (i != attempt->slot)
            answer = claim_clear(attempt, i, &met);
    return answer;
}

static uint64_t in_flight_word(const struct attempt *attempt, enum push_word_state state,
                               uint64_t expiry)
{
    uint16_t low = (uint16_t)((unsigned)attempt->table->owner << 8 | (uint8_t)expiry);
    return push_word_make(attempt->tag, attempt->validator, state, low);
}

/* Returns false when the try came to nothing and another may be made. */
static bool claim_once(struct attempt *attempt, enum push_answer *answer, struct push_token *token)
{
    uint64_t tentative, claimed, expiry;
    attempt_begin(attempt);
    *answer = claim_scan(attempt);
    if (*answer != PUSH_ABSENT)
        return true;
    tentative =
        in_flight_word(attempt, PUSH_WORD_TENTATIVE, attempt->now.fine + PUSH_TENTATIVE_TICKS);
    if (!publish(attempt, tentative))
        return false;
    *answer = claim_defend(attempt);
    if (*answer != PUSH_ABSENT) {
        withdraw(attempt, tentative);
        return true;
    }
    expiry = attempt->now.fine + PUSH_CLAIM_TICKS;
    claimed = in_flight_word(attempt, PUSH_WORD_CLAIMED, expiry);
    if (!PUSH_WORD_SWAP(&attempt->words[attempt->slot], tentative, claimed)) {
        attempt->table->counts.retried++;
        return false;
    }
    *token = (struct push_token){attempt->bucket, claimed, expiry, attempt->slot};
    *answer = PUSH_CLAIMED;
    return true;
}

enum push_answer push_table_claim(struct push_table *table, struct push_key key, uint16_t validator,
                                  enum push_standing standing, struct push_token *token)
{
    struct attempt attempt = attempt_make(table, key, validator, standing);
    enum push_answer answer;
    assert(table->owner != PUSH_TABLE_NO_OWNER);
    *token = (struct push_token){0};
    for (unsigned tries = 0; tries < PUSH_TRIES_MAX; tries++)
        if (claim_once(&attempt, &answer, token))
            return answer;
    return PUSH_CONTENDED;
}

bool push_table_token_live(const struct push_table *table, const struct push_token *token)
{
    return token->word != 0 && push_table_ticks(table).fine < token->expiry;
}

/* A later one could meet a word that is equal only because the fine tick wrapped. */
static bool token_usable(const struct push_token *token, uint64_t now_fine)
{
    return token->word != 0 && now_fine <= token->expiry + PUSH_TOKEN_LATE_TICKS;
}

static _Atomic uint64_t *token_word(struct push_table *table, const struct push_token *token)
{
    assert(token->bucket <= table->mask && token->slot < PUSH_BUCKET_SLOTS);
    assert(push_word_owner(token->word) == table->owner);
    return &table->buckets[token->bucket].words[token->slot];
}

bool push_table_renew(struct push_table *table, struct push_token *token)
{
    struct push_ticks now = push_table_ticks(table);
    uint64_t expiry = now.fine + PUSH_CLAIM_TICKS;
    uint64_t word = (token->word & ~UINT64_C(0xff)) | (uint8_t)expiry;
    if (!token_usable(token, now.fine) ||
        !PUSH_WORD_SWAP(token_word(table, token), token->word, word)) {
        *token = (struct push_token){0};
        return false;
    }
    token->word = word;
    token->expiry = expiry;
    return true;
}

/* The low bits of a belief that begins at `now_ms`. */
static uint16_t belief_expiry(uint64_t now_ms, uint32_t life_s)
{
    uint64_t now = now_ms / PUSH_COARSE_TICK_MS;
    uint64_t end_ms = now_ms + (uint64_t)life_s * 1000;
    uint64_t end = (end_ms + PUSH_COARSE_TICK_MS - 1) / PUSH_COARSE_TICK_MS;
    return (uint16_t)(end - now > PUSH_LIFE_TICKS_MAX ? now + PUSH_LIFE_TICKS_MAX : end);
}

static enum push_word_state belief_state(enum push_answer what)
{
    assert(what == PUSH_HELD || what == PUSH_DECLINED);
    return what == PUSH_HELD ? PUSH_WORD_HELD : PUSH_WORD_DECLINED;
}

bool push_table_settle(struct push_table *table, struct push_token *token, enum push_answer to,
                       uint32_t life_s)
{
    uint64_t now_ms = table->clock_ms(table->clock_context);
    struct push_token ended = *token;
    uint64_t word = 0;
    *token = (struct push_token){0};
    if (!token_usable(&ended, ticks_of(now_ms).fine))
        return false;
    if (to != PUSH_ABSENT && life_s != 0)
        word = push_word_make(push_word_tag(ended.word), push_word_validator(ended.word),
                              belief_state(to), belief_expiry(now_ms, life_s));
    return PUSH_WORD_SWAP(token_word(table, &ended), ended.word, word);
}

/* Returns false when a live claim makes the note needless. */
static bool note_scan(struct attempt *attempt)
{
    for (unsigned i = 0; i < PUSH_BUCKET_SLOTS; i++) {
        uint64_t word = PUSH_WORD_LOAD(&attempt->words[i], memory_order_relaxed);
        if (push_word_tag(word) == attempt->tag && push_word_live(word, attempt->now) &&
            push_word_state(word) == PUSH_WORD_CLAIMED)
            return false;
        consider(attempt, i, word);
    }
    return attempt->slot != PUSH_BUCKET_SLOTS;
}

/* As claim_clear, for a belief that was just published: only a live claim stands above it, and of
 * several beliefs the lowest slot. */
static bool note_clear(const struct attempt *attempt, unsigned at, unsigned *met)
{
    for (;;) {
        uint64_t word = PUSH_WORD_LOAD(&attempt->words[at], memory_order_seq_cst);
        if (word == 0 || push_word_tag(word) != attempt->tag)
            return true;
        if (push_word_live(word, attempt->now) &&
            (push_word_in_flight(word) ? push_word_state(word) == PUSH_WORD_CLAIMED
                                       : at < attempt->slot))
            return false;
        if (++*met > RIVALS_MAX)
            return false;
        if (PUSH_WORD_SWAP(&attempt->words[at], word, 0))
            return true;
    }
}

static bool note_defend(const struct attempt *attempt)
{
    unsigned met = 0;
    for (unsigned i = 0; i < PUSH_BUCKET_SLOTS; i++)
        if (i != attempt->slot && !note_clear(attempt, i, &met))
            return false;
    return true;
}

/* Returns false when the try came to nothing and another may be made. */
static bool note_once(struct attempt *attempt, enum push_word_state state, uint32_t life_s,
                      bool *recorded)
{
    uint64_t word;
    attempt_begin(attempt);
    word = push_word_make(attempt->tag, attempt->validator, state,
                          belief_expiry(attempt->now_ms, life_s));
    *recorded = false;
    if (!note_scan(attempt))
        return true;
    if (attempt->old == word) {
        *recorded = true;
        return true;
    }
    if (!publish(attempt, word))
        return false;
    *recorded = note_defend(attempt);
    if (!*recorded)
        withdraw(attempt, word);
    return true;
}

bool push_table_note(struct push_table *table, struct push_key key, uint16_t validator,
                     enum push_answer what, uint32_t life_s, enum push_standing standing)
{
    struct attempt attempt = attempt_make(table, key, validator, standing);
    enum push_word_state state = belief_state(what);
    bool recorded = false;
    if (life_s == 0)
        return false;
    for (unsigned tries = 0; tries < PUSH_TRIES_MAX; tries++)
        if (note_once(&attempt, state, life_s, &recorded))
            break;
    return recorded;
}

/* The low bits of a belief that ends at `end_ms` and was noted on probation, once that is lifted;
 * the old ones when nothing says that it was. Both are rounded up, as at noting. */
static uint16_t lifted_expiry(uint64_t now_ms, uint64_t end_ms, uint32_t life_s, uint32_t age_s)
{
    const uint64_t probation_ms = PUSH_PROBATION_S * UINT64_C(1000);
    uint64_t left_ms = end_ms - now_ms;
    if (left_ms > probation_ms + PUSH_COARSE_TICK_MS ||
        left_ms >= (uint64_t)(life_s - age_s) * 1000)
        return (uint16_t)(end_ms / PUSH_COARSE_TICK_MS);
    uint64_t longer_ms = (uint64_t)life_s * 1000 - probation_ms;
    uint64_t end = (end_ms + longer_ms + PUSH_COARSE_TICK_MS - 1) / PUSH_COARSE_TICK_MS;
    uint64_t last = now_ms / PUSH_COARSE_TICK_MS + PUSH_LIFE_TICKS_MAX;
    return (uint16_t)(end > last ? last : end);
}

/* One word is swapped for one of the same key, validator and state: to every rule of the algorithm
 * it is the same belief, and if anything else became of it the swap fails. */
bool push_table_lift(struct push_table *table, struct push_key key, uint16_t validator,
                     enum push_answer what, uint32_t life_s, uint32_t age_s)
{
    _Atomic uint64_t *words = table->buckets[key.bucket_hash & table->mask].words;
    enum push_word_state state = belief_state(what);
    check_key(key, validator);
    if (life_s > PUSH_LIFE_S_MAX)
        life_s = PUSH_LIFE_S_MAX;
    if (life_s <= PUSH_PROBATION_S || age_s >= life_s)
        return false;
    uint64_t now_ms = table->clock_ms(table->clock_context);
    struct push_ticks now = ticks_of(now_ms);
    for (unsigned i = 0; i < PUSH_BUCKET_SLOTS; i++) {
        uint64_t word = PUSH_WORD_LOAD(&words[i], memory_order_relaxed);
        if (push_word_tag(word) != key.tag || push_word_state(word) != state ||
            push_word_validator(word) != validator || !push_word_live(word, now))
            continue;
        uint64_t end_ms = (now.coarse + push_word_coarse_left(word, now)) * PUSH_COARSE_TICK_MS;
        uint16_t expiry = lifted_expiry(now_ms, end_ms, life_s, age_s);
        return expiry != (uint16_t)word &&
               PUSH_WORD_SWAP(&words[i], word, (word & ~UINT64_C(0xffff)) | expiry);
    }
    return false;
}

unsigned push_table_forget(struct push_table *table, struct push_key key)
{
    _Atomic uint64_t *words = table->buckets[key.bucket_hash & table->mask].words;
    unsigned removed = 0;
    check_key(key, 0);
    for (unsigned i = 0; i < PUSH_BUCKET_SLOTS; i++) {
        for (unsigned tries = 0; tries < PUSH_TRIES_MAX; tries++) {
            uint64_t word = PUSH_WORD_LOAD(&words[i], memory_order_relaxed);
            if (push_word_tag(word) != key.tag || push_word_in_flight(word))
                break;
            if (PUSH_WORD_SWAP(&words[i], word, 0)) {
                removed++;
                break;
            }
        }
    }
    return removed;
}

const char *push_answer_name(enum push_answer answer)
{
    static const char *const names[] = {
        [PUSH_ABSENT] = "absent",     [PUSH_STALE] = "stale",         [PUSH_HELD] = "held",
        [PUSH_DECLINED] = "declined", [PUSH_ELSEWHERE] = "elsewhere", [PUSH_CLAIMED] = "claimed",
        [PUSH_FULL] = "full",         [PUSH_CONTENDED] = "contended",
    };
    assert(answer <= PUSH_CONTENDED);
    return names[answer];
}

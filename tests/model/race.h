/* A worker that races others over a few keys of a small push table, and the ghosts that tell
 * whether two ever hold one claim: whoever wins a claim enters its key's ghost, and leaves it
 * before it settles. Used by threads (under ThreadSanitizer too) and by processes that are killed.
 */
#ifndef HERALD_RACE_H
#define HERALD_RACE_H

#include "policy/push_upkeep.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define RACE_BUCKETS 2
#define RACE_KEYS 20
#define RACE_VALIDATORS 3
#define RACE_WORKERS_MAX 8
#define RACE_OWNER_BASE 40 /* owner ids of the workers */
#define RACE_LIFTED_S 3900  /* what lifted beliefs last, at most: more than any was noted for */

/* Everything that workers share; zeroed at first. */
struct race {
    struct push_bucket buckets[RACE_BUCKETS];
    _Atomic uint64_t now_ms;
    /* (owner << 48 | expiry), expiry in fine ticks; 0: nobody holds the key's claim. */
    _Atomic uint64_t ghosts[RACE_KEYS];
    _Atomic uint64_t calls[RACE_WORKERS_MAX]; /* grows with every call: who is inside one? */
    _Atomic uint64_t claims[RACE_WORKERS_MAX];
    _Atomic uint64_t settled[RACE_WORKERS_MAX];
    _Atomic bool stop;
    _Atomic bool failed;
    char failure[200]; /* written by the first to fail */
};

struct racer {
    struct race *race;
    unsigned worker;
    struct push_table table;
    uint64_t random;
};

static void race_failed(struct race *race, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void race_failed(struct race *race, const char *format, ...)
{
    bool expected = false;
    va_list arguments;
    if (!atomic_compare_exchange_strong(&race->failed, &expected, true))
        return;
    va_start(arguments, format);
    vsnprintf(race->failure, sizeof race->failure, format, arguments);
    va_end(arguments);
    atomic_store(&race->stop, true);
}

static uint64_t race_clock(void *context)
{
    struct race *race = context;
    return atomic_load(&race->now_ms);
}

static int racer_init(struct racer *racer, struct race *race, unsigned worker, uint64_t seed)
{
    *racer = (struct racer){.race = race, .worker = worker, .random = seed * 2654435761 + 88172645};
    int rc = push_table_attach(&racer->table, race->buckets, sizeof race->buckets,
                               RACE_OWNER_BASE + (int)worker);
    racer->table.clock_ms = race_clock;
    racer->table.clock_context = race;
    return rc;
}

static unsigned racer_below(struct racer *racer, unsigned n)
{
    racer->random ^= racer->random << 13;
    racer->random ^= racer->random >> 7;
    racer->random ^= racer->random << 17;
    return (unsigned)((racer->random >> 20) % n);
}

static struct push_key race_key(unsigned n)
{
    return (struct push_key){n % RACE_BUCKETS, n + 1};
}

static uint64_t ghost_of(const struct racer *racer, uint64_t expiry)
{
    return (uint64_t)(racer->table.owner) << 48 | expiry;
}

static uint64_t ghost_expiry(uint64_t ghost)
{
    return ghost & ((UINT64_C(1) << 48) - 1);
}

/* Enters the key's ghost with a claim just won. Returns false when the claim lapsed before that, so
 * that another may hold the key by right. */
static bool ghost_enter(struct racer *racer, unsigned key, const struct push_token *token)
{
    _Atomic uint64_t *ghost = &racer->race->ghosts[key];
    for (;;) {
        uint64_t held = atomic_load(ghost);
        uint64_t now = push_table_ticks(&racer->table).fine;
        if (token->expiry <= now)
            return false;
        if (held != 0 && ghost_expiry(held) > now) {
            race_failed(racer->race, "key %u is held by owners %u and %d at tick %llu", key,
                        (unsigned)(held >> 48), racer->table.owner, (unsigned long long)now);
            return false;
        }
        if (atomic_compare_exchange_strong(ghost, &held, ghost_of(racer, token->expiry)))
            return true;
    }
}

static bool ghost_change(struct racer *racer, unsigned key, uint64_t from, uint64_t to)
{
    return atomic_compare_exchange_strong(&racer->race->ghosts[key], &from, to);
}

static void renew(struct racer *racer, unsigned key, struct push_token *token)
{
    uint64_t expiry = token->expiry;
    if (!push_table_renew(&racer->table, token)) {
        if (push_table_ticks(&racer->table).fine < expiry)
            race_failed(racer->race, "owner %d lost its live claim of key %u", racer->table.owner,
                        key);
        (void)ghost_change(racer, key, ghost_of(racer, expiry), 0);
        return;
    }
    /* It may lapse again before the ghost is changed, and then another takes it by right. */
    if (!ghost_change(racer, key, ghost_of(racer, expiry), ghost_of(racer, token->expiry)) &&
        push_table_token_live(&racer->table, token))
        race_failed(racer->race, "owner %d renewed key %u, which another held", racer->table.owner,
                    key);
}

static void settle(struct racer *racer, unsigned key, struct push_token *token)
{
    static const enum push_answer ends[] = {PUSH_ABSENT, PUSH_ABSENT, PUSH_HELD, PUSH_DECLINED};
    uint64_t expiry = token->expiry;
    bool mine = ghost_change(racer, key, ghost_of(racer, expiry), 0);
    bool settled = push_table_settle(&racer->table, token, ends[racer_below(racer, 4)],
                                     256 * (1 + racer_below(racer, 3)));
    if (settled && !mine)
        race_failed(racer->race, "owner %d settled key %u, which another held", racer->table.owner,
                    key);
    if (!settled && push_table_ticks(&racer->table).fine < expiry)
        race_failed(racer->race, "owner %d could not settle its live claim of key %u",
                    racer->table.owner, key);
    atomic_fetch_add(&racer->race->settled[racer->worker], settled);
}

static void claim(struct racer *racer, unsigned key)
{
    struct push_token token;
    uint16_t validator = (uint16_t)racer_below(racer, RACE_VALIDATORS);
    if (push_table_claim(&racer->table, race_key(key), validator,
                         racer_below(racer, 8) ? PUSH_KNOWN : PUSH_ON_PROBATION,
                         &token) != PUSH_CLAIMED)
        return;
    atomic_fetch_add(&racer->race->claims[racer->worker], 1);
    if (!ghost_enter(racer, key, &token))
        return;
    while (token.word != 0 && racer_below(racer, 3) == 0)
        renew(racer, key, &token);
    if (token.word != 0)
        settle(racer, key, &token);
}

/* One random call, or a claim with all that follows. */
static void racer_step(struct racer *racer)
{
    unsigned key = racer_below(racer, RACE_KEYS);
    uint16_t validator = (uint16_t)racer_below(racer, RACE_VALIDATORS);
    switch (racer_below(racer, 16)) {
    case 0:
        push_table_note(&racer->table, race_key(key), validator,
                        racer_below(racer, 2) ? PUSH_HELD : PUSH_DECLINED, 300, PUSH_KNOWN);
        break;
    case 1:
    case 2:
        push_table_forget(&racer->table, race_key(key));
        break;
    case 3:
        push_table_peek(&racer->table, race_key(key), validator);
        break;
    case 4:
        push_sweep_all(&racer->table, PUSH_TABLE_NO_OWNER);
        break;
    case 5:
        push_table_lift(&racer->table, race_key(key), validator,
                        racer_below(racer, 2) ? PUSH_HELD : PUSH_DECLINED, RACE_LIFTED_S, 0);
        break;
    default:
        claim(racer, key);
        break;
    }
    atomic_fetch_add(&racer->race->calls[racer->worker], 1);
}

/* What every word must be at any time, whoever is running. Returns false after race_failed. */
static bool race_check_words(struct race *race, struct push_ticks now)
{
    for (unsigned i = 0; i < RACE_BUCKETS * 8; i++) {
        uint64_t word = atomic_load(&race->buckets[i / 8].words[i % 8]);
        uint64_t key = push_word_tag(word) - 1;
        if (word == 0)
            continue;
        if (key >= RACE_KEYS || key % RACE_BUCKETS != i / 8 ||
            push_word_validator(word) >= RACE_VALIDATORS)
            race_failed(race, "slot %u holds %016llx, which nobody wrote", i,
                        (unsigned long long)word);
        else if (push_word_in_flight(word) &&
                 push_word_owner(word) - RACE_OWNER_BASE >= RACE_WORKERS_MAX)
            race_failed(race, "slot %u has a claim of owner %u", i, push_word_owner(word));
        else if (push_word_in_flight(word) && push_word_fine_left(word, now) > PUSH_CLAIM_TICKS)
            race_failed(race, "slot %u has a claim with %d ticks left", i,
                        push_word_fine_left(word, now));
    }
    return !atomic_load(&race->failed);
}

#endif

/* Explores every interleaving of a few processes on one bucket of the push table.
 *
 * The processes run the real push_table.c and push_upkeep.c: their loads, swaps and clock readings
 * are redirected here. A process is suspended at each of them by a jump out of the call, and
 * resumed by running the call again with the answers it got so far, so its state is nothing but
 * that list of answers. The search is depth first; states already seen, told by a 64-bit
 * fingerprint, are not entered again (among 10^8 states the chance that two share one is 3 in
 * 10,000).
 *
 * What is kept of a process's history in the fingerprint is what its code can still depend on; with
 * `unfolded` the whole history is kept, which reaches the same outcomes in more states.
 *
 * Included once, by the program that has the scenarios. */
#ifndef HERALD_EXPLORER_H
#define HERALD_EXPLORER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static uint64_t hook_load(const _Atomic uint64_t *at, memory_order order);
static bool hook_swap(const _Atomic uint64_t *at, uint64_t expected, uint64_t desired);

static unsigned explored_slots = 8;
static unsigned explored_tries = 8;

#define PUSH_BUCKET_SLOTS explored_slots
#define PUSH_TRIES_MAX explored_tries
#define PUSH_WORD_LOAD(at, order) hook_load((at), (order))
#define PUSH_WORD_SWAP(at, expected, desired) hook_swap((at), (expected), (desired))
#include "policy/push_word.h"

/* Ways to break the algorithm, each of which the exploration must notice. */
enum mutant {
    MUTANT_NONE,
    MUTANT_NO_SECOND_SCAN,   /* confirm without reading the other slots again */
    MUTANT_LOWEST_WINS,      /* pass over higher tentative words instead of clearing them */
    MUTANT_WITHDRAW_ALWAYS,  /* give way to every word of the key */
    MUTANT_CLEAR_ANY,        /* clear tentative words without regard to slot order */
    MUTANT_EVICT_CLAIMS,     /* take live claims of other keys for victims */
    MUTANT_NO_OWNER,         /* all processes write the same owner */
    MUTANT_BLIND_WITHDRAWAL, /* withdraw by a store instead of a swap */
    MUTANT_BLIND_PUBLISH,    /* publish by a store instead of a swap */
    MUTANT_IGNORE_VALIDATOR, /* clear beliefs in the claimer's own validator */
    MUTANT_EARLY_SWEEP,      /* sweep an owner that still runs */
};

static enum mutant mutant;

static inline bool explored_yields(uint64_t word, unsigned at, unsigned slot, uint16_t validator,
                                   struct push_ticks now)
{
    if (mutant == MUTANT_WITHDRAW_ALWAYS)
        return false;
    if (mutant == MUTANT_CLEAR_ANY && push_word_state(word) == PUSH_WORD_TENTATIVE)
        return true;
    if (mutant == MUTANT_IGNORE_VALIDATOR && !push_word_in_flight(word))
        return true;
    return push_word_yields(word, at, slot, validator, now);
}

static inline uint32_t explored_rank(uint64_t word, uint64_t tag, struct push_ticks now)
{
    uint32_t rank = push_word_rank(word, tag, now);
    return mutant == MUTANT_EVICT_CLAIMS && rank == PUSH_RANK_NEVER ? 3 : rank;
}

#define push_word_yields explored_yields
#define push_word_rank explored_rank
#include "policy/push_table.c"
#include "policy/push_upkeep.c"

#define ACTORS_MAX 6
#define OPS_MAX 4
#define HISTORY_MAX 240
#define DEPTH_MAX 600
#define JUMPS_MAX 4
#define MOVES_MAX 6

enum op_kind { OP_END, OP_CLAIM, OP_RENEW, OP_SETTLE, OP_NOTE, OP_LIFT, OP_FORGET, OP_SWEEP };

/* One call. RENEW and SETTLE are left out when the claim before them was refused. */
struct op {
    enum op_kind kind;
    unsigned key; /* 1 and up */
    uint16_t validator;
    enum push_answer to;         /* SETTLE, NOTE, LIFT */
    enum push_standing standing; /* CLAIM, NOTE */
    int dead;                    /* SWEEP: an owner, or PUSH_TABLE_NO_OWNER */
};

struct actor {
    const char *name;
    uint8_t owner;
    struct op ops[OPS_MAX];
    bool mortal;     /* may be killed */
    int after_death; /* starts when this actor was killed, 1 and up; 0: at once */
    int after_end;   /* starts when this actor has ended */
};

/* A change to the bucket by processes of other keys that take no further part: a claim settled, a
 * belief evicted, forgotten or noted. */
struct move {
    unsigned slot;
    uint64_t from, to; /* both 0: no move */
};

struct scenario {
    const char *name;
    unsigned slots;
    unsigned tries; /* of a claim or note; 0: as many as in earnest */
    uint64_t words[8];
    struct actor actors[ACTORS_MAX];
    unsigned kills;               /* at most */
    unsigned jumps[JUMPS_MAX];    /* fine ticks by which the clock may jump, each once, in order */
    struct move moves[MOVES_MAX]; /* each at most once, at any time */
    bool stale_loads;             /* a relaxed load may also see the word before the last change */
    bool one_wins;                /* key 1, exactly once, unless somebody was killed */
    bool unfolded;
};

enum access_kind { ACCESS_NONE, ACCESS_CLOCK, ACCESS_LOAD, ACCESS_SWAP };

struct access {
    enum access_kind kind;
    bool ordered;
    uint8_t slot;
    uint64_t expected, desired;
};

enum status { WAITING, RUNNING, ENDED, KILLED };

struct process {
    enum status status;
    uint8_t op;
    uint8_t tries;           /* clock readings of this call */
    uint8_t try_start;       /* in history */
    uint8_t met;             /* swaps since publication */
    uint8_t published;       /* slot + 1 */
    uint8_t fresh;           /* slots whose current word it has seen or written */
    bool wrote;              /* its last step changed the bucket */
    enum push_answer answer; /* of its last claim */
    struct push_token token;
    unsigned token_key;
    struct access pending;
    unsigned used;
    uint8_t history[HISTORY_MAX]; /* interned answers of this call */
};

struct world {
    uint64_t words[8];
    uint64_t before[8]; /* each slot's last word but one */
    uint64_t now_ms;
    uint8_t jumped;
    uint8_t moved; /* bits */
    uint8_t killed;
    uint8_t wins; /* of key 1, over all processes */
    struct process processes[ACTORS_MAX];
};

struct outcome {
    uint64_t states, steps, ends;
    uint64_t wins[4];   /* ends by the number of wins of key 1, 3 for more */
    uint64_t contended; /* calls that gave up */
    unsigned depth;
    bool complete;
    char violation[200]; /* "" when none */
};

static const struct scenario *scenario;
static struct outcome outcome;

static void violated(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void violated(const char *format, ...)
{
    va_list arguments;
    if (outcome.violation[0])
        return;
    va_start(arguments, format);
    vsnprintf(outcome.violation, sizeof outcome.violation, format, arguments);
    va_end(arguments);
}

/* Answers are words and times; few differ within one scenario. */
static uint64_t interned[256];
static unsigned interned_count;

static uint8_t intern(uint64_t value)
{
    for (unsigned i = 0; i < interned_count; i++)
        if (interned[i] == value)
            return (uint8_t)i;
    if (interned_count == 256) {
        fprintf(stderr, "explorer: too many different words in one scenario\n");
        abort();
    }
    interned[interned_count] = value;
    return (uint8_t)interned_count++;
}

/* The call that is being run again. */
static struct {
    jmp_buf out;
    struct push_bucket bucket; /* never read or written: its addresses tell the slots */
    const struct process *process;
    unsigned at;
    struct access pending;
} replay;

static uint64_t answer_or_suspend(struct access access)
{
    if (replay.at < replay.process->used)
        return interned[replay.process->history[replay.at++]];
    replay.pending = access;
    longjmp(replay.out, 1);
}

static uint64_t hook_load(const _Atomic uint64_t *at, memory_order order)
{
    uint8_t slot = (uint8_t)(at - replay.bucket.words);
    return answer_or_suspend((struct access){
        .kind = ACCESS_LOAD, .ordered = order == memory_order_seq_cst, .slot = slot});
}

static bool hook_swap(const _Atomic uint64_t *at, uint64_t expected, uint64_t desired)
{
    uint8_t slot = (uint8_t)(at - replay.bucket.words);
    return answer_or_suspend((struct access){ACCESS_SWAP, true, slot, expected, desired}) != 0;
}

static uint64_t hook_clock(void *context)
{
    (void)context;
    return answer_or_suspend((struct access){.kind = ACCESS_CLOCK});
}

static struct push_key explored_key(unsigned n)
{
    return (struct push_key){0, n};
}

#define LIFE_S 2560   /* of beliefs that scenarios write, */
#define LIFTED_S 25600 /* and of those that they lift */

static void call(struct push_table *table, const struct op *op, struct process *process)
{
    switch (op->kind) {
    case OP_CLAIM:
        process->answer = push_table_claim(table, explored_key(op->key), op->validator,
                                           op->standing, &process->token);
        process->token_key = op->key;
        break;
    case OP_RENEW:
        push_table_renew(table, &process->token);
        break;
    case OP_SETTLE:
        push_table_settle(table, &process->token, op->to, LIFE_S);
        break;
    case OP_NOTE:
        push_table_note(table, explored_key(op->key), op->validator, op->to, LIFE_S, op->standing);
        break;
    case OP_LIFT:
        push_table_lift(table, explored_key(op->key), op->validator, op->to, LIFTED_S, 0);
        break;
    case OP_FORGET:
        push_table_forget(table, explored_key(op->key));
        break;
    case OP_SWEEP:
        push_sweep_all(table, op->dead);
        break;
    case OP_END:
        break;
    }
}

/* Runs the current call up to its next access. Returns true when it came to its end instead;
 * `process` then has its results. */
static bool run_call(struct process *process, const struct actor *actor)
{
    static struct process finished;
    static struct push_table table;
    finished = *process;
    replay.process = process;
    replay.at = 0;
    push_table_attach(&table, &replay.bucket, sizeof replay.bucket,
                      mutant == MUTANT_NO_OWNER ? 1 : actor->owner);
    table.clock_ms = hook_clock;
    if (setjmp(replay.out))
        return false;
    call(&table, &actor->ops[process->op], &finished);
    *process = finished;
    return true;
}

static void begin_call(struct process *process)
{
    process->used = process->tries = process->try_start = process->met = process->published = 0;
}

#endif

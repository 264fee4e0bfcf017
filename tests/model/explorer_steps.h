/* What one step of explorer.h's processes does to their world, and the invariants it must keep. */
#ifndef HERALD_EXPLORER_STEPS_H
#define HERALD_EXPLORER_STEPS_H

#include "tests/model/explorer.h"

/* Once a sweep for a dead owner is through, nothing of that owner is in flight. */
static void check_swept(const struct world *world, int dead)
{
    for (unsigned i = 0; i < explored_slots; i++)
        if (world->words[i] != 0 && push_word_in_flight(world->words[i]) &&
            push_word_owner(world->words[i]) == dead)
            violated("a claim of owner %d outlived the sweep after its death", dead);
}

static void record_call(struct world *world, const struct process *process, const struct op *op)
{
    if (op->kind == OP_CLAIM && process->answer == PUSH_CLAIMED)
        world->wins = (uint8_t)(world->wins + (op->key == 1));
    if (op->kind == OP_CLAIM && process->answer == PUSH_CONTENDED)
        outcome.contended++;
    if (op->kind == OP_SWEEP && op->dead != PUSH_TABLE_NO_OWNER)
        check_swept(world, op->dead);
}

/* Brings a process to its next access, through the ends of calls. */
static void advance(struct world *world, unsigned n)
{
    struct process *process = &world->processes[n];
    const struct actor *actor = &scenario->actors[n];
    for (;;) {
        const struct op *op = &actor->ops[process->op];
        bool needs_token = op->kind == OP_RENEW || op->kind == OP_SETTLE;
        if (process->op == OPS_MAX || op->kind == OP_END) {
            process->status = ENDED;
            process->pending = (struct access){.kind = ACCESS_NONE};
            return;
        }
        if (!needs_token || process->token.word != 0) {
            if (!run_call(process, actor)) {
                process->pending = replay.pending;
                return;
            }
            record_call(world, process, op);
        }
        process->op++;
        begin_call(process);
    }
}

static struct push_ticks world_ticks(const struct world *world)
{
    return ticks_of(world->now_ms);
}

static bool claimed_live(uint64_t word, struct push_ticks now)
{
    return word != 0 && push_word_state(word) == PUSH_WORD_CLAIMED && push_word_live(word, now);
}

/* What a process may change: judged by the true time, not by the reading it has. */
static void check_swap(const struct world *world, unsigned n, uint64_t old, uint64_t new)
{
    const struct actor *actor = &scenario->actors[n];
    const struct op *op = &actor->ops[world->processes[n].op];
    struct push_ticks now = world_ticks(world);
    bool live = old != 0 && push_word_live(old, now);
    bool own = push_word_owner(old) == (mutant == MUTANT_NO_OWNER ? 1 : actor->owner);
    bool swept = op->kind == OP_SWEEP && op->dead == push_word_owner(old);
    if (new != 0 && push_word_in_flight(new) && push_word_owner(new) != actor->owner &&
        mutant != MUTANT_NO_OWNER)
        violated("%s wrote a claim for another owner", actor->name);
    if (claimed_live(old, now) && !own && !swept)
        violated("%s changed a live claim of owner %u", actor->name, push_word_owner(old));
    if (live && push_word_in_flight(old) && !own && !swept && push_word_tag(old) != op->key)
        violated("%s changed a live tentative word of another key", actor->name);
    if (live && !push_word_in_flight(old) && new == 0 && push_word_tag(old) != op->key)
        violated("%s removed a live belief of another key", actor->name);
    if (op->kind == OP_LIFT && (!live || new >> 16 != old >> 16 || push_word_in_flight(old)))
        violated("%s made another belief of the one it lifted", actor->name);
    if (live && !push_word_in_flight(old) && op->kind == OP_CLAIM &&
        push_word_tag(old) == op->key && push_word_validator(old) == op->validator)
        violated("%s claimed over a live belief in its own validator", actor->name);
}

/* What holds in every state. */
static void check_world(const struct world *world)
{
    struct push_ticks now = world_ticks(world);
    for (unsigned i = 0; i < explored_slots; i++) {
        for (unsigned j = 0; j < i; j++)
            if (claimed_live(world->words[i], now) && claimed_live(world->words[j], now) &&
                push_word_tag(world->words[i]) == push_word_tag(world->words[j]))
                violated("two live claims of one key in the bucket");
        if (world->words[i] != 0 && push_word_tag(world->words[i]) == 0)
            violated("a word without a tag");
    }
    for (unsigned n = 0; n < ACTORS_MAX; n++) {
        const struct process *holder = &world->processes[n];
        if (holder->token.word == 0 || holder->status == KILLED || now.fine >= holder->token.expiry)
            continue;
        if (world->words[holder->token.slot] != holder->token.word)
            violated("the live claim of %s is gone from the bucket", scenario->actors[n].name);
        for (unsigned other = 0; other < n; other++) {
            const struct process *second = &world->processes[other];
            if (second->token.word != 0 && second->status != KILLED &&
                second->token_key == holder->token_key && now.fine < second->token.expiry)
                violated("%s and %s both hold the claim", scenario->actors[n].name,
                         scenario->actors[other].name);
        }
    }
}

/* What holds once nobody has anything left to do. */
static void check_end(const struct world *world)
{
    struct push_ticks now = world_ticks(world);
    outcome.ends++;
    outcome.wins[world->wins < 3 ? world->wins : 3]++;
    if (scenario->one_wins && !world->killed && world->wins != 1)
        violated("%u claimers won", world->wins);
    for (unsigned i = 0; i < explored_slots; i++)
        if (world->words[i] != 0 && push_word_state(world->words[i]) == PUSH_WORD_TENTATIVE &&
            push_word_live(world->words[i], now) && !world->killed &&
            world->words[i] != scenario->words[i])
            violated("a tentative word was left behind");
}

static void start_waiting(struct world *world)
{
    for (unsigned n = 0; n < ACTORS_MAX; n++) {
        const struct actor *actor = &scenario->actors[n];
        if (world->processes[n].status != WAITING || actor->ops[0].kind == OP_END)
            continue;
        if (actor->after_death && world->processes[actor->after_death - 1].status != KILLED &&
            mutant != MUTANT_EARLY_SWEEP)
            continue;
        if (actor->after_end && world->processes[actor->after_end - 1].status != ENDED)
            continue;
        world->processes[n].status = RUNNING;
        advance(world, n);
    }
}

static uint64_t load(struct world *world, unsigned n, bool stale)
{
    struct process *process = &world->processes[n];
    const struct access *access = &process->pending;
    uint64_t word = stale ? world->before[access->slot] : world->words[access->slot];
    uint64_t tag = scenario->actors[n].ops[process->op].key;
    if (!stale)
        process->fresh |= (uint8_t)(1u << access->slot);
    if (access->ordered && mutant == MUTANT_NO_SECOND_SCAN)
        return 0;
    if (access->ordered && mutant == MUTANT_LOWEST_WINS && push_word_tag(word) == tag &&
        push_word_state(word) == PUSH_WORD_TENTATIVE && access->slot + 1u > process->published)
        return 0;
    return word;
}

static uint64_t swap(struct world *world, unsigned n)
{
    struct process *process = &world->processes[n];
    const struct access *access = &process->pending;
    uint64_t old = world->words[access->slot];
    bool blind = (mutant == MUTANT_BLIND_WITHDRAWAL && access->desired == 0 &&
                  access->slot + 1u == process->published) ||
                 (mutant == MUTANT_BLIND_PUBLISH && process->published == 0 &&
                  scenario->actors[n].ops[process->op].kind == OP_CLAIM);
    process->fresh |= (uint8_t)(1u << access->slot);
    if (old != access->expected && !blind)
        return 0;
    check_swap(world, n, old, access->desired);
    world->before[access->slot] = old;
    world->words[access->slot] = access->desired;
    for (unsigned other = 0; other < ACTORS_MAX; other++)
        world->processes[other].fresh &= (uint8_t) ~(1u << access->slot);
    process->fresh |= (uint8_t)(1u << access->slot);
    process->wrote = true;
    return 1;
}

/* Keeps the summary of the current try that the fingerprint uses. */
static void note_progress(struct process *process, const struct access *access, uint64_t answer)
{
    if (access->kind == ACCESS_CLOCK) {
        process->tries++;
        process->try_start = (uint8_t)process->used;
        process->met = process->published = 0;
    } else if (access->kind == ACCESS_SWAP && process->published) {
        process->met++;
    } else if (access->kind == ACCESS_SWAP && answer) {
        process->published = (uint8_t)(access->slot + 1);
    }
}

static void step(struct world *world, unsigned n, bool stale)
{
    struct process *process = &world->processes[n];
    struct access access = process->pending;
    uint64_t answer = 0;
    process->wrote = false;
    if (access.kind == ACCESS_CLOCK)
        answer = world->now_ms;
    else if (access.kind == ACCESS_LOAD)
        answer = load(world, n, stale);
    else
        answer = swap(world, n);
    note_progress(process, &access, answer);
    if (process->used == HISTORY_MAX) {
        violated("%s made more than %d accesses in one call", scenario->actors[n].name,
                 HISTORY_MAX);
        return;
    }
    process->history[process->used++] = intern(answer);
    advance(world, n);
}

static bool move_allowed(const struct world *world, unsigned n)
{
    const struct move *move = &scenario->moves[n];
    return (move->from != move->to) && !(world->moved & 1u << n) &&
           world->words[move->slot] == move->from;
}

static void move_make(struct world *world, unsigned n)
{
    const struct move *move = &scenario->moves[n];
    world->moved |= (uint8_t)(1u << n);
    world->before[move->slot] = move->from;
    world->words[move->slot] = move->to;
    for (unsigned i = 0; i < ACTORS_MAX; i++)
        world->processes[i].fresh &= (uint8_t) ~(1u << move->slot);
}

static void kill_actor(struct world *world, unsigned n)
{
    struct process *process = &world->processes[n];
    process->status = KILLED;
    process->pending = (struct access){.kind = ACCESS_NONE};
    begin_call(process);
    world->killed++;
}

#endif

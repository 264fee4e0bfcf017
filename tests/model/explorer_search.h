/* The search behind explorer.h: which steps a state allows, which states were seen, and the path to
 * a violation, for people. */
#ifndef HERALD_EXPLORER_SEARCH_H
#define HERALD_EXPLORER_SEARCH_H

#include "tests/model/explorer_steps.h"

/* A choice: an actor's step (its number), the same with a stale load (+ STALE), its death (+ KILL),
 * a jump of the clock, or a move (MOVE + its number). */
enum { STALE = 0x08, KILL = 0x10, JUMP = 0x20, MOVE = 0x21, CHOICES = MOVE + MOVES_MAX };

/* One fine tick before both tick counters wrap. */
#define EXPLORER_START_MS ((PUSH_COARSE_TICK_MS << 16) - PUSH_FINE_TICK_MS)

static struct world *path; /* the states from the start to here */
static uint8_t *choices;   /* the choice taken in each of them */
static uint64_t *seen;     /* fingerprints, open addressing; 0: free */
static uint64_t seen_size;

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory) {
        fprintf(stderr, "explorer: no memory for %zu x %zu bytes\n", count, size);
        exit(1);
    }
    return memory;
}

static void search_allocate(void)
{
    path = allocate(DEPTH_MAX + 1, sizeof *path);
    choices = allocate(DEPTH_MAX + 1, 1);
}

/* Returns false when it is there already. */
static bool seen_insert(uint64_t fingerprint)
{
    uint64_t at = fingerprint & (seen_size - 1);
    while (seen[at] != 0) {
        if (seen[at] == fingerprint)
            return false;
        at = (at + 1) & (seen_size - 1);
    }
    seen[at] = fingerprint;
    return true;
}

static void seen_grow(void)
{
    uint64_t *old = seen, old_size = seen_size;
    seen_size = old_size ? 2 * old_size : 1 << 16;
    seen = allocate(seen_size, sizeof *seen);
    for (uint64_t i = 0; i < old_size; i++)
        if (old[i] != 0)
            seen_insert(old[i]);
    free(old);
}

static bool seen_first(uint64_t fingerprint)
{
    if (2 * outcome.states >= seen_size)
        seen_grow();
    if (!seen_insert(fingerprint ? fingerprint : 1))
        return false;
    outcome.states++;
    return true;
}

struct digest {
    uint8_t bytes[ACTORS_MAX * (HISTORY_MAX + 80) + 256];
    size_t used;
};

static void digest_add(struct digest *digest, const void *data, size_t bytes)
{
    memcpy(digest->bytes + digest->used, data, bytes);
    digest->used += bytes;
}

static void digest_byte(struct digest *digest, unsigned value)
{
    digest->bytes[digest->used++] = (uint8_t)value;
}

/* What the scan of this try has chosen so far, computed by the code under test. */
static void digest_scan(struct digest *digest, const struct process *process, const struct op *op)
{
    struct attempt attempt = {.tag = op->key,
                              .standing = op->standing,
                              .now = ticks_of(interned[process->history[process->try_start]]),
                              .slot = PUSH_BUCKET_SLOTS,
                              .rank = PUSH_RANK_NEVER};
    for (unsigned i = process->try_start + 1u, slot = 0; i < process->used; i++, slot++)
        consider(&attempt, slot, interned[process->history[i]]);
    digest_byte(digest, attempt.slot);
    digest_add(digest, &attempt.old, sizeof attempt.old);
}

/* A claim or note carries from try to try only their number; within a try the clock's reading and
 * the choice so far, then the slot it published in and how many words it met. A sweep or settle
 * carries its clock's reading. What it does next is part of the state for all of them. */
static void digest_call(struct digest *digest, const struct process *process, const struct op *op)
{
    bool scans = op->kind == OP_CLAIM || op->kind == OP_NOTE;
    if (scenario->unfolded || op->kind == OP_FORGET) {
        digest_byte(digest, process->used);
        digest_add(digest, process->history, process->used);
        return;
    }
    digest_byte(digest, process->tries);
    if (process->tries)
        digest_byte(digest, process->history[process->try_start]);
    digest_byte(digest, process->published);
    digest_byte(digest, process->met);
    if (scans && process->tries && !process->published && process->pending.kind == ACCESS_LOAD)
        digest_scan(digest, process, op);
    digest_byte(digest, process->pending.kind);
    digest_byte(digest, process->pending.slot);
    digest_add(digest, &process->pending.expected, sizeof process->pending.expected);
    digest_add(digest, &process->pending.desired, sizeof process->pending.desired);
}

static void digest_process(struct digest *digest, const struct world *world, unsigned n)
{
    const struct process *process = &world->processes[n];
    const struct actor *actor = &scenario->actors[n];
    digest_byte(digest, process->status);
    if (process->status == KILLED || process->status == WAITING)
        return;
    digest_add(digest, &process->token.word, sizeof process->token.word);
    digest_byte(digest, process->token.slot);
    if (process->status == ENDED)
        return;
    digest_byte(digest, process->op);
    digest_byte(digest, process->wrote && actor->mortal && world->killed < scenario->kills);
    if (scenario->stale_loads)
        digest_byte(digest, process->fresh);
    digest_call(digest, process, &actor->ops[process->op]);
}

static uint64_t fingerprint(const struct world *world)
{
    static struct digest digest;
    digest.used = 0;
    digest_add(&digest, world->words, explored_slots * sizeof world->words[0]);
    if (scenario->stale_loads)
        digest_add(&digest, world->before, explored_slots * sizeof world->before[0]);
    digest_byte(&digest, world->jumped);
    digest_byte(&digest, world->moved);
    digest_byte(&digest, world->killed);
    digest_byte(&digest, world->wins);
    for (unsigned n = 0; n < ACTORS_MAX; n++)
        digest_process(&digest, world, n);
    return XXH3_64bits(digest.bytes, digest.used);
}

static bool jumps_left(const struct world *world)
{
    return world->jumped < JUMPS_MAX && scenario->jumps[world->jumped] != 0;
}

/* Once the clock stands still for good, reading it depends on nobody, so it is done at once. */
static int forced_step(const struct world *world)
{
    if (jumps_left(world))
        return -1;
    for (unsigned n = 0; n < ACTORS_MAX; n++)
        if (world->processes[n].status == RUNNING &&
            world->processes[n].pending.kind == ACCESS_CLOCK)
            return (int)n;
    return -1;
}

static bool anyone_running(const struct world *world)
{
    for (unsigned n = 0; n < ACTORS_MAX; n++)
        if (world->processes[n].status == RUNNING)
            return true;
    return false;
}

/* Death is noticed only by what was written before it, so dying right after a write stands for
 * dying at any later step before the next one. */
static bool step_allowed(const struct world *world, unsigned choice)
{
    const struct process *process = &world->processes[choice & 7];
    const struct access *access = &process->pending;
    if (process->status != RUNNING)
        return false;
    if (choice & KILL)
        return !(choice & STALE) && scenario->actors[choice & 7].mortal && process->wrote &&
               world->killed < scenario->kills;
    if (choice & STALE)
        return scenario->stale_loads && access->kind == ACCESS_LOAD && !access->ordered &&
               !(process->fresh & 1u << access->slot) &&
               world->before[access->slot] != world->words[access->slot];
    return true;
}

static bool allowed(const struct world *world, unsigned choice)
{
    if (choice >= MOVE)
        return move_allowed(world, choice - MOVE) && anyone_running(world);
    if (choice == JUMP)
        return jumps_left(world) && anyone_running(world);
    return (choice & 7) < ACTORS_MAX && step_allowed(world, choice);
}

static void take(struct world *world, unsigned choice)
{
    if (choice >= MOVE)
        move_make(world, choice - MOVE);
    else if (choice == JUMP)
        world->now_ms += scenario->jumps[world->jumped++] * PUSH_FINE_TICK_MS;
    else if (choice & KILL)
        kill_actor(world, choice & 7);
    else
        step(world, choice & 7, (choice & STALE) != 0);
    start_waiting(world);
    check_world(world);
}

static void print_word(uint64_t word)
{
    static const char letters[] = "TCHD";
    if (word == 0)
        printf("-");
    else
        printf("%c(key %u, v%u, %04x)", letters[push_word_state(word)],
               (unsigned)push_word_tag(word), push_word_validator(word), (unsigned)word & 0xffff);
}

static void print_step(const struct world *world, unsigned choice)
{
    const struct process *process = &world->processes[choice & 7];
    const struct access *access = &process->pending;
    printf("  %-8s ", scenario->actors[choice & 7].name);
    if (choice & KILL)
        printf("is killed");
    else if (access->kind == ACCESS_CLOCK)
        printf("reads the clock: %llu", (unsigned long long)world->now_ms);
    else if (access->kind == ACCESS_LOAD) {
        printf("loads %u: ", access->slot);
        print_word(choice & STALE ? world->before[access->slot] : world->words[access->slot]);
    } else {
        printf("swaps %u from ", access->slot);
        print_word(access->expected);
        printf(" to ");
        print_word(access->desired);
        printf(world->words[access->slot] == access->expected ? "" : ", which fails");
    }
}

static void print_choice(const struct world *world, unsigned choice)
{
    if (choice >= MOVE) {
        printf("  slot %u goes from ", scenario->moves[choice - MOVE].slot);
        print_word(scenario->moves[choice - MOVE].from);
        printf(" to ");
        print_word(scenario->moves[choice - MOVE].to);
    } else if (choice == JUMP) {
        printf("  the clock jumps by %u", scenario->jumps[world->jumped]);
    } else {
        print_step(world, choice);
    }
    printf("\n");
}

static void print_path(unsigned depth)
{
    for (unsigned i = 0; i <= depth; i++)
        print_choice(&path[i], choices[i]);
}

static void world_begin(struct world *world)
{
    memset(world, 0, sizeof *world);
    explored_slots = scenario->slots;
    explored_tries = scenario->tries ? scenario->tries : 8;
    interned_count = 0;
    intern(0);
    intern(1);
    memcpy(world->words, scenario->words, sizeof world->words);
    memcpy(world->before, scenario->words, sizeof world->words);
    world->now_ms = EXPLORER_START_MS;
    start_waiting(world);
}

/* Takes the next untried choice of the state at `depth` into the one after it. Returns false when
 * there is none. */
static bool next_child(unsigned depth, int *tried)
{
    const struct world *world = &path[depth];
    int forced = forced_step(world);
    unsigned choice = (unsigned)(*tried + 1);
    if (forced >= 0) {
        if (*tried >= 0)
            return false;
        choice = (unsigned)forced;
    }
    while (choice < CHOICES && !allowed(world, choice))
        choice++;
    if (choice >= CHOICES)
        return false;
    *tried = (int)choice;
    choices[depth] = (uint8_t)choice;
    path[depth + 1] = *world;
    outcome.steps++;
    take(&path[depth + 1], choice);
    return true;
}

/* Explores `of` until every state was seen, `states_max` are, or an invariant is broken. */
static struct outcome explore(const struct scenario *of, enum mutant with, uint64_t states_max)
{
    static int tried[DEPTH_MAX + 1];
    unsigned depth = 0;
    scenario = of;
    mutant = with;
    outcome = (struct outcome){.complete = true};
    free(seen);
    seen = NULL;
    seen_size = 0;
    world_begin(&path[0]);
    seen_first(fingerprint(&path[0]));
    tried[0] = -1;
    for (;;) {
        if (!next_child(depth, &tried[depth])) {
            if (tried[depth] < 0)
                check_end(&path[depth]);
            if (outcome.violation[0] || depth-- == 0)
                break;
            continue;
        }
        if (outcome.violation[0])
            break;
        if (!seen_first(fingerprint(&path[depth + 1])))
            continue;
        if (outcome.states >= states_max || depth + 1 == DEPTH_MAX) {
            outcome.complete = false;
            break;
        }
        tried[++depth] = -1;
        outcome.depth = depth > outcome.depth ? depth : outcome.depth;
    }
    if (outcome.violation[0] && with == MUTANT_NONE)
        print_path(depth);
    return outcome;
}

#endif

/* Every interleaving of a few claimers, an evictor, a settler, noters, sweepers, clock jumps and
 * kills on one bucket, stepping the real code; and proof that the exploration would notice if the
 * algorithm were simpler than it is.
 *
 * Claimers of one key meet only when slots come free under them: the moves of a scenario do that,
 * in one step each, for processes of other keys that take no further part. All scenarios start one
 * fine tick before both tick counters wrap.
 *
 * HERALD_SOAK=1 adds the large scenarios: about a quarter of an hour and 2 GiB. */
#include "tests/model/explorer_search.h"

#include <cmocka.h>

#define STATES_MAX (UINT64_C(1) << 27)
#define START_FINE (EXPLORER_START_MS / PUSH_FINE_TICK_MS)
#define START_COARSE (EXPLORER_START_MS / PUSH_COARSE_TICK_MS)

#define WORD(key, validator, state, low) \
    ((uint64_t)(key) << 30 | (uint64_t)(validator) << 18 | (uint64_t)(state) << 16 | (low))
#define HELD(key, validator, left) \
    WORD(key, validator, PUSH_WORD_HELD, ((START_COARSE + (left)) & 0xffff))
/* A claim of a process that takes no part, alive throughout. */
#define FOREIGN(key) WORD(key, 1, PUSH_WORD_CLAIMED, 9 << 8 | ((START_FINE + 120) & 0xff))
/* What a claimer that was killed long ago left behind. */
#define LEFTOVER(key) WORD(key, 1, PUSH_WORD_TENTATIVE, 9 << 8 | ((START_FINE + 1) & 0xff))

#define CLAIM(k, v)                                    \
    {                                                  \
        .kind = OP_CLAIM, .key = (k), .validator = (v) \
    }
#define CLAIM_ON_PROBATION(k, v)                                                      \
    {                                                                                 \
        .kind = OP_CLAIM, .key = (k), .validator = (v), .standing = PUSH_ON_PROBATION \
    }
#define SETTLE(k, t)                             \
    {                                            \
        .kind = OP_SETTLE, .key = (k), .to = (t) \
    }
#define RENEW(k)                     \
    {                                \
        .kind = OP_RENEW, .key = (k) \
    }
#define NOTE(k, v, t)                                            \
    {                                                            \
        .kind = OP_NOTE, .key = (k), .validator = (v), .to = (t) \
    }
#define LIFT(k, v, t)                                            \
    {                                                            \
        .kind = OP_LIFT, .key = (k), .validator = (v), .to = (t) \
    }
#define FORGET(k)                     \
    {                                 \
        .kind = OP_FORGET, .key = (k) \
    }
#define SWEEP(o)                      \
    {                                 \
        .kind = OP_SWEEP, .dead = (o) \
    }

#define ACTOR(n, o, ...)                              \
    {                                                 \
        .name = n, .owner = o, .ops = { __VA_ARGS__ } \
    }
#define MORTAL(n, o, ...)                                             \
    {                                                                 \
        .name = n, .owner = o, .mortal = true, .ops = { __VA_ARGS__ } \
    }
/* Sweeps for the actor `who` (1 and up) with its owner `o`, once that was killed. */
#define SWEEPER(who, o)                                                          \
    {                                                                            \
        .name = "sweeper", .owner = 255, .after_death = who, .ops = { SWEEP(o) } \
    }
/* The process that gets owner `o` again when the actor `who`, a sweeper, has ended. */
#define NEXT(who, o)                                                         \
    {                                                                        \
        .name = "next", .owner = o, .after_end = who, .ops = { CLAIM(1, 1) } \
    }

#define TWO ACTOR("A", 1, CLAIM(1, 1)), ACTOR("B", 2, CLAIM(1, 1))
#define THREE TWO, ACTOR("C", 3, CLAIM(1, 1))
#define FOUR THREE, ACTOR("D", 4, CLAIM(1, 1))
#define FREED(slot, key)      \
    {                         \
        slot, FOREIGN(key), 0 \
    }
#define LOST(slot, key, left)       \
    {                               \
        slot, HELD(key, 1, left), 0 \
    }
#define SEVEN_FOREIGN \
    FOREIGN(5), FOREIGN(6), FOREIGN(7), FOREIGN(8), FOREIGN(10), FOREIGN(11), FOREIGN(12)

static const struct scenario scenarios[] = {
    {.name = "one of two claimers wins whatever slots come free",
     .slots = 3,
     .words = {FOREIGN(5), FOREIGN(6)},
     .actors = {TWO},
     .moves = {FREED(0, 5), FREED(1, 6), {0, 0, FOREIGN(7)}, FREED(0, 7)},
     .one_wins = true},
    {.name = "one of three claimers wins whatever slots come free",
     .slots = 4,
     .words = {FOREIGN(5), FOREIGN(6), FOREIGN(7)},
     .actors = {THREE},
     .moves = {FREED(0, 5), FREED(1, 6), FREED(2, 7)},
     .one_wins = true},
    {.name = "one of three claimers wins at its first try",
     .slots = 4,
     .tries = 1,
     .words = {FOREIGN(5), FOREIGN(6), FOREIGN(7)},
     .actors = {THREE},
     .moves = {FREED(0, 5), FREED(1, 6), FREED(2, 7)},
     .one_wins = true},
    {.name = "one of two claimers wins in eight slots, six of them moving",
     .slots = 8,
     .words = {SEVEN_FOREIGN},
     .actors = {TWO},
     .moves = {FREED(0, 5), FREED(1, 6), FREED(3, 8), FREED(4, 10), FREED(5, 11), FREED(6, 12)},
     .one_wins = true},
    {.name = "one of three claimers wins in eight slots, three of them moving",
     .slots = 8,
     .words = {SEVEN_FOREIGN},
     .actors = {THREE},
     .moves = {FREED(0, 5), FREED(3, 8), FREED(5, 11)},
     .one_wins = true},
    {.name = "one of three claimers wins beside a claimer of another key",
     .slots = 4,
     .actors = {THREE, ACTOR("mover", 4, CLAIM(2, 1), SETTLE(2, PUSH_ABSENT))},
     .one_wins = true},
    {.name = "one of two claimers wins though loads are stale",
     .slots = 3,
     .words = {FOREIGN(5), FOREIGN(6)},
     .actors = {TWO},
     .moves = {FREED(0, 5), FREED(1, 6), {0, 0, FOREIGN(7)}, FREED(0, 7)},
     .stale_loads = true,
     .one_wins = true},
    {.name = "claims in two validators exclude each other over a stale belief",
     .slots = 4,
     .words = {FOREIGN(5), HELD(1, 1, 4)},
     .actors = {ACTOR("A", 1, CLAIM(1, 2), SETTLE(1, PUSH_HELD)), ACTOR("B", 2, CLAIM(1, 3)),
                ACTOR("C", 3, CLAIM(1, 2))},
     .moves = {FREED(0, 5), LOST(1, 1, 4)}},
    {.name = "kill, sweep and respawn beside a settler and an evictor of a full bucket",
     .slots = 3,
     .words = {HELD(5, 1, 4), HELD(6, 1, 5), HELD(7, 1, 6)},
     .actors = {MORTAL("A", 1, CLAIM(1, 1), RENEW(1), SETTLE(1, PUSH_ABSENT)),
                MORTAL("B", 2, CLAIM(1, 1)), ACTOR("evictor", 4, CLAIM(2, 1), SETTLE(2, PUSH_HELD)),
                SWEEPER(1, 1), NEXT(4, 1)},
     .moves = {LOST(0, 5, 4), LOST(1, 6, 5)},
     .kills = 1},
    {.name = "kill and sweep in a bucket of eight beliefs",
     .slots = 8,
     .words = {HELD(5, 1, 4), HELD(6, 1, 5), HELD(7, 1, 6), HELD(8, 1, 7), HELD(10, 1, 8),
               HELD(11, 1, 9), HELD(12, 1, 10), HELD(13, 1, 3)},
     .actors = {MORTAL("A", 1, CLAIM(1, 1)), MORTAL("B", 2, CLAIM(1, 1)), SWEEPER(1, 1),
                NEXT(3, 1)},
     .moves = {LOST(0, 5, 4), LOST(3, 8, 7)},
     .kills = 2},
    {.name = "claims lapse, are renewed and settled late under two claimers",
     .slots = 3,
     .words = {FOREIGN(5), FOREIGN(6)},
     .actors = {ACTOR("A", 1, CLAIM(1, 1), RENEW(1), SETTLE(1, PUSH_HELD)),
                ACTOR("B", 2, CLAIM(1, 1), SETTLE(1, PUSH_ABSENT))},
     .moves = {FREED(0, 5), FREED(1, 6)},
     .jumps = {1, 1, 8}},
    {.name = "dead words are swept and taken at once",
     .slots = 3,
     .words = {LEFTOVER(1), HELD(5, 1, 1), HELD(1, 2, 1)},
     .actors = {TWO, ACTOR("sweeper", 255, SWEEP(PUSH_TABLE_NO_OWNER))},
     .jumps = {1, 2}},
    {.name = "notes and claims of one key",
     .slots = 3,
     .words = {FOREIGN(5), FOREIGN(6)},
     .actors = {ACTOR("A", 1, CLAIM(1, 1), SETTLE(1, PUSH_HELD)), ACTOR("B", 2, CLAIM(1, 1)),
                ACTOR("noter", 3, NOTE(1, 1, PUSH_HELD))},
     .moves = {FREED(0, 5), FREED(1, 6)}},
    {.name = "notes against notes",
     .slots = 3,
     .words = {FOREIGN(5), HELD(1, 2, 4)},
     .actors = {ACTOR("noter", 1, NOTE(1, 1, PUSH_HELD)),
                ACTOR("decliner", 2, NOTE(1, 1, PUSH_DECLINED)), ACTOR("A", 3, CLAIM(1, 1)),
                ACTOR("forget", 255, FORGET(1))},
     .moves = {FREED(0, 5)}},
    {.name = "beliefs are lifted beside claims, notes, evictions and each other",
     .slots = 3,
     .words = {HELD(1, 1, 4), HELD(5, 1, 6), HELD(1, 1, 3)},
     .actors = {ACTOR("A", 1, CLAIM(1, 2), SETTLE(1, PUSH_HELD)),
                ACTOR("lifter", 2, LIFT(1, 1, PUSH_HELD)),
                ACTOR("decliner", 3, NOTE(1, 1, PUSH_DECLINED)),
                ACTOR("lifter 2", 5, LIFT(1, 1, PUSH_HELD), LIFT(1, 2, PUSH_HELD))},
     .moves = {LOST(0, 1, 4), LOST(1, 5, 6)}},
    {.name = "claims on probation beside known ones in a full bucket",
     .slots = 3,
     .words = {HELD(5, 1, 400), HELD(6, 1, 5), HELD(7, 1, 500)},
     .actors = {ACTOR("A", 1, CLAIM_ON_PROBATION(1, 1), SETTLE(1, PUSH_HELD)),
                ACTOR("B", 2, CLAIM(1, 1)),
                ACTOR("evictor", 4, CLAIM_ON_PROBATION(2, 1), SETTLE(2, PUSH_ABSENT))},
     .moves = {LOST(0, 5, 400), LOST(1, 6, 5)}},
};

static const struct scenario soak_scenarios[] = {
    {.name = "one of four claimers wins whatever slots come free",
     .slots = 4,
     .words = {FOREIGN(5), FOREIGN(6), FOREIGN(7)},
     .actors = {FOUR},
     .moves = {FREED(0, 5), FREED(1, 6), FREED(2, 7)},
     .one_wins = true},
    {.name = "one of three claimers wins in eight slots, six of them moving",
     .slots = 8,
     .words = {SEVEN_FOREIGN},
     .actors = {THREE},
     .moves = {FREED(0, 5), FREED(1, 6), FREED(3, 8), FREED(4, 10), FREED(5, 11), FREED(6, 12)},
     .one_wins = true},
    {.name = "one of three claimers wins beside two claimers of other keys",
     .slots = 4,
     .actors = {THREE, ACTOR("mover", 4, CLAIM(2, 1), SETTLE(2, PUSH_ABSENT)),
                ACTOR("mover 2", 5, CLAIM(3, 1), SETTLE(3, PUSH_ABSENT))},
     .one_wins = true},
    {.name = "claims lapse under three claimers",
     .slots = 3,
     .words = {FOREIGN(5), FOREIGN(6)},
     .actors = {ACTOR("A", 1, CLAIM(1, 1), SETTLE(1, PUSH_HELD)),
                ACTOR("B", 2, CLAIM(1, 1), SETTLE(1, PUSH_ABSENT)), ACTOR("C", 3, CLAIM(1, 1))},
     .moves = {FREED(0, 5), FREED(1, 6)},
     .jumps = {2, 8}},
    {.name = "two kills, three claimers, a settler and an evictor of a full bucket",
     .slots = 3,
     .words = {HELD(5, 1, 4), HELD(6, 1, 5), HELD(7, 1, 6)},
     .actors = {MORTAL("A", 1, CLAIM(1, 1), RENEW(1), SETTLE(1, PUSH_ABSENT)),
                MORTAL("B", 2, CLAIM(1, 1)), ACTOR("C", 3, CLAIM(1, 1)),
                ACTOR("evictor", 4, CLAIM(2, 1), SETTLE(2, PUSH_HELD)), SWEEPER(1, 1), NEXT(5, 1)},
     .moves = {LOST(0, 5, 4), LOST(1, 6, 5)},
     .kills = 2},
    {.name = "kills and lapses, three claimers and a sweeper",
     .slots = 3,
     .words = {HELD(5, 1, 4), FOREIGN(6)},
     .actors = {MORTAL("A", 1, CLAIM(1, 1), SETTLE(1, PUSH_ABSENT)), MORTAL("B", 2, CLAIM(1, 1)),
                ACTOR("C", 3, CLAIM(1, 1)), SWEEPER(1, 1), NEXT(4, 1)},
     .moves = {LOST(0, 5, 4), FREED(1, 6)},
     .jumps = {2, 8},
     .kills = 1},
    {.name = "dead words are swept and taken at once, by an evictor too",
     .slots = 3,
     .words = {LEFTOVER(1), HELD(5, 1, 1), HELD(1, 2, 1)},
     .actors = {TWO, ACTOR("sweeper", 255, SWEEP(PUSH_TABLE_NO_OWNER)),
                ACTOR("evictor", 4, CLAIM(2, 1), SETTLE(2, PUSH_HELD))},
     .jumps = {1, 2}},
    {.name = "two claimers and two noters",
     .slots = 3,
     .words = {FOREIGN(5), FOREIGN(6)},
     .actors = {ACTOR("A", 1, CLAIM(1, 1), SETTLE(1, PUSH_HELD)), ACTOR("B", 2, CLAIM(1, 1)),
                ACTOR("noter", 3, NOTE(1, 1, PUSH_HELD)),
                ACTOR("decliner", 4, NOTE(1, 1, PUSH_DECLINED))},
     .moves = {FREED(0, 5), FREED(1, 6)}},
};

/* Each mutant, a scenario (by its place above) that shows it, and what is noticed. */
static const struct {
    const char *name;
    enum mutant mutant;
    unsigned scenario;
    const char *violation;
} mutants[] = {
    {"without a second scan two claimers win", MUTANT_NO_SECOND_SCAN, 0, "two live claims"},
    {"if the lowest slot wins without clearing the others two win", MUTANT_LOWEST_WINS, 0,
     "two live claims"},
    {"if any doubt is a reason to withdraw nobody wins", MUTANT_WITHDRAW_ALWAYS, 0,
     "0 claimers won"},
    {"if tentative words are cleared in any order nobody wins", MUTANT_CLEAR_ANY, 2,
     "0 claimers won"},
    {"a live claim taken for a victim is lost", MUTANT_EVICT_CLAIMS, 8, "changed a live claim"},
    {"without owner bits two claimers win", MUTANT_NO_OWNER, 1, "two live claims"},
    {"a withdrawal that does not compare hits another's word", MUTANT_BLIND_WITHDRAWAL, 7,
     "changed a live"},
    {"a publication that does not compare hits another's word", MUTANT_BLIND_PUBLISH, 1,
     "changed a live"},
    {"a belief in the claimer's own validator must not be cleared", MUTANT_IGNORE_VALIDATOR, 10,
     "in its own validator"},
    {"an owner swept before its death loses its claim", MUTANT_EARLY_SWEEP, 8, "is gone"},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void a_scenario_keeps_every_invariant(void **state)
{
    const struct scenario *of = *state;
    struct outcome result = explore(of, MUTANT_NONE, STATES_MAX);
    print_message("%s: %llu states, %llu steps, %llu ends\n", of->name,
                  (unsigned long long)result.states, (unsigned long long)result.steps,
                  (unsigned long long)result.ends);
    assert_string_equal(result.violation, "");
    assert_true(result.complete);
}

static void a_mutant_is_noticed(void **state)
{
    const size_t n = (size_t)((const char *)*state - (const char *)mutants) / sizeof mutants[0];
    struct outcome result = explore(&scenarios[mutants[n].scenario], mutants[n].mutant, STATES_MAX);
    print_message("%s: after %llu states: %s\n", mutants[n].name, (unsigned long long)result.states,
                  result.violation);
    assert_non_null(strstr(result.violation, mutants[n].violation));
}

/* The fingerprints leave out nothing that matters: whole histories reach the same ends. */
static void whole_histories_reach_the_same_ends(void **state)
{
    static const unsigned places[] = {0, 7, 9, 10};
    (void)state;
    for (size_t i = 0; i < COUNT(places); i++) {
        struct scenario of = scenarios[places[i]];
        struct outcome folded = explore(&of, MUTANT_NONE, STATES_MAX), unfolded;
        of.unfolded = true;
        unfolded = explore(&of, MUTANT_NONE, STATES_MAX);
        assert_true(folded.complete && unfolded.complete);
        assert_true(folded.states < unfolded.states);
        assert_string_equal(unfolded.violation, "");
        assert_int_equal(folded.ends, unfolded.ends);
        assert_memory_equal(folded.wins, unfolded.wins, sizeof folded.wins);
    }
}

static size_t add(struct CMUnitTest *tests, size_t count, const char *name, void (*test)(void **),
                  const void *state)
{
    tests[count] = (struct CMUnitTest){name, test, NULL, NULL, (void *)(uintptr_t)state};
    return count + 1;
}

int main(void)
{
    static struct CMUnitTest tests[COUNT(scenarios) + COUNT(soak_scenarios) + COUNT(mutants) + 1];
    const char *soak = getenv("HERALD_SOAK");
    size_t count = 0;
    search_allocate();
    for (size_t i = 0; i < COUNT(scenarios); i++)
        count =
            add(tests, count, scenarios[i].name, a_scenario_keeps_every_invariant, &scenarios[i]);
    for (size_t i = 0; soak && *soak && *soak != '0' && i < COUNT(soak_scenarios); i++)
        count = add(tests, count, soak_scenarios[i].name, a_scenario_keeps_every_invariant,
                    &soak_scenarios[i]);
    for (size_t i = 0; i < COUNT(mutants); i++)
        count = add(tests, count, mutants[i].name, a_mutant_is_noticed, &mutants[i]);
    count = add(tests, count, "whole histories reach the same ends",
                whole_histories_reach_the_same_ends, NULL);
    return _cmocka_run_group_tests("push_table_interleavings", tests, count, NULL, NULL);
}

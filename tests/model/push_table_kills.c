/* Workers race over a small push table and are killed with SIGKILL at random instants. After each
 * death its owner is swept, and then: no word of that owner is in flight, every word is one that
 * somebody wrote, no claim has more than a claim's life left, and nobody ever held a claim beside
 * another. At the end everything lapses, and each key can be claimed exactly once.
 *
 * HERALD_SOAK=1 kills 20,000 workers instead of 600. */
#include "tests/model/race.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define WORKERS 3

static struct race *race;
static pid_t pids[WORKERS];
static unsigned started;

static struct {
    unsigned kills, tentative, claimed, ghosts;
} seen;

static void start_worker(unsigned n)
{
    pid_t parent = getpid();
    started++;
    pids[n] = fork();
    assert_true(pids[n] >= 0);
    if (pids[n] == 0) {
        struct racer racer;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent || racer_init(&racer, race, n, started) < 0)
            _exit(1);
        while (!atomic_load(&race->stop))
            racer_step(&racer);
        _exit(0);
    }
}

/* Returns whether it was killed: once one has failed, all end by themselves. */
static bool reap(unsigned n)
{
    int status;
    assert_int_equal(waitpid(pids[n], &status, 0), pids[n]);
    pids[n] = 0;
    assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
    return WIFSIGNALED(status);
}

/* A dead worker holds nothing; its ghosts go before the sweep that lets others claim. */
static void lay_ghosts(int owner)
{
    for (unsigned key = 0; key < RACE_KEYS; key++) {
        uint64_t held = atomic_load(&race->ghosts[key]);
        if (held != 0 && (int)(held >> 48) == owner) {
            seen.ghosts++;
            atomic_compare_exchange_strong(&race->ghosts[key], &held, 0);
        }
    }
}

static unsigned in_flight(int owner, enum push_word_state state)
{
    unsigned count = 0;
    for (unsigned i = 0; i < RACE_BUCKETS * 8; i++) {
        uint64_t word = atomic_load(&race->buckets[i / 8].words[i % 8]);
        count += word != 0 && push_word_state(word) == state && push_word_owner(word) == owner;
    }
    return count;
}

static void kill_one(struct racer *parent)
{
    unsigned n = racer_below(parent, WORKERS);
    int owner = RACE_OWNER_BASE + (int)n;
    assert_int_equal(kill(pids[n], SIGKILL), 0);
    if (!reap(n))
        return;
    seen.kills++;
    seen.tentative += in_flight(owner, PUSH_WORD_TENTATIVE);
    seen.claimed += in_flight(owner, PUSH_WORD_CLAIMED);
    lay_ghosts(owner);
    push_sweep_all(&parent->table, owner);
    assert_int_equal(in_flight(owner, PUSH_WORD_TENTATIVE), 0);
    assert_int_equal(in_flight(owner, PUSH_WORD_CLAIMED), 0);
    start_worker(n);
}

/* A living worker that made no call since the last round may be anywhere inside one, where the
 * table allows it 100 ticks: the clock waits for it. */
static bool all_moved(uint64_t calls[WORKERS])
{
    bool moved = true;
    for (unsigned n = 0; n < WORKERS; n++)
        moved &= atomic_load(&race->calls[n]) != calls[n];
    for (unsigned n = 0; moved && n < WORKERS; n++)
        calls[n] = atomic_load(&race->calls[n]);
    return moved;
}

static void pause_ns(unsigned ns)
{
    nanosleep(&(struct timespec){0, ns}, NULL);
}

static void stop_workers(void)
{
    atomic_store(&race->stop, true);
    for (unsigned n = 0; n < WORKERS; n++)
        if (pids[n] > 0)
            reap(n);
}

/* With everybody at rest: let all lapse, then each key is claimed by exactly one of two. */
static void claim_every_key(struct racer *parent)
{
    for (unsigned n = 0; n < WORKERS; n++) {
        assert_int_equal(in_flight(RACE_OWNER_BASE + (int)n, PUSH_WORD_TENTATIVE), 0);
        push_sweep_all(&parent->table, RACE_OWNER_BASE + (int)n);
    }
    atomic_fetch_add(&race->now_ms, (RACE_LIFTED_S / 256 + 4) * PUSH_COARSE_TICK_MS);
    for (unsigned key = 0; key < RACE_KEYS; key++) {
        struct push_token token, second;
        unsigned words = 0;
        assert_int_equal(push_table_claim(&parent->table, race_key(key), 0, PUSH_KNOWN, &token),
                         PUSH_CLAIMED);
        assert_int_equal(push_table_claim(&parent->table, race_key(key), 0, PUSH_KNOWN, &second),
                         PUSH_ELSEWHERE);
        for (unsigned i = 0; i < 8; i++)
            words += push_word_tag(race->buckets[key % RACE_BUCKETS].words[i]) == key + 1;
        assert_int_equal(words, 1);
        assert_true(push_table_settle(&parent->table, &token, PUSH_ABSENT, 0));
    }
}

static void workers_killed_anywhere_leave_a_valid_table(void **state)
{
    const char *soak = getenv("HERALD_SOAK");
    unsigned kills_max = soak && *soak && *soak != '0' ? 20000 : 600;
    uint64_t calls[WORKERS] = {0}, claims = 0, began = (PUSH_COARSE_TICK_MS << 16) - 3000;
    struct racer parent;
    (void)state;
    race = mmap(NULL, sizeof *race, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(race != MAP_FAILED);
    atomic_store(&race->now_ms, began);
    assert_int_equal(racer_init(&parent, race, WORKERS, 12345), 0);
    for (unsigned n = 0; n < WORKERS; n++)
        start_worker(n);
    while (seen.kills < kills_max && !atomic_load(&race->stop)) {
        pause_ns(1 + racer_below(&parent, 400000));
        if (all_moved(calls))
            atomic_fetch_add(&race->now_ms, PUSH_FINE_TICK_MS * (1 + racer_below(&parent, 9)));
        kill_one(&parent);
        (void)race_check_words(race, push_table_ticks(&parent.table));
    }
    stop_workers();
    assert_string_equal(race->failure, "");
    for (unsigned n = 0; n < WORKERS; n++)
        claims += atomic_load(&race->claims[n]);
    print_message(
        "%u kills left %u tentative words, %u claims, %u of them with a holder; %llu claims "
        "won, %llu ticks\n",
        seen.kills, seen.tentative, seen.claimed, seen.ghosts, (unsigned long long)claims,
        (unsigned long long)((race->now_ms - began) / PUSH_FINE_TICK_MS));
    assert_true(seen.claimed > 0 && seen.ghosts > 0);
    assert_true(seen.tentative > 0 || kills_max < 10000);
    claim_every_key(&parent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_killed_anywhere_leave_a_valid_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

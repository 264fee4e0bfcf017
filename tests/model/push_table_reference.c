/* Random calls from several processes, one at a time, against a model that knows nothing of words,
 * wraps or atomics: after every call the answer and each slot of the table must be what the model
 * says. The clock starts shortly before both tick counters wrap, creeps, leaps by weeks, and passes
 * several wraps of either; sweeps keep the promised period. Workers are killed and started again.
 *
 * HERALD_SEED chooses another run; HERALD_SOAK=1 makes it long. */
#include "policy/push_upkeep.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define BUCKETS 2
#define KEYS 24
#define VALIDATORS 3
#define WORKERS 4
#define TOKENS 6
#define SWEEP_MS 100000 /* at most twice that lies between two sweeps */

enum call { CLAIM, RENEW, SETTLE, NOTE, LIFT, FORGET, PEEK, INSPECT, SWEEP };

struct order {
    enum call call;
    unsigned key, validator, token;
    enum push_answer to;
    enum push_standing standing;
    uint32_t life_s;
    uint32_t age_s; /* LIFT */
};

struct reply {
    int value; /* an answer, a bool or a count */
    struct push_entry entry;
    bool token_live;
};

struct shared {
    struct push_bucket buckets[BUCKETS];
    uint64_t now_ms;
};

static struct shared *shared;

/* The model: full-width expiries, and slots because ties go to the lower one. */
struct entry {
    enum { NOTHING, CLAIMED, HELD, DECLINED } state;
    unsigned key, validator;
    int owner;
    uint64_t expiry; /* CLAIMED: fine tick; HELD, DECLINED: coarse tick */
};

struct model_token {
    bool exists;
    unsigned bucket, slot;
    struct entry entry;
};

static struct entry model[BUCKETS][8];
static struct model_token tokens[WORKERS][TOKENS];

static struct {
    pid_t pid;
    int fd;
} workers[WORKERS];

static uint64_t shared_clock(void *unused)
{
    (void)unused;
    return shared->now_ms;
}

static struct push_key key_of(unsigned key)
{
    return (struct push_key){key % BUCKETS, 7 + key};
}

static int do_call(struct push_table *table, struct push_token *mine, const struct order *order,
                   struct push_entry *entry)
{
    struct push_key key = key_of(order->key);
    uint16_t validator = (uint16_t)order->validator;
    struct push_token *token = &mine[order->token];
    switch (order->call) {
    case CLAIM:
        return (int)push_table_claim(table, key, validator, order->standing, token);
    case RENEW:
        return push_table_renew(table, token);
    case SETTLE:
        return push_table_settle(table, token, order->to, order->life_s);
    case NOTE:
        return push_table_note(table, key, validator, order->to, order->life_s, order->standing);
    case LIFT:
        return push_table_lift(table, key, validator, order->to, order->life_s, order->age_s);
    case FORGET:
        return (int)push_table_forget(table, key);
    case PEEK:
        return (int)push_table_peek(table, key, validator);
    case INSPECT:
        push_table_inspect(table, key, entry);
        return (int)entry->answer;
    case SWEEP:
        return (int)push_sweep_all(table, PUSH_TABLE_NO_OWNER).removed;
    }
    return -1;
}

static void work(unsigned n, int fd)
{
    struct push_token mine[TOKENS] = {0};
    struct push_table table;
    struct order order;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (push_table_attach(&table, shared->buckets, sizeof shared->buckets, (int)n) < 0)
        _exit(1);
    table.clock_ms = shared_clock;
    while (read(fd, &order, sizeof order) == sizeof order) {
        struct reply reply = {0};
        reply.value = do_call(&table, mine, &order, &reply.entry);
        reply.token_live = push_table_token_live(&table, &mine[order.token]);
        if (write(fd, &reply, sizeof reply) != sizeof reply)
            break;
    }
    _exit(0);
}

static void start_worker(unsigned n)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    workers[n].pid = fork();
    assert_true(workers[n].pid >= 0);
    if (workers[n].pid == 0) {
        for (unsigned i = 0; i < WORKERS; i++)
            if (i != n && workers[i].fd > 0)
                close(workers[i].fd);
        close(pair[0]);
        work(n, pair[1]);
    }
    close(pair[1]);
    workers[n].fd = pair[0];
    memset(tokens[n], 0, sizeof tokens[n]);
}

static void end_worker(unsigned n)
{
    kill(workers[n].pid, SIGKILL);
    assert_int_equal(waitpid(workers[n].pid, NULL, 0), workers[n].pid);
    close(workers[n].fd);
    workers[n].fd = -1;
}

static struct reply ask(unsigned n, const struct order *order)
{
    struct reply reply;
    assert_int_equal(write(workers[n].fd, order, sizeof *order), sizeof *order);
    assert_int_equal(read(workers[n].fd, &reply, sizeof reply), sizeof reply);
    return reply;
}

static uint64_t fine_now(void)
{
    return shared->now_ms / 2000;
}

static uint64_t coarse_now(void)
{
    return shared->now_ms / 256000;
}

static bool alive(const struct entry *entry)
{
    if (entry->state == NOTHING)
        return false;
    return entry->expiry > (entry->state == CLAIMED ? fine_now() : coarse_now());
}

static uint64_t belief_ends(uint32_t life_s)
{
    uint64_t end = (shared->now_ms + life_s * UINT64_C(1000) + 255999) / 256000;
    return end > coarse_now() + 49150 ? coarse_now() + 49150 : end;
}

/* Where a word of `key` goes: its own slot, an empty one, a dead one, the belief that ends first.
 */
static struct entry *place(unsigned key, enum push_standing standing)
{
    struct entry *bucket = model[key % BUCKETS], *best = NULL;
    for (unsigned i = 0; i < 8; i++)
        if (bucket[i].state != NOTHING && bucket[i].key == key)
            return &bucket[i];
    for (unsigned i = 0; i < 8; i++)
        if (bucket[i].state == NOTHING)
            return &bucket[i];
    for (unsigned i = 0; i < 8; i++)
        if (!alive(&bucket[i]))
            return &bucket[i];
    for (unsigned i = 0; i < 8; i++) {
        if (bucket[i].state == CLAIMED)
            continue;
        if (standing == PUSH_ON_PROBATION && bucket[i].expiry - coarse_now() > 16)
            continue;
        if (!best || bucket[i].expiry < best->expiry)
            best = &bucket[i];
    }
    return best;
}

static struct entry *find_alive(unsigned key)
{
    for (unsigned i = 0; i < 8; i++)
        if (alive(&model[key % BUCKETS][i]) && model[key % BUCKETS][i].key == key)
            return &model[key % BUCKETS][i];
    return NULL;
}

static void clear_others(const struct entry *kept)
{
    for (unsigned i = 0; i < 8; i++) {
        struct entry *entry = &model[kept->key % BUCKETS][i];
        if (entry != kept && entry->key == kept->key)
            entry->state = NOTHING;
    }
}

static int answer_for(const struct entry *entry, unsigned validator)
{
    if (!entry)
        return PUSH_ABSENT;
    if (entry->state == CLAIMED)
        return PUSH_ELSEWHERE;
    if (entry->validator != validator)
        return PUSH_STALE;
    return entry->state == HELD ? PUSH_HELD : PUSH_DECLINED;
}

static int model_claim(unsigned n, const struct order *order)
{
    int answer = answer_for(find_alive(order->key), order->validator);
    struct entry *entry;
    tokens[n][order->token].exists = false;
    if (answer != PUSH_ABSENT && answer != PUSH_STALE)
        return answer;
    entry = place(order->key, order->standing);
    if (!entry)
        return PUSH_FULL;
    *entry = (struct entry){CLAIMED, order->key, order->validator, (int)n, fine_now() + 8};
    clear_others(entry);
    tokens[n][order->token] = (struct model_token){
        true, order->key % BUCKETS, (unsigned)(entry - model[order->key % BUCKETS]), *entry};
    return PUSH_CLAIMED;
}

/* The entry that the token stands for, if it is still there and the token is not too old. */
static struct entry *token_entry(const struct model_token *token)
{
    struct entry *entry = &model[token->bucket][token->slot];
    if (!token->exists || fine_now() > token->entry.expiry + 100)
        return NULL;
    return entry->state == CLAIMED && entry->owner == token->entry.owner &&
                   entry->key == token->entry.key && entry->validator == token->entry.validator &&
                   entry->expiry == token->entry.expiry
               ? entry
               : NULL;
}

static int model_token_call(unsigned n, const struct order *order)
{
    struct model_token *token = &tokens[n][order->token];
    struct entry *entry = token_entry(token);
    token->exists = entry && order->call == RENEW;
    if (!entry)
        return false;
    if (order->call == RENEW) {
        token->entry.expiry = entry->expiry = fine_now() + 8;
    } else if (order->to == PUSH_ABSENT || order->life_s == 0) {
        entry->state = NOTHING;
    } else {
        entry->state = order->to == PUSH_HELD ? HELD : DECLINED;
        entry->expiry = belief_ends(order->life_s);
    }
    return true;
}

static int model_note(const struct order *order)
{
    struct entry *entry = find_alive(order->key);
    if (order->life_s == 0 || (entry && entry->state == CLAIMED))
        return false;
    entry = place(order->key, order->standing);
    if (!entry)
        return false;
    *entry = (struct entry){order->to == PUSH_HELD ? HELD : DECLINED, order->key, order->validator,
                            -1, belief_ends(order->life_s)};
    clear_others(entry);
    return true;
}

/* A belief of at most an hour that one of `life_s`, noted at most `age_s` ago, does not explain. */
static int model_lift(const struct order *order)
{
    struct entry *entry = find_alive(order->key);
    uint32_t life_s = order->life_s > 49150 * 256 ? 49150 * 256 : order->life_s;
    if (answer_for(entry, order->validator) != (int)order->to || life_s <= 3600 ||
        order->age_s >= life_s)
        return false;
    uint64_t left_ms = entry->expiry * 256000 - shared->now_ms;
    if (left_ms > 3600000 + 256000 || left_ms >= (life_s - order->age_s) * UINT64_C(1000))
        return false;
    uint64_t before = entry->expiry, last = coarse_now() + 49150;
    entry->expiry = (before * 256 - 3600 + life_s + 255) / 256;
    if (entry->expiry > last)
        entry->expiry = last;
    return entry->expiry != before;
}

/* Removes entries of `key` that are beliefs, dead or alive. */
static int model_forget(unsigned key)
{
    int removed = 0;
    for (unsigned i = 0; i < 8; i++) {
        struct entry *entry = &model[key % BUCKETS][i];
        if (entry->key == key && (entry->state == HELD || entry->state == DECLINED)) {
            entry->state = NOTHING;
            removed++;
        }
    }
    return removed;
}

static int model_sweep(int dead)
{
    int removed = 0;
    for (unsigned i = 0; i < BUCKETS * 8; i++) {
        struct entry *entry = &model[i / 8][i % 8];
        bool orphan = entry->state == CLAIMED && entry->owner == dead;
        if (entry->state == NOTHING || (alive(entry) && !orphan))
            continue;
        entry->state = NOTHING;
        removed++;
    }
    return removed;
}

static int model_call(unsigned n, const struct order *order)
{
    const struct entry *entry;
    switch (order->call) {
    case CLAIM:
        return model_claim(n, order);
    case RENEW:
    case SETTLE:
        return model_token_call(n, order);
    case NOTE:
        return model_note(order);
    case LIFT:
        return model_lift(order);
    case FORGET:
        return model_forget(order->key);
    case PEEK:
        return answer_for(find_alive(order->key), order->validator);
    case INSPECT:
        entry = find_alive(order->key);
        return answer_for(entry, entry ? entry->validator : 0);
    case SWEEP:
        return model_sweep(PUSH_TABLE_NO_OWNER);
    }
    return -1;
}

static uint64_t expected_word(const struct entry *entry)
{
    switch (entry->state) {
    case NOTHING:
        break;
    case CLAIMED:
        return push_word_make(7 + entry->key, (uint16_t)entry->validator, PUSH_WORD_CLAIMED,
                              (uint16_t)(entry->owner << 8 | (int)(entry->expiry % 256)));
    case HELD:
    case DECLINED:
        return push_word_make(7 + entry->key, (uint16_t)entry->validator,
                              entry->state == HELD ? PUSH_WORD_HELD : PUSH_WORD_DECLINED,
                              (uint16_t)(entry->expiry % 65536));
    }
    return 0;
}

static void check_table(void)
{
    for (unsigned i = 0; i < BUCKETS * 8; i++)
        assert_int_equal(shared->buckets[i / 8].words[i % 8], expected_word(&model[i / 8][i % 8]));
}

static unsigned below(unsigned n)
{
    return (unsigned)rand() % n;
}

static uint32_t random_life(void)
{
    static const uint32_t lives[] = {0,     1,     255,     256,      3600,      86400,
                                     30000, 12288, 2592000, 12582400, UINT32_MAX};
    return lives[below(sizeof lives / sizeof lives[0])];
}

static struct order random_order(void)
{
    static const enum call calls[] = {CLAIM, CLAIM, CLAIM, CLAIM,  SETTLE, SETTLE, SETTLE, RENEW,
                                      NOTE,  LIFT,  LIFT,  FORGET, PEEK,   PEEK,   INSPECT, SWEEP};
    struct order order = {.call = calls[below(sizeof calls / sizeof calls[0])],
                          .key = below(KEYS),
                          .validator = below(VALIDATORS),
                          .token = below(TOKENS),
                          .standing = below(4) ? PUSH_KNOWN : PUSH_ON_PROBATION,
                          .life_s = random_life(),
                          .age_s = below(3) ? below(8000) : random_life()};
    order.to = below(2) ? PUSH_HELD : PUSH_DECLINED;
    if (order.call == SETTLE && below(3) == 0)
        order.to = PUSH_ABSENT;
    return order;
}

/* Time passes; what the upkeep promises is done meanwhile. */
static void pass_time(struct push_table *master)
{
    uint64_t left = below(500) ? below(below(8) ? 3000 : 60000) : below(3000000) * UINT64_C(1000);
    while (left > 0) {
        uint64_t part = left < SWEEP_MS ? left : SWEEP_MS;
        shared->now_ms += part;
        left -= part;
        if (part == SWEEP_MS || shared->now_ms / SWEEP_MS != (shared->now_ms - part) / SWEEP_MS)
            assert_int_equal(push_sweep_all(master, PUSH_TABLE_NO_OWNER).removed,
                             model_sweep(PUSH_TABLE_NO_OWNER));
    }
}

static void replace_worker(struct push_table *master, unsigned n)
{
    end_worker(n);
    assert_int_equal(push_sweep_all(master, (int)n).removed, model_sweep((int)n));
    start_worker(n);
}

static void check_entry(const struct order *order, const struct push_entry *entry)
{
    const struct entry *expected = find_alive(order->key);
    uint64_t ends_ms;
    if (!expected)
        return;
    ends_ms = expected->expiry * (expected->state == CLAIMED ? 2000 : 256000);
    assert_int_equal(entry->validator, expected->validator);
    assert_int_equal(entry->left_s, (ends_ms - shared->now_ms + 999) / 1000);
}

static void one_call(unsigned n)
{
    struct order order = random_order();
    struct model_token *token = &tokens[n][order.token];
    struct reply reply;
    if (order.call == CLAIM && token->exists)
        order.call = SETTLE;
    reply = ask(n, &order);
    assert_int_equal(reply.value, model_call(n, &order));
    if (order.call == INSPECT)
        check_entry(&order, &reply.entry);
    assert_int_equal(reply.token_live, token->exists && fine_now() < token->entry.expiry);
    check_table();
}

static void the_table_agrees_with_the_model(void **state)
{
    const char *soak = getenv("HERALD_SOAK"), *seed = getenv("HERALD_SEED");
    unsigned long calls = soak && *soak && *soak != '0' ? 5000000 : 100000;
    unsigned seeded = seed ? (unsigned)strtoul(seed, NULL, 10) : 1;
    struct push_table master;
    uint64_t began;
    (void)state;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    shared->now_ms = began = (UINT64_C(256000) << 16) - 3600000;
    assert_int_equal(
        push_table_attach(&master, shared->buckets, sizeof shared->buckets, PUSH_TABLE_NO_OWNER),
        0);
    master.clock_ms = shared_clock;
    srand(seeded);
    for (unsigned n = 0; n < WORKERS; n++)
        start_worker(n);
    for (unsigned long i = 0; i < calls; i++) {
        one_call(below(WORKERS));
        pass_time(&master);
        if (below(500) == 0)
            replace_worker(&master, below(WORKERS));
    }
    for (unsigned n = 0; n < WORKERS; n++)
        end_worker(n);
    print_message("seed %u: %lu calls over %.1f wraps of the coarse tick\n", seeded, calls,
                  (double)(shared->now_ms - began) / 256000 / 65536);
    assert_true((shared->now_ms - began) / 256000 > 2 * 65536);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_table_agrees_with_the_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

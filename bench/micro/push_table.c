/* What the push table costs, in nanoseconds per call, from 2^10 to 2^27 entries at 50, 90 and 100 %
 * of the slots taken, with one process and with a second one as busy on the same table; and how
 * often look-ups of absent keys are wrong, against the computed bound.
 *
 * Keys are random and hardly ever used twice, so in a large table a call is a cache miss. Calls are
 * timed in batches; the figure is the median batch, which other load on the machine disturbs least.
 * The clock stands still, and keys are made beforehand: both are measured by themselves. */
#include "policy/identity.h"
#include "policy/push_upkeep.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define BATCHES_MAX 4096
#define VALIDATOR 7
#define NOW_MS UINT64_C(1000000000)

static const uint8_t hash_key[IDENTITY_HASH_KEY_BYTES] = "benchmark's key";

struct figures {
    double hit, miss, refused, won, settle; /* ns */
};

struct bench {
    struct push_table table;
    unsigned load; /* percent */
    unsigned batches;
    uint64_t random;
    uint64_t failed; /* claims that should have been won, or settles that failed */
    double samples[5][BATCHES_MAX];
};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t fixed_clock(void *unused)
{
    (void)unused;
    return NOW_MS;
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static uint64_t next_random(struct bench *bench)
{
    return mix(bench->random += UINT64_C(0x9e3779b97f4a7c15));
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* What slot `slot` of bucket `at` holds when nothing was claimed: computed, so that a key can be
 * chosen without touching the table. */
static uint64_t filling(uint64_t at, unsigned slot, unsigned load)
{
    uint64_t hash = mix(at * 8 + slot + 1);
    uint64_t tag = hash >> 31 | 1;
    uint16_t life = (uint16_t)(100 + (hash & 0xfff));
    if (hash % 100 >= load)
        return 0;
    return push_word_make(tag, VALIDATOR, PUSH_WORD_HELD,
                          (uint16_t)(NOW_MS / PUSH_COARSE_TICK_MS + life));
}

static void fill(struct bench *bench)
{
    for (uint64_t at = 0; at <= bench->table.mask; at++)
        for (unsigned slot = 0; slot < PUSH_BUCKET_SLOTS; slot++)
            atomic_store_explicit(&bench->table.buckets[at].words[slot],
                                  filling(at, slot, bench->load), memory_order_relaxed);
}

/* Undoes what a claim did to a bucket; live claims of the other process stay. */
static void restore(struct bench *bench, struct push_key key)
{
    uint64_t at = key.bucket_hash & bench->table.mask;
    for (unsigned slot = 0; slot < PUSH_BUCKET_SLOTS; slot++) {
        _Atomic uint64_t *word = &bench->table.buckets[at].words[slot];
        uint64_t old = atomic_load(word), wanted = filling(at, slot, bench->load);
        if (old != wanted && (old == 0 || !push_word_in_flight(old)))
            atomic_compare_exchange_strong(word, &old, wanted);
    }
}

static struct push_key held_key(struct bench *bench)
{
    for (;;) {
        uint64_t random = next_random(bench), at = random >> 3 & bench->table.mask;
        uint64_t word = filling(at, random & 7, bench->load);
        if (word != 0)
            return (struct push_key){at, push_word_tag(word)};
    }
}

/* Tags of held keys are odd. */
static struct push_key absent_key(struct bench *bench)
{
    uint64_t random = next_random(bench);
    return (struct push_key){random, (mix(random) >> 30 & ~UINT64_C(1)) | 2};
}

static double per_call(double start)
{
    return (seconds() - start) * 1e9 / BATCH;
}

static void time_peeks(struct bench *bench, unsigned batch)
{
    struct push_key keys[BATCH];
    double start;
    for (unsigned kind = 0; kind < 2; kind++) {
        enum push_answer expected = kind == 0 ? PUSH_HELD : PUSH_ABSENT;
        for (unsigned i = 0; i < BATCH; i++)
            keys[i] = kind == 0 ? held_key(bench) : absent_key(bench);
        start = seconds();
        for (unsigned i = 0; i < BATCH; i++)
            bench->failed += push_table_peek(&bench->table, keys[i], VALIDATOR) != expected;
        bench->samples[kind][batch] = per_call(start);
    }
}

static void time_refused(struct bench *bench, unsigned batch)
{
    struct push_key keys[BATCH];
    struct push_token token;
    double start;
    for (unsigned i = 0; i < BATCH; i++)
        keys[i] = held_key(bench);
    start = seconds();
    for (unsigned i = 0; i < BATCH; i++)
        bench->failed +=
            push_table_claim(&bench->table, keys[i], VALIDATOR, PUSH_KNOWN, &token) != PUSH_HELD;
    bench->samples[2][batch] = per_call(start);
}

static void time_won(struct bench *bench, unsigned batch)
{
    struct push_key keys[BATCH];
    struct push_token tokens[BATCH];
    double start;
    for (unsigned i = 0; i < BATCH; i++)
        keys[i] = absent_key(bench);
    start = seconds();
    for (unsigned i = 0; i < BATCH; i++)
        bench->failed += push_table_claim(&bench->table, keys[i], VALIDATOR, PUSH_KNOWN,
                                          &tokens[i]) != PUSH_CLAIMED;
    bench->samples[3][batch] = per_call(start);
    start = seconds();
    for (unsigned i = 0; i < BATCH; i++)
        bench->failed += !push_table_settle(&bench->table, &tokens[i], PUSH_HELD, 86400);
    bench->samples[4][batch] = per_call(start);
    for (unsigned i = 0; i < BATCH; i++)
        restore(bench, keys[i]);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *samples, unsigned count)
{
    qsort(samples, count, sizeof samples[0], ascending);
    return samples[count / 2];
}

static struct figures measure(struct bench *bench)
{
    for (unsigned batch = 0; batch < bench->batches; batch++) {
        time_peeks(bench, batch);
        time_refused(bench, batch);
        time_won(bench, batch);
    }
    return (struct figures){
        median(bench->samples[0], bench->batches), median(bench->samples[1], bench->batches),
        median(bench->samples[2], bench->batches), median(bench->samples[3], bench->batches),
        median(bench->samples[4], bench->batches)};
}

static void attach(struct bench *bench, void *memory, uint64_t entries, int owner)
{
    int rc = push_table_attach(&bench->table, memory, entries * 8, owner);
    if (rc < 0) {
        errno = -rc;
        fail("push_table_attach");
    }
    bench->table.clock_ms = fixed_clock;
    bench->random = (uint64_t)owner << 56;
}

/* Runs the same mix until it is killed. */
static pid_t start_second(struct bench *bench, void *memory, uint64_t entries)
{
    pid_t pid = fork();
    if (pid < 0)
        fail("fork");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        attach(bench, memory, entries, 2);
        for (;;)
            (void)measure(bench);
    }
    return pid;
}

static void print_row(unsigned bits, unsigned load, unsigned processes, struct figures ns)
{
    printf("2^%-3u %6.1f MiB %4u %% %6u %10.1f %10.1f %10.1f %10.1f %10.1f\n", bits,
           (double)(UINT64_C(8) << bits) / 1048576, load, processes, ns.hit, ns.miss, ns.refused,
           ns.won, ns.settle);
    fflush(stdout);
}

static void bench_size(struct bench *bench, unsigned bits)
{
    static const unsigned loads[] = {50, 90, 100};
    uint64_t entries = UINT64_C(1) << bits;
    void *memory =
        mmap(NULL, entries * 8, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        fail("mmap");
    for (unsigned i = 0; i < 3; i++) {
        pid_t second;
        attach(bench, memory, entries, 1);
        bench->load = loads[i];
        bench->failed = 0;
        fill(bench);
        print_row(bits, loads[i], 1, measure(bench));
        if (bench->failed != 0)
            printf("  %llu calls had another answer than expected\n",
                   (unsigned long long)bench->failed);
        second = start_second(bench, memory, entries);
        print_row(bits, loads[i], 2, measure(bench));
        kill(second, SIGKILL);
        waitpid(second, NULL, 0);
    }
    munmap(memory, entries * 8);
}

static void bench_keys(void)
{
    enum { CALLS = 2000000 };
    struct span authority = SPAN_LITERAL("www.example.com");
    struct span path = SPAN_LITERAL("/assets/application-5f3a9c.css");
    struct client_id id = {.bytes = {1}};
    uint64_t sum = 0;
    double start = seconds();
    for (unsigned i = 0; i < CALLS; i++)
        sum += identity_push_key(hash_key, i, sum).tag;
    printf("key of a client and a resource  %6.1f ns\n", (seconds() - start) * 1e9 / CALLS);
    start = seconds();
    for (unsigned i = 0; i < CALLS / 4; i++)
        sum += identity_resource(hash_key, authority, path);
    printf("id of a resource from its name  %6.1f ns\n", (seconds() - start) * 4e9 / CALLS);
    start = seconds();
    for (unsigned i = 0; i < CALLS / 4; i++) {
        memcpy(id.bytes, &i, sizeof i);
        sum += identity_client(hash_key, &id, authority);
    }
    printf("stored client from its id       %6.1f ns\n", (seconds() - start) * 4e9 / CALLS);
    start = seconds();
    for (unsigned i = 0; i < CALLS; i++)
        sum += push_clock_boottime(NULL);
    printf("reading the clock               %6.1f ns%s\n", (seconds() - start) * 1e9 / CALLS,
           sum == 1 ? " " : "");
}

/* The key with its tag cut to `bits`, so that wrong look-ups are frequent enough to be counted. */
static struct push_key narrow_key(uint64_t client, unsigned bits)
{
    struct push_key key = identity_push_key(hash_key, client, 1);
    key.tag = key.tag % ((UINT64_C(1) << bits) - 1) + 1;
    return key;
}

static void bench_false_skips(unsigned bits, uint64_t lookups)
{
    enum { BUCKETS = 1 << 16, KEYS = 6 * BUCKETS };
    static struct push_bucket memory[BUCKETS];
    struct push_table table;
    struct push_census census;
    uint64_t wrong = 0;
    double bound;
    memset(memory, 0, sizeof memory);
    push_table_attach(&table, memory, sizeof memory, PUSH_TABLE_NO_OWNER);
    table.clock_ms = fixed_clock;
    for (uint64_t client = 0; client < KEYS; client++)
        push_table_note(&table, narrow_key(client, bits), VALIDATOR, PUSH_HELD,
                        86400 + (uint32_t)client, PUSH_KNOWN);
    census = push_sweep_all(&table, PUSH_TABLE_NO_OWNER);
    for (uint64_t client = KEYS; client < KEYS + lookups; client++)
        wrong += push_table_peek(&table, narrow_key(client, bits), VALIDATOR) != PUSH_ABSENT;
    bound = (double)census.held / BUCKETS / (double)((UINT64_C(1) << bits) - 1);
    printf("%4u %12llu %12llu %12.4g %12.4g\n", bits, (unsigned long long)lookups,
           (unsigned long long)wrong, (double)wrong / (double)lookups, bound);
    if (bits == PUSH_TAG_BITS)
        printf("\n%u beliefs in %u buckets: %.2f %% evicted by others, computed %.2f %%\n", KEYS,
               BUCKETS, 100.0 * (double)table.counts.evicted / KEYS,
               100 * push_capacity_lost((double)KEYS / BUCKETS));
    fflush(stdout);
}

static int usage(const char *name, FILE *to)
{
    fprintf(to,
            "usage: %s [--min BITS] [--max BITS] [--batches N]\n"
            "  --min, --max  table sizes, 2^BITS entries of 8 bytes (10 to 27, in steps)\n"
            "  --batches     of %d calls, for each figure (1 to %d; 1024)\n",
            name, BATCH, BATCHES_MAX);
    return to == stdout ? 0 : 2;
}

static bool read_number(const char *text, unsigned low, unsigned high, unsigned *value)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    *value = (unsigned)number;
    return *text && !*end && number >= low && number <= high;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"min", required_argument, NULL, 'm'},
                                            {"max", required_argument, NULL, 'M'},
                                            {"batches", required_argument, NULL, 'b'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    static const unsigned sizes[] = {10, 13, 16, 18, 20, 22, 24, 26, 27};
    static struct bench bench;
    unsigned low = 10, high = 27, batches = 1024;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        bool good = (option == 'm' && read_number(optarg, 10, 29, &low)) ||
                    (option == 'M' && read_number(optarg, 10, 29, &high)) ||
                    (option == 'b' && read_number(optarg, 1, BATCHES_MAX, &batches));
        if (option == 'h' || !good)
            return usage(argv[0], option == 'h' ? stdout : stderr);
    }
    bench.batches = batches;
    printf("ns per call, median of %u batches of %d\n\n", batches, BATCH);
    printf("%-5s %10s %6s %6s %10s %10s %10s %10s %10s\n", "slots", "size", "taken", "procs",
           "peek hit", "peek miss", "refused", "won", "settle");
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (sizes[i] >= low && sizes[i] <= high)
            bench_size(&bench, sizes[i]);
    printf("\n");
    bench_keys();
    printf("\n%4s %12s %12s %12s %12s\n", "tag", "look-ups", "wrong", "rate", "bound");
    bench_false_skips(16, 20000000);
    bench_false_skips(20, 40000000);
    bench_false_skips(PUSH_TAG_BITS, 40000000);
    return 0;
}

/* What the tests of the content cache stand on: a ring, a cache and a root full of real files, made
 * anew for each test, and a loop like the worker's. Included by one test program each. */
#ifndef HERALD_TESTS_CONTENT_BENCH_H
#define HERALD_TESTS_CONTENT_BENCH_H

#include "worker/content_parts.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 20000

static struct ring *ring;
static struct timers timers;
static struct stats stats;
static struct content *content;
static struct config_route routes[1];
static struct config_site site;
static char directory[32];

/* One look-up and what came of it, with a reference of its own to the resource. */
struct answer {
    struct content_lookup lookup;
    unsigned answered; /* how often; more than once is wrong */
    enum content_outcome outcome;
    struct resource *resource;
    void (*then)(struct answer *answer);
};

static inline uint64_t counter(enum counter which)
{
    return atomic_load(&stats.counters[which]);
}

static inline const char *in_root(const char *name)
{
    static char path[2][512];
    static unsigned turn;
    turn ^= 1;
    snprintf(path[turn], sizeof(path[turn]), "%s/%s", directory, name);
    return path[turn];
}

/* Waits for the next tick of the clock that times of files are taken from (finer ones only since
 * Linux 6.13). */
static inline void await_tick(void)
{
    struct timespec start, now;
    clock_gettime(CLOCK_REALTIME_COARSE, &start);
    do
        clock_gettime(CLOCK_REALTIME_COARSE, &now);
    while (now.tv_sec == start.tv_sec && now.tv_nsec == start.tv_nsec);
}

/* Writes a file in place. */
static inline void put_bytes(const char *name, const void *bytes, size_t length)
{
    int fd = open(in_root(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, length), length);
    close(fd);
}

static inline void put_file(const char *name, const char *text)
{
    put_bytes(name, text, strlen(text));
}

static inline void make_dir(const char *name)
{
    assert_int_equal(mkdir(in_root(name), 0755), 0);
}

/* One turn of the loop, which waits up to `ms` for something to happen. */
static inline void turn_loop(int ms)
{
    bool more = content_work(content);
    int64_t wait_ns = timers_wait_ns(&timers);
    if (more)
        wait_ns = 0;
    else if (wait_ns < 0 || wait_ns > (int64_t)ms * 1000000)
        wait_ns = (int64_t)ms * 1000000;
    ring_wait(ring, wait_ns);
    timers_update(&timers);
    timers_run(&timers);
}

static inline void run_loop(unsigned ms)
{
    uint64_t end_ms = timer_clock_coarse_ms() + ms;
    while (timer_clock_coarse_ms() < end_ms)
        turn_loop((int)ms);
}

static inline void run_until(const bool *done)
{
    uint64_t end_ms = timer_clock_coarse_ms() + PATIENCE_MS;
    while (!*done && timer_clock_coarse_ms() < end_ms)
        turn_loop(100);
    if (!*done)
        fail_msg("nothing came within %d ms", PATIENCE_MS);
}

static inline void forget(struct answer *answer)
{
    resource_release(answer->resource);
    answer->resource = NULL;
}

static inline void answered(struct content_lookup *lookup, enum content_outcome outcome,
                            struct resource *resource)
{
    struct answer *answer = (struct answer *)lookup;
    assert_int_equal(answer->answered, 0);
    assert_true((outcome == CONTENT_FOUND) == (resource != NULL));
    answer->answered++;
    answer->outcome = outcome;
    answer->resource = resource ? resource_hold(resource) : NULL;
    if (answer->then)
        answer->then(answer);
}

static inline void begin_find_span(struct answer *answer, const struct config_route *route,
                                   struct span path)
{
    forget(answer);
    answer->answered = 0;
    answer->lookup.found = answered;
    content_find(content, &site, route, path, &answer->lookup);
}

static inline void begin_find(struct answer *answer, const struct config_route *route,
                              const char *path)
{
    begin_find_span(answer, route, span_of(path));
}

static inline void await(struct answer *answer)
{
    uint64_t end_ms = timer_clock_coarse_ms() + PATIENCE_MS;
    while (!answer->answered && timer_clock_coarse_ms() < end_ms)
        turn_loop(100);
    if (!answer->answered)
        fail_msg("no answer within %d ms", PATIENCE_MS);
}

static inline enum content_outcome find_span(struct answer *answer, struct span path)
{
    begin_find_span(answer, &site.routes[0], path);
    await(answer);
    return answer->outcome;
}

static inline enum content_outcome find(struct answer *answer, const char *path)
{
    return find_span(answer, span_of(path));
}

/* Makes all that is known older. */
static inline void age(uint64_t ms)
{
    struct link *lists[] = {&content->present, &content->absent};
    for (unsigned i = 0; i < 2; i++)
        for (struct link *at = lists[i]->next; at != lists[i]; at = at->next) {
            struct entry *entry = LIST_OWNER(at, struct entry, recent);
            entry->checked_ms -= ms;
            entry->siblings_ms -= ms;
        }
}

/* Makes what is known trusted, as if it hadn't been read just after it was written. */
static inline void trust(void)
{
    for (struct link *at = content->present.next; at != &content->present; at = at->next)
        LIST_OWNER(at, struct entry, recent)->racy = false;
}

static inline void stop(void)
{
    for (unsigned i = 0; i < 1000 && !content_quiesce(content); i++)
        turn_loop(5);
    assert_true(content_quiesce(content));
    content_destroy(content);
}

/* An empty cache that holds `bytes_max`. */
static inline void restart(size_t bytes_max)
{
    stop();
    content = content_create(ring, &timers, &stats, bytes_max);
    assert_non_null(content);
}

static inline int bench_set_up(void **state)
{
    struct fault fault;
    (void)state;
    snprintf(directory, sizeof(directory), "/tmp/herald-content-XXXXXX");
    if (!mkdtemp(directory) || ring_create(&ring, &fault) < 0)
        return -1;
    memset(&stats, 0, sizeof(stats));
    timers = (struct timers){0};
    timers_update(&timers);
    routes[0] = (struct config_route){.prefix = (char *)(uintptr_t) "/", .root = directory};
    routes[0].root_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    site = (struct config_site){.routes = routes, .routes_count = 1};
    content = content_create(ring, &timers, &stats, CONTENT_BYTES_DEFAULT);
    return content && routes[0].root_fd >= 0 ? 0 : -1;
}

static inline int remove_one(const char *path, const struct stat *stat, int kind, struct FTW *ftw)
{
    (void)stat, (void)kind, (void)ftw;
    return remove(path);
}

static inline int bench_tear_down(void **state)
{
    (void)state;
    stop();
    content = NULL;
    timers_finish(&timers);
    ring_destroy(ring);
    close(routes[0].root_fd);
    return nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#define BENCH_TEST(function) \
    cmocka_unit_test_setup_teardown(function, bench_set_up, bench_tear_down)

#endif

/* A cache under test: requests, origins' answers, and a clock of the test's. */
#ifndef HERALD_CACHE_CASE_H
#define HERALD_CACHE_CASE_H

#include "worker/cache.h"
#include "worker/content_parts.h"
#include "worker/http_date.h"
#include "worker/respond.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW_S 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT */
#define NOW_TEXT "Sun, 06 Nov 1994 08:49:37 GMT"
#define ENTRY_MAX (64 * 1024)

static struct cache *cache;
static struct stats stats;
static struct cache_clock when;

/* A request and its look-up. */
struct asker {
    struct cache_lookup lookup;
    struct cache_request request;
    struct field fields[8];
    enum cache_answer answer; /* CACHE_WAITS until there is one */
    unsigned answers;
};

static void on_found(struct cache_lookup *lookup, enum cache_answer answer)
{
    struct asker *asker = (struct asker *)lookup;
    asker->answer = answer;
    asker->answers++;
}

static void cache_open(size_t bytes_max)
{
    memset(&stats, 0, sizeof(stats));
    when = (struct cache_clock){.now_ms = timer_clock_coarse_ms(), .now_s = NOW_S};
    cache = cache_create(bytes_max, ENTRY_MAX, &stats);
    assert_non_null(cache);
    cache_set_clock(cache, &when);
}

static int open_default(void **state)
{
    (void)state;
    cache_open(1024 * 1024);
    return 0;
}

/* That everything was let go of is asserted inside. */
static int close_cache(void **state)
{
    (void)state;
    cache_destroy(cache);
    cache = NULL;
    return 0;
}

static uint64_t counted(enum counter counter)
{
    return stats.counters[counter];
}

static void pass_time(unsigned seconds)
{
    when.now_ms += seconds * 1000ULL;
    when.now_s += seconds;
}

static void asker_of(struct asker *asker, const char *target)
{
    memset(asker, 0, sizeof(*asker));
    asker->lookup.found = on_found;
    asker->request = (struct cache_request){.scheme = SPAN_LITERAL("https"),
                                            .authority = SPAN_LITERAL("www.example.com"),
                                            .target = span_of(target),
                                            .fields = asker->fields};
}

static void asker_with(struct asker *asker, const char *name, const char *value)
{
    assert_true(asker->request.fields_count < 8);
    asker->fields[asker->request.fields_count++] = (struct field){span_of(name), span_of(value)};
}

static enum cache_answer ask(struct asker *asker)
{
    asker->answer = cache_find(cache, &asker->request, &asker->lookup);
    return asker->answer;
}

/* An answer's fields, "name: value" lines, in memory of the test's. */
struct said {
    struct field fields[12];
    size_t count;
    char text[1024];
};

static struct said say(const char *lines);
static const struct field *said_fields(const struct said *said);

static struct said say(const char *lines)
{
    struct said said = {.count = 0};
    snprintf(said.text, sizeof(said.text), "%s", lines);
    return said;
}

/* The spans point into `said`, which must stay where it is. */
static const struct field *said_fields(const struct said *constant)
{
    struct said *said = (struct said *)(uintptr_t)constant;
    struct span rest = span_of(said->text);
    said->count = 0;
    while (rest.length) {
        struct span line = span_next(&rest, '\n');
        size_t colon = span_find(line, ':');
        if (!line.length)
            continue;
        said->fields[said->count++] =
            (struct field){span_make(line.data, colon), span_trim(span_after(line, colon + 1))};
    }
    return said->fields;
}

/* The head of what an asker's fill brings; the asker then has lookup.resource when it was kept. */
static enum cache_kept head(struct asker *asker, int status, const char *lines, uint64_t length)
{
    struct said said = say(lines);
    const struct field *fields = said_fields(&said);
    struct resource *resource;
    enum cache_kept kept =
        cache_fill_head(asker->lookup.fill, status, fields, said.count, length, &resource);
    asker->lookup.resource = resource;
    return kept;
}

static void let_go(struct asker *asker)
{
    resource_release(asker->lookup.resource);
    asker->lookup.resource = NULL;
}

/* Asks, and answers as the origin: true when that was stored. */
static bool fetch(struct asker *asker, int status, const char *lines, const char *content)
{
    assert_int_equal(ask(asker), CACHE_LEADS);
    struct cache_fill *fill = asker->lookup.fill;
    if (head(asker, status, lines, strlen(content)) != CACHE_KEPT)
        return false;
    assert_true(cache_fill_append(fill, content, strlen(content)));
    bool stored = cache_fill_finish(fill) != NULL;
    let_go(asker);
    return stored;
}

/* The same for a plain GET of `target`. */
static bool store(const char *target, int status, const char *lines, const char *content)
{
    struct asker asker;
    asker_of(&asker, target);
    return fetch(&asker, status, lines, content);
}

/* How a plain GET of `target` is answered; nothing is kept of it. */
static enum cache_answer probe(const char *target)
{
    struct asker asker;
    asker_of(&asker, target);
    enum cache_answer answer = ask(&asker);
    if (asker.lookup.fill)
        cache_fill_abandon(asker.lookup.fill, 0);
    let_go(&asker);
    return answer;
}

static bool is_hit(const char *target)
{
    return probe(target) == CACHE_FOUND;
}

#define TEST_OF(name) cmocka_unit_test_setup_teardown(name, open_default, close_cache)

#endif

#include "worker/cache_parts.h"

#include "worker/http_date.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <sys/random.h>

struct cache *cache_create(size_t bytes_max, size_t entry_max, struct stats *stats)
{
    struct cache *cache = calloc(1, sizeof(*cache));
    if (!cache)
        return NULL;
    cache->stats = stats;
    cache->bytes_max = bytes_max;
    cache->entry_max = entry_max < bytes_max ? entry_max : bytes_max;
    list_init(&cache->recent);
    cache->buckets = calloc(CACHE_BUCKETS, sizeof(struct cache_entry *));
    if (!cache->buckets || getrandom(cache->key, sizeof(cache->key), 0) != sizeof(cache->key)) {
        cache_destroy(cache);
        return NULL;
    }
    return cache;
}

void cache_destroy(struct cache *cache)
{
    if (!cache)
        return;
    assert(cache->fills_count == 0);
    while (!list_empty(&cache->recent))
        cached_remove(cache, LIST_OWNER(cache->recent.next, struct cached, recent));
    assert(cache->bytes == 0);
    free(cache->buckets);
    free(cache);
}

void cache_set_clock(struct cache *cache, const struct cache_clock *clock)
{
    cache->clock = clock;
}

time_t cache_now_s(const struct cache *cache)
{
    return cache->clock ? cache->clock->now_s : http_date_seconds();
}

/* ---- URLs ---- */

/* Writes the URL to `out`; returns its length, or 0 when it is too long to be kept. A port that is
 * the scheme's own says nothing (RFC 9110 4.2.3). */
static size_t write_key(struct span scheme, struct span authority, struct span target,
                        char out[CACHE_KEY_MAX])
{
    struct span port =
        span_equal(scheme, SPAN_LITERAL("https")) ? SPAN_LITERAL(":443") : SPAN_LITERAL(":80");
    if (span_ends(authority, port))
        authority.length -= port.length;
    if (scheme.length + authority.length + target.length + 3 > CACHE_KEY_MAX)
        return 0;
    char *at = out;
    memcpy(at, scheme.data, scheme.length);
    memcpy(at + scheme.length, "://", 3);
    at += scheme.length + 3;
    for (size_t i = 0; i < authority.length; i++)
        *at++ = (char)tolower((unsigned char)authority.data[i]);
    memcpy(at, target.data, target.length);
    return (size_t)(at - out) + target.length;
}

static struct cache_entry **bucket_of(struct cache *cache, uint64_t hash)
{
    return &cache->buckets[hash & (CACHE_BUCKETS - 1)];
}

static struct cache_entry *find_entry(struct cache *cache, struct span key, uint64_t hash)
{
    for (struct cache_entry *entry = *bucket_of(cache, hash); entry; entry = entry->next)
        if (entry->hash == hash && span_equal(span_make(entry->text, entry->length), key))
            return entry;
    return NULL;
}

static struct cache_entry *add_entry(struct cache *cache, struct span key, uint64_t hash)
{
    struct cache_entry *entry = malloc(sizeof(*entry) + key.length);
    if (!entry)
        return NULL;
    list_init(&entry->variants);
    list_init(&entry->fills);
    entry->hash = hash;
    entry->length = key.length;
    memcpy(entry->text, key.data, key.length);
    entry->next = *bucket_of(cache, hash);
    *bucket_of(cache, hash) = entry;
    return entry;
}

void cache_entry_settle(struct cache *cache, struct cache_entry *entry)
{
    struct cache_entry **at = bucket_of(cache, entry->hash);
    if (!list_empty(&entry->variants) || !list_empty(&entry->fills))
        return;
    while (*at != entry)
        at = &(*at)->next;
    *at = entry->next;
    free(entry);
}

/* ---- what is known not to be kept ---- */

/* What is kept for nobody who shows who they are may be kept for the others. */
static uint64_t mark_of(uint64_t hash, bool credentialed)
{
    return hash ^ (credentialed ? 0x9e3779b97f4a7c15U : 0);
}

static void set_mark(struct cache *cache, uint64_t hash, bool credentialed, bool pass)
{
    uint64_t mark = mark_of(hash, credentialed);
    size_t at = (mark >> 20) & (CACHE_MARKS - 1);
    if (pass)
        cache->marks[at].hash = mark;
    if (cache->marks[at].hash == mark)
        cache->marks[at].until_ms = pass ? cache_now_ms(cache) + CACHE_PASS_MS : 0;
}

void cache_mark(struct cache *cache, const struct cache_entry *entry, bool credentialed, bool pass)
{
    set_mark(cache, entry->hash, credentialed, pass);
}

static bool is_marked(const struct cache *cache, uint64_t hash, bool credentialed)
{
    uint64_t mark = mark_of(hash, credentialed);
    size_t at = (mark >> 20) & (CACHE_MARKS - 1);
    return cache->marks[at].hash == mark && cache_now_ms(cache) < cache->marks[at].until_ms;
}

/* ---- what is stored ---- */

bool cache_credentialed(const struct cache_request *request)
{
    return request->cookies ||
           field_find(request->fields, request->fields_count, SPAN_LITERAL("authorization")).data;
}

int64_t cache_fresh_s(const struct cache *cache, const struct resource *resource,
                      const struct cache_terms *terms)
{
    uint64_t now_ms = cache_now_ms(cache), then_ms = resource->origin->received_ms;
    uint64_t here_s = now_ms > then_ms ? (now_ms - then_ms) / 1000 : 0;
    return (int64_t)terms->life_s - (int64_t)terms->initial_age_s - (int64_t)here_s;
}

/* A guess is not made for who shows who they are. */
bool cache_usable(const struct cache_terms *terms, const struct cache_request *request)
{
    return terms->life_said || !cache_credentialed(request);
}

struct cached *cache_variant(struct cache_entry *entry, const struct cache_request *request)
{
    for (struct link *at = entry->variants.next; at != &entry->variants; at = at->next) {
        struct cached *cached = LIST_OWNER(at, struct cached, link);
        if (cache_selects(span_make(cached->text, cached->vary_length),
                          span_make(cached->text + cached->vary_length, cached->selecting_length),
                          request))
            return cached;
    }
    return NULL;
}

void cached_remove(struct cache *cache, struct cached *cached)
{
    struct cache_entry *entry = cached->entry;
    list_remove(&cached->link);
    list_remove(&cached->recent);
    cache->bytes -= cached->bytes;
    resource_release(cached->resource);
    free(cached);
    cache_entry_settle(cache, entry);
}

/* Content that a stream still reads stays in memory whether it is stored or not. */
static bool is_pinned(const struct cached *cached)
{
    return cached->resource->references > 1 || cached->resource->origin->growth->references > 1;
}

bool cache_make_room(struct cache *cache, size_t bytes)
{
    struct link *at = cache->recent.previous;
    while (bytes > cache->bytes_max || cache->bytes > cache->bytes_max - bytes) {
        if (at == &cache->recent || bytes > cache->bytes_max)
            return false;
        struct cached *last = LIST_OWNER(at, struct cached, recent);
        at = at->previous;
        if (is_pinned(last))
            continue;
        stats_add(cache->stats, COUNTER_proxy_cache_evictions, 1);
        cached_remove(cache, last);
    }
    return true;
}

/* One that is replaced, and the oldest when there are too many for one URL. */
static void remove_replaced(struct cache *cache, struct cache_entry *entry, struct span vary,
                            struct span selecting)
{
    unsigned count = 0;
    struct link *next;
    for (struct link *at = entry->variants.next; at != &entry->variants; at = next) {
        struct cached *cached = LIST_OWNER(at, struct cached, link);
        next = at->next;
        bool same =
            span_equal(span_make(cached->text, cached->vary_length), vary) &&
            span_equal(span_make(cached->text + cached->vary_length, cached->selecting_length),
                       selecting);
        if (same || ++count >= CACHE_VARIANTS_MAX)
            cached_remove(cache, cached);
    }
}

struct cached *cache_store(struct cache *cache, struct cache_entry *entry,
                           struct resource *resource, const struct cache_terms *terms,
                           struct span vary, struct span selecting)
{
    size_t texts = vary.length + selecting.length;
    size_t bytes = sizeof(struct cached) + sizeof(*resource) + texts + entry->length +
                   resource->codings[CODING_IDENTITY].fields_count * 64;
    remove_replaced(cache, entry, vary, selecting);
    struct cached *cached = cache_make_room(cache, bytes) ? malloc(sizeof(*cached) + texts) : NULL;
    if (!cached)
        return NULL;
    *cached = (struct cached){.entry = entry,
                              .resource = resource_hold(resource),
                              .terms = *terms,
                              .bytes = bytes,
                              .vary_length = vary.length,
                              .selecting_length = selecting.length};
    if (vary.length) {
        memcpy(cached->text, vary.data, vary.length);
        memcpy(cached->text + vary.length, selecting.data, selecting.length);
    }
    cache->bytes += bytes;
    list_insert(entry->variants.next, &cached->link);
    list_insert(cache->recent.next, &cached->recent);
    return cached;
}

/* ---- finding ---- */

static void touch(struct cache *cache, struct cached *cached)
{
    list_remove(&cached->recent);
    list_insert(cache->recent.next, &cached->recent);
}

static void count_up(struct cache *cache, const struct cache_request *request, enum counter counter)
{
    if (!request->background)
        stats_add(cache->stats, counter, 1);
}

static enum cache_answer found(struct cache_lookup *lookup, struct resource *resource,
                               enum cache_way way)
{
    lookup->resource = resource_hold(resource);
    lookup->way = way;
    return CACHE_FOUND;
}

static enum cache_answer lead(struct cache *cache, struct cache_entry *entry,
                              const struct cache_request *request, struct cached *stale,
                              bool joinable, struct cache_lookup *lookup)
{
    if (cache->fills_count < CACHE_FILLS_MAX)
        lookup->fill = cache_fill_begin(cache, entry, request, stale, joinable);
    if (!lookup->fill)
        return CACHE_PASS;
    count_up(cache, request, COUNTER_proxy_cache_misses);
    lookup->way = CACHE_WAY_MISS;
    return CACHE_LEADS;
}

/* A fill that may answer the request: one for another variant of the URL is none. */
static struct cache_fill *joinable_fill(struct cache_entry *entry,
                                        const struct cache_request *request)
{
    const struct cached *known =
        list_empty(&entry->variants) ? NULL : LIST_OWNER(entry->variants.next, struct cached, link);
    char selecting[CACHE_VARY_BYTES];
    for (struct link *at = entry->fills.next; at != &entry->fills; at = at->next) {
        struct cache_fill *fill = LIST_OWNER(at, struct cache_fill, link);
        struct span vary = known ? span_make(known->text, known->vary_length) : (struct span){0};
        if (!fill->joinable || fill->condemned || (fill->growth && fill->growth->dropped))
            continue;
        if (fill->growth) {
            vary = span_make(fill->text, fill->vary_length);
            if (cache_selects(vary,
                              span_make(fill->text + fill->vary_length, fill->selecting_length),
                              request))
                return fill;
            continue;
        }
        size_t length = vary.length ? cache_selecting(vary, &fill->request, selecting) : 0;
        if (length != SIZE_MAX && cache_selects(vary, span_make(selecting, length), request))
            return fill;
    }
    return NULL;
}

/* The head of a growing response is known; before that, it is waited for. */
static enum cache_answer join(struct cache *cache, struct cache_fill *fill,
                              const struct cache_request *request, struct cache_lookup *lookup)
{
    if (fill->growth) {
        if (cache_fresh_s(cache, fill->resource, &fill->terms) <= 0 ||
            !cache_usable(&fill->terms, request))
            return CACHE_PASS;
        count_up(cache, request, COUNTER_proxy_cache_joined);
        return found(lookup, fill->resource, CACHE_WAY_HIT);
    }
    lookup->request = *request;
    lookup->joined = fill;
    list_insert(&fill->waiters, &lookup->link);
    return CACHE_WAITS;
}

static enum cache_answer find_stored(struct cache *cache, struct cached *cached,
                                     const struct cache_request *request,
                                     struct cache_lookup *lookup)
{
    int64_t fresh_s = cache_fresh_s(cache, cached->resource, &cached->terms);
    touch(cache, cached);
    if (!cache_usable(&cached->terms, request))
        return CACHE_PASS;
    if (fresh_s > 0) {
        count_up(cache, request, COUNTER_proxy_cache_hits);
        return found(lookup, cached->resource, CACHE_WAY_HIT);
    }
    if (-fresh_s >= (int64_t)cached->terms.while_revalidating_s || cached->terms.always_validates)
        return CACHE_WAITS;
    struct cache_request behind = *request;
    behind.background = true;
    if (!request->partial && !request->head && !joinable_fill(cached->entry, request) &&
        cache->fills_count < CACHE_FILLS_MAX)
        lookup->fill = cache_fill_begin(cache, cached->entry, &behind, cached, true);
    count_up(cache, request, COUNTER_proxy_cache_stale);
    return found(lookup, cached->resource, CACHE_WAY_STALE);
}

enum cache_answer cache_find(struct cache *cache, const struct cache_request *request,
                             struct cache_lookup *lookup)
{
    char text[CACHE_KEY_MAX];
    struct span key = {text, write_key(request->scheme, request->authority, request->target, text)};
    assert(lookup->found && !lookup->link.next);
    lookup->resource = NULL;
    lookup->fill = NULL;
    lookup->way = CACHE_WAY_PASS;
    if (key.length == 0)
        return CACHE_PASS;
    uint64_t hash = identity_hash(cache->key, key);
    struct cache_entry *entry = find_entry(cache, key, hash);
    struct cached *cached = entry ? cache_variant(entry, request) : NULL;
    if (cached) {
        enum cache_answer answer = find_stored(cache, cached, request, lookup);
        if (answer != CACHE_WAITS)
            return answer;
    }
    if (request->head || request->partial ||
        (!cached && is_marked(cache, hash, cache_credentialed(request))))
        return CACHE_PASS;
    if (cached && cached->terms.always_validates)
        return lead(cache, entry, request, cached, false, lookup);
    struct cache_fill *fill = entry ? joinable_fill(entry, request) : NULL;
    if (fill)
        return join(cache, fill, request, lookup);
    if (!entry)
        entry = add_entry(cache, key, hash);
    if (!entry)
        return CACHE_PASS;
    enum cache_answer answer = lead(cache, entry, request, cached, true, lookup);
    cache_entry_settle(cache, entry);
    return answer;
}

void cache_cancel(struct cache_lookup *lookup)
{
    list_remove(&lookup->link);
}

struct resource *cache_peek(struct cache *cache, const struct cache_request *request)
{
    char text[CACHE_KEY_MAX];
    struct span key = {text, write_key(request->scheme, request->authority, request->target, text)};
    uint64_t hash = key.length ? identity_hash(cache->key, key) : 0;
    struct cache_entry *entry = key.length ? find_entry(cache, key, hash) : NULL;
    struct cached *cached = entry ? cache_variant(entry, request) : NULL;
    if (!cached || cache_fresh_s(cache, cached->resource, &cached->terms) <= 0 ||
        !cache_usable(&cached->terms, request))
        return NULL;
    touch(cache, cached);
    return cached->resource;
}

void cache_invalidate(struct cache *cache, struct span scheme, struct span authority,
                      struct span target)
{
    char text[CACHE_KEY_MAX];
    struct span key = {text, write_key(scheme, authority, target, text)};
    struct cache_entry *entry =
        key.length ? find_entry(cache, key, identity_hash(cache->key, key)) : NULL;
    struct link held = {0};
    if (!entry)
        return;
    for (struct link *at = entry->fills.next; at != &entry->fills; at = at->next)
        LIST_OWNER(at, struct cache_fill, link)->condemned = true;
    list_insert(&entry->fills, &held); /* keeps the entry while its variants go */
    while (!list_empty(&entry->variants))
        cached_remove(cache, LIST_OWNER(entry->variants.next, struct cached, link));
    list_remove(&held);
    cache_entry_settle(cache, entry);
    stats_add(cache->stats, COUNTER_proxy_cache_invalidations, 1);
}

void cache_passed(struct cache *cache, const struct cache_request *request, int status,
                  const struct field *fields, size_t count)
{
    char text[CACHE_KEY_MAX], vary[CACHE_VARY_BYTES];
    struct span key = {text, write_key(request->scheme, request->authority, request->target, text)};
    bool credentialed = cache_credentialed(request);
    if (key.length == 0 || request->head || request->partial || status == 304 || status == 206)
        return;
    struct cache_terms terms =
        cache_judge(status, fields, count, request, credentialed, cache_now_s(cache), 0);
    set_mark(cache, identity_hash(cache->key, key), credentialed,
             !terms.storable || cache_vary(fields, count, vary) == SIZE_MAX);
}

/* Fetches under way: one for all who want the same. */
#include "worker/cache_parts.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define LITTLE_BYTES (16 * 1024)

/* ---- life ---- */

static struct span keep(char **at, struct span text)
{
    char *copy = *at;
    if (text.length)
        memcpy(copy, text.data, text.length);
    *at += text.length;
    return span_make(copy, text.length);
}

/* Who led may be gone before the response comes. */
static bool keep_request(struct cache_fill *fill, const struct cache_request *request)
{
    size_t count = request->fields_count;
    size_t size = request->scheme.length + request->authority.length + request->target.length;
    for (size_t i = 0; i < count; i++)
        size += request->fields[i].name.length + request->fields[i].value.length;
    fill->kept = malloc(count * sizeof(struct field) + size + 1);
    if (!fill->kept)
        return false;
    struct field *fields = (struct field *)(void *)fill->kept;
    char *text = fill->kept + count * sizeof(struct field);
    fill->request = *request;
    fill->request.fields = fields;
    for (size_t i = 0; i < count; i++) {
        fields[i].name = keep(&text, request->fields[i].name);
        fields[i].value = keep(&text, request->fields[i].value);
    }
    fill->request.scheme = keep(&text, request->scheme);
    fill->request.authority = keep(&text, request->authority);
    fill->request.target = keep(&text, request->target);
    return true;
}

struct cache_fill *cache_fill_begin(struct cache *cache, struct cache_entry *entry,
                                    const struct cache_request *request, struct cached *stale,
                                    bool joinable)
{
    struct cache_fill *fill = malloc(sizeof(*fill));
    if (!fill)
        return NULL;
    memset(fill, 0, offsetof(struct cache_fill, text));
    if (!keep_request(fill, request)) {
        free(fill);
        return NULL;
    }
    fill->cache = cache;
    fill->entry = entry;
    fill->joinable = joinable;
    fill->credentialed = cache_credentialed(request);
    fill->began_ms = cache_now_ms(cache);
    list_init(&fill->waiters);
    if (stale) {
        fill->stale = resource_hold(stale->resource);
        fill->stale_terms = stale->terms;
    }
    list_insert(&entry->fills, &fill->link);
    cache->fills_count++;
    return fill;
}

/* Its entry goes with it when nothing else is there. */
static void fill_free(struct cache_fill *fill)
{
    struct cache *cache = fill->cache;
    assert(list_empty(&fill->waiters));
    list_remove(&fill->link);
    cache->fills_count--;
    cache_entry_settle(cache, fill->entry);
    resource_release(fill->stale);
    resource_release(fill->resource);
    growth_release(fill->growth);
    hints_free(fill->interims);
    free(fill->kept);
    free(fill);
}

/* ---- those who wait ---- */

static struct cache_lookup *next_waiter(struct link *waiters)
{
    struct cache_lookup *lookup = LIST_OWNER(waiters->next, struct cache_lookup, link);
    list_remove(&lookup->link);
    return lookup;
}

void cache_fill_interim(struct cache_fill *fill, const struct field *fields, size_t count)
{
    hints_keep(&fill->interims, fields, count);
    for (struct link *link = fill->waiters.next; link != &fill->waiters; link = link->next) {
        struct cache_lookup *lookup = LIST_OWNER(link, struct cache_lookup, link);
        if (lookup->interim)
            lookup->interim(lookup, fields, count);
    }
}

void cache_recall_interims(struct cache_lookup *lookup)
{
    if (!list_has(&lookup->link))
        return;
    for (struct interim *one = lookup->joined->interims; one; one = one->next) {
        const struct field field = {SPAN_LITERAL("link"), one->links};
        lookup->interim(lookup, &field, 1);
    }
}

/* They ask again: one leads, or each is passed. */
static void send_away(struct cache *cache, struct link *waiters)
{
    while (!list_empty(waiters)) {
        struct cache_lookup *lookup = next_waiter(waiters);
        struct cache_request request = lookup->request;
        enum cache_answer answer = cache_find(cache, &request, lookup);
        if (answer != CACHE_WAITS)
            lookup->found(lookup, answer);
    }
}

/* `resource`, when it may be used for the request that it varies by and by who asks. */
static void hand_out(struct cache_fill *fill, struct resource *resource, struct span vary,
                     struct span selecting, const struct cache_terms *terms, enum cache_way way)
{
    struct cache *cache = fill->cache;
    struct link waiters;
    list_take_all(&fill->waiters, &waiters);
    resource_hold(resource);
    struct link others;
    list_init(&others);
    while (!list_empty(&waiters)) {
        struct cache_lookup *lookup = next_waiter(&waiters);
        if (!cache_usable(terms, &lookup->request) ||
            !cache_selects(vary, selecting, &lookup->request)) {
            list_insert(&others, &lookup->link);
            continue;
        }
        lookup->resource = resource_hold(resource);
        lookup->way = way;
        stats_add(cache->stats, COUNTER_proxy_cache_joined, 1);
        lookup->found(lookup, CACHE_FOUND);
    }
    resource_release(resource);
    send_away(cache, &others);
}

/* ---- the head ---- */

static struct origin_answer answer_of(const struct cache_fill *fill, int status,
                                      const struct cache_terms *terms)
{
    return (struct origin_answer){.status = status,
                                  .received_ms = cache_now_ms(fill->cache),
                                  .initial_age_s = terms->initial_age_s,
                                  .client_life_s = terms->client_life_s};
}

static struct cache_terms judge(const struct cache_fill *fill, int status,
                                const struct field *fields, size_t count)
{
    uint64_t delay_s = (cache_now_ms(fill->cache) - fill->began_ms) / 1000;
    return cache_judge(status, fields, count, &fill->request, fill->credentialed,
                       cache_now_s(fill->cache), (uint32_t)delay_s);
}

/* Whether the variant that is being validated is still the one stored; NULL: it has gone. */
static struct cached *stale_cached(const struct cache_fill *fill)
{
    struct link *variants = &fill->entry->variants;
    for (struct link *at = variants->next; at != variants; at = at->next) {
        struct cached *cached = LIST_OWNER(at, struct cached, link);
        if (cached->resource == fill->stale)
            return cached;
    }
    return NULL;
}

static bool may_stand_for_error(const struct cache_fill *fill)
{
    if (!fill->stale || fill->condemned)
        return false;
    int64_t fresh_s = cache_fresh_s(fill->cache, fill->stale, &fill->stale_terms);
    return -fresh_s < (int64_t)fill->stale_terms.if_error_s;
}

/* The fill has ended with something that was stored: all get that. Returns a reference. */
static struct resource *end_with_stored(struct cache_fill *fill, struct resource *resource,
                                        const struct cache_terms *terms, enum cache_way way)
{
    char vary[CACHE_VARY_BYTES], selecting[CACHE_VARY_BYTES];
    const struct field *fields = resource->codings[CODING_IDENTITY].fields;
    size_t length = cache_vary(fields, resource->codings[CODING_IDENTITY].fields_count, vary);
    struct span names = span_make(vary, length != SIZE_MAX ? length : 0);
    size_t selected = cache_selecting(names, &fill->request, selecting);
    fill->joinable = false;
    resource_hold(resource);
    hand_out(fill, resource, names, span_make(selecting, selected != SIZE_MAX ? selected : 0),
             terms, way);
    fill_free(fill);
    return resource;
}

/* In place of what was validated, if that is still there. */
static void replace_stale(struct cache_fill *fill, struct resource *fresh)
{
    struct cached *old = stale_cached(fill);
    char texts[2 * CACHE_VARY_BYTES];
    if (!old || fill->condemned)
        return;
    struct span vary = span_make(texts, old->vary_length);
    struct span selecting = span_make(texts + old->vary_length, old->selecting_length);
    memcpy(texts, old->text, vary.length + selecting.length);
    if (fill->terms.storable)
        cache_store(fill->cache, fill->entry, fresh, &fill->terms, vary, selecting);
    else
        cached_remove(fill->cache, old);
}

/* RFC 9111 4.3.4: the stored response as it is from now on. Returns a reference, or NULL. */
static struct resource *refresh(struct cache_fill *fill, const struct field *fields, size_t count)
{
    struct resource *fresh =
        cache_resource_refresh(fill->stale, fields, count, cache_now_s(fill->cache));
    if (!fresh)
        return NULL;
    const struct representation *merged = &fresh->codings[CODING_IDENTITY];
    fill->terms = judge(fill, 200, merged->fields, merged->fields_count);
    fill->terms.initial_age_s = judge(fill, 200, fields, count).initial_age_s;
    fresh->origin->received_ms = cache_now_ms(fill->cache);
    fresh->origin->initial_age_s = fill->terms.initial_age_s;
    fresh->origin->client_life_s = fill->terms.client_life_s;
    stats_add(fill->cache->stats, COUNTER_proxy_cache_revalidated, 1);
    replace_stale(fill, fresh);
    return fresh;
}

static void forget_stale(struct cache_fill *fill)
{
    struct cached *old = fill->stale ? stale_cached(fill) : NULL;
    if (old)
        cached_remove(fill->cache, old);
}

/* The response is nobody else's: they are told, and know it for a while. */
static enum cache_kept let_go(struct cache_fill *fill, bool mark)
{
    struct cache *cache = fill->cache;
    struct link waiters;
    list_take_all(&fill->waiters, &waiters);
    if (mark && fill->joinable)
        cache_mark(cache, fill->entry, fill->credentialed, true);
    fill_free(fill);
    send_away(cache, &waiters);
    return CACHE_NOT_KEPT;
}

static bool begin_growth(struct cache_fill *fill, int status, const struct field *fields,
                         size_t count, uint64_t length)
{
    struct cache *cache = fill->cache;
    size_t need = length == GROWTH_UNKNOWN ? cache->entry_max : (size_t)length;
    if ((length != GROWTH_UNKNOWN && length > cache->entry_max) ||
        !cache_make_room(cache, need + sizeof(struct resource)))
        return false;
    struct origin_answer origin = answer_of(fill, status, &fill->terms);
    fill->growth = growth_create(length, cache->entry_max, &cache->bytes);
    if (fill->growth)
        fill->resource = cache_resource_create(fill->request.target, &origin, fields, count,
                                               fill->growth, cache_now_s(cache));
    return fill->resource != NULL;
}

static enum cache_kept head_of_304(struct cache_fill *fill, const struct field *fields,
                                   size_t count, struct resource **resource)
{
    struct cache *cache = fill->cache;
    struct link waiters;
    struct resource *fresh = refresh(fill, fields, count);
    if (!fresh)
        return let_go(fill, false);
    *resource = fresh;
    if (fill->terms.always_validates) { /* it answers its asker alone */
        list_take_all(&fill->waiters, &waiters);
        fill_free(fill);
        send_away(cache, &waiters);
        return CACHE_REFRESHED;
    }
    struct cache_terms terms = fill->terms;
    *resource = end_with_stored(fill, fresh, &terms, CACHE_WAY_REVALIDATED);
    resource_release(fresh);
    return CACHE_REFRESHED;
}

/* What may be stored, and for which requests. */
static bool is_storable(struct cache_fill *fill, int status, const struct field *fields,
                        size_t count)
{
    fill->terms = judge(fill, status, fields, count);
    fill->vary_length = cache_vary(fields, count, fill->text);
    if (!fill->terms.storable || fill->vary_length == SIZE_MAX)
        return false;
    fill->selecting_length = cache_selecting(span_make(fill->text, fill->vary_length),
                                             &fill->request, fill->text + fill->vary_length);
    return fill->selecting_length != SIZE_MAX;
}

/* Those who wait get it now, when it may be used without asking the origin; else they ask. */
static void share(struct cache_fill *fill)
{
    struct link waiters;
    if (cache_fresh_s(fill->cache, fill->resource, &fill->terms) > 0) {
        hand_out(fill, fill->resource, span_make(fill->text, fill->vary_length),
                 span_make(fill->text + fill->vary_length, fill->selecting_length), &fill->terms,
                 CACHE_WAY_HIT);
        return;
    }
    list_take_all(&fill->waiters, &waiters);
    send_away(fill->cache, &waiters);
}

enum cache_kept cache_fill_head(struct cache_fill *fill, int status, const struct field *fields,
                                size_t count, uint64_t length, struct resource **resource)
{
    *resource = NULL;
    if (status == 304 && fill->stale)
        return head_of_304(fill, fields, count, resource);
    if (status >= 500 && may_stand_for_error(fill)) {
        struct cache_terms terms = fill->stale_terms;
        stats_add(fill->cache->stats, COUNTER_proxy_cache_stale, 1);
        *resource = end_with_stored(fill, fill->stale, &terms, CACHE_WAY_STALE);
        return CACHE_STALE;
    }
    if (!is_storable(fill, status, fields, count)) {
        if (status < 500)
            forget_stale(fill);
        return let_go(fill, true);
    }
    if (fill->condemned || !begin_growth(fill, status, fields, count, length))
        return let_go(fill, !fill->condemned);
    cache_mark(fill->cache, fill->entry, fill->credentialed, false);
    *resource = resource_hold(fill->resource);
    share(fill);
    return CACHE_KEPT;
}

/* ---- the content, and the end ---- */

size_t cache_fill_conditions(const struct cache_fill *fill, struct field conditions[2])
{
    size_t count = 0;
    if (!fill->stale)
        return 0;
    const struct representation *known = &fill->stale->codings[CODING_IDENTITY];
    struct span modified =
        field_find(known->fields, known->fields_count, SPAN_LITERAL("last-modified"));
    if (known->etag.length)
        conditions[count++] = (struct field){SPAN_LITERAL("if-none-match"), known->etag};
    if (modified.length)
        conditions[count++] = (struct field){SPAN_LITERAL("if-modified-since"), modified};
    return count;
}

bool cache_fill_append(struct cache_fill *fill, const void *data, size_t length)
{
    return growth_append(fill->growth, data, length);
}

struct growth *cache_fill_growth(const struct cache_fill *fill)
{
    return fill->growth;
}

const struct cache_request *cache_fill_request(const struct cache_fill *fill)
{
    return &fill->request;
}

void cache_fill_keep(struct cache_fill *fill)
{
    fill->request.background = true;
}

bool cache_fill_wanted(const struct cache_fill *fill)
{
    return (fill->growth && fill->growth->length <= LITTLE_BYTES) || fill->request.background ||
           !list_empty(&fill->waiters) || (fill->resource && fill->resource->references > 1) ||
           (fill->growth && fill->growth->readers);
}

static struct cached *store(struct cache_fill *fill)
{
    struct cache *cache = fill->cache;
    const struct representation *head = &fill->resource->codings[CODING_IDENTITY];
    growth_trim(fill->growth);
    struct resource *whole =
        cache_resource_create(fill->request.target, fill->resource->origin, head->fields,
                              head->fields_count, fill->growth, cache_now_s(cache));
    if (!whole)
        return NULL;
    struct cached *cached = cache_store(
        cache, fill->entry, whole, &fill->terms, span_make(fill->text, fill->vary_length),
        span_make(fill->text + fill->vary_length, fill->selecting_length));
    resource_release(whole);
    return cached;
}

struct resource *cache_fill_finish(struct cache_fill *fill)
{
    assert(fill->growth && list_empty(&fill->waiters));
    fill->joinable = false;
    growth_end(fill->growth, 0);
    struct cached *cached = NULL;
    if (growth_is_whole(fill->growth) && !fill->condemned)
        cached = store(fill);
    growth_tell(fill->growth);
    if (cached) {
        stats_add(fill->cache->stats, COUNTER_proxy_cache_stored, 1);
        stats_add(fill->cache->stats, COUNTER_proxy_cache_stored_bytes, fill->growth->filled);
    }
    struct resource *resource = cached ? cached->resource : NULL;
    fill_free(fill);
    return resource;
}

struct resource *cache_fill_abandon(struct cache_fill *fill, int status)
{
    struct cache *cache = fill->cache;
    struct link waiters;
    fill->joinable = false;
    if (fill->growth) {
        growth_end(fill->growth, -EIO);
        growth_tell(fill->growth);
    } else if (status && may_stand_for_error(fill)) {
        stats_add(cache->stats, COUNTER_proxy_cache_stale, 1);
        struct cache_terms terms = fill->stale_terms;
        return end_with_stored(fill, fill->stale, &terms, CACHE_WAY_STALE);
    }
    list_take_all(&fill->waiters, &waiters);
    fill_free(fill);
    while (status && !list_empty(&waiters)) {
        struct cache_lookup *lookup = next_waiter(&waiters);
        lookup->status = status;
        lookup->found(lookup, CACHE_FAILED);
    }
    send_away(cache, &waiters);
    return NULL;
}

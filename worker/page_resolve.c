#include "worker/page_parts.h"

#include "worker/conn_internal.h"
#include "worker/proxy.h"
#include "worker/stream.h"

#define RESOLVE_MS 50       /* candidates found later than this are not pushed with this page, */
#define RESOLVE_WAKEUPS 16  /* unless the worker had fewer chances than this to see them found: */
#define RESOLVE_AGAIN_MS 10 /* it is then given more time, so much at once */

/* A candidate's response as this client would get it, for what on_push may see; or the reason why
 * it is no response to push. */
static void describe(struct page *page, struct candidate *candidate, struct resource *resource)
{
    const struct representation *representation = NULL;
    const struct config_site *site = page->stream->site;
    struct span coding = field_find(page->request.fields, page->request.fields_count,
                                    SPAN_LITERAL("accept-encoding"));
    enum reason reason = respond_pushable(resource, site, config_route(site, resource->path),
                                          coding, &representation);
    if (reason != REASON_PENDING) {
        candidate->verdict = reason;
        return;
    }
    candidate->size = representation->size;
    candidate->mime = span_of(resource->mime);
    candidate->etag = representation->etag;
    candidate->cacheable = true;
    if (candidate->as == AS_UNKNOWN)
        candidate->as = resource->as;
}

/* What the push table says of a candidate whose key is known. */
static enum push_answer ask_table(struct page *page, unsigned i)
{
    struct stream *stream = page->stream;
    const struct config_site *site = stream->site;
    struct resource *resource = page->decision.items[i].resource;
    struct push_key key = page->lookups[i].key;
    uint16_t validator = resource_validator(resource);
    bool ending;
    if (!site->remember_s)
        return PUSH_ABSENT;
    enum push_answer answer = push_table_peek_ending(&page->worker->pushes, key, validator,
                                                     worker_ticks(page->worker), &ending);
    if (ending && !page->is_shadow && client_may_lift(&stream->client))
        client_lift(&stream->client, stream->conn, site, key, validator, answer,
                    respond_ttl(resource, site));
    return answer;
}

/* Clients may be told again what they hold, where the site wants it: a hint costs them little. */
static bool is_hinted_all_the_same(const struct page *page, const struct candidate *candidate)
{
    return page->stream->route->push.hint_held &&
           (page->request.client.can_hints || candidate->kind == CANDIDATE_HINT);
}

/* Goes on with a candidate whose key is known. */
static void look_up(struct page *page, unsigned i)
{
    struct candidate *candidate = &page->decision.items[i];
    switch (ask_table(page, i)) {
    case PUSH_HELD:
        candidate->has = CLIENT_HOLDS;
        if (is_hinted_all_the_same(page, candidate))
            break;
        candidate->verdict = REASON_HELD;
        return;
    case PUSH_DECLINED:
        candidate->has = CLIENT_DECLINED;
        candidate->verdict = REASON_DECLINED;
        return;
    case PUSH_ELSEWHERE:
        candidate->verdict = REASON_ELSEWHERE;
        return;
    case PUSH_STALE:
        candidate->has = CLIENT_STALE;
        break;
    default:
        break;
    }
    describe(page, candidate, candidate->resource);
}

static void note_found(struct page *page, unsigned i, struct resource *resource)
{
    const struct stream *stream = page->stream;
    struct candidate *candidate = &page->decision.items[i];
    candidate->resolved = true;
    candidate->resource = resource_hold(resource);
    page->lookups[i].resource =
        client_resource_found(stream->conn, stream->site, candidate->path, resource);
}

static void found(struct page *page, unsigned i, struct resource *resource)
{
    const struct stream *stream = page->stream;
    struct page_lookup *own = &page->lookups[i];
    note_found(page, i, resource);
    own->key = client_resource_key(&stream->client, stream->conn, own->resource);
    look_up(page, i);
}

static void on_found(struct content_lookup *lookup, enum content_outcome outcome,
                     struct resource *resource)
{
    struct page_lookup *own = (struct page_lookup *)lookup;
    struct page *page = own->page;
    struct candidate *candidate = &page->decision.items[own->candidate];
    if (outcome == CONTENT_FOUND)
        found(page, own->candidate, resource);
    else
        candidate->verdict = outcome == CONTENT_FAILED ? REASON_UNREADABLE : REASON_NOT_FOUND;
    if (--page->resolving == 0)
        page_round_over(page);
}

/* The path of a candidate's file; `decoded` has room for it. Returns 0 or -EINVAL. */
static int read_path(const struct candidate *candidate, char *decoded, struct span *path)
{
    struct span query;
    *path = candidate->path;
    return candidate->plain ? 0 : respond_path(candidate->path, decoded, path, &query);
}

/* A file that takes too long to be looked at again is taken for what it was: else a busy machine
 * would not push what it pushed a second before. */
static void take_last_known(struct page *page)
{
    const struct config_site *site = page->stream->site;
    for (unsigned i = page->judged; i < page->decision.count; i++) {
        struct content_lookup *lookup = &page->lookups[i].lookup;
        char decoded[DECISION_PATH_MAX + 1];
        struct span path;
        if (!page->lookups[i].begun || !content_waiting(lookup) ||
            read_path(&page->decision.items[i], decoded, &path) < 0)
            continue;
        struct resource *resource =
            content_last(page->worker->content, config_route(site, path), path);
        if (!resource)
            continue;
        content_cancel(lookup);
        page->resolving--;
        found(page, i, resource);
    }
}

/* A look-up takes several wake-ups, each of which is long in a worker that a crowd keeps busy: then
 * it is not the disk that is slow. An idle worker's wake-ups are these deadlines themselves. */
static void on_deadline(struct timer *timer)
{
    struct page *page = (struct page *)((char *)timer - offsetof(struct page, deadline));
    struct timers *timers = &page->worker->timers;
    if (page->worker->wakeups - page->asked_at_wakeup < RESOLVE_WAKEUPS) {
        timer_set(timers, timer, timers->now_ms + RESOLVE_AGAIN_MS);
        return;
    }
    take_last_known(page);
    page_round_over(page);
}

/* ---- what an origin has ---- */

/* The request that would be promised. */
static void promised_request(struct page *page, unsigned i, struct cache_request *request)
{
    const struct stream *stream = page->stream;
    page->coding = (struct field){SPAN_LITERAL("accept-encoding"),
                                  field_find(page->request.fields, page->request.fields_count,
                                             SPAN_LITERAL("accept-encoding"))};
    *request = (struct cache_request){
        .scheme = conn_is_secure(stream->conn) ? SPAN_LITERAL("https") : SPAN_LITERAL("http"),
        .authority = stream->authority,
        .target = page->decision.items[i].path,
        .fields = &page->coding,
        .fields_count = page->coding.value.data ? 1 : 0,
        .heuristic_s = stream->site->heuristic_s,
        .background = true,
    };
}

/* A hint needs no answer: the client asks for it itself, if it doesn't hold it. */
static void not_cached(struct page *page, unsigned i)
{
    struct candidate *candidate = &page->decision.items[i];
    struct stream *stream = page->stream;
    struct push_entry entry = {.answer = PUSH_ABSENT};
    if (!page->request.client.can_hints && candidate->kind == CANDIDATE_PUSH) {
        candidate->verdict = REASON_NOT_CACHED;
        return;
    }
    candidate->resolved = true;
    page->lookups[i].resource = client_resource(stream->conn, stream->site, candidate->path);
    page->lookups[i].key =
        client_resource_key(&stream->client, stream->conn, page->lookups[i].resource);
    if (stream->site->remember_s)
        push_table_inspect(&page->worker->pushes, page->lookups[i].key, &entry);
    if (entry.answer == PUSH_HELD) {
        candidate->has = CLIENT_HOLDS;
        candidate->verdict = REASON_HELD;
    }
}

static void resolved_one(struct page *page)
{
    if (--page->resolving == 0)
        page_round_over(page);
}

/* The content that was awaited is whole, or will not be. */
static void on_grown(void *context)
{
    struct page_lookup *own = context;
    struct page *page = own->page;
    struct growth *growth = own->growing->growth;
    struct cache_request request;
    if (!growth->ended && !growth->spilled)
        return;
    growth_read_no_more(own->growing);
    own->growing = NULL;
    promised_request(page, own->candidate, &request);
    struct resource *resource = cache_peek(page->worker->cache, &request);
    if (resource)
        found(page, own->candidate, resource);
    else
        not_cached(page, own->candidate);
    resolved_one(page);
}

/* What has a length and a tag is known well enough while it still comes; the rest is awaited.
 * Returns whether it is. Takes the reference. */
static bool take_cached(struct page *page, unsigned i, struct resource *resource)
{
    struct page_lookup *own = &page->lookups[i];
    bool known = !resource->origin->unbounded && resource->validator;
    if (!known)
        own->growing = growth_read(resource->origin->growth, on_grown, own);
    if (known)
        found(page, i, resource);
    else if (!own->growing)
        not_cached(page, i);
    resource_release(resource);
    return own->growing != NULL;
}

static void on_cached(struct cache_lookup *lookup, enum cache_answer answer)
{
    struct page_lookup *own =
        (struct page_lookup *)((char *)lookup - offsetof(struct page_lookup, cached));
    struct page *page = own->page;
    if (answer == CACHE_LEADS) /* what others wait for is fetched once for a page */
        cache_fill_abandon(lookup->fill, 0);
    if (answer == CACHE_FOUND && take_cached(page, own->candidate, lookup->resource))
        return;
    if (answer != CACHE_FOUND)
        not_cached(page, own->candidate);
    resolved_one(page);
}

/* Begins a fetch that nobody else has begun. Returns false when none can be waited for. */
static bool fetch(struct page *page, const struct config_route *route,
                  const struct cache_request *request, struct page_lookup *own)
{
    struct conn *conn = page->stream->conn;
    if (!conn->peer[0])
        conn_name_peer(conn);
    proxy_fetch(page->worker, route, request, own->cached.fill, conn->peer);
    enum cache_answer answer = cache_find(page->worker->cache, request, &own->cached);
    if (answer == CACHE_LEADS)
        cache_fill_abandon(own->cached.fill, 0);
    return answer == CACHE_WAITS;
}

/* True when an answer is waited for. */
static bool find_cached(struct page *page, unsigned i, const struct config_route *route)
{
    struct page_lookup *own = &page->lookups[i];
    struct cache_request request;
    promised_request(page, i, &request);
    if (page->is_shadow || !page->decision.items[i].fetch) {
        struct resource *resource = cache_peek(page->worker->cache, &request);
        if (resource)
            found(page, i, resource);
        else
            not_cached(page, i);
        return false;
    }
    enum cache_answer answer = cache_find(page->worker->cache, &request, &own->cached);
    if (answer == CACHE_LEADS)
        answer = fetch(page, route, &request, own) ? CACHE_WAITS : CACHE_PASS;
    else if (answer == CACHE_FOUND && own->cached.fill)
        proxy_fetch(page->worker, route, &request, own->cached.fill, page->stream->conn->peer);
    if (answer == CACHE_FOUND)
        return take_cached(page, i, own->cached.resource);
    if (answer != CACHE_WAITS)
        not_cached(page, i);
    return answer == CACHE_WAITS;
}

static void resolve_proxied(struct page *page, unsigned i, const struct config_route *route)
{
    page->resolving++;
    if (!page->worker->cache || !route->cached)
        not_cached(page, i);
    else if (find_cached(page, i, route))
        return;
    page->resolving--;
}

/* Looks for a file that was found lately before anything that could wait for it is set up: so are most,
 * page after page. */
static bool find_at_once(struct page *page, unsigned i, const struct config_route *route,
                         struct span path)
{
    struct resource *resource = content_find_fresh(page->worker->content, route, path);
    if (!resource)
        return false;
    note_found(page, i, resource);
    return true;
}

static void begin_lookup(struct page *page, unsigned i, const struct config_route *route,
                         struct span path)
{
    struct page_lookup *own = &page->lookups[i];
    *own = (struct page_lookup){.lookup.found = on_found,
                                .cached.found = on_cached,
                                .page = page,
                                .candidate = i,
                                .begun = true};
    if (route->origin.servers_count) {
        resolve_proxied(page, i, route);
        return;
    }
    page->resolving++;
    content_find(page->worker->content, page->stream->site, route, path, &own->lookup);
}

/* True when it was found, and is to be looked up. */
static bool resolve_one(struct page *page, unsigned i)
{
    struct candidate *candidate = &page->decision.items[i];
    char decoded[DECISION_PATH_MAX + 1];
    struct span path;
    page->lookups[i].begun = false;
    if (candidate->kind == CANDIDATE_PRECONNECT || candidate->verdict != REASON_PENDING)
        return false;
    if (read_path(candidate, decoded, &path) < 0) {
        candidate->verdict = REASON_BAD_PATH;
        return false;
    }
    const struct config_route *route = config_route(page->stream->site, path);
    bool is_file = route->origin.servers_count == 0;
    if (is_file && !route->root)
        candidate->verdict = REASON_NOT_FOUND;
    else if (is_file && find_at_once(page, i, route, path))
        return true;
    else
        begin_lookup(page, i, route, path);
    return false;
}

/* Connections whose deadlines have just passed set theirs again at the end of the wake-up. */
bool page_make_room_for_timer(struct worker *worker)
{
    return timers_reserve(&worker->timers, worker->timers.count + worker->conns_count + 8) == 0;
}

/* Asks the push table of these candidates: the cache lines that their keys lead to are waited for
 * together. */
static void look_up_all(struct page *page, const unsigned *which, unsigned count)
{
    const struct stream *stream = page->stream;
    for (unsigned n = 0; n < count; n++) {
        struct page_lookup *own = &page->lookups[which[n]];
        own->key = client_resource_key(&stream->client, stream->conn, own->resource);
        push_table_prefetch(&page->worker->pushes, own->key);
    }
    for (unsigned n = 0; n < count; n++)
        look_up(page, which[n]);
}

void page_resolve(struct page *page)
{
    unsigned which[DECISION_CANDIDATES_MAX], count = 0;
    page->resolving = 1; /* held until every look-up has begun */
    for (unsigned i = page->judged; i < page->decision.count; i++)
        if (resolve_one(page, i))
            which[count++] = i;
    look_up_all(page, which, count);
    page->asked_at_wakeup = page->worker->wakeups;
    page->deadline.fired = on_deadline;
    if (--page->resolving == 0)
        page_round_over(page);
    else if (page_make_room_for_timer(page->worker)) /* others may have taken it while it waited */
        timer_set(&page->worker->timers, &page->deadline, page->worker->timers.now_ms + RESOLVE_MS);
}

void page_stop_resolving(struct page *page)
{
    timer_stop(&page->worker->timers, &page->deadline);
    if (!page->resolving)
        return;
    for (unsigned i = page->judged; i < page->decision.count; i++) {
        if (!page->lookups[i].begun)
            continue;
        content_cancel(&page->lookups[i].lookup);
        cache_cancel(&page->lookups[i].cached);
        growth_read_no_more(page->lookups[i].growing);
        page->lookups[i].growing = NULL;
    }
    page->resolving = 0;
}

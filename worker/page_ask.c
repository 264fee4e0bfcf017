#include "worker/page_parts.h"

#include "worker/cache.h"
#include "worker/links.h"
#include "worker/push.h"
#include "worker/shadow.h"
#include "worker/stream.h"
#include "worker/think.h"

void page_set_version(struct page *page, struct policy_version *version)
{
    struct stream *stream = page->stream;
    page->version = version;
    page->version_number = version ? version->number : 0;
    page->policies = version ? policy_version_list(version, stream->site, stream->route) : NULL;
    page->unasked = !policy_applies(page->policies, &page->request);
    if (version && version->health && !page->unasked)
        policy_version_count(&version->health->pages);
}

/* How long the origin will go on thinking, by what its last pages took. */
static uint32_t wait_of(const struct page *page)
{
    const struct stream *stream = page->stream;
    if (page->responded)
        return 0;
    uint32_t expected_us = think_expect(&page->worker->thinking, stream->route);
    uint64_t elapsed_us = page->worker->timers.now_us - stream->began_us;
    return elapsed_us < expected_us ? expected_us - (uint32_t)elapsed_us : 0;
}

/* What may be pushed. Hints take no room, so clients that get those are not held to the path. A
 * response that is known is there at once: nothing passes before it. What was pushed before it is
 * on the path already. */
static void set_budget(struct page *page)
{
    struct stream *stream = page->stream;
    struct conn *conn = stream->conn;
    const struct config_push *push = &stream->route->push;
    bool has_content = page->responded && stream->response.status != 304;
    struct budget_load load = {
        .page_bytes = has_content ? stream->response.length : 0,
        .unacked_bytes = conn_unacked_bytes(conn),
        .content_bytes = streams_left_bytes(conn, stream),
        .credit_bytes = session_window(&conn->session),
        .wait_us = wait_of(page),
        .tls = conn_is_secure(conn),
    };
    if (page->request.client.can_hints)
        page->budget.behind = page->budget.ahead = CONFIG_BUDGET_OFF;
    else if (push->budget == CONFIG_BUDGET_AUTO)
        page->budget = budget_beside(budget_of(&page->path, &load, push->max_bytes), page->decision.bytes,
                                     page->decision.accepted);
    else
        page->budget.behind = page->budget.ahead = push->budget;
    uint64_t bytes = page->budget.behind;
    page->decision.budget_bytes = bytes < push->max_bytes ? bytes : push->max_bytes;
}

/* A shadow sees the path that its page sees. */
void page_measure(struct page *page)
{
    struct stream *stream = page->stream;
    if (page->measured || !stream)
        return;
    page->measured = true;
    page->path = (struct path){0};
    if (page->is_shadow) {
        page_measure(stream->page);
        page->path = stream->page->path;
        page->request.client = stream->page->request.client;
    } else {
        conn_path_facts(stream->conn, &page->path, &page->request.client);
    }
    set_budget(page);
}

void page_enter(struct page *page)
{
    policy_version_enter(page->version);
    if (page->is_shadow)
        shadow_hooks_begin(page->worker);
}

void page_leave_hooks(struct page *page)
{
    struct segment_version *health = page->version->health;
    if (page->is_shadow)
        shadow_hooks_end(page->worker);
    if (!policy_version_leave(page->version) || page->failed)
        return;
    page->failed = true;
    if (health)
        policy_version_count(&health->failures);
}

/* Links and what they borrow from live as long as the call. */
static void ask_with_links(struct page *page, struct response_facts *facts)
{
    struct response_link links[LINKS_MAX];
    struct link_base base;
    link_base_init(&base, &page->request, page->stream->authority);
    facts->links = links;
    facts->links_count = links_read(&base, facts->fields, facts->fields_count, links, LINKS_MAX);
    policy_on_response(page->version->vm, page->policies, &page->request, facts, &page->decision);
}

static struct span field_of(const struct response *response, struct span name)
{
    return field_find(response->fields, response->fields_count, name);
}

/* What was fetched for this very request comes from the origin, though others get it too. */
static const char *from_of(const struct stream *stream)
{
    if (stream->resource && !stream->resource->origin)
        return "file";
    return !stream->resource || stream->cache_way == CACHE_WAY_MISS ? "origin" : "cache";
}

static void ask_of_response(struct page *page)
{
    const struct resource *resource = page->stream->resource;
    const struct response *response = &page->stream->response;
    struct response_facts facts = {
        .status = response->status,
        .mime =
            resource ? span_of(resource->mime) : field_of(response, SPAN_LITERAL("content-type")),
        .size = response->length,
        .etag = response->body ? response->body->etag : (struct span){0},
        .cacheable = response->cacheable,
        .ttl_s = response->ttl_s,
        .from = from_of(page->stream),
        .fields = response->fields,
        .fields_count = response->fields_count,
    };
    facts.mime = span_trim(span_make(facts.mime.data, span_find(facts.mime, ';')));
    if (!resource)
        facts.etag = field_of(response, SPAN_LITERAL("etag"));
    ask_with_links(page, &facts);
}

/* Of a 103 the links are known, and nothing else. */
static void ask_of_interim(struct page *page)
{
    struct field link = {SPAN_LITERAL("link"), page->passing->links};
    struct response_facts facts = {
        .status = 103, .from = "origin", .fields = &link, .fields_count = 1};
    ask_with_links(page, &facts);
}

void page_ask(struct page *page, unsigned about)
{
    if (!page->policies || page->unasked || !page->version->vm) /* it may have been cut off */
        return;
    if (!page->is_shadow)
        stats_add(page->worker->stats, COUNTER_policy_calls, (unsigned)__builtin_popcount(about));
    page_enter(page);
    if (about & PAGE_REQUEST)
        policy_on_request(page->version->vm, page->policies, &page->request, &page->decision);
    if (about & PAGE_INTERIM && page->version->vm)
        ask_of_interim(page);
    if (about & PAGE_RESPONSE && page->version->vm)
        ask_of_response(page);
    page_leave_hooks(page);
    worker_beat(page->worker); /* a wake-up may bring hundreds of pages */
}

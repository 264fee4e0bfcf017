#include "worker/page_parts.h"

#include "worker/hints.h"
#include "worker/push.h"
#include "worker/stream.h"

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

/* What may be pushed. Hints take no room, so clients that get those are not held to the path. A
 * response that is known is there at once: nothing passes before it (wait_us). What was pushed
 * before it is on the path already. */
void page_set_budget(struct page *page, const struct path *path)
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
        .tls = conn_is_secure(conn),
    };
    if (page->request.client.can_hints)
        page->budget.behind = page->budget.ahead = CONFIG_BUDGET_OFF;
    else if (push->budget == CONFIG_BUDGET_AUTO)
        page->budget = budget_beside(budget_of(path, &load, push->max_bytes), page->decision.bytes,
                                     page->decision.accepted);
    else
        page->budget.behind = page->budget.ahead = push->budget;
    uint64_t bytes = page->budget.behind;
    page->decision.budget_bytes = bytes < push->max_bytes ? bytes : push->max_bytes;
}

void page_enter(struct page *page)
{
    policy_version_enter(page->version);
}

void page_leave_hooks(struct page *page)
{
    struct segment_version *health = page->version->health;
    if (!policy_version_leave(page->version) || page->failed)
        return;
    page->failed = true;
    if (health)
        policy_version_count(&health->failures);
}

static void ask_of_response(struct page *page)
{
    struct stream *stream = page->stream;
    const struct response *response = &stream->response;
    struct response_facts facts = {
        .status = response->status,
        .mime = span_of(stream->resource->mime),
        .size = response->length,
        .etag = response->body ? response->body->etag : (struct span){0},
        .cacheable = response->cacheable,
        .ttl_s = response->ttl_s,
        .from = "file",
        .fields = response->fields,
        .fields_count = response->fields_count,
    };
    char scratch[PAGE_HINTS_MAX];
    struct response_link links[PAGE_LINKS_MAX];
    facts.mime.length = span_find(facts.mime, ';');
    facts.links = links;
    facts.links_count =
        links_read(&facts, &page->request, stream->authority, scratch, links, PAGE_LINKS_MAX);
    policy_on_response(page->version->vm, page->policies, &page->request, &facts, &page->decision);
}

void page_ask(struct page *page, bool of_request, bool of_response)
{
    if (!page->policies || page->unasked || !page->version->vm) /* it may have been cut off */
        return;
    if (!page->is_shadow)
        stats_add(page->worker->stats, COUNTER_policy_calls, (unsigned)of_request + of_response);
    page_enter(page);
    if (of_request)
        policy_on_request(page->version->vm, page->policies, &page->request, &page->decision);
    if (of_response && page->version->vm)
        ask_of_response(page);
    page_leave_hooks(page);
    worker_beat(page->worker); /* a wake-up may bring hundreds of pages */
}

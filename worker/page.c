#include "worker/page.h"

#include "worker/hints.h"
#include "worker/learn.h"
#include "worker/manifest.h"
#include "worker/page_queue.h"
#include "worker/outcome.h"
#include "worker/push.h"
#include "worker/shadow.h"
#include "worker/stream.h"

#include <errno.h>
#include <stdlib.h>

#define RESOLVE_MS 50       /* candidates found later than this are not pushed with this page, */
#define RESOLVE_WAKEUPS 16  /* unless the worker had fewer chances than this to see them found: */
#define RESOLVE_AGAIN_MS 10 /* it is then given more time, so much at once */
#define PAGES_KEPT 64

static void on_found(struct content_lookup *lookup, enum content_outcome outcome,
                     struct resource *resource);
static void on_deadline(struct timer *timer);

/* ---- life ---- */

/* Connections whose deadlines have just passed set theirs again at the end of the wake-up. */
static bool make_room_for_timer(struct worker *worker)
{
    return timers_reserve(&worker->timers, worker->timers.count + worker->conns_count + 8) == 0;
}

static struct page *page_create(struct stream *stream)
{
    struct worker *worker = stream->conn->worker;
    struct page *page = worker->free_pages;
    if (page) {
        worker->free_pages = page->next_free;
        worker->free_pages_count--;
    } else {
        page = malloc(sizeof(*page));
    }
    if (!page || !make_room_for_timer(worker)) {
        free(page);
        return NULL;
    }
    memset(page, 0, offsetof(struct page, decision));
    page->worker = worker;
    page->stream = stream;
    page->site = stream->site;
    page->request = stream->request;
    page->request.context = page;
    page->references = 1;
    page->resolving = 0;
    page->carried_out = false;
    page->failed = false;
    page->waits = false;
    page->deadline = (struct timer){.fired = on_deadline};
    page->hints_length = 0;
    decision_reset(&page->decision);
    return page;
}

static void let_version_go(struct page *page)
{
    if (page->version && page->version->vm)
        policy_request_done(page->version->vm, &page->request);
    policy_version_release(page->version);
    page->version = NULL;
    page->policies = NULL;
}

static void page_destroy(struct page *page)
{
    struct worker *worker = page->worker;
    let_version_go(page);
    for (unsigned i = 0; i < page->decision.count; i++)
        resource_release(page->decision.items[i].resource);
    header_list_release(page->headers);
    free(page->long_text);
    if (worker->free_pages_count >= PAGES_KEPT) {
        free(page);
        return;
    }
    page->next_free = worker->free_pages;
    worker->free_pages = page;
    worker->free_pages_count++;
}

void pages_finish(struct worker *worker)
{
    while (worker->free_pages) {
        struct page *page = worker->free_pages;
        worker->free_pages = page->next_free;
        free(page);
    }
}

struct page *page_hold(struct page *page)
{
    page->references++;
    return page;
}

void page_release(struct page *page)
{
    if (--page->references == 0)
        page_destroy(page);
}

static void move_span(struct span *span, const char *from, char *to)
{
    if (span->data >= from && span->data < from + STREAM_TEXT_MAX)
        span->data = to + (span->data - from);
}

/* Pushes whose results are wanted outlive the stream: what its facts borrow from comes along. */
static void take_over(struct page *page, struct stream *stream)
{
    page->headers = stream->headers;
    page->long_text = stream->long_text;
    stream->headers = NULL;
    stream->long_text = NULL;
    memcpy(page->text, stream->text, STREAM_TEXT_MAX);
    move_span(&page->request.host, stream->text, page->text);
    move_span(&page->request.path, stream->text, page->text);
    move_span(&page->request.query, stream->text, page->text);
}

static void stop_resolving(struct page *page)
{
    timer_stop(&page->worker->timers, &page->deadline);
    if (!page->resolving)
        return;
    for (unsigned i = 0; i < page->decision.count; i++)
        if (page->decision.items[i].kind != CANDIDATE_PRECONNECT)
            content_cancel(&page->lookups[i].lookup);
    page->resolving = 0;
}

void page_leave(struct page *page)
{
    struct stream *stream = page->stream;
    page_queue_leave(page);
    if (page->shadow)
        page_leave(page->shadow);
    page->shadow = NULL;
    stop_resolving(page);
    outcome_page_over(page);
    page->stream = NULL;
    if (page->references > 1)
        take_over(page, stream);
    page_release(page);
}

/* ---- deciding ---- */

static void carry_out(struct page *page)
{
    struct stream *stream = page->stream;
    stop_resolving(page);
    page->carried_out = true;
    push_execute(page);
    if (page->is_shadow)
        return;
    shadow_compare(page);
    if (page->references == 1) /* no policy waits for a result */
        let_version_go(page);
    stream_answer(stream);
}

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

/* What the push table says of a candidate that was found, for this client. */
static enum push_answer ask_table(struct page *page, unsigned i, struct resource *resource)
{
    struct stream *stream = page->stream;
    const struct config_site *site = stream->site;
    uint64_t id = client_resource_found(stream->conn, site, page->decision.items[i].path, resource);
    struct push_key key = client_resource_key(&stream->client, stream->conn, id);
    uint16_t validator = resource_validator(resource);
    page->lookups[i].resource = id;
    page->lookups[i].key = key;
    if (!site->remember_s)
        return PUSH_ABSENT;
    bool ending;
    enum push_answer answer =
        push_table_peek_ending(&page->worker->pushes, key, validator, &ending);
    if (ending && !page->is_shadow)
        client_lift(&stream->client, stream->conn, site, key, validator, answer,
                    respond_ttl(resource, site));
    return answer;
}

static void found(struct page *page, unsigned i, struct resource *resource)
{
    struct candidate *candidate = &page->decision.items[i];
    candidate->resolved = true;
    candidate->resource = resource_hold(resource);
    switch (ask_table(page, i, resource)) {
    case PUSH_HELD:
        candidate->has = CLIENT_HOLDS;
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
    describe(page, candidate, resource);
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
        carry_out(page);
}

/* A look-up takes several wake-ups, each of which is long in a worker that a crowd keeps busy: then
 * it is not the disk that is slow. An idle worker's wake-ups are these deadlines themselves. */
static void on_deadline(struct timer *timer)
{
    struct page *page = (struct page *)((char *)timer - offsetof(struct page, deadline));
    struct timers *timers = &page->worker->timers;
    if (page->worker->wakeups - page->asked_at_wakeup < RESOLVE_WAKEUPS)
        timer_set(timers, timer, timers->now_ms + RESOLVE_AGAIN_MS);
    else
        carry_out(page);
}

static void resolve_one(struct page *page, unsigned i)
{
    struct candidate *candidate = &page->decision.items[i];
    struct stream *stream = page->stream;
    char decoded[DECISION_PATH_MAX + 1];
    struct span path, query;
    if (candidate->kind == CANDIDATE_PRECONNECT || candidate->verdict != REASON_PENDING)
        return;
    if (respond_path(candidate->path, decoded, &path, &query) < 0) {
        candidate->verdict = REASON_BAD_PATH;
        return;
    }
    const struct config_route *route = config_route(stream->site, path);
    if (!route->root) {
        candidate->verdict = REASON_NOT_FOUND;
        return;
    }
    page->resolving++;
    page->lookups[i] = (struct page_lookup){
        .lookup.found = on_found, .page = page, .candidate = i};
    content_find(page->worker->content, stream->site, route, path, &page->lookups[i].lookup);
}

/* Looks every candidate up, then carries the decision out; at once when all are cached. */
static void resolve(struct page *page)
{
    page->resolving = 1; /* held until every look-up has begun */
    for (unsigned i = 0; i < page->decision.count; i++) {
        page->lookups[i].lookup = (struct content_lookup){0};
        resolve_one(page, i);
    }
    page->asked_at_wakeup = page->worker->wakeups;
    if (--page->resolving == 0)
        carry_out(page);
    else if (make_room_for_timer(page->worker)) /* others may have taken it while this one waited */
        timer_set(&page->worker->timers, &page->deadline,
                  page->worker->timers.now_ms + RESOLVE_MS);
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

static void ask_policies(struct page *page)
{
    struct worker *worker = page->worker;
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
    facts.mime.length = span_find(facts.mime, ';');
    struct response_link links[PAGE_LINKS_MAX];
    facts.links = links;
    facts.links_count = links_read(&facts, &page->request, stream->authority, page->hints, links,
                                   PAGE_LINKS_MAX);
    if (!page->is_shadow)
        stats_add(worker->stats, COUNTER_policy_calls, 2);
    page_enter(page);
    policy_on_request(page->version->vm, page->policies, &page->request, &page->decision);
    policy_on_response(page->version->vm, page->policies, &page->request, &facts, &page->decision);
    page_leave_hooks(page);
    worker_beat(worker); /* a wake-up may bring hundreds of pages */
}

/* The version, which is taken, is that of all the hooks that will see this page. */
static void set_version(struct page *page, struct policy_version *version)
{
    struct stream *stream = page->stream;
    page->version = version;
    page->version_number = version ? version->number : 0;
    page->policies = version ? policy_version_list(version, stream->site, stream->route) : NULL;
    page->unasked = !policy_applies(page->policies, &page->request);
    if (version && version->health && !page->unasked)
        policy_version_count(&version->health->pages);
}

/* What may be pushed. Hints take no room, so clients that get those are not held to the path. A file
 * is there at once: nothing passes before the page (wait_us). */
static void set_budget(struct page *page, const struct path *path)
{
    struct stream *stream = page->stream;
    struct conn *conn = stream->conn;
    const struct config_push *push = &stream->route->push;
    struct budget_load load = {
        .page_bytes = stream->response.status == 304 ? 0 : stream->response.length,
        .unacked_bytes = conn_unacked_bytes(conn),
        .content_bytes = streams_left_bytes(conn, stream),
        .credit_bytes = session_window(&conn->session),
        .tls = conn_is_secure(conn),
    };
    if (page->request.client.can_hints)
        page->budget.behind = page->budget.ahead = CONFIG_BUDGET_OFF;
    else if (push->budget == CONFIG_BUDGET_AUTO)
        page->budget = budget_of(path, &load, push->max_bytes);
    else
        page->budget.behind = page->budget.ahead = push->budget;
    uint64_t bytes = page->budget.behind;
    page->decision.budget_bytes = bytes < push->max_bytes ? bytes : push->max_bytes;
}

/* The shadow looks before the page itself claims anything. */
static void begin_shadow(struct page *page)
{
    struct policy_version *version =
        policy_versions_take_shadow(&page->worker->policies, page->version);
    struct page *shadow = version ? page_create(page->stream) : NULL;
    if (!shadow) {
        policy_version_release(version);
        return;
    }
    page->shadow = shadow;
    shadow->is_shadow = true;
    shadow->no_push = page->no_push;
    shadow->held_out = page->held_out;
    shadow->budget = page->budget;
    shadow->decision.budget_bytes = page->decision.budget_bytes;
    set_version(shadow, version);
    if (shadow->policies && !shadow->unasked)
        ask_policies(shadow);
    resolve(shadow);
}

bool page_decide(struct stream *stream)
{
    struct worker *worker = stream->conn->worker;
    struct request *request = &stream->request;
    worker_request_id(worker, request->id);
    identity_client_text(worker->handoff->segment->secrets->log_key, stream->client.stored,
                         request->client.id);
    request->client.identified_by = stream->client.by;
    struct path path = {0};
    conn_path_facts(stream->conn, &path, &request->client);
    struct page *page = page_create(stream);
    if (!page)
        return false;
    stream->page = page;
    set_version(page, policy_versions_take(&worker->policies, stream->client.stored));
    page->no_push = push_refusal(stream);
    page->held_out = outcome_holds_out(page);
    set_budget(page, &path);
    if (page_queue_enter(page))
        page_decide_now(page);
    return true;
}

void page_decide_now(struct page *page)
{
    if (page->policies && !page->unasked && page->version->vm) /* it may have been cut off meanwhile */
        ask_policies(page);
    begin_shadow(page);
    resolve(page);
}

/* ---- what policies ask of the worker ---- */

static enum client_has host_client_has(void *context, const struct request *request,
                                       struct span path)
{
    struct worker *worker = context;
    struct page *page = request->context;
    struct stream *stream = page->stream;
    char decoded[DECISION_PATH_MAX + 1];
    struct span plain, query;
    if (!stream || !stream->site->remember_s || path.length > DECISION_PATH_MAX ||
        respond_path(path, decoded, &plain, &query) < 0)
        return CLIENT_LACKS;
    struct push_key key = client_key(&stream->client, stream->conn, stream->site, path);
    const struct config_route *route = config_route(stream->site, plain);
    struct resource *resource = route->root ? content_peek(worker->content, route, plain) : NULL;
    struct push_entry entry;
    push_table_inspect(&worker->pushes, key, &entry);
    bool other_version = resource && entry.validator != resource_validator(resource);
    if (entry.answer != PUSH_HELD && entry.answer != PUSH_DECLINED)
        return CLIENT_LACKS;
    if (other_version)
        return CLIENT_STALE;
    return entry.answer == PUSH_HELD ? CLIENT_HOLDS : CLIENT_DECLINED;
}

static const struct assets *host_assets_of(void *context, const struct request *request,
                                           struct span path)
{
    struct worker *worker = context;
    struct page *page = request->context;
    struct stream *stream = page->stream;
    char decoded[DECISION_PATH_MAX + 1];
    struct span plain, query;
    struct resource *resource = NULL;
    if (!stream || path.length > DECISION_PATH_MAX)
        return NULL;
    if (span_equal(path, request->path))
        resource = stream->resource;
    else if (respond_path(path, decoded, &plain, &query) == 0)
        resource = content_peek(worker->content, config_route(stream->site, plain), plain);
    return resource ? content_assets(resource, stream->lookup.scheme, stream->authority) : NULL;
}

static struct shared_dict *host_dictionary(void *context, const struct request *request,
                                           unsigned index, uint32_t *now_s)
{
    struct worker *worker = context;
    const struct page *page = request->context;
    worker->shared[index].dry = page->is_shadow;
    *now_s = (uint32_t)(worker->timers.now_ms / 1000) + 1;
    return &worker->shared[index];
}

static void host_log(void *context, const struct request *request, const char *policy,
                     struct span message, struct span json)
{
    worker_log_error(context, "info", "policy %s: %s: %.*s %.*s", policy,
                     request ? request->id : "init", SPAN_PRINT(message), SPAN_PRINT(json));
}

/* Whether a failure at this line is to be logged: each line once a second. */
static bool is_news(struct worker *worker, const struct fault *fault)
{
    uint64_t line = 14695981039346656037u ^ (uint64_t)fault->line;
    for (const char *at = fault->where; *at; at++)
        line = (line ^ (uint64_t)(unsigned char)*at) * 1099511628211u;
    unsigned slot = (unsigned)(line >> 32) % WORKER_FAILURES;
    uint64_t now_ms = worker->timers.now_ms;
    if (worker->policy_failures[slot].line == line &&
        now_ms - worker->policy_failures[slot].logged_ms < 1000)
        return false;
    worker->policy_failures[slot].line = line;
    worker->policy_failures[slot].logged_ms = now_ms;
    return true;
}

static void host_failed(void *context, enum policy_event event, const char *policy,
                        const struct fault *fault)
{
    static const enum counter COUNTERS_OF[] = {[POLICY_ERROR] = COUNTER_policy_errors,
                                               [POLICY_SOFT_DEADLINE] =
                                                   COUNTER_policy_soft_deadlines,
                                               [POLICY_HARD_DEADLINE] =
                                                   COUNTER_policy_hard_deadlines,
                                               [POLICY_MEMORY] = COUNTER_policy_memory};
    struct worker *worker = context;
    char text[FAULT_WHERE_MAX + FAULT_WHAT_MAX + 16];
    stats_add(worker->stats, COUNTERS_OF[event], 1);
    policy_versions_failed(&worker->policies, event);
    if (!is_news(worker, fault))
        return;
    worker_log_error(worker, "warn", "policy %s failed: %s", policy,
                     fault_text(fault, text, sizeof(text)));
}

void page_policy_host(struct worker *worker, struct policy_host *host)
{
    *host = (struct policy_host){.context = worker,
                                 .client_has = host_client_has,
                                 .assets_of = host_assets_of,
                                 .read_file = manifest_read,
                                 .path_figures = outcome_figures,
                                 .learn_next = learn_host_next,
                                 .learn_note = learn_host_note,
                                 .dictionary = host_dictionary,
                                 .log = host_log,
                                 .failed = host_failed};
}

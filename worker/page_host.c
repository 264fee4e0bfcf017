/* The worker's side of the policy VM: what policies ask of it, and are told. */
#include "worker/learn.h"
#include "worker/manifest.h"
#include "worker/markup.h"
#include "worker/outcome.h"
#include "worker/page.h"
#include "worker/stream.h"

/* The version that the stream's client would get of a path now, as far as that is known without
 * asking; borrowed until the next call. */
static struct resource *known_version(const struct stream *stream, struct span target,
                                      struct span plain)
{
    struct worker *worker = stream->conn->worker;
    const struct config_route *route = config_route(stream->site, plain);
    struct field coding = {SPAN_LITERAL("accept-encoding"),
                           field_find(stream->request.fields, stream->request.fields_count,
                                      SPAN_LITERAL("accept-encoding"))};
    struct cache_request request = {
        .scheme = conn_is_secure(stream->conn) ? SPAN_LITERAL("https") : SPAN_LITERAL("http"),
        .authority = stream->authority,
        .target = target,
        .fields = &coding,
        .fields_count = coding.value.data ? 1 : 0,
        .heuristic_s = stream->site->heuristic_s,
    };
    if (route->root)
        return content_peek(worker->content, route, plain);
    return worker->cache && route->cached ? cache_peek(worker->cache, &request) : NULL;
}

enum client_has page_client_has(struct stream *stream, struct span path)
{
    struct worker *worker = stream->conn->worker;
    char decoded[DECISION_PATH_MAX + 1];
    struct span plain, query;
    if (!stream->site->remember_s || path.length > DECISION_PATH_MAX ||
        respond_path(path, decoded, &plain, &query) < 0)
        return CLIENT_LACKS;
    stream_identify(stream);
    struct push_key key = client_key(&stream->client, stream->conn, stream->site, path);
    struct resource *resource = known_version(stream, path, plain);
    struct push_entry entry;
    push_table_inspect(&worker->pushes, key, &entry);
    bool other_version = resource && entry.validator != resource_validator(resource);
    if (entry.answer != PUSH_HELD && entry.answer != PUSH_DECLINED)
        return CLIENT_LACKS;
    if (other_version)
        return CLIENT_STALE;
    return entry.answer == PUSH_HELD ? CLIENT_HOLDS : CLIENT_DECLINED;
}

static void host_measure(void *context, struct request *request)
{
    (void)context;
    page_measure(request->context);
}

static enum client_has host_client_has(void *context, const struct request *request,
                                       struct span path)
{
    struct page *page = request->context;
    (void)context;
    return page->stream ? page_client_has(page->stream, path) : CLIENT_LACKS;
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
    bool own = span_equal(path, request->path);
    if (!own && respond_path(path, decoded, &plain, &query) < 0)
        return NULL;
    if (own)
        plain = path;
    const struct config_route *route = config_route(stream->site, plain);
    struct span scheme =
        conn_is_secure(stream->conn) ? SPAN_LITERAL("https") : SPAN_LITERAL("http");
    if (route->origin.servers_count)
        return worker->markup ? markup_assets(worker->markup, scheme, stream->authority, plain)
                              : NULL;
    resource = own ? stream->resource : content_peek(worker->content, route, plain);
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
    static const enum counter COUNTERS_OF[] = {
        [POLICY_ERROR] = COUNTER_policy_errors,
        [POLICY_SOFT_DEADLINE] = COUNTER_policy_soft_deadlines,
        [POLICY_HARD_DEADLINE] = COUNTER_policy_hard_deadlines,
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
                                 .measure = host_measure,
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

/* Requests by way of the cache, and exchanges whose responses are everyone's. */
#include "worker/proxy_parts.h"

#include "worker/conn_internal.h"
#include "worker/markup.h"
#include "worker/page.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define FIELDS_MAX 128 /* of a request with conditions of ours in place of its own */

/* ---- fetches without a stream ---- */

static void set_apart(struct fetch *fetch)
{
    struct worker *worker = fetch->worker;
    assert(!fetch->stream);
    fetch->previous = NULL;
    fetch->next = worker->fetches;
    if (worker->fetches)
        worker->fetches->previous = fetch;
    worker->fetches = fetch;
}

static void take_back(struct fetch *fetch)
{
    if (fetch->previous)
        fetch->previous->next = fetch->next;
    else if (fetch->worker->fetches == fetch)
        fetch->worker->fetches = fetch->next;
    if (fetch->next)
        fetch->next->previous = fetch->previous;
}

static void destroy_apart(struct fetch *fetch)
{
    take_back(fetch);
    proxy_fetch_destroy(fetch);
}

void proxy_finish(struct worker *worker)
{
    while (worker->fetches) {
        struct fetch *fetch = worker->fetches;
        struct cache_fill *fill = fetch->fill;
        fetch->exchange = NULL; /* it went with the origins */
        fetch->fill = NULL;
        if (fill)
            cache_fill_abandon(fill, 0);
        destroy_apart(fetch);
    }
}

/* ---- finding ---- */

/* The stream has its answer; what was begun for it goes on without it or ends. */
static struct stream *part_from_stream(struct fetch *fetch)
{
    struct stream *stream = fetch->stream;
    if (stream)
        stream->fetch = NULL;
    fetch->stream = NULL;
    return stream;
}

static bool is_condition(struct span name)
{
    return span_starts(name, SPAN_LITERAL("if-")) || span_equal(name, SPAN_LITERAL("range"));
}

/* Those of the request without its own conditions, and with what validates the stored response.
 * Returns their number, 0 when there are too many. */
static size_t fill_fields(const struct cache_fill *fill, struct field out[FIELDS_MAX])
{
    const struct cache_request *request = cache_fill_request(fill);
    struct field conditions[2];
    size_t count = 0;
    for (size_t i = 0; i < request->fields_count; i++)
        if (!is_condition(request->fields[i].name) && count < FIELDS_MAX - 2)
            out[count++] = request->fields[i];
    size_t added = cache_fill_conditions(fill, conditions);
    memcpy(out + count, conditions, added * sizeof(*out));
    return count + added;
}

static void fill_drained(void *context)
{
    struct fetch *fetch = context;
    if (fetch->exchange)
        exchange_resume(fetch->exchange);
}

static void lead(struct fetch *fetch)
{
    struct field fields[FIELDS_MAX];
    const struct request *asked = &fetch->stream->request;
    fetch->fill = fetch->lookup.fill;
    for (size_t i = 0; i < asked->fields_count; i++)
        if (is_condition(asked->fields[i].name)) /* who gets a 304 reads nothing */
            cache_fill_keep(fetch->fill);
    size_t count = fill_fields(fetch->fill, fields);
    if (proxy_ask_for(fetch, fields, count) == 0)
        return;
    snprintf(fetch->failure, sizeof(fetch->failure), "out of memory");
    proxy_cache_end(fetch, false, 503);
}

void proxy_fetch(struct worker *worker, const struct config_route *route,
                 const struct cache_request *request, struct cache_fill *fill, const char *peer)
{
    struct fetch *fetch = proxy_fetch_create(worker);
    struct field fields[FIELDS_MAX];
    if (!fetch) {
        cache_fill_abandon(fill, 0);
        return;
    }
    struct proxy_question question = {
        .route = route,
        .method = SPAN_LITERAL("GET"),
        .scheme = request->scheme,
        .authority = request->authority,
        .target = request->target,
        .protocol = SPAN_LITERAL("2"),
        .peer = peer,
        .fields = fields,
        .fields_count = fill_fields(fill, fields),
    };
    fetch->fill = fill;
    set_apart(fetch);
    if (proxy_ask(fetch, &question) < 0)
        proxy_cache_end(fetch, false, 503);
}

static void request_of(const struct stream *stream, struct cache_request *request)
{
    const struct request *asked = &stream->request;
    *request = (struct cache_request){
        .scheme = conn_is_secure(stream->conn) ? SPAN_LITERAL("https") : SPAN_LITERAL("http"),
        .authority = stream->authority,
        .target = stream->target,
        .fields = asked->fields,
        .fields_count = asked->fields_count,
        .head = stream->head,
        .partial = field_find(asked->fields, asked->fields_count, SPAN_LITERAL("range")).data,
        .cookies = client_other_cookies(stream->conn, asked->fields, asked->fields_count),
        .heuristic_s = stream->site->heuristic_s,
    };
}

/* What is stored and stale is answered, and validated behind it. */
static void refresh_behind(struct fetch *fetch)
{
    struct stream *stream = fetch->stream;
    struct cache_request request;
    request_of(stream, &request);
    if (!stream->conn->peer[0])
        conn_name_peer(stream->conn);
    proxy_fetch(fetch->worker, stream->route, &request, fetch->lookup.fill, stream->conn->peer);
}

static void answer_found(struct fetch *fetch)
{
    struct resource *resource = fetch->lookup.resource;
    if (fetch->lookup.fill)
        refresh_behind(fetch);
    struct stream *stream = part_from_stream(fetch);
    stream->cache_way = (uint8_t)fetch->lookup.way;
    proxy_fetch_destroy(fetch);
    stream_answer_resource(stream, resource);
}

static void pass(struct fetch *fetch)
{
    struct stream *stream = fetch->stream;
    fetch->passed = true;
    stats_add(fetch->worker->stats, COUNTER_proxy_cache_passed, 1);
    stream->cache_way = CACHE_WAY_PASS;
    if (proxy_ask_for(fetch, stream->request.fields, stream->request.fields_count) == 0)
        return;
    snprintf(fetch->failure, sizeof(fetch->failure), "out of memory");
    proxy_fail(fetch, 503);
}

static void act(struct fetch *fetch, enum cache_answer answer)
{
    fetch->stream->cache_way = (uint8_t)fetch->lookup.way;
    switch (answer) {
    case CACHE_FOUND:
        answer_found(fetch);
        break;
    case CACHE_LEADS:
        lead(fetch);
        break;
    case CACHE_FAILED: /* whoever asked has logged why */
        stream_answer_status(fetch->stream, fetch->lookup.status);
        break;
    case CACHE_PASS:
        pass(fetch);
        break;
    case CACHE_WAITS:
        break;
    }
}

static void on_found(struct cache_lookup *lookup, enum cache_answer answer)
{
    act((struct fetch *)((char *)lookup - offsetof(struct fetch, lookup)), answer);
}

static void on_interim(struct cache_lookup *lookup, const struct field *fields, size_t count)
{
    struct fetch *fetch = (struct fetch *)((char *)lookup - offsetof(struct fetch, lookup));
    if (fetch->stream)
        page_interim(fetch->stream, fields, count);
}

void proxy_cache_interim(struct fetch *fetch, const struct field *fields, size_t count)
{
    if (!cache_credentialed(cache_fill_request(fetch->fill)))
        cache_fill_interim(fetch->fill, fields, count);
}

bool proxy_cache_begin(struct fetch *fetch)
{
    struct stream *stream = fetch->stream;
    struct cache_request request;
    bool get = stream->head || span_equal(stream->request.method, SPAN_LITERAL("GET"));
    if (!get || !fetch->worker->cache || !stream->route->cached || !stream->request_ended)
        return false;
    request_of(stream, &request);
    fetch->lookup.found = on_found;
    fetch->lookup.interim = on_interim;
    enum cache_answer answer = cache_find(fetch->worker->cache, &request, &fetch->lookup);
    if (answer == CACHE_PASS) {
        fetch->passed = true;
        stats_add(fetch->worker->stats, COUNTER_proxy_cache_passed, 1);
        stream->cache_way = CACHE_WAY_PASS;
        return false;
    }
    act(fetch, answer);
    return true;
}

/* ---- the response ---- */

/* The rest of an exchange that nobody wants anything of is read over, so that its connection can be
 * used again. */
static void read_over(struct fetch *fetch)
{
    fetch->fill = NULL;
    fetch->filling = false;
}

static void hand_to_leader(struct fetch *fetch, struct resource *resource, enum cache_way way)
{
    struct stream *stream = part_from_stream(fetch);
    if (!stream) {
        resource_release(resource);
        return;
    }
    set_apart(fetch);
    stream->server = fetch->server;
    stream->server_us = (uint32_t)(fetch->head_us - fetch->began_us);
    stream->cache_way = (uint8_t)way;
    stream_answer_resource(stream, resource);
}

bool proxy_cache_head(struct fetch *fetch, int status, int64_t length)
{
    struct resource *resource;
    struct cache_fill *fill = fetch->fill;
    bool has_none = status == 204 || status == 304;
    enum cache_kept kept = cache_fill_head(fill, status, fetch->fields.fields, fetch->fields.count,
                                           has_none      ? 0
                                           : length >= 0 ? (uint64_t)length
                                                         : GROWTH_UNKNOWN,
                                           &resource);
    switch (kept) {
    case CACHE_KEPT:
        fetch->filling = true;
        if (fetch->stream)
            proxy_cache_note_page(fetch, fetch->stream->route, cache_fill_request(fill), status,
                                  length);
        cache_fill_growth(fill)->drained = fill_drained;
        cache_fill_growth(fill)->context = fetch;
        hand_to_leader(fetch, resource, CACHE_WAY_MISS);
        return true;
    case CACHE_REFRESHED:
    case CACHE_STALE:
        read_over(fetch);
        hand_to_leader(fetch, resource,
                       kept == CACHE_STALE ? CACHE_WAY_STALE : CACHE_WAY_REVALIDATED);
        return true;
    case CACHE_NOT_KEPT:
        break;
    }
    fetch->fill = NULL;
    if (fetch->stream)
        return false;
    exchange_cancel(fetch->exchange);
    fetch->exchange = NULL;
    destroy_apart(fetch);
    return true;
}

bool proxy_cache_content(struct fetch *fetch, const void *data, size_t length)
{
    stats_add(fetch->worker->stats, COUNTER_origin_received_bytes, length);
    worker_worked(fetch->worker, (unsigned)(length / 4096));
    if (!fetch->fill)
        return true;
    if (cache_fill_wanted(fetch->fill)) {
        bool taken = cache_fill_append(fetch->fill, data, length);
        if (taken)
            markup_add(fetch->note, data, length);
        return taken;
    }
    cache_fill_abandon(fetch->fill, 0);
    fetch->fill = NULL;
    exchange_cancel(fetch->exchange);
    fetch->exchange = NULL;
    destroy_apart(fetch);
    return true;
}

void proxy_cache_end(struct fetch *fetch, bool whole, int status)
{
    struct cache_fill *fill = fetch->fill;
    struct resource *resource = NULL;
    if (!whole && fill && !fetch->stream)
        proxy_log(fetch, status);
    if (fetch->exchange)
        exchange_cancel(fetch->exchange);
    fetch->exchange = NULL;
    fetch->fill = NULL;
    if (fill && whole && fetch->filling) {
        cache_fill_finish(fill);
        markup_done(fetch->note);
        fetch->note = NULL;
    } else if (fill)
        resource = cache_fill_abandon(fill, fetch->filling ? 0 : status);
    if (fetch->stream && !resource) { /* it keeps the fetch, which tells what failed */
        proxy_fail(fetch, status);
        return;
    }
    if (fetch->stream)
        proxy_log(fetch, status);
    struct stream *stream = part_from_stream(fetch);
    if (!stream) {
        resource_release(resource);
        destroy_apart(fetch);
        return;
    }
    proxy_fetch_destroy(fetch);
    stream->cache_way = CACHE_WAY_STALE;
    stream_answer_resource(stream, resource);
}

bool proxy_cache_leave(struct fetch *fetch)
{
    struct cache_fill *fill = fetch->fill;
    if (cache_fill_wanted(fill)) {
        set_apart(fetch);
        return true;
    }
    fetch->fill = NULL;
    cache_fill_abandon(fill, 0);
    return false;
}

/* The target of a URL at the response's own origin (RFC 9111 4.4), as far as it is written in full
 * or as an absolute path; else an empty span. */
static struct span own_target(const struct stream *stream, struct span url)
{
    size_t scheme = span_find(url, ':');
    if (url.length && url.data[0] == '/' && !span_starts(url, SPAN_LITERAL("//")))
        return url;
    if (scheme == url.length || !span_starts(span_after(url, scheme), SPAN_LITERAL("://")))
        return (struct span){0};
    url = span_after(url, scheme + 3);
    if (!span_starts(url, stream->authority))
        return (struct span){0};
    url = span_after(url, stream->authority.length);
    return url.length && url.data[0] == '/' ? url : (struct span){0};
}

static void invalidate(struct fetch *fetch)
{
    const struct stream *stream = fetch->stream;
    struct span scheme =
        conn_is_secure(stream->conn) ? SPAN_LITERAL("https") : SPAN_LITERAL("http");
    cache_invalidate(fetch->worker->cache, scheme, stream->authority, stream->target);
    for (unsigned i = 0; i < fetch->fields.count; i++) {
        const struct field *field = &fetch->fields.fields[i];
        if (!span_equal(field->name, SPAN_LITERAL("location")) &&
            !span_equal(field->name, SPAN_LITERAL("content-location")))
            continue;
        struct span target = own_target(stream, field->value);
        if (target.length)
            cache_invalidate(fetch->worker->cache, scheme, stream->authority, target);
    }
}

static bool is_safe(struct span method)
{
    static const struct span SAFE[] = {SPAN_LITERAL("GET"), SPAN_LITERAL("HEAD"),
                                       SPAN_LITERAL("OPTIONS"), SPAN_LITERAL("TRACE")};
    for (size_t i = 0; i < sizeof(SAFE) / sizeof(SAFE[0]); i++)
        if (span_equal(method, SAFE[i]))
            return true;
    return false;
}

void proxy_cache_note_page(struct fetch *fetch, const struct config_route *route,
                           const struct cache_request *request, int status, int64_t length)
{
    if (route->policies_count)
        fetch->note = markup_begin(
            fetch->worker->markup, request, status, fetch->fields.fields, fetch->fields.count,
            length >= 0 ? (uint64_t)length : GROWTH_UNKNOWN, fetch->worker->timers.now_ms);
}

void proxy_cache_note(struct fetch *fetch, int status, int64_t length)
{
    struct cache_request request;
    request_of(fetch->stream, &request);
    if (span_equal(fetch->stream->request.method, SPAN_LITERAL("GET")))
        proxy_cache_note_page(fetch, fetch->stream->route, &request, status, length);
    if (!fetch->worker->cache)
        return;
    if (fetch->passed) {
        cache_passed(fetch->worker->cache, &request, status, fetch->fields.fields,
                     fetch->fields.count);
    } else if (status >= 200 && status < 400 && !is_safe(fetch->stream->request.method)) {
        invalidate(fetch);
    }
}

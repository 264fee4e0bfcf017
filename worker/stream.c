#include "worker/stream.h"

#include "worker/access.h"
#include "worker/facts.h"
#include "worker/hints.h"
#include "worker/learn.h"
#include "worker/outcome.h"
#include "worker/page.h"
#include "worker/proxy.h"
#include "worker/push.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LARGE_BYTES (12 * 1024) /* a response of more than a first window */
#define STREAMS_KEPT 1024       /* free streams kept by the worker */

static void on_found(struct content_lookup *lookup, enum content_outcome outcome,
                     struct resource *resource);

static void set_state(struct stream *stream, enum stream_state state)
{
    assert(state > stream->state);
    stream->state = state;
}

/* ---- life ---- */

static struct stream *stream_create(struct conn *conn)
{
    struct worker *worker = conn->worker;
    struct stream *stream = worker->free_streams;
    if (stream) {
        worker->free_streams = stream->next;
        worker->free_streams_count--;
    } else {
        stream = malloc(sizeof(*stream));
    }
    if (!stream)
        return NULL;
    worker_worked(worker, 1);
    memset(stream, 0, offsetof(struct stream, response.inline_fields));
    stream->conn = conn;
    stream->lookup.found = on_found;
    stream->next = conn->streams;
    if (conn->streams)
        conn->streams->previous = stream;
    conn->streams = stream;
    return stream;
}

static void give_back(struct worker *worker, struct stream *stream)
{
    if (worker->free_streams_count >= STREAMS_KEPT) {
        free(stream);
        return;
    }
    stream->next = worker->free_streams;
    worker->free_streams = stream;
    worker->free_streams_count++;
}

static void stream_destroy(struct stream *stream)
{
    struct conn *conn = stream->conn;
    if (stream->previous)
        stream->previous->next = stream->next;
    else
        conn->streams = stream->next;
    if (stream->next)
        stream->next->previous = stream->previous;
    conn->pushes_waiting -= stream->waits;
    content_cancel(&stream->lookup);
    body_close(&stream->body);
    growth_read_no_more(stream->growth);
    if (stream->fetch)
        proxy_leave(stream);
    if (stream->page)
        page_leave(stream->page); /* before the header list that its request borrows from */
    header_list_release(stream->headers);
    resource_release(stream->resource);
    hints_free(stream->interims);
    free(stream->long_text);
    free(stream->long_location);
    free(stream->long_fields);
    give_back(conn->worker, stream);
}

void stream_stop_receiving(struct stream *stream)
{
    if (!stream->request_ended && stream->state > STREAM_RECEIVING && !stream->pushed)
        stream->conn->receiving--;
    stream->request_ended = true;
}

void stream_end(struct stream *stream)
{
    struct conn *conn = stream->conn;
    struct ledger_sink sink = conn_sink(conn);
    stream_stop_receiving(stream);
    if (stream->unwritten)
        push_not_promised(stream);
    else if (!stream->pushed)
        push_page_ends(stream);
    if (stream->pushed)
        ledger_count(&conn->ledger, stream->id, stream->content_sent);
    if (!stream->complete)
        ledger_lose(&conn->ledger, stream->id, &sink);
    if (stream->content_sent) {
        stats_add(conn->worker->stats, COUNTER_body_bytes, stream->content_sent);
        if (stream->pushed)
            stats_add(conn->worker->stats, COUNTER_pushed_bytes, stream->content_sent);
    }
    if (!stream->pushed && stream->state > STREAM_RECEIVING)
        access_log(stream);
    stream_destroy(stream);
}

void stream_discard(struct stream *stream)
{
    stream_destroy(stream);
}

/* What an origin answered may have more fields than a response has room for. */
static bool make_room_for_fields(struct stream *stream)
{
    unsigned needed = respond_fields_needed(stream->resource);
    if (!needed)
        return true;
    stream->long_fields = malloc(needed * sizeof(struct field));
    stream->response.long_fields = stream->long_fields;
    stream->response.long_room = needed;
    return stream->long_fields != NULL;
}

struct stream *stream_for_push(struct stream *parent, const struct candidate *candidate,
                               const struct config_route *route)
{
    struct stream *stream = stream_create(parent->conn);
    if (!stream)
        return NULL;
    stream->pushed = true;
    stream->parent_id = parent->id;
    stream->request_ended = true;
    stream->state = STREAM_PROMISED;
    stream->route = route;
    stream->resource = resource_hold(candidate->resource);
    if (facts_promise(stream, parent, candidate) < 0) {
        stream_destroy(stream);
        return NULL;
    }
    if (!make_room_for_fields(stream)) {
        stream_destroy(stream);
        return NULL;
    }
    respond_resource(&stream->response, &stream->request, stream->site, route, stream->resource);
    return stream;
}

/* ---- answering ---- */

static void count_status(struct stats *stats, int status)
{
    static const enum counter CLASSES[] = {COUNTER_responses_2xx, COUNTER_responses_3xx,
                                           COUNTER_responses_4xx, COUNTER_responses_5xx};
    if (status >= 200 && status < 600)
        stats_add(stats, CLASSES[status / 100 - 2], 1);
}

static void content_became_ready(void *context)
{
    struct stream *stream = context;
    if (session_is_open(&stream->conn->session))
        session_resume(&stream->conn->session, stream->id);
    conn_dirty(stream->conn);
}

void stream_content_ready(struct stream *stream)
{
    content_became_ready(stream);
}

static bool window_is_shut(void *context)
{
    struct stream *stream = context;
    return session_is_open(&stream->conn->session) &&
           session_window_shut(&stream->conn->session, stream->id);
}

static const struct body_events BODY_EVENTS = {content_became_ready, window_is_shut};

/* Content that an origin is still sending. */
static int open_growth(struct stream *stream)
{
    stream->growth =
        growth_read(stream->resource->origin->growth, content_became_ready, stream);
    if (!stream->growth)
        return -EIO;
    body_open_source(&stream->body, &stream->growth->source, stream->response.length);
    return 1;
}

static int open_body(struct stream *stream)
{
    const struct response *response = &stream->response;
    if (response->source) {
        body_open_source(&stream->body, response->source, response->length);
        return 1;
    }
    if (stream->head || (!response->length && !response->text.length && !response->unbounded))
        return 0;
    if (response->body && stream->resource->origin && !response->body->body)
        return open_growth(stream);
    if (!response->body) {
        body_open_memory(&stream->body, response->text.data, response->text.length);
        return 1;
    }
    int rc =
        body_open(&stream->body, stream->conn->worker->content, stream->resource, response->body,
                  response->offset, response->length, &stream->conn->ahead, &BODY_EVENTS, stream);
    return rc < 0 ? rc : response->length > 0;
}

/* The response is built: submits it. Its fields live in the stream until that closes. */
static void submit(struct stream *stream)
{
    struct conn *conn = stream->conn;
    struct response *response = &stream->response;
    if (conn->assumed)
        conn->assumed->answered(conn->assumed, stream);
    set_state(stream, STREAM_ANSWERING);
    int content = open_body(stream);
    if (content < 0 || session_respond(&conn->session, stream->id, response->status,
                                       response->fields, response->fields_count, content) < 0) {
        session_reset(&conn->session, stream->id, HTTP2_INTERNAL_ERROR);
    } else {
        stream->answered = true;
        if (stream->body.left > LARGE_BYTES)
            conn->large = true;
        count_status(conn->worker->stats, response->status);
    }
    conn_dirty(conn);
}

static void add_field(struct response *response, struct span name, struct span value)
{
    if (response->fields_count < response->fields_room)
        response->fields[response->fields_count++] = (struct field){name, value};
}

/* What a page's response says beyond its resource: hints again, and the client's new cookie if
 * something was decided for it. A response that sets a cookie is nobody else's. */
static void add_page_fields(struct stream *stream)
{
    struct page *page = stream->page;
    struct response *response = &stream->response;
    bool is_page = response->status == 200 || response->status == 304;
    struct span link = {0};
    if (is_page)
        link = hints_link(page, response->fields, response->fields_count);
    if (link.length)
        add_field(response, SPAN_LITERAL("link"), link);
    if (stream->site->debug_header)
        add_field(response, SPAN_LITERAL("server-timing"), hints_timing(page));
    if (!stream->client.wants_cookie || response->status != 200 || page->unasked ||
        (!session_push_enabled(&stream->conn->session) && !page->request.client.can_hints))
        return;
    add_field(response, SPAN_LITERAL("set-cookie"),
              client_cookie(&stream->client, stream->conn, stream->site, page->cookie));
    stats_add(stream->conn->worker->stats, COUNTER_cookies_minted, 1);
    for (unsigned i = 0; i < response->fields_count; i++) {
        struct field *field = &response->fields[i];
        if (!span_equal(field->name, SPAN_LITERAL("cache-control")))
            continue;
        int length = snprintf(page->cache_control, sizeof(page->cache_control), "private, %.*s",
                              SPAN_PRINT(field->value));
        if (length >= (int)sizeof(page->cache_control))
            break; /* a line of its own means the same (RFC 9110 5.3) */
        field->value = span_make(page->cache_control, (size_t)length);
        return;
    }
    add_field(response, SPAN_LITERAL("cache-control"), SPAN_LITERAL("private"));
}

void stream_identify(struct stream *stream)
{
    if (!stream->client.known)
        client_identify(&stream->client, stream->conn, stream->site, stream->request.fields,
                        stream->request.fields_count);
}

void stream_answer(struct stream *stream)
{
    if (stream->page)
        add_page_fields(stream);
    if (stream->conn->visits)
        learn_answered(stream);
    stream_remember(stream);
    submit(stream);
}

static void answer_status(struct stream *stream, int status, struct span location)
{
    if (status == 431 || status == 414)
        stats_add(stream->conn->worker->stats, COUNTER_limit_fields, 1);
    respond_status(&stream->response, &stream->request, status, location);
    submit(stream);
}

void stream_answer_status(struct stream *stream, int status)
{
    if (!stream->page) {
        answer_status(stream, status, (struct span){0});
        return;
    }
    respond_status(&stream->response, &stream->request, status, (struct span){0});
    page_respond(stream);
}

static const int STATUS_OF_OUTCOME[] = {
    [CONTENT_MISSING] = 404, [CONTENT_FORBIDDEN] = 403, [CONTENT_FAILED] = 503};

/* To the same directory with its slash, as it was written, with its query. */
static void redirect_to_slash(struct stream *stream)
{
    struct span target = stream->target;
    size_t path = span_find(target, '?');
    char *text = malloc(target.length + 2);
    if (!text) {
        answer_status(stream, 500, (struct span){0});
        return;
    }
    memcpy(text, target.data, path);
    text[path] = '/';
    memcpy(text + path + 1, target.data + path, target.length - path);
    stream->long_location = text;
    answer_status(stream, 301, span_make(text, target.length + 1));
}

static void on_found(struct content_lookup *lookup, enum content_outcome outcome,
                     struct resource *resource)
{
    struct stream *stream = (struct stream *)((char *)lookup - offsetof(struct stream, lookup));
    if (outcome == CONTENT_REDIRECT) {
        redirect_to_slash(stream);
        return;
    }
    if (outcome != CONTENT_FOUND) {
        answer_status(stream, STATUS_OF_OUTCOME[outcome], (struct span){0});
        return;
    }
    stream->resource = resource_hold(resource);
    respond_resource(&stream->response, &stream->request, stream->site, stream->route, resource);
    stream_decide(stream);
}

void stream_decide(struct stream *stream)
{
    int status = stream->response.status;
    if (stream->page) {
        page_respond(stream);
        return;
    }
    if (stream->wants_policy && (status == 200 || status == 304)) {
        set_state(stream, STREAM_DECIDING);
        stream_identify(stream);
        if (page_decide(stream))
            return;
    }
    stream_answer(stream);
}

void stream_answer_resource(struct stream *stream, struct resource *resource)
{
    stream->resource = resource;
    if (!make_room_for_fields(stream)) {
        answer_status(stream, 503, (struct span){0});
        return;
    }
    respond_resource(&stream->response, &stream->request, stream->site, stream->route, resource);
    stream_decide(stream);
}

/* Whether a policy is to be asked: the list is tested in C, and only for clients that something can
 * come of. */
static bool policy_is_wanted(struct stream *stream)
{
    struct worker *worker = stream->conn->worker;
    struct request *request = &stream->request;
    if (!worker->policies.list || stream->head)
        return false;
    enum reason refusal = push_refusal(stream);
    request->client.can_push = refusal == REASON_PENDING;
    request->client.can_hints =
        !request->client.can_push && refusal != REASON_SWITCHED_OFF && hints_wanted(stream);
    bool heard = session_push_enabled(&stream->conn->session) || request->client.can_hints;
    if (!heard && worker->access.fd < 0)
        return false;
    if (request->dest == AS_UNKNOWN)
        request->dest = asset_as_of_path(request->path);
    if (!heard && request->dest != AS_DOCUMENT) /* the log tells what pages would have got */
        return false;
    return policy_versions_apply(&worker->policies, stream->site, stream->route, request);
}

/* ":" and digits, when the authority ends so. */
static struct span port_of(const struct stream *stream)
{
    struct span port = span_after(stream->authority, stream->request.host.length);
    if (!span_starts(port, SPAN_LITERAL(":")))
        return (struct span){0};
    for (size_t i = 1; i < port.length; i++)
        if (port.data[i] < '0' || port.data[i] > '9')
            return (struct span){0};
    return port;
}

/* An alias redirects to the site's own name, at the port that was asked. */
static void redirect_to_name(struct stream *stream)
{
    const char *name = stream->site->names[0];
    struct span target = stream->target;
    struct span port = port_of(stream);
    size_t size = strlen(name) + port.length + target.length + 16;
    char *text = malloc(size);
    if (!text) {
        answer_status(stream, 500, (struct span){0});
        return;
    }
    int length =
        snprintf(text, size, "%s://%s%.*s%.*s", conn_is_secure(stream->conn) ? "https" : "http",
                 name, SPAN_PRINT(port), SPAN_PRINT(target));
    stream->long_location = text;
    answer_status(stream, 308, span_make(text, (size_t)length));
}

/* No origin is asked for an explanation: what its response would add is not known. */
static void foresee(struct stream *stream)
{
    stream->response = (struct response){.status = 0};
    if (stream->wants_policy) {
        stream_identify(stream);
        if (page_foresee(stream))
            return;
    }
    stream_answer(stream);
}

/* Whom the redirected client is to ask: the host that it asked, or the site's own name if it was an
 * alias or, of HTTP/1.0, none; an address that is no name of the site has no certificate. Empty when
 * the site answers for any name and has none of its own. */
static struct span name_for_https(const struct stream *stream)
{
    const struct config_site *site = stream->site;
    struct span host = stream->request.host;
    if (config_is_alias(site, host))
        return span_of(site->names[0]);
    if (!stream->headers->hostless)
        return host;
    struct span own = {0};
    for (size_t i = site->names_count; i-- > 0;) {
        struct span name = span_of(site->names[i]);
        if (span_equal_nocase(name, host))
            return host;
        if (!span_equal(name, SPAN_LITERAL("*")))
            own = name;
    }
    return own;
}

/* What the listener redirects: the same, encrypted. */
static void redirect_to_https(struct stream *stream)
{
    struct span host = name_for_https(stream), target = stream->target;
    if (!host.length) {
        answer_status(stream, 400, (struct span){0});
        return;
    }
    size_t size = host.length + target.length + 24;
    char *text = malloc(size);
    if (!text) {
        answer_status(stream, 500, (struct span){0});
        return;
    }
    char port[8] = "";
    if (stream->conn->https_port != 443)
        snprintf(port, sizeof(port), ":%u", stream->conn->https_port & 0xffff);
    int length = snprintf(text, size, "https://%.*s%s%.*s", SPAN_PRINT(host), port,
                          SPAN_PRINT(target));
    stream->long_location = text;
    answer_status(stream, 308, span_make(text, (size_t)length));
}

static void begin_answer(struct stream *stream)
{
    struct worker *worker = stream->conn->worker;
    int status = facts_read(stream);
    if (status) {
        answer_status(stream, status, (struct span){0});
        return;
    }
    bool get = stream->head || span_equal(stream->request.method, SPAN_LITERAL("GET"));
    if (stream->conn->https_port) {
        redirect_to_https(stream);
    } else if (config_is_alias(stream->site, stream->request.host)) {
        redirect_to_name(stream);
    } else if (stream->route->origin.servers_count) {
        stream->wants_policy = get && policy_is_wanted(stream);
        if (stream->conn->assumed)
            foresee(stream);
        else
            proxy_begin(stream);
    } else if (!get) {
        answer_status(stream, 405, (struct span){0});
    } else if (!stream->route->root) {
        answer_status(stream, 404, (struct span){0});
    } else {
        stream->wants_policy = policy_is_wanted(stream);
        stream->lookup.wants_assets = stream->wants_policy;
        stream->lookup.scheme =
            conn_is_secure(stream->conn) ? SPAN_LITERAL("https") : SPAN_LITERAL("http");
        stream->lookup.authority = stream->authority;
        content_find(worker->content, stream->site, stream->route, stream->request.path,
                     &stream->lookup);
    }
}

/* ---- what the session tells ---- */

static void *on_begin(void *connection, int32_t id)
{
    struct conn *conn = connection;
    struct stream *stream = conn->state < CONN_ENDING ? stream_create(conn) : NULL;
    if (stream)
        stream->id = id;
    return stream;
}

static void on_request(void *context, struct header_list *list, bool end)
{
    struct stream *stream = context;
    struct conn *conn = stream->conn;
    stream->headers = list;
    stream->began_us = conn->worker->timers.now_us;
    stream->content_began_ms = conn->worker->timers.now_ms;
    set_state(stream, STREAM_FINDING);
    stream->request_ended = end;
    if (!end)
        conn->receiving++;
    if (session_open_streams(&conn->session) <= 1) /* else what is waited for came before */
        conn->progress_ms = conn->worker->timers.now_ms;
    stats_add(conn->worker->stats, COUNTER_requests, 1);
    uint64_t most = conn->worker->config->limits.requests;
    if (most && conn->guard.requests == most) {
        stats_add(conn->worker->stats, COUNTER_limit_requests, 1);
        conn_drain(conn);
    }
    begin_answer(stream);
}

static void on_content(void *context, const void *data, size_t length)
{
    struct stream *stream = context;
    stream->content_received += length;
    if (stream->fetch)
        proxy_content(stream, data, length);
    else /* files take no content: it is read over */
        session_consumed(&stream->conn->session, stream->id, length);
}

static void on_request_end(void *context)
{
    struct stream *stream = context;
    stream_stop_receiving(stream);
    if (stream->fetch)
        proxy_request_end(stream);
}

static void on_prioritized(void *context, struct priority priority)
{
    struct stream *stream = context;
    stream->update = priority;
    stream->update_is_early = stream->state == STREAM_RECEIVING;
}

static void on_reset(void *connection, void *context, int32_t id, uint32_t error)
{
    struct conn *conn = connection;
    struct stream *stream = context;
    struct ledger_sink sink = conn_sink(conn);
    if (stream) {
        stream->client_reset = true;
        ledger_count(&conn->ledger, id, stream->content_sent);
    }
    ledger_reset(&conn->ledger, id, error, &sink);
    conn_dirty(conn);
}

/* The page ends, and its response has not: nothing else would release its pushes. */
static void orphan_pushes(struct conn *conn, int32_t page_id)
{
    for (struct stream *stream = conn->streams; stream; stream = stream->next)
        if (stream->pushed && stream->parent_id == page_id) {
            stream->parent_id = STREAM_NO_PAGE;
            conn->orphan_pushes = true;
        }
}

static void on_close(void *context, uint32_t error)
{
    struct stream *stream = context;
    int32_t id = stream->id;
    struct conn *conn = stream->conn;
    bool has_orphans = !stream->pushed && !stream->complete && conn->ledger.pushes_open;
    if (error == HTTP2_INTERNAL_ERROR && stream->answered && !stream->complete &&
        !stream->client_reset)
        stats_add(stream->conn->worker->stats, COUNTER_body_failures, 1);
    conn_dirty(conn);
    stream_end(stream);
    if (has_orphans)
        orphan_pushes(conn, id);
}

static ptrdiff_t on_available(void *context, size_t max, bool *last)
{
    struct stream *stream = context;
    return body_available(&stream->body, max, last);
}

static void on_take(void *context, uint8_t *out, size_t length)
{
    struct stream *stream = context;
    body_take(&stream->body, out, length);
    stream->content_sent += length;
}

/* A resource's bytes live as long as the send that reads them; those of a status are the stream's. */
static bool on_lends(void *context)
{
    struct stream *stream = context;
    struct outbox *outbox = stream->conn->outbox;
    return outbox && stream->response.body && body_lends(&stream->body) && outbox_borrows(outbox);
}

static void on_lend(void *context, size_t at, size_t length)
{
    struct stream *stream = context;
    outbox_borrow(stream->conn->outbox, at, stream->resource, body_lend(&stream->body, length),
                  length);
    stream->content_sent += length;
}

/* Answers the promised streams that wait: those of one page, or all (0). In the order of their
 * promises; the list begins with the newest stream. Returns whether there were any. */
static bool answer_waiting(struct conn *conn, int32_t parent_id)
{
    unsigned waiting = conn->pushes_waiting;
    struct stream *stream = waiting ? conn->streams : NULL;
    while (stream && stream->next)
        stream = stream->next;
    for (; stream; stream = stream->previous) {
        if (!stream->waits || (parent_id && stream->parent_id != parent_id))
            continue;
        stream->waits = false;
        conn->pushes_waiting--;
        submit(stream);
    }
    return conn->pushes_waiting < waiting;
}

/* The page is out: its pushes rank from now on as if its client had asked for them. */
static void release_pushes(struct conn *conn, int32_t page_id)
{
    if (!conn->ledger.pushes_open)
        return;
    for (struct stream *stream = conn->streams; stream; stream = stream->next)
        if (stream->pushed && stream->parent_id == page_id)
            http2_prioritize(conn->session.http2, stream->id, stream->late_urgency,
                             stream->late_incremental);
    answer_waiting(conn, page_id);
}

void streams_release_orphans(struct conn *conn)
{
    conn->orphan_pushes = false;
    if (conn->session.http2)
        release_pushes(conn, STREAM_NO_PAGE);
}

static bool on_nothing_ready(void *connection)
{
    return answer_waiting(connection, 0);
}

static void on_response_end(void *context, bool *apart)
{
    struct stream *stream = context;
    stream->complete = true;
    ledger_count(&stream->conn->ledger, stream->id, stream->content_sent);
    if (!stream->pushed) {
        release_pushes(stream->conn, stream->id);
        *apart = stream->conn->ledger.pushes_open > 0;
    }
    ledger_sent(&stream->conn->ledger, stream->id);
    if (!stream->request_ended) /* the rest of its content is of no use (RFC 9113 8.1) */
        session_reset(&stream->conn->session, stream->id, HTTP2_NO_ERROR);
}

/* Not even its HEADERS go before the page's content, unless its policy says so. */
static void on_promised(void *context)
{
    struct stream *stream = context;
    push_promised(stream);
    stream->waits = !stream->ahead;
    stream->conn->pushes_waiting += stream->waits;
    if (!stream->waits)
        submit(stream);
}

static void on_not_promised(void *connection, int32_t id)
{
    struct conn *conn = connection;
    for (struct stream *stream = conn->streams; stream; stream = stream->next)
        if (stream->id == id) {
            stream_end(stream);
            return;
        }
}

const struct session_events stream_events = {
    .begin = on_begin,
    .request = on_request,
    .content = on_content,
    .request_end = on_request_end,
    .prioritized = on_prioritized,
    .reset = on_reset,
    .close = on_close,
    .available = on_available,
    .take = on_take,
    .lends = on_lends,
    .lend = on_lend,
    .response_end = on_response_end,
    .promised = on_promised,
    .not_promised = on_not_promised,
    .nothing_ready = on_nothing_ready,
    .settings = conn_on_settings,
    .goaway = conn_on_goaway,
    .ping_acknowledged = conn_on_ping_acknowledged,
};

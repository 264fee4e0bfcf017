#include "worker/proxy_parts.h"

#include "worker/blocks.h"
#include "worker/conn_internal.h"
#include "worker/markup.h"
#include "worker/page.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SPARE_FIELDS 8 /* of a response, for what pages add */
#define PASSAGES_MAX 8 /* of one request, through this server */
#define BUFFER_LEAST 4096
#define LOG_MS 1000 /* failures are said once in this time */

/* ---- buffers ---- */

static size_t buffer_length(const struct fetch_buffer *buffer)
{
    return buffer->filled - buffer->start;
}

/* `expected`: bytes that will have to be held sooner or later, as far as is known. */
static int buffer_put(struct fetch_buffer *buffer, const void *data, size_t length,
                      uint64_t expected)
{
    size_t held = buffer_length(buffer);
    if (buffer->room - buffer->filled < length) {
        size_t room = buffer->room ? buffer->room : BUFFER_LEAST;
        while (room < held + length || room < expected)
            room *= 2;
        uint8_t *bytes = buffer->bytes;
        if (room > buffer->room && !(bytes = blocks_take(room)))
            return -ENOMEM;
        if (held)
            memmove(bytes, buffer->bytes + buffer->start, held);
        if (bytes != buffer->bytes)
            blocks_give(buffer->bytes);
        *buffer = (struct fetch_buffer){bytes, 0, held, room};
    }
    memcpy(buffer->bytes + buffer->filled, data, length);
    buffer->filled += length;
    return 0;
}

static void buffer_take(struct fetch_buffer *buffer, void *out, size_t length)
{
    assert(length <= buffer_length(buffer));
    if (length)
        memcpy(out, buffer->bytes + buffer->start, length);
    buffer->start += length;
    if (buffer->start == buffer->filled)
        buffer->start = buffer->filled = 0;
}

/* ---- life ---- */

static ptrdiff_t source_available(struct body_source *source, size_t max, bool *last);
static void source_take(struct body_source *source, uint8_t *out, size_t length);

struct fetch *proxy_fetch_create(struct worker *worker)
{
    struct fetch *fetch = blocks_take_zeroed(1, sizeof(*fetch));
    if (!fetch)
        return NULL;
    fetch->worker = worker;
    fetch->server = "";
    fetch->began_us = worker->timers.now_us;
    fetch->length = -1;
    fetch->source = (struct body_source){source_available, source_take};
    return fetch;
}

void proxy_fetch_destroy(struct fetch *fetch)
{
    assert(!fetch->exchange && !fetch->stream && !fetch->fill);
    cache_cancel(&fetch->lookup);
    markup_drop(fetch->note);
    blocks_give(fetch->request.bytes);
    blocks_give(fetch->content.bytes);
    forward_list_finish(&fetch->fields);
    blocks_give(fetch);
}

/* Content that will not be sent on: the connection's window opens again by it. */
static void drop_request(struct fetch *fetch)
{
    struct conn *conn = fetch->stream->conn;
    size_t held = buffer_length(&fetch->request);
    if (held && session_is_open(&conn->session))
        session_consumed(&conn->session, fetch->stream->id, held);
    fetch->request.start = fetch->request.filled = 0;
}

void proxy_leave(struct stream *stream)
{
    struct fetch *fetch = stream->fetch;
    drop_request(fetch);
    stream->fetch = NULL;
    fetch->stream = NULL;
    if (fetch->fill && proxy_cache_leave(fetch))
        return;
    if (fetch->exchange)
        exchange_cancel(fetch->exchange);
    fetch->exchange = NULL;
    proxy_fetch_destroy(fetch);
}

/* ---- failures ---- */

void proxy_log(struct fetch *fetch, int status)
{
    struct worker *worker = fetch->worker;
    const struct stream *stream = fetch->stream;
    uint64_t now_ms = worker->timers.now_ms;
    char others[48] = "";
    if (worker->origin_failures.logged_ms && now_ms < worker->origin_failures.logged_ms + LOG_MS) {
        worker->origin_failures.silent++;
        return;
    }
    if (worker->origin_failures.silent)
        snprintf(others, sizeof(others), " (and %u more that were not logged)",
                 worker->origin_failures.silent);
    worker->origin_failures.logged_ms = now_ms;
    worker->origin_failures.silent = 0;
    struct span method = SPAN_LITERAL("GET"), authority = {0}, target = {0};
    if (stream) {
        method = stream->request.method;
        authority = stream->authority;
        target = stream->target;
    } else if (fetch->fill) {
        authority = cache_fill_request(fetch->fill)->authority;
        target = cache_fill_request(fetch->fill)->target;
    }
    worker_log_error(worker, "error", "%.*s %.*s%.*s: %d: origin %s: %s%s", SPAN_PRINT(method),
                     SPAN_PRINT(authority), SPAN_PRINT(target), status, fetch->server,
                     fetch->failure, others);
}

static const int STATUS_OF_END[] = {[EXCHANGE_UNREACHABLE] = 502,
                                    [EXCHANGE_SILENT] = 504,
                                    [EXCHANGE_BROKEN] = 502,
                                    [EXCHANGE_BUSY] = 503};

void proxy_fail(struct fetch *fetch, int status)
{
    proxy_log(fetch, status);
    drop_request(fetch);
    stream_answer_status(fetch->stream, status);
}

/* ---- the response, as the client takes it ---- */

static struct fetch *fetch_of(struct body_source *source)
{
    return (struct fetch *)((char *)source - offsetof(struct fetch, source));
}

static bool has_all(const struct fetch *fetch)
{
    return fetch->ended || (fetch->length >= 0 && fetch->received == (uint64_t)fetch->length);
}

static ptrdiff_t source_available(struct body_source *source, size_t max, bool *last)
{
    struct fetch *fetch = fetch_of(source);
    size_t held = buffer_length(&fetch->content);
    size_t n = held < max ? held : max;
    *last = n == held && has_all(fetch);
    if (n || *last)
        return (ptrdiff_t)n;
    return fetch->failed ? -EPIPE : -EAGAIN;
}

static void source_take(struct body_source *source, uint8_t *out, size_t length)
{
    struct fetch *fetch = fetch_of(source);
    buffer_take(&fetch->content, out, length);
    if (!fetch->paused || !fetch->exchange ||
        buffer_length(&fetch->content) > fetch->worker->config->limits.stream_buffer / 2)
        return;
    fetch->paused = false;
    exchange_resume(fetch->exchange);
}

/* ---- what the origin says ---- */

/* Of interim responses 103 alone goes on: clients know what to do with that (RFC 8297). */
static void on_interim(void *context, int status, const struct field *fields, size_t count)
{
    struct fetch *fetch = context;
    if (status != 103)
        return;
    if (fetch->stream)
        page_interim(fetch->stream, fields, count);
    if (fetch->fill)
        proxy_cache_interim(fetch, fields, count);
}

static bool has_content(const struct fetch *fetch, int status)
{
    return !fetch->stream->head && status != 204 && status != 304 && fetch->length != 0;
}

/* The response of an exchange that is for its stream alone. */
static void answer(struct fetch *fetch, int status, int64_t length)
{
    struct stream *stream = fetch->stream;
    struct response *response = &stream->response;
    fetch->length = length;
    if (stream->wants_policy)
        think_note(&fetch->worker->thinking, stream->route, fetch->head_us - stream->began_us);
    *response = (struct response){.status = status,
                                  .fields = fetch->fields.fields,
                                  .fields_count = fetch->fields.count,
                                  .fields_room = fetch->fields.room};
    response->ttl_s = respond_freshness(response->fields, response->fields_count,
                                        stream->site->heuristic_s, &response->cacheable);
    if (has_content(fetch, status)) {
        response->source = &fetch->source;
        response->length = length > 0 ? (uint64_t)length : 0;
    }
    stream_decide(stream);
}

static void on_head(void *context, int status, const struct field *fields, size_t count,
                    int64_t length)
{
    struct fetch *fetch = context;
    fetch->server = exchange_server(fetch->exchange);
    fetch->head_us = fetch->worker->timers.now_us;
    if (fetch->stream && fetch->stream->wants_policy)
        think_note(&fetch->worker->thinking, fetch->stream->route,
                   fetch->head_us - fetch->stream->began_us);
    if (forward_response(fields, count, status == 204 ? -1 : length, SPARE_FIELDS, &fetch->fields) <
        0) {
        snprintf(fetch->failure, sizeof(fetch->failure), "out of memory");
        if (fetch->fill)
            proxy_cache_end(fetch, false, 502);
        else
            proxy_fail(fetch, 502);
        return;
    }
    if (fetch->fill && proxy_cache_head(fetch, status, length))
        return;
    proxy_cache_note(fetch, status, length);
    answer(fetch, status, length);
}

/* Of the response's content, what is to come and may be held at once. */
static uint64_t content_expected(const struct fetch *fetch)
{
    uint64_t most = fetch->worker->config->limits.stream_buffer;
    uint64_t length = fetch->length > 0 ? (uint64_t)fetch->length : 0;
    uint64_t left = length > fetch->received ? length - fetch->received : 0;
    return left < most ? left : most;
}

/* What has come so far is sent, and then the stream is reset. */
static void break_off(struct fetch *fetch, const char *why)
{
    fetch->failed = true;
    snprintf(fetch->failure, sizeof(fetch->failure), "%s", why);
    proxy_log(fetch, fetch->stream->response.status);
    stream_content_ready(fetch->stream);
}

static bool on_content(void *context, const void *data, size_t length)
{
    struct fetch *fetch = context;
    if (!fetch->stream)
        return proxy_cache_content(fetch, data, length);
    if (fetch->failed)
        return true;
    size_t held = buffer_length(&fetch->content);
    bool full = held >= fetch->worker->config->limits.stream_buffer;
    if (full || buffer_put(&fetch->content, data, length, content_expected(fetch)) < 0) {
        fetch->paused = held > 0;
        if (!fetch->paused) /* nothing would tell when there is memory again */
            break_off(fetch, "out of memory");
        return !fetch->paused;
    }
    fetch->received += length;
    markup_add(fetch->note, data, length);
    stats_add(fetch->worker->stats, COUNTER_origin_received_bytes, length);
    worker_worked(fetch->worker, (unsigned)(length / 4096));
    stream_content_ready(fetch->stream);
    return true;
}

static ptrdiff_t on_wanted(void *context, void *out, size_t room)
{
    struct fetch *fetch = context;
    struct stream *stream = fetch->stream;
    if (!stream) /* what is fetched for all has no content */
        return 0;
    size_t held = buffer_length(&fetch->request);
    size_t n = held < room ? held : room;
    if (n) {
        buffer_take(&fetch->request, out, n);
        session_consumed(&stream->conn->session, stream->id, n);
        conn_dirty(stream->conn);
        return (ptrdiff_t)n;
    }
    if (fetch->request_ended)
        return 0;
    if (fetch->expects) {
        fetch->expects = false;
        session_inform(&stream->conn->session, stream->id, 100, NULL, 0);
        conn_dirty(stream->conn);
    }
    return -EAGAIN;
}

static void on_end(void *context, enum exchange_end how, const char *text)
{
    struct fetch *fetch = context;
    struct stream *stream = fetch->stream;
    fetch->server = exchange_server(fetch->exchange);
    fetch->exchange = NULL;
    if (!fetch->failed)
        snprintf(fetch->failure, sizeof(fetch->failure), "%s", how == EXCHANGE_DONE ? "" : text);
    if (fetch->fill || !stream) {
        proxy_cache_end(fetch, how == EXCHANGE_DONE, STATUS_OF_END[how]);
        return;
    }
    if (fetch->failed)
        return;
    if (how == EXCHANGE_DONE) {
        markup_done(fetch->note);
        fetch->note = NULL;
        fetch->ended = true;
        drop_request(fetch);
        stream_content_ready(stream);
        return;
    }
    if (!fetch->head_us) {
        proxy_fail(fetch, STATUS_OF_END[how]);
        return;
    }
    fetch->failed = true;
    proxy_log(fetch, stream->response.status);
    stream_content_ready(stream);
}

static const struct exchange_events EVENTS = {
    .interim = on_interim,
    .head = on_head,
    .content = on_content,
    .wanted = on_wanted,
    .end = on_end,
};

/* ---- the request ---- */

static bool anticipates_content(struct span method)
{
    return span_equal(method, SPAN_LITERAL("POST")) || span_equal(method, SPAN_LITERAL("PUT")) ||
           span_equal(method, SPAN_LITERAL("PATCH"));
}

/* Of its content; 0: it has none, -1: not known. */
static int64_t request_length(const struct stream *stream)
{
    return stream->request_ended
               ? 0
               : forward_length(stream->request.fields, stream->request.fields_count);
}

int proxy_ask(struct fetch *fetch, const struct proxy_question *question)
{
    const struct config_origin *origin = &question->route->origin;
    struct forward_list list = {0};
    struct forward_request from = {
        .fields = question->fields,
        .fields_count = question->fields_count,
        .authority = question->authority,
        .scheme = question->scheme,
        .protocol = question->protocol,
        .name = fetch->worker->via_name,
        .peer = question->peer,
        .trusted = origin->trusted,
        .empty_content = question->length == 0 && anticipates_content(question->method),
    };
    if (forward_request(&from, &list) < 0)
        return -ENOMEM;
    struct exchange_request sent = {
        .method = question->method,
        .target = question->target,
        .host = origin->host ? span_of(origin->host) : question->authority,
        .fields = list.fields,
        .fields_count = list.count,
        .length = question->length,
    };
    fetch->exchange = exchange_begin(fetch->worker->origins, origin, &sent, &EVENTS, fetch);
    forward_list_finish(&list);
    return fetch->exchange ? 0 : -ENOMEM;
}

/* The client's address; one of IPv4 as such, whatever the listener is. */
static const char *peer_of(struct conn *conn)
{
    if (!conn->peer[0])
        conn_name_peer(conn);
    bool mapped = strncmp(conn->peer, "::ffff:", 7) == 0 && strchr(conn->peer, '.');
    return conn->peer + (mapped ? 7 : 0);
}

int proxy_ask_for(struct fetch *fetch, const struct field *fields, size_t count)
{
    struct stream *stream = fetch->stream;
    struct proxy_question question = {
        .route = stream->route,
        .method = stream->request.method,
        .scheme = conn_is_secure(stream->conn) ? SPAN_LITERAL("https") : SPAN_LITERAL("http"),
        .authority = stream->authority,
        .target = stream->target,
        .protocol = session_version(&stream->conn->session),
        .peer = peer_of(stream->conn),
        .fields = fields,
        .fields_count = count,
        .length = request_length(stream),
    };
    return proxy_ask(fetch, &question);
}

/* One site may be another one's origin; a request that comes again and again goes in circles. */
static unsigned passages(const struct stream *stream)
{
    return forward_passages(stream->request.fields, stream->request.fields_count,
                            stream->conn->worker->via_name);
}

/* A request that cannot go through as what it is. Returns the status that says so, or 0. */
static int refusal(const struct stream *stream)
{
    const struct request *request = &stream->request;
    struct span upgrade =
        field_find(request->fields, request->fields_count, SPAN_LITERAL("upgrade"));
    if (span_equal_nocase(upgrade, SPAN_LITERAL("websocket")))
        return 501;
    if (passages(stream) >= PASSAGES_MAX)
        return 508;
    return 0;
}

/* The policies' say, while the origin thinks. */
static void begin_page(struct stream *stream)
{
    if (!stream->wants_policy)
        return;
    stream_identify(stream);
    page_begin(stream);
}

void proxy_begin(struct stream *stream)
{
    struct worker *worker = stream->conn->worker;
    int status = refusal(stream);
    struct fetch *fetch = status || !worker->origins ? NULL : proxy_fetch_create(worker);
    if (!fetch) {
        stream_answer_status(stream, status ? status : 503);
        return;
    }
    fetch->stream = stream;
    fetch->request_ended = stream->request_ended;
    stream->fetch = fetch;
    if (!passages(stream) && proxy_cache_begin(fetch)) { /* in a circle it would wait for itself */
        if (stream->fetch) {
            begin_page(stream);
            if (stream->fetch == fetch)
                cache_recall_interims(&fetch->lookup);
        }
        return;
    }
    struct span expect =
        field_find(stream->request.fields, stream->request.fields_count, SPAN_LITERAL("expect"));
    fetch->expects =
        request_length(stream) != 0 && span_equal_nocase(expect, SPAN_LITERAL("100-continue"));
    if (proxy_ask_for(fetch, stream->request.fields, stream->request.fields_count) < 0) {
        snprintf(fetch->failure, sizeof(fetch->failure), "out of memory");
        proxy_fail(fetch, 503);
        return;
    }
    begin_page(stream);
}

void proxy_content(struct stream *stream, const void *data, size_t length)
{
    struct fetch *fetch = stream->fetch;
    if (!fetch->exchange) { /* nobody takes it */
        session_consumed(&stream->conn->session, stream->id, length);
        return;
    }
    fetch->expects = false;
    if (buffer_put(&fetch->request, data, length, 0) < 0) {
        session_reset(&stream->conn->session, stream->id, HTTP2_INTERNAL_ERROR);
        return;
    }
    exchange_send(fetch->exchange);
}

void proxy_request_end(struct stream *stream)
{
    struct fetch *fetch = stream->fetch;
    fetch->request_ended = true;
    if (fetch->exchange)
        exchange_send(fetch->exchange);
}

bool proxy_holds_back(const struct stream *stream)
{
    return buffer_length(&stream->fetch->request) > 0;
}

bool proxy_awaits_origin(const struct stream *stream)
{
    const struct fetch *fetch = stream->fetch;
    return fetch->exchange && !fetch->fill && buffer_length(&fetch->content) == 0;
}

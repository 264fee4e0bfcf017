#include "worker/origin_internal.h"

#include "worker/blocks.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

void exchange_queue(struct exchange *exchange)
{
    struct origins *origins = exchange->origins;
    if (exchange->queued)
        return;
    exchange->queued = true;
    exchange->next_due = NULL;
    if (origins->due)
        origins->due_last->next_due = exchange;
    else
        origins->due = exchange;
    origins->due_last = exchange;
}

/* ---- the time-out ---- */

static void on_silence(struct timer *timer)
{
    struct exchange *exchange =
        (struct exchange *)((char *)timer - offsetof(struct exchange, silence));
    exchange->expired = true;
    exchange_queue(exchange);
}

/* It runs while the server has something to do. */
void exchange_heard(struct exchange *exchange)
{
    struct timers *timers = exchange->origins->timers;
    if (exchange->taking_paused || exchange->giving_paused)
        timer_stop(timers, &exchange->silence);
    else
        timer_set(timers, &exchange->silence, timers->now_ms + exchange->origin->timeout_ms);
}

/* ---- exchanges ---- */

void exchange_free(struct exchange *exchange)
{
    struct origins *origins = exchange->origins;
    assert(!exchange->handle && !exchange->queued);
    timer_stop(origins->timers, &exchange->silence);
    if (exchange->head)
        origin_head_give(&origins->heads, exchange->head);
    if (exchange->previous)
        exchange->previous->next = exchange->next;
    else
        origins->all = exchange->next;
    if (exchange->next)
        exchange->next->previous = exchange->previous;
    blocks_give(exchange);
}

void exchange_let_go(struct exchange *exchange)
{
    struct origin_handle *handle = exchange->handle;
    if (!handle)
        return;
    exchange->handle = NULL;
    exchange->upstream->active--;
    timer_stop(exchange->origins->timers, &exchange->silence);
    curl_multi_remove_handle(exchange->origins->multi, handle->easy);
    origin_handle_give(handle);
}

static void finish(struct exchange *exchange, enum exchange_end how, const char *text)
{
    const struct exchange_events *events = exchange->events;
    exchange_let_go(exchange);
    exchange->events = NULL;
    if (events)
        events->end(exchange->context, how, text);
    if (!exchange->queued)
        exchange_free(exchange);
}

static const char *why_not(int rc)
{
    if (rc == -EBUSY)
        return "every server of the origin has as many requests as origin.connections allows";
    return rc == -EHOSTUNREACH ? "no address is known of the origin's name" : "out of memory";
}

/* Asks the server whose turn it is. Returns 0, or -errno when there is none. */
static int start(struct exchange *exchange)
{
    struct origins *origins = exchange->origins;
    struct upstream *upstream = NULL;
    int place = upstreams_choose(origins->upstreams, exchange->origin, exchange->tried,
                                 origins->timers->now_ms, &upstream);
    if (place < 0)
        return place;
    struct origin_handle *handle = origin_handle_take(origins, upstream);
    if (!handle)
        return -ENOMEM;
    exchange->started = true;
    exchange->tried |= UINT32_C(1) << place;
    exchange->upstream = upstream;
    exchange->sendings = 0;
    exchange->taking_paused = exchange->giving_paused = exchange->resumed = exchange->more = false;
    handle->exchange = exchange;
    handle->error[0] = 0;
    if (origin_handle_set(handle->easy, exchange) ||
        curl_multi_add_handle(origins->multi, handle->easy)) {
        handle->exchange = NULL;
        origin_handle_destroy(handle);
        return -ENOMEM;
    }
    exchange->handle = handle;
    upstream->active++;
    stats_add(origins->stats, COUNTER_origin_requests, 1);
    exchange_heard(exchange);
    return 0;
}

static void begin(struct exchange *exchange)
{
    int rc = start(exchange);
    if (rc == -EBUSY)
        stats_add(exchange->origins->stats, COUNTER_limit_origin, 1);
    if (rc < 0)
        finish(exchange, rc == -EBUSY ? EXCHANGE_BUSY : EXCHANGE_UNREACHABLE, why_not(rc));
}

/* Nothing came of it yet: the next server may be asked. */
static bool may_retry(const struct exchange *exchange)
{
    return exchange->events && !exchange->head_seen && !exchange->own_fault &&
           exchange->retries < exchange->origin->retries &&
           (exchange->sendings == 0 || (exchange->safe && exchange->length == 0));
}

static void fail(struct exchange *exchange, enum exchange_end how, const char *text)
{
    struct origins *origins = exchange->origins;
    char kept[CURL_ERROR_SIZE + EXCHANGE_WHY_MAX];
    snprintf(kept, sizeof(kept), "%s", text);
    if (!exchange->own_fault) {
        stats_add(origins->stats, COUNTER_origin_failures, 1);
        stats_add(origins->stats, COUNTER_origin_timeouts, how == EXCHANGE_SILENT);
        stats_add(origins->stats, COUNTER_origin_rests,
                  upstream_failed(exchange->upstream, exchange->origin->rest_ms,
                                  origins->timers->now_ms));
    }
    bool again = may_retry(exchange);
    exchange_let_go(exchange);
    exchange->expired = false;
    if (again && start(exchange) == 0) {
        exchange->retries++;
        stats_add(origins->stats, COUNTER_origin_retries, 1);
        return;
    }
    finish(exchange, how, kept);
}

static const char *text_of(const struct exchange *exchange, CURLcode result)
{
    if (exchange->why[0])
        return exchange->why;
    return exchange->handle->error[0] ? exchange->handle->error : curl_easy_strerror(result);
}

void exchange_completed(struct exchange *exchange, CURLcode result)
{
    long connects = 0;
    bool connected = exchange->sendings > 0;
    curl_easy_getinfo(exchange->handle->easy, CURLINFO_NUM_CONNECTS, &connects);
    stats_add(exchange->origins->stats, COUNTER_origin_connections, (uint64_t)connects);
    if (result == CURLE_OK && exchange->head_seen)
        finish(exchange, EXCHANGE_DONE, "");
    else if (result == CURLE_OPERATION_TIMEDOUT)
        fail(exchange, EXCHANGE_SILENT, text_of(exchange, result));
    else
        fail(exchange, connected ? EXCHANGE_BROKEN : EXCHANGE_UNREACHABLE,
             text_of(exchange, result));
}

static void go_on(struct exchange *exchange)
{
    int mask = CURLPAUSE_CONT;
    if (exchange->resumed)
        exchange->taking_paused = false;
    if (exchange->more)
        exchange->giving_paused = false;
    exchange->resumed = exchange->more = false;
    mask |= exchange->taking_paused ? CURLPAUSE_RECV : 0;
    mask |= exchange->giving_paused ? CURLPAUSE_SEND : 0;
    exchange_heard(exchange);
    curl_easy_pause(exchange->handle->easy, mask);
    exchange->origins->acted = true;
}

void exchange_work(struct exchange *exchange)
{
    if (!exchange->events) {
        exchange_let_go(exchange);
        exchange_free(exchange);
    } else if (exchange->expired) {
        char text[EXCHANGE_WHY_MAX];
        snprintf(text, sizeof(text), "nothing came for %u ms", exchange->origin->timeout_ms);
        fail(exchange, EXCHANGE_SILENT, text);
    } else if (!exchange->started) {
        begin(exchange);
    } else if (exchange->handle && (exchange->resumed || exchange->more)) {
        go_on(exchange);
    }
}

/* ---- what is asked ---- */

static bool is_safe(struct span method)
{
    return span_equal(method, SPAN_LITERAL("GET")) || span_equal(method, SPAN_LITERAL("HEAD")) ||
           span_equal(method, SPAN_LITERAL("OPTIONS")) || span_equal(method, SPAN_LITERAL("TRACE"));
}

static char *put(char **at, struct span text)
{
    char *start = *at;
    if (text.length)
        memcpy(start, text.data, text.length);
    start[text.length] = 0;
    *at += text.length + 1;
    return start;
}

/* "name: value", or "name;" for an empty one, which is libcurl's way to say so. */
static void put_field(struct curl_slist **last, struct curl_slist *node, char **at,
                      struct span name, struct span value)
{
    node->data = *at;
    node->next = NULL;
    memcpy(*at, name.data, name.length);
    *at += name.length;
    if (value.length) {
        memcpy(*at, ": ", 2);
        *at += 2;
        put(at, value);
    } else {
        put(at, SPAN_LITERAL(";"));
    }
    if (*last)
        (*last)->next = node;
    *last = node;
}

#define OWN_FIELDS 3 /* Host, and the names of two that libcurl is not to add */

/* The exchange and all that it needs of the request, in one block. */
static struct exchange *exchange_make(const struct exchange_request *request)
{
    size_t count = request->fields_count + OWN_FIELDS;
    size_t bytes = request->method.length + request->target.length + request->host.length + 64;
    for (size_t i = 0; i < request->fields_count; i++)
        bytes += request->fields[i].name.length + request->fields[i].value.length + 3;
    struct exchange *exchange =
        blocks_take(sizeof(*exchange) + count * sizeof(struct curl_slist) + bytes);
    if (!exchange)
        return NULL;
    *exchange = (struct exchange){.length = request->length};
    struct curl_slist *nodes = (struct curl_slist *)(exchange + 1);
    struct curl_slist *last = NULL;
    char *at = (char *)(nodes + count);
    exchange->method = put(&at, request->method);
    exchange->target = put(&at, request->target);
    exchange->fields = nodes;
    put_field(&last, nodes++, &at, SPAN_LITERAL("Host"), request->host);
    bool accepts = false;
    for (size_t i = 0; i < request->fields_count; i++) {
        accepts = accepts || span_equal(request->fields[i].name, SPAN_LITERAL("accept"));
        put_field(&last, nodes++, &at, request->fields[i].name, request->fields[i].value);
    }
    static char no_accept[] = "Accept:", no_expect[] = "Expect:";
    struct curl_slist without[] = {{no_accept, NULL}, {no_expect, NULL}};
    for (unsigned i = accepts; i < 2; i++) {
        *nodes = without[i];
        last->next = nodes;
        last = nodes++;
    }
    return exchange;
}

struct exchange *exchange_begin(struct origins *origins, const struct config_origin *origin,
                                const struct exchange_request *request,
                                const struct exchange_events *events, void *context)
{
    if (!origins->multi || timers_reserve(origins->timers, origins->timers->count + 16) < 0)
        return NULL;
    struct exchange *exchange = exchange_make(request);
    if (!exchange)
        return NULL;
    exchange->origins = origins;
    exchange->origin = origin;
    exchange->events = events;
    exchange->context = context;
    exchange->safe = is_safe(request->method);
    exchange->head_only = span_equal(request->method, SPAN_LITERAL("HEAD"));
    exchange->silence.fired = on_silence;
    exchange->next = origins->all;
    if (origins->all)
        origins->all->previous = exchange;
    origins->all = exchange;
    exchange_queue(exchange);
    return exchange;
}

void exchange_resume(struct exchange *exchange)
{
    exchange->resumed = true;
    exchange_queue(exchange);
}

void exchange_send(struct exchange *exchange)
{
    exchange->more = true;
    exchange_queue(exchange);
}

void exchange_cancel(struct exchange *exchange)
{
    exchange->events = NULL;
    exchange_queue(exchange);
}

const char *exchange_server(const struct exchange *exchange)
{
    return exchange->upstream ? exchange->upstream->server->text : "";
}

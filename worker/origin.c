#include "worker/origin.h"

#include "worker/blocks.h"
#include "worker/origin_head.h"
#include "worker/origin_sockets.h"
#include "worker/upstream.h"

#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HANDLES_KEPT 256      /* of one server */
#define CONNECTIONS_KEPT 256L /* idle ones, of all servers */
#define CONNECTION_AGE_S 55L  /* an idle one older than that is not used again */
#define UPLOAD_BYTES 16384L   /* what libcurl asks of a request's content at once */
#define ROUNDS_MAX 8          /* of one wake-up's work */
#define WHY_MAX 192

/* An easy handle that knows its server. */
struct origin_handle {
    struct origin_handle *next;
    CURL *easy;
    CURLU *url;
    struct upstream *upstream;
    struct exchange *exchange; /* that it is at work for */
    unsigned lookups;          /* upstream->lookups when it was told the addresses */
    bool looked_up;
    struct curl_slist resolve;
    char *resolve_text;
    char error[CURL_ERROR_SIZE];
};

struct exchange {
    struct exchange *next, *previous; /* all of them */
    struct exchange *next_due;
    struct origins *origins;
    const struct config_origin *origin;
    const struct exchange_events *events; /* NULL once cancelled */
    void *context;
    struct origin_handle *handle; /* NULL: none yet, or not any more */
    struct upstream *upstream;    /* that is or was asked last */
    int64_t length;
    bool safe;          /* may be sent again though a server had it (RFC 9110 9.2.1) */
    bool head_only;     /* HEAD */
    bool queued;        /* in origins->due */
    bool started;       /* a server was chosen */
    bool expired;       /* the time-out has passed */
    bool resumed, more; /* exchange_resume, exchange_send were called */
    bool taking_paused, giving_paused; /* this side takes, gives nothing at the moment */
    bool own_fault;                    /* what failed was not the server */
    uint32_t tried;                    /* places among the origin's servers */
    unsigned retries;
    unsigned sendings; /* how often the request was begun on the connection at hand or before it */
    struct origin_head *head; /* being received */
    bool head_seen;           /* the final one */
    struct timer silence;
    char *method, *target; /* in `block`, as are the fields' texts */
    struct curl_slist *fields;
    char why[WHY_MAX]; /* what this side found wrong with the response */
};

struct origins {
    struct timers *timers;
    struct stats *stats;
    CURLM *multi; /* NULL once it is quiet */
    struct upstreams *upstreams;
    struct exchange *all;
    struct exchange *due, *due_last; /* to be looked at */
    struct timer timer;              /* libcurl's */
    bool timer_due;
    bool acted; /* messages may wait */
    struct origin_sockets sockets;
    struct origin_heads heads;
};

static void queue(struct exchange *exchange)
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

/* ---- sockets and time ---- */

static void on_ready(void *context, int fd, unsigned events)
{
    struct origins *origins = context;
    int running, ready = 0;
    ready |= events & (POLLIN | POLLRDHUP) ? CURL_CSELECT_IN : 0;
    ready |= events & POLLOUT ? CURL_CSELECT_OUT : 0;
    ready |= events & (POLLERR | POLLHUP) ? CURL_CSELECT_ERR : 0;
    if (!ready || !origins->multi)
        return;
    curl_multi_socket_action(origins->multi, fd, ready, &running);
    origins->acted = true;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *known)
{
    struct origins *origins = context;
    unsigned wanted = what == CURL_POLL_REMOVE ? 0
                      : what == CURL_POLL_IN   ? POLLIN
                      : what == CURL_POLL_OUT  ? POLLOUT
                                               : POLLIN | POLLOUT;
    (void)easy, (void)known;
    origin_sockets_want(&origins->sockets, fd, wanted);
    return 0;
}

static int on_close_socket(void *context, curl_socket_t fd)
{
    return origin_sockets_close(&((struct origins *)context)->sockets, fd) < 0;
}

/* libcurl asks once for a time, and must not be called before it: the loop's clock may be behind.
 */
static int on_timer_wanted(CURLM *multi, long timeout_ms, void *context)
{
    struct origins *origins = context;
    (void)multi;
    origins->timer_due = timeout_ms == 0;
    if (timeout_ms <= 0) {
        timer_stop(origins->timers, &origins->timer);
        return 0;
    }
    uint64_t now_ms = timer_clock_us() / 1000;
    timer_set(origins->timers, &origins->timer, now_ms + (uint64_t)timeout_ms + 1);
    return 0;
}

static void on_timer(struct timer *timer)
{
    ((struct origins *)((char *)timer - offsetof(struct origins, timer)))->timer_due = true;
}

/* ---- the time-out ---- */

static void on_silence(struct timer *timer)
{
    struct exchange *exchange =
        (struct exchange *)((char *)timer - offsetof(struct exchange, silence));
    exchange->expired = true;
    queue(exchange);
}

/* It runs while the server has something to do. */
static void heard(struct exchange *exchange)
{
    struct timers *timers = exchange->origins->timers;
    if (exchange->taking_paused || exchange->giving_paused)
        timer_stop(timers, &exchange->silence);
    else
        timer_set(timers, &exchange->silence, timers->now_ms + exchange->origin->timeout_ms);
}

/* ---- what libcurl calls ---- */

static size_t on_field_line(char *line, size_t one, size_t length, void *context)
{
    struct origin_handle *handle = context;
    struct exchange *exchange = handle->exchange;
    struct origin_head *head = exchange->head;
    (void)one;
    if (!exchange->events)
        return 0;
    heard(exchange);
    if (exchange->head_seen) /* trailers are read over */
        return length;
    if (!head)
        head = exchange->head = origin_head_take(&exchange->origins->heads);
    const char *fault = head ? origin_head_line(head, span_make(line, length)) : "out of memory";
    if (fault) {
        snprintf(exchange->why, sizeof(exchange->why), "%s", fault);
        return 0;
    }
    if (!head->complete)
        return length;
    exchange->head = NULL;
    exchange->head_seen = head->status >= 200;
    if (exchange->head_seen) {
        upstream_answered(exchange->upstream);
        exchange->events->head(exchange->context, head->status, head->fields, head->fields_count,
                               head->length);
    } else if (head->status > 101) {
        exchange->events->interim(exchange->context, head->status, head->fields,
                                  head->fields_count);
    }
    origin_head_give(&exchange->origins->heads, head);
    return length;
}

static size_t on_content(char *data, size_t one, size_t length, void *context)
{
    struct origin_handle *handle = context;
    struct exchange *exchange = handle->exchange;
    (void)one;
    if (!exchange->events || !exchange->head_seen)
        return 0;
    if (length && !exchange->events->content(exchange->context, data, length)) {
        exchange->taking_paused = true;
        heard(exchange);
        return CURL_WRITEFUNC_PAUSE;
    }
    heard(exchange);
    return length;
}

static size_t on_wanted(char *out, size_t one, size_t room, void *context)
{
    struct origin_handle *handle = context;
    struct exchange *exchange = handle->exchange;
    (void)one;
    ptrdiff_t n =
        exchange->events ? exchange->events->wanted(exchange->context, out, room) : -ECANCELED;
    exchange->giving_paused = n == -EAGAIN;
    heard(exchange);
    if (n >= 0)
        return (size_t)n;
    if (n == -EAGAIN)
        return CURL_READFUNC_PAUSE;
    exchange->own_fault = true;
    snprintf(exchange->why, sizeof(exchange->why), "the request's content ended early");
    return CURL_READFUNC_ABORT;
}

/* A request is about to go out. libcurl repeats one by itself that went out on a kept connection
 * and got no answer; the server may have had it. */
static int on_sending(void *context, char *address, char *own_address, int port, int own_port)
{
    struct origin_handle *handle = context;
    struct exchange *exchange = handle->exchange;
    (void)address, (void)own_address, (void)port, (void)own_port;
    heard(exchange);
    if (exchange->sendings++ == 0 || exchange->safe)
        return CURL_PREREQFUNC_OK;
    snprintf(exchange->why, sizeof(exchange->why),
             "the connection ended before an answer, and %s is not repeated", exchange->method);
    return CURL_PREREQFUNC_ABORT;
}

/* ---- handles ---- */

#define SET(easy, option, value) (rc = rc ? rc : curl_easy_setopt(easy, option, value))

/* Taken apart once: libcurl would do it for each request. */
static CURLU *server_url(const struct config_server *server)
{
    char text[512];
    CURLU *url = curl_url();
    bool v6 = server->kind != SERVER_UNIX && strchr(server->host, ':');
    if (server->kind == SERVER_UNIX)
        snprintf(text, sizeof(text), "http://localhost/");
    else
        snprintf(text, sizeof(text), "%s://%s%s%s:%u/",
                 server->kind == SERVER_HTTPS ? "https" : "http", v6 ? "[" : "", server->host,
                 v6 ? "]" : "", server->port);
    if (!url || curl_url_set(url, CURLUPART_URL, text, 0)) {
        curl_url_cleanup(url);
        return NULL;
    }
    return url;
}

static CURLcode set_server(struct origin_handle *handle)
{
    CURL *easy = handle->easy;
    const struct config_server *server = handle->upstream->server;
    const struct config_origin *origin = handle->upstream->origin;
    CURLcode rc = CURLE_OK;
    handle->url = server_url(server);
    if (!handle->url)
        return CURLE_OUT_OF_MEMORY;
    if (server->kind == SERVER_UNIX)
        SET(easy, CURLOPT_UNIX_SOCKET_PATH, server->host);
    SET(easy, CURLOPT_CURLU, handle->url);
    SET(easy, CURLOPT_HTTP_VERSION,
        server->kind == SERVER_HTTPS ? (long)CURL_HTTP_VERSION_2TLS : (long)CURL_HTTP_VERSION_1_1);
    SET(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)origin->connect_timeout_ms);
    SET(easy, CURLOPT_SSL_VERIFYPEER, origin->verify ? 1L : 0L);
    SET(easy, CURLOPT_SSL_VERIFYHOST, origin->verify ? 2L : 0L);
    struct curl_blob ca = {(void *)(uintptr_t)origin->ca_pem.data, origin->ca_pem.length,
                           CURL_BLOB_NOCOPY};
    if (ca.len) {
        SET(easy, CURLOPT_CAINFO_BLOB, &ca);
        SET(easy, CURLOPT_CAPATH, NULL);
    }
    return rc;
}

static CURLcode set_callbacks(struct origin_handle *handle, struct origins *origins)
{
    CURL *easy = handle->easy;
    CURLcode rc = CURLE_OK;
    SET(easy, CURLOPT_HEADERFUNCTION, on_field_line);
    SET(easy, CURLOPT_HEADERDATA, handle);
    SET(easy, CURLOPT_WRITEFUNCTION, on_content);
    SET(easy, CURLOPT_WRITEDATA, handle);
    SET(easy, CURLOPT_READFUNCTION, on_wanted);
    SET(easy, CURLOPT_READDATA, handle);
    SET(easy, CURLOPT_PREREQFUNCTION, on_sending);
    SET(easy, CURLOPT_PREREQDATA, handle);
    SET(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
    SET(easy, CURLOPT_CLOSESOCKETDATA, origins);
    SET(easy, CURLOPT_ERRORBUFFER, handle->error);
    SET(easy, CURLOPT_PRIVATE, handle);
    return rc;
}

/* What holds for every request. No proxy of the environment's, no resolver, no signals, nothing
 * decoded, nothing followed. */
static CURLcode set_manners(CURL *easy)
{
    CURLcode rc = CURLE_OK;
    SET(easy, CURLOPT_NOSIGNAL, 1L);
    SET(easy, CURLOPT_PROXY, "");
    SET(easy, CURLOPT_NOPROXY, "");
    SET(easy, CURLOPT_DNS_CACHE_TIMEOUT, -1L);
    SET(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    SET(easy, CURLOPT_PATH_AS_IS, 1L);
    SET(easy, CURLOPT_FOLLOWLOCATION, 0L);
    SET(easy, CURLOPT_HTTP09_ALLOWED, 0L);
    SET(easy, CURLOPT_ACCEPT_ENCODING, NULL);
    SET(easy, CURLOPT_UPLOAD_BUFFERSIZE, UPLOAD_BYTES);
    SET(easy, CURLOPT_MAXAGE_CONN, CONNECTION_AGE_S);
    return rc;
}

static void handle_destroy(struct origin_handle *handle)
{
    curl_easy_cleanup(handle->easy);
    curl_url_cleanup(handle->url);
    free(handle->resolve_text);
    free(handle);
}

static struct origin_handle *handle_create(struct origins *origins, struct upstream *upstream)
{
    struct origin_handle *handle = calloc(1, sizeof(*handle));
    if (!handle)
        return NULL;
    handle->upstream = upstream;
    handle->easy = curl_easy_init();
    if (!handle->easy || set_manners(handle->easy) || set_server(handle) ||
        set_callbacks(handle, origins)) {
        handle_destroy(handle);
        return NULL;
    }
    return handle;
}

/* What libcurl takes for the host's addresses from the next request on. */
static CURLcode tell_addresses(struct origin_handle *handle)
{
    const struct upstream *upstream = handle->upstream;
    if (!upstream->server->named || (handle->looked_up && handle->lookups == upstream->lookups))
        return CURLE_OK;
    free(handle->resolve_text);
    if (asprintf(&handle->resolve_text, "%s:%u:%s", upstream->server->host, upstream->server->port,
                 upstream->addresses) < 0) {
        handle->resolve_text = NULL;
        return CURLE_OUT_OF_MEMORY;
    }
    handle->resolve.data = handle->resolve_text;
    handle->lookups = upstream->lookups;
    handle->looked_up = true;
    return curl_easy_setopt(handle->easy, CURLOPT_RESOLVE, &handle->resolve);
}

static struct origin_handle *handle_take(struct origins *origins, struct upstream *upstream)
{
    struct origin_handle *handle = upstream->idle;
    if (handle) {
        upstream->idle = handle->next;
        upstream->idle_count--;
    } else {
        handle = handle_create(origins, upstream);
    }
    if (handle && tell_addresses(handle)) {
        handle_destroy(handle);
        return NULL;
    }
    return handle;
}

static void handle_give(struct origin_handle *handle)
{
    struct upstream *upstream = handle->upstream;
    handle->exchange = NULL;
    if (upstream->idle_count >= HANDLES_KEPT) {
        handle_destroy(handle);
        return;
    }
    handle->next = upstream->idle;
    upstream->idle = handle;
    upstream->idle_count++;
}

static CURLcode set_request(CURL *easy, const struct exchange *exchange)
{
    CURLcode rc = curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L); /* what was set before ends */
    if (exchange->head_only)
        SET(easy, CURLOPT_NOBODY, 1L);
    if (exchange->length) {
        SET(easy, CURLOPT_UPLOAD, 1L);
        SET(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)exchange->length);
    }
    SET(easy, CURLOPT_CUSTOMREQUEST, exchange->method);
    SET(easy, CURLOPT_REQUEST_TARGET, exchange->target);
    SET(easy, CURLOPT_HTTPHEADER, exchange->fields);
    return rc;
}

/* ---- exchanges ---- */

static void exchange_free(struct exchange *exchange)
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

static void let_go(struct exchange *exchange)
{
    struct origin_handle *handle = exchange->handle;
    if (!handle)
        return;
    exchange->handle = NULL;
    exchange->upstream->active--;
    timer_stop(exchange->origins->timers, &exchange->silence);
    curl_multi_remove_handle(exchange->origins->multi, handle->easy);
    handle_give(handle);
}

static void finish(struct exchange *exchange, enum exchange_end how, const char *text)
{
    const struct exchange_events *events = exchange->events;
    let_go(exchange);
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
    struct origin_handle *handle = handle_take(origins, upstream);
    if (!handle)
        return -ENOMEM;
    exchange->started = true;
    exchange->tried |= UINT32_C(1) << place;
    exchange->upstream = upstream;
    exchange->sendings = 0;
    exchange->taking_paused = exchange->giving_paused = exchange->resumed = exchange->more = false;
    handle->exchange = exchange;
    handle->error[0] = 0;
    if (set_request(handle->easy, exchange) ||
        curl_multi_add_handle(origins->multi, handle->easy)) {
        handle->exchange = NULL;
        handle_destroy(handle);
        return -ENOMEM;
    }
    exchange->handle = handle;
    upstream->active++;
    stats_add(origins->stats, COUNTER_origin_requests, 1);
    heard(exchange);
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
    char kept[CURL_ERROR_SIZE + WHY_MAX];
    snprintf(kept, sizeof(kept), "%s", text);
    if (!exchange->own_fault) {
        stats_add(origins->stats, COUNTER_origin_failures, 1);
        stats_add(origins->stats, COUNTER_origin_timeouts, how == EXCHANGE_SILENT);
        stats_add(origins->stats, COUNTER_origin_rests,
                  upstream_failed(exchange->upstream, exchange->origin->rest_ms,
                                  origins->timers->now_ms));
    }
    bool again = may_retry(exchange);
    let_go(exchange);
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

static void completed(struct exchange *exchange, CURLcode result)
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
    heard(exchange);
    curl_easy_pause(exchange->handle->easy, mask);
    exchange->origins->acted = true;
}

static void look_at(struct exchange *exchange)
{
    if (!exchange->events) {
        let_go(exchange);
        exchange_free(exchange);
    } else if (exchange->expired) {
        char text[WHY_MAX];
        snprintf(text, sizeof(text), "nothing came for %u ms", exchange->origin->timeout_ms);
        fail(exchange, EXCHANGE_SILENT, text);
    } else if (!exchange->started) {
        begin(exchange);
    } else if (exchange->handle && (exchange->resumed || exchange->more)) {
        go_on(exchange);
    }
}

static void read_messages(struct origins *origins)
{
    CURLMsg *message;
    int left;
    origins->acted = false;
    while ((message = curl_multi_info_read(origins->multi, &left))) {
        struct origin_handle *handle;
        CURLcode result = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&handle);
        completed(handle->exchange, result);
    }
}

bool origins_pending(const struct origins *origins)
{
    return origins && origins->multi && (origins->due || origins->timer_due || origins->acted);
}

bool origins_work(struct origins *origins)
{
    int running;
    for (unsigned round = 0; round < ROUNDS_MAX && origins_pending(origins); round++) {
        struct exchange *exchange = origins->due;
        origins->due = NULL;
        while (exchange) {
            struct exchange *next = exchange->next_due;
            exchange->queued = false;
            look_at(exchange);
            exchange = next;
        }
        if (origins->timer_due) {
            origins->timer_due = false;
            curl_multi_socket_action(origins->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        }
        read_messages(origins);
    }
    return origins_pending(origins);
}

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
    queue(exchange);
    return exchange;
}

void exchange_resume(struct exchange *exchange)
{
    exchange->resumed = true;
    queue(exchange);
}

void exchange_send(struct exchange *exchange)
{
    exchange->more = true;
    queue(exchange);
}

void exchange_cancel(struct exchange *exchange)
{
    exchange->events = NULL;
    queue(exchange);
}

const char *exchange_server(const struct exchange *exchange)
{
    return exchange->upstream ? exchange->upstream->server->text : "";
}

void origins_rename(struct origins *origins, struct span name, struct span addresses)
{
    upstreams_rename(origins->upstreams, name, addresses);
}

/* ---- life ---- */

#define SET_MULTI(option, value) (rc = rc ? rc : curl_multi_setopt(origins->multi, option, value))

struct origins *origins_create(struct ring *ring, struct timers *timers, struct segment_slot *slot,
                               const struct config *config)
{
    struct origins *origins = calloc(1, sizeof(*origins));
    CURLMcode rc = CURLM_OK;
    if (!origins)
        return NULL;
    *origins = (struct origins){.timers = timers, .stats = &slot->stats};
    origins->timer.fired = on_timer;
    origins->sockets = (struct origin_sockets){.ring = ring, .ready = on_ready, .context = origins};
    origins->upstreams = upstreams_create(config);
    /* Without memory libcurl would lose a request's timeouts, or divide by a table's size of 0. */
    if (!origins->upstreams || blocks_reserve() < 0 ||
        curl_global_init_mem(CURL_GLOBAL_DEFAULT, blocks_take_surely, blocks_give,
                             blocks_resize_surely, blocks_copy_text_surely,
                             blocks_take_zeroed_surely) ||
        !(origins->multi = curl_multi_init()) || timers_reserve(timers, timers->count + 16) < 0) {
        origins_destroy(origins);
        return NULL;
    }
    upstreams_tell(origins->upstreams, slot->servers, SEGMENT_SERVERS_MAX);
    SET_MULTI(CURLMOPT_SOCKETFUNCTION, on_socket);
    SET_MULTI(CURLMOPT_SOCKETDATA, origins);
    SET_MULTI(CURLMOPT_TIMERFUNCTION, on_timer_wanted);
    SET_MULTI(CURLMOPT_TIMERDATA, origins);
    SET_MULTI(CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    SET_MULTI(CURLMOPT_MAXCONNECTS, CONNECTIONS_KEPT);
    if (rc) {
        origins_destroy(origins);
        return NULL;
    }
    return origins;
}

static void drop_handles(struct origins *origins)
{
    for (size_t i = 0; i < upstreams_count(origins->upstreams); i++) {
        struct upstream *upstream = upstreams_at(origins->upstreams, i);
        while (upstream->idle) {
            struct origin_handle *handle = upstream->idle;
            upstream->idle = handle->next;
            handle_destroy(handle);
        }
        upstream->idle_count = 0;
    }
}

bool origins_quiesce(struct origins *origins)
{
    if (!origins)
        return true;
    if (origins->multi) {
        origins->due = NULL;
        while (origins->all) {
            origins->all->queued = false;
            let_go(origins->all);
            exchange_free(origins->all);
        }
        drop_handles(origins);
        curl_multi_cleanup(origins->multi);
        origins->multi = NULL;
        timer_stop(origins->timers, &origins->timer);
    }
    return origins->sockets.count == 0;
}

void origins_destroy(struct origins *origins)
{
    if (!origins)
        return;
    if (origins->upstreams)
        origins_quiesce(origins);
    origin_sockets_finish(&origins->sockets);
    upstreams_destroy(origins->upstreams);
    origin_heads_finish(&origins->heads);
    free(origins);
}

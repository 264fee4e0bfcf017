#include "worker/origin_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HANDLES_KEPT 256     /* of one server */
#define CONNECTION_AGE_S 55L /* an idle one older than that is not used again */
#define UPLOAD_BYTES 16384L  /* what libcurl asks of a request's content at once */

/* ---- what libcurl calls ---- */

static size_t on_field_line(char *line, size_t one, size_t length, void *context)
{
    struct origin_handle *handle = context;
    struct exchange *exchange = handle->exchange;
    struct origin_head *head = exchange->head;
    (void)one;
    if (!exchange->events)
        return 0;
    exchange_heard(exchange);
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
        exchange_heard(exchange);
        return CURL_WRITEFUNC_PAUSE;
    }
    exchange_heard(exchange);
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
    exchange_heard(exchange);
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
    exchange_heard(exchange);
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

static int on_close_socket(void *context, curl_socket_t fd)
{
    return origin_sockets_close(&((struct origins *)context)->sockets, fd) < 0;
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

void origin_handle_destroy(struct origin_handle *handle)
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
        origin_handle_destroy(handle);
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

struct origin_handle *origin_handle_take(struct origins *origins, struct upstream *upstream)
{
    struct origin_handle *handle = upstream->idle;
    if (handle) {
        upstream->idle = handle->next;
        upstream->idle_count--;
    } else {
        handle = handle_create(origins, upstream);
    }
    if (handle && tell_addresses(handle)) {
        origin_handle_destroy(handle);
        return NULL;
    }
    return handle;
}

void origin_handle_give(struct origin_handle *handle)
{
    struct upstream *upstream = handle->upstream;
    handle->exchange = NULL;
    if (upstream->idle_count >= HANDLES_KEPT) {
        origin_handle_destroy(handle);
        return;
    }
    handle->next = upstream->idle;
    upstream->idle = handle;
    upstream->idle_count++;
}

CURLcode origin_handle_set(CURL *easy, const struct exchange *exchange)
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

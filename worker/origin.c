#include "worker/origin_internal.h"

#include "worker/blocks.h"

#include <poll.h>
#include <stdlib.h>

#define CONNECTIONS_KEPT 256L /* idle ones, of all servers */
#define ROUNDS_MAX 8          /* of one wake-up's work */

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

/* ---- work ---- */

static void read_messages(struct origins *origins)
{
    CURLMsg *message;
    int left;
    origins->acted = false;
    while ((message = curl_multi_info_read(origins->multi, &left))) {
        struct origin_handle *handle;
        CURLcode result = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&handle);
        exchange_completed(handle->exchange, result);
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
            exchange_work(exchange);
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

void origins_rename(struct origins *origins, struct span name, struct span addresses)
{
    upstreams_rename(origins->upstreams, name, addresses);
}

/* ---- life ---- */

#define SET_MULTI(option, value) (rc = rc ? rc : curl_multi_setopt(origins->multi, option, value))

const char *origins_library(void)
{
    return curl_version_info(CURLVERSION_NOW)->version;
}

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
            origin_handle_destroy(handle);
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
            exchange_let_go(origins->all);
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

#include "worker/worker.h"

#include "policy/bundle.h"
#include "worker/accept.h"
#include "worker/addresses.h"
#include "worker/blocks.h"
#include "worker/conn.h"
#include "worker/manifest.h"
#include "worker/origin.h"
#include "worker/outcome.h"
#include "worker/markup.h"
#include "worker/page.h"
#include "worker/proxy.h"
#include "worker/page_queue.h"
#include "worker/stream.h"
#include "worker/worker_log.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#define ACCESS_LOG_BYTES (256 * 1024)
#define ERROR_LOG_BYTES (32 * 1024)
#define BURIALS_NS 100000 /* of a wake-up, for connections that have ended; */
#define BURIALS_SHARE 16  /* one in so many of them, and one more, though others wait */

/* ---- pools and ids ---- */

void worker_request_id(struct worker *worker, char *text)
{
    identity_digits(worker->id_base + worker->request_ids++, text);
    text[16] = 0;
}

/* ---- words from the master ---- */

static void send_word(struct worker *worker, enum handoff_word word, const char *text)
{
    char message[HANDOFF_MESSAGE_MAX];
    int length = snprintf(message, sizeof(message), "%c%s", word, text);
    if (length >= (int)sizeof(message))
        length = sizeof(message) - 1;
    if (send(worker->handoff->control_fd, message, (size_t)length, MSG_NOSIGNAL) < 0)
        worker->stopping = true; /* the master is gone */
}

static void send_numbered(struct worker *worker, enum handoff_word word, uint32_t number,
                          const char *text)
{
    char message[HANDOFF_MESSAGE_MAX];
    size_t length = strnlen(text, sizeof(message) - 1 - sizeof(number));
    message[0] = (char)word;
    memcpy(message + 1, &number, sizeof(number));
    memcpy(message + 1 + sizeof(number), text, length);
    if (send(worker->handoff->control_fd, message, 1 + sizeof(number) + length, MSG_NOSIGNAL) < 0)
        worker->stopping = true; /* the master is gone */
}

void worker_tell_difference(struct worker *worker, uint32_t number, const char *text)
{
    send_numbered(worker, HANDOFF_DIFFERS, number, text);
}

static void on_drain_deadline(struct timer *timer)
{
    struct worker *worker = (struct worker *)((char *)timer - offsetof(struct worker, drain));
    for (struct conn *conn = worker->conns; conn; conn = conn->next)
        conn_abort(conn);
}

static void drain(struct worker *worker)
{
    if (worker->draining)
        return;
    worker->draining = true;
    acceptor_stop(worker->acceptor);
    for (struct conn *conn = worker->conns; conn; conn = conn->next)
        conn_drain(conn);
    timer_set(&worker->timers, &worker->drain,
              worker->timers.now_ms + worker->config->limits.drain);
}

static void stop(struct worker *worker)
{
    worker->stopping = true;
    acceptor_stop(worker->acceptor);
    for (struct conn *conn = worker->conns; conn; conn = conn->next)
        conn_abort(conn);
}

static void reopen_logs(struct worker *worker, uint8_t flags, const int *fds, unsigned count)
{
    unsigned used = 0;
    if (flags & 1 && used < count)
        worker_log_reopen(&worker->access, fds[used++]);
    if (flags & 2 && used < count)
        worker_log_reopen(&worker->errors, fds[used++]);
}

/* A version of the policies arrives, and is ready to run before that is said. */
static void load_policy(struct worker *worker, uint32_t number, const int *fds, unsigned count)
{
    char text[FAULT_WHERE_MAX + FAULT_WHAT_MAX + 16] = "";
    struct fault fault = {0};
    if (count == 0)
        fault_set(&fault, -EINVAL, NULL, 0, "no bundle came with the version");
    if (count == 0 || policy_versions_load(&worker->policies, number, fds[0], &fault) < 0)
        fault_text(&fault, text, sizeof(text));
    send_numbered(worker, HANDOFF_LOADED, number, text);
}

static void take_addresses(struct worker *worker, struct span text)
{
    size_t space = span_find(text, ' ');
    if (worker->origins && space < text.length)
        origins_rename(worker->origins, span_make(text.data, space), span_after(text, space + 1));
}

static void obey(struct worker *worker, const uint8_t *message, size_t length, int *fds,
                 unsigned fds_count)
{
    uint32_t share = 0;
    if (length >= 1 + sizeof(share))
        memcpy(&share, message + 1, sizeof(share));
    switch ((enum handoff_word)message[0]) {
    case HANDOFF_DRAIN:
        drain(worker);
        break;
    case HANDOFF_STOP:
        stop(worker);
        break;
    case HANDOFF_ADOPT:
        if (share < worker->handoff->shares && !worker->draining)
            acceptor_adopt(worker->acceptor, share);
        break;
    case HANDOFF_RELEASE:
        if (share < worker->handoff->shares && share != worker->handoff->share)
            acceptor_release(worker->acceptor, share);
        break;
    case HANDOFF_LOGS:
        reopen_logs(worker, length > 1 ? message[1] : 0, fds, fds_count);
        return; /* the logs keep the descriptors */
    case HANDOFF_POLICY:
        load_policy(worker, share, fds, fds_count);
        break;
    case HANDOFF_FORGET:
        policy_versions_forget(&worker->policies, share);
        break;
    case HANDOFF_ADDRESSES:
        take_addresses(worker, span_make(message + 1, length - 1));
        break;
    case HANDOFF_READY:
    case HANDOFF_FAULT:
    case HANDOFF_LOADED:
    case HANDOFF_DIFFERS:
        break;
    }
    for (unsigned i = 0; i < fds_count; i++)
        close(fds[i]);
}

/* Takes the descriptors out of a message's control data. */
static unsigned take_descriptors(struct msghdr *header, int *fds, unsigned max)
{
    unsigned count = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n && count < max; i++)
            memcpy(&fds[count++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
    }
    return count;
}

static void read_control(struct worker *worker)
{
    for (;;) {
        uint8_t message[HANDOFF_MESSAGE_MAX];
        union {
            struct cmsghdr align;
            char bytes[CMSG_SPACE(2 * sizeof(int))];
        } ancillary;
        int fds[2];
        struct iovec part = {message, sizeof(message)};
        struct msghdr header = {.msg_iov = &part,
                                .msg_iovlen = 1,
                                .msg_control = ancillary.bytes,
                                .msg_controllen = sizeof(ancillary.bytes)};
        ssize_t n = recvmsg(worker->handoff->control_fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) { /* the master is gone, and no worker outlives it */
            stop(worker);
            return;
        }
        obey(worker, message, (size_t)n, fds, take_descriptors(&header, fds, 2));
    }
}

static void on_control(struct ring_op *op, const struct ring_event *event)
{
    struct worker *worker = (struct worker *)((char *)op - offsetof(struct worker, control));
    if (event->result == -ECANCELED)
        return;
    read_control(worker);
    if (!worker->stopping)
        ring_poll(worker->ring, op, worker->handoff->control_fd, POLLIN);
}

/* ---- the loop ---- */

static void flush_dirty(struct worker *worker)
{
    while (worker->dirty) {
        struct conn *conn = worker->dirty;
        worker->dirty = conn->next_dirty;
        conn_flush(conn);
    }
}

/* Connections whose receive found no buffer are armed again now that buffers are back. */
static void feed_starved(struct worker *worker)
{
    struct conn *conn = worker->starved;
    worker->starved = NULL;
    while (conn) {
        struct conn *next = conn->next_starved;
        conn->starved = false;
        if (conn->state == CONN_CLOSING)
            conn_dirty(conn);
        else
            conn_receive(conn);
        conn = next;
    }
}

/* A session with all its streams takes a while, and whoever waits for the ring is to wait for few of them,
 * but for as many as keep the dead from becoming ever more. Returns true when some are left for the next
 * wake-up. */
static bool bury_dead(struct worker *worker)
{
    uint64_t began = worker->dead ? timer_clock_ns() : 0;
    unsigned least = worker->dead_count / BURIALS_SHARE, buried = 0;
    while (worker->dead) {
        struct conn *conn = worker->dead;
        worker->dead = conn->next;
        worker->dead_count--;
        conn_destroy(conn);
        if (timer_clock_ns() - began >= BURIALS_NS ||
            (buried++ >= least && ring_has_more(worker->ring)))
            break;
    }
    return worker->dead != NULL;
}

static void on_logs_due(struct timer *timer)
{
    (void)timer; /* it only ends the wait: the logs are flushed in every wake-up */
}

static void flush_logs(struct worker *worker)
{
    bool now = worker->stopping || (worker->draining && !worker->conns_count);
    worker_log_flush(&worker->access, now);
    worker_log_flush(&worker->errors, now);
    uint64_t access_ms = worker_log_due(&worker->access);
    uint64_t errors_ms = worker_log_due(&worker->errors);
    uint64_t due_ms = access_ms < errors_ms ? access_ms : errors_ms;
    if (due_ms != UINT64_MAX)
        timer_set(&worker->timers, &worker->logs_due, due_ms);
}

static bool finished(struct worker *worker)
{
    if ((!worker->draining && !worker->stopping) || worker->conns_count || worker->dead)
        return false;
    ring_cancel(worker->ring, &worker->control);
    return acceptor_idle(worker->acceptor) && content_quiesce(worker->content) &&
           origins_quiesce(worker->origins) &&
           !worker->control.armed && worker_log_idle(&worker->access) &&
           worker_log_idle(&worker->errors);
}

void worker_beat(struct worker *worker)
{
    _Atomic uint64_t *heartbeat = &worker->slot->heartbeat;
    atomic_store_explicit(heartbeat, atomic_load_explicit(heartbeat, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

/* What the push table counts by itself becomes the worker's. */
static void tell_evictions(struct worker *worker)
{
    uint64_t evicted = worker->pushes.counts.evicted;
    if (evicted != worker->evictions_told)
        stats_add(worker->stats, COUNTER_table_evictions, evicted - worker->evictions_told);
    worker->evictions_told = evicted;
}

void worker_turn(struct worker *worker, int64_t most_ns)
{
    int64_t timeout_ns = timers_wait_ns(&worker->timers);
    if (most_ns >= 0 && (timeout_ns < 0 || timeout_ns > most_ns))
        timeout_ns = most_ns;
    bool more = worker->more || worker->dirty || origins_pending(worker->origins);
    ring_sleep(worker->ring, more ? 0 : timeout_ns);
    timers_update(&worker->timers);
    worker->wakeups++;
    worker_beat(worker);
    worker->work = 0;
    ring_run(worker->ring);
    timers_run(&worker->timers);
    worker->more = content_work(worker->content);
    worker->more = markup_work(worker->markup) || worker->more;
    if (worker->origins)
        worker->more = origins_work(worker->origins) || worker->more;
    feed_starved(worker);
    flush_dirty(worker);
    worker->more = page_queue_run(worker) || worker->more;
    worker->more = conn_input_run(worker) || worker->more;
    worker->more = bury_dead(worker) || worker->more;
    flush_logs(worker);
    tell_evictions(worker);
}

static void run(struct worker *worker)
{
    /* What ends may have no completion of its own. */
    while (!finished(worker))
        worker_turn(worker, worker->draining || worker->stopping ? 50000000 : -1);
}

/* ---- setting up ---- */

static bool wants_tls(const struct config *config)
{
    for (size_t i = 0; i < config->listens_count; i++)
        if (config->listens[i].tls)
            return true;
    return false;
}

/* The first version must be good; those beside it may be missing here. */
static int start_policies(struct worker *worker, struct fault *fault)
{
    const struct handoff *handoff = worker->handoff;
    struct fault other;
    page_policy_host(worker, &worker->policy_host);
    policy_versions_init(&worker->policies, worker->config, &worker->policy_host,
                         handoff->segment->header, worker->slot);
    for (unsigned i = 0; i < handoff->versions_count; i++) {
        const struct handoff_version *version = &handoff->versions[i];
        int rc = policy_versions_load(&worker->policies, version->number, version->fd,
                                      i == 0 ? fault : &other);
        if (rc < 0 && i == 0)
            return rc;
        if (rc < 0)
            send_numbered(worker, HANDOFF_LOADED, version->number, other.what);
    }
    return 0;
}

/* What all workers share. */
static int attach_regions(struct worker *worker, struct fault *fault)
{
    struct segment *segment = worker->handoff->segment;
    int rc = push_table_attach(&worker->pushes, segment->pushes, segment->header->pushes_bytes,
                               (int)worker->handoff->slot + 1);
    if (rc < 0)
        return fault_set(fault, rc, "push table", 0, "cannot be used: %s", strerror(-rc));
    rc = names_attach(&worker->names, segment->names, segment->header->names_bytes);
    if (rc < 0)
        return fault_set(fault, rc, "names", 0, "cannot be used: %s", strerror(-rc));
    rc = learned_attach(&worker->learned, segment->learned, SEGMENT_LEARNED_BYTES);
    if (rc < 0)
        return fault_set(fault, rc, "learned sets", 0, "cannot be used: %s", strerror(-rc));
    for (size_t i = 0; rc == 0 && i < worker->config->shared_count; i++)
        rc = shared_dict_attach(&worker->shared[i], segment->shared[i],
                                segment->header->shared_bytes[i],
                                (uint32_t)worker->handoff->slot + 1, segment->secrets->hash_key);
    if (rc < 0)
        return fault_set(fault, rc, "shared", 0, "cannot be used: %s", strerror(-rc));
    return outcomes_start(worker, fault);
}

static bool has_origins(const struct config *config)
{
    for (size_t i = 0; i < config->sites_count; i++)
        for (size_t j = 0; j < config->sites[i].routes_count; j++)
            if (config->sites[i].routes[j].origin.servers_count)
                return true;
    return false;
}

/* Letting others pass costs a wake-up, so several steps are made at once while they are short. */
#define STEPS_NS 100000

static bool others_wait(void *ring, uint64_t since_ns)
{
    return ring_has_more(ring) && timer_clock_ns() - since_ns >= STEPS_NS;
}

static int start_parts(struct worker *worker, struct fault *fault)
{
    const struct config *config = worker->config;
    int rc = ring_create(&worker->ring, fault);
    if (rc == 0)
        rc = attach_regions(worker, fault);
    if (rc < 0)
        return rc;
    if (worker->handoff->shares && wants_tls(config)) {
        rc = tls_context_create(config, worker->handoff->segment, &worker->tls, fault);
        if (rc < 0)
            return rc;
        tls_context_let_pass(worker->tls, others_wait, worker->ring);
    }
    worker->http2 = http2_context_create(&stream_events, &config->limits);
    worker->http1 = http1_context_create(&stream_events, &config->limits);
    worker->content = content_create(worker->ring, &worker->timers, worker->stats,
                                     CONTENT_BYTES_DEFAULT);
    worker->plaintext = malloc(OUTBOX_BYTES);
    const uint8_t *id = worker->handoff->segment->secrets->key_id;
    snprintf(worker->via_name, sizeof(worker->via_name), "herald-%02x%02x%02x%02x", id[0], id[1], id[2],
             id[3]);
    if (worker->handoff->shares && has_origins(config)) {
        worker->origins = origins_create(worker->ring, &worker->timers, worker->slot, config);
        if (!worker->origins)
            return fault_set(fault, -ENOMEM, "origin", 0, "libcurl cannot be set up");
        if (config->cache.memory_bytes)
            worker->cache =
                cache_create(config->cache.memory_bytes, config->cache.entry_bytes, worker->stats);
        worker->markup = markup_create(worker->cache, worker->stats);
        if (!worker->markup || (config->cache.memory_bytes && !worker->cache))
            return fault_set(fault, -ENOMEM, "cache", 0, "out of memory");
    }
    if (!worker->http2 || !worker->http1 || !worker->content || !worker->plaintext ||
        worker_log_open(&worker->access, worker, worker->handoff->access_fd, ACCESS_LOG_BYTES) ||
        worker_log_open(&worker->errors, worker, worker->handoff->error_fd, ERROR_LOG_BYTES))
        return fault_set(fault, -ENOMEM, "worker", 0, "out of memory");
    return start_policies(worker, fault);
}

int worker_prepare(struct worker *worker, const struct handoff *handoff, struct fault *fault)
{
    *worker = (struct worker){.handoff = handoff,
                              .config = handoff->config,
                              .slot = &handoff->segment->slots[handoff->slot],
                              .access.fd = -1,
                              .errors.fd = -1};
    worker->stats = &worker->slot->stats;
    list_init(&worker->pages_waiting.lines);
    list_init(&worker->inputs);
    timers_update(&worker->timers);
    worker->slow_start_after_idle = conn_path_restarts();
    worker->drain.fired = on_drain_deadline;
    worker->logs_due.fired = on_logs_due;
    worker->control.done = on_control;
    if (getrandom(&worker->id_base, sizeof(worker->id_base), 0) < 0)
        return fault_set(fault, -errno, "worker", 0, "no random numbers: %s", strerror(errno));
    return start_parts(worker, fault);
}

static int start(struct worker *worker, const struct handoff *handoff, struct fault *fault)
{
    int rc = worker_prepare(worker, handoff, fault);
    if (rc < 0)
        return rc;
    worker->acceptor = acceptor_create(worker);
    if (!worker->acceptor || addresses_create(&worker->config->limits, &worker->timers.now_ms,
                                              &worker->addresses) < 0)
        return fault_set(fault, -ENOMEM, "worker", 0, "out of memory");
    ring_poll(worker->ring, &worker->control, worker->handoff->control_fd, POLLIN);
    ring_sleep(worker->ring, 0); /* submits: from here on connections are accepted */
    return 0;
}

static void finish(struct worker *worker)
{
    policy_versions_finish(&worker->policies);
    manifests_finish(worker);
    pages_finish(worker);
    outcomes_finish(worker);
    acceptor_destroy(worker->acceptor);
    addresses_destroy(worker->addresses);
    content_destroy(worker->content);
    proxy_finish(worker);
    origins_destroy(worker->origins);
    markup_destroy(worker->markup);
    cache_destroy(worker->cache);
    http2_context_destroy(worker->http2);
    http1_context_destroy(worker->http1);
    tls_context_destroy(worker->tls);
    worker_log_close(&worker->access);
    worker_log_close(&worker->errors);
    outbox_pool_finish(&worker->outboxes);
    while (worker->free_streams) {
        struct stream *stream = worker->free_streams;
        worker->free_streams = stream->next;
        free(stream);
    }
    free(worker->plaintext);
    timers_finish(&worker->timers);
    blocks_finish();
    ring_destroy(worker->ring);
}

/* A worker serves as many connections as descriptors allow. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int worker_run(const struct handoff *handoff)
{
    char text[FAULT_WHERE_MAX + FAULT_WHAT_MAX + 16];
    struct fault fault;
    struct worker worker;
    signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    tls_use_blocks();
    if (start(&worker, handoff, &fault) < 0) {
        send_word(&worker, HANDOFF_FAULT, fault_text(&fault, text, sizeof(text)));
        return 1;
    }
    send_word(&worker, HANDOFF_READY, "");
    run(&worker);
    finish(&worker);
    return 0;
}

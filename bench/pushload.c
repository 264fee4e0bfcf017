/* A load client that takes pushes and remembers them: rounds of visits by many clients, on one
 * thread. README.md beside this file says what it measures. */
#include "bench/pushload/conn.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define EVENTS_MAX 256
#define LOOK_MS 100 /* at the deadlines */
#define CONNECTING_MAX 128 /* connections: a crowd's handshakes would exceed the server's limit */
#define LINGER_US 10000000 /* the longest that a busy server takes to say goodbye */
#define CUT_SPAN_DEFAULT 32768

/* ---- one visit ---- */

void run_ask(struct conn *conn)
{
    if (conn->state != CONN_WAITING)
        return;
    conn->state = CONN_ASKED;
    conn->asked_us = load_now_us();
    session_ask(conn);
    conn_send(conn);
}

/* The siblings ask at the same moment, so that the server's workers race; with --at-once all
 * clients do. */
void run_client_ready(struct run *run, struct client *client)
{
    if (!run->load->options->at_once || client->first) {
        for (struct conn *conn = client->conns; conn; conn = conn->next_of_client)
            run_ask(conn);
    } else if (--run->unready == 0) {
        for (struct conn *conn = run->conns; conn; conn = conn->next)
            run_ask(conn);
    }
}

void run_visited(struct run *run, struct client *client)
{
    client_end_visit(run->load, client);
    run->visiting--;
}

static enum cut choose_cut(struct load *load, const struct client *client)
{
    const struct options *options = load->options;
    if (client->first || load->last_round)
        return CUT_NONE;
    uint64_t chance = load_random(load, 100);
    if (chance < options->close_percent)
        return CUT_CLOSE;
    if (chance < options->close_percent + options->reset_percent)
        return CUT_RESET;
    return chance < options->close_percent + options->reset_percent + options->black_hole_percent
               ? CUT_BLACK_HOLE
               : CUT_NONE;
}

static void visit(struct run *run, struct client *client, bool first)
{
    unsigned count = first ? 1 : run->load->options->conns_per_client;
    client->first = first;
    client->open = client->waiting = count;
    client_begin_visit(run->load, client);
    run->visiting++;
    for (unsigned i = 0; i < count; i++)
        conn_open(run, client, choose_cut(run->load, client));
}

/* ---- the loop ---- */

static void look_at_deadlines(struct run *run)
{
    uint64_t now = load_now_us(), limit = (uint64_t)run->load->options->timeout_s * 1000000u;
    struct conn *conn = run->conns;
    while (conn) {
        bool lingered = conn->state == CONN_LINGERING && now > conn->linger_us + LINGER_US;
        bool late = now > conn->began_us + limit;
        if (lingered || late) {
            conn_end(conn, lingered ? conn_lingered(conn) : ENDED_TIMEOUT);
            conn = run->conns; /* its end may have moved others */
        } else {
            conn = conn->next;
        }
    }
}

/* An event's connection may have ended by an earlier event of the same batch: never, since each
 * connection has one event, and an event ends no other connection. */
static void turn(struct run *run, uint64_t *looked_us)
{
    struct epoll_event events[EVENTS_MAX];
    int n = epoll_wait(run->epoll, events, EVENTS_MAX, LOOK_MS);
    for (int i = 0; i < n; i++)
        conn_on_event(events[i].data.ptr, events[i].events);
    if (load_now_us() - *looked_us > LOOK_MS * 1000) {
        *looked_us = load_now_us();
        look_at_deadlines(run);
    }
}

static bool time_is_up(struct load *load)
{
    uint64_t limit = (uint64_t)load->options->duration_s * 1000000u;
    load->out_of_time |= load_now_us() - load->began_us > limit;
    return load->out_of_time;
}

/* Everybody visits once. `first`: those who have no cookie yet. */
static void round_of_visits(struct run *run, bool first)
{
    const struct options *options = run->load->options;
    uint64_t looked_us = load_now_us();
    unsigned next = 0;
    run->unready = options->clients;
    while (run->visiting || next < options->clients) {
        while (run->visiting < options->parallel && run->connecting < CONNECTING_MAX &&
               next < options->clients) {
            struct client *client = &run->load->clients[next++];
            if (time_is_up(run->load))
                next = options->clients;
            else if (!first || !client->cookies[0])
                visit(run, client, first);
        }
        if (run->visiting)
            turn(run, &looked_us);
    }
}

static void rest(struct run *run)
{
    uint64_t until = load_now_us() + (uint64_t)run->load->options->pause_ms * 1000u;
    while (load_now_us() < until && !time_is_up(run->load))
        usleep(1000);
}

/* Plain GETs on one connection without push, for the bodies that pushes must equal. */
static void fetch_references(struct run *run)
{
    uint64_t looked_us = load_now_us();
    conn_open(run, NULL, CUT_NONE);
    while (run->conns)
        turn(run, &looked_us);
}

static void count_verified(struct load *load)
{
    for (unsigned i = 0; i < load->resources_count; i++) {
        const struct resource *resource = &load->resources[i];
        for (unsigned v = 0; v < resource->versions_count; v++)
            *(resource->versions[v].asked ? &load->totals.verified : &load->totals.unverified) +=
                resource->versions[v].seen;
    }
}

static void go(struct run *run)
{
    struct load *load = run->load;
    const struct options *options = load->options;
    fetch_references(run);
    load->connected.count = 0;
    load->began_us = load_now_us();
    if (options->first)
        round_of_visits(run, true);
    for (unsigned i = 0; i < options->visits && !time_is_up(load); i++) {
        load->last_round = i + 1 == options->visits;
        if (i)
            rest(run);
        round_of_visits(run, false);
    }
    load->ended_us = load_now_us();
    if (options->verify)
        fetch_references(run);
    count_verified(load);
}

/* ---- set-up ---- */

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct conn *conn = SSL_get_app_data(ssl);
    if (!conn || !conn->client || !conn->run->load->options->resume)
        return 0;
    SSL_SESSION_free(conn->client->session);
    conn->client->session = session;
    return 1;
}

static SSL_CTX *make_tls(void)
{
    static const unsigned char ALPN[] = {2, 'h', '2'};
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
    if (!tls)
        return NULL;
    SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
    SSL_CTX_set_alpn_protos(tls, ALPN, sizeof(ALPN));
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(tls,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    SSL_CTX_sess_set_new_cb(tls, keep_session);
    return tls;
}

static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "pushload: %s: %s\n", what, why);
    return -1;
}

static int load_init(struct load *load, const struct options *options)
{
    *load = (struct load){.options = options, .random = options->seed * 2654435761u + 88172645463u};
    load->clients = calloc(options->clients, sizeof(*load->clients));
    if (!load->clients || (options->tls && !(load->tls = make_tls())))
        return fail("start", strerror(ENOMEM));
    for (unsigned i = 0; i < options->assets_count; i++) {
        const char *path = options->assets[i];
        load->resources[resource_find(load, path, strlen(path))].asset = true;
    }
    int rc = options->jar ? jar_read(load) : 0;
    return rc < 0 ? fail(options->jar, strerror(-rc)) : 0;
}

static int run_init(struct run *run, struct load *load)
{
    const struct options *options = load->options;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    *run = (struct run){.load = load, .cut_span = CUT_SPAN_DEFAULT};
    int rc = getaddrinfo(options->host, options->port, &hints, &run->address);
    if (rc)
        return fail(options->host, gai_strerror(rc));
    run->epoll = epoll_create1(EPOLL_CLOEXEC);
    return run->epoll < 0 ? fail("epoll", strerror(errno)) : 0;
}

static void finish(struct run *run)
{
    struct load *load = run->load;
    for (size_t i = 0; i < run->holes_count; i++)
        close(run->holes[i]);
    free(run->holes);
    if (run->address)
        freeaddrinfo(run->address);
    if (run->epoll > 0)
        close(run->epoll);
    for (unsigned i = 0; load->clients && i < load->options->clients; i++)
        SSL_SESSION_free(load->clients[i].session);
    SSL_CTX_free(load->tls);
    free(load->clients);
    free(load->complete.us);
    free(load->connected.us);
}

int main(int argc, char **argv)
{
    static struct options options;
    static struct load load;
    static struct run run;
    int rc = options_read(&options, argc, argv);
    if (rc)
        return rc - 1;
    raise_descriptors();
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    run.load = &load;
    load.options = &options;
    if (load_init(&load, &options) == 0 && run_init(&run, &load) == 0) {
        go(&run);
        report_print(&load);
        rc = options.jar ? jar_write(&load) : 0;
        if (rc < 0)
            fail(options.jar, strerror(-rc));
        rc = rc < 0 || load.totals.mismatched || load.totals.pages == 0;
    } else {
        rc = 1;
    }
    finish(&run);
    return rc;
}

#include "bench/pushload/conn.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES 16384
#define CUT_RECEIVE_BUFFER 4096 /* so that a cut leaves most of the pushes unacknowledged */

/* ---- bytes ---- */

enum { MOVED_NONE = 0, MOVED_END = -1 };

/* What SSL_read and SSL_write returned. The thread's queue of errors was empty before the call:
 * what another connection leaves there would be taken for this one's. */
static ssize_t of_tls(struct conn *conn, int n)
{
    int error = SSL_get_error(conn->ssl, n);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? MOVED_NONE : MOVED_END;
}

/* Returns the bytes read, MOVED_NONE or MOVED_END. */
static ssize_t conn_read(struct conn *conn, uint8_t *bytes, size_t size)
{
    if (conn->ssl) {
        ERR_clear_error();
        int n = SSL_read(conn->ssl, bytes, (int)size);
        return n > 0 ? n : of_tls(conn, n);
    }
    ssize_t n = read(conn->fd, bytes, size);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return MOVED_NONE;
    conn->closed |= n == 0;
    return n > 0 ? n : MOVED_END;
}

static ssize_t conn_write(struct conn *conn, const uint8_t *bytes, size_t length)
{
    if (conn->ssl) {
        ERR_clear_error();
        int n = SSL_write(conn->ssl, bytes, (int)length);
        return n > 0 ? n : of_tls(conn, n);
    }
    ssize_t n = send(conn->fd, bytes, length, MSG_NOSIGNAL);
    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == EINTR ? MOVED_NONE : MOVED_END;
}

/* Moves frames from the session to `out`, as many as fit. */
static void gather(struct conn *conn)
{
    while (conn->out_length < CONN_OUT_BYTES) {
        if (conn->pending_length == 0) {
            ssize_t n = nghttp2_session_mem_send(conn->session, &conn->pending);
            if (n < 0)
                conn->failed = true;
            if (n <= 0)
                return;
            conn->pending_length = (size_t)n;
        }
        size_t room = CONN_OUT_BYTES - conn->out_length;
        size_t n = conn->pending_length < room ? conn->pending_length : room;
        memcpy(conn->out + conn->out_length, conn->pending, n);
        conn->out_length += n;
        conn->pending += n;
        conn->pending_length -= n;
    }
}

static void watch(struct conn *conn, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = conn};
    if (conn->events == events)
        return;
    if (epoll_ctl(conn->run->epoll, conn->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, conn->fd,
                  &event) < 0)
        conn->failed = true;
    conn->events = events;
}

/* A write that fails ends nothing: what the kernel has received and acknowledged before is still to
 * be read, and the end behind it. */
void conn_send(struct conn *conn)
{
    for (;;) {
        gather(conn);
        if (conn->mute)
            conn->out_length = 0;
        if (conn->failed || conn->out_length == 0)
            break;
        ssize_t n = conn_write(conn, conn->out, conn->out_length);
        if (n == MOVED_END) {
            conn->mute = true;
            continue;
        }
        if (n <= 0)
            break;
        conn->out_length -= (size_t)n;
        memmove(conn->out, conn->out + n, conn->out_length);
    }
    watch(conn, conn->out_length ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/* ---- cutting ---- */

/* From here on the kernel drops segments that carry data before TCP sees them, so that nothing more
 * is acknowledged; those without data still pass. The filter sees the TCP header. */
static bool stop_acknowledging(int fd)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 12), /* header length in the upper four bits, in words */
        BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 4),
        BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 2),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_X, 0, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, 0x7fffffff),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == 0;
}

/* Reads what was acknowledged already, so that all of it is known, and only that. */
static void drain(struct conn *conn)
{
    uint8_t bytes[READ_BYTES];
    ssize_t n;
    while ((n = conn_read(conn, bytes, sizeof(bytes))) > 0)
        if (!session_receive(conn, bytes, (size_t)n))
            return;
}

static void keep_hole(struct run *run, int fd)
{
    int *holes = realloc(run->holes, (run->holes_count + 1) * sizeof(*holes));
    if (!holes) {
        close(fd);
        return;
    }
    run->holes = holes;
    run->holes[run->holes_count++] = fd;
}

/* Returns false when the pushes were complete by then: there is nothing to cut. */
static bool cut(struct conn *conn)
{
    conn->cut_now = false;
    if (!stop_acknowledging(conn->fd)) {
        conn->failed = true;
        return false;
    }
    drain(conn);
    if (session_done(conn)) {
        setsockopt(conn->fd, SOL_SOCKET, SO_DETACH_FILTER, NULL, 0);
        conn->cut = CUT_NONE;
        return false;
    }
    return true;
}

/* ---- life ---- */

static void link_in(struct conn *conn)
{
    struct run *run = conn->run;
    conn->next = run->conns;
    if (run->conns)
        run->conns->prev = conn;
    run->conns = conn;
    if (conn->client) {
        conn->next_of_client = conn->client->conns;
        conn->client->conns = conn;
    }
}

static void unlink_from_client(struct conn *conn)
{
    struct conn **at = &conn->client->conns;
    while (*at != conn)
        at = &(*at)->next_of_client;
    *at = conn->next_of_client;
}

static void unlink_from(struct conn *conn)
{
    if (conn->next)
        conn->next->prev = conn->prev;
    if (conn->prev)
        conn->prev->next = conn->next;
    else
        conn->run->conns = conn->next;
    if (conn->client)
        unlink_from_client(conn);
}

static int make_tls(struct conn *conn)
{
    struct load *load = conn->run->load;
    conn->ssl = SSL_new(load->tls);
    if (!conn->ssl || SSL_set_fd(conn->ssl, conn->fd) != 1)
        return -ENOMEM;
    SSL_set_connect_state(conn->ssl);
    SSL_set_app_data(conn->ssl, conn);
    char name[OPTIONS_TEXT_MAX];
    strcpy(name, load->options->authority);
    name[strcspn(name, ":")] = '\0';
    if (name[0] != '[' && strspn(name, "0123456789.") != strlen(name))
        SSL_set_tlsext_host_name(conn->ssl, name);
    if (conn->client && conn->client->session && load->options->resume)
        SSL_set_session(conn->ssl, conn->client->session);
    return 0;
}

static int make_socket(struct conn *conn)
{
    const struct addrinfo *address = conn->run->address;
    int on = 1, small = CUT_RECEIVE_BUFFER;
    conn->fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0)
        return -errno;
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (conn->cut != CUT_NONE)
        setsockopt(conn->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    if (connect(conn->fd, address->ai_addr, address->ai_addrlen) < 0 && errno != EINPROGRESS)
        return -errno;
    watch(conn, EPOLLOUT);
    return conn->failed ? -ENOMEM : 0;
}

void conn_open(struct run *run, struct client *client, enum cut cut_as)
{
    struct conn *conn = calloc(1, sizeof(*conn));
    if (!conn) {
        fputs("pushload: out of memory\n", stderr);
        exit(1);
    }
    conn->run = run;
    conn->client = client;
    conn->fd = -1;
    conn->cut = cut_as;
    conn->pages_left = run->load->options->pages;
    conn->cut_at = 1 + load_random(run->load, run->cut_span);
    conn->began_us = load_now_us();
    run->load->totals.connections += client != NULL;
    link_in(conn);
    run->connecting++;
    if (make_socket(conn) < 0 || (run->load->tls && make_tls(conn) < 0))
        conn_end(conn, ENDED_REFUSED);
}

static void count_ending(struct conn *conn, enum ending ending)
{
    struct totals *totals = &conn->run->load->totals;
    totals->connect_failures += ending == ENDED_REFUSED;
    totals->lost += ending == ENDED_LOST;
    totals->abrupt += ending == ENDED_ABRUPT;
    totals->timeouts += ending == ENDED_TIMEOUT;
    totals->cuts += ending == ENDED_CUT;
}

/* What the connection's streams mean to its client, now that no more will come of them. */
static void account(struct conn *conn, enum ending ending)
{
    struct client *client = conn->client;
    for (struct stream *stream = conn->streams; client && stream; stream = stream->next) {
        unsigned resource = (unsigned)stream->resource;
        if (stream->promised && !stream->closed) {
            client_promise_lost(client, resource);
            conn->run->load->totals.cut_off++;
        } else if (stream->role != ROLE_PAGE && stream->delivered && ending != ENDED_WELL) {
            client_doubts(client, resource);
        }
    }
}

static void close_socket(struct conn *conn, enum ending ending)
{
    struct linger at_once = {.l_onoff = 1};
    if (conn->fd < 0)
        return;
    if (ending == ENDED_CUT && conn->cut == CUT_BLACK_HOLE) {
        epoll_ctl(conn->run->epoll, EPOLL_CTL_DEL, conn->fd, NULL);
        keep_hole(conn->run, conn->fd);
        return;
    }
    if (ending == ENDED_CUT && conn->cut == CUT_RESET)
        setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(conn->fd);
}

static void drop_streams(struct conn *conn)
{
    while (conn->streams) {
        struct stream *stream = conn->streams;
        conn->streams = stream->next;
        free(stream);
    }
}

void conn_end(struct conn *conn, enum ending ending)
{
    struct run *run = conn->run;
    struct client *client = conn->client;
    enum conn_state state = conn->state;
    count_ending(conn, ending);
    account(conn, ending);
    unlink_from(conn);
    run->connecting -= state < CONN_WAITING;
    close_socket(conn, ending);
    drop_streams(conn);
    nghttp2_session_del(conn->session);
    SSL_free(conn->ssl);
    free(conn);
    if (!client)
        return;
    client->troubled |= ending != ENDED_WELL;
    client->open--;
    if (state < CONN_WAITING && --client->waiting == 0)
        run_client_ready(run, client);
    if (client->open == 0)
        run_visited(run, client);
}

static bool page_came(const struct conn *conn)
{
    for (const struct stream *stream = conn->streams; stream; stream = stream->next)
        if (stream->role == ROLE_PAGE)
            return stream->delivered;
    return false;
}

static void count_page(struct conn *conn)
{
    struct load *load = conn->run->load;
    load->totals.pages++;
    times_add(&load->complete, load_now_us() - conn->asked_us);
}

/* Says goodbye in order and waits for the other side to do so: a close with unread bytes would
 * be a reset, after which the server may not have seen all acknowledgements. Over TLS the socket
 * stays open until the server's close_notify, or the server might end before it can send one, unless
 * a half-close is wanted: a server may take the client's close_notify for no end. */
static void linger_on(struct conn *conn)
{
    if (conn->client && page_came(conn))
        count_page(conn);
    nghttp2_session_terminate_session(conn->session, NGHTTP2_NO_ERROR);
    conn_send(conn);
    ERR_clear_error();
    if (conn->ssl)
        SSL_shutdown(conn->ssl);
    if (!conn->ssl || conn->run->load->options->half_close)
        shutdown(conn->fd, SHUT_WR);
    conn->linger_us = load_now_us();
    conn->state = CONN_LINGERING;
    watch(conn, EPOLLIN);
}

enum ending conn_lingered(const struct conn *conn)
{
    bool closed = conn->ssl ? SSL_get_shutdown(conn->ssl) & SSL_RECEIVED_SHUTDOWN : conn->closed;
    return closed ? ENDED_WELL : ENDED_ABRUPT;
}

/* All is over that was asked and promised: the next page, or the end. */
static void page_over(struct conn *conn)
{
    if (!conn->client || conn->client->first || !page_came(conn) || conn->pages_left <= 1) {
        linger_on(conn);
        return;
    }
    conn->pages_left--;
    count_page(conn);
    drop_streams(conn); /* many pages are not kept account of */
    conn->asked_us = load_now_us();
    session_ask(conn);
    conn_send(conn);
}

static void on_readable(struct conn *conn)
{
    uint8_t bytes[READ_BYTES];
    ssize_t n = MOVED_NONE;
    while (!conn->cut_now && (n = conn_read(conn, bytes, sizeof(bytes))) > 0) {
        if (conn->state == CONN_LINGERING)
            session_count(conn, bytes, (size_t)n);
        else if (!session_receive(conn, bytes, (size_t)n))
            conn->failed = true;
        if (conn->failed)
            break;
    }
    if (conn->cut_now && cut(conn)) {
        conn_end(conn, ENDED_CUT);
        return;
    }
    if (conn->state == CONN_LINGERING) {
        if (n == MOVED_END)
            conn_end(conn, conn_lingered(conn));
        return;
    }
    if (n != MOVED_END && !conn->failed && !session_done(conn))
        conn_send(conn); /* which ends the streams that it resets */
    if (session_done(conn) && !conn->failed)
        page_over(conn);
    else if (n == MOVED_END || conn->failed)
        conn_end(conn, ENDED_LOST);
}

/* The connection can ask as soon as its siblings can. */
static void become_ready(struct conn *conn)
{
    struct load *load = conn->run->load;
    times_add(&load->connected, load_now_us() - conn->began_us);
    conn->state = CONN_WAITING;
    if (session_open(conn) < 0) {
        conn->failed = true;
        return;
    }
    conn->run->connecting--;
    if (!conn->client)
        run_ask(conn);
    else if (--conn->client->waiting == 0)
        run_client_ready(conn->run, conn->client);
    if (conn->state == CONN_WAITING) /* the preface at least: the server waits for it */
        conn_send(conn);
}

static void on_shaking(struct conn *conn)
{
    ERR_clear_error();
    int n = SSL_do_handshake(conn->ssl);
    if (n == 1) {
        conn->run->load->totals.resumed += (uint64_t)SSL_session_reused(conn->ssl);
        become_ready(conn);
        return;
    }
    int error = SSL_get_error(conn->ssl, n);
    if (error == SSL_ERROR_WANT_READ)
        watch(conn, EPOLLIN);
    else if (error == SSL_ERROR_WANT_WRITE)
        watch(conn, EPOLLOUT);
    else
        conn->failed = true;
}

static void on_connected(struct conn *conn)
{
    int error = 0;
    socklen_t length = sizeof(error);
    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 || error) {
        conn->failed = true;
        return;
    }
    if (!conn->ssl) {
        become_ready(conn);
        return;
    }
    conn->state = CONN_SHAKING;
    on_shaking(conn);
}

void conn_on_event(struct conn *conn, uint32_t events)
{
    if (conn->state == CONN_CONNECTING) {
        on_connected(conn);
    } else if (conn->state == CONN_SHAKING) {
        on_shaking(conn);
    } else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        on_readable(conn);
        return;
    } else if (conn->state < CONN_LINGERING) {
        conn_send(conn);
    }
    if (conn->failed)
        conn_end(conn, conn->state < CONN_WAITING ? ENDED_REFUSED : ENDED_LOST);
}

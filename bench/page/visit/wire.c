#include "bench/page/visit/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_BYTES 16384

enum { MOVED_NONE = 0, MOVED_END = -1 };

uint64_t wire_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void fail(struct wire *wire, const char *why)
{
    if (!wire->failed)
        wire->why = why;
    wire->failed = true;
}

/* ---- bytes ---- */

static ssize_t of_tls(struct wire *wire, int n)
{
    int error = SSL_get_error(wire->ssl, n);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? MOVED_NONE : MOVED_END;
}

static ssize_t wire_read(struct wire *wire, uint8_t *bytes, size_t size)
{
    if (wire->ssl) {
        int n = SSL_read(wire->ssl, bytes, (int)size);
        return n > 0 ? n : of_tls(wire, n);
    }
    ssize_t n = read(wire->fd, bytes, size);
    if (n > 0)
        return n;
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? MOVED_NONE : MOVED_END;
}

static ssize_t wire_write(struct wire *wire, const uint8_t *bytes, size_t length)
{
    if (wire->ssl) {
        int n = SSL_write(wire->ssl, bytes, (int)length);
        return n > 0 ? n : of_tls(wire, n);
    }
    ssize_t n = send(wire->fd, bytes, length, MSG_NOSIGNAL);
    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == EINTR ? MOVED_NONE : MOVED_END;
}

static void gather(struct wire *wire)
{
    while (wire->out_length < WIRE_OUT_BYTES) {
        if (wire->pending_length == 0) {
            ssize_t n = nghttp2_session_mem_send(wire->session, &wire->pending);
            if (n < 0)
                fail(wire, "the HTTP/2 session is broken");
            if (n <= 0)
                return;
            wire->pending_length = (size_t)n;
        }
        size_t room = WIRE_OUT_BYTES - wire->out_length;
        size_t n = wire->pending_length < room ? wire->pending_length : room;
        memcpy(wire->out + wire->out_length, wire->pending, n);
        wire->out_length += n;
        wire->pending += n;
        wire->pending_length -= n;
    }
}

void wire_send(struct wire *wire)
{
    while (wire->ready_us && !wire->failed) {
        gather(wire);
        if (wire->out_length == 0)
            return;
        ssize_t n = wire_write(wire, wire->out, wire->out_length);
        if (n == MOVED_END)
            fail(wire, "the connection was lost while sending");
        if (n <= 0)
            return;
        wire->counts.sent += (uint64_t)n;
        wire->out_length -= (size_t)n;
        memmove(wire->out, wire->out + n, wire->out_length);
    }
}

static void receive(struct wire *wire)
{
    uint8_t bytes[READ_BYTES];
    ssize_t n = MOVED_NONE;
    while (!wire->failed && (n = wire_read(wire, bytes, sizeof(bytes))) > 0) {
        wire->counts.received += (uint64_t)n;
        session_feed(wire, bytes, (size_t)n);
    }
    if (n == MOVED_END)
        fail(wire, "the server ended the connection");
}

/* ---- life ---- */

static void become_ready(struct wire *wire)
{
    wire->ready_us = wire_now_us();
    session_open(wire);
    browser_ask_page(wire->browser);
    wire_send(wire);
}

static void shake(struct wire *wire)
{
    int n = SSL_do_handshake(wire->ssl);
    if (n == 1)
        become_ready(wire);
    else if (of_tls(wire, n) == MOVED_END)
        fail(wire, "the TLS handshake failed");
}

static void on_connected(struct wire *wire)
{
    int error = 0;
    socklen_t length = sizeof(error);
    if (getsockopt(wire->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 || error) {
        fail(wire, "the server refused the connection");
        return;
    }
    wire->connected_us = wire_now_us();
    if (wire->ssl)
        shake(wire);
    else
        become_ready(wire);
}

static bool make_tls(struct wire *wire)
{
    wire->ssl = SSL_new(wire->tls);
    if (!wire->ssl || SSL_set_fd(wire->ssl, wire->fd) != 1)
        return false;
    SSL_set_connect_state(wire->ssl);
    if (strspn(wire->options->authority, "0123456789.:") != strlen(wire->options->authority)) {
        char name[256];
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(wire->options->authority, ":"),
                 wire->options->authority);
        SSL_set_tlsext_host_name(wire->ssl, name);
    }
    return true;
}

void wire_open(struct wire *wire)
{
    int on = 1;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(wire->options->port)};
    inet_pton(AF_INET, wire->options->address, &to.sin_addr);
    wire->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (wire->fd < 0 || (wire->tls && !make_tls(wire))) {
        fail(wire, "no socket");
        return;
    }
    setsockopt(wire->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(wire->fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS)
        fail(wire, "the server cannot be reached");
}

void wire_step(struct wire *wire, uint64_t until_us)
{
    struct pollfd poll_fd = {.fd = wire->fd, .events = POLLIN};
    uint64_t now = wire_now_us();
    uint64_t left = until_us > now ? until_us - now : 0;
    struct timespec timeout = {(time_t)(left / 1000000), (long)(left % 1000000 * 1000)};
    if (!wire->connected_us || wire->out_length)
        poll_fd.events |= POLLOUT;
    if (wire->failed || ppoll(&poll_fd, 1, &timeout, NULL) <= 0)
        return;
    if (!wire->connected_us)
        on_connected(wire);
    else if (!wire->ready_us)
        shake(wire);
    else
        receive(wire);
    wire_send(wire);
}

void wire_begin(struct wire *wire)
{
    wire->streams_count = wire->streams_open = 0;
    wire->counts = (struct wire_counts){0};
    wire->settled = false;
}

void wire_goodbye(struct wire *wire, uint64_t until_us)
{
    uint8_t bytes[READ_BYTES];
    struct pollfd poll_fd = {.fd = wire->fd, .events = POLLIN};
    if (wire->failed)
        return;
    nghttp2_session_terminate_session(wire->session, NGHTTP2_NO_ERROR);
    wire_send(wire);
    if (wire->ssl)
        SSL_shutdown(wire->ssl);
    shutdown(wire->fd, SHUT_WR);
    while (wire_now_us() < until_us) {
        int left_ms = (int)((until_us - wire_now_us()) / 1000 + 1);
        if (poll(&poll_fd, 1, left_ms) > 0 && read(wire->fd, bytes, sizeof(bytes)) <= 0)
            return;
    }
}

void wire_close(struct wire *wire)
{
    nghttp2_session_del(wire->session);
    SSL_free(wire->ssl);
    if (wire->fd >= 0)
        close(wire->fd);
    wire->session = NULL;
    wire->ssl = NULL;
    wire->fd = -1;
}

/* Opens HTTP/2 connections that ask for one small file each and then do nothing, and holds them:
 *
 *   build/bench/idle tls|h2c PORT COUNT PATH
 *
 * Prints "ready COUNT" when all of them were answered, and ends at the end of its input. Status 1,
 * with a line that says why, when a connection could not be made or was not answered. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define REQUEST_MAX 512
#define READ_BYTES 32768
#define ANSWER_S 10 /* the longest that an answer may take */

struct link {
    int fd;
    SSL *ssl; /* NULL in cleartext */
};

static int fail(const char *what)
{
    fprintf(stderr, "idle: %s: %s\n", what, strerror(errno));
    return -1;
}

static uint8_t *put(uint8_t *at, const void *data, size_t length)
{
    memcpy(at, data, length);
    return at + length;
}

static uint8_t *put_header(uint8_t *at, size_t length, uint8_t type, uint8_t flags, uint8_t stream)
{
    const uint8_t header[9] = {0, (uint8_t)(length >> 8), (uint8_t)length, type, flags,
                               0, 0, 0, stream};
    return put(at, header, sizeof(header));
}

/* A field whose name is entry `index` of HPACK's static table, as a literal that is not indexed. */
static uint8_t *put_field(uint8_t *at, uint8_t index, const char *value)
{
    size_t length = strlen(value);
    *at++ = index;
    *at++ = (uint8_t)length;
    return put(at, value, length);
}

/* The preface, SETTINGS without pushes, and one GET (RFC 9113 3.4, 6.5, 8.3.1). */
static size_t write_request(uint8_t *out, bool tls, const char *authority, const char *path)
{
    static const char PREFACE[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    static const uint8_t SETTINGS[] = {0, 2, 0, 0, 0, 0};
    uint8_t block[REQUEST_MAX / 2], *end = block;
    *end++ = 0x82; /* :method GET */
    *end++ = tls ? 0x87 : 0x86; /* :scheme */
    end = put_field(end, 1, authority);
    end = put_field(end, 4, path);
    uint8_t *at = put(out, PREFACE, sizeof(PREFACE) - 1);
    at = put(put_header(at, sizeof(SETTINGS), 4, 0, 0), SETTINGS, sizeof(SETTINGS));
    at = put(put_header(at, (size_t)(end - block), 1, 5, 1), block, (size_t)(end - block));
    at = put_header(at, 0, 4, 1, 0); /* acknowledges the server's SETTINGS, which will come */
    return (size_t)(at - out);
}

static ssize_t link_read(struct link *link, uint8_t *out, size_t room)
{
    return link->ssl ? SSL_read(link->ssl, out, (int)room) : read(link->fd, out, room);
}

static ssize_t link_write(struct link *link, const uint8_t *data, size_t length)
{
    return link->ssl ? SSL_write(link->ssl, data, (int)length) : write(link->fd, data, length);
}

/* Whether the frames hold the end of stream 1; `*at` moves behind the last whole one. */
static bool answered(const uint8_t *data, size_t length, size_t *at)
{
    while (length - *at >= 9) {
        const uint8_t *frame = data + *at;
        size_t size = 9 + ((size_t)frame[0] << 16 | (size_t)frame[1] << 8 | frame[2]);
        if (length - *at < size)
            return false;
        *at += size;
        if (frame[3] <= 1 && frame[4] & 1 && frame[8] == 1)
            return true;
    }
    return false;
}

static int await_answer(struct link *link)
{
    static uint8_t data[READ_BYTES];
    size_t length = 0, at = 0;
    while (length < sizeof(data)) {
        ssize_t n = link_read(link, data + length, sizeof(data) - length);
        if (n <= 0)
            return fail("no answer");
        length += (size_t)n;
        if (answered(data, length, &at))
            return 0;
    }
    errno = EMSGSIZE;
    return fail("the answer");
}

static int open_link(struct link *link, const struct sockaddr_in *address, SSL_CTX *tls)
{
    struct timeval limit = {.tv_sec = ANSWER_S};
    int on = 1;
    link->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (link->fd < 0)
        return fail("socket");
    setsockopt(link->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(link->fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
        return fail("connect");
    if (!tls)
        return 0;
    link->ssl = SSL_new(tls);
    if (!link->ssl || SSL_set_fd(link->ssl, link->fd) != 1 || SSL_connect(link->ssl) != 1)
        return fail("TLS handshake");
    return 0;
}

static SSL_CTX *make_tls(void)
{
    static const unsigned char ALPN[] = {2, 'h', '2'};
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
    if (tls) {
        SSL_CTX_set_alpn_protos(tls, ALPN, sizeof(ALPN));
        SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
        SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    }
    return tls;
}

static int hold(unsigned count, const struct sockaddr_in *address, SSL_CTX *tls, const char *path)
{
    uint8_t request[REQUEST_MAX];
    char authority[32];
    snprintf(authority, sizeof(authority), "127.0.0.1:%u", ntohs(address->sin_port));
    size_t length = write_request(request, tls != NULL, authority, path);
    for (unsigned i = 0; i < count; i++) {
        struct link link = {0};
        if (open_link(&link, address, tls) < 0)
            return -1;
        if (link_write(&link, request, length) != (ssize_t)length)
            return fail("write");
        if (await_answer(&link) < 0)
            return -1;
    }
    printf("ready %u\n", count);
    fflush(stdout);
    while (getchar() != EOF)
        ;
    return 0; /* the connections end with the process */
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    struct rlimit limit;
    if (argc != 5 || (strcmp(argv[1], "tls") && strcmp(argv[1], "h2c")) || strlen(argv[4]) > 100) {
        fprintf(stderr, "usage: idle tls|h2c PORT COUNT PATH\n");
        return 2;
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    address.sin_port = htons((uint16_t)atoi(argv[2]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    SSL_CTX *tls = strcmp(argv[1], "tls") == 0 ? make_tls() : NULL;
    return hold((unsigned)atoi(argv[3]), &address, tls, argv[4]) < 0;
}

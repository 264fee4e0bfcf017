/* One connection of a visit: socket, TLS and HTTP/2, and the account of every byte on it. */
#ifndef PAGE_VISIT_WIRE_H
#define PAGE_VISIT_WIRE_H

#include "bench/page/visit/browser.h"
#include "bench/page/visit/frames.h"
#include "bench/page/visit/options.h"

#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>
#include <stdio.h>

#define WIRE_STREAMS_MAX 1024 /* of one page */
#define WIRE_COOKIES_MAX 512
#define WIRE_OUT_BYTES 16384

struct wire_stream {
    int32_t id;
    struct resource *resource; /* NULL: of no resource that is known */
    int status;
    uint64_t bytes;  /* of DATA on the wire, those of a stream that was reset too */
    uint64_t offset; /* of what was compared with the file */
    bool pushed, redundant, cancelled, whole, closed;
};

/* What the connection carried during one page. */
struct wire_counts {
    unsigned promises, delivered, cancelled, redundant, lost, requests, hints, mismatched,
        bad_status;
    uint64_t received, sent; /* bytes read from and written to the socket */
};

struct wire {
    const struct options *options;
    struct browser *browser;
    SSL_CTX *tls;  /* borrowed; NULL: cleartext */
    char *cookies; /* borrowed: WIRE_COOKIES_MAX, filled by what the server sets */
    FILE *trace;   /* borrowed, or NULL */
    int fd;
    SSL *ssl;
    nghttp2_session *session;
    struct frames frames;
    struct wire_stream streams[WIRE_STREAMS_MAX];
    unsigned streams_count, streams_open;
    struct wire_counts counts;
    bool settled; /* the PING sent after everything else was answered */
    bool failed;
    const char *why;                 /* it failed */
    uint64_t connected_us, ready_us; /* 0: not yet */
    const uint8_t *pending;
    size_t pending_length, out_length;
    uint8_t out[WIRE_OUT_BYTES];
};

uint64_t wire_now_us(void);

/* Connects and shakes hands, as far as that goes without waiting. Failures show in `failed`. */
void wire_open(struct wire *wire);
void wire_close(struct wire *wire);

/* The page before is over: its streams are forgotten, the counts begin anew. */
void wire_begin(struct wire *wire);

/* Waits at most until `until_us` for something to happen, and lets it. */
void wire_step(struct wire *wire, uint64_t until_us);

/* Asks for a resource (browser.ask); it is sent by wire_send. */
void wire_ask(void *wire, struct resource *resource);
void wire_send(struct wire *wire);

/* Sends a PING, whose answer shows that nothing that was sent before it is still under way. */
void wire_ping(struct wire *wire);

/* Says goodbye and waits for the peer to do so, at most until `until_us`: its last acknowledgements
 * are sent then. */
void wire_goodbye(struct wire *wire, uint64_t until_us);

/* ---- session.c ---- */

/* Makes the HTTP/2 session and its preface. */
void session_open(struct wire *wire);
void session_feed(struct wire *wire, const uint8_t *bytes, size_t length);

#endif

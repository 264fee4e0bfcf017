/* What tls.c and tls_context.c share; included by no other file. */
#ifndef HERALD_TLS_INTERNAL_H
#define HERALD_TLS_INTERNAL_H

#include "worker/tls.h"

#include <openssl/evp.h>
#include <openssl/ssl.h>

#define TLS_SCRATCH_BYTES 16384 /* one record's plaintext */
#define TLS_COVERS_MAX 128

/* One certificate, in a context of its own that connections are switched to by SNI. */
struct tls_certificate {
    const char *sni; /* borrowed from the config */
    SSL_CTX *ctx;
    X509 *x509; /* borrowed from `ctx` */
};

struct tls_context {
    struct tls_certificate *certificates;
    size_t count;
    struct tls_certificate *fallback; /* its context is every connection's first */
    BIO_METHOD *bio;
    EVP_CIPHER *ticket_cipher;
    EVP_MAC *ticket_mac;
    const struct segment_secrets *secrets;
    uint32_t ticket_epoch; /* of `tickets` */
    struct ticket_key tickets[SEGMENT_TICKET_KEYS];
    tls_others_wait *others_wait; /* or NULL: handshakes are made in one go */
    void *others_context;
    uint8_t scratch[TLS_SCRATCH_BYTES];
    const X509 *covers_x509; /* the last certificate and host that tls_covers was asked about; NULL: none */
    char covers_host[TLS_COVERS_MAX];
    size_t covers_length;
    bool covers_answer;
};

struct tls {
    SSL *ssl;
    struct tls_context *context;
    struct span in;   /* ciphertext not read yet: the receive buffer's */
    uint8_t *direct;  /* where a seal writes, or NULL: to `out` */
    size_t direct_used, direct_room;
    uint8_t *out; /* handshake, tickets, alerts; freed when drained */
    size_t out_start, out_used, out_room;
    unsigned small_left; /* records still to be kept small */
    bool ready, failed, closed;
    bool halfway; /* of a handshake there is more to do, whether or not more comes */
    uint64_t went_on_ns; /* when the steps that are being made began */
    bool hurried; /* and nobody is let pass any more */
    bool has_id, id_from_ticket;
    struct client_id id;
};

/* The id for this connection: from the ticket it was resumed with, else a new one. */
const struct client_id *tls_ensure_id(struct tls *tls);

/* The connection that `ssl` is for. */
struct tls *tls_of(const SSL *ssl);

/* How OpenSSL reads from and writes to a struct tls. Owned by the caller. */
BIO_METHOD *tls_bio_method(void);

/* Reads the authorities of origins. Returns 0, or -errno with `fault`: the origin's line in the
 * config, and what is wrong with the file. */
int tls_check_authorities(const struct config *config, struct fault *fault);

/* For OpenSSL, between two steps of a handshake. */
void tls_on_step(const SSL *ssl, int where, int rc);

/* The reason of OpenSSL's last error, as text. */
const char *tls_reason(void);

#endif

#include "worker/tls_internal.h"

#include <errno.h>
#include <openssl/async.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#define CIPHERSUITES_13 \
    "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"
/* Ephemeral and authenticated only: what RFC 9113 appendix A leaves of TLS 1.2. */
#define CIPHERS_12 \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:" \
    "ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"

#define HANDSHAKES_HALFWAY_MAX 16 /* each on a stack of 32 KiB; one is ended before the next begins */


/* ---- tickets ---- */

/* Keys are copied again when the master has rotated them. */
static void refresh_tickets(struct tls_context *context)
{
    uint32_t epoch = atomic_load_explicit(&context->secrets->ticket_epoch, memory_order_acquire);
    if (epoch == context->ticket_epoch)
        return;
    memcpy(context->tickets, context->secrets->tickets, sizeof(context->tickets));
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&context->secrets->ticket_epoch, memory_order_relaxed) == epoch)
        context->ticket_epoch = epoch;
}

static bool use_key(struct tls_context *context, const struct ticket_key *key, const uint8_t *iv,
                    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypt)
{
    char digest[] = "SHA256";
    uint8_t mac_key[sizeof(key->mac)];
    memcpy(mac_key, key->mac, sizeof(mac_key));
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, mac_key, sizeof(mac_key)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, parameters) &&
           EVP_CipherInit_ex(cipher, context->ticket_cipher, NULL, key->cipher, iv, encrypt);
}

/* See SSL_CTX_set_tlsext_ticket_key_evp_cb(3): 1 use, 2 use and renew, 0 unknown key, -1 failure. */
static int on_ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                         EVP_MAC_CTX *mac, int encrypt)
{
    struct tls_context *context = tls_of(ssl)->context;
    refresh_tickets(context);
    if (encrypt) {
        const struct ticket_key *key = &context->tickets[0];
        memcpy(name, key->name, sizeof(key->name));
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(context->ticket_cipher)) != 1)
            return -1;
        return use_key(context, key, iv, cipher, mac, 1) ? 1 : -1;
    }
    for (int i = 0; i < SEGMENT_TICKET_KEYS; i++) {
        const struct ticket_key *key = &context->tickets[i];
        if (memcmp(name, key->name, sizeof(key->name)) != 0)
            continue;
        if (!use_key(context, key, iv, cipher, mac, 0))
            return -1;
        /* A client uses a TLS 1.3 ticket once (RFC 8446 C.4): it is known again only with a new one. */
        return i == 0 && SSL_version(ssl) < TLS1_3_VERSION ? 1 : 2;
    }
    return 0;
}

/* The client's id travels in every ticket, so that a client without cookies is known again. */
static int on_ticket(SSL *ssl, void *unused)
{
    uint8_t id[IDENTITY_BYTES];
    (void)unused;
    identity_pack(tls_ensure_id(tls_of(ssl)), id);
    return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), id, sizeof(id));
}

/* ---- choosing ---- */

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_length,
                   const unsigned char *in, unsigned in_length, void *unused)
{
    static const unsigned char OFFERED[] = "\x02h2\x08http/1.1";
    (void)ssl, (void)unused;
    unsigned char *chosen;
    int rc = SSL_select_next_proto(&chosen, out_length, OFFERED, sizeof(OFFERED) - 1, in,
                                   in_length);
    *out = chosen;
    return rc == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* An exact name beats a wildcard; a wildcard stands for one label (RFC 6125 6.4.3). */
static struct tls_certificate *choose(struct tls_context *context, struct span name)
{
    struct tls_certificate *wild = NULL;
    struct span parent = span_after(name, span_find(name, '.'));
    for (size_t i = 0; i < context->count; i++) {
        struct tls_certificate *certificate = &context->certificates[i];
        struct span sni = span_of(certificate->sni);
        if (span_equal_nocase(sni, name))
            return certificate;
        if (!wild && sni.length > 2 && sni.data[0] == '*' && parent.length &&
            span_equal_nocase(span_after(sni, 1), parent))
            wild = certificate;
    }
    return wild ? wild : context->fallback;
}

static int on_server_name(SSL *ssl, int *alert, void *unused)
{
    struct tls *tls = tls_of(ssl);
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    (void)alert, (void)unused;
    if (!name)
        return SSL_TLSEXT_ERR_NOACK;
    struct tls_certificate *certificate = choose(tls->context, span_of(name));
    if (certificate != tls->context->fallback)
        SSL_set_SSL_CTX(ssl, certificate->ctx);
    return SSL_TLSEXT_ERR_OK;
}

/* ---- loading ---- */

static int load_chain(SSL_CTX *ctx, struct span pem, const char *where, struct fault *fault)
{
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.length);
    X509 *leaf = bio ? PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL) : NULL;
    int rc = 0;
    if (!leaf || SSL_CTX_use_certificate(ctx, leaf) != 1)
        rc = fault_set(fault, -EINVAL, where, 0, "not a PEM certificate: %s", tls_reason());
    X509_free(leaf);
    while (rc == 0) {
        X509 *next = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        if (!next)
            break;
        if (SSL_CTX_add0_chain_cert(ctx, next) != 1) {
            X509_free(next);
            rc = fault_set(fault, -EINVAL, where, 0, "bad certificate chain: %s", tls_reason());
        }
    }
    BIO_free(bio);
    ERR_clear_error();
    return rc;
}

static int load_key(SSL_CTX *ctx, struct span pem, const char *where, const char *certificate,
                    struct fault *fault)
{
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.length);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
    int rc = 0;
    if (!key)
        rc = fault_set(fault, -EINVAL, where, 0, "not a PEM private key: %s", tls_reason());
    else if (SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_check_private_key(ctx) != 1)
        rc = fault_set(fault, -EINVAL, where, 0, "this key does not belong to the certificate %s",
                       certificate);
    EVP_PKEY_free(key);
    BIO_free(bio);
    ERR_clear_error();
    return rc;
}

static int check_dates(const X509 *x509, const char *where, struct fault *fault)
{
    if (X509_cmp_current_time(X509_get0_notAfter(x509)) < 0)
        return fault_set(fault, -EINVAL, where, 0, "the certificate has expired");
    if (X509_cmp_current_time(X509_get0_notBefore(x509)) > 0)
        return fault_set(fault, -EINVAL, where, 0, "the certificate is not valid yet");
    return 0;
}

static void set_policy(SSL_CTX *ctx)
{
    static const unsigned char SESSION_CONTEXT[] = "herald";
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_cipher_list(ctx, CIPHERS_12);
    SSL_CTX_set_ciphersuites(ctx, CIPHERSUITES_13);
    SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384");
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_session_id_context(ctx, SESSION_CONTEXT, sizeof(SESSION_CONTEXT) - 1);
    SSL_CTX_set_num_tickets(ctx, 1);
    SSL_CTX_set_max_early_data(ctx, 0);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
    SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket_key);
    SSL_CTX_set_session_ticket_cb(ctx, on_ticket, NULL, NULL);
    SSL_CTX_set_info_callback(ctx, tls_on_step);
}

static const char *name_of(const char *path, const char *what)
{
    return path ? path : what;
}

static int load_certificate(const struct config_certificate *from, struct tls_certificate *to,
                            struct fault *fault)
{
    const char *cert = name_of(from->cert_path, "the self-signed certificate");
    to->sni = from->sni;
    to->ctx = SSL_CTX_new(TLS_server_method());
    if (!to->ctx)
        return fault_set(fault, -ENOMEM, "TLS", 0, "no context: %s", tls_reason());
    set_policy(to->ctx);
    int rc = load_chain(to->ctx, from->cert_pem, cert, fault);
    if (rc == 0)
        rc = load_key(to->ctx, from->key_pem, name_of(from->key_path, "its key"), cert, fault);
    if (rc < 0)
        return rc;
    to->x509 = SSL_CTX_get0_certificate(to->ctx);
    return check_dates(to->x509, cert, fault);
}

/* Names the line of the config beside the file that is wrong. */
static int place_in_config(const struct config_certificate *from, int rc, struct fault *fault)
{
    struct fault own;
    if (!fault || !from->file)
        return rc;
    own = *fault;
    return fault_set(fault, rc, from->file, from->line, "%s: %s", own.where, own.what);
}

static int load_certificates(struct tls_context *context, const struct config *config,
                             struct fault *fault)
{
    if (config->certificates_count == 0)
        return fault_set(fault, -EINVAL, "tls", 0, "a listener wants TLS, but there is no "
                                                   "certificate");
    context->certificates = calloc(config->certificates_count, sizeof(*context->certificates));
    if (!context->certificates)
        return fault_set(fault, -ENOMEM, "TLS", 0, "out of memory");
    for (size_t i = 0; i < config->certificates_count; i++) {
        context->count++;
        int rc = load_certificate(&config->certificates[i], &context->certificates[i], fault);
        if (rc < 0)
            return place_in_config(&config->certificates[i], rc, fault);
        if (strcmp(config->certificates[i].sni, "*") == 0)
            context->fallback = &context->certificates[i];
    }
    if (!context->fallback)
        context->fallback = &context->certificates[0];
    return 0;
}

int tls_context_create(const struct config *config, const struct segment *segment,
                       struct tls_context **out, struct fault *fault)
{
    struct tls_context *context = calloc(1, sizeof(*context));
    if (!context)
        return fault_set(fault, -ENOMEM, "TLS", 0, "out of memory");
    int rc = load_certificates(context, config, fault);
    context->secrets = segment ? segment->secrets : NULL;
    context->ticket_epoch = UINT32_MAX;
    context->bio = tls_bio_method();
    context->ticket_cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    context->ticket_mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    if (rc == 0 && (!context->bio || !context->ticket_cipher || !context->ticket_mac))
        rc = fault_set(fault, -ENOMEM, "TLS", 0, "OpenSSL lacks what tickets need: %s",
                       tls_reason());
    if (rc < 0) {
        tls_context_destroy(context);
        return rc;
    }
    *out = context;
    return 0;
}

void tls_context_let_pass(struct tls_context *context, tls_others_wait *others_wait, void *argument)
{
#ifndef __SANITIZE_ADDRESS__ /* which would have to be told of each stack that OpenSSL switches to */
    if (ASYNC_init_thread(HANDSHAKES_HALFWAY_MAX, 0) != 1)
        return;
    context->others_wait = others_wait;
    context->others_context = argument;
#else
    (void)context, (void)others_wait, (void)argument;
#endif
}

void tls_context_destroy(struct tls_context *context)
{
    if (!context)
        return;
    if (context->others_wait)
        ASYNC_cleanup_thread();
    for (size_t i = 0; i < context->count; i++)
        SSL_CTX_free(context->certificates[i].ctx);
    free(context->certificates);
    BIO_meth_free(context->bio);
    EVP_CIPHER_free(context->ticket_cipher);
    EVP_MAC_free(context->ticket_mac);
    free(context);
}

int tls_check(const struct config *config, struct fault *fault)
{
    struct tls_context *context = NULL;
    int rc = tls_check_authorities(config, fault);
    if (rc < 0 || config->certificates_count == 0)
        return rc;
    rc = tls_context_create(config, NULL, &context, fault);
    tls_context_destroy(context);
    return rc;
}

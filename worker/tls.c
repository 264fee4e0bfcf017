#include "worker/tls_internal.h"

#include "worker/timer.h"

#include <assert.h>
#include <errno.h>
#include <openssl/async.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#define SMALL_RECORDS 10       /* so many records at first fit a segment each, */
#define SMALL_RECORD_BYTES 1300 /* so that the peer can begin to read before a round trip is over */
#define SMALL_BYTES_MAX 65536
#define RECORD_BYTES 16384
#define RECORD_OVERHEAD 64 /* header, explicit nonce, tag and type, rounded up */

struct tls *tls_of(const SSL *ssl)
{
    return SSL_get_app_data(ssl);
}

const char *tls_reason(void)
{
    unsigned long error = ERR_peek_last_error();
    const char *reason = error ? ERR_reason_error_string(error) : NULL;
    return reason ? reason : "unknown reason";
}

/* ---- OpenSSL's view of the wire ---- */

static int bio_read(BIO *bio, char *out, int length)
{
    struct tls *tls = BIO_get_data(bio);
    size_t n = tls->in.length < (size_t)length ? tls->in.length : (size_t)length;
    BIO_clear_retry_flags(bio);
    if (n == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(out, tls->in.data, n);
    tls->in = span_after(tls->in, n);
    return (int)n;
}

/* A peer that asks for answers and reads none gets no more than this to wait for it. */
#define OUTPUT_MAX (256 * 1024)

static bool out_reserve(struct tls *tls, size_t length)
{
    if (tls->out_used + length > OUTPUT_MAX)
        return false;
    if (tls->out_room - tls->out_used >= length)
        return true;
    size_t room = tls->out_room ? tls->out_room : 4096;
    while (room - tls->out_used < length)
        room *= 2;
    uint8_t *out = realloc(tls->out, room);
    if (!out)
        return false;
    tls->out = out;
    tls->out_room = room;
    return true;
}

static int bio_write(BIO *bio, const char *data, int length)
{
    struct tls *tls = BIO_get_data(bio);
    size_t n = (size_t)length;
    BIO_clear_retry_flags(bio);
    if (tls->direct) {
        if (tls->direct_room - tls->direct_used < n)
            return -1;
        memcpy(tls->direct + tls->direct_used, data, n);
        tls->direct_used += n;
        return length;
    }
    if (!out_reserve(tls, n))
        return -1;
    memcpy(tls->out + tls->out_used, data, n);
    tls->out_used += n;
    return length;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}


BIO_METHOD *tls_bio_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "herald");
    if (method) {
        BIO_meth_set_read(method, bio_read);
        BIO_meth_set_write(method, bio_write);
        BIO_meth_set_ctrl(method, bio_ctrl);
        BIO_meth_set_create(method, bio_create);
    }
    return method;
}

/* ---- handshakes ---- */

static int fail(struct tls *tls)
{
    tls->failed = true;
    ERR_clear_error();
    return -EPROTO;
}

/* OpenSSL makes the handshake on a stack of its own then, and goes on from here the next time. */
void tls_on_step(const SSL *ssl, int where, int rc)
{
    const struct tls *tls = tls_of(ssl);
    const struct tls_context *context = tls ? tls->context : NULL;
    (void)rc;
    if (context && context->others_wait && where & SSL_CB_LOOP && !tls->hurried &&
        ASYNC_get_current_job() && context->others_wait(context->others_context, tls->went_on_ns))
        ASYNC_pause_job();
}

/* Returns 0 when the handshake is done or wants more, else -EPROTO. */
static int shake_hands(struct tls *tls)
{
    ERR_clear_error();
    tls->went_on_ns = timer_clock_ns();
    int rc = SSL_do_handshake(tls->ssl);
    tls->halfway = rc != 1 && (SSL_want_async(tls->ssl) || SSL_want_async_job(tls->ssl));
    if (rc == 1) {
        tls->ready = true;
        SSL_clear_mode(tls->ssl, SSL_MODE_ASYNC);
        return 0;
    }
    return tls->halfway || SSL_get_error(tls->ssl, rc) == SSL_ERROR_WANT_READ ? 0 : fail(tls);
}

/* ---- life ---- */

struct tls *tls_create(struct tls_context *context)
{
    struct tls *tls = calloc(1, sizeof(*tls));
    if (!tls)
        return NULL;
    tls->context = context;
    tls->small_left = SMALL_RECORDS;
    tls->ssl = SSL_new(context->fallback->ctx);
    bool mine = tls->ssl && SSL_set_app_data(tls->ssl, tls);
    BIO *bio = mine ? BIO_new(context->bio) : NULL;
    if (!bio) {
        ERR_clear_error();
        tls_destroy(tls);
        return NULL;
    }
    BIO_set_data(bio, tls);
    SSL_set_bio(tls->ssl, bio, bio); /* takes the one reference */
    SSL_set_accept_state(tls->ssl);
    if (context->others_wait)
        SSL_set_mode(tls->ssl, SSL_MODE_ASYNC);
    return tls;
}

void tls_destroy(struct tls *tls)
{
    if (!tls)
        return;
    if (tls->ssl && SSL_waiting_for_async(tls->ssl)) { /* the stack is given back at its end only */
        tls->hurried = true;
        shake_hands(tls);
    }
    SSL_free(tls->ssl);
    free(tls->out);
    free(tls);
}

const struct client_id *tls_ensure_id(struct tls *tls)
{
    void *data = NULL;
    size_t length = 0;
    SSL_SESSION *session = SSL_get_session(tls->ssl);
    if (tls->has_id)
        return &tls->id;
    tls->has_id = true;
    tls->id_from_ticket = SSL_session_reused(tls->ssl) && session &&
                          SSL_SESSION_get0_ticket_appdata(session, &data, &length) &&
                          identity_unpack(span_make(data, length), &tls->id);
    if (!tls->id_from_ticket)
        identity_mint(&tls->id);
    return &tls->id;
}

/* ---- receiving ---- */

/* Returns 0 when nothing more can be read now or `most` bytes were, 1 at close_notify, or an error. */
static int read_plaintext(struct tls *tls, size_t most, tls_plaintext *plaintext, void *context)
{
    uint8_t *scratch = tls->context->scratch;
    while (most) {
        size_t n = 0;
        ERR_clear_error();
        int rc = SSL_read_ex(tls->ssl, scratch, most < TLS_SCRATCH_BYTES ? most : TLS_SCRATCH_BYTES,
                             &n);
        if (rc <= 0) {
            int error = SSL_get_error(tls->ssl, rc);
            if (error == SSL_ERROR_WANT_READ)
                return 0;
            if (error == SSL_ERROR_ZERO_RETURN)
                return 1;
            return fail(tls);
        }
        most -= n;
        rc = plaintext(context, scratch, n);
        if (rc)
            return rc;
    }
    return 0;
}

int tls_receive(struct tls *tls, struct span *data, size_t most, tls_plaintext *plaintext,
                void *context)
{
    int rc = 0;
    if (tls->failed)
        return -EPROTO;
    tls->in = *data;
    if (!tls->ready)
        rc = shake_hands(tls);
    if (rc == 0 && tls->ready)
        rc = read_plaintext(tls, most, plaintext, context);
    *data = tls->in;
    tls->in = (struct span){0};
    return rc;
}

bool tls_pending(const struct tls *tls)
{
    return tls->halfway || SSL_pending(tls->ssl) > 0;
}

bool tls_ready(const struct tls *tls)
{
    return tls->ready;
}

/* ---- sending ---- */

size_t tls_sealed_max(const struct tls *tls, size_t length)
{
    return length + (length / RECORD_BYTES + tls->small_left + 4) * RECORD_OVERHEAD + 256;
}

void tls_send_small(struct tls *tls, size_t length)
{
    size_t records = (length < SMALL_BYTES_MAX ? length : SMALL_BYTES_MAX) / SMALL_RECORD_BYTES + 1;
    if (records > tls->small_left)
        tls->small_left = (unsigned)records;
}

ptrdiff_t tls_seal(struct tls *tls, const void *data, size_t length, uint8_t *out)
{
    const uint8_t *from = data;
    size_t written = 0;
    if (tls->failed || !tls->ready)
        return -EPROTO;
    tls->direct = out;
    tls->direct_used = 0;
    tls->direct_room = tls_sealed_max(tls, length);
    ERR_clear_error();
    while (length) {
        size_t n = length;
        if (tls->small_left) {
            tls->small_left--;
            n = n < SMALL_RECORD_BYTES ? n : SMALL_RECORD_BYTES;
        }
        if (SSL_write_ex(tls->ssl, from, n, &written) <= 0) {
            tls->direct = NULL;
            return fail(tls);
        }
        from += written;
        length -= written;
    }
    tls->direct = NULL;
    return (ptrdiff_t)tls->direct_used;
}

struct span tls_output(const struct tls *tls)
{
    if (!tls->out)
        return (struct span){NULL, 0};
    return span_make(tls->out + tls->out_start, tls->out_used - tls->out_start);
}

void tls_output_taken(struct tls *tls, size_t length)
{
    tls->out_start += length;
    assert(tls->out_start <= tls->out_used);
    if (tls->out_start < tls->out_used)
        return;
    free(tls->out); /* only handshakes need it: an idle connection keeps nothing */
    tls->out = NULL;
    tls->out_start = tls->out_used = tls->out_room = 0;
}

void tls_close(struct tls *tls)
{
    if (tls->failed || tls->closed || !tls->ready)
        return;
    tls->closed = true;
    ERR_clear_error();
    SSL_shutdown(tls->ssl);
    ERR_clear_error();
}

/* ---- what was agreed on ---- */

enum tls_protocol tls_protocol(const struct tls *tls)
{
    const unsigned char *name = NULL;
    unsigned length = 0;
    SSL_get0_alpn_selected(tls->ssl, &name, &length);
    struct span chosen = span_make(name, length);
    if (span_equal(chosen, SPAN_LITERAL("h2")))
        return TLS_PROTOCOL_H2;
    return span_equal(chosen, SPAN_LITERAL("http/1.1")) ? TLS_PROTOCOL_HTTP1 : TLS_PROTOCOL_NONE;
}

struct span tls_server_name(const struct tls *tls)
{
    return span_of(SSL_get_servername(tls->ssl, TLSEXT_NAMETYPE_host_name));
}

static bool certificate_covers(X509 *x509, struct span host)
{
    char text[TLS_COVERS_MAX];
    bool bracketed = host.length > 2 && host.data[0] == '[';
    if (bracketed)
        host = span_make(host.data + 1, host.length - 2);
    if (host.length >= sizeof(text))
        return false;
    memcpy(text, host.data, host.length);
    text[host.length] = 0;
    if (X509_check_ip_asc(x509, text, 0) == 1)
        return true;
    return !bracketed &&
           X509_check_host(x509, text, host.length, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1;
}

bool tls_covers(const struct tls *tls, struct span host)
{
    struct tls_context *memo = tls->context; /* most connections ask about the same host */
    X509 *x509 = SSL_get_certificate(tls->ssl);
    if (host.length == 0 || host.length >= TLS_COVERS_MAX)
        return false;
    if (x509 == memo->covers_x509 &&
        span_equal(host, span_make(memo->covers_host, memo->covers_length)))
        return memo->covers_answer;
    memcpy(memo->covers_host, host.data, host.length);
    memo->covers_length = host.length;
    memo->covers_x509 = x509;
    memo->covers_answer = certificate_covers(x509, host);
    ERR_clear_error();
    return memo->covers_answer;
}

bool tls_resumed(const struct tls *tls)
{
    tls_ensure_id(tls_of(tls->ssl));
    return tls->id_from_ticket;
}

struct client_id tls_client_id(const struct tls *tls)
{
    return *tls_ensure_id(tls_of(tls->ssl));
}

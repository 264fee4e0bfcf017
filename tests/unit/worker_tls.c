/* The TLS module against OpenSSL's own client, in memory: no socket, no herald around it. */
#include "worker/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BIG (300 * 1024)

static bool memory_is_blocks;
static struct segment segment;
static struct config_certificate certificates[3];
static struct config config;

/* Both ends of one connection. */
struct pair {
    struct tls *tls;
    SSL_CTX *client_ctx;
    SSL *client;
    BIO *to_client, *from_client;
    size_t piece; /* bytes handed to the server at once; 0: all */
    uint8_t *got; /* what the server decrypted */
    size_t got_length;
    int failure; /* what tls_receive returned last, when not 0 */
    unsigned passed; /* how often others were let pass */
    SSL_SESSION *session; /* the newest ticket's */
};

static void make_certificate(struct config_certificate *certificate, const char *sni,
                             const char *const *names, size_t count)
{
    struct fault fault = {0};
    certificate->sni = (char *)(uintptr_t)sni;
    assert_int_equal(tls_self_signed(names, count, &certificate->cert_pem, &certificate->key_pem,
                                     &fault),
                     0);
}

static int setup(void **state)
{
    static const char *const DEFAULT[] = {"localhost", "127.0.0.1", "::1"};
    static const char *const EXACT[] = {"www.example.com"};
    static const char *const WILD[] = {"*.example.com"};
    struct fault fault;
    (void)state;
    make_certificate(&certificates[0], "*", DEFAULT, 3);
    make_certificate(&certificates[1], "www.example.com", EXACT, 1);
    make_certificate(&certificates[2], "*.example.com", WILD, 1);
    config = (struct config){.certificates = certificates, .certificates_count = 3};
    return segment_create(&segment, 1 << 20, &fault);
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        free((char *)(uintptr_t)certificates[i].cert_pem.data);
        free((char *)(uintptr_t)certificates[i].key_pem.data);
    }
    segment_finish(&segment);
    return 0;
}

static struct tls_context *context_create(void)
{
    struct tls_context *context = NULL;
    struct fault fault = {0};
    assert_int_equal(tls_context_create(&config, &segment, &context, &fault), 0);
    return context;
}

static int on_plaintext(void *context, const void *data, size_t length)
{
    struct pair *pair = context;
    pair->got = realloc(pair->got, pair->got_length + length + 1);
    memcpy(pair->got + pair->got_length, data, length);
    pair->got_length += length;
    return 0;
}

static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct pair *pair = SSL_get_app_data(ssl);
    SSL_SESSION_free(pair->session);
    pair->session = session;
    return 1;
}

static struct pair *pair_create(struct tls_context *context, int version, const char *alpn,
                                size_t alpn_length, const char *sni, SSL_SESSION *resume)
{
    struct pair *pair = calloc(1, sizeof(*pair));
    pair->tls = tls_create(context);
    pair->client_ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_session_cache_mode(pair->client_ctx, SSL_SESS_CACHE_CLIENT);
    SSL_CTX_sess_set_new_cb(pair->client_ctx, on_session);
    pair->client = SSL_new(pair->client_ctx);
    pair->to_client = BIO_new(BIO_s_mem());
    pair->from_client = BIO_new(BIO_s_mem());
    SSL_set_bio(pair->client, pair->to_client, pair->from_client);
    SSL_set_app_data(pair->client, pair);
    SSL_set_connect_state(pair->client);
    if (version) {
        SSL_set_min_proto_version(pair->client, version);
        SSL_set_max_proto_version(pair->client, version);
    }
    if (alpn)
        SSL_set_alpn_protos(pair->client, (const unsigned char *)alpn, (unsigned)alpn_length);
    if (sni)
        SSL_set_tlsext_host_name(pair->client, sni);
    if (resume)
        SSL_set_session(pair->client, resume);
    return pair;
}

static void pair_destroy(struct pair *pair)
{
    tls_destroy(pair->tls);
    SSL_SESSION_free(pair->session);
    SSL_free(pair->client);
    SSL_CTX_free(pair->client_ctx);
    free(pair->got);
    free(pair);
    ERR_clear_error();
}

/* Moves the server's output to the client. */
static bool to_client(struct pair *pair)
{
    struct span output = tls_output(pair->tls);
    if (!output.length)
        return false;
    BIO_write(pair->to_client, output.data, (int)output.length);
    tls_output_taken(pair->tls, output.length);
    return true;
}

/* Moves the client's bytes to the server, in pieces. */
static bool to_server(struct pair *pair)
{
    char *data;
    long length = BIO_get_mem_data(pair->from_client, &data);
    if (length <= 0)
        return false;
    uint8_t *copy = malloc((size_t)length);
    memcpy(copy, data, (size_t)length);
    BIO_reset(pair->from_client);
    for (size_t at = 0; at < (size_t)length;) {
        size_t n = pair->piece && pair->piece < (size_t)length - at ? pair->piece
                                                                    : (size_t)length - at;
        struct span input = span_make(copy + at, n);
        int rc = tls_receive(pair->tls, &input, SIZE_MAX, on_plaintext, pair);
        for (; rc == 0 && tls_pending(pair->tls); pair->passed++)
            rc = tls_receive(pair->tls, &input, SIZE_MAX, on_plaintext, pair);
        if (rc)
            pair->failure = rc;
        at += n;
    }
    free(copy);
    return true;
}

static void exchange(struct pair *pair)
{
    bool moved = true;
    char scratch[4096];
    for (int i = 0; moved && i < 40; i++) {
        if (SSL_is_init_finished(pair->client))
            SSL_read(pair->client, scratch, sizeof(scratch)); /* takes in tickets */
        else
            SSL_do_handshake(pair->client);
        moved = to_server(pair);
        moved = to_client(pair) || moved;
    }
}

static struct pair *connected(struct tls_context *context, int version, SSL_SESSION *resume)
{
    struct pair *pair = pair_create(context, version, "\x02h2", 3, "localhost", resume);
    exchange(pair);
    assert_true(tls_ready(pair->tls));
    assert_int_equal(pair->failure, 0);
    return pair;
}

static void check_echo(struct pair *pair)
{
    assert_int_equal(SSL_write(pair->client, "to the server", 13), 13);
    exchange(pair);
    assert_int_equal(pair->got_length, 13);
    assert_memory_equal(pair->got, "to the server", 13);
    uint8_t sealed[256 + 1024];
    char text[64];
    assert_true(tls_sealed_max(pair->tls, 13) <= sizeof(sealed));
    ptrdiff_t n = tls_seal(pair->tls, "to the client", 13, sealed);
    assert_true(n > 13);
    BIO_write(pair->to_client, sealed, (int)n);
    assert_int_equal(SSL_read(pair->client, text, sizeof(text)), 13);
    assert_memory_equal(text, "to the client", 13);
}

static void it_shakes_hands_and_carries_bytes_both_ways(void **state)
{
    (void)state;
    struct tls_context *context = context_create();
    const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};
    for (int i = 0; i < 2; i++) {
        struct pair *pair = connected(context, versions[i], NULL);
        assert_int_equal(SSL_version(pair->client), versions[i]);
        check_echo(pair);
        assert_false(tls_resumed(pair->tls));
        pair_destroy(pair);
    }
    tls_context_destroy(context);
}

static void input_may_come_byte_by_byte(void **state)
{
    (void)state;
    struct tls_context *context = context_create();
    struct pair *pair = pair_create(context, 0, "\x02h2", 3, NULL, NULL);
    pair->piece = 1;
    exchange(pair);
    assert_true(tls_ready(pair->tls));
    check_echo(pair);
    pair_destroy(pair);
    tls_context_destroy(context);
}

static bool as_told(void *told, uint64_t since_ns)
{
    assert_true(since_ns > 0);
    return *(const bool *)told;
}

static struct tls_context *context_that_lets_pass(const bool *others_wait)
{
    struct tls_context *context = context_create();
    tls_context_let_pass(context, as_told, (void *)(uintptr_t)others_wait);
#ifdef __SANITIZE_ADDRESS__
    tls_context_destroy(context);
    skip(); /* handshakes are made in one go */
#endif
    return context;
}

static void a_handshake_lets_others_pass_between_its_steps(void **state)
{
    (void)state;
    const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};
    bool others_wait = true;
    struct tls_context *context = context_that_lets_pass(&others_wait);
    for (int i = 0; i < 2; i++) {
        others_wait = true;
        struct pair *pair = connected(context, versions[i], NULL);
        assert_in_range(pair->passed, 5, 40);
        check_echo(pair);
        struct pair *again = connected(context, versions[i], pair->session);
        assert_true(tls_resumed(again->tls) || versions[i] == TLS1_2_VERSION);
        assert_in_range(again->passed, 3, 40);
        pair_destroy(again);
        pair_destroy(pair);
        others_wait = false;
        pair = connected(context, versions[i], NULL);
        assert_int_equal(pair->passed, 0);
        pair_destroy(pair);
    }
    tls_context_destroy(context);
}

/* Feeds the client's first flight up to the first pause. */
static struct pair *halfway(struct tls_context *context)
{
    struct pair *pair = pair_create(context, 0, "\x02h2", 3, NULL, NULL);
    char *data;
    SSL_do_handshake(pair->client);
    long length = BIO_get_mem_data(pair->from_client, &data);
    struct span input = span_make(data, (size_t)length);
    assert_int_equal(tls_receive(pair->tls, &input, SIZE_MAX, on_plaintext, pair), 0);
    assert_true(tls_pending(pair->tls) && !tls_ready(pair->tls));
    return pair;
}

static void many_handshakes_may_be_halfway_and_end_there(void **state)
{
    (void)state;
    enum { MANY = 40 }; /* more than OpenSSL has stacks for: the last are made to wait */
    bool others_wait = true;
    struct tls_context *context = context_that_lets_pass(&others_wait);
    for (int round = 0; round < 3; round++) {
        struct pair *pairs[MANY];
        for (int i = 0; i < MANY; i++)
            pairs[i] = halfway(context);
        for (int i = 0; i < MANY; i++)
            pair_destroy(pairs[i]);
        struct pair *pair = connected(context, 0, NULL);
        assert_true(pair->passed >= 5);
        check_echo(pair);
        pair_destroy(pair);
    }
    tls_context_destroy(context);
}

/* Records are decrypted whole; what is read of them at once is the reader's choice. */
static void plaintext_is_handed_out_in_portions(void **state)
{
    (void)state;
    struct tls_context *context = context_create();
    struct pair *pair = connected(context, 0, NULL);
    char text[300], *data;
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)('a' + i % 26);
    for (int i = 0; i < 2; i++)
        assert_int_equal(SSL_write(pair->client, text, sizeof(text)), sizeof(text));
    long length = BIO_get_mem_data(pair->from_client, &data);
    struct span input = span_make(data, (size_t)length);
    unsigned calls = 0;
    for (size_t got = 0; input.length || tls_pending(pair->tls); calls++) {
        pair->got_length = 0;
        assert_int_equal(tls_receive(pair->tls, &input, 40, on_plaintext, pair), 0);
        assert_in_range(pair->got_length, 1, 40);
        for (size_t i = 0; i < pair->got_length; i++, got++)
            assert_int_equal(pair->got[i], text[got % sizeof(text)]);
        assert_true(got > sizeof(text) || input.length); /* the second record is not taken early */
    }
    assert_true(calls >= 2 * sizeof(text) / 40);
    pair_destroy(pair);
    tls_context_destroy(context);
}

static void much_data_arrives_byte_for_byte_in_small_records_first(void **state)
{
    (void)state;
    struct tls_context *context = context_create();
    struct pair *pair = connected(context, 0, NULL);
    uint8_t *data = malloc(BIG), *back = malloc(BIG);
    for (size_t i = 0; i < BIG; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 24);
    uint8_t *sealed = malloc(tls_sealed_max(pair->tls, BIG));
    ptrdiff_t n = tls_seal(pair->tls, data, BIG, sealed);
    assert_true(n > BIG && (size_t)n <= BIG + 64 * (BIG / 16384 + 16));
    assert_true((sealed[3] << 8 | sealed[4]) < 1400); /* the first record fits a segment */
    BIO_write(pair->to_client, sealed, (int)n);
    size_t got = 0;
    while (got < BIG) {
        int r = SSL_read(pair->client, back + got, (int)(BIG - got));
        assert_true(r > 0);
        got += (size_t)r;
    }
    assert_memory_equal(data, back, BIG);
    free(data), free(back), free(sealed);
    pair_destroy(pair);
    tls_context_destroy(context);
}

/* The lengths of the records that `length` bytes are sealed into; returns how many there are. */
static unsigned records_of(struct tls *tls, size_t length, size_t *largest)
{
    uint8_t *data = calloc(1, length), *sealed = malloc(tls_sealed_max(tls, length));
    ptrdiff_t n = tls_seal(tls, data, length, sealed);
    unsigned count = 0;
    *largest = 0;
    for (ptrdiff_t at = 0; at < n; count++) {
        size_t record = (size_t)sealed[at + 3] << 8 | sealed[at + 4];
        *largest = record > *largest ? record : *largest;
        at += 5 + (ptrdiff_t)record;
    }
    free(data), free(sealed);
    return count;
}

static void records_are_small_again_where_that_is_asked_for(void **state)
{
    (void)state;
    struct tls_context *context = context_create();
    struct pair *pair = connected(context, 0, NULL);
    size_t largest;
    records_of(pair->tls, BIG, &largest); /* the connection's first records are over */
    assert_true(largest > 16000);
    tls_send_small(pair->tls, 13000);
    assert_int_equal(records_of(pair->tls, 13000, &largest), 10);
    assert_true(largest < 1400);
    tls_send_small(pair->tls, SIZE_MAX); /* bounded: 64 KiB, in records of 1,300 bytes */
    assert_true(records_of(pair->tls, BIG, &largest) < 51 + BIG / 16384 + 2);
    assert_true(largest > 16000);
    pair_destroy(pair);
    tls_context_destroy(context);
}

static void a_client_that_offers_no_h2_is_told_so(void **state)
{
    (void)state;
    struct tls_context *context = context_create();
    struct pair *pair = pair_create(context, 0, "\x08http/0.9", 9, NULL, NULL);
    exchange(pair);
    assert_false(tls_ready(pair->tls));
    assert_int_equal(pair->failure, -EPROTO);
    assert_int_equal(ERR_GET_REASON(ERR_peek_last_error()), SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
    pair_destroy(pair);

    pair = pair_create(context, 0, NULL, 0, NULL, NULL);
    exchange(pair);
    assert_true(tls_ready(pair->tls));
    assert_int_equal(tls_protocol(pair->tls), TLS_PROTOCOL_NONE);
    pair_destroy(pair);
    tls_context_destroy(context);
}

static void sni_chooses_the_certificate_and_that_says_what_is_covered(void **state)
{
    static const struct {
        const char *sni, *covered, *not_covered;
    } CASES[] = {
        {"www.example.com", "www.example.com", "shop.example.com"},
        {"shop.example.com", "shop.example.com", "a.shop.example.com"},
        {"a.shop.example.com", "localhost", "a.shop.example.com"},
        {"elsewhere.net", "127.0.0.1", "elsewhere.net"},
        {NULL, "[::1]", "::2"},
    };
    (void)state;
    struct tls_context *context = context_create();
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct pair *pair = pair_create(context, 0, "\x02h2", 3, CASES[i].sni, NULL);
        exchange(pair);
        assert_true(tls_ready(pair->tls));
        for (int again = 0; again < 2; again++) {
            assert_true(tls_covers(pair->tls, span_of(CASES[i].covered)));
            assert_false(tls_covers(pair->tls, span_of(CASES[i].not_covered)));
        }
        pair_destroy(pair);
    }
    tls_context_destroy(context);
}

static void a_ticket_resumes_on_another_worker_and_carries_the_clients_id(void **state)
{
    (void)state;
    const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};
    struct tls_context *first = context_create(), *second = context_create();
    for (int i = 0; i < 2; i++) {
        struct pair *pair = connected(first, versions[i], NULL);
        struct client_id id = tls_client_id(pair->tls);
        assert_non_null(pair->session);
        struct pair *again = connected(second, versions[i], pair->session);
        assert_true(tls_resumed(again->tls));
        struct client_id known = tls_client_id(again->tls);
        assert_memory_equal(&known, &id, sizeof(id)); /* and when it was minted */
        if (again->session) { /* the renewed ticket carries it on */
            struct pair *third = connected(first, versions[i], again->session);
            known = tls_client_id(third->tls);
            assert_memory_equal(&known, &id, sizeof(id));
            pair_destroy(third);
        }
        pair_destroy(pair);
        pair_destroy(again);
    }
    tls_context_destroy(first);
    tls_context_destroy(second);
}

static void tickets_live_through_two_rotations_and_no_longer(void **state)
{
    (void)state;
    struct tls_context *context = context_create();
    struct pair *first[SEGMENT_TICKET_KEYS + 1]; /* a client uses a ticket once */
    for (int i = 0; i <= SEGMENT_TICKET_KEYS; i++)
        first[i] = connected(context, 0, NULL);
    for (int i = 0; i <= SEGMENT_TICKET_KEYS; i++) {
        struct pair *again = connected(context, 0, first[i]->session);
        assert_int_equal(tls_resumed(again->tls), i < SEGMENT_TICKET_KEYS);
        pair_destroy(again);
        segment_rotate_tickets(&segment);
    }
    for (int i = 0; i <= SEGMENT_TICKET_KEYS; i++)
        pair_destroy(first[i]);
    tls_context_destroy(context);
}

static void two_clients_have_two_ids(void **state)
{
    (void)state;
    struct tls_context *context = context_create();
    struct pair *a = connected(context, 0, NULL), *b = connected(context, 0, NULL);
    struct client_id id = tls_client_id(a->tls), other = tls_client_id(b->tls);
    assert_memory_not_equal(id.bytes, other.bytes, sizeof(id.bytes));
    pair_destroy(a);
    pair_destroy(b);
    tls_context_destroy(context);
}

static void garbage_ends_the_connection_with_an_alert_and_hurts_no_other(void **state)
{
    (void)state;
    struct tls_context *context = context_create();
    struct pair *good = connected(context, 0, NULL);
    struct tls *bad = tls_create(context);
    struct pair sink = {0};
    struct span request = SPAN_LITERAL("GET / HTTP/1.1\r\n\r\n"), more = SPAN_LITERAL("more");
    assert_int_equal(tls_receive(bad, &request, SIZE_MAX, on_plaintext, &sink), -EPROTO);
    assert_int_equal(tls_receive(bad, &more, SIZE_MAX, on_plaintext, &sink), -EPROTO);
    uint8_t out[512];
    assert_int_equal(tls_seal(bad, "x", 1, out), -EPROTO);
    tls_close(bad);
    tls_destroy(bad);
    check_echo(good);
    pair_destroy(good);
    tls_context_destroy(context);
}

static void a_tampered_record_is_refused(void **state)
{
    (void)state;
    struct tls_context *context = context_create();
    struct pair *pair = connected(context, 0, NULL);
    char *data;
    SSL_write(pair->client, "hello", 5);
    long length = BIO_get_mem_data(pair->from_client, &data);
    data[length - 1] ^= 1;
    to_server(pair);
    assert_int_equal(pair->failure, -EPROTO);
    assert_int_equal(pair->got_length, 0);
    assert_true(tls_output(pair->tls).length > 0); /* the alert */
    pair_destroy(pair);
    tls_context_destroy(context);
}

static void renegotiation_is_refused(void **state)
{
    (void)state;
    struct tls_context *context = context_create();
    struct pair *pair = connected(context, TLS1_2_VERSION, NULL);
    SSL_renegotiate(pair->client);
    SSL_do_handshake(pair->client);
    to_server(pair);
    to_client(pair);
    assert_true(SSL_do_handshake(pair->client) <= 0);
    assert_int_equal(ERR_GET_REASON(ERR_peek_last_error()), SSL_R_NO_RENEGOTIATION);
    pair_destroy(pair);
    tls_context_destroy(context);
}

static void a_close_is_told_in_both_directions(void **state)
{
    (void)state;
    struct tls_context *context = context_create();
    struct pair *pair = connected(context, 0, NULL);
    char text[8];
    tls_close(pair->tls);
    to_client(pair);
    assert_int_equal(SSL_get_error(pair->client, SSL_read(pair->client, text, sizeof(text))),
                     SSL_ERROR_ZERO_RETURN);
    SSL_shutdown(pair->client);
    to_server(pair);
    assert_int_equal(pair->failure, 1);
    pair_destroy(pair);
    tls_context_destroy(context);
}

static void a_foreign_key_is_named_as_such(void **state)
{
    (void)state;
    struct fault fault = {0};
    struct span key = certificates[1].key_pem;
    certificates[1].key_pem = certificates[2].key_pem;
    certificates[1].cert_path = (char *)(uintptr_t) "www.pem";
    certificates[1].key_path = (char *)(uintptr_t) "www.key";
    assert_true(tls_check(&config, &fault) < 0);
    assert_string_equal(fault.where, "www.key");
    assert_non_null(strstr(fault.what, "www.pem"));
    certificates[1].key_pem = key;
    assert_int_equal(tls_check(&config, &fault), 0);
}

static void text_that_is_no_certificate_is_named_as_such(void **state)
{
    (void)state;
    struct fault fault = {0};
    struct span pem = certificates[0].cert_pem;
    certificates[0].cert_pem = SPAN_LITERAL("not PEM at all");
    certificates[0].cert_path = (char *)(uintptr_t) "default.pem";
    assert_true(tls_check(&config, &fault) < 0);
    assert_string_equal(fault.where, "default.pem");
    assert_non_null(strstr(fault.what, "not a PEM certificate"));
    certificates[0].cert_pem = pem;
}

/* As a worker has it; the other tests run with it, too. */
static void openssls_memory_is_blocks(void **state)
{
    (void)state;
    assert_true(memory_is_blocks);
    void *memory = OPENSSL_malloc(100);
    assert_non_null(memory);
    assert_null(OPENSSL_realloc(memory, 0)); /* given back: the leak checker would find it */
}

int main(void)
{
    memory_is_blocks = tls_use_blocks();
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(openssls_memory_is_blocks),
        TEST(it_shakes_hands_and_carries_bytes_both_ways),
        TEST(input_may_come_byte_by_byte),
        TEST(a_handshake_lets_others_pass_between_its_steps),
        TEST(many_handshakes_may_be_halfway_and_end_there),
        TEST(plaintext_is_handed_out_in_portions),
        TEST(much_data_arrives_byte_for_byte_in_small_records_first),
        TEST(records_are_small_again_where_that_is_asked_for),
        TEST(a_client_that_offers_no_h2_is_told_so),
        TEST(sni_chooses_the_certificate_and_that_says_what_is_covered),
        TEST(a_ticket_resumes_on_another_worker_and_carries_the_clients_id),
        TEST(tickets_live_through_two_rotations_and_no_longer),
        TEST(two_clients_have_two_ids),
        TEST(garbage_ends_the_connection_with_an_alert_and_hurts_no_other),
        TEST(a_tampered_record_is_refused),
        TEST(renegotiation_is_refused),
        TEST(a_close_is_told_in_both_directions),
        TEST(a_foreign_key_is_named_as_such),
        TEST(text_that_is_no_certificate_is_named_as_such),
    };
    return cmocka_run_group_tests_name("worker_tls", tests, NULL, NULL);
}

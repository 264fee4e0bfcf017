/* The HTTP/1.1 session fed with a client's bytes; no connection around it. */
#include "tests/unit/http1_peer.h"

#define HOST "Host: a\r\n"
#define GET(target) "GET " target " HTTP/1.1\r\n" HOST "\r\n"
#define OLD(target, fields) "GET " target " HTTP/1.0\r\n" fields "\r\n"
#define CHUNKED "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\n"
#define CODED OK "transfer-encoding: chunked\r\n"
#define CLOSE "connection: close\r\n"
#define END "0\r\n\r\n"

static void requests_at_once_are_answered_in_their_order(void **state)
{
    (void)state;
    EXPECT(GET("/1") GET("/22") GET("/3"), CODED
           "\r\n4\r\n/1[]\r\n" END CODED "\r\n5\r\n/22[]\r\n" END CODED "\r\n4\r\n/3[]\r\n" END);
    assert_int_equal(peer->closed, 3);
    assert_int_equal(peer->responses, 3);
    assert_false(http1_done(peer->http1));
}

static void one_is_told_of_when_the_one_before_is_answered(void **state)
{
    (void)state;
    peer->put_off = true;
    FEED(GET("/1") GET("/2") GET("/3"));
    for (unsigned n = 1; n <= 3; n++) {
        assert_int_equal(peer->begun, n);
        assert_int_equal(http1_open_streams(peer->http1), 1);
        peer_answer();
        assert_true(http1_wants_write(peer->http1));
        peer_produce();
        assert_int_equal(peer->closed, n);
    }
    assert_int_equal(http1_open_streams(peer->http1), 0);
}

static void who_is_far_ahead_of_its_answers_is_not_listened_to(void **state)
{
    (void)state;
    peer->put_off = true;
    FEED(GET("/"));
    assert_true(http1_wants_read(peer->http1));
    for (unsigned n = 0; n < 700; n++)
        FEED(GET("/"));
    assert_false(http1_wants_read(peer->http1));
    peer->put_off = false;
    peer_answer();
    peer_produce();
    assert_true(http1_wants_read(peer->http1));
    assert_int_equal(peer->responses, 701);
}

static void chunks_are_put_together_wherever_they_are_cut(void **state)
{
    (void)state;
    EXPECT(CHUNKED "5\r\nhello\r\n6;x=\"y\"\r\n world\r\n0\r\nX-T: y\r\n\r\n" GET("/next"),
           CODED "\r\ne\r\n/[hello world]\r\n" END CODED "\r\n7\r\n/next[]\r\n" END);
    assert_int_equal(peer->ends, 1);
    EXPECT(CHUNKED "00a\r\n0123456789\r\n000\r\n\r\n", CODED "\r\nd\r\n/[0123456789]\r\n" END);
    EXPECT(CHUNKED END, CODED "\r\n3\r\n/[]\r\n" END);
}

static void content_of_a_known_length_ends_with_it(void **state)
{
    (void)state;
    EXPECT("PUT / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello" GET("/next"),
           CODED "\r\n8\r\n/[hello]\r\n" END CODED "\r\n7\r\n/next[]\r\n" END);
    EXPECT("PUT / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n" GET("/next"),
           CODED "\r\n3\r\n/[]\r\n" END CODED "\r\n7\r\n/next[]\r\n" END);
}

static void content_that_nobody_consumes_stops_its_sender(void **state)
{
    (void)state;
    static char piece[16 * 1024];
    peer->hoards = true;
    FEED("PUT / HTTP/1.1\r\n" HOST "Content-Length: 1000000\r\n\r\n");
    for (unsigned n = 0; n < 3; n++)
        peer_feed(piece, sizeof(piece), sizeof(piece));
    assert_true(http1_wants_read(peer->http1));
    peer_feed(piece, sizeof(piece), sizeof(piece));
    assert_false(http1_wants_read(peer->http1));
    http1_consumed(peer->http1, sizeof(piece));
    assert_true(http1_wants_read(peer->http1));
}

#define EXPECTS(version) \
    "PUT / HTTP/" version "\r\n" HOST "Content-Length: 2\r\nExpect: 100-Continue\r\n\r\n"
#define GO_ON "HTTP/1.1 100 Continue\r\n\r\n"

static void who_waits_for_100_gets_it_once_it_is_said(void **state)
{
    (void)state;
    FEED(EXPECTS("1.1"));
    assert_string_equal(peer->out, "");
    assert_int_equal(http1_inform(peer->http1, 100), 0);
    peer_produce();
    assert_int_equal(http1_inform(peer->http1, 100), 0);
    peer_produce();
    assert_string_equal(peer->out, GO_ON);
    FEED("hi");
    assert_string_equal(peer->out, GO_ON CODED "\r\n5\r\n/[hi]\r\n" END);
}

static void nobody_else_gets_an_interim_response(void **state)
{
    (void)state;
    FEED(EXPECTS("1.0"));
    assert_int_equal(http1_inform(peer->http1, 100), 0);
    peer_produce();
    assert_string_equal(peer->out, "");
    peer_connect();
    FEED(EXPECTS("1.1") "h");
    assert_int_equal(http1_inform(peer->http1, 103), -EINVAL);
    FEED("i");
    assert_string_equal(peer->out, CODED "\r\n5\r\n/[hi]\r\n" END);
    peer_connect();
    peer->put_off = true;
    FEED("GET / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\n\r\n");
    assert_int_equal(http1_inform(peer->http1, 100), 0);
    peer_produce();
    assert_string_equal(peer->out, "");
}

static void an_answer_instead_of_100_ends_the_connection(void **state)
{
    (void)state;
    peer->put_off = true;
    peer->answer = (struct answer){.status = 403};
    FEED(EXPECTS("1.1"));
    peer_answer();
    peer_produce();
    assert_string_equal(peer->out, "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n" CLOSE "\r\n");
    assert_true(http1_done(peer->http1));
}

static void content_that_is_not_wanted_is_read_over_where_it_is_little(void **state)
{
    (void)state;
    peer->put_off = true;
    peer->answer = (struct answer){.status = 405};
    FEED("PUT / HTTP/1.1\r\n" HOST "Content-Length: 65536\r\n\r\n");
    peer_answer();
    peer_produce();
    assert_null(strstr(peer->out, CLOSE));
    assert_true(peer->open);
    static char content[65536];
    peer_feed(content, sizeof(content), 10000);
    assert_false(peer->open);
    FEED(GET("/"));
    assert_int_equal(peer->begun, 2);
    peer_connect();
    FEED("PUT / HTTP/1.1\r\n" HOST "Content-Length: 65537\r\n\r\n");
    peer_answer();
    peer_produce();
    assert_non_null(strstr(peer->out, CLOSE));
    assert_true(http1_done(peer->http1));
}

static void connections_are_kept_as_both_sides_say(void **state)
{
    (void)state;
    static const char LENGTH[] = "content-length: 2\r\n";
    peer->answer = (struct answer){.status = 200, .count = 1, .content = "hi"};
    peer->answer.fields[0] = (struct field){SPAN_LITERAL("content-length"), SPAN_LITERAL("2")};
    static const struct {
        const char *request, *says;
    } CASES[] = {
        {GET("/"), ""},
        {"GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", CLOSE},
        {"GET / HTTP/1.1\r\n" HOST "Connection: x, Close\r\n\r\n", CLOSE},
        {"GET / HTTP/1.1\r\n" HOST "Connection: keep-alive\r\n\r\n", ""},
        {OLD("/", HOST), CLOSE},
        {OLD("/", HOST "Connection: Keep-Alive\r\n"), "connection: keep-alive\r\n"},
        {OLD("/", HOST "Connection: close\r\n"), CLOSE},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        char expected[200];
        snprintf(expected, sizeof(expected), OK "%s%s\r\nhi", LENGTH, CASES[i].says);
        peer_expect(CASES[i].request, strlen(CASES[i].request), expected);
        bool ends = strcmp(CASES[i].says, CLOSE) == 0;
        assert_int_equal(http1_done(peer->http1), ends);
        FEED(GET("/"));
        assert_int_equal(peer->begun, ends ? 1 : 2);
    }
}

static void an_upgrade_is_not_made(void **state)
{
    (void)state;
    EXPECT("GET / HTTP/1.1\r\n" HOST "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
           "HTTP2-Settings: AAMAAABk\r\n\r\n" GET("/next"),
           CODED "\r\n3\r\n/[]\r\n" END CODED "\r\n7\r\n/next[]\r\n" END);
    peer->answer = (struct answer){.status = 405};
    EXPECT("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n" GET("/next"),
           "HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n" CLOSE "\r\n");
    assert_int_equal(peer->begun, 1);
}

static void an_absolute_target_is_taken_apart(void **state)
{
    (void)state;
    static const struct {
        const char *target, *authority, *path; /* NULL: it is refused */
    } CASES[] = {
        {"http://b/x?y", "b", "/x?y"},
        {"HTTP://b:80/", "b:80", "/"},
        {"http://b", "b", "/"},
        {"http://b?x=1", "b", "/?x=1"},
        {"http://[::1]:80/x", "[::1]:80", "/x"},
        {"https://b/", NULL, NULL},
        {"ftp://b/", NULL, NULL},
        {"http:/b/", NULL, NULL},
        {"x", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        char text[100];
        int n = snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\n" HOST "\r\n", CASES[i].target);
        peer_connect();
        peer_feed(text, (size_t)n, (size_t)n);
        assert_int_equal(peer->list->refusal, CASES[i].path ? 0 : 400);
        if (!CASES[i].path)
            continue;
        assert_true(span_equal(peer->list->authority, span_of(CASES[i].authority)));
        assert_true(span_equal(peer->list->target, span_of(CASES[i].path)));
        assert_null(peer->list->host.data);
    }
}

static void only_http_1_0_may_leave_the_host_out(void **state)
{
    (void)state;
    static const struct {
        const char *request;
        int refusal;
        bool hostless;
    } CASES[] = {
        {OLD("/", ""), 0, true},
        {"OPTIONS * HTTP/1.0\r\n\r\n", 0, true},
        {OLD("/", HOST), 0, false},
        {OLD("/", "Host:\r\n"), 0, false}, /* an empty one is for the facts to judge */
        {OLD("http://a/", ""), 0, false},
        {"CONNECT a:80 HTTP/1.0\r\n\r\n", 0, false},
        {OLD("/", HOST HOST), 400, false},
        {"GET / HTTP/1.1\r\n\r\n", 400, false},
        {"GET http://a/ HTTP/1.1\r\n\r\n", 400, false},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        peer_connect();
        peer_feed(CASES[i].request, strlen(CASES[i].request), 7);
        assert_int_equal(peer->list->refusal, CASES[i].refusal);
        assert_int_equal(peer->list->hostless, CASES[i].hostless);
    }
}

/* ---- what is refused ---- */

/* Of each the connection ends, and what comes behind it is not looked at. */
static void what_may_be_read_in_two_ways_is_refused(void **state)
{
    (void)state;
#define POST(fields) "POST / HTTP/1.1\r\n" HOST fields "\r\n"
    static const struct {
        const char *request;
        int status;
    } CASES[] = {
        {POST("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400},
        {POST("Content-Length: 5\r\nContent-Length: 5\r\n"), 400},
        {POST("Content-Length: +5\r\n"), 400},
        {POST("Content-Length: 1234567890123456789\r\n"), 400},
        {POST("Content-Length: 5, 5\r\n"), 400},
        {POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400},
        {POST("Transfer-Encoding: chunked, identity\r\n"), 400},
        {POST("Transfer-Encoding: gzip\r\n"), 400},
        {POST("Transfer-Encoding: gzip, chunked\r\n"), 501},
        {POST("Transfer-Encoding : chunked\r\n"), 400},
        {POST("Expect: a miracle\r\n"), 417},
        {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {POST("A: b\r\n c\r\n"), 400},
        {POST("A: b\r\n\tc\r\n"), 400},
        {"GET / HTTP/1.1\r\n " HOST "\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST HOST "\r\n", 400},
        {"GET  / HTTP/1.1\r\n" HOST "\r\n", 400},
        {"GET / HTTP/1.1 \r\n" HOST "\r\n", 400},
        {"GET / HTTP/3.0\r\n" HOST "\r\n", 505},
        {"FROB / HTTP/1.1\r\n" HOST "\r\n", 501},
        {"\r\n\r\n" GET("/"), 400},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        size_t length = strlen(CASES[i].request);
        for (size_t piece = 1; piece <= length; piece++) {
            peer_connect();
            peer_feed(CASES[i].request, length, piece);
            FEED(GET("/smuggled"));
            assert_int_equal(atoi(peer->out + 9), CASES[i].status);
            assert_non_null(strstr(peer->out, "\r\ncontent-length: 0\r\n" CLOSE "\r\n"));
            assert_int_equal(peer->begun, 1);
            assert_true(http1_failed(peer->http1) && http1_done(peer->http1));
            assert_true(http1_failure(peer->http1)[0]);
        }
    }
}

/* They come when the request is told of already. */
static void chunks_that_are_none_end_the_connection(void **state)
{
    (void)state;
    static const char BAD[] = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n" CLOSE "\r\n";
    EXPECT(CHUNKED "5\r\nhello!\r\n" END GET("/smuggled"), BAD);
    EXPECT(CHUNKED "6\r\nhello\r\n" END GET("/smuggled"), BAD);
    EXPECT(CHUNKED "0x5\r\nhello\r\n" END GET("/smuggled"), BAD);
    EXPECT(CHUNKED "5 \r\nhello\r\n" END GET("/smuggled"), BAD);
    EXPECT(CHUNKED "5\nhello\r\n" END GET("/smuggled"), BAD);
    EXPECT(CHUNKED "10000000000000005\r\nhello\r\n" END GET("/smuggled"), BAD);
    EXPECT(CHUNKED "0\r\nA: b\r\n c\r\n\r\n" GET("/smuggled"), BAD);
    assert_int_equal(peer->begun, 1);
    assert_int_equal(peer->error, HTTP2_PROTOCOL_ERROR);
    assert_true(http1_failed(peer->http1) && http1_done(peer->http1));
}

static void repeat(char *text, const char *part, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        strcat(text, part);
}

static void a_header_block_is_limited(void **state)
{
    (void)state;
    static char text[8192];
    peer->limits.header_bytes = 2048;
    peer->limits.header_fields = 12;
    strcpy(text, "GET /");
    repeat(text, "xxxxxxxxxx", 210);
    peer_expect(text, strlen(text),
                "HTTP/1.1 414 URI Too Long\r\ncontent-length: 0\r\n" CLOSE "\r\n");
    strcpy(text, "GET / HTTP/1.1\r\n" HOST "X: ");
    repeat(text, "xxxxxxxxxx", 210);
    peer_expect(text, strlen(text),
                "HTTP/1.1 431 Request Header Fields Too Large\r\n"
                "content-length: 0\r\n" CLOSE "\r\n");
    assert_int_equal(peer->begun, 1);
    strcpy(text, "GET / HTTP/1.1\r\n" HOST);
    repeat(text, "X: y\r\n", 11);
    strcat(text, "\r\n");
    peer_connect();
    peer_feed(text, strlen(text), strlen(text));
    assert_true(peer->list->too_large);
    assert_int_equal(peer->list->refusal, 0);
    assert_false(http1_done(peer->http1));
}

static void trailers_are_limited(void **state)
{
    (void)state;
    static char text[8192];
    peer->limits.header_bytes = 1024;
    strcpy(text, CHUNKED "0\r\n");
    repeat(text, "X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n", 30);
    peer_expect(text, strlen(text),
                "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n" CLOSE "\r\n");
}

/* ---- responses ---- */

static void a_response_says_where_it_ends(void **state)
{
    (void)state;
    static const struct {
        const char *method;
        int status;
        bool length;  /* Content-Length is among the fields */
        bool content; /* there is some */
        const char *expected;
    } CASES[] = {
        {"GET", 200, true, true, OK "content-length: 2\r\n\r\nhi"},
        {"GET", 200, false, true, CODED "\r\n2\r\nhi\r\n" END},
        {"GET", 200, false, false, OK "content-length: 0\r\n\r\n"},
        {"HEAD", 200, true, false, OK "content-length: 2\r\n\r\n"},
        {"HEAD", 200, false, false, OK "\r\n"},
        {"GET", 204, false, false, "HTTP/1.1 204 No Content\r\n\r\n"},
        {"GET", 304, false, false, "HTTP/1.1 304 Not Modified\r\n\r\n"},
        {"GET", 304, true, false, "HTTP/1.1 304 Not Modified\r\ncontent-length: 2\r\n\r\n"},
        {"GET", 799, false, false, "HTTP/1.1 799 Unknown\r\ncontent-length: 0\r\n\r\n"},
    };
    peer->put_off = true;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct field length = {SPAN_LITERAL("content-length"), SPAN_LITERAL("2")};
        char text[100];
        int n = snprintf(text, sizeof(text), "%s / HTTP/1.1\r\n" HOST "\r\n", CASES[i].method);
        peer_connect();
        peer_feed(text, (size_t)n, (size_t)n);
        peer->left = SPAN_LITERAL("hi");
        http1_respond(peer->http1, CASES[i].status, &length, CASES[i].length, CASES[i].content);
        peer_produce();
        assert_string_equal(peer->out, CASES[i].expected);
        assert_int_equal(peer->closed, 1);
        assert_false(http1_done(peer->http1));
    }
}

static void fields_that_would_end_a_message_are_left_out(void **state)
{
    (void)state;
    static const struct field FIELDS[] = {
        {SPAN_LITERAL("a"), SPAN_LITERAL("b\r\nset-cookie: c")},
        {SPAN_LITERAL("a"), SPAN_LITERAL("b\nc")},
        {SPAN_LITERAL("a"), SPAN_LITERAL("b\0c")},
        {SPAN_LITERAL("connection"), SPAN_LITERAL("keep-alive, x")},
        {SPAN_LITERAL("transfer-encoding"), SPAN_LITERAL("gzip")},
        {SPAN_LITERAL("x"), SPAN_LITERAL("")},
    };
    peer->put_off = true;
    FEED(GET("/"));
    http1_respond(peer->http1, 200, FIELDS, 6, false);
    peer_produce();
    assert_string_equal(peer->out, OK "x: \r\ncontent-length: 0\r\n\r\n");
}

static void a_head_larger_than_a_send_is_written_in_several(void **state)
{
    (void)state;
    static char value[5001], expected[6000];
    memset(value, 'v', sizeof(value) - 1);
    peer->room = HTTP2_ROOM_MIN;
    peer->answer.fields[0] = (struct field){SPAN_LITERAL("x"), span_of(value)};
    peer->answer.count = 1;
    snprintf(expected, sizeof(expected),
             OK "x: %s\r\ntransfer-encoding: chunked\r\n\r\n"
                "3\r\n/[]\r\n" END CODED "\r\n3\r\n/[]\r\n" END,
             value);
    FEED(GET("/"));
    peer->answer.count = 0;
    FEED(GET("/"));
    assert_string_equal(peer->out, expected);
}

static void content_that_comes_later_is_awaited(void **state)
{
    (void)state;
    peer->answer = (struct answer){.status = 200, .content = "one"};
    peer->stalls = true;
    FEED(GET("/"));
    assert_string_equal(peer->out, CODED "\r\n3\r\none\r\n");
    peer->stalls = false;
    peer->left = SPAN_LITERAL("two");
    peer_produce();
    assert_int_equal(peer->responses, 0);
    http1_resume(peer->http1);
    peer_produce();
    assert_string_equal(peer->out, CODED "\r\n3\r\none\r\n3\r\ntwo\r\n" END);
}

static void only_its_connections_end_tells_an_old_client_of_a_responses(void **state)
{
    (void)state;
    peer->answer = (struct answer){.status = 200, .content = "hello"};
    peer->stalls = true;
    FEED(OLD("/", HOST "Connection: keep-alive\r\n"));
    assert_string_equal(peer->out, OK CLOSE "\r\nhello");
    assert_true(http1_is_cut(peer->http1, true));
    peer->stalls = false;
    http1_resume(peer->http1);
    peer_produce();
    assert_true(http1_done(peer->http1));
    assert_true(http1_is_cut(peer->http1, false));
    assert_false(http1_is_cut(peer->http1, true));
}

/* ---- what is given up ---- */

static void a_request_that_is_given_up_before_its_head_is_told_so(void **state)
{
    (void)state;
    peer->put_off = true;
    FEED(GET("/"));
    http1_reset(peer->http1, HTTP2_CANCEL);
    peer_produce();
    assert_string_equal(peer->out,
                        "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n" CLOSE "\r\n");
    assert_true(http1_done(peer->http1) && peer->error == HTTP2_CANCEL);
    peer_connect();
    FEED(GET("/"));
    http1_reset(peer->http1, HTTP2_NO_ERROR);
    assert_false(http1_wants_write(peer->http1));
    http1_reset(peer->http1, HTTP2_INTERNAL_ERROR);
    peer_produce();
    assert_string_equal(peer->out,
                        "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n" CLOSE "\r\n");
}

/* What came together with it is looked at first. */
static void a_request_that_is_given_up_and_malformed_is_answered_once(void **state)
{
    (void)state;
    static const char TEXT[] = CHUNKED "5\r\nhello!\r\n";
    peer->gives_up = true;
    FEED(CHUNKED "5\r\nhello!\r\n");
    assert_string_equal(peer->out,
                        "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n" CLOSE "\r\n");
    peer_connect();
    peer_feed(TEXT, sizeof(TEXT) - 1, 1);
    assert_string_equal(peer->out,
                        "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n" CLOSE "\r\n");
    assert_int_equal(peer->closed, 1);
}

static void a_response_that_breaks_off_never_looks_whole(void **state)
{
    (void)state;
    static const struct {
        const char *request;
        bool cut; /* nothing but a reset tells */
    } CASES[] = {{GET("/") GET("/next"), false}, {OLD("/", HOST), true}};
    peer->answer = (struct answer){.status = 200, .content = "hello"};
    for (size_t i = 0; i < 4; i++) {
        peer_connect();
        peer->stalls = true;
        peer_feed(CASES[i / 2].request, strlen(CASES[i / 2].request), 1000);
        if (i % 2) {
            http1_reset(peer->http1, HTTP2_INTERNAL_ERROR);
        } else {
            peer->fails = true;
            http1_resume(peer->http1);
        }
        peer_produce();
        assert_null(strstr(peer->out, END));
        assert_int_equal(peer->begun, 1);
        assert_int_equal(peer->error, HTTP2_INTERNAL_ERROR);
        assert_int_equal(peer->responses, 0);
        assert_true(http1_done(peer->http1));
        assert_int_equal(http1_is_cut(peer->http1, true), CASES[i / 2].cut);
    }
}

/* ---- the connection's end ---- */

static void a_connection_that_drains_says_so_with_the_response_under_way(void **state)
{
    (void)state;
    peer->put_off = true;
    FEED(GET("/") GET("/next"));
    http1_shutdown_notice(peer->http1);
    peer_produce();
    assert_false(http1_done(peer->http1));
    peer_answer();
    peer_produce();
    assert_string_equal(peer->out, CODED CLOSE "\r\n3\r\n/[]\r\n" END);
    assert_true(http1_done(peer->http1) && peer->begun == 1);
    peer_connect();
    http1_goaway(peer->http1);
    assert_true(http1_done(peer->http1));
}

static void a_request_that_has_begun_is_answered_before_the_end(void **state)
{
    (void)state;
    FEED("GET / HT");
    assert_int_equal(http1_header_block(peer->http1), 1);
    http1_goaway(peer->http1);
    peer_produce();
    assert_false(http1_done(peer->http1));
    FEED("TP/1.1\r\n" HOST "\r\n");
    assert_string_equal(peer->out, CODED CLOSE "\r\n3\r\n/[]\r\n" END);
    assert_true(http1_done(peer->http1));
    assert_int_equal(http1_header_block(peer->http1), 0);
}

static void who_sends_nothing_more_is_answered_what_it_asked(void **state)
{
    (void)state;
    peer->put_off = true;
    FEED(GET("/1") GET("/2"));
    assert_true(http1_receive_end(peer->http1));
    peer_answer();
    peer_produce();
    peer_answer();
    peer_produce();
    assert_string_equal(peer->out,
                        CODED "\r\n4\r\n/1[]\r\n" END CODED CLOSE "\r\n4\r\n/2[]\r\n" END);
    assert_true(http1_done(peer->http1));
    peer_connect();
    FEED("PUT / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhe");
    assert_false(http1_receive_end(peer->http1));
    peer_connect();
    assert_false(http1_receive_end(peer->http1));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, peer_setup, peer_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(requests_at_once_are_answered_in_their_order),
        TEST(one_is_told_of_when_the_one_before_is_answered),
        TEST(who_is_far_ahead_of_its_answers_is_not_listened_to),
        TEST(chunks_are_put_together_wherever_they_are_cut),
        TEST(content_of_a_known_length_ends_with_it),
        TEST(content_that_nobody_consumes_stops_its_sender),
        TEST(who_waits_for_100_gets_it_once_it_is_said),
        TEST(nobody_else_gets_an_interim_response),
        TEST(an_answer_instead_of_100_ends_the_connection),
        TEST(content_that_is_not_wanted_is_read_over_where_it_is_little),
        TEST(connections_are_kept_as_both_sides_say),
        TEST(an_upgrade_is_not_made),
        TEST(an_absolute_target_is_taken_apart),
        TEST(only_http_1_0_may_leave_the_host_out),
        TEST(what_may_be_read_in_two_ways_is_refused),
        TEST(chunks_that_are_none_end_the_connection),
        TEST(a_header_block_is_limited),
        TEST(trailers_are_limited),
        TEST(a_response_says_where_it_ends),
        TEST(fields_that_would_end_a_message_are_left_out),
        TEST(a_head_larger_than_a_send_is_written_in_several),
        TEST(content_that_comes_later_is_awaited),
        TEST(only_its_connections_end_tells_an_old_client_of_a_responses),
        TEST(a_request_that_is_given_up_before_its_head_is_told_so),
        TEST(a_request_that_is_given_up_and_malformed_is_answered_once),
        TEST(a_response_that_breaks_off_never_looks_whole),
        TEST(a_connection_that_drains_says_so_with_the_response_under_way),
        TEST(a_request_that_has_begun_is_answered_before_the_end),
        TEST(who_sends_nothing_more_is_answered_what_it_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

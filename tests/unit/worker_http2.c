/* The HTTP/2 session fed with a client's bytes; no connection around it. */
#include "worker/http2.h"

#include "tests/default_limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define SETTINGS "\0\0\0\x04\0\0\0\0\0"
#define SETTINGS_NO_PUSH "\0\0\x06\x04\0\0\0\0\0\0\x02\0\0\0\0"
/* GET https://a/ on stream 1 */
#define REQUEST "\0\0\x06\x01\x05\0\0\0\x01\x82\x87\x84\x41\x01\x61"
/* Requests without a path, on streams 1 and 3. */
#define MALFORMED "\0\0\x01\x01\x05\0\0\0\x01\x82" "\0\0\x01\x01\x05\0\0\0\x03\x82"
#define RESET "\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08"
#define GOAWAY "\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0"

/* What the events told of the page's stream, and of the one promised on it. */
struct told {
    int32_t id;
    unsigned begun, promised, not_promised, ended, closed;
};

struct peer {
    struct http2_context *context;
    struct http2 *http2;
    struct config_limits limits;
    struct guard guard;
    uint64_t now_ms;
    struct told page, pushed;
};

static struct peer *peer;

static void *on_begin(void *connection, int32_t id)
{
    assert_ptr_equal(connection, peer);
    peer->page.id = id;
    peer->page.begun++;
    return &peer->page;
}

static void on_request(void *stream, struct header_list *list, bool end)
{
    assert_ptr_equal(stream, &peer->page);
    assert_true(end);
    header_list_release(list);
    peer->pushed.id = http2_promise(peer->http2, peer->page.id, SPAN_LITERAL("https"),
                                    SPAN_LITERAL("a"), SPAN_LITERAL("/x"), NULL, 0, &peer->pushed);
    assert_int_equal(peer->pushed.id, 2);
}

static void on_reset(void *connection, void *stream, int32_t id, uint32_t error)
{
    (void)connection, (void)stream, (void)id, (void)error;
}

static void on_close(void *stream, uint32_t error)
{
    (void)error;
    ((struct told *)stream)->closed++;
}

static void on_response_end(void *stream, bool *apart)
{
    ((struct told *)stream)->ended++;
    *apart = true;
}

static void on_promised(void *stream)
{
    ((struct told *)stream)->promised++;
}

static void on_not_promised(void *connection, int32_t id)
{
    assert_ptr_equal(connection, peer);
    assert_int_equal(id, peer->pushed.id);
    peer->pushed.not_promised++;
}

static void on_settings(void *connection)
{
    assert_ptr_equal(connection, peer);
}

static void on_goaway(void *connection, int32_t last, uint32_t error)
{
    (void)connection, (void)last, (void)error;
}

static bool on_nothing_ready(void *connection)
{
    assert_ptr_equal(connection, peer);
    return false;
}

static const struct session_events EVENTS = {
    .begin = on_begin,
    .request = on_request,
    .reset = on_reset,
    .close = on_close,
    .response_end = on_response_end,
    .promised = on_promised,
    .not_promised = on_not_promised,
    .nothing_ready = on_nothing_ready,
    .settings = on_settings,
    .goaway = on_goaway,
};

static int setup(void **state)
{
    (void)state;
    peer = calloc(1, sizeof(*peer));
    if (!peer)
        return -1;
    peer->limits = DEFAULT_LIMITS;
    guard_init(&peer->guard, &peer->limits, &peer->now_ms);
    peer->context = http2_context_create(&EVENTS, &peer->limits);
    peer->http2 = http2_create(peer->context, &peer->guard, peer);
    return peer->http2 ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    http2_destroy(peer->http2);
    http2_context_destroy(peer->context);
    free(peer);
    return 0;
}

static void produce(void)
{
    static uint8_t out[2 * HTTP2_ROOM_MIN];
    while (http2_produce(peer->http2, out, sizeof(out)) > 0)
        ;
}

/* Frames in a literal, less the NUL at its end. */
#define FEED(frames) assert_int_equal(http2_receive(peer->http2, frames, sizeof(frames) - 1), 0)

static void a_promise_is_written_and_its_stream_counted(void **state)
{
    (void)state;
    FEED(PREFACE SETTINGS REQUEST);
    produce();
    assert_int_equal(peer->pushed.promised, 1);
    assert_int_equal(peer->pushed.not_promised, 0);
    assert_int_equal(peer->pushed.closed, 0);
    assert_int_equal(http2_open_streams(peer->http2), 2);
}

static void a_promise_whose_page_was_reset_before_it_was_written_ends_once(void **state)
{
    (void)state;
    FEED(PREFACE SETTINGS REQUEST);
    FEED(RESET);
    produce();
    assert_int_equal(peer->page.closed, 1);
    assert_int_equal(peer->pushed.promised, 0);
    assert_int_equal(peer->pushed.not_promised + peer->pushed.closed, 1);
    assert_int_equal(http2_open_streams(peer->http2), 0);
}

static void a_promise_overtaken_by_settings_without_push_ends_once(void **state)
{
    (void)state;
    FEED(PREFACE SETTINGS REQUEST);
    FEED(SETTINGS_NO_PUSH);
    produce();
    assert_int_equal(peer->pushed.promised, 0);
    assert_int_equal(peer->pushed.not_promised, 1);
    assert_int_equal(peer->pushed.closed, 0);
    assert_int_equal(http2_open_streams(peer->http2), 1);
}

static void a_promise_overtaken_by_goaway_ends_once(void **state)
{
    (void)state;
    FEED(PREFACE SETTINGS REQUEST);
    FEED(GOAWAY);
    produce();
    assert_int_equal(peer->pushed.promised, 0);
    assert_int_equal(peer->pushed.not_promised + peer->pushed.closed, 1);
    assert_int_equal(http2_open_streams(peer->http2), 1);
}

/* Answers the page by a header block alone, `bytes` of which are one field's value. */
static void answer(size_t bytes)
{
    static char value[2 * HTTP2_ROOM_MIN];
    memset(value, '~', sizeof(value)); /* whose code is longer than an octet */
    struct field field = {SPAN_LITERAL("etag"), span_make(value, bytes)};
    assert_int_equal(http2_respond(peer->http2, peer->page.id, 304, &field, 1, false), 0);
}

static void a_header_block_that_ends_its_response_is_written_at_its_end(void **state)
{
    static uint8_t out[2 * HTTP2_ROOM_MIN];
    (void)state;
    FEED(PREFACE SETTINGS REQUEST);
    produce();
    answer(100);
    ptrdiff_t n = http2_produce(peer->http2, out, sizeof(out));
    assert_in_range(n, 100, 200);
    assert_int_equal(peer->page.ended, 1);
    assert_int_equal(http2_unwritten_end(peer->http2), 0);
    assert_int_equal(http2_end_apart(peer->http2), n);
}

static void a_header_block_that_does_not_fit_is_no_written_end_before_the_rest_is(void **state)
{
    static uint8_t out[2 * HTTP2_ROOM_MIN];
    (void)state;
    FEED(PREFACE SETTINGS REQUEST);
    produce();
    answer(HTTP2_ROOM_MIN);
    assert_int_equal(http2_produce(peer->http2, out, HTTP2_ROOM_MIN), HTTP2_ROOM_MIN);
    assert_int_equal(peer->page.ended, 1);
    assert_int_equal(peer->page.closed, 1);
    assert_int_equal(http2_unwritten_end(peer->http2), peer->page.id);
    assert_int_equal(http2_end_apart(peer->http2), 0);
    ptrdiff_t n = http2_produce(peer->http2, out, sizeof(out));
    assert_in_range(n, 1, 200);
    assert_int_equal(http2_unwritten_end(peer->http2), 0);
    assert_int_equal(http2_end_apart(peer->http2), n);
}

/* The sanitizers' build would find a list that is left over. */
static void malformed_requests_in_a_row_leave_nothing_behind(void **state)
{
    (void)state;
    FEED(PREFACE SETTINGS MALFORMED);
    produce();
    assert_int_equal(peer->page.begun, 2);
    assert_int_equal(peer->page.closed, 2);
    assert_int_equal(peer->pushed.id, 0);
    assert_int_equal(http2_open_streams(peer->http2), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_promise_is_written_and_its_stream_counted, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            a_promise_whose_page_was_reset_before_it_was_written_ends_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_promise_overtaken_by_settings_without_push_ends_once,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_promise_overtaken_by_goaway_ends_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_header_block_that_ends_its_response_is_written_at_its_end,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_header_block_that_does_not_fit_is_no_written_end_before_the_rest_is, setup, teardown),
        cmocka_unit_test_setup_teardown(malformed_requests_in_a_row_leave_nothing_behind, setup,
                                        teardown),
    };
    return cmocka_run_group_tests_name("worker_http2", tests, NULL, NULL);
}

/* An HTTP/1.1 session without a connection: it is fed with a client's bytes, and what it tells and
 * writes is kept. Each request is answered with `answer` when it is whole, unless that is put off.
 */
#ifndef HERALD_TESTS_HTTP1_PEER_H
#define HERALD_TESTS_HTTP1_PEER_H

#include "tests/default_limits.h"
#include "worker/http1.h"
#include "worker/http2.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OUT_MAX (256 * 1024)

struct answer {
    int status;
    struct field fields[3];
    size_t count;
    const char *content; /* NULL: none */
    bool echo;           /* the request's target, and its content, is the content */
};

struct peer {
    struct http1_context *context;
    struct http1 *http1;
    struct config_limits limits;
    struct guard guard;
    uint64_t now_ms;
    size_t room; /* of each produce */

    struct answer answer;
    bool put_off;  /* whoever tests answers */
    bool hoards;   /* content is not consumed */
    bool gives_up; /* at once, on each request */

    /* The request under way, or the last. */
    struct header_list *list;
    int32_t id;
    bool open, whole;
    char *content;
    size_t content_length;
    char text[512]; /* of the answer: echo */
    struct span left;
    bool stalls; /* its content does not come yet */
    bool fails;  /* it never will */

    unsigned begun, requests, ends, responses, closed;
    uint32_t error; /* of the last that closed */

    char out[OUT_MAX + 1]; /* all that was written, as text */
    size_t out_length;
};

static struct peer *peer;

static void peer_answer(void)
{
    struct answer *answer = &peer->answer;
    peer->left = answer->content ? span_of(answer->content) : (struct span){0};
    if (answer->echo) {
        int n =
            snprintf(peer->text, sizeof(peer->text), "%.*s[%.*s]", SPAN_PRINT(peer->list->target),
                     (int)peer->content_length, peer->content_length ? peer->content : "");
        peer->left = span_make(peer->text, (size_t)n);
    }
    int status = peer->list->refusal     ? peer->list->refusal
                 : peer->list->too_large ? 431
                                         : answer->status;
    bool content = (answer->content || answer->echo) && status == answer->status;
    http1_respond(peer->http1, status, answer->fields, content ? answer->count : 0, content);
}

static void *on_begin(void *connection, int32_t id)
{
    assert_ptr_equal(connection, peer);
    assert_false(peer->open);
    assert_int_equal(id, 2 * peer->begun + 1);
    header_list_release(peer->list);
    peer->list = NULL;
    peer->content_length = 0;
    peer->whole = false;
    peer->open = true;
    peer->id = id;
    peer->begun++;
    return peer;
}

static void on_request(void *stream, struct header_list *list, bool end)
{
    assert_ptr_equal(stream, peer);
    peer->list = list;
    peer->requests++;
    peer->whole = end;
    if (peer->gives_up)
        http1_reset(peer->http1, HTTP2_INTERNAL_ERROR);
    else if (end && !peer->put_off)
        peer_answer();
}

static void on_content(void *stream, const void *data, size_t length)
{
    assert_ptr_equal(stream, peer);
    assert_true(peer->open && !peer->whole && length);
    peer->content = realloc(peer->content, peer->content_length + length);
    memcpy(peer->content + peer->content_length, data, length);
    peer->content_length += length;
    if (!peer->hoards)
        http1_consumed(peer->http1, length);
}

static void on_request_end(void *stream)
{
    assert_ptr_equal(stream, peer);
    assert_false(peer->whole);
    peer->whole = true;
    peer->ends++;
    if (!peer->put_off)
        peer_answer();
}

static void on_close(void *stream, uint32_t error)
{
    assert_ptr_equal(stream, peer);
    assert_true(peer->open);
    peer->open = false;
    peer->error = error;
    peer->closed++;
}

static ptrdiff_t on_available(void *stream, size_t max, bool *last)
{
    assert_ptr_equal(stream, peer);
    if (peer->fails)
        return -EIO;
    if (peer->stalls && !peer->left.length)
        return -EAGAIN;
    *last = !peer->stalls && peer->left.length <= max;
    return (ptrdiff_t)(peer->left.length <= max ? peer->left.length : max);
}

static void on_take(void *stream, uint8_t *out, size_t length)
{
    assert_ptr_equal(stream, peer);
    assert_true(length <= peer->left.length);
    memcpy(out, peer->left.data, length);
    peer->left = span_after(peer->left, length);
}

static void on_response_end(void *stream, bool *apart)
{
    assert_ptr_equal(stream, peer);
    *apart = false;
    peer->responses++;
}

static const struct session_events EVENTS = {
    .begin = on_begin,
    .request = on_request,
    .content = on_content,
    .request_end = on_request_end,
    .close = on_close,
    .available = on_available,
    .take = on_take,
    .response_end = on_response_end,
};

/* Another connection, of which nothing has come yet; limits and answer stay. */
static void peer_connect(void)
{
    http1_destroy(peer->http1);
    header_list_release(peer->list);
    peer->list = NULL;
    peer->open = peer->stalls = peer->fails = false;
    peer->begun = peer->requests = peer->ends = peer->responses = peer->closed = 0;
    peer->out_length = peer->content_length = 0;
    peer->out[0] = '\0';
    guard_init(&peer->guard, &peer->limits, &peer->now_ms);
    peer->http1 = http1_create(peer->context, &peer->guard, false, peer);
    assert_non_null(peer->http1);
}

static int peer_setup(void **state)
{
    (void)state;
    peer = calloc(1, sizeof(*peer));
    if (!peer)
        return -1;
    peer->limits = DEFAULT_LIMITS;
    peer->room = 2 * HTTP2_ROOM_MIN;
    peer->answer = (struct answer){.status = 200, .echo = true};
    peer->context = http1_context_create(&EVENTS, &peer->limits);
    if (!peer->context)
        return -1;
    peer_connect();
    return 0;
}

static int peer_teardown(void **state)
{
    (void)state;
    http1_destroy(peer->http1);
    header_list_release(peer->list);
    http1_context_destroy(peer->context);
    free(peer->content);
    free(peer);
    return 0;
}

/* Writes what is to be written. */
static void peer_produce(void)
{
    size_t n;
    do {
        uint8_t *bytes = malloc(peer->room); /* so that the sanitizer sees who writes past it */
        n = (size_t)http1_produce(peer->http1, bytes, peer->room);
        if (n > peer->room || peer->out_length + n > OUT_MAX)
            fail();
        memcpy(peer->out + peer->out_length, bytes, n);
        peer->out_length += n;
        peer->out[peer->out_length] = '\0';
        free(bytes);
    } while (n > 0);
    assert_false(http1_wants_write(peer->http1));
}

/* Feeds the text in pieces, and writes after each what is to be written. */
static void peer_feed(const char *text, size_t length, size_t piece)
{
    for (size_t at = 0; at < length; at += piece) {
        size_t n = length - at < piece ? length - at : piece;
        char *copy = malloc(n);
        memcpy(copy, text + at, n);
        assert_int_equal(http1_receive(peer->http1, copy, n), 0);
        free(copy);
        peer_produce();
    }
}

#define FEED(text) peer_feed(text, sizeof(text) - 1, sizeof(text) - 1)

/* What a client that sends `text` on a connection of its own is answered with, however that is cut
 * into pieces. */
static void peer_expect(const char *text, size_t length, const char *expected)
{
    for (size_t piece = length; piece > 0; piece--) {
        peer_connect();
        peer_feed(text, length, piece);
        assert_string_equal(peer->out, expected);
    }
}

#define EXPECT(text, expected) peer_expect(text, sizeof(text) - 1, expected)

#endif

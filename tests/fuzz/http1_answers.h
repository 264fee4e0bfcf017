/* The owner of the streams of http1.c's connection: answers each request one way or another, and
 * checks that they begin and close in their order. */
#ifndef HERALD_TESTS_FUZZ_HTTP1_ANSWERS_H
#define HERALD_TESTS_FUZZ_HTTP1_ANSWERS_H

#include "tests/fuzz/input.h"

#include "worker/http1.h"
#include "worker/http2.h"

#include <errno.h>
#include <string.h>

#define WIRE_MAX (8 << 20)
#define REQUESTS_MAX 1024

static struct http1 *http1;
static struct http1_context *answers_context;

/* The request under way, and what came of those before. */
static struct exchange {
    struct header_list *list;
    int32_t id;
    bool open, whole, answered, stalled, head;
    size_t left;       /* bytes of its response */
    size_t unconsumed; /* of its content */
    uint8_t how;       /* changes from one to the next */
    unsigned begun, ended, told;
    bool heads[REQUESTS_MAX]; /* which of those told of were HEAD */
    bool broken;              /* one was, on purpose */
} exchange;

static void exchange_finish(void)
{
    header_list_release(exchange.list);
    exchange.list = NULL;
}

static void exchange_reset(uint8_t how)
{
    exchange_finish();
    exchange = (struct exchange){.how = how};
}

/* Reads all bytes, for the sanitizer. */
static void touch(struct span text)
{
    volatile char byte;
    for (size_t i = 0; i < text.length; i++)
        byte = text.data[i];
    (void)byte;
}

static void answer(void)
{
    static const struct field FIELDS[] = {{SPAN_LITERAL("content-length"), SPAN_LITERAL("5")},
                                          {SPAN_LITERAL("x"), SPAN_LITERAL("y\r\nz: a")},
                                          {SPAN_LITERAL("connection"), SPAN_LITERAL("x")}};
    static const int STATUS[] = {200, 200, 200, 404, 204, 304, 200, 500};
    int status = exchange.list->refusal ? exchange.list->refusal : STATUS[exchange.how & 7];
    bool sized = exchange.how & 8 && status == 200;
    exchange.left = sized ? 5 : (size_t)exchange.how * 100;
    exchange.stalled = (exchange.how & 48) == 16;
    exchange.answered = true;
    bool content = exchange.left && status == 200 && !exchange.head;
    http1_respond(http1, status, sized ? FIELDS : FIELDS + 1, sized ? 3 : 2, content);
}

/* Does what was put off. Returns whether there was something. */
static bool exchange_go_on(void)
{
    if (!exchange.open)
        return false;
    if (exchange.unconsumed) {
        http1_consumed(http1, exchange.unconsumed);
        exchange.unconsumed = 0;
        return true;
    }
    if (exchange.stalled) {
        exchange.stalled = false;
        http1_resume(http1);
        return true;
    }
    if (!exchange.whole || exchange.answered)
        return false;
    answer();
    return true;
}

static void *on_begin(void *connection, int32_t id)
{
    MUST(connection == &answers_context && !exchange.open);
    MUST(id == (int32_t)(2 * exchange.begun + 1));
    exchange_finish();
    exchange.begun++;
    exchange.how = (uint8_t)(exchange.how * 5 + 1);
    if (exchange.how == 255)
        return NULL;
    exchange.id = id;
    exchange.open = true;
    exchange.whole = exchange.answered = exchange.stalled = false;
    exchange.left = exchange.unconsumed = 0;
    return &exchange;
}

static void on_request(void *stream, struct header_list *list, bool end)
{
    MUST(stream == &exchange && exchange.open && !exchange.list && list->count <= list->room);
    for (unsigned i = 0; i < list->count; i++) {
        touch(list->fields[i].name), touch(list->fields[i].value);
        for (size_t n = 0; n < list->fields[i].value.length; n++)
            MUST(list->fields[i].value.data[n] && !strchr("\r\n", list->fields[i].value.data[n]));
    }
    touch(list->method), touch(list->target), touch(list->authority), touch(list->host);
    MUST(list->refusal || list->host.data || list->authority.data || list->hostless ||
         list->too_large);
    exchange.list = list;
    exchange.whole = end;
    exchange.head = span_equal(list->method, SPAN_LITERAL("HEAD"));
    MUST(exchange.told < REQUESTS_MAX);
    exchange.heads[exchange.told++] = exchange.head;
    http1_inform(http1, exchange.how & 64 ? 100 : 103);
    if (exchange.how % 11 == 10)
        answer(); /* early, its content or not */
    else if (exchange.how % 13 == 12) {
        exchange.broken = true;
        http1_reset(http1, exchange.how & 1 ? HTTP2_CANCEL : HTTP2_INTERNAL_ERROR);
    }
}

static void on_content(void *stream, const void *data, size_t length)
{
    MUST(stream == &exchange && exchange.open && !exchange.whole && length);
    touch(span_make(data, length));
    exchange.unconsumed += length;
}

static void on_request_end(void *stream)
{
    MUST(stream == &exchange && exchange.open && !exchange.whole);
    exchange.whole = true;
}

static void on_close(void *stream, uint32_t error)
{
    MUST(stream == &exchange && exchange.open);
    exchange.open = false;
    exchange.broken |= error != HTTP2_NO_ERROR;
}

static ptrdiff_t on_available(void *stream, size_t max, bool *last)
{
    MUST(stream == &exchange && exchange.open && exchange.answered);
    if (exchange.stalled)
        return -EAGAIN;
    if (exchange.how % 17 == 16)
        return -EIO;
    *last = exchange.left <= max;
    return (ptrdiff_t)(*last ? exchange.left : max);
}

static void on_take(void *stream, uint8_t *out, size_t length)
{
    MUST(stream == &exchange && length <= exchange.left);
    memset(out, 'x', length);
    exchange.left -= length;
}

static void on_response_end(void *stream, bool *apart)
{
    MUST(stream == &exchange && exchange.open && !*apart);
    exchange.ended++;
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

#endif

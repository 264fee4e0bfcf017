/* A connection of HTTP/1.1. The first byte tells how the input is cut, the second how requests are
 * answered; the rest is sent as it is. */
#include "tests/fuzz/input.h"

#include "worker/http1.h"
#include "worker/http2.h"

#include <errno.h>

#define ROUNDS_MAX 4000

static struct http1 *http1;
static uint8_t manner;
static struct {
    bool open, asked, answered, ended, stalled;
    size_t left;
} stream;

static void answer(void)
{
    static const struct field FIELDS[] = {
        {SPAN_LITERAL("content-type"), SPAN_LITERAL("text/css")},
        {SPAN_LITERAL("content-length"), SPAN_LITERAL("300")},
    };
    bool sized = manner & 1;
    if (stream.answered)
        return;
    stream.answered = true;
    stream.left = sized ? 300 : (manner & 2) * 5000u;
    stream.stalled = manner & 4;
    http1_respond(http1, 200, FIELDS, sized ? 2 : 1, stream.left > 0);
}

static void *on_begin(void *connection, int32_t id)
{
    MUST(connection == &http1 && id > 0 && !stream.open);
    memset(&stream, 0, sizeof(stream));
    stream.open = true;
    return &stream;
}

/* Reads all bytes, for the sanitizer. */
static void touch(struct span text)
{
    volatile char byte;
    for (size_t i = 0; i < text.length; i++)
        byte = text.data[i];
    (void)byte;
}

static void on_request(void *context, struct header_list *list, bool end)
{
    MUST(context == &stream && stream.open && !stream.asked && list && list->count <= list->room);
    stream.asked = true;
    for (unsigned i = 0; i < list->count; i++) {
        touch(list->fields[i].name), touch(list->fields[i].value);
        MUST(!memchr(list->fields[i].value.data, '\n', list->fields[i].value.length));
    }
    touch(list->method), touch(list->target), touch(list->authority), touch(list->host);
    header_list_release(list);
    if (manner & 8)
        http1_inform(http1, 100);
    if (end || manner & 16)
        answer();
}

static void on_content(void *context, const void *data, size_t length)
{
    MUST(context == &stream && stream.open && stream.asked && !stream.ended);
    touch(span_make(data, length));
    if (!(manner & 32))
        http1_consumed(http1, length);
}

static void on_request_end(void *context)
{
    MUST(context == &stream && stream.open && stream.asked && !stream.ended);
    stream.ended = true;
    answer();
}

static void on_reset(void *connection, void *context, int32_t id, uint32_t error)
{
    (void)id, (void)error;
    MUST(connection == &http1 && (!context || context == &stream));
}

static void on_close(void *context, uint32_t error)
{
    (void)error;
    MUST(context == &stream && stream.open);
    stream.open = false;
}

static ptrdiff_t on_available(void *context, size_t max, bool *last)
{
    MUST(context == &stream && stream.open);
    if (stream.stalled)
        return -EAGAIN;
    if (manner & 64)
        return -EIO;
    *last = stream.left <= max;
    return (ptrdiff_t)(*last ? stream.left : max);
}

static void on_take(void *context, uint8_t *out, size_t length)
{
    MUST(context == &stream && length <= stream.left);
    memset(out, 'x', length);
    stream.left -= length;
}

static void on_response_end(void *context, bool *apart)
{
    MUST(context == &stream && stream.left == 0 && !*apart);
}

static const struct session_events EVENTS = {
    .begin = on_begin,
    .request = on_request,
    .content = on_content,
    .request_end = on_request_end,
    .reset = on_reset,
    .close = on_close,
    .available = on_available,
    .take = on_take,
    .response_end = on_response_end,
};

/* Writes all that can be written now. */
static void drain(void)
{
    uint8_t *out = malloc(HTTP2_ROOM_MIN);
    unsigned rounds = 0;
    ptrdiff_t n;
    while ((n = http1_produce(http1, out, HTTP2_ROOM_MIN)) > 0 || stream.stalled) {
        MUST(n >= 0 && n <= HTTP2_ROOM_MIN && ++rounds < ROUNDS_MAX);
        if (stream.open && stream.stalled) {
            stream.stalled = false;
            http1_resume(http1);
        }
        stream.stalled = false;
    }
    MUST(n == 0);
    free(out);
}

static void feed(struct span text, size_t piece)
{
    while (text.length && !http1_done(http1)) {
        size_t n = piece < text.length ? piece : text.length;
        uint8_t *copy = malloc(n);
        memcpy(copy, text.data, n);
        MUST(http1_receive(http1, copy, n) == 0);
        free(copy);
        text = span_after(text, n);
        drain();
        MUST(http1_open_streams(http1) == stream.open);
        if (!http1_wants_read(http1) && stream.open)
            answer(); /* it would wait for ever */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
#define LIMIT(key, type, fallback, least, most, prose) .key = fallback,
    static const struct config_limits limits = {
#include "master/handoff/limits.def"
    };
#undef LIMIT
    static struct http1_context *context;
    static const uint64_t now_ms = 1000;
    struct input input = input_make(data, size);
    struct guard guard;
    size_t piece = (size_t)input_byte(&input) + 1;
    manner = input_byte(&input);
    if (!context)
        MUST((context = http1_context_create(&EVENTS, &limits)) != NULL);
    memset(&stream, 0, sizeof(stream));
    guard_init(&guard, &limits, &now_ms);
    MUST((http1 = http1_create(context, &guard, manner & 128, &http1)) != NULL);
    feed(input.rest, piece);
    http1_receive_end(http1);
    drain();
    http1_goaway(http1);
    drain();
    http1_destroy(http1);
    return 0;
}

/* The owner of the streams of http2.c's connection: promises and answers, and checks that each
 * stream begins and closes once. */
#ifndef HERALD_TESTS_FUZZ_HTTP2_STREAMS_H
#define HERALD_TESTS_FUZZ_HTTP2_STREAMS_H

#include "tests/fuzz/input.h"

#include "worker/http2.h"

#include <errno.h>

#define STREAMS_MAX 1024

struct stream {
    int32_t id; /* 0: free */
    bool stalled;
    size_t left; /* bytes of its response */
};

static struct http2 *http2;
static struct http2_context *streams_context;
static struct stream *streams[STREAMS_MAX];

static struct stream **streams_find(int32_t id)
{
    for (size_t i = 0; i < STREAMS_MAX; i++)
        if (streams[i] ? streams[i]->id == id : id == 0)
            return &streams[i];
    return NULL;
}

static unsigned streams_count(void)
{
    unsigned count = 0;
    for (size_t i = 0; i < STREAMS_MAX; i++)
        count += streams[i] != NULL;
    return count;
}

static struct stream *streams_make(void)
{
    struct stream **slot = streams_find(0);
    if (slot)
        *slot = calloc(1, sizeof(**slot));
    return slot ? *slot : NULL;
}

static void streams_free(struct stream *stream)
{
    for (size_t i = 0; i < STREAMS_MAX; i++)
        if (streams[i] == stream) {
            streams[i] = NULL;
            free(stream);
            return;
        }
    abort(); /* it was closed before */
}

static void streams_end(void)
{
    for (size_t i = 0; i < STREAMS_MAX; i++) {
        free(streams[i]);
        streams[i] = NULL;
    }
}

static void streams_resume(void)
{
    for (size_t i = 0; i < STREAMS_MAX; i++)
        if (streams[i] && streams[i]->stalled) {
            streams[i]->stalled = false;
            http2_resume(http2, streams[i]->id);
        }
}

static void answer(struct stream *stream)
{
    static const struct field TYPE[] = {{SPAN_LITERAL("content-type"), SPAN_LITERAL("text/css")}};
    stream->left = (size_t)stream->id * 3000 % 70000;
    stream->stalled = stream->id % 3 == 0;
    http2_respond(http2, stream->id, stream->id % 5 ? 200 : 404, TYPE, 1, stream->left > 0);
}

static void *on_begin(void *connection, int32_t id)
{
    MUST(connection == &streams_context && id % 2 == 1 && !streams_find(id));
    struct stream *stream = id % 16 == 15 ? NULL : streams_make();
    if (stream)
        stream->id = id;
    return stream;
}

/* Reads all bytes, for the sanitizer. */
static void touch(struct span text)
{
    volatile char byte;
    for (size_t i = 0; i < text.length; i++)
        byte = text.data[i];
    (void)byte;
}

static void promise(struct stream *parent)
{
    struct stream *pushed = http2_push_enabled(http2) ? streams_make() : NULL;
    if (!pushed)
        return;
    pushed->id = http2_promise(http2, parent->id, SPAN_LITERAL("https"), SPAN_LITERAL("a.test"),
                               SPAN_LITERAL("/a.css"), NULL, 0, pushed);
    if (pushed->id < 0)
        streams_free(pushed);
}

static void on_request(void *context, struct header_list *list, bool end)
{
    struct stream *stream = context;
    MUST(*streams_find(stream->id) == stream && list && list->count <= list->room);
    for (unsigned i = 0; i < list->count; i++)
        touch(list->fields[i].name), touch(list->fields[i].value);
    touch(list->method), touch(list->target), touch(list->authority), touch(list->host);
    header_list_release(list);
    http2_inform(http2, stream->id, 103, NULL, 0);
    promise(stream);
    if (end)
        answer(stream);
}

static void on_content(void *stream, const void *data, size_t length)
{
    MUST(*streams_find(((struct stream *)stream)->id) == stream);
    touch(span_make(data, length));
}

static void on_request_end(void *stream)
{
    answer(stream);
}

static void on_reset(void *connection, void *stream, int32_t id, uint32_t error)
{
    (void)error;
    MUST(connection == &streams_context && (!stream || ((struct stream *)stream)->id == id));
}

static void on_close(void *stream, uint32_t error)
{
    (void)error;
    streams_free(stream);
}

static ptrdiff_t on_available(void *context, size_t max, bool *last)
{
    struct stream *stream = context;
    if (stream->stalled)
        return -EAGAIN;
    if (stream->id % 7 == 0)
        return -EIO;
    *last = stream->left <= max;
    return (ptrdiff_t)(*last ? stream->left : max);
}

static void on_take(void *context, uint8_t *out, size_t length)
{
    struct stream *stream = context;
    MUST(length <= stream->left);
    memset(out, 'x', length);
    stream->left -= length;
}

static void on_response_end(void *context, bool *apart)
{
    struct stream *stream = context;
    MUST(stream->left == 0 && !*apart);
    *apart = stream->id % 4 == 1;
}

static void on_prioritized(void *stream, struct priority priority)
{
    MUST(*streams_find(((struct stream *)stream)->id) == stream && priority.urgency < 8);
}

static void on_promised(void *context)
{
    struct stream *stream = context;
    http2_prioritize(http2, stream->id, (uint8_t)(stream->id & 7), stream->id & 8);
    answer(stream);
}

static void on_not_promised(void *connection, int32_t id)
{
    struct stream **slot = streams_find(id);
    MUST(connection == &streams_context && slot);
    streams_free(*slot);
}

static bool on_nothing_ready(void *connection)
{
    MUST(connection == &streams_context);
    return false;
}

static void on_settings(void *connection)
{
    MUST(connection == &streams_context);
}

static void on_goaway(void *connection, int32_t last, uint32_t error)
{
    (void)last, (void)error;
    MUST(connection == &streams_context);
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
    .promised = on_promised,
    .prioritized = on_prioritized,
    .not_promised = on_not_promised,
    .nothing_ready = on_nothing_ready,
    .settings = on_settings,
    .goaway = on_goaway,
    .ping_acknowledged = on_settings,
};

#endif

#include "bench/page/visit/wire.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define STREAM_WINDOW (6 << 20) /* as browsers have it */
#define CONNECTION_WINDOW (15 << 20)

static struct wire_stream *stream_get(struct wire *wire, int32_t id)
{
    for (unsigned i = wire->streams_count; i-- > 0;)
        if (wire->streams[i].id == id)
            return &wire->streams[i];
    if (wire->streams_count == WIRE_STREAMS_MAX || id == 0)
        return NULL;
    struct wire_stream *stream = &wire->streams[wire->streams_count++];
    *stream = (struct wire_stream){.id = id, .pushed = id % 2 == 0};
    return stream;
}

static void trace(struct wire *wire, const char *way, const struct frame *frame, const char *path)
{
    static const char *const names[] = {"DATA",          "HEADERS",      "PRIORITY", "RST_STREAM",
                                        "SETTINGS",      "PUSH_PROMISE", "PING",     "GOAWAY",
                                        "WINDOW_UPDATE", "CONTINUATION"};
    if (!wire->trace)
        return;
    const char *name = frame->type < sizeof(names) / sizeof(names[0]) ? names[frame->type] : "?";
    fprintf(wire->trace, "%" PRIu64 " %s %s stream=%d length=%u flags=%u %s\n",
            wire_now_us() - wire->browser->began_us, way, name, frame->stream, frame->length,
            frame->flags, path ? path : "");
}

/* ---- out ---- */

struct manner {
    const char *accept, *dest, *mode, *priority;
};

/* What Chromium says when it asks for a resource of this kind. */
static struct manner manner_of(const struct resource *resource, bool navigation)
{
    switch (resource->kind) {
    case KIND_DOCUMENT:
        return (struct manner){"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                               "document", navigation ? "navigate" : NULL, "u=0, i"};
    case KIND_STYLE:
        return (struct manner){"text/css,*/*;q=0.1", "style", "no-cors", "u=0"};
    case KIND_SCRIPT:
        return (struct manner){"*/*", "script", "no-cors", resource->ordered ? "u=1" : "u=3"};
    case KIND_FONT:
        return (struct manner){"*/*", "font", "cors", "u=1"};
    case KIND_IMAGE:
        return (struct manner){"image/avif,image/webp,image/*,*/*;q=0.8", "image", "no-cors",
                               "u=3, i"};
    default:
        return (struct manner){"*/*", "empty", "cors", "u=3"};
    }
}

static size_t add_field(nghttp2_nv *fields, size_t count, const char *name, const char *value)
{
    if (!value || !value[0])
        return count;
    fields[count] = (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                                 .namelen = strlen(name),
                                 .value = (uint8_t *)(uintptr_t)value,
                                 .valuelen = strlen(value)};
    return count + 1;
}

void wire_ask(void *context, struct resource *resource)
{
    struct wire *wire = context;
    const struct options *options = wire->options;
    struct manner manner = manner_of(resource, options->navigation);
    bool document = resource->kind == KIND_DOCUMENT;
    nghttp2_nv fields[16];
    size_t n = 0;
    n = add_field(fields, n, ":method", "GET");
    n = add_field(fields, n, ":scheme", options->tls ? "https" : "http");
    n = add_field(fields, n, ":authority", options->authority);
    n = add_field(fields, n, ":path", resource->path);
    n = add_field(fields, n, "user-agent", "visit (herald)");
    n = add_field(fields, n, "accept", manner.accept);
    n = add_field(fields, n, "accept-language", "en");
    n = add_field(fields, n, "sec-fetch-site", document ? "none" : "same-origin");
    n = add_field(fields, n, "sec-fetch-mode", manner.mode);
    n = add_field(fields, n, "sec-fetch-dest", manner.dest);
    n = add_field(fields, n, "sec-fetch-user", document && options->navigation ? "?1" : NULL);
    n = add_field(fields, n, "priority", manner.priority);
    n = add_field(fields, n, "cookie", wire->cookies);
    int32_t id = nghttp2_submit_request(wire->session, NULL, fields, n, NULL, NULL);
    struct wire_stream *stream = id > 0 ? stream_get(wire, id) : NULL;
    if (!stream) {
        wire->failed = true;
        wire->why = "too many streams";
        return;
    }
    stream->resource = resource;
    wire->streams_open++;
    wire->counts.requests++;
}

/* ---- in ---- */

static void on_frame_began(void *context, const struct frame *frame)
{
    struct wire *wire = context;
    struct wire_stream *stream = NULL;
    if (frame->type == NGHTTP2_DATA && (stream = stream_get(wire, frame->stream)) != NULL)
        stream->bytes += frame->length;
    trace(wire, "<", frame, stream && stream->resource ? stream->resource->path : NULL);
}

static bool named(const uint8_t *name, size_t length, const char *wanted)
{
    return length == strlen(wanted) && memcmp(name, wanted, length) == 0;
}

/* Keeps the pair of a Set-Cookie field, which takes the place of one of the same name. */
static void keep_cookie(struct wire *wire, const char *field)
{
    size_t length = strcspn(field, ";");
    if (length < WIRE_COOKIES_MAX)
        snprintf(wire->cookies, WIRE_COOKIES_MAX, "%.*s", (int)length, field);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_length, const uint8_t *value, size_t length, uint8_t flags,
                     void *context)
{
    struct wire *wire = context;
    (void)session, (void)flags;
    bool promise = frame->hd.type == NGHTTP2_PUSH_PROMISE;
    struct wire_stream *stream =
        stream_get(wire, promise ? frame->push_promise.promised_stream_id : frame->hd.stream_id);
    if (!stream)
        return 0;
    if (promise) {
        if (named(name, name_length, ":path"))
            stream->resource = browser_resource(wire->browser, (const char *)value);
    } else if (named(name, name_length, ":status")) {
        stream->status = atoi((const char *)value);
    } else if (named(name, name_length, "set-cookie")) {
        keep_cookie(wire, (const char *)value);
    } else if (named(name, name_length, "link") && stream->status == 103) {
        wire->counts.hints++;
        browser_hinted(wire->browser, (const char *)value, length);
    }
    return 0;
}

static void on_promise(struct wire *wire, int32_t id)
{
    struct wire_stream *stream = stream_get(wire, id);
    if (!stream || !stream->resource)
        return;
    struct frame shown = {.type = NGHTTP2_PUSH_PROMISE, .stream = id};
    trace(wire, "=", &shown, stream->resource->path);
    wire->streams_open++;
    wire->counts.promises++;
    stream->redundant = browser_promised(wire->browser, stream->resource);
    wire->counts.redundant += stream->redundant;
    if (!wire->options->cancel)
        return;
    stream->cancelled = true;
    wire->counts.cancelled++;
    nghttp2_submit_rst_stream(wire->session, 0, id, NGHTTP2_CANCEL);
    if (!stream->redundant)
        browser_promise_over(wire->browser, stream->resource);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    struct wire *wire = context;
    (void)session;
    if (frame->hd.type == NGHTTP2_PUSH_PROMISE)
        on_promise(wire, frame->push_promise.promised_stream_id);
    else if (frame->hd.type == NGHTTP2_PING && frame->hd.flags & NGHTTP2_FLAG_ACK)
        wire->settled = true;
    return 0;
}

static void compare(struct wire *wire, struct wire_stream *stream, const uint8_t *bytes,
                    size_t length)
{
    const struct resource *resource = stream->resource;
    if (resource->file && (stream->offset + length > resource->file_length ||
                           memcmp(resource->file + stream->offset, bytes, length) != 0)) {
        wire->counts.mismatched++;
        wire->failed = true;
        wire->why = "a body is not what its file holds";
    }
    stream->offset += length;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                   size_t length, void *context)
{
    struct wire *wire = context;
    struct wire_stream *stream = stream_get(wire, id);
    (void)session, (void)flags;
    if (!stream || !stream->resource || stream->status != 200)
        return 0;
    compare(wire, stream, bytes, length);
    browser_bytes(wire->browser, stream->resource, stream->pushed, bytes, length);
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t error, void *context)
{
    struct wire *wire = context;
    struct wire_stream *stream = stream_get(wire, id);
    (void)session;
    if (!stream || stream->closed || !stream->resource)
        return 0;
    const struct resource *resource = stream->resource;
    stream->closed = true;
    wire->streams_open--;
    stream->whole = error == NGHTTP2_NO_ERROR && stream->status == 200 && !stream->cancelled &&
                    (!resource->file || stream->offset == resource->file_length);
    wire->counts.bad_status += !stream->pushed && stream->status != 200;
    if (stream->pushed && !stream->cancelled) {
        wire->counts.delivered += stream->whole;
        wire->counts.lost += !stream->whole;
    }
    if (!stream->cancelled)
        browser_ended(wire->browser, stream->resource, stream->pushed, stream->whole);
    return 0;
}

static int on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    struct wire *wire = context;
    (void)session;
    const struct wire_stream *stream =
        frame->hd.stream_id ? stream_get(wire, frame->hd.stream_id) : NULL;
    struct frame shown = {(uint32_t)frame->hd.length, frame->hd.type, frame->hd.flags,
                          frame->hd.stream_id};
    trace(wire, ">", &shown, stream && stream->resource ? stream->resource->path : NULL);
    return 0;
}

/* ---- life ---- */

static nghttp2_session_callbacks *callbacks_make(void)
{
    nghttp2_session_callbacks *callbacks;
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        return NULL;
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_sent);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    return callbacks;
}

void session_open(struct wire *wire)
{
    static nghttp2_session_callbacks *callbacks;
    nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 65536},
                                         {NGHTTP2_SETTINGS_ENABLE_PUSH, wire->options->push},
                                         {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
                                         {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 256}};
    if (!callbacks)
        callbacks = callbacks_make();
    wire->frames = (struct frames){.began = on_frame_began, .context = wire};
    if (!callbacks || nghttp2_session_client_new(&wire->session, callbacks, wire) != 0 ||
        nghttp2_submit_settings(wire->session, 0, settings, 4) != 0 ||
        nghttp2_session_set_local_window_size(wire->session, 0, 0, CONNECTION_WINDOW) != 0) {
        wire->failed = true;
        wire->why = "out of memory";
    }
}

void session_feed(struct wire *wire, const uint8_t *bytes, size_t length)
{
    frames_feed(&wire->frames, bytes, length);
    if (nghttp2_session_mem_recv(wire->session, bytes, length) == (ssize_t)length)
        return;
    wire->failed = true;
    wire->why = wire->why ? wire->why : "the server broke HTTP/2";
}

void wire_ping(struct wire *wire)
{
    wire->settled = false;
    nghttp2_submit_ping(wire->session, 0, NULL);
    wire_send(wire);
}

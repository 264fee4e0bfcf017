#include "worker/http1_internal.h"

#include "worker/http2.h"
#include "worker/http_status.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define CHUNK_HEAD_MAX 10                       /* eight digits and a line end */
#define CHUNK_OVERHEAD (CHUNK_HEAD_MAX + 2 + 5) /* and the last chunk's */
#define ROOM_LEAST 1024 /* bytes left of a send's room: too few for more content */
#define STATUS_LINE_MAX 64
#define LENT_LEAST 4096 /* bytes of content that are worth a piece of their own */

/* Where http1_produce writes. */
struct out {
    uint8_t *bytes;
    size_t used; /* of `bytes` */
    size_t used_max;
    size_t lent; /* bytes of content that are sent from where they are */
    size_t room; /* for both */
};

/* How many bytes can be written. */
static size_t room_left(const struct out *out)
{
    size_t own = out->used_max - out->used, all = out->room - out->used - out->lent;
    return own < all ? own : all;
}

static void put(struct out *out, struct span text)
{
    if (text.length)
        memcpy(out->bytes + out->used, text.data, text.length);
    out->used += text.length;
}

/* ---- what is submitted ---- */

void http1_respond(struct http1 *http1, int status, const struct field *fields, size_t count,
                   bool content)
{
    assert(http1->stream && !http1->answered);
    http1->answered = true;
    http1->status = status;
    http1->fields = fields;
    http1->fields_count = count;
    http1->content = content;
}

int http1_inform(struct http1 *http1, int status)
{
    if (status != 100)
        return -EINVAL;
    http1->continue_due = http1->expects_continue;
    return 0;
}

void http1_resume(struct http1 *http1)
{
    http1->stalled = false;
}

void http1_reset(struct http1 *http1, uint32_t error)
{
    if (error == HTTP2_NO_ERROR || !http1->stream)
        return;
    http1->torn = true;
    http1->torn_error = error;
}

void http1_shutdown_notice(struct http1 *http1)
{
    http1->closing = true;
}

void http1_goaway(struct http1 *http1)
{
    http1->closing = true;
    if (!http1->stream && !http1->building)
        http1_end(http1);
}

/* ---- a response's head ---- */

/* What would end a field, or a message, elsewhere; and what this side says itself. */
static bool is_left_out(const struct field *field)
{
    struct span value = field->value;
    if (field->name.length == 10 && span_equal(field->name, SPAN_LITERAL("connection")))
        return true;
    if (field->name.length == 17 && span_equal(field->name, SPAN_LITERAL("transfer-encoding")))
        return true;
    return value.length &&
           (memchr(value.data, '\r', value.length) || memchr(value.data, '\n', value.length) ||
            memchr(value.data, 0, value.length));
}

/* Content that its client still sends is read over where that is little; but not what may never
 * come because its client waits for 100. */
static bool can_read_over(const struct http1 *http1)
{
    if (http1->phase == HTTP1_HEAD)
        return true;
    return http1->phase == HTTP1_LENGTH && http1->left <= HTTP1_READ_OVER_MAX &&
           !http1->expects_continue;
}

/* What the response says of its own end. */
static struct span choose_framing(struct http1 *http1, bool has_length)
{
    bool bodiless = http1->head || http1->status == 204 || http1->status == 304;
    http1->chunked = http1->until_end = false;
    if (has_length || (bodiless && !http1->content))
        return (struct span){0};
    if (!http1->content)
        return SPAN_LITERAL("content-length: 0\r\n");
    if (http1->old) {
        http1->last = http1->until_end = true;
        return (struct span){0};
    }
    http1->chunked = true;
    return SPAN_LITERAL("transfer-encoding: chunked\r\n");
}

static struct span connection_field(const struct http1 *http1)
{
    if (http1->last)
        return SPAN_LITERAL("connection: close\r\n");
    return http1->old ? SPAN_LITERAL("connection: keep-alive\r\n") : (struct span){0};
}

static struct span status_line(int status, char *text)
{
    if (status == 200)
        return SPAN_LITERAL("HTTP/1.1 200 OK\r\n");
    int length =
        snprintf(text, STATUS_LINE_MAX, "HTTP/1.1 %03d %s\r\n", status, http_status_reason(status));
    return span_make(text, (size_t)length);
}

/* How many bytes the fields are; *has_length: Content-Length is one of them. */
static size_t measure(const struct http1 *http1, bool *has_length)
{
    size_t bytes = 0;
    *has_length = false;
    for (size_t i = 0; i < http1->fields_count; i++) {
        const struct field *field = &http1->fields[i];
        if (is_left_out(field))
            continue;
        bytes += field->name.length + field->value.length + 4;
        *has_length |=
            field->name.length == 14 && span_equal(field->name, SPAN_LITERAL("content-length"));
    }
    return bytes;
}

static void put_fields(struct out *out, const struct http1 *http1)
{
    for (size_t i = 0; i < http1->fields_count; i++) {
        const struct field *field = &http1->fields[i];
        if (is_left_out(field))
            continue;
        put(out, field->name);
        put(out, SPAN_LITERAL(": "));
        put(out, field->value);
        put(out, SPAN_LITERAL("\r\n"));
    }
}

/* Writes what is pending, as much as fits. Returns whether that was all. */
static bool put_pending(struct http1 *http1, struct out *out)
{
    size_t fits = room_left(out);
    size_t n = http1->pending.length < fits ? http1->pending.length : fits;
    put(out, span_make(http1->pending.data, n));
    http1->pending = span_after(http1->pending, n);
    if (http1->pending.length)
        return false;
    free(http1->pending_heap);
    http1->pending_heap = NULL;
    return true;
}

/* Returns 1 when the head was written or waits to be, 0 when there is not enough room left for it,
 * or -ENOMEM. */
static int put_head(struct http1 *http1, struct out *out)
{
    char text[STATUS_LINE_MAX];
    bool has_length;
    struct span line = status_line(http1->status, text);
    size_t bytes = measure(http1, &has_length);
    bool none_follows = http1->at_end && !http1_input_length(http1);
    /* Whoever sent what is answered 400 may have another mind of where it ends. */
    http1->last = !http1->keep_alive || http1->closing || none_follows || http1->status == 400 ||
                  !can_read_over(http1);
    struct span framing = choose_framing(http1, has_length);
    struct span connection = connection_field(http1);
    bytes += line.length + framing.length + connection.length + 2;
    struct out heap = {.used_max = bytes, .room = bytes};
    struct out *to = out;
    if (bytes > room_left(out)) {
        if (out->used)
            return 0;
        to = &heap;
        heap.bytes = malloc(bytes);
        if (!heap.bytes)
            return -ENOMEM;
    }
    put(to, line);
    put_fields(to, http1);
    put(to, framing);
    put(to, connection);
    put(to, SPAN_LITERAL("\r\n"));
    if (to == &heap) {
        http1->pending_heap = (char *)heap.bytes;
        http1->pending = span_make(heap.bytes, heap.used);
    }
    http1->head_written = true;
    return 1;
}

/* ---- content ---- */

/* Takes `n` bytes of content as a chunk: its size comes first, at a length that is known by then.
 */
static void put_chunk(struct http1 *http1, struct out *out, size_t n)
{
    char text[CHUNK_HEAD_MAX + 1];
    int length = snprintf(text, sizeof(text), "%zx\r\n", n);
    put(out, span_make(text, (size_t)length));
    http1->context->events->take(http1->stream, out->bytes + out->used, n);
    out->used += n;
    put(out, SPAN_LITERAL("\r\n"));
}

/* Takes `n` bytes of content as they are, or has them sent from where they are. */
static void put_plain(struct http1 *http1, struct out *out, size_t n, bool lent)
{
    const struct session_events *events = http1->context->events;
    if (lent) {
        events->lend(http1->stream, out->used, n);
        out->lent += n;
    } else {
        events->take(http1->stream, out->bytes + out->used, n);
        out->used += n;
    }
}

/* Whether the content at hand is to be lent, so that it may take all the room there is. */
static bool lends(const struct http1 *http1, const struct out *out)
{
    const struct session_events *events = http1->context->events;
    return !http1->chunked && events->lends && out->room - out->used - out->lent >= LENT_LEAST &&
           events->lends(http1->stream);
}

/* Writes some of the content. Returns how many bytes, or -errno: http1->stalled tells whether more
 * will come. */
static ptrdiff_t put_some(struct http1 *http1, struct out *out, bool *last)
{
    bool lent = lends(http1, out);
    size_t max = lent ? out->room - out->used - out->lent : room_left(out);
    max -= http1->chunked ? CHUNK_OVERHEAD : 0;
    ptrdiff_t n = http1->context->events->available(http1->stream, max, last);
    if (n < 0) {
        http1->stalled = n == -EAGAIN;
        return n;
    }
    lent = lent && ((size_t)n >= LENT_LEAST || (size_t)n > room_left(out));
    if (n && http1->chunked)
        put_chunk(http1, out, (size_t)n);
    else if (n)
        put_plain(http1, out, (size_t)n, lent);
    http1->guard->bytes_sent += (uint64_t)n;
    if (*last && http1->chunked)
        put(out, SPAN_LITERAL("0\r\n\r\n"));
    return lent ? 0 : n; /* two pieces are not lent without something between them */
}

/* Writes what there is of the content. Returns true when that was the last of it. */
static bool put_content(struct http1 *http1, struct out *out)
{
    bool last = !http1->content;
    while (!last && room_left(out) >= ROOM_LEAST) {
        ptrdiff_t n = put_some(http1, out, &last);
        if (n < 0 && !http1->stalled)
            http1_reset(http1, HTTP2_INTERNAL_ERROR);
        if (n <= 0)
            break;
    }
    return last && !http1->torn;
}

static void response_ended(struct http1 *http1)
{
    bool apart = false;
    http1->complete = true;
    http1->context->events->response_end(http1->stream, &apart);
    if (http1->last || http1->phase == HTTP1_HEAD)
        http1_close_stream(http1, HTTP2_NO_ERROR);
    if (http1->last)
        http1_end(http1);
}

/* The request was given up. What was begun is not finished: that its connection ends tells. */
static void tear(struct http1 *http1)
{
    uint32_t error = http1->torn_error;
    http1->torn = false;
    if (!http1->head_written && error == HTTP2_CANCEL)
        http1->pending = SPAN_LITERAL("HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n"
                                      "connection: close\r\n\r\n");
    else if (!http1->head_written)
        http1->pending = SPAN_LITERAL("HTTP/1.1 500 Internal Server Error\r\n"
                                      "content-length: 0\r\nconnection: close\r\n\r\n");
    http1_close_stream(http1, error);
    http1_end(http1);
}

static const struct span CONTINUE = {"HTTP/1.1 100 Continue\r\n\r\n", 25};

static bool wants_continue(const struct http1 *http1)
{
    return http1->continue_due && !http1->answered && !http1->torn;
}

/* Writes what there is to write of the request under way. Returns whether there may be more. */
static bool put_exchange(struct http1 *http1, struct out *out)
{
    if (wants_continue(http1) && room_left(out) >= CONTINUE.length) {
        http1->expects_continue = http1->continue_due = false;
        put(out, CONTINUE);
    }
    if (!http1->answered || http1->complete)
        return false;
    if (!http1->head_written) {
        int rc = put_head(http1, out);
        if (rc < 0)
            http1_reset(http1, HTTP2_INTERNAL_ERROR);
        return rc > 0;
    }
    if (http1->stalled || !put_content(http1, out))
        return false;
    response_ended(http1);
    return true;
}

ptrdiff_t http1_produce(struct http1 *http1, uint8_t *bytes, size_t room)
{
    size_t used_max = room < HTTP2_COPIED_MAX ? room : HTTP2_COPIED_MAX;
    struct out out = {.bytes = bytes, .used_max = used_max, .room = room};
    bool more = true;
    while (more && put_pending(http1, &out)) {
        http1_advance(http1);
        more = http1->stream && !http1->torn && put_exchange(http1, &out);
        if (http1->torn) {
            tear(http1);
            more = true;
        }
        if (!more && !http1->stream && !http1->ended && http1_input_length(http1))
            more = true;
    }
    if (!http1->stream && !http1->ended && (http1->at_end || (http1->closing && !http1->building)))
        http1_end(http1);
    return (ptrdiff_t)(out.used + out.lent);
}

bool http1_wants_write(const struct http1 *http1)
{
    if (http1->pending.length || http1->torn || wants_continue(http1))
        return true;
    if (http1_input_length(http1) && !http1_is_blocked(http1))
        return true;
    return http1->stream && http1->answered && !http1->complete && !http1->stalled;
}

bool http1_is_cut(const struct http1 *http1, bool all_sent)
{
    return http1->until_end && http1->head_written && !(http1->complete && all_sent);
}

bool http1_done(const struct http1 *http1)
{
    return http1->ended && !http1->pending.length;
}

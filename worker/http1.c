#include "worker/http1_internal.h"

#include "worker/http2.h"

#include <errno.h>
#include <stdlib.h>

#define INPUT_AHEAD_MAX 16384 /* more is not received while it has to wait */

void http1_close_stream(struct http1 *http1, uint32_t error)
{
    void *stream = http1->stream;
    http1->stream = NULL;
    http1->unconsumed = 0;
    http1->torn = false;
    if (stream)
        http1->context->events->close(stream, error);
}

void http1_end(struct http1 *http1)
{
    http1->ended = http1->deaf = true;
    http1->input_at = http1->input_end = 0;
}

static void note_failure(struct http1 *http1, const char *why)
{
    http1->deaf = true;
    http1->failed = true;
    http1->failure = http1->guard->failed ? stats_prose(http1->guard->tripped) : why;
}

static enum http1_phase phase_of(const struct http1_framing *framing)
{
    if (framing->chunked)
        return HTTP1_CHUNKED;
    return framing->length ? HTTP1_LENGTH : HTTP1_HEAD;
}

/* The header block is complete, or is refused for `status`: either way a request begins. */
static void begin(struct http1 *http1, int status)
{
    const struct session_events *events = http1->context->events;
    struct header_list *list = http1->building;
    int32_t id = http1->next_id;
    http1->building = NULL;
    http1->next_id += 2;
    list->refusal = status;
    http1->head = span_equal(list->method, SPAN_LITERAL("HEAD"));
    http1->answered = http1->head_written = http1->complete = http1->stalled = false;
    http1->torn = http1->last = http1->continue_due = false;
    http1->keep_alive = !status && http1->parsed_keep_alive;
    http1->phase = status ? HTTP1_HEAD : phase_of(&http1->framing);
    http1->left = http1->framing.length;
    http1->expects_continue =
        http1->framing.expects_continue && !http1->old && http1->phase != HTTP1_HEAD;
    http1->trailer_bytes = 0;
    if (http1->phase == HTTP1_CHUNKED)
        lines_begin(&http1->lines, true);
    http1->stream = events->begin(http1->connection, id);
    if (!http1->stream) {
        header_list_release(list);
        http1_end(http1);
        return;
    }
    guard_count(http1->guard, GUARD_REQUEST);
    events->request(http1->stream, list, http1->phase == HTTP1_HEAD);
}

static void refuse(struct http1 *http1, int status, const char *why)
{
    note_failure(http1, why);
    begin(http1, status);
}

static size_t take_head(struct http1 *http1, const uint8_t *data, size_t length)
{
    const size_t bytes_max = http1->context->limits->header_bytes;
    struct header_list *list = http1->building;
    if (!list) {
        list = http1->building = header_list_take(&http1->context->lists);
        if (!list) {
            http1_end(http1);
            return length;
        }
        list->scheme = http1->secure ? SPAN_LITERAL("https") : SPAN_LITERAL("http");
        http1->header_blocks++;
        lines_begin(&http1->lines, false);
    }
    const size_t have = http1_block_bytes(list);
    size_t taken = 0;
    bool first_line = true;
    while (taken < length && http1->lines.state != LINES_DONE && have + taken <= bytes_max) {
        first_line = http1->lines.lines == 0;
        size_t n = lines_next(&http1->lines, data + taken, length - taken);
        if (!n) {
            refuse(http1, 400, http1->lines.fault);
            return length;
        }
        taken += n;
    }
    if (have + taken > bytes_max) {
        refuse(http1, first_line ? 414 : 431, "its header block is too large");
        return length;
    }
    if (!http1_block_add(list, data, taken, bytes_max)) {
        http1_end(http1);
        return length;
    }
    if (http1->lines.state == LINES_DONE) {
        const char *why = NULL;
        int status = http1_parse(http1, list, &why);
        if (status)
            refuse(http1, status, why);
        else
            begin(http1, 0);
    }
    return taken;
}

/* ---- content ---- */

void http1_content(struct http1 *http1, const void *data, size_t length)
{
    if (!http1->stream || http1->torn || http1->complete)
        return; /* it is read over */
    http1->unconsumed += length;
    http1->context->events->content(http1->stream, data, length);
}

static void content_complete(struct http1 *http1)
{
    http1->phase = HTTP1_HEAD;
    http1->expects_continue = http1->continue_due = false;
    if (http1->stream && !http1->torn)
        http1->context->events->request_end(http1->stream);
    if (http1->complete)
        http1_close_stream(http1, HTTP2_NO_ERROR);
}

/* The content is malformed: where nothing was answered yet, 400 is. */
static void fail_content(struct http1 *http1, const char *why)
{
    note_failure(http1, why);
    http1->phase = HTTP1_HEAD;
    if (!http1->head_written && !http1->pending.length)
        http1->pending = SPAN_LITERAL("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n"
                                      "connection: close\r\n\r\n");
    http1_close_stream(http1, HTTP2_PROTOCOL_ERROR);
    http1_end(http1);
}

static size_t take_length(struct http1 *http1, const uint8_t *data, size_t length)
{
    size_t n = length < http1->left ? length : (size_t)http1->left;
    http1->left -= n;
    http1_content(http1, data, n);
    if (!http1->left)
        content_complete(http1);
    return n;
}

static size_t take_chunked(struct http1 *http1, const uint8_t *data, size_t length)
{
    bool trailers = http1->lines.state == LINES_BLOCK;
    size_t n = lines_next(&http1->lines, data, length);
    if (!n) {
        fail_content(http1, http1->lines.fault);
        return length;
    }
    http1->trailer_bytes += trailers ? n : 0;
    if (http1->trailer_bytes > http1->context->limits->header_bytes) {
        fail_content(http1, "its trailers are too large");
        return length;
    }
    llhttp_errno_t error = llhttp_execute(&http1->parser, (const char *)data, n);
    bool done = http1->lines.state == LINES_DONE;
    if ((error != HPE_OK && error != HPE_PAUSED_UPGRADE) || done != http1->message_complete) {
        fail_content(http1, error ? llhttp_get_error_reason(&http1->parser) : "its chunks");
        return length;
    }
    if (done)
        content_complete(http1);
    return n;
}

/* ---- input ---- */

/* Returns how much was looked at: all, unless what comes next has to wait. */
static size_t take(struct http1 *http1, const uint8_t *data, size_t length)
{
    size_t at = 0;
    while (at < length && !http1->deaf && !http1_is_blocked(http1)) {
        if (http1->phase == HTTP1_HEAD)
            at += take_head(http1, data + at, length - at);
        else if (http1->phase == HTTP1_LENGTH)
            at += take_length(http1, data + at, length - at);
        else
            at += take_chunked(http1, data + at, length - at);
    }
    return http1->deaf ? length : at;
}

/* What comes ahead is kept as it is; its sender is not listened to while that is much. */
static int put_aside(struct http1 *http1, const uint8_t *data, size_t length)
{
    size_t have = http1_input_length(http1);
    if (http1->input_at) {
        memmove(http1->input, http1->input + http1->input_at, have);
        http1->input_at = 0;
        http1->input_end = have;
    }
    if (have + length > http1->input_room) {
        size_t room = 2 * have > have + length ? 2 * have : have + length;
        uint8_t *input = realloc(http1->input, room);
        if (!input)
            return -ENOMEM;
        http1->input = input;
        http1->input_room = room;
    }
    memcpy(http1->input + have, data, length);
    http1->input_end = have + length;
    return 0;
}

void http1_advance(struct http1 *http1)
{
    size_t taken;
    while (http1_input_length(http1) && !http1->deaf && !http1_is_blocked(http1)) {
        taken = take(http1, http1->input + http1->input_at, http1_input_length(http1));
        http1->input_at += taken;
    }
    if (http1->deaf || http1->input_at >= http1->input_end) {
        free(http1->input);
        http1->input = NULL;
        http1->input_at = http1->input_end = http1->input_room = 0;
    }
}

int http1_receive(struct http1 *http1, const void *data, size_t length)
{
    size_t taken = http1_input_length(http1) ? 0 : take(http1, data, length);
    if (http1->deaf || taken >= length)
        return 0;
    return put_aside(http1, (const uint8_t *)data + taken, length - taken);
}

bool http1_receive_end(struct http1 *http1)
{
    http1->at_end = true;
    if (http1->stream && http1->phase != HTTP1_HEAD)
        return false;
    return http1->stream || http1->pending.length;
}

bool http1_wants_read(const struct http1 *http1)
{
    if (http1->deaf)
        return true; /* the peer's own end is waited for */
    return http1->unconsumed < HTTP1_UNCONSUMED_MAX && http1_input_length(http1) < INPUT_AHEAD_MAX;
}

void http1_consumed(struct http1 *http1, size_t length)
{
    http1->unconsumed -= length < http1->unconsumed ? length : http1->unconsumed;
}

unsigned http1_open_streams(const struct http1 *http1)
{
    return http1->stream != NULL;
}

uint64_t http1_header_block(const struct http1 *http1)
{
    return http1->building ? http1->header_blocks : 0;
}

bool http1_failed(const struct http1 *http1)
{
    return http1->failed;
}

const char *http1_failure(const struct http1 *http1)
{
    return http1->failure ? http1->failure : "";
}

struct span http1_protocol(const struct http1 *http1)
{
    return http1->old ? SPAN_LITERAL("http/1.0") : SPAN_LITERAL("http/1.1");
}

/* ---- life ---- */

struct http1 *http1_create(struct http1_context *context, struct guard *guard, bool secure,
                           void *connection)
{
    struct http1 *http1 = calloc(1, sizeof(*http1));
    if (!http1)
        return NULL;
    *http1 = (struct http1){.context = context,
                            .guard = guard,
                            .connection = connection,
                            .secure = secure,
                            .next_id = 1};
    return http1;
}

void http1_destroy(struct http1 *http1)
{
    if (!http1)
        return;
    header_list_release(http1->building);
    free(http1->input);
    free(http1->pending_heap);
    free(http1);
}

struct http1_context *http1_context_create(const struct session_events *events,
                                           const struct config_limits *limits)
{
    struct http1_context *context = calloc(1, sizeof(*context));
    if (!context)
        return NULL;
    context->events = events;
    context->limits = limits;
    http1_parse_init(context);
    return context;
}

void http1_context_destroy(struct http1_context *context)
{
    if (!context)
        return;
    header_pool_finish(&context->lists);
    free(context);
}

#include "worker/http2_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#define FIELDS_OUT_MAX 128 /* fields of a response */
#define ROOM_FULL 1024 /* bytes left of a send's room: too few for another frame of content */
#define LENT_LEAST \
    2048 /* octets of content: copying less costs less than another piece of a send */

/* How many bytes can be copied. */
static size_t copy_room(const struct http2 *http2)
{
    size_t room = http2->room - http2->used;
    size_t own = http2->out_room - http2->copied;
    return own < room ? own : room;
}

static size_t least_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

static ssize_t read_content(nghttp2_session *session, int32_t id, uint8_t *buffer, size_t length,
                            uint32_t *flags, nghttp2_data_source *source, void *user_data)
{
    struct http2 *http2 = user_data;
    const struct session_events *events = http2->context->events;
    bool last = false;
    (void)session, (void)buffer;
    http2->recent.id = id;
    http2->recent.stream = source->ptr;
    if (copy_room(http2) < ROOM_FULL)
        return NGHTTP2_ERR_PAUSE; /* which stream is next is decided when there is room again */
    http2->lends = length >= LENT_LEAST && events->lends && events->lends(source->ptr);
    size_t room = http2->lends ? http2->room - http2->used : copy_room(http2);
    length = least_of(length, room - FRAME_HEADER_BYTES);
    ptrdiff_t n = events->available(source->ptr, length, &last);
    if (n >= 0 && (size_t)n < LENT_LEAST && (size_t)n + FRAME_HEADER_BYTES <= copy_room(http2))
        http2->lends = false;
    if (n == -EAGAIN)
        return NGHTTP2_ERR_DEFERRED;
    if (n < 0)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (last)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return n;
}

static int send_content(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *header,
                        size_t length, nghttp2_data_source *source, void *user_data)
{
    struct http2 *http2 = user_data;
    const struct session_events *events = http2->context->events;
    (void)session, (void)frame;
    assert(http2->room - http2->used >= FRAME_HEADER_BYTES + length);
    memcpy(http2->out + http2->copied, header, FRAME_HEADER_BYTES);
    http2->copied += FRAME_HEADER_BYTES;
    if (http2->lends) {
        events->lend(source->ptr, http2->copied, length);
    } else {
        assert(http2->out_room - http2->copied >= length);
        events->take(source->ptr, http2->out + http2->copied, length);
        http2->copied += length;
    }
    http2->used += FRAME_HEADER_BYTES + length;
    http2->guard->bytes_sent += length;
    return 0;
}

static void count_reset_sent(struct http2 *http2, int32_t id, uint32_t error)
{
    if (!stream_ids_were_reset(&http2->ids, id))
        stream_ids_reset(&http2->ids, id);
    /* Only SETTINGS can overflow a window without an invalid frame, and that is an error of the
     * connection (RFC 9113 6.9.2); nghttp2 merely resets the stream. */
    if (error == HTTP2_FLOW_CONTROL_ERROR && id != http2->overflowed_id)
        http2->settings_overflow = true;
    if (error != HTTP2_NO_ERROR && error != HTTP2_CANCEL && error != HTTP2_INTERNAL_ERROR)
        guard_count(http2->guard, GUARD_SERVER_RESET);
}

/* The last stream counts once it is said; nghttp2 ends the session by itself for what it finds
 * wrong. */
static void note_goaway(struct http2 *http2, const nghttp2_goaway *goaway)
{
    http2->last_taken = goaway->last_stream_id;
    if (goaway->error_code == HTTP2_NO_ERROR)
        return;
    http2->terminated = true;
    if (!http2->failure[0])
        snprintf(http2->failure, sizeof(http2->failure), "%s",
                 nghttp2_http2_strerror(goaway->error_code));
}

/* Content was written by then; header blocks are about to be pending. */
static void response_ended(struct http2 *http2, const nghttp2_frame_hd *frame, void *stream)
{
    bool apart = false;
    http2->context->events->response_end(stream, &apart);
    if (frame->type == NGHTTP2_HEADERS) {
        http2->unwritten_end = frame->stream_id;
        http2->unwritten_apart = apart;
    } else if (apart) {
        http2->end_apart = http2->used;
    }
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    struct http2 *http2 = user_data;
    const struct session_events *events = http2->context->events;
    void *stream;
    (void)session;
    switch (frame->hd.type) {
    case NGHTTP2_PUSH_PROMISE:
        stream = http2_stream_of(http2, frame->push_promise.promised_stream_id);
        if (stream)
            events->promised(stream);
        break;
    case NGHTTP2_GOAWAY:
        note_goaway(http2, &frame->goaway);
        break;
    case NGHTTP2_RST_STREAM:
        count_reset_sent(http2, frame->hd.stream_id, frame->rst_stream.error_code);
        break;
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA:
        if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
            break;
        stream = http2_stream_of(http2, frame->hd.stream_id);
        if (stream)
            response_ended(http2, &frame->hd, stream);
        break;
    default:
        break;
    }
    return 0;
}

/* A promise that can't be made any more. nghttp2 has its stream since it was submitted, and closes
 * it after this: the events' owner is told once, here, unless a GOAWAY closed the stream before. */
static int on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int error,
                             void *user_data)
{
    struct http2 *http2 = user_data;
    (void)error;
    if (frame->hd.type != NGHTTP2_PUSH_PROMISE)
        return 0;
    int32_t id = frame->push_promise.promised_stream_id;
    if (!http2_stream_of(http2, id))
        return 0;
    nghttp2_session_set_stream_user_data(session, id, NULL);
    http2_forget_recent(http2, id);
    http2->open_streams--;
    http2->context->events->not_promised(http2->connection, id);
    return 0;
}

/* Copies what fits of the pending output. Returns false when the room is used up. */
static bool drain_pending(struct http2 *http2)
{
    size_t n = least_of(http2->pending.length, copy_room(http2));
    if (n)
        memcpy(http2->out + http2->copied, http2->pending.data, n);
    http2->copied += n;
    http2->used += n;
    http2->pending = span_after(http2->pending, n);
    if (http2->pending.length)
        return false;
    if (http2->unwritten_end && http2->unwritten_apart)
        http2->end_apart = http2->used;
    http2->unwritten_end = 0;
    return true;
}

ptrdiff_t http2_produce(struct http2 *http2, uint8_t *out, size_t room)
{
    assert(room >= HTTP2_ROOM_MIN);
    http2->out = out;
    http2->out_room = least_of(room, HTTP2_COPIED_MAX);
    http2->room = room;
    http2->used = http2->copied = 0;
    http2->end_apart = 0;
    while (drain_pending(http2) && copy_room(http2) >= ROOM_FULL) {
        const uint8_t *data;
        ssize_t n = nghttp2_session_mem_send(http2->session, &data);
        if (n < 0)
            return -ENOMEM;
        http2->pending = span_make(data, (size_t)n);
        if (n == 0 && (copy_room(http2) < ROOM_FULL ||
                       !http2->context->events->nothing_ready(http2->connection)))
            break;
    }
    if (http2->guard->failed)
        http2_terminate(http2, HTTP2_ENHANCE_YOUR_CALM, stats_prose(http2->guard->tripped));
    if (http2->settings_overflow)
        http2_terminate(http2, HTTP2_FLOW_CONTROL_ERROR,
                  "SETTINGS_INITIAL_WINDOW_SIZE overflows a stream's window");
    http2_end_if_memory_lacked(http2);
    return (ptrdiff_t)http2->used;
}

static int error_of(int rc)
{
    return rc == 0 ? 0 : rc == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EINVAL;
}

int http2_inform(struct http2 *http2, int32_t id, int status, const struct field *fields,
                 size_t count)
{
    char digits[8];
    nghttp2_nv nva[FIELDS_OUT_MAX];
    nva[0] = http2_nv_status(status, digits);
    count = http2_nv_fill(nva, 1, FIELDS_OUT_MAX, fields, count);
    return error_of(
        nghttp2_submit_headers(http2->session, NGHTTP2_FLAG_NONE, id, NULL, nva, count, NULL) < 0
            ? NGHTTP2_ERR_INVALID_ARGUMENT
            : 0);
}

int http2_respond(struct http2 *http2, int32_t id, int status, const struct field *fields,
                  size_t count, bool content)
{
    char digits[8];
    nghttp2_nv nva[FIELDS_OUT_MAX];
    nghttp2_data_provider provider = {.source.ptr = http2_stream_of(http2, id),
                                      .read_callback = read_content};
    nva[0] = http2_nv_status(status, digits);
    count = http2_nv_fill(nva, 1, FIELDS_OUT_MAX, fields, count);
    return error_of(
        nghttp2_submit_response(http2->session, id, nva, count, content ? &provider : NULL));
}

void http2_send_with(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_send);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, send_content);
}

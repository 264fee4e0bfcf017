#include "worker/http2_internal.h"

#include <errno.h>
#include <stdio.h>

/* HEADERS and DATA on streams that are closed, or were skipped and thereby closed: nghttp2 ignores
 * them. RFC 9113 5.1 and 5.1.1 want the connection ended, but for a stream that this side has
 * reset, whose frames may still be under way. */
static bool check_stream_id(struct http2 *http2, const struct frame_header *header)
{
    int32_t id = header->stream_id;
    if (id % 2 == 0)
        return true;
    if (id > http2->ids.last) {
        if (header->type == FRAME_HEADERS)
            stream_ids_open(&http2->ids, id);
        return true;
    }
    if (http2_stream_of(http2, id) || stream_ids_were_reset(&http2->ids, id) ||
        http2->in_header_block || id > http2->last_taken)
        return true;
    if (header->type == FRAME_HEADERS && stream_ids_passed_over(&http2->ids, id))
        http2_terminate(http2, HTTP2_PROTOCOL_ERROR, "HEADERS on a stream id that was passed over");
    else
        http2_terminate(http2, HTTP2_STREAM_CLOSED, "a frame on a closed stream");
    return false;
}

/* What nghttp2 lets pass. */
static bool check_form(struct http2 *http2, const struct frame_header *header)
{
    if (header->type == FRAME_CONTINUATION && header->length > FRAME_LENGTH_MAX)
        http2_terminate(http2, HTTP2_FRAME_SIZE_ERROR, "CONTINUATION above SETTINGS_MAX_FRAME_SIZE");
    else if (header->type == FRAME_PRIORITY && header->stream_id == 0)
        http2_terminate(http2, HTTP2_PROTOCOL_ERROR, "PRIORITY on stream 0");
    else if (header->type == FRAME_PRIORITY_UPDATE && header->length >= 4 &&
             header->prioritized_id == 0)
        http2_terminate(http2, HTTP2_PROTOCOL_ERROR, "PRIORITY_UPDATE for stream 0");
    return !http2->terminated;
}

/* Judges a frame by its header, before nghttp2 sees it. Returns false when the session ends. */
static bool check_frame(struct http2 *http2, const struct frame_header *header)
{
    enum guard_event event = guard_event_of(header);
    if (event != GUARD_EVENTS && !guard_count(http2->guard, event)) {
        http2_terminate(http2, HTTP2_ENHANCE_YOUR_CALM, stats_prose(http2->guard->tripped));
        return false;
    }
    if (!check_form(http2, header))
        return false;
    if ((header->type == FRAME_HEADERS || header->type == FRAME_DATA) &&
        !check_stream_id(http2, header))
        return false;
    http2->header_blocks += header->type == FRAME_HEADERS;
    http2->in_header_frame = header->type == FRAME_HEADERS || header->type == FRAME_CONTINUATION;
    if (http2->in_header_frame)
        http2->in_header_block = !(header->flags & FRAME_END_HEADERS);
    return true;
}

/* A frame that nghttp2 answers with RST_STREAM: more of that stream may be under way. */
static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error,
                            void *user_data)
{
    struct http2 *http2 = user_data;
    (void)session;
    stream_ids_reset(&http2->ids, frame->hd.stream_id);
    if (error == NGHTTP2_ERR_FLOW_CONTROL)
        http2->overflowed_id = frame->hd.stream_id;
    return 0;
}

static void apply_early_priority(struct http2 *http2, int32_t id, void *stream)
{
    for (unsigned i = 0; i < HTTP2_EARLY_MAX; i++)
        if (http2->early[i].id == id) {
            http2->early[i].id = 0;
            http2->context->events->prioritized(stream, http2->early[i].priority);
        }
}

static bool is_idle(struct http2 *http2, int32_t id)
{
    nghttp2_stream *stream = nghttp2_session_find_stream(http2->session, id);
    return stream && nghttp2_stream_get_state(stream) == NGHTTP2_STREAM_STATE_IDLE;
}

/* One that is too many for what is kept makes the budget of an early page less exact, no more. */
static void on_priority_update(struct http2 *http2, const nghttp2_ext_priority_update *update)
{
    int32_t id = update->stream_id;
    if (id % 2 == 0)
        return; /* pushes are ordered by the server's word alone */
    void *stream = http2_stream_of(http2, id);
    struct priority priority =
        priority_read(span_make((const char *)update->field_value, update->field_value_len));
    if (stream) {
        http2->context->events->prioritized(stream, priority);
    } else if (is_idle(http2, id)) {
        unsigned at = http2->early_next++ % HTTP2_EARLY_MAX;
        http2->early[at].id = id;
        http2->early[at].priority = priority;
    }
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    struct http2 *http2 = user_data;
    int32_t id = frame->hd.stream_id;
    guard_begin_fields(http2->guard);
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;                         /* trailers are read over */
    header_list_release(http2->building); /* of a block that was malformed */
    http2->building = header_list_take(&http2->context->lists);
    http2->building_id = id;
    void *stream = http2->building ? http2->context->events->begin(http2->connection, id) : NULL;
    if (!stream) {
        header_list_release(http2->building);
        http2->building = NULL;
        http2_reset(http2, id, HTTP2_REFUSED_STREAM);
        return 0;
    }
    http2->open_streams++;
    nghttp2_session_set_stream_user_data(session, id, stream);
    http2->recent.id = id;
    http2->recent.stream = stream;
    if (http2->early_next)
        apply_early_priority(http2, id, stream);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                     nghttp2_rcbuf *value, uint8_t flags, void *user_data)
{
    struct http2 *http2 = user_data;
    struct http2_text own_name = http2_text_of(name), own_value = http2_text_of(value);
    (void)session, (void)flags;
    if (!guard_count_field(http2->guard, own_name.text.length + own_value.text.length + 32))
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* the rest is decoded, and looked at no more
                                                       */
    if (http2->building && http2->building_id == frame->hd.stream_id)
        http2_fields_add(http2->building, http2->context->limits, &own_name, &own_value);
    return 0;
}

/* A field that cannot be one makes its request malformed, as one in upper case does. Without this
 * nghttp2 would word a message for each and read over it (RFC 9113 8.2.1). */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             nghttp2_rcbuf *name, nghttp2_rcbuf *value, uint8_t flags,
                             void *user_data)
{
    struct http2 *http2 = user_data;
    size_t bytes = nghttp2_rcbuf_get_buf(name).len + nghttp2_rcbuf_get_buf(value).len + 32;
    (void)session, (void)frame, (void)flags;
    guard_count_field(http2->guard, bytes);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static void request_complete(struct http2 *http2, const nghttp2_frame *frame, void *stream)
{
    struct header_list *list = http2->building;
    http2->building = NULL;
    guard_count(http2->guard, GUARD_REQUEST);
    http2->context->events->request(stream, list, frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    struct http2 *http2 = user_data;
    const struct session_events *events = http2->context->events;
    int32_t id = frame->hd.stream_id;
    void *stream = id ? http2_stream_of(http2, id) : NULL;
    (void)session;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        if (!stream)
            break;
        if (frame->headers.cat == NGHTTP2_HCAT_REQUEST && http2->building)
            request_complete(http2, frame, stream);
        else if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
            events->request_end(stream);
        break;
    case NGHTTP2_DATA:
        if (stream && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
            events->request_end(stream);
        break;
    case NGHTTP2_RST_STREAM:
        events->reset(http2->connection, stream, id, frame->rst_stream.error_code);
        break;
    case NGHTTP2_SETTINGS:
        if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
            events->settings(http2->connection);
        break;
    case NGHTTP2_PING:
        if (frame->hd.flags & NGHTTP2_FLAG_ACK)
            events->ping_acknowledged(http2->connection);
        break;
    case NGHTTP2_GOAWAY:
        events->goaway(http2->connection, frame->goaway.last_stream_id, frame->goaway.error_code);
        break;
    case NGHTTP2_PRIORITY_UPDATE:
        on_priority_update(http2, frame->ext.payload);
        break;
    default:
        break;
    }
    return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                         size_t length, void *user_data)
{
    struct http2 *http2 = user_data;
    void *stream = http2_stream_of(http2, id);
    (void)session, (void)flags;
    if (stream)
        http2->context->events->content(stream, data, length);
    else
        http2_consumed(http2, id, length);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *user_data)
{
    struct http2 *http2 = user_data;
    void *stream = http2_stream_of(http2, id);
    (void)session;
    if (http2->building && http2->building_id == id) {
        header_list_release(http2->building);
        http2->building = NULL;
    }
    if (!stream)
        return 0;
    http2_forget_recent(http2, id);
    http2->open_streams--;
    http2->closing_id = id;
    http2->context->events->close(stream, error);
    http2->closing_id = 0;
    return 0;
}

static int on_error(nghttp2_session *session, int code, const char *text, size_t length,
                    void *user_data)
{
    struct http2 *http2 = user_data;
    (void)session, (void)code;
    if (!http2->terminated)
        snprintf(http2->failure, sizeof(http2->failure), "%.*s", (int)length, text);
    return 0;
}

static void decode(struct http2 *http2, const uint8_t *data, size_t length)
{
    ssize_t taken = length ? nghttp2_session_mem_recv(http2->session, data, length) : 0;
    if (taken == NGHTTP2_ERR_FLOODED)
        http2_terminate(http2, HTTP2_ENHANCE_YOUR_CALM, "flooded with frames that want an answer");
    else if (taken == NGHTTP2_ERR_BAD_CLIENT_MAGIC)
        http2_terminate(http2, HTTP2_PROTOCOL_ERROR, "not a connection preface (RFC 9113 3.4)");
    else if (taken < 0)
        http2_terminate(http2, HTTP2_INTERNAL_ERROR, nghttp2_strerror((int)taken));
    if (http2->guard->failed)
        http2_terminate(http2, HTTP2_ENHANCE_YOUR_CALM, stats_prose(http2->guard->tripped));
}

/* Whether a frame can only be judged once the frames before it were decoded: those on streams that
 * may have closed. New streams' HEADERS are not among them, so most input is decoded in one go. */
static bool needs_order(const struct http2 *http2, const struct frame_header *header)
{
    return (header->type == FRAME_DATA || header->type == FRAME_HEADERS) &&
           header->stream_id <= http2->ids.last;
}

int http2_receive(struct http2 *http2, const void *input, size_t length)
{
    const uint8_t *data = input;
    size_t decoded = 0, at = 0, seen;
    struct frame_header header;
    while (!http2->terminated && at < length) {
        bool complete = frames_next(&http2->frames, data + at, length - at, &seen, &header);
        at += seen;
        if (!complete)
            break;
        if (needs_order(http2, &header)) {
            decode(http2, data + decoded, at - decoded);
            decoded = at;
        }
        if (!http2->terminated)
            check_frame(http2, &header);
    }
    if (!http2->terminated)
        decode(http2, data + decoded, length - decoded);
    http2_end_if_memory_lacked(http2);
    return http2->terminated ? -EPROTO : 0;
}

void http2_receive_with(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(callbacks, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback2(callbacks, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_error_callback2(callbacks, on_error);
}

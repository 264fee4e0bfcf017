#include "worker/http2_internal.h"

#include "worker/frames.h"
#include "worker/stream_ids.h"

#include <assert.h>
#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

#define FIELDS_OUT_MAX 128   /* fields of a response */
#define PROMISE_FIELDS_MAX 8 /* fields of a promised request, pseudo-fields included */
#define FAILURE_MAX 160
#define EARLY_MAX 4    /* PRIORITY_UPDATEs kept for requests that are yet to come */
#define ROOM_FULL 1024 /* bytes left of a send's room: too few for another frame of content */
#define LENT_LEAST \
    2048 /* octets of content: copying less costs less than another piece of a send */
#define CONTINUATION_PIECES_MAX 81 /* that the headers of as many frames as the guard allows may come in */

struct http2_context {
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    const struct session_events *events;
    const struct config_limits *limits;
    struct header_pool lists;
    struct http2_memory memory;
};

struct http2 {
    nghttp2_session *session;
    struct http2_context *context;
    struct guard *guard;
    void *connection;

    struct header_list *building; /* of the request whose header block is under way */
    int32_t building_id;
    bool in_header_block;   /* its last frame has not begun */
    bool in_header_frame;   /* the last frame that began is of a header block */
    uint64_t header_blocks; /* that have begun */
    struct frames frames;
    int32_t overflowed_id;  /* the stream whose window a WINDOW_UPDATE overflowed last */
    bool settings_overflow; /* SETTINGS overflowed one */

    /* Where http2_produce writes; between calls only `pending` matters. */
    uint8_t *out;
    size_t out_room; /* bytes of `out`, */
    size_t copied;   /* and those that were written there */
    size_t room;
    size_t used;
    size_t end_apart;    /* of `used`: where a response ended that is to be readable at once */
    bool lends;          /* the content that is framed next is lent */
    struct span pending; /* what mem_send returned and didn't fit: nghttp2's, until its next call */
    int32_t unwritten_end; /* the stream that ends with `pending`; 0: none does */
    bool unwritten_apart;  /* and is to be readable at once */

    struct {
        int32_t id;
        void *stream;
    } recent; /* the stream that was last looked for: the next event is mostly its own */
    int32_t closing_id; /* of the stream whose close is being told; 0: none */

    struct stream_ids ids;
    int32_t last_taken; /* above this a GOAWAY has refused them: their frames are read over */
    struct {
        int32_t id;
        struct priority priority;
    } early[EARLY_MAX]; /* the last ones; the id is 0 where there is none */
    unsigned early_next;

    unsigned open_streams;
    bool terminated;
    char failure[FAILURE_MAX];
};

/* The stream as its events' owner knows it; NULL for one that is closed, or was never taken. */
static void *stream_of(struct http2 *http2, int32_t id)
{
    if (id == http2->closing_id)
        return NULL;
    if (id == http2->recent.id)
        return http2->recent.stream;
    void *stream = nghttp2_session_get_stream_user_data(http2->session, id);
    if (stream) {
        http2->recent.id = id;
        http2->recent.stream = stream;
    }
    return stream;
}

static void forget_recent(struct http2 *http2, int32_t id)
{
    if (id == http2->recent.id)
        http2->recent.id = 0;
}

/* ---- receiving ---- */

static void terminate(struct http2 *http2, enum http2_error error, const char *why)
{
    if (http2->terminated)
        return;
    http2->terminated = true;
    snprintf(http2->failure, sizeof(http2->failure), "%s", why);
    nghttp2_session_terminate_session(http2->session, error);
}

/* nghttp2 had to be given of the reserve: the session gives it back by ending. */
static void end_if_memory_lacked(struct http2 *http2)
{
    if (reserve_lacked(&http2->context->memory.reserve))
        terminate(http2, HTTP2_INTERNAL_ERROR, "out of memory");
}

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
    if (stream_of(http2, id) || stream_ids_were_reset(&http2->ids, id) ||
        http2->in_header_block || id > http2->last_taken)
        return true;
    if (header->type == FRAME_HEADERS && stream_ids_passed_over(&http2->ids, id))
        terminate(http2, HTTP2_PROTOCOL_ERROR, "HEADERS on a stream id that was passed over");
    else
        terminate(http2, HTTP2_STREAM_CLOSED, "a frame on a closed stream");
    return false;
}

/* What nghttp2 lets pass. */
static bool check_form(struct http2 *http2, const struct frame_header *header)
{
    if (header->type == FRAME_CONTINUATION && header->length > FRAME_LENGTH_MAX)
        terminate(http2, HTTP2_FRAME_SIZE_ERROR, "CONTINUATION above SETTINGS_MAX_FRAME_SIZE");
    else if (header->type == FRAME_PRIORITY && header->stream_id == 0)
        terminate(http2, HTTP2_PROTOCOL_ERROR, "PRIORITY on stream 0");
    else if (header->type == FRAME_PRIORITY_UPDATE && header->length >= 4 &&
             header->prioritized_id == 0)
        terminate(http2, HTTP2_PROTOCOL_ERROR, "PRIORITY_UPDATE for stream 0");
    return !http2->terminated;
}

/* Judges a frame by its header, before nghttp2 sees it. Returns false when the session ends. */
static bool check_frame(struct http2 *http2, const struct frame_header *header)
{
    enum guard_event event = guard_event_of(header);
    if (event != GUARD_EVENTS && !guard_count(http2->guard, event)) {
        terminate(http2, HTTP2_ENHANCE_YOUR_CALM, stats_prose(http2->guard->tripped));
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
    for (unsigned i = 0; i < EARLY_MAX; i++)
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
    void *stream = stream_of(http2, id);
    struct priority priority =
        priority_read(span_make((const char *)update->field_value, update->field_value_len));
    if (stream) {
        http2->context->events->prioritized(stream, priority);
    } else if (is_idle(http2, id)) {
        unsigned at = http2->early_next++ % EARLY_MAX;
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
    void *stream = id ? stream_of(http2, id) : NULL;
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
    void *stream = stream_of(http2, id);
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
    void *stream = stream_of(http2, id);
    (void)session;
    if (http2->building && http2->building_id == id) {
        header_list_release(http2->building);
        http2->building = NULL;
    }
    if (!stream)
        return 0;
    forget_recent(http2, id);
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
        terminate(http2, HTTP2_ENHANCE_YOUR_CALM, "flooded with frames that want an answer");
    else if (taken == NGHTTP2_ERR_BAD_CLIENT_MAGIC)
        terminate(http2, HTTP2_PROTOCOL_ERROR, "not a connection preface (RFC 9113 3.4)");
    else if (taken < 0)
        terminate(http2, HTTP2_INTERNAL_ERROR, nghttp2_strerror((int)taken));
    if (http2->guard->failed)
        terminate(http2, HTTP2_ENHANCE_YOUR_CALM, stats_prose(http2->guard->tripped));
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
    end_if_memory_lacked(http2);
    return http2->terminated ? -EPROTO : 0;
}

/* ---- sending ---- */

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
        stream = stream_of(http2, frame->push_promise.promised_stream_id);
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
        stream = stream_of(http2, frame->hd.stream_id);
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
    if (!stream_of(http2, id))
        return 0;
    nghttp2_session_set_stream_user_data(session, id, NULL);
    forget_recent(http2, id);
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
        terminate(http2, HTTP2_ENHANCE_YOUR_CALM, stats_prose(http2->guard->tripped));
    if (http2->settings_overflow)
        terminate(http2, HTTP2_FLOW_CONTROL_ERROR,
                  "SETTINGS_INITIAL_WINDOW_SIZE overflows a stream's window");
    end_if_memory_lacked(http2);
    return (ptrdiff_t)http2->used;
}

size_t http2_end_apart(const struct http2 *http2)
{
    return http2->end_apart;
}

int32_t http2_unwritten_end(const struct http2 *http2)
{
    return http2->unwritten_end;
}

bool http2_failed(const struct http2 *http2)
{
    return http2->terminated;
}

bool http2_wants_write(const struct http2 *http2)
{
    return http2->pending.length || nghttp2_session_want_write(http2->session);
}

bool http2_done(const struct http2 *http2)
{
    return !http2->pending.length && !nghttp2_session_want_read(http2->session) &&
           !nghttp2_session_want_write(http2->session);
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
    nghttp2_data_provider provider = {.source.ptr = stream_of(http2, id),
                                      .read_callback = read_content};
    nva[0] = http2_nv_status(status, digits);
    count = http2_nv_fill(nva, 1, FIELDS_OUT_MAX, fields, count);
    return error_of(
        nghttp2_submit_response(http2->session, id, nva, count, content ? &provider : NULL));
}

void http2_consumed(struct http2 *http2, int32_t id, size_t length)
{
    nghttp2_session_consume(http2->session, id, length);
}

void http2_resume(struct http2 *http2, int32_t id)
{
    nghttp2_session_resume_data(http2->session, id);
}

int32_t http2_promise(struct http2 *http2, int32_t parent, struct span scheme,
                      struct span authority, struct span target, const struct field *fields,
                      size_t count, void *stream)
{
    nghttp2_nv nva[PROMISE_FIELDS_MAX] = {
        http2_nv_make(SPAN_LITERAL(":method"), SPAN_LITERAL("GET")),
        http2_nv_make(SPAN_LITERAL(":scheme"), scheme),
        http2_nv_make(SPAN_LITERAL(":authority"), authority),
        http2_nv_make(SPAN_LITERAL(":path"), target),
    };
    count = http2_nv_fill(nva, 4, PROMISE_FIELDS_MAX, fields, count);
    int32_t id =
        nghttp2_submit_push_promise(http2->session, NGHTTP2_FLAG_NONE, parent, nva, count, stream);
    if (id < 0)
        return id == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EINVAL;
    guard_count(http2->guard, GUARD_PROMISE);
    http2->open_streams++;
    return id;
}

void http2_prioritize(struct http2 *http2, int32_t id, uint8_t urgency, bool incremental)
{
    nghttp2_extpri priority = {.urgency = urgency, .inc = incremental};
    nghttp2_session_change_extpri_stream_priority(http2->session, id, &priority, 1);
}

void http2_reset(struct http2 *http2, int32_t id, enum http2_error error)
{
    stream_ids_reset(&http2->ids, id);
    nghttp2_submit_rst_stream(http2->session, NGHTTP2_FLAG_NONE, id, error);
}

void http2_shutdown_notice(struct http2 *http2)
{
    nghttp2_submit_shutdown_notice(http2->session);
    nghttp2_submit_ping(http2->session, NGHTTP2_FLAG_NONE, NULL);
}

void http2_goaway(struct http2 *http2, enum http2_error error)
{
    nghttp2_submit_goaway(http2->session, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(http2->session), error, NULL, 0);
}

bool http2_push_enabled(const struct http2 *http2)
{
    return nghttp2_session_get_remote_settings(http2->session, NGHTTP2_SETTINGS_ENABLE_PUSH) != 0;
}

uint32_t http2_streams_max(const struct http2 *http2)
{
    return nghttp2_session_get_remote_settings(http2->session,
                                               NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

uint32_t http2_window(const struct http2 *http2)
{
    int32_t bytes = nghttp2_session_get_remote_window_size(http2->session);
    return bytes > 0 ? (uint32_t)bytes : 0;
}

bool http2_window_shut(const struct http2 *http2, int32_t id)
{
    return nghttp2_session_get_stream_remote_window_size(http2->session, id) <= 0;
}

unsigned http2_open_streams(const struct http2 *http2)
{
    return http2->open_streams;
}

uint64_t http2_header_block(const struct http2 *http2)
{
    bool under_way = http2->in_header_block || (http2->in_header_frame && http2->frames.skip > 0);
    return under_way ? http2->header_blocks : 0;
}

const char *http2_failure(const struct http2 *http2)
{
    return http2->failure;
}

/* ---- life ---- */

struct http2 *http2_create(struct http2_context *context, struct guard *guard, void *connection)
{
    struct http2 *http2 = calloc(1, sizeof(*http2));
    if (!http2)
        return NULL;
    *http2 = (struct http2){
        .context = context, .guard = guard, .connection = connection, .last_taken = INT32_MAX};
    frames_init(&http2->frames, HTTP2_PREFACE_LENGTH);
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, (uint32_t)context->limits->streams},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)context->limits->header_bytes},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    if (nghttp2_session_server_new3(&http2->session, context->callbacks, http2, context->option,
                                    http2_memory_functions(&context->memory))) {
        free(http2);
        return NULL;
    }
    if (nghttp2_submit_settings(http2->session, NGHTTP2_FLAG_NONE, settings, 3) ||
        reserve_lacked(&context->memory.reserve)) {
        http2_destroy(http2);
        return NULL;
    }
    return http2;
}

void http2_destroy(struct http2 *http2)
{
    if (!http2)
        return;
    nghttp2_session_del(http2->session);
    header_list_release(http2->building);
    free(http2);
}

static void set_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(callbacks, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback2(callbacks, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_send);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, send_content);
    nghttp2_session_callbacks_set_error_callback2(callbacks, on_error);
}

/* Newer versions count CONTINUATION frames themselves, to 8 by default, and one anew with each piece
 * that its header comes in: an honest field block may be cut anywhere. The guard counts frames. */
void nghttp2_option_set_max_continuations(nghttp2_option *, size_t) __attribute__((weak));

struct http2_context *http2_context_create(const struct session_events *events,
                                           const struct config_limits *limits)
{
    struct http2_context *context = calloc(1, sizeof(*context));
    if (!context)
        return NULL;
    context->events = events;
    context->limits = limits;
    http2_fields_init(&context->lists);
    if (http2_memory_init(&context->memory) || nghttp2_session_callbacks_new(&context->callbacks) ||
        nghttp2_option_new(&context->option)) {
        http2_context_destroy(context);
        return NULL;
    }
    set_callbacks(context->callbacks);
    nghttp2_option_set_no_closed_streams(context->option, 1);
    nghttp2_option_set_no_auto_window_update(context->option, 1);
    nghttp2_option_set_builtin_recv_extension_type(context->option, NGHTTP2_PRIORITY_UPDATE);
    if (nghttp2_option_set_max_continuations)
        nghttp2_option_set_max_continuations(context->option, CONTINUATION_PIECES_MAX);
    return context;
}

void http2_context_destroy(struct http2_context *context)
{
    if (!context)
        return;
    nghttp2_session_callbacks_del(context->callbacks);
    nghttp2_option_del(context->option);
    header_pool_finish(&context->lists);
    http2_memory_finish(&context->memory);
    free(context);
}

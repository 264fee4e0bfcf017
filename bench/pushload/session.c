#include "bench/pushload/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STREAM_WINDOW (6 << 20) /* as browsers have it */
#define CONNECTION_WINDOW (15 << 20)

static struct stream *stream_add(struct conn *conn, int32_t id, enum role role, int resource)
{
    struct stream *stream = calloc(1, sizeof(*stream));
    if (!stream)
        return NULL;
    stream->id = id;
    stream->role = role;
    stream->resource = resource;
    stream->version = LOAD_NO_VERSION;
    XXH64_reset(&stream->hash, 0);
    stream->next = conn->streams;
    conn->streams = stream;
    conn->open_streams++;
    nghttp2_session_set_stream_user_data(conn->session, id, stream);
    return stream;
}

static void ask_for(struct conn *conn, enum role role, const char *path, int resource)
{
    const struct options *options = conn->run->load->options;
    const char *cookies = conn->client && options->cookies ? conn->client->cookies : "";
    const char *scheme = options->tls ? "https" : "http";
    const char *texts[][2] = {{":method", "GET"},
                              {":scheme", scheme},
                              {":authority", options->authority},
                              {":path", path},
                              {"user-agent", "pushload"},
                              {"cookie", cookies}};
    nghttp2_nv fields[6];
    size_t count = cookies[0] ? 6 : 5;
    for (size_t i = 0; i < count; i++)
        fields[i] = (nghttp2_nv){.name = (uint8_t *)(uintptr_t)texts[i][0],
                                 .namelen = strlen(texts[i][0]),
                                 .value = (uint8_t *)(uintptr_t)texts[i][1],
                                 .valuelen = strlen(texts[i][1])};
    int32_t id = nghttp2_submit_request(conn->session, NULL, fields, count, NULL, NULL);
    struct stream *stream = id > 0 ? stream_add(conn, id, role, resource) : NULL;
    if (!stream || nghttp2_session_set_stream_user_data(conn->session, id, stream) < 0)
        conn->failed |= !stream;
}

static void fetch_missing(struct conn *conn)
{
    struct load *load = conn->run->load;
    for (unsigned i = 0; i < load->resources_count; i++) {
        if (!load->resources[i].asset || !client_needs(conn->client, i))
            continue;
        load->totals.fetched++;
        ask_for(conn, ROLE_FETCH, load->resources[i].path, (int)i);
    }
}

static struct stream *stream_of(struct conn *conn, int32_t id)
{
    for (struct stream *stream = conn->streams; stream; stream = stream->next)
        if (stream->id == id)
            return stream;
    return NULL;
}

/* ---- what nghttp2 tells ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)session;
    if (frame->hd.type == NGHTTP2_PUSH_PROMISE &&
        !stream_add(user, frame->push_promise.promised_stream_id, ROLE_PUSH, -1))
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    return 0;
}

static bool named(const uint8_t *name, size_t length, const char *wanted)
{
    return length == strlen(wanted) && memcmp(name, wanted, length) == 0;
}

static void on_response_field(struct conn *conn, struct stream *stream, const uint8_t *name,
                              size_t name_length, const uint8_t *value, size_t length)
{
    if (named(name, name_length, ":status"))
        stream->status = atoi((const char *)value);
    else if (named(name, name_length, "etag") && length < LOAD_ETAG_MAX)
        memcpy(stream->etag, value, length + 1);
    else if (named(name, name_length, "set-cookie") && conn->client)
        client_cookie(conn->client, (const char *)value, length);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_length, const uint8_t *value, size_t length, uint8_t flags,
                     void *user)
{
    struct conn *conn = user;
    (void)session, (void)flags;
    bool promise = frame->hd.type == NGHTTP2_PUSH_PROMISE;
    int32_t id = promise ? frame->push_promise.promised_stream_id : frame->hd.stream_id;
    struct stream *stream = stream_of(conn, id);
    if (!stream)
        return 0;
    if (!promise)
        on_response_field(conn, stream, name, name_length, value, length);
    else if (named(name, name_length, ":path"))
        stream->resource = resource_find(conn->run->load, (const char *)value, length);
    return 0;
}

static void on_promise(struct conn *conn, struct stream *stream)
{
    struct load *load = conn->run->load;
    if (!conn->client || stream->resource < 0)
        return;
    client_promised(load, conn->client, (unsigned)stream->resource);
    stream->promised = true;
    if (load_random(load, 100) >= load->options->cancel_percent)
        return;
    stream->declined = true;
    nghttp2_submit_rst_stream(conn->session, 0, stream->id, NGHTTP2_CANCEL);
}

static void on_response(struct conn *conn, struct stream *stream)
{
    struct load *load = conn->run->load;
    if (stream->status >= 100 && stream->status < 200)
        return;
    if (stream->status != 200)
        load->totals.bad_status++;
    if (stream->resource < 0 || stream->status != 200)
        return;
    stream->version = resource_version(&load->resources[stream->resource], stream->etag);
    stream->redundant = stream->role == ROLE_PUSH && stream->promised &&
                        client_holds(conn->client, (unsigned)stream->resource, stream->version);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct conn *conn = user;
    struct stream *stream;
    (void)session;
    switch (frame->hd.type) {
    case NGHTTP2_PUSH_PROMISE:
        stream = stream_of(conn, frame->push_promise.promised_stream_id);
        if (stream)
            on_promise(conn, stream);
        break;
    case NGHTTP2_HEADERS:
        stream = stream_of(conn, frame->hd.stream_id);
        if (stream)
            on_response(conn, stream);
        break;
    case NGHTTP2_GOAWAY:
        conn->run->load->totals.goaways++;
        break;
    default:
        break;
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                   size_t length, void *user)
{
    struct conn *conn = user;
    struct stream *stream = stream_of(conn, id);
    (void)session, (void)flags;
    if (!stream)
        return 0;
    stream->bytes += length;
    if (conn->run->load->options->verify && stream->role != ROLE_PAGE)
        XXH64_update(&stream->hash, bytes, length);
    if (stream->role != ROLE_PUSH)
        return 0;
    conn->pushed_bytes += length;
    if (conn->cut != CUT_NONE && conn->pushed_bytes >= conn->cut_at)
        conn->cut_now = true;
    return 0;
}

static void push_over(struct conn *conn, struct stream *stream, bool whole)
{
    struct load *load = conn->run->load;
    unsigned resource = (unsigned)stream->resource;
    if (!stream->promised)
        return;
    if (stream->declined) {
        load->totals.cancelled++;
        client_declined(conn->client, resource);
    } else if (whole) {
        stream->delivered = true;
        client_delivered(load, conn->client, resource, stream->version, stream->redundant,
                         stream->bytes);
        resource_body(load, &load->resources[resource], stream->version,
                      XXH64_digest(&stream->hash), stream->bytes, true);
    } else {
        load->totals.reset_by_server++;
        client_promise_lost(conn->client, resource);
    }
}

static void reference_over(struct conn *conn, struct stream *stream, bool whole)
{
    struct load *load = conn->run->load;
    if (!whole || stream->version == LOAD_NO_VERSION)
        return;
    struct resource *resource = &load->resources[stream->resource];
    if (resource->current == LOAD_NO_VERSION)
        resource->current = stream->version;
    resource_body(load, resource, stream->version, XXH64_digest(&stream->hash), stream->bytes,
                  false);
}

static void fetch_over(struct conn *conn, struct stream *stream, bool whole)
{
    if (!whole || stream->version == LOAD_NO_VERSION)
        return;
    stream->delivered = true;
    struct holding *holding = &conn->client->holdings[stream->resource];
    holding->having = HOLDS;
    holding->version = (uint8_t)stream->version;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t error, void *user)
{
    struct conn *conn = user;
    struct stream *stream = stream_of(conn, id);
    (void)session;
    if (!stream || stream->closed)
        return 0;
    bool whole = error == NGHTTP2_NO_ERROR && stream->status == 200;
    stream->closed = true;
    conn->open_streams--;
    if (stream->role == ROLE_PUSH)
        push_over(conn, stream, whole);
    else if (stream->role == ROLE_REFERENCE)
        reference_over(conn, stream, whole);
    else if (stream->role == ROLE_FETCH)
        fetch_over(conn, stream, whole);
    else if (whole && conn->run->load->options->fetch_missing && !conn->client->first)
        fetch_missing(conn);
    if (stream->role == ROLE_PAGE)
        stream->delivered = whole;
    return 0;
}

/* ---- life ---- */

static nghttp2_session_callbacks *callbacks_make(void)
{
    nghttp2_session_callbacks *callbacks;
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        return NULL;
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    return callbacks;
}

int session_open(struct conn *conn)
{
    static nghttp2_session_callbacks *callbacks;
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, conn->client != NULL},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 256}};
    if (!callbacks)
        callbacks = callbacks_make();
    if (!callbacks || nghttp2_session_client_new(&conn->session, callbacks, conn) != 0)
        return -ENOMEM;
    if (nghttp2_submit_settings(conn->session, 0, settings, 3) != 0 ||
        nghttp2_session_set_local_window_size(conn->session, 0, 0, CONNECTION_WINDOW) != 0)
        return -ENOMEM;
    return 0;
}

/* Everything whose body is to be known, once: the page's assets at the start, and at the end
 * whatever else was pushed. */
static void ask_references(struct conn *conn)
{
    struct load *load = conn->run->load;
    for (unsigned i = 0; i < load->resources_count; i++) {
        struct resource *resource = &load->resources[i];
        bool unknown = resource->asset && resource->current == LOAD_NO_VERSION;
        for (unsigned v = 0; v < resource->versions_count; v++)
            unknown |= resource->versions[v].seen && !resource->versions[v].asked;
        if (unknown)
            ask_for(conn, ROLE_REFERENCE, resource->path, (int)i);
    }
}

void session_ask(struct conn *conn)
{
    const struct options *options = conn->run->load->options;
    if (!conn->client)
        ask_references(conn);
    else
        ask_for(conn, ROLE_PAGE, conn->client->first ? options->first : options->path, -1);
}

/* Counts the DATA of promised streams by the frames' own headers: of what comes for a promise that was
 * cancelled the session tells nothing. The server pads no frame. */
static void count_frame(struct conn *conn)
{
    const uint8_t *h = conn->frame_header;
    int32_t id = (h[5] & 0x7f) << 24 | h[6] << 16 | h[7] << 8 | h[8];
    conn->frame_left = (uint64_t)h[0] << 16 | (uint64_t)h[1] << 8 | h[2];
    if (h[3] != NGHTTP2_DATA || id % 2 || !conn->client)
        return;
    struct totals *totals = &conn->run->load->totals;
    const struct stream *stream = stream_of(conn, id);
    totals->data_bytes += conn->frame_left;
    if (stream && stream->declined)
        totals->cancelled_bytes += conn->frame_left;
}

void session_count(struct conn *conn, const uint8_t *bytes, size_t length)
{
    while (length) {
        if (conn->frame_left) {
            size_t n = length < conn->frame_left ? length : (size_t)conn->frame_left;
            conn->frame_left -= n;
            bytes += n;
            length -= n;
            continue;
        }
        conn->frame_header[conn->frame_have++] = *bytes++;
        length--;
        if (conn->frame_have == sizeof(conn->frame_header)) {
            conn->frame_have = 0;
            count_frame(conn);
        }
    }
}

bool session_receive(struct conn *conn, const uint8_t *bytes, size_t length)
{
    bool good = nghttp2_session_mem_recv(conn->session, bytes, length) == (ssize_t)length;
    session_count(conn, bytes, length); /* by now it is known which promises were cancelled */
    return good && !conn->failed;
}

bool session_done(const struct conn *conn)
{
    return conn->state == CONN_ASKED && conn->open_streams == 0;
}

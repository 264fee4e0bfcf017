#include "worker/http2_internal.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

#define PROMISE_FIELDS_MAX 8 /* fields of a promised request, pseudo-fields included */
#define CONTINUATION_PIECES_MAX 81 /* that the headers of as many frames as the guard allows may come in */

void http2_terminate(struct http2 *http2, enum http2_error error, const char *why)
{
    if (http2->terminated)
        return;
    http2->terminated = true;
    snprintf(http2->failure, sizeof(http2->failure), "%s", why);
    nghttp2_session_terminate_session(http2->session, error);
}

void http2_end_if_memory_lacked(struct http2 *http2)
{
    if (reserve_lacked(&http2->context->memory.reserve))
        http2_terminate(http2, HTTP2_INTERNAL_ERROR, "out of memory");
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

/* Newer versions count CONTINUATION frames themselves, to 8 by default, and one anew with each piece
 * that its header comes in: an honest field block may be cut anywhere. The guard counts frames. */
void nghttp2_option_set_max_continuations(nghttp2_option *, size_t) __attribute__((weak));

const char *http2_library(void)
{
    return nghttp2_version(0)->version_str;
}

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
    http2_receive_with(context->callbacks);
    http2_send_with(context->callbacks);
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

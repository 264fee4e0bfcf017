/* All streams of a connection: who is slow, what is left to send. */
#include "worker/proxy.h"
#include "worker/stream.h"

bool streams_check_receiving(struct conn *conn)
{
    bool slow = false;
    const struct config_limits *limits = &conn->worker->config->limits;
    uint64_t now = conn->worker->timers.now_ms;
    for (struct stream *stream = conn->streams; stream; stream = stream->next) {
        if (stream->fetch && proxy_holds_back(stream)) { /* it is this side that takes nothing */
            stream->content_began_ms = now;
            stream->content_received = 0;
        }
        uint64_t elapsed_ms = now - stream->content_began_ms;
        if (stream->request_ended || stream->state == STREAM_RECEIVING ||
            elapsed_ms < limits->body_grace)
            continue;
        if (stream->content_received * 1000 >= limits->body_rate * elapsed_ms)
            continue;
        stats_add(conn->worker->stats, COUNTER_limit_body, 1);
        stream_stop_receiving(stream);
        slow = true;
        session_reset(&conn->session, stream->id, HTTP2_CANCEL);
    }
    return slow;
}

uint64_t streams_left_bytes(const struct conn *conn, const struct stream *page)
{
    uint64_t bytes = 0;
    for (const struct stream *stream = conn->streams; stream; stream = stream->next) {
        if (stream == page || stream->complete)
            continue;
        if (stream->answered)
            bytes += stream->body.left;
        else if (stream->pushed)
            bytes += stream->response.length;
    }
    return bytes;
}

bool streams_need_no_window(const struct conn *conn)
{
    for (const struct stream *stream = conn->streams; stream; stream = stream->next)
        if (stream->answered && !stream->complete &&
            !(stream->fetch && proxy_awaits_origin(stream)) &&
            !(stream->growth && growth_reader_waits(stream->growth)))
            return false;
    return true;
}

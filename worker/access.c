#include "worker/access.h"

#include "worker/page.h"
#include "worker/proxy.h"
#include "worker/stream.h"

static void log_candidate(struct log *log, const struct candidate *candidate)
{
    log_open_object(log);
    log_string(log, "path", candidate->path);
    log_word(log, "verdict", span_of(reason_name(candidate->verdict)));
    log_string(log, "by", span_of(candidate->proposer));
    if (candidate->proposed_line)
        log_number(log, "line", candidate->proposed_line);
    if (candidate->judge)
        log_string(log, "judge", span_of(candidate->judge));
    if (candidate->judge && candidate->judge_line)
        log_number(log, "judge_line", candidate->judge_line);
    if (candidate->why.length)
        log_string(log, "detail", candidate->why);
    if (candidate->resolved)
        log_number(log, "size", (int64_t)candidate->size);
    log_close_object(log);
}

/* Policies that proposed nothing on purpose, and why. */
static void log_notes(struct log *log, const struct decision *decision)
{
    log_open_array(log, "nothing_from");
    for (unsigned i = 0; i < decision->notes_count; i++) {
        log_open_object(log);
        log_string(log, "by", span_of(decision->notes[i].policy));
        log_string(log, "detail", decision->notes[i].why);
        log_close_object(log);
    }
    log_close_array(log);
}

#define VERSION_TEXT_MAX 11 /* "v" and ten digits */

static struct span version_text(char *text, uint32_t number)
{
    size_t at = VERSION_TEXT_MAX;
    do
        text[--at] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    text[--at] = 'v';
    return span_make(&text[at], VERSION_TEXT_MAX - at);
}

static void log_page(struct log *log, const struct page *page)
{
    char version[VERSION_TEXT_MAX];
    if (page->version_number)
        log_string(log, "version", version_text(version, page->version_number));
    if (page->no_push != REASON_PENDING)
        log_string(log, "push_off", span_of(reason_prose(page->no_push)));
    else if (page->measured)
        log_number(log, "budget", (int64_t)page->decision.budget_bytes);
    log_open_array(log, "push");
    for (unsigned i = 0; i < page->decision.count; i++)
        log_candidate(log, &page->decision.items[i]);
    log_close_array(log);
    if (page->decision.notes_count)
        log_notes(log, &page->decision);
    if (page->decision.overflowed)
        log_number(log, "push_overflow", page->decision.overflowed);
}

static int64_t elapsed_us(uint64_t began_us)
{
    return (int64_t)(timer_clock_us() - began_us);
}

static void log_client(struct stream *stream, struct log *log)
{
    char text[IDENTITY_TEXT_LENGTH + 1];
    static const char *const BY[] = {"cookie", "tls", "connection"};
    if (!stream->client.known)
        return;
    identity_client_text(stream->conn->worker->handoff->segment->secrets->log_key,
                         stream->client.stored, text);
    log_word(log, "client", span_of(text));
    log_word(log, "identified_by", span_of(BY[stream->client.by]));
}

/* Who answered in this server's place, after what time, and what went wrong. */
static void log_fetch(struct log *log, const struct fetch *fetch)
{
    log_string(log, "origin", span_of(fetch->server));
    if (fetch->head_us)
        log_number(log, "origin_us", (int64_t)(fetch->head_us - fetch->began_us));
    if (fetch->failure[0])
        log_string(log, "origin_failure", span_of(fetch->failure));
}

/* How an origin's answer came: the words of enum cache_way. What led a fetch for all has no fetch of
 * its own any more. */
static void log_cache(struct log *log, const struct stream *stream)
{
    static const char *const WAYS[] = {"", "hit", "miss", "stale", "revalidated", "pass"};
    if (!stream->fetch && stream->server) {
        log_string(log, "origin", span_of(stream->server));
        log_number(log, "origin_us", stream->server_us);
    }
    if (stream->cache_way)
        log_string(log, "cache", span_of(WAYS[stream->cache_way]));
}

void access_members(struct stream *stream, struct log *log)
{
    char time_text[LOG_TIME_MAX];
    if (!stream->request.id[0])
        worker_request_id(stream->conn->worker, stream->request.id);
    log_word(log, "time", span_of(log_time(time_text)));
    log_word(log, "id", span_of(stream->request.id));
    log_client(stream, log);
    log_string(log, "method", stream->request.method);
    log_string(log, "scheme", stream->request.scheme);
    log_string(log, "host", stream->request.host);
    log_string(log, "path", stream->target);
    bool answered = stream->answered || stream->conn->assumed;
    log_number(log, "status", answered ? stream->response.status : 0);
    log_number(log, "bytes", (int64_t)stream->content_sent);
    log_number(log, "duration_us", elapsed_us(stream->began_us));
    log_word(log, "protocol", session_protocol(&stream->conn->session));
    log_bool(log, "complete", stream->complete);
    if (stream->fetch)
        log_fetch(log, stream->fetch);
    log_cache(log, stream);
    if (stream->page && !stream->page->unasked)
        log_page(log, stream->page);
}

void access_log(struct stream *stream)
{
    struct worker *worker = stream->conn->worker;
    if (worker->access.fd < 0)
        return;
    log_begin(&worker->access.log);
    access_members(stream, &worker->access.log);
    log_end(&worker->access.log);
}

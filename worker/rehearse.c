#include "worker/rehearse.h"

#include "worker/access.h"
#include "worker/assumed.h"
#include "worker/conn.h"
#include "worker/page.h"
#include "worker/respond.h"
#include "worker/stream.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_BYTES (512 * 1024)
#define ANSWER_MS 3000   /* for a question, the scan of its page included */
#define TURNS_TO_END 200 /* wake-ups that a connection may take to go */
#define IDLE_TURNS 20
#define TURN_NS 5000000
#define FRAME_HEADERS 1
#define FRAME_SETTINGS 4
#define FLAG_END_STREAM_AND_HEADERS 5

struct rehearsal {
    struct worker *worker;
    uint32_t version;
    struct log log;
    struct span answer;
    bool warming; /* the first of two runs: it fills the cache */
    bool done;
    int errors_fd; /* the error log, a memfd */
    off_t errors_at;
};

/* ---- the request, as bytes ---- */

struct bytes {
    uint8_t data[REHEARSE_BLOCK_MAX + 512];
    size_t length;
    bool full;
};

static void put(struct bytes *out, const void *data, size_t length)
{
    if (length > sizeof(out->data) - out->length) {
        out->full = true;
        return;
    }
    if (length)
        memcpy(out->data + out->length, data, length);
    out->length += length;
}

static void put_byte(struct bytes *out, unsigned value)
{
    uint8_t byte = (uint8_t)value;
    put(out, &byte, 1);
}

/* An integer with a prefix of 7 bits, and the string (RFC 7541 5.1, 5.2), not Huffman-coded. */
static void put_string(struct bytes *out, struct span text)
{
    size_t rest = text.length;
    if (rest < 127) {
        put_byte(out, (unsigned)rest);
    } else {
        put_byte(out, 127);
        for (rest -= 127; rest >= 128; rest >>= 7)
            put_byte(out, (unsigned)(rest & 127) | 128);
        put_byte(out, (unsigned)rest);
    }
    put(out, text.data, text.length);
}

/* A literal without indexing, with a new name (RFC 7541 6.2.2). */
static void put_field(struct bytes *out, struct span name, struct span value)
{
    put_byte(out, 0);
    put_string(out, name);
    put_string(out, value);
}

static void put_frame(struct bytes *out, size_t length, unsigned type, unsigned flags,
                      unsigned stream)
{
    put_byte(out, (unsigned)(length >> 16));
    put_byte(out, (unsigned)(length >> 8) & 255);
    put_byte(out, (unsigned)length & 255);
    put_byte(out, type);
    put_byte(out, flags);
    put(out, "\0\0\0", 3);
    put_byte(out, stream);
}

static void put_setting(struct bytes *out, unsigned id, uint32_t value)
{
    put_byte(out, 0);
    put_byte(out, id);
    for (int shift = 24; shift >= 0; shift -= 8)
        put_byte(out, (value >> shift) & 255);
}

static void put_block(struct bytes *out, const struct rehearse_question *question)
{
    put_field(out, SPAN_LITERAL(":method"), question->method);
    put_field(out, SPAN_LITERAL(":scheme"),
              question->secure ? SPAN_LITERAL("https") : SPAN_LITERAL("http"));
    put_field(out, SPAN_LITERAL(":authority"), question->authority);
    put_field(out, SPAN_LITERAL(":path"), question->target);
    for (size_t i = 0; i < question->fields_count; i++)
        put_field(out, question->fields[i].name, question->fields[i].value);
}

/* The preface, SETTINGS (ENABLE_PUSH, MAX_CONCURRENT_STREAMS, and a window in which no content
 * flows), and the request. Returns false when it is too long. */
static bool put_request(struct bytes *out, const struct rehearse_question *question)
{
    static struct bytes block;
    block.length = 0;
    block.full = false;
    put_block(&block, question);
    put(out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    put_frame(out, 18, FRAME_SETTINGS, 0, 0);
    put_setting(out, 2, question->no_push ? 0 : 1);
    put_setting(out, 3, question->streams_max);
    put_setting(out, 4, 0);
    put_frame(out, block.length, FRAME_HEADERS, FLAG_END_STREAM_AND_HEADERS, 1);
    put(out, block.data, block.length);
    return !out->full && !block.full && block.length <= REHEARSE_BLOCK_MAX;
}

/* ---- the answer ---- */

/* What the table says of a candidate whose verdict came from there. */
static void add_belief(struct log *log, const struct page *page, unsigned i)
{
    const struct candidate *candidate = &page->decision.items[i];
    const struct stream *stream = page->stream;
    struct push_entry entry;
    if (candidate->verdict != REASON_HELD && candidate->verdict != REASON_DECLINED)
        return;
    push_table_inspect(&page->worker->pushes, page->lookups[i].key, &entry);
    uint32_t life_s = candidate->verdict == REASON_DECLINED
                          ? client_declined(&stream->client, stream->site)
                          : client_life(&stream->client, stream->site,
                                        respond_ttl(candidate->resource, stream->site));
    log_open_object(log);
    log_string(log, "path", candidate->path);
    log_number(log, "left_s", entry.left_s);
    /* What was noted of a client on probation ends earlier, whoever it turned out to be. */
    bool certain = entry.left_s > PUSH_PROBATION_S || life_s <= PUSH_PROBATION_S;
    if (certain && life_s >= entry.left_s)
        log_number(log, "age_s", life_s - entry.left_s);
    log_close_object(log);
}

/* Why no policy was asked. */
static const char *unasked(const struct stream *stream)
{
    struct worker *worker = stream->conn->worker;
    int status = stream->response.status;
    if (!stream->site)
        return "no site has this name";
    if (!stream->route || !worker->policies.list)
        return "there are no policies";
    if (stream->head || !span_equal(stream->request.method, SPAN_LITERAL("GET")))
        return "policies are asked about GET only";
    if (stream->wants_policy && status != 200 && status != 304)
        return "policies are asked only when the answer is 200 or 304";
    if (!policy_versions_apply(&worker->policies, stream->site, stream->route, &stream->request))
        return "no policy applies to this path, destination and method";
    if (!stream->resource && !stream->wants_policy)
        return "the request was answered without looking for a file";
    return "the client takes neither pushes nor hints, and the access log is off";
}

static void add_facts(struct log *log, const struct stream *stream)
{
    const struct client_facts *client = &stream->request.client;
    bool asked = stream->page != NULL;
    const struct client_facts *facts = asked ? &stream->page->request.client : client;
    log_bool(log, "can_push", facts->can_push);
    log_bool(log, "can_hints", facts->can_hints);
    log_number(log, "rtt_us", stream->conn->assumed->rtt_us);
    log_number(log, "cwnd_bytes", stream->conn->assumed->cwnd_bytes);
    if (!asked)
        log_string(log, "not_asked", span_of(unasked(stream)));
    if (stream->route && stream->route->origin.servers_count)
        log_string(
            log, "origin",
            SPAN_LITERAL("the origin is not asked: what on_response would add is not shown"));
    /* Who has the canary follows from the id that the client keeps, of which the log has a hash. */
    uint64_t word = atomic_load(&stream->conn->worker->handoff->segment->header->versions);
    if (stream->conn->assumed->has_client && word >> (2 * SEGMENT_VERSION_BITS))
        log_string(log, "note",
                   SPAN_LITERAL("a canary is out, and this client may be among those who have it; "
                                "name a version"));
}

/* What failed meanwhile, by the error log. */
static void add_errors(struct rehearsal *rehearsal)
{
    char text[8192];
    struct worker *worker = rehearsal->worker;
    struct span waiting =
        span_make(worker->errors.log.halves[worker->errors.log.filling], worker->errors.log.used);
    ssize_t n = pread(rehearsal->errors_fd, text, sizeof(text), rehearsal->errors_at);
    log_open_array(&rehearsal->log, "log");
    struct span written = span_make(text, n > 0 ? (size_t)n : 0);
    while (written.length) {
        struct span line = span_next(&written, '\n');
        if (line.length)
            log_string(&rehearsal->log, NULL, line);
    }
    while (waiting.length) {
        struct span line = span_next(&waiting, '\n');
        if (line.length)
            log_string(&rehearsal->log, NULL, line);
    }
    log_close_array(&rehearsal->log);
}

static void on_answered(struct conn_assumed *assumed, struct stream *stream)
{
    struct rehearsal *rehearsal = assumed->context;
    struct log *log = &rehearsal->log;
    if (stream->pushed || rehearsal->done)
        return;
    rehearsal->done = true;
    if (rehearsal->warming)
        return;
    log_begin(log);
    access_members(stream, log);
    add_facts(log, stream);
    log_open_array(log, "beliefs");
    for (unsigned i = 0; stream->page && i < stream->page->decision.count; i++)
        add_belief(log, stream->page, i);
    log_close_array(log);
    add_errors(rehearsal);
    log_end(log);
    rehearsal->answer = log_take(log);
    while (rehearsal->answer.length && rehearsal->answer.data[rehearsal->answer.length - 1] == '\n')
        rehearsal->answer.length--;
}

static void refuse(struct rehearsal *rehearsal, const char *why)
{
    log_begin(&rehearsal->log);
    log_string(&rehearsal->log, "error", span_of(why));
    log_end(&rehearsal->log);
    rehearsal->answer = log_take(&rehearsal->log);
    rehearsal->answer.length--;
}

/* ---- running it ---- */

static uint64_t now_ms(void)
{
    return timer_clock_us() / 1000;
}

/* The connection whose other end `fd` is, and all it claimed, goes. */
static void end(struct worker *worker, int fd)
{
    close(fd);
    if (worker->conns)
        conn_abort(worker->conns);
    for (int i = 0; worker->conns_count && i < TURNS_TO_END; i++)
        worker_turn(worker, TURN_NS);
}

static int open_connection(struct worker *worker, struct conn_assumed *assumed)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return -errno;
    conn_open(worker, pair[0], false, 0);
    if (!worker->conns) {
        close(pair[1]);
        return -ENOMEM;
    }
    worker->conns->assumed = assumed;
    return pair[1];
}

/* Sends the request and runs the loop until it was answered. */
static void run_once(struct rehearsal *rehearsal, struct conn_assumed *assumed,
                     const struct bytes *request)
{
    struct worker *worker = rehearsal->worker;
    uint64_t until_ms = now_ms() + ANSWER_MS;
    unsigned idle =
        0; /* wake-ups without the request: before it was read, or since it was refused */
    rehearsal->done = false;
    int fd = open_connection(worker, assumed);
    if (fd < 0 || write(fd, request->data, request->length) != (ssize_t)request->length) {
        refuse(rehearsal, "out of memory");
        if (fd >= 0)
            end(worker, fd);
        return;
    }
    while (!rehearsal->done && worker->conns && idle < IDLE_TURNS && now_ms() < until_ms) {
        worker_turn(worker, TURN_NS);
        idle += worker->conns && !worker->conns->streams;
    }
    if (!rehearsal->done && !rehearsal->warming)
        refuse(rehearsal, worker->conns && worker->conns->streams
                              ? "the answer takes too long"
                              : "the request is malformed: it was refused as a stream error");
    end(worker, fd);
}

/* The segment as others see it, but for the versions that decide; none is asked beside them. */
static int forget(const struct rehearsal *rehearsal, struct segment *segment)
{
    int rc = segment_privatize(segment);
    if (rc < 0)
        return rc;
    for (unsigned i = 0; i < SEGMENT_SHARED_MAX; i++)
        rehearsal->worker->shared[i].alone = true;
    if (rehearsal->version != REHEARSE_ACTIVE)
        atomic_store(&segment->header->versions, segment_versions_word(rehearsal->version, 0, 0));
    atomic_store(&segment->header->shadow, 0);
    return 0;
}

static void answer(struct rehearsal *rehearsal, const struct rehearse_question *question)
{
    static struct bytes request;
    struct worker *worker = rehearsal->worker;
    struct segment *segment = worker->handoff->segment;
    struct conn_assumed assumed = {.secure = question->secure,
                                   .has_client = question->client.length > 0,
                                   .rtt_us = question->rtt_us,
                                   .cwnd_bytes = question->cwnd_bytes,
                                   .bandwidth_bps = question->bandwidth_bps,
                                   .answered = on_answered,
                                   .context = rehearsal};
    request.length = 0;
    request.full = false;
    if (assumed.has_client &&
        !identity_client_parse(segment->secrets->log_key, question->client, &assumed.client)) {
        refuse(rehearsal, "a client is named by the 16 hexadecimal digits that the log shows");
        return;
    }
    if (!put_request(&request, question)) {
        refuse(rehearsal, "the request is longer than 16,000 bytes");
        return;
    }
    /* Once to have the page scanned and its assets looked up, as they are in a worker that serves;
     * what that run claimed is forgotten. */
    for (int run = 0; run < 2; run++) {
        rehearsal->warming = run == 0;
        if (forget(rehearsal, segment) < 0) {
            refuse(rehearsal, "out of memory");
            return;
        }
        rehearsal->errors_at = lseek(rehearsal->errors_fd, 0, SEEK_END);
        run_once(rehearsal, &assumed, &request);
    }
}

int worker_rehearse(const struct handoff *handoff, uint32_t version,
                    const struct rehearse_question *questions, size_t count,
                    void (*told)(void *context, struct span answer), void *context,
                    struct fault *fault)
{
    static struct worker worker;
    struct rehearsal rehearsal = {.worker = &worker, .version = version};
    struct handoff own = *handoff;
    assert(handoff->shares == 0);
    rehearsal.errors_fd = memfd_create("herald-errors", MFD_CLOEXEC);
    own.error_fd = rehearsal.errors_fd;
    if (own.access_fd >= 0)
        own.access_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (rehearsal.errors_fd < 0 || log_init(&rehearsal.log, ANSWER_BYTES) < 0)
        return fault_set(fault, -ENOMEM, "explain", 0, "out of memory");
    int rc = forget(&rehearsal, handoff->segment);
    if (rc < 0)
        return fault_set(fault, rc, "explain", 0, "no view of the segment: %s", strerror(-rc));
    rc = worker_prepare(&worker, &own, fault);
    if (rc < 0)
        return rc;
    for (struct policy_version *one = worker.policies.list; one; one = one->next)
        if (one->vm)
            policy_vm_trace(one->vm);
    for (size_t i = 0; i < count; i++) {
        rehearsal.answer = (struct span){0};
        answer(&rehearsal, &questions[i]);
        told(context, rehearsal.answer);
    }
    return 0;
}

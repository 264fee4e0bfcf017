#include "worker/outcome.h"

#include "policy/identity.h"
#include "worker/page.h"
#include "worker/push.h"
#include "worker/stream.h"
#include "worker/worker.h"

#include <stdlib.h>
#include <string.h>

#define OUTCOMES_KEPT 256

static void close_when_done(struct conn *conn, struct outcome *outcome);

/* ---- life ---- */

/* The clock as of this wake-up: what is counted by the second and more needs no newer one. */
static uint64_t wakeup_clock(void *context)
{
    struct worker *worker = context;
    if (worker->clock_until != worker->wakeups + 1) {
        worker->clock_ms = push_clock_boottime(NULL);
        worker->clock_until = worker->wakeups + 1;
    }
    return worker->clock_ms;
}

int outcomes_start(struct worker *worker, struct fault *fault)
{
    struct segment *segment = worker->handoff->segment;
    int rc = tally_attach(&worker->tally, segment->tally, SEGMENT_TALLY_BYTES);
    if (rc == 0)
        rc = figures_attach(&worker->figures, segment->figures, SEGMENT_FIGURES_BYTES);
    if (rc < 0)
        return fault_set(fault, rc, "figures of pushes", 0, "cannot be used");
    worker->tally.clock_ms = worker->figures.clock_ms = wakeup_clock;
    worker->tally.clock_context = worker->figures.clock_context = worker;
    return 0;
}

void outcomes_finish(struct worker *worker)
{
    while (worker->free_outcomes) {
        struct outcome *outcome = worker->free_outcomes;
        worker->free_outcomes = outcome->next;
        free(outcome);
    }
}

static struct outcome *outcome_create(struct worker *worker)
{
    struct outcome *outcome = worker->free_outcomes;
    if (outcome) {
        worker->free_outcomes = outcome->next;
        worker->free_outcomes_count--;
    } else {
        outcome = malloc(sizeof(*outcome));
    }
    if (outcome)
        memset(outcome, 0, offsetof(struct outcome, assets));
    return outcome;
}

static void outcome_destroy(struct worker *worker, struct outcome *outcome)
{
    if (worker->free_outcomes_count >= OUTCOMES_KEPT) {
        free(outcome);
        return;
    }
    outcome->next = worker->free_outcomes;
    worker->free_outcomes = outcome;
    worker->free_outcomes_count++;
}

/* Pages before this one wait no longer for requests that have not come. */
static void supersede(struct conn *conn)
{
    struct outcome *next;
    for (struct outcome *outcome = conn->outcomes; outcome; outcome = next) {
        next = outcome->next;
        if (outcome->page_open)
            continue;
        outcome->over = true;
        close_when_done(conn, outcome);
    }
}

bool outcome_holds_out(const struct page *page)
{
    const struct stream *stream = page->stream;
    const struct segment_secrets *secrets = page->worker->handoff->segment->secrets;
    uint32_t share = stream->route->push.holdout;
    return share && identity_bucket(secrets->hash_key, stream->client.stored,
                                    SPAN_LITERAL("holdout"), CONFIG_SHARE_ALL) < share;
}

bool outcome_begin(struct page *page)
{
    struct stream *stream = page->stream;
    struct conn *conn = stream->conn;
    const struct segment_secrets *secrets = page->worker->handoff->segment->secrets;
    if (page->outcome)
        return true;
    struct outcome *outcome = outcome_create(page->worker);
    if (!outcome)
        return false;
    supersede(conn);
    outcome->site = identity_site(secrets->hash_key, span_of(stream->site->names[0]));
    outcome->version = page->version_number;
    memcpy(outcome->request_id, page->request.id, sizeof(outcome->request_id));
    memcpy(outcome->client, page->request.client.id, sizeof(outcome->client));
    outcome->means = page->request.client.can_hints ? FIGURES_HINTS : FIGURES_PUSH;
    outcome->arm = page->held_out ? FIGURES_HELD_OUT : FIGURES_SERVED;
    outcome->trial = stream->route->push.holdout > 0;
    outcome->page_open = true;
    outcome->began_us = stream->began_us;
    outcome->next = conn->outcomes;
    conn->outcomes = outcome;
    page->outcome = outcome;
    return true;
}

/* ---- counting ---- */

static void count(struct worker *worker, const struct ledger_entry *entry, enum tally_kind kind,
                  uint64_t bytes)
{
    struct figures_row *row = figures_row(&worker->figures, entry->site, entry->version);
    tally_add(&worker->tally, entry->resource, entry->site, kind, bytes);
    if (row)
        figures_add(row, kind, bytes);
}

/* A client that cancels late makes waste of what had been delivered. */
static void count_again(struct worker *worker, const struct ledger_entry *entry,
                        enum tally_kind kind)
{
    enum tally_kind before = (enum tally_kind)entry->ended;
    struct figures_row *row = figures_row(&worker->figures, entry->site, entry->version);
    tally_move(&worker->tally, entry->resource, before, kind, entry->bytes);
    if (row)
        figures_move(row, before, kind, entry->bytes);
    if (before == TALLY_DELIVERED)
        stats_add(worker->stats, COUNTER_wasted_bytes, entry->bytes);
}

static void add(struct outcome *outcome, enum tally_kind kind, uint64_t bytes)
{
    outcome->kinds[kind].count++;
    outcome->kinds[kind].bytes += bytes;
}

void outcome_promised(struct page *page, unsigned i, struct ledger_entry *entry)
{
    struct outcome *outcome = page->outcome;
    entry->outcome = outcome;
    entry->site = outcome->site;
    entry->version = outcome->version;
    entry->resource = page->lookups[i].resource;
    entry->ended = TALLY_PROMISED;
    outcome->open++;
    add(outcome, TALLY_PROMISED, page->decision.items[i].size);
    count(page->worker, entry, TALLY_PROMISED, page->decision.items[i].size);
}

void outcome_awaits(struct page *page, unsigned i)
{
    struct outcome *outcome = page->outcome;
    outcome->assets[outcome->assets_count++] = page->lookups[i].resource;
    outcome->awaited++;
}

struct outcome *outcome_of_request(struct conn *conn, uint64_t resource)
{
    for (struct outcome *outcome = conn->outcomes; outcome; outcome = outcome->next)
        for (unsigned i = 0; outcome->awaited && i < outcome->assets_count; i++) {
            if (outcome->assets[i] != resource)
                continue;
            outcome->assets[i] = 0;
            outcome->awaited--;
            return outcome;
        }
    return NULL;
}

void outcome_asked(struct conn *conn, struct outcome *outcome, struct ledger_entry *entry,
                   uint64_t bytes)
{
    if (!entry) {
        outcome->last_us = timer_clock_us();
        close_when_done(conn, outcome);
        return;
    }
    entry->outcome = outcome;
    entry->bytes = bytes;
    outcome->open++;
}

void outcome_wasted(struct stream *stream, uint64_t resource, enum tally_kind kind,
                    uint64_t bytes)
{
    struct conn *conn = stream->conn;
    struct worker *worker = conn->worker;
    const uint8_t *key = worker->handoff->segment->secrets->hash_key;
    struct tally_figures known;
    if (!worker->policies.active || !tally_read(&worker->tally, resource, &known))
        return; /* it was never pushed to anyone: that is no push's fault */
    struct ledger_entry of = {.resource = resource,
                              .site = identity_site(key, span_of(stream->site->names[0])),
                              .version = worker->policies.active->number};
    count(worker, &of, kind, bytes);
    stats_add(worker->stats, COUNTER_wasted_bytes, bytes);
    if (conn->outcomes)
        add(conn->outcomes, kind, bytes);
}

/* ---- settling ---- */

static void asset_arrived(struct conn *conn, struct outcome *outcome)
{
    uint64_t acked_us = conn->acked_us > outcome->began_us ? conn->acked_us : outcome->began_us + 1;
    if (acked_us > outcome->last_us)
        outcome->last_us = acked_us;
}

static const enum tally_kind KIND_OF_RESULT[] = {[PUSH_RESULT_DELIVERED] = TALLY_DELIVERED,
                                                 [PUSH_RESULT_CANCELLED] = TALLY_CANCELLED,
                                                 [PUSH_RESULT_REFUSED] = TALLY_REFUSED,
                                                 [PUSH_RESULT_LOST] = TALLY_LOST};

static void push_settled(struct conn *conn, struct ledger_entry *entry, enum tally_kind kind)
{
    struct worker *worker = conn->worker;
    if (entry->ended != TALLY_PROMISED) {
        count_again(worker, entry, kind);
    } else {
        count(worker, entry, kind, entry->bytes);
        if (kind != TALLY_DELIVERED)
            stats_add(worker->stats, COUNTER_wasted_bytes, entry->bytes);
        if (entry->outcome)
            add(entry->outcome, kind, entry->bytes);
    }
    entry->ended = (uint8_t)kind;
}

void outcome_settled(struct conn *conn, struct ledger_entry *entry, enum push_result result)
{
    struct outcome *outcome = entry->outcome;
    if (entry->pushed)
        push_settled(conn, entry, KIND_OF_RESULT[result]);
    if (!outcome)
        return;
    entry->outcome = NULL;
    outcome->open--;
    if (!entry->pushed)
        outcome->fetched_bytes += entry->bytes;
    if (result == PUSH_RESULT_DELIVERED)
        asset_arrived(conn, outcome);
    close_when_done(conn, outcome);
}

void outcome_page_over(struct page *page)
{
    struct outcome *outcome = page->outcome;
    struct stream *stream = page->stream;
    if (!outcome)
        return;
    page->outcome = NULL;
    outcome->page_open = false;
    outcome->page_bytes = stream->content_sent;
    close_when_done(stream->conn, outcome);
}

void outcomes_abandon(struct conn *conn)
{
    struct outcome *next;
    for (struct outcome *outcome = conn->outcomes; outcome; outcome = next) {
        next = outcome->next;
        outcome->over = true;
        close_when_done(conn, outcome);
    }
}

bool outcomes_are_timed(const struct conn *conn)
{
    for (const struct outcome *outcome = conn->outcomes; outcome; outcome = outcome->next)
        if (outcome->trial && outcome->open)
            return true;
    return false;
}

bool outcome_figures(void *context, const struct request *request, struct span path,
                     struct tally_figures *figures)
{
    struct worker *worker = context;
    const struct page *page = request->context;
    const uint8_t *key = worker->handoff->segment->secrets->hash_key;
    uint64_t resource = identity_resource(key, span_of(page->site->names[0]), path);
    return tally_read(&worker->tally, resource, figures);
}

/* ---- telling ---- */

static uint64_t waste_of(const struct outcome *outcome)
{
    uint64_t bytes[TALLY_KINDS];
    for (unsigned kind = 0; kind < TALLY_KINDS; kind++)
        bytes[kind] = outcome->kinds[kind].bytes;
    return tally_waste_bytes(bytes);
}

static uint64_t pushed_bytes(const struct outcome *outcome)
{
    return outcome->kinds[TALLY_DELIVERED].bytes + outcome->kinds[TALLY_CANCELLED].bytes +
           outcome->kinds[TALLY_REFUSED].bytes + outcome->kinds[TALLY_LOST].bytes;
}

static uint64_t last_asset_us(const struct outcome *outcome)
{
    return outcome->last_us > outcome->began_us ? outcome->last_us - outcome->began_us : 0;
}

static void log_outcome(struct worker *worker, const struct outcome *outcome)
{
    struct log *log = &worker->access.log;
    char time_text[LOG_TIME_MAX];
    if (worker->access.fd < 0)
        return;
    log_begin(log);
    log_string(log, "time", span_of(log_time(time_text)));
    log_string(log, "settled", span_of(outcome->request_id));
    log_string(log, "client", span_of(outcome->client));
    if (outcome->version)
        log_number(log, "policy_version", (int64_t)outcome->version);
    if (outcome->trial)
        log_string(log, "arm",
                   outcome->arm == FIGURES_HELD_OUT ? SPAN_LITERAL("holdout")
                                                    : SPAN_LITERAL("served"));
    for (unsigned kind = 0; kind < TALLY_KINDS; kind++)
        if (outcome->kinds[kind].count)
            log_number(log, tally_kind_name((enum tally_kind)kind), outcome->kinds[kind].count);
    log_number(log, "pushed_bytes", (int64_t)pushed_bytes(outcome));
    log_number(log, "wasted_bytes", (int64_t)waste_of(outcome));
    if (last_asset_us(outcome))
        log_number(log, "last_asset_us", (int64_t)last_asset_us(outcome));
    log_end(log);
}

static void count_page(struct worker *worker, const struct outcome *outcome)
{
    struct figures_row *row = figures_row(&worker->figures, outcome->site, outcome->version);
    struct figures_page page = {.time_us = last_asset_us(outcome),
                                .bytes = outcome->page_bytes + outcome->fetched_bytes +
                                         pushed_bytes(outcome),
                                .waste = waste_of(outcome)};
    if (row)
        figures_page(row, (enum figures_means)outcome->means, (enum figures_arm)outcome->arm,
                     &page);
}

/* Of all that was to be pushed another connection may have won the claims. */
static bool is_anything(const struct outcome *outcome)
{
    return outcome->kinds[TALLY_PROMISED].count || outcome->assets_count;
}

static void close_when_done(struct conn *conn, struct outcome *outcome)
{
    struct outcome **at = &conn->outcomes;
    if (outcome->open || outcome->page_open || (outcome->awaited && !outcome->over))
        return;
    while (*at != outcome)
        at = &(*at)->next;
    *at = outcome->next;
    if (outcome->trial && is_anything(outcome))
        count_page(conn->worker, outcome);
    if (is_anything(outcome))
        log_outcome(conn->worker, outcome);
    outcome_destroy(conn->worker, outcome);
}

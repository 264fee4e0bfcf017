#include "worker/push.h"

#include "worker/outcome.h"
#include "worker/page.h"
#include "worker/stream.h"

#include <inttypes.h>
#include <stdio.h>

#define PROMISES_JUDGED_FROM 4 /* promises: from here on half of them refused is too many */

enum reason push_refusal(const struct stream *stream)
{
    const struct conn *conn = stream->conn;
    const struct segment_header *header = conn->worker->handoff->segment->header;
    const struct config_site *site = stream->site;
    if (segment_push_is_off(header, site->names_count ? site->names[0] : "*"))
        return REASON_SWITCHED_OFF;
    if (!session_push_enabled(&conn->session))
        return REASON_PUSH_DISABLED;
    if (http2_streams_max(conn->session.http2) == 0)
        return REASON_CLIENT_LIMIT;
    if (conn->goaway_received || conn->notice_ms)
        return REASON_GOING_AWAY;
    return conn->push_off ? REASON_PUSH_OFF : REASON_PENDING;
}

/* ---- urgency (RFC 9218 4.1) ---- */

/* The page's own priority, by what nghttp2 orders it by: the request's field, and above that what
 * was said after the request. */
static void read_priority(struct page *page)
{
    const struct request *request = &page->request;
    const struct stream *stream = page->stream;
    struct span field =
        field_find(request->fields, request->fields_count, SPAN_LITERAL("priority"));
    if (stream->update.said && (!stream->update_is_early || !field.length))
        page->priority = stream->update;
    else
        page->priority = priority_read(field);
    page->priority.said = stream->update.said || field.length;
}

/* Pushes rank behind their page; what blocks rendering goes before what does not. */
static uint8_t urgency_of(const struct page *page, const struct candidate *candidate)
{
    if (candidate->urgency != CANDIDATE_URGENCY_UNSET)
        return candidate->urgency;
    bool blocks =
        candidate->as == AS_STYLE || candidate->as == AS_SCRIPT || candidate->as == AS_FONT;
    unsigned least = page->priority.urgency > PRIORITY_URGENCY_DEFAULT ? page->priority.urgency
                                                                       : PRIORITY_URGENCY_DEFAULT;
    unsigned urgency = least + (blocks ? 1U : 2U);
    return (uint8_t)(urgency < PRIORITY_URGENCY_LAST ? urgency : PRIORITY_URGENCY_LAST);
}

/* Once the page is out, a push ranks as if its client had asked for it: as browsers ask, if this
 * one does say what matters to it; else as everything that is asked for, and what is not blocking
 * after that. Otherwise what a page waits for would starve behind its pictures. */
static void rank_late(const struct page *page, const struct candidate *candidate,
                      struct stream *pushed)
{
    bool blocks =
        candidate->as == AS_STYLE || candidate->as == AS_SCRIPT || candidate->as == AS_FONT;
    pushed->late_urgency = pushed->urgency;
    pushed->late_incremental = pushed->incremental;
    if (candidate->urgency != CANDIDATE_URGENCY_UNSET)
        return;
    if (!page->priority.said)
        pushed->late_urgency = blocks ? PRIORITY_URGENCY_DEFAULT : PRIORITY_URGENCY_DEFAULT + 1;
    else if (blocks)
        pushed->late_urgency = candidate->as == AS_STYLE ? 0 : 1;
    else
        pushed->late_urgency = PRIORITY_URGENCY_DEFAULT;
    pushed->late_incremental = candidate->incremental || (page->priority.said && !blocks);
}

/* Ahead of the rest of its page, by the policy's word. No urgency is below 0, but an incremental
 * page shares its own. */
static bool goes_ahead(const struct page *page, const struct candidate *candidate)
{
    uint8_t urgency = candidate->urgency;
    return urgency != CANDIDATE_URGENCY_UNSET &&
           (urgency < page->priority.urgency ||
            (urgency == page->priority.urgency && page->priority.incremental));
}

/* ---- limits ---- */

#define FIGURES_MAX 96

/* In the order of the policies: what does not fit is left out, what comes after it may fit. The
 * figures tell why. */
static bool fits_budget(struct page *page, struct candidate *candidate)
{
    char text[FIGURES_MAX];
    struct decision *decision = &page->decision;
    page_measure(page);
    uint64_t budget = goes_ahead(page, candidate) ? page->budget.ahead : page->budget.behind;
    if (budget_fits(budget, decision->bytes, decision->accepted, candidate->size))
        return true;
    int length = snprintf(text, sizeof(text), "size=%" PRIu64 " budget=%" PRIu64 " taken=%" PRIu64,
                          candidate->size, budget, decision->bytes);
    candidate->why = decision_text(decision, span_make(text, (size_t)length));
    return false;
}

/* Whether the page's limits leave room for this candidate. */
static enum reason check_limits(struct page *page, struct candidate *candidate)
{
    const struct stream *stream = page->stream;
    struct conn *conn = stream->conn;
    const struct config_push *push = &stream->route->push;
    if (candidate->size > push->max_bytes)
        return REASON_TOO_LARGE;
    if (page->decision.bytes + candidate->size > push->max_bytes)
        return REASON_MAX_BYTES;
    unsigned own = page->is_shadow ? page->decision.accepted : 0; /* they would be open by now */
    if (page->held_out && page->decision.accepted >= push->max_streams)
        return REASON_MAX_STREAMS;
    if (!fits_budget(page, candidate))
        return REASON_OVER_BUDGET;
    if (conn->ledger.pushes_open + own >= push->max_streams || !ledger_reserve(&conn->ledger))
        return REASON_MAX_STREAMS;
    if (conn->ledger.pushes_open + own >= http2_streams_max(conn->session.http2))
        return REASON_CLIENT_LIMIT;
    return REASON_PENDING;
}

static enum reason refusal_of_claim(enum push_answer answer)
{
    switch (answer) {
    case PUSH_HELD:
        return REASON_HELD;
    case PUSH_DECLINED:
        return REASON_DECLINED;
    case PUSH_FULL:
        return REASON_TABLE_FULL;
    default:
        return REASON_ELSEWHERE;
    }
}

static void record(struct page *page, unsigned i, struct stream *pushed, struct push_key key,
                   const struct push_token *token)
{
    struct stream *stream = page->stream;
    struct conn *conn = stream->conn;
    struct ledger_entry *entry = ledger_open(&conn->ledger, pushed->id);
    entry->pushed = true;
    entry->key = key;
    entry->token = *token;
    entry->validator = resource_validator(pushed->resource);
    entry->standing = (uint8_t)stream->client.standing;
    entry->passing = stream->client.passing;
    entry->life_s = client_life(&stream->client, stream->site, pushed->response.ttl_s);
    entry->declined_s = client_declined(&stream->client, stream->site);
    entry->candidate = i;
    outcome_promised(page, i, entry);
    if (page->version && page->version->vm && policy_wants_results(page->policies))
        entry->page = page_hold(page);
    conn->ledger.pushes_open++;
    pushed->unwritten = true;
    pushed->candidate = i;
    conn->promises_unwritten++;
}

/* Promises a candidate that was claimed. Returns the verdict. */
static enum reason promise(struct page *page, unsigned i, struct push_key key,
                           struct push_token *token)
{
    struct candidate *candidate = &page->decision.items[i];
    struct stream *stream = page->stream;
    struct resource *resource = candidate->resource;
    struct stream *pushed =
        stream_for_push(stream, candidate, config_route(stream->site, resource->path));
    if (!pushed)
        return REASON_NO_MEMORY;
    pushed->urgency = urgency_of(page, candidate);
    pushed->ahead = goes_ahead(page, candidate);
    pushed->incremental = candidate->incremental;
    rank_late(page, candidate, pushed);
    const struct request *request = &pushed->request;
    if (stream->site->remember_s && !push_table_token_live(&page->worker->pushes, token)) {
        stream_discard(pushed);
        return REASON_ELSEWHERE;
    }
    pushed->id =
        http2_promise(stream->conn->session.http2, stream->id, request->scheme, pushed->authority,
                      pushed->target, request->fields, request->fields_count, pushed);
    if (pushed->id < 0) {
        stream_discard(pushed);
        return REASON_PROTOCOL;
    }
    record(page, i, pushed, key, token);
    return REASON_PUSHED;
}

static enum reason claim_and_promise(struct page *page, unsigned i)
{
    struct candidate *candidate = &page->decision.items[i];
    struct stream *stream = page->stream;
    struct push_table *table = &page->worker->pushes;
    struct push_token token = {0};
    struct push_key key = page->lookups[i].key;
    if (page->is_shadow) {
        page->decision.accepted++;
        page->decision.bytes += candidate->size;
        return REASON_PUSHED;
    }
    if (!outcome_begin(page))
        return REASON_NO_MEMORY;
    if (stream->site->remember_s) { /* else what nobody keeps is nobody's either */
        enum push_answer answer = push_table_claim(
            table, key, resource_validator(candidate->resource), stream->client.standing, &token);
        if (answer != PUSH_CLAIMED)
            return refusal_of_claim(answer);
    }
    enum reason verdict = promise(page, i, key, &token);
    if (verdict == REASON_PUSHED) {
        page->decision.accepted++;
        page->decision.bytes += candidate->size;
    } else {
        push_table_settle(table, &token, PUSH_ABSENT, 0);
    }
    return verdict;
}

/* Hints, and what clients that are held out would have got, come by their own requests, which the
 * experiment waits for. */
static void await(struct page *page, unsigned i)
{
    if (!page->is_shadow && page->stream->route->push.holdout &&
        page->decision.items[i].kind == CANDIDATE_PUSH && outcome_begin(page))
        outcome_awaits(page, i);
}

static enum reason hint(struct page *page, unsigned i)
{
    await(page, i);
    return REASON_HINTED;
}

/* Counted as if it were pushed, so that the policies see what they would have seen. */
static enum reason hold_out(struct page *page, unsigned i)
{
    struct candidate *candidate = &page->decision.items[i];
    await(page, i);
    if (candidate->kind == CANDIDATE_PUSH) {
        page->decision.accepted++;
        page->decision.bytes += candidate->size;
    }
    return REASON_HOLDOUT;
}

/* The verdict on a candidate that was found, is not held, and that no limit stops. */
static enum reason carry_out(struct page *page, unsigned i)
{
    struct candidate *candidate = &page->decision.items[i];
    bool hints = page->request.client.can_hints;
    if (page->no_push == REASON_SWITCHED_OFF || (page->no_push != REASON_PENDING && !hints))
        return page->no_push;
    if (candidate->kind == CANDIDATE_PUSH && !hints) {
        enum reason reason = check_limits(page, candidate);
        if (reason != REASON_PENDING)
            return reason;
    }
    if (!page->version || !page->version->vm) /* cut off after many later ones */
        return REASON_POLICY_FAILED;
    if (!page->is_shadow)
        stats_add(page->worker->stats, COUNTER_policy_calls, 1);
    page_enter(page);
    policy_on_push(page->version->vm, page->policies, &page->request, &page->decision, candidate);
    page_leave_hooks(page);
    if (candidate->verdict != REASON_PENDING)
        return candidate->verdict;
    if (page->held_out)
        return hold_out(page, i);
    if (candidate->kind == CANDIDATE_HINT || hints)
        return hint(page, i);
    return claim_and_promise(page, i);
}

static enum reason judge(struct page *page, unsigned i)
{
    struct candidate *candidate = &page->decision.items[i];
    if (candidate->verdict != REASON_PENDING)
        return candidate->verdict;
    if (candidate->kind == CANDIDATE_PRECONNECT) {
        if (page->no_push == REASON_SWITCHED_OFF)
            return page->no_push;
        return page->held_out ? REASON_HOLDOUT : REASON_HINTED;
    }
    if (!candidate->resolved)
        return REASON_UNREADABLE;
    return carry_out(page, i);
}

/* Counted once a page, however many rounds it has. */
static void count_holdout(struct page *page)
{
    if (!page->holdout_counted)
        stats_add(page->worker->stats, COUNTER_holdouts, 1);
    page->holdout_counted = true;
}

/* What stops pushes may have come while the candidates were looked up. What stopped them when the
 * policies were asked does so to the end of the round, whose budget is for that. */
static void refuse_again(struct page *page)
{
    enum reason now = push_refusal(page->stream);
    if (page->no_push == REASON_PENDING || now == REASON_SWITCHED_OFF)
        page->no_push = now;
}

void push_execute(struct page *page)
{
    unsigned first = page->judged, hinted = 0, held_out = 0;
    refuse_again(page);
    if (!first)
        read_priority(page);
    for (unsigned i = first; i < page->decision.count; i++) {
        struct candidate *candidate = &page->decision.items[i];
        candidate->verdict = judge(page, i);
        if (page->is_shadow)
            continue;
        if (candidate->verdict != REASON_PUSHED) /* else once it is so: push_promised */
            stats_verdict(page->worker->stats, candidate->verdict);
        hinted += candidate->verdict == REASON_HINTED;
        held_out += candidate->verdict == REASON_HOLDOUT;
    }
    page->judged = page->decision.count;
    if (held_out)
        count_holdout(page);
    if (hinted)
        stats_add(page->worker->stats, COUNTER_hints, hinted);
    page->hinted += hinted;
}

void push_abandon(struct page *page)
{
    for (unsigned i = page->judged; i < page->decision.count; i++) {
        struct candidate *candidate = &page->decision.items[i];
        if (candidate->verdict == REASON_PENDING)
            candidate->verdict = REASON_NO_PAGE;
        stats_verdict(page->worker->stats, candidate->verdict);
    }
    page->judged = page->decision.count;
}

void push_promised(struct stream *stream)
{
    struct conn *conn = stream->conn;
    stream->unwritten = false;
    conn->promises_unwritten--;
    conn->promises++;
    stats_add(conn->worker->stats, COUNTER_promises, 1);
    stats_verdict(conn->worker->stats, REASON_PUSHED);
    http2_prioritize(conn->session.http2, stream->id, stream->urgency, stream->incremental);
}

static struct stream *page_of(const struct stream *pushed)
{
    struct stream *stream = pushed->conn->streams;
    while (stream && stream->id != pushed->parent_id)
        stream = stream->next;
    return stream;
}

void push_not_promised(struct stream *stream)
{
    struct conn *conn = stream->conn;
    struct stream *parent = page_of(stream);
    enum reason verdict = push_refusal(stream);
    if (verdict == REASON_PENDING)
        verdict = REASON_PROTOCOL;
    stream->unwritten = false;
    conn->promises_unwritten--;
    stats_verdict(conn->worker->stats, verdict);
    if (parent && parent->page)
        parent->page->decision.items[stream->candidate].verdict = verdict;
}

void push_page_ends(struct stream *page)
{
    struct conn *conn = page->conn;
    for (struct stream *stream = conn->streams; conn->promises_unwritten && stream;
         stream = stream->next)
        if (stream->unwritten && stream->parent_id == page->id)
            push_not_promised(stream);
}

static void count_refusal(struct conn *conn)
{
    conn->refusals++;
    if (conn->push_off || conn->promises < PROMISES_JUDGED_FROM ||
        conn->refusals * 2 < conn->promises)
        return;
    conn->push_off = true;
    stats_add(conn->worker->stats, COUNTER_push_off, 1);
}

void push_result(void *context, struct ledger_entry *entry, enum push_result result)
{
    struct conn *conn = context;
    if (!entry->pushed) {
        outcome_settled(conn, entry, result);
        return;
    }
    if (result == PUSH_RESULT_CANCELLED || result == PUSH_RESULT_REFUSED)
        count_refusal(conn);
    outcome_settled(conn, entry, result);
    struct page *page = entry->page;
    if (!page)
        return;
    entry->page = NULL;
    if (page->version && page->version->vm) {
        page_enter(page);
        policy_on_push_result(page->version->vm, page->policies, &page->request,
                              &page->decision.items[entry->candidate], result);
        page_leave_hooks(page);
    }
    page_release(page);
}

struct ledger_sink conn_sink(struct conn *conn)
{
    return (struct ledger_sink){.table = &conn->worker->pushes,
                                .stats = conn->worker->stats,
                                .result = push_result,
                                .context = conn};
}

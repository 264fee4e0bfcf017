#include "worker/page_parts.h"

#include "worker/outcome.h"
#include "worker/page_queue.h"
#include "worker/push.h"
#include "worker/shadow.h"
#include "worker/stream.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define PAGES_KEPT 64

/* ---- life ---- */

static struct page *page_create(struct stream *stream)
{
    struct worker *worker = stream->conn->worker;
    struct page *page = worker->free_pages;
    if (page) {
        worker->free_pages = page->next_free;
        worker->free_pages_count--;
    } else {
        page = malloc(sizeof(*page));
    }
    if (!page || !page_make_room_for_timer(worker)) {
        free(page);
        return NULL;
    }
    memset(page, 0, offsetof(struct page, decision));
    page->worker = worker;
    page->stream = stream;
    page->site = stream->site;
    page->request = stream->request;
    page->request.context = page;
    page->references = 1;
    decision_reset(&page->decision);
    return page;
}

static void let_version_go(struct page *page)
{
    if (page->version && page->version->vm)
        policy_request_done(page->version->vm, &page->request);
    policy_version_release(page->version);
    page->version = NULL;
    page->policies = NULL;
}

static void page_destroy(struct page *page)
{
    struct worker *worker = page->worker;
    let_version_go(page);
    for (unsigned i = 0; i < page->decision.count; i++)
        resource_release(page->decision.items[i].resource);
    header_list_release(page->headers);
    free(page->long_text);
    if (worker->free_pages_count >= PAGES_KEPT) {
        free(page);
        return;
    }
    page->next_free = worker->free_pages;
    worker->free_pages = page;
    worker->free_pages_count++;
}

void pages_finish(struct worker *worker)
{
    while (worker->free_pages) {
        struct page *page = worker->free_pages;
        worker->free_pages = page->next_free;
        free(page);
    }
}

struct page *page_hold(struct page *page)
{
    page->references++;
    return page;
}

void page_release(struct page *page)
{
    if (--page->references == 0)
        page_destroy(page);
}

static void move_span(struct span *span, const char *from, char *to)
{
    if (span->data >= from && span->data < from + STREAM_TEXT_MAX)
        span->data = to + (span->data - from);
}

/* Pushes whose results are wanted outlive the stream: what its facts borrow from comes along. */
static void take_over(struct page *page, struct stream *stream)
{
    page->headers = stream->headers;
    page->long_text = stream->long_text;
    stream->headers = NULL;
    stream->long_text = NULL;
    memcpy(page->text, stream->text, STREAM_TEXT_MAX);
    move_span(&page->request.host, stream->text, page->text);
    move_span(&page->request.path, stream->text, page->text);
    move_span(&page->request.query, stream->text, page->text);
}

void page_leave(struct page *page)
{
    struct stream *stream = page->stream;
    page_queue_leave(page);
    if (page->shadow)
        page_leave(page->shadow);
    page->shadow = NULL;
    page_stop_resolving(page);
    outcome_page_over(page);
    page->stream = NULL;
    if (page->references > 1)
        take_over(page, stream);
    page_release(page);
}

/* ---- its course ---- */

static void finish(struct page *page)
{
    page->carried_out = true;
    shadow_compare(page);
    if (page->references == 1) /* no policy waits for a result */
        let_version_go(page);
    stream_answer(page->stream);
}

/* The shadow looks before the page itself claims anything. */
static void begin_shadow(struct page *page)
{
    struct policy_version *version =
        policy_versions_take_shadow(&page->worker->policies, page->version);
    bool wanted = version && shadow_affordable(page->worker);
    struct page *shadow = wanted ? page_create(page->stream) : NULL;
    if (!shadow) {
        policy_version_release(version);
        return;
    }
    page->shadow = shadow;
    shadow->is_shadow = true;
    shadow->first = page->first;
    shadow->responded = page->responded;
    shadow->told = page->told;
    shadow->no_push = page->no_push;
    shadow->held_out = page->held_out;
    page_set_version(shadow, version);
    page_ask(shadow, shadow->first);
    page_resolve(shadow);
}

void page_decide_now(struct page *page)
{
    page_ask(page, page->first);
    begin_shadow(page);
    page_resolve(page);
}

/* What the shadow had not found yet when its page had done with the round before, it leaves out. */
static void next_shadow_round(struct page *shadow, const struct page *page, enum page_about about)
{
    if (shadow->resolving)
        page_round_over(shadow);
    shadow->responded = page->responded;
    shadow->told = page->told;
    shadow->passing = page->passing;
    shadow->no_push = page->no_push;
    shadow->measured = false;
    page_ask(shadow, about);
    page_resolve(shadow);
}

/* Something came after a round went out: what that adds is one more. The path, and what the client
 * takes, may have changed since. */
static void next_round(struct page *page, enum page_about about)
{
    page->no_push = push_refusal(page->stream);
    page->measured = false;
    page_ask(page, about);
    if (page->shadow)
        next_shadow_round(page->shadow, page, about);
    page_resolve(page);
}

/* Goes on with what came meanwhile, in its order. */
static void go_on(struct page *page)
{
    page->passing = page->interim;
    if (page->interim) {
        page->interim = page->interim->next;
        next_round(page, PAGE_INTERIM);
    } else if (page->responded) {
        page->told = true;
        next_round(page, PAGE_RESPONSE);
    }
}

void page_round_over(struct page *page)
{
    unsigned first = page->judged;
    page_stop_resolving(page);
    push_execute(page);
    if (page->is_shadow) {
        page->carried_out = page->told;
        return;
    }
    if (page->passing)
        hints_pass(page->stream, page->passing, first);
    else if (page->hinted)
        hints_send(page, first);
    if (page->told) {
        finish(page);
    } else {
        conn_dirty(page->stream->conn);
        go_on(page);
    }
}

/* first: what the first round is about; last: there will be no other. */
static bool begin(struct stream *stream, unsigned first, bool last)
{
    struct worker *worker = stream->conn->worker;
    struct request *request = &stream->request;
    worker_request_id(worker, request->id);
    identity_client_text(worker->handoff->segment->secrets->log_key, stream->client.stored,
                         request->client.id);
    request->client.identified_by = stream->client.by;
    struct page *page = page_create(stream);
    if (!page)
        return false;
    stream->page = page;
    page->first = first;
    page->responded = page->told = last;
    page_set_version(page, policy_versions_take(&worker->policies, stream->client.stored));
    page->no_push = push_refusal(stream);
    page->held_out = outcome_holds_out(page);
    if (page_queue_enter(page))
        page_decide_now(page);
    return true;
}

bool page_decide(struct stream *stream)
{
    return begin(stream, PAGE_REQUEST | PAGE_RESPONSE, true);
}

bool page_begin(struct stream *stream)
{
    return begin(stream, PAGE_REQUEST, false);
}

bool page_foresee(struct stream *stream)
{
    return begin(stream, PAGE_REQUEST, true);
}

/* What was not carried out yet, for a response that is no page. */
static void give_up(struct page *page)
{
    page_queue_leave(page);
    page_stop_resolving(page);
    if (page->shadow)
        page_leave(page->shadow);
    page->shadow = NULL;
    page->interim = page->passing = NULL;
    push_abandon(page);
    page->told = true;
    finish(page);
}

void page_interim(struct stream *stream, const struct field *fields, size_t count)
{
    struct page *page = stream->page;
    struct interim *interim = hints_keep(&stream->interims, fields, count);
    if (!interim)
        return;
    if (!page) {
        hints_pass(stream, interim, 0);
        return;
    }
    assert(!page->responded);
    if (!page->interim)
        page->interim = interim;
    if (!list_has(&page->turn) && !page->resolving)
        go_on(page);
}

void page_respond(struct stream *stream)
{
    struct page *page = stream->page;
    int status = stream->response.status;
    assert(page && !page->responded);
    page->responded = true;
    if (status != 200 && status != 304)
        give_up(page);
    else if (!list_has(&page->turn) && !page->resolving)
        go_on(page);
}

#include "worker/learn.h"

#include "worker/page.h"
#include "worker/public.h"
#include "worker/stream.h"

#include <assert.h>
#include <stdlib.h>

#define VISITS_MAX 4   /* pages of one connection whose assets may still come */
#define VISIT_ASSETS_MAX 32  /* of one visit: more are not counted */

/* A page that was answered on this connection. */
struct visit {
    int32_t stream;       /* 0: none */
    bool watched;         /* what is asked for next counts */
    uint8_t assets;       /* that have counted */
    const struct config_site *site;
    uint64_t page;        /* what its assets are filed under */
    uint64_t path;        /* a hash of what a Referer would say */
    uint64_t client;      /* stored id */
    uint64_t answered_ms;
};

struct learn_visits {
    struct visit visits[VISITS_MAX];
    unsigned count; /* of all; the last one is at (count - 1) % VISITS_MAX */
};

static const uint8_t *hash_key(const struct worker *worker)
{
    return worker->handoff->segment->secrets->hash_key;
}

static uint64_t resource_of(const struct stream *stream, struct span path)
{
    return identity_resource(hash_key(stream->conn->worker), span_of(stream->site->names[0]), path);
}

static uint64_t now_s(const struct worker *worker)
{
    return worker->timers.now_ms / 1000;
}

/* ---- visits ---- */

static struct visit *visit_of_stream(struct learn_visits *visits, const struct stream *stream)
{
    for (unsigned i = 0; i < VISITS_MAX; i++)
        if (visits->visits[i].stream == stream->id)
            return &visits->visits[i];
    return NULL;
}

/* The visit that begins with this page; one that began is begun anew. */
static struct visit *visit_begin(struct stream *stream)
{
    struct conn *conn = stream->conn;
    if (!conn->visits)
        conn->visits = calloc(1, sizeof(*conn->visits));
    if (!conn->visits)
        return NULL;
    struct visit *visit = visit_of_stream(conn->visits, stream);
    if (!visit)
        visit = &conn->visits->visits[conn->visits->count++ % VISITS_MAX];
    *visit = (struct visit){.stream = stream->id,
                            .site = stream->site,
                            .path = identity_hash(hash_key(conn->worker), stream->request.path),
                            .answered_ms = conn->worker->timers.now_ms};
    return visit;
}

static bool is_open(const struct visit *visit, const struct stream *stream)
{
    return visit->stream && visit->site == stream->site &&
           stream->conn->worker->timers.now_ms - visit->answered_ms <= LEARN_WINDOW_MS;
}

/* The page that the stream's request belongs to. A Referer that is a page, but none of this
 * connection's, is another's; one that is no page is a stylesheet's or a script's. */
static struct visit *visit_of_asset(struct stream *stream)
{
    struct learn_visits *visits = stream->conn->visits;
    struct span referer = stream->request.referer_path;
    char decoded[DECISION_PATH_MAX + 1];
    struct span path, query;
    if (referer.length && referer.length <= DECISION_PATH_MAX &&
        respond_path(referer, decoded, &path, &query) == 0) {
        uint64_t hash = identity_hash(hash_key(stream->conn->worker), path);
        for (unsigned n = 1; n <= VISITS_MAX && n <= visits->count; n++) {
            struct visit *visit = &visits->visits[(visits->count - n) % VISITS_MAX];
            if (visit->path == hash && is_open(visit, stream))
                return visit;
        }
        if (asset_as_of_path(path) == AS_DOCUMENT)
            return NULL;
    }
    struct visit *last = &visits->visits[(visits->count - 1) % VISITS_MAX];
    return is_open(last, stream) ? last : NULL;
}

/* ---- assets ---- */

/* What the client got otherwise does not count: it is being pushed, or was believed held. */
static bool has_already(const struct stream *stream, uint64_t resource)
{
    struct worker *worker = stream->conn->worker;
    struct push_entry entry;
    push_table_inspect(&worker->pushes,
                       identity_push_key(hash_key(worker), stream->client.stored, resource),
                       &entry);
    return entry.answer == PUSH_HELD || entry.answer == PUSH_ELSEWHERE;
}

static bool holds(void *context, uint64_t resource)
{
    return has_already(context, resource);
}

static bool is_prefetch(const struct request *request)
{
    return field_find(request->fields, request->fields_count, SPAN_LITERAL("sec-purpose")).data ||
           field_find(request->fields, request->fields_count, SPAN_LITERAL("purpose")).data;
}

static bool note(struct stream *stream, uint64_t page, uint64_t resource, uint8_t place)
{
    struct worker *worker = stream->conn->worker;
    struct learned_asset asset = {
        .resource = resource,
        .as = (uint8_t)stream->request.dest,
        .crossorigin = span_equal(stream->request.mode, SPAN_LITERAL("cors")),
        .place = place,
    };
    bool noted = learned_note(&worker->learned, page, public_voter(stream), &asset, now_s(worker));
    stats_add(worker->stats, noted ? COUNTER_learned_notes : COUNTER_learned_refused, 1);
    return noted;
}

static void note_asset(struct stream *stream, struct visit *visit)
{
    struct worker *worker = stream->conn->worker;
    uint64_t resource = resource_of(stream, stream->target);
    if (has_already(stream, resource))
        return;
    public_note(stream);
    if (note(stream, visit->page, resource, visit->assets) && visit->assets == 0) {
        stats_add(worker->stats, COUNTER_learned_visits, 1);
        if (stream->client.standing == PUSH_KNOWN)
            learned_held(&worker->learned, visit->page, public_voter(stream), holds, stream,
                         now_s(worker));
    }
    visit->assets++;
}

void learn_answered(struct stream *stream)
{
    const struct request *request = &stream->request;
    assert(stream->conn->visits && !stream->pushed);
    if (stream->head || request->dest == AS_UNKNOWN)
        return;
    if (request->dest == AS_DOCUMENT) { /* what comes next is not the last page's */
        if (!visit_of_stream(stream->conn->visits, stream))
            visit_begin(stream);
        return;
    }
    struct visit *visit = visit_of_asset(stream);
    if (!visit || !visit->watched || visit->assets == VISIT_ASSETS_MAX ||
        stream->response.status != 200 || !public_answer(stream) || is_prefetch(request))
        return;
    stream_identify(stream);
    if (stream->client.stored == visit->client)
        note_asset(stream, visit);
}

/* ---- what policies ask ---- */

static unsigned name_items(struct worker *worker, const struct stream *stream,
                           const struct learned_asset *assets, unsigned count,
                           struct policy_learned *items, unsigned room)
{
    struct names_entry entry;
    unsigned named = 0;
    for (unsigned i = 0; i < count && named < room; i++) {
        uint32_t id = names_find(&worker->names, assets[i].resource, now_s(worker));
        if (!id || !names_read(&worker->names, id, &entry) ||
            !span_equal(entry.site, span_of(stream->site->names[0])))
            continue;
        struct policy_learned *item = &items[named++];
        memcpy(item->text, entry.path.data, entry.path.length);
        item->path = span_make(item->text, entry.path.length);
        item->as = assets[i].as < AS_KINDS ? (enum asset_as)assets[i].as : AS_UNKNOWN;
        item->crossorigin = assets[i].crossorigin;
    }
    return named;
}

/* A page asked for with credentials may be one person's: what it needs is not watched. */
static bool may_watch(const struct stream *stream)
{
    const struct request *request = &stream->request;
    return (request->client.can_push || request->client.can_hints) &&
           !field_find(request->fields, request->fields_count, SPAN_LITERAL("authorization")).data;
}

unsigned learn_host_next(void *context, const struct request *request, struct span page,
                         const struct learned_wish *wish, struct policy_learned *items,
                         unsigned room, const char **why)
{
    struct worker *worker = context;
    struct stream *stream = ((struct page *)request->context)->stream;
    struct learned_asset assets[LEARNED_CELLS];
    struct learned_page known;
    *why = "unknown";
    if (!stream)
        return 0;
    uint64_t key = resource_of(stream, page);
    unsigned count =
        learned_next(&worker->learned, key, wish, now_s(worker), assets, LEARNED_CELLS, &known);
    unsigned named = 0;
    if (count && learned_watches(&known, key, stream->client.stored))
        *why = "watched";
    else
        named = name_items(worker, stream, assets, count, items, room);
    bool is_shadow = ((struct page *)request->context)->is_shadow; /* its pushes are not made */
    struct visit *visit = is_shadow ? NULL : visit_begin(stream);
    if (visit) {
        visit->watched = named == 0 && may_watch(stream);
        visit->page = key;
        visit->client = stream->client.stored;
    }
    return named;
}

bool learn_host_note(void *context, const struct request *request, struct span page,
                     struct span path)
{
    const struct page *asking = request->context;
    struct stream *stream = asking->stream;
    (void)context;
    if (!stream || asking->is_shadow || span_find(path, '?') < path.length)
        return false;
    uint64_t resource = resource_of(stream, path);
    if (span_equal(path, stream->target)) {
        if (!public_answer(stream))
            return false;
        public_note(stream);
    }
    return note(stream, resource_of(stream, page), resource, 0);
}

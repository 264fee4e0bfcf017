/* What a client's own requests tell of what it holds. */
#include "worker/outcome.h"
#include "worker/stream.h"

/* Clients that take neither pushes nor hints are not identified: nothing is decided for them. Nor
 * is anything kept of a site's clients that keep nothing themselves. */
static bool is_remembered(const struct stream *stream)
{
    return stream->site->remember_s &&
           (session_push_enabled(&stream->conn->session) || stream->request.mode.length);
}

/* The client's own request tells what it will hold, or holds: settled like a push. */
void stream_remember(struct stream *stream)
{
    struct conn *conn = stream->conn;
    struct push_table *table = &conn->worker->pushes;
    const struct response *response = &stream->response;
    bool whole =
        response->status == 200 && response->body && response->length == response->body->size;
    if (stream->head || (!whole && response->status != 304) || !stream->resource ||
        !stream->resource->validator || !is_remembered(stream))
        return;
    stream_identify(stream);
    uint32_t life_s =
        response->cacheable ? client_life(&stream->client, stream->site, response->ttl_s) : 0;
    /* By the URL as it is written, query and encodings included, as candidates are. */
    uint64_t id = client_resource_found(conn, stream->site, stream->target, stream->resource);
    struct push_key key = client_resource_key(&stream->client, conn, id);
    uint16_t validator = resource_validator(stream->resource);
    enum push_answer known = push_table_peek(table, key, validator);
    bool believed = known == PUSH_HELD;
    struct outcome *outcome = outcome_of_request(conn, id);
    if (known == PUSH_ELSEWHERE) /* one of two copies is in vain, and of a 304's the pushed one */
        outcome_wasted(stream, id, TALLY_REDUNDANT,
                       whole ? response->length : stream->resource->codings[CODING_IDENTITY].size);
    if (response->status == 304) {
        if (outcome)
            outcome_asked(conn, outcome, NULL, 0);
        stats_add(conn->worker->stats, COUNTER_held_confirmed, believed);
        if (life_s)
            push_table_note(table, key, validator, PUSH_HELD, life_s, stream->client.standing);
        return;
    }
    if (believed) {
        stats_add(conn->worker->stats, COUNTER_wrong_beliefs, 1);
        outcome_wasted(stream, id, TALLY_REREQUESTED, response->length);
        push_table_forget(table, key);
    }
    struct ledger_entry *entry = life_s || outcome ? ledger_open(&conn->ledger, stream->id) : NULL;
    if (!entry)
        return;
    entry->key = key;
    entry->validator = validator;
    entry->life_s = life_s;
    entry->standing = (uint8_t)stream->client.standing;
    entry->passing = stream->client.passing;
    if (outcome)
        outcome_asked(conn, outcome, entry, response->length);
}

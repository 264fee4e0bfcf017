#include "worker/client.h"

#include "worker/conn.h"

#include <stdio.h>

/* Beliefs on probation are looked for this long after an id was minted: its first connection may
 * live for hours before the id comes back on another. */
#define RETURNED_S (24 * 3600)

static struct span cookie_name(const struct conn *conn)
{
    return conn_is_secure(conn) ? SPAN_LITERAL(IDENTITY_COOKIE_TLS)
                                : SPAN_LITERAL(IDENTITY_COOKIE_PLAIN);
}

/* The first cookie of that name in the request's Cookie fields, of which HTTP/2 may send several
 * (RFC 9113 8.2.3). */
static struct span cookie_find(struct span name, const struct field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct span list = fields[i].value;
        if (!span_equal(fields[i].name, SPAN_LITERAL("cookie")))
            continue;
        while (list.length) {
            struct span pair = span_next(&list, ';');
            size_t equals = span_find(pair, '=');
            if (equals < pair.length &&
                span_equal(span_make(pair.data, equals), name))
                return span_after(pair, equals + 1);
        }
    }
    return (struct span){0};
}

bool client_other_cookies(const struct conn *conn, const struct field *fields, size_t count)
{
    struct span name = cookie_name(conn);
    for (size_t i = 0; i < count; i++) {
        struct span list = fields[i].value;
        if (!span_equal(fields[i].name, SPAN_LITERAL("cookie")))
            continue;
        while (list.length) {
            struct span pair = span_next(&list, ';');
            if (pair.length && !span_equal(span_make(pair.data, span_find(pair, '=')), name))
                return true;
        }
    }
    return false;
}

/* The connection's own id: the TLS session's, or one minted now. */
static const struct client_id *connection_id(struct conn *conn)
{
    if (!conn->has_id) {
        conn->has_id = true;
        if (conn->tls)
            conn->id = tls_client_id(conn->tls);
        else
            identity_mint(&conn->id);
    }
    return &conn->id;
}

static uint64_t stored_id(const struct conn *conn, const struct config_site *site,
                          const struct client_id *id)
{
    const struct segment_secrets *secrets = conn->worker->handoff->segment->secrets;
    return identity_client(secrets->hash_key, id, span_of(site->names[0]));
}

static bool identify_by_cookie(struct client *client, struct conn *conn,
                               const struct config_site *site, const struct field *fields,
                               size_t count)
{
    const struct segment_secrets *secrets = conn->worker->handoff->segment->secrets;
    struct stats *stats = conn->worker->stats;
    struct span value = cookie_find(cookie_name(conn), fields, count);
    client->wants_cookie = site->remember_s != 0;
    if (!value.data)
        return false;
    struct known_cookie *known = &conn->cookie;
    if (known->site != site || !span_equal(value, span_make(known->value, sizeof(known->value)))) {
        known->site = NULL;
        if (!identity_cookie_read(secrets->cookie_key, span_of(site->names[0]), value,
                                  &known->id)) {
            stats_add(stats, COUNTER_cookies_rejected, 1);
            return false;
        }
        known->site = site; /* a cookie that was read is of just this length */
        memcpy(known->value, value.data, sizeof(known->value));
        known->stored = stored_id(conn, site, &known->id);
    }
    client->id = known->id;
    client->stored = known->stored;
    stats_add(stats, COUNTER_cookies_known, 1);
    client->wants_cookie = false;
    client->by = IDENTIFY_COOKIE;
    client->standing = PUSH_KNOWN;
    return true;
}

static bool identify_by_tls(struct client *client, struct conn *conn)
{
    if (!conn->tls || !tls_resumed(conn->tls))
        return false;
    stats_add(conn->worker->stats, COUNTER_tickets_known, 1);
    client->id = *connection_id(conn);
    client->by = IDENTIFY_TLS;
    client->standing = PUSH_KNOWN;
    return true;
}

void client_identify(struct client *client, struct conn *conn, const struct config_site *site,
                     const struct field *fields, size_t count)
{
    bool found = false;
    *client = (struct client){.known = true, .by = IDENTIFY_CONNECTION, .age_s = UINT32_MAX};
    if (conn->assumed && conn->assumed->has_client) {
        client->stored = conn->assumed->client;
        client->by = IDENTIFY_COOKIE;
        client->standing = PUSH_KNOWN;
        return;
    }
    client->passing = true;
    for (size_t i = 0; i < site->identify_count && !found; i++) {
        client->passing &= site->identify[i] == IDENTIFY_CONNECTION ||
                           (site->identify[i] == IDENTIFY_TLS && !conn->tls);
        if (site->identify[i] == IDENTIFY_COOKIE)
            found = identify_by_cookie(client, conn, site, fields, count);
        else if (site->identify[i] == IDENTIFY_TLS)
            found = identify_by_tls(client, conn);
    }
    if (found) {
        client->age_s = identity_age(&client->id);
    } else {
        client->id = *connection_id(conn);
        client->standing = PUSH_ON_PROBATION;
    }
    if (client->by != IDENTIFY_COOKIE)
        client->stored = stored_id(conn, site, &client->id);
}

struct span client_cookie(const struct client *client, const struct conn *conn,
                          const struct config_site *site, char *text)
{
    const struct segment_secrets *secrets = conn->worker->handoff->segment->secrets;
    char value[IDENTITY_COOKIE_LENGTH + 1];
    identity_cookie_make(secrets->cookie_key, span_of(site->names[0]), &client->id, value);
    int length = snprintf(text, CLIENT_COOKIE_MAX, "%.*s=%s; Path=/; Max-Age=%u; HttpOnly%s",
                          SPAN_PRINT(cookie_name(conn)), value, site->remember_s,
                          conn_is_secure(conn) ? "; Secure; SameSite=Lax" : "; SameSite=Lax");
    return span_make(text, (size_t)length);
}

uint64_t client_resource(const struct conn *conn, const struct config_site *site,
                         struct span path)
{
    const uint8_t *key = conn->worker->handoff->segment->secrets->hash_key;
    return identity_resource(key, span_of(site->names[0]), path);
}

uint64_t client_resource_found(const struct conn *conn, const struct config_site *site,
                               struct span path, struct resource *resource)
{
    if (!span_equal(path, resource->path)) /* a query, or encodings */
        return client_resource(conn, site, path);
    if (resource->known_site != site) {
        resource->known_id = client_resource(conn, site, path);
        resource->known_site = site;
    }
    return resource->known_id;
}

struct push_key client_resource_key(const struct client *client, const struct conn *conn,
                                    uint64_t resource)
{
    const uint8_t *key = conn->worker->handoff->segment->secrets->hash_key;
    return identity_push_key(key, client->stored, resource);
}

struct push_key client_key(const struct client *client, const struct conn *conn,
                           const struct config_site *site, struct span path)
{
    return client_resource_key(client, conn, client_resource(conn, site, path));
}

/* An id that never came back may be anyone's: what is noted of it ends soon. */
static uint32_t bounded(const struct client *client, uint32_t life_s)
{
    bool probation = client->standing == PUSH_ON_PROBATION && life_s > PUSH_PROBATION_S;
    return probation ? PUSH_PROBATION_S : life_s;
}

uint32_t client_life(const struct client *client, const struct config_site *site, uint32_t ttl_s)
{
    return bounded(client, ttl_s < site->remember_s ? ttl_s : site->remember_s);
}

uint32_t client_declined(const struct client *client, const struct config_site *site)
{
    return site->remember_s ? bounded(client, site->declined_s) : 0;
}

bool client_lift(const struct client *client, const struct conn *conn,
                 const struct config_site *site, struct push_key key, uint16_t validator,
                 enum push_answer answer, uint32_t ttl_s)
{
    struct worker *worker = conn->worker;
    uint32_t life_s = answer == PUSH_DECLINED ? client_declined(client, site)
                                              : client_life(client, site, ttl_s);
    if (client->age_s > RETURNED_S || life_s <= PUSH_PROBATION_S ||
        !push_table_lift(&worker->pushes, key, validator, answer, life_s, client->age_s))
        return false;
    stats_add(worker->stats, COUNTER_beliefs_lifted, 1);
    return true;
}

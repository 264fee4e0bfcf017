/* Which client is this: by cookie, TLS ticket or connection, in the site's order. */
#ifndef HERALD_CLIENT_H
#define HERALD_CLIENT_H

#include "master/handoff/config.h"
#include "policy/identity.h"
#include "policy/push_table.h"
#include "policy/request.h"

#include <stdbool.h>

struct conn;
struct resource;

struct client {
    bool known;          /* the members below are set */
    uint64_t stored;     /* what shared memory knows it by, for this site */
    struct client_id id;
    enum config_identify by;
    enum push_standing standing; /* whether the id ever came back */
    uint32_t age_s;              /* KNOWN: since its id was minted; else, and when nobody can tell,
                                  * UINT32_MAX */
    bool passing;                /* nothing carries the id beyond its connection */
    bool wants_cookie;           /* the site identifies by cookie and none came */
};

#define CLIENT_COOKIE_MAX 192

/* Identifies the sender of a request with these fields. */
void client_identify(struct client *client, struct conn *conn, const struct config_site *site,
                     const struct field *fields, size_t count);

/* Whether any cookie came that is not ours: then the answer may be one person's. */
bool client_other_cookies(const struct conn *conn, const struct field *fields, size_t count);

/* The Set-Cookie value for the client. `text` has room for CLIENT_COOKIE_MAX bytes. */
struct span client_cookie(const struct client *client, const struct conn *conn,
                          const struct config_site *site, char *text);

/* The site's resource of that path, as shared memory knows it. */
uint64_t client_resource(const struct conn *conn, const struct config_site *site,
                         struct span path);

/* The same, when `resource` was found there: it remembers the answer. */
uint64_t client_resource_found(const struct conn *conn, const struct config_site *site,
                               struct span path, struct resource *resource);

/* Where the push table keeps what the client knows of that resource. */
struct push_key client_resource_key(const struct client *client, const struct conn *conn,
                                    uint64_t resource);

/* The same, of `path`. */
struct push_key client_key(const struct client *client, const struct conn *conn,
                           const struct config_site *site, struct span path);

/* How long a fresh response is believed held: at most `remember`, less for a client whose id never
 * came back; 0: not at all. */
uint32_t client_life(const struct client *client, const struct config_site *site, uint32_t ttl_s);

/* The same for a promise that the client refused. */
uint32_t client_declined(const struct client *client, const struct config_site *site);

/* Whether client_lift may find anything to prolong: not when nobody can tell the id's age. */
static inline bool client_may_lift(const struct client *client)
{
    return client->age_s != UINT32_MAX;
}

/* The push table says `answer` (PUSH_HELD or PUSH_DECLINED) of a response that is fresh for `ttl_s`.
 * If that was noted before the client's id first came back, it is believed from now on as long as
 * it would have been without probation. Returns whether it was. */
bool client_lift(const struct client *client, const struct conn *conn,
                 const struct config_site *site, struct push_key key, uint16_t validator,
                 enum push_answer answer, uint32_t ttl_s);

#endif

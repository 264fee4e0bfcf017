/* What the files of proxy.h share among themselves: exchanges for a stream (proxy.c), and by way of
 * the cache (proxy_cache.c). */
#ifndef HERALD_PROXY_PARTS_H
#define HERALD_PROXY_PARTS_H

#include "worker/proxy.h"

/* What an origin is asked. Borrowed for the call. */
struct proxy_question {
    const struct config_route *route;
    struct span method, scheme, authority, target;
    struct span protocol; /* that it was received by */
    const char *peer;
    const struct field *fields;
    size_t fields_count;
    int64_t length; /* of its content; 0: it has none, -1: not known */
};

/* ---- proxy.c ---- */

/* Asks, for a fetch. Returns 0 or -ENOMEM. */
int proxy_ask(struct fetch *fetch, const struct proxy_question *question);

/* The same for the fetch's stream, with these fields in place of its own. */
int proxy_ask_for(struct fetch *fetch, const struct field *fields, size_t count);

struct fetch *proxy_fetch_create(struct worker *worker);
void proxy_fetch_destroy(struct fetch *fetch);

/* Answers the stream, which has no response yet, with a status; fetch->failure is logged. */
void proxy_fail(struct fetch *fetch, int status);
void proxy_log(struct fetch *fetch, int status);

/* ---- proxy_cache.c ---- */

/* Looks the stream's request up. True when it was answered, or waits, or is being fetched; false
 * when it is to be fetched for itself. The fetch may be gone. */
bool proxy_cache_begin(struct fetch *fetch);

/* A 103 of an exchange of a fill, for those who wait for what it brings. What was said in answer to
 * somebody's credentials is for that one alone. */
void proxy_cache_interim(struct fetch *fetch, const struct field *fields, size_t count);

/* The exchange of a fill: its head, whose fields are in fetch->fields (true: it is no stream's
 * alone, the fetch may be gone), its content (as of struct exchange_events), its end (the fetch is
 * gone). */
bool proxy_cache_head(struct fetch *fetch, int status, int64_t length);
bool proxy_cache_content(struct fetch *fetch, const void *data, size_t length);
void proxy_cache_end(struct fetch *fetch, bool whole, int status);

/* Who led leaves before there is a head. True when the fetch goes on for others. */
bool proxy_cache_leave(struct fetch *fetch);

/* The head of a response is known, in fetch->fields: what it references is noted, if it is a page
 * of a route with policies. `request` is what it answers. */
void proxy_cache_note_page(struct fetch *fetch, const struct config_route *route,
                           const struct cache_request *request, int status, int64_t length);

/* The head of a response that is the stream's alone: what it means for what is stored. */
void proxy_cache_note(struct fetch *fetch, int status, int64_t length);

#endif

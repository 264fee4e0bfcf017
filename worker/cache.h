/* What origins answered, kept for others: a shared cache (RFC 9111) in memory, one for each worker.
 *
 * A request finds a stored response, or leads the fetch of one (a *fill*), or waits for another
 * request's. What it gets is a struct resource like a file's, so that conditions, ranges, pushes
 * and what is known of clients work alike; its content may still be growing (growth.h). Nothing
 * here does I/O: who leads a fill fetches, and tells what comes.
 *
 *     switch (cache_find(cache, &request, &lookup)) {
 *     case CACHE_FOUND:  answer with lookup.resource, a reference that is the caller's
 *     case CACHE_WAITS:  lookup.found will be called with one of the others
 *     case CACHE_LEADS:  fetch, without the client's conditions and range, for lookup.fill
 *     case CACHE_PASS:   fetch for this request alone, as it is
 *     case CACHE_FAILED: lookup.status: the fetch that it waited for came to nothing
 *     }
 *
 * What requests say in Cache-Control is not obeyed (RFC 9111 5.2.1 leaves that open): no client can
 * have an origin asked again. */
#ifndef HERALD_CACHE_H
#define HERALD_CACHE_H

#include "master/handoff/stats.h"
#include "worker/content.h"
#include "worker/growth.h"
#include "worker/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define CACHE_PASS_MS 10000   /* how long a URL whose answer was not to be kept is not waited for */
#define CACHE_VARIANTS_MAX 16 /* responses kept of one URL, for different requests */
#define CACHE_VARY_MAX 8      /* fields that a response may vary on */
#define CACHE_VARY_BYTES 2048 /* of those fields' values, together */
#define CACHE_KEY_MAX 8192    /* bytes of a URL */

struct cache;
struct cache_fill;

enum cache_answer { CACHE_FOUND, CACHE_WAITS, CACHE_LEADS, CACHE_PASS, CACHE_FAILED };

/* How a stored response came to be the answer; for the access log and counters. */
enum cache_way {
    CACHE_WAY_NONE,
    CACHE_WAY_HIT,
    CACHE_WAY_MISS,
    CACHE_WAY_STALE,
    CACHE_WAY_REVALIDATED,
    CACHE_WAY_PASS
};

/* A GET or HEAD, the client's or a promise's. All is borrowed for the call; while a look-up waits,
 * until its answer. */
struct cache_request {
    struct span scheme, authority, target; /* of its URL; the authority as the client wrote it */
    const struct field *fields;
    size_t fields_count;
    bool head;
    bool partial;         /* it has a Range field */
    bool cookies;         /* other than this server's own */
    uint32_t heuristic_s; /* how long what says nothing of it may be fresh, at most; 0: not */
    bool background; /* nobody asked: it is not counted, and its fill goes on without readers */
};

struct cache_lookup;

/* `answer` is not CACHE_WAITS. */
typedef void cache_found(struct cache_lookup *lookup, enum cache_answer answer);
typedef void cache_interim(struct cache_lookup *lookup, const struct field *fields, size_t count);

/* Embedded in its owner, zeroed first; the owner cancels it before going away. */
struct cache_lookup {
    cache_found *found;
    cache_interim *interim;    /* NULL: what is said before the answer is of no use */
    struct resource *resource; /* CACHE_FOUND: a reference, the receiver's */
    struct cache_fill *fill;   /* CACHE_LEADS; also with a FOUND that is stale: fetch it beside */
    int status;                /* CACHE_FAILED: what to answer */
    enum cache_way way;

    struct link link;          /* in the fill's waiters; cache.c's, as is the rest */
    struct cache_fill *joined; /* while it is there */
    struct cache_request request;
};

/* `bytes_max`: of all that is kept, contents that streams still read included; the least recently
 * used goes first. `entry_max`: of one content. `stats` is borrowed. NULL when memory runs out. */
struct cache *cache_create(size_t bytes_max, size_t entry_max, struct stats *stats);

/* Every fill was ended, and every resource released. NULL is accepted. */
void cache_destroy(struct cache *cache);

/* The clocks to use instead of the system's, for tests; NULL: the system's. */
struct cache_clock {
    uint64_t now_ms; /* CLOCK_MONOTONIC: ages are told by this one, so that clock steps hurt none */
    time_t now_s;    /* the wall clock, to compare with Date and Expires */
};
void cache_set_clock(struct cache *cache, const struct cache_clock *clock);

/* Looks a request up; see above. */
enum cache_answer cache_find(struct cache *cache, const struct cache_request *request,
                             struct cache_lookup *lookup);

/* The callback will not come any more. Harmless for a look-up that does not wait. */
void cache_cancel(struct cache_lookup *lookup);

/* The fresh stored response for a request, borrowed until the next call; NULL: none. Begins
 * nothing, counts nothing. */
struct resource *cache_peek(struct cache *cache, const struct cache_request *request);

/* An unsafe request for the URL was answered without an error (RFC 9111 4.4): what is stored of it
 * goes, and what is being fetched will not be stored. */
void cache_invalidate(struct cache *cache, struct span scheme, struct span authority,
                      struct span target);

/* A response to a request that was passed: whether the next ones have to be, too. */
void cache_passed(struct cache *cache, const struct cache_request *request, int status,
                  const struct field *fields, size_t count);

/* ---- fills ---- */

/* What the origin is to be asked beside the request: If-None-Match or If-Modified-Since for what is
 * stored and stale. Returns their number, 0 to 2; the spans live as long as the fill. */
size_t cache_fill_conditions(const struct cache_fill *fill, struct field conditions[2]);

enum cache_kept {
    CACHE_KEPT,      /* its content is to be appended; whoever waits reads it */
    CACHE_REFRESHED, /* 304: what was stored is the answer; the fill has ended and is gone */
    CACHE_NOT_KEPT,  /* the response is its asker's alone; the fill has ended and is gone */
    CACHE_STALE      /* an error, and what is stored may stand for it: as REFRESHED */
};

/* The head of the final response; `length` of its content, or GROWTH_UNKNOWN. Fields in lower case,
 * those of the connection taken out. For KEPT, REFRESHED and STALE `*resource` is a reference for
 * who led. */
enum cache_kept cache_fill_head(struct cache_fill *fill, int status, const struct field *fields,
                                size_t count, uint64_t length, struct resource **resource);

/* Content of a KEPT response: how much of it was taken. When it is less, the growth's `drained`
 * will be called. */
bool cache_fill_append(struct cache_fill *fill, const void *data, size_t length);
struct growth *cache_fill_growth(const struct cache_fill *fill);

/* What was asked for by who led; it lives as long as the fill. */
const struct cache_request *cache_fill_request(const struct cache_fill *fill);

/* Whether the answer may be the asker's own: the request has cookies or Authorization. */
bool cache_credentialed(const struct cache_request *request);

/* The origin has said 103: tells every lookup that waits for the fill. */
void cache_fill_interim(struct cache_fill *fill, const struct field *fields, size_t count);

/* The answer was CACHE_WAITS: tells the lookup of the 103s that came before it did. */
void cache_recall_interims(struct cache_lookup *lookup);

/* The fill goes on though nobody reads what it brings. */
void cache_fill_keep(struct cache_fill *fill);

/* Whether anybody waits for this fill or reads what it brings, or it is so little that it is as
 * well read to its end. */
bool cache_fill_wanted(const struct cache_fill *fill);

/* The response is whole: stores it. The fill is gone. Returns the stored resource, borrowed until
 * the next call, or NULL: it was not whole, or there was no room. */
struct resource *cache_fill_finish(struct cache_fill *fill);

/* The fetch came to nothing. Before the head was known `status` (502 to 504) is what waiters get,
 * unless what is stored may be used (stale-if-error, RFC 5861): then that; 0: the next one leads.
 * The fill is gone. Returns a reference to what is stored, for who led, when it may be used. */
struct resource *cache_fill_abandon(struct cache_fill *fill, int status);

#endif

/* What the files of cache.h share among themselves: the table (cache.c), what a response allows
 * (cache_rules.c), which request it answers (cache_select.c), the resources that are made of it
 * (cache_resource.c), and fetches under way (cache_fill.c). */
#ifndef HERALD_CACHE_PARTS_H
#define HERALD_CACHE_PARTS_H

#include "worker/cache.h"
#include "worker/content_parts.h"
#include "worker/hints.h"
#include "worker/list.h"

#define CACHE_BUCKETS 16384 /* a power of two */
#define CACHE_MARKS 4096    /* URLs that are known to be passed; a power of two */
#define CACHE_FILLS_MAX 4096

/* What a response allows a shared cache to do. */
struct cache_terms {
    bool storable;
    bool always_validates; /* it may be kept, and used only when the origin was asked */
    bool life_said;        /* its freshness is the origin's word, not a guess */
    uint32_t life_s;       /* from its birth on */
    uint32_t initial_age_s;
    uint32_t client_life_s;                    /* the same for a private cache */
    uint32_t while_revalidating_s, if_error_s; /* beyond its life (RFC 5861) */
};

/* One URL: what is stored of it, and what is being fetched. In the table while there is either. */
struct cache_entry {
    struct cache_entry *next;     /* in its bucket */
    struct link variants; /* the last stored first */
    struct link fills;
    uint64_t hash;
    size_t length;
    char text[]; /* the URL, its authority in lower case and without a default port */
};

/* One stored response. */
struct cached {
    struct link link;   /* in entry->variants */
    struct link recent; /* in cache->recent */
    struct cache_entry *entry;
    struct resource *resource; /* a reference */
    struct cache_terms terms;
    size_t bytes; /* counted for it, its content apart */
    size_t vary_length, selecting_length;
    char text[]; /* the Vary field, then what it selects of the request */
};

struct cache {
    struct stats *stats;
    size_t bytes, bytes_max, entry_max;
    const struct cache_clock *clock;
    uint8_t key[IDENTITY_HASH_KEY_BYTES]; /* of the table's hash: clients choose URLs */
    struct cache_entry **buckets;
    struct link recent; /* all that is stored, the last used first */
    unsigned fills_count;
    struct {
        uint64_t hash, until_ms;
    } marks[CACHE_MARKS];
};

/* A fetch under way. */
struct cache_fill {
    struct link link; /* in entry->fills */
    struct cache *cache;
    struct cache_entry *entry;
    struct link waiters;
    struct interim *interims;     /* what the origin said before the head, for those who come later */
    struct cache_request request; /* of who led, in memory of its own: */
    char *kept;
    bool credentialed;
    bool joinable;  /* others may wait for it */
    bool condemned; /* invalidated meanwhile: not to be stored */
    uint64_t began_ms;
    struct resource *stale; /* what is validated: a reference, or NULL */
    struct cache_terms stale_terms;

    struct resource *resource; /* once the head is known: growing; a reference */
    struct growth *growth;     /* likewise */
    struct cache_terms terms;
    size_t vary_length, selecting_length;
    char text[2 * CACHE_VARY_BYTES]; /* as of struct cached */
};

static inline uint64_t cache_now_ms(const struct cache *cache)
{
    return cache->clock ? cache->clock->now_ms : timer_clock_coarse_ms();
}

/* ---- cache_rules.c ---- */

/* Judges the final response to a GET (RFC 9111 3, 3.5, 4.2). `credentialed`: the request had an
 * Authorization or cookies. `delay_s`: how long it took to come. */
struct cache_terms cache_judge(int status, const struct field *fields, size_t count,
                               const struct cache_request *request, bool credentialed, time_t now_s,
                               uint32_t delay_s);

/* Fields that belong to a connection, to one client, or are made anew for each answer. */
bool cache_leaves_out(struct span name);

/* ---- cache_select.c ---- */

/* Joins the response's Vary fields into `out`. Returns the length, or SIZE_MAX for "*" or too much.
 */
size_t cache_vary(const struct field *fields, size_t count, char out[CACHE_VARY_BYTES]);

/* What the fields in `vary` are in this request, made comparable (RFC 9111 4.1). Returns the
 * length, or SIZE_MAX for too much. */
size_t cache_selecting(struct span vary, const struct cache_request *request,
                       char out[CACHE_VARY_BYTES]);

/* Whether a response that varies on `vary` and answered a request with `selecting` answers this. */
bool cache_selects(struct span vary, struct span selecting, const struct cache_request *request);

/* ---- cache_resource.c ---- */

/* A resource of what an origin answered; the growth is shared. `origin` has all but the growth.
 * NULL when memory runs out. */
struct resource *cache_resource_create(struct span target, const struct origin_answer *origin,
                                       const struct field *fields, size_t count,
                                       struct growth *growth, time_t now_s);

/* The same as `old`, as the fields of a 304 say it is now (RFC 9111 3.2, 4.3.4); its times are the
 * caller's to set. */
struct resource *cache_resource_refresh(const struct resource *old, const struct field *fields,
                                        size_t count, time_t now_s);

/* ---- cache.c ---- */

time_t cache_now_s(const struct cache *cache);

/* Seconds that the response may still be used without asking; negative once it is stale. */
int64_t cache_fresh_s(const struct cache *cache, const struct resource *resource,
                      const struct cache_terms *terms);

/* Whether a response that is fresh by these terms may answer this request. */
bool cache_usable(const struct cache_terms *terms, const struct cache_request *request);

/* Evicts until `bytes` more fit; false when they can't be made to. */
bool cache_make_room(struct cache *cache, size_t bytes);

/* Stores a response in place of the one for the same requests. A fill keeps the entry meanwhile. */
struct cached *cache_store(struct cache *cache, struct cache_entry *entry,
                           struct resource *resource, const struct cache_terms *terms,
                           struct span vary, struct span selecting);
void cached_remove(struct cache *cache, struct cached *cached);

/* The variant that answers the request, or NULL. */
struct cached *cache_variant(struct cache_entry *entry, const struct cache_request *request);

/* The entry may have neither variants nor fills any more. */
void cache_entry_settle(struct cache *cache, struct cache_entry *entry);

/* Marks the URL as passed, or takes the mark away. */
void cache_mark(struct cache *cache, const struct cache_entry *entry, bool credentialed, bool pass);

/* ---- cache_fill.c ---- */

/* Begins a fill, which validates `stale` unless NULL. NULL when memory runs out. */
struct cache_fill *cache_fill_begin(struct cache *cache, struct cache_entry *entry,
                                    const struct cache_request *request, struct cached *stale,
                                    bool joinable);

#endif

/* What the pages of proxied sites referenced when they were last answered: for assets.of.
 *
 * The HTML is noted as it passes by, and read a slice in each wake-up once its response is whole.
 * It is never asked for, nothing is kept of it but what it references, and nothing is noted of an
 * answer that is one client's own. */
#ifndef HERALD_MARKUP_H
#define HERALD_MARKUP_H

#include "master/handoff/stats.h"
#include "policy/assets.h"
#include "worker/cache.h"

#define MARKUP_BYTES_MAX (256 * 1024) /* of a page's content, coded and decoded */
#define MARKUP_PAGES_MAX 256 /* whose references are kept: the last asked for or answered */
#define MARKUP_NOTES_MAX 32  /* being taken or waiting to be read */
#define MARKUP_AGAIN_MS 2000 /* between two answers of one page that are read */

struct markup;
struct markup_note;

/* NULL when memory runs out. `cache`, which may be NULL, has the stylesheets; it and `stats` are
 * borrowed until destroy. */
struct markup *markup_create(struct cache *cache, struct stats *stats);
void markup_destroy(struct markup *markup); /* its notes were dropped or done; NULL is accepted */

/* The answer to `request`, a plain GET, has begun. Returns a note of it, owned until markup_done or
 * markup_drop; NULL when it is not to be read: no HTML that this can read, one client's own, too
 * long, read not long ago, or there is too much to do. */
struct markup_note *markup_begin(struct markup *markup, const struct cache_request *request,
                                 int status, const struct field *fields, size_t count,
                                 uint64_t length, uint64_t now_ms);
void markup_add(struct markup_note *note, const void *data, size_t length);
void markup_done(struct markup_note *note); /* the answer is whole */
void markup_drop(struct markup_note *note); /* NULL is accepted, here and above */

/* Reads on, at most ASSETS_SLICE_MAX bytes. True when there is more to read. */
bool markup_work(struct markup *markup);

/* What the page of that path (decoded) referenced; NULL: it was not read. Borrowed until the next
 * call of anything here. */
const struct assets *markup_assets(struct markup *markup, struct span scheme, struct span authority,
                                   struct span path);

#endif

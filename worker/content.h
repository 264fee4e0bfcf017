/* Path -> resource: files below a route's root, opened and read through the ring, kept in a
 * per-worker cache of immutable, reference-counted versions.
 *
 * Callbacks run from content_find, from ring_wait, from timers_run or from content_work. Inside
 * one, any function here may be called but content_quiesce and content_destroy. */
#ifndef HERALD_CONTENT_H
#define HERALD_CONTENT_H

#include "master/handoff/config.h"
#include "master/handoff/span.h"
#include "master/handoff/stats.h"
#include "policy/assets.h"
#include "policy/request.h"
#include "worker/list.h"
#include "worker/ring.h"
#include "worker/timer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define CONTENT_SMALL_MAX (2 * 1024 * 1024) /* bytes of a file kept in memory */
#define CONTENT_BYTES_DEFAULT (64 * 1024 * 1024)
#define CONTENT_FRESH_MS 1000   /* how long a version is served without looking at the file */
#define CONTENT_LATE_MS 10000   /* how old a look may be that stands in for one that is slow */
#define CONTENT_SCAN_WAIT_MS 50 /* how long a look-up waits for a page's scan, at most */

/* The codings a file can have a precompressed sibling in, best first. */
enum content_coding { CODING_BROTLI, CODING_ZSTD, CODING_GZIP, CODING_IDENTITY, CODINGS };

/* What tells that a file changed. */
struct content_stamp {
    uint64_t device, inode, size; /* inode 0: no file */
    int64_t modified_s, changed_s;
    uint32_t modified_ns, changed_ns;
};

#define REPRESENTATION_FIELDS_MAX 7
#define REPRESENTATION_LENGTH_FIELD 0 /* fields[] has content-length here, */
#define REPRESENTATION_ETAG_FIELD 1   /* and etag here */

/* One representation: the file itself, or a precompressed sibling (".br", ".zst", ".gz"). */
struct representation {
    bool exists;
    enum content_coding coding;
    uint64_t size;
    uint8_t *body;           /* the whole content when small (never NULL then), else NULL */
    int fd;                  /* open for reading when large, else -1; closed with the resource */
    struct span etag;        /* quoted, strong, distinct for each coding (RFC 9110 8.8.3); an
                              * origin's may be weak, or missing */
    struct span length_text; /* `size` in decimal */
    struct content_stamp stamp;

    /* The fields of a 200 with all of it, but for Date and what the route adds; of an origin's
     * answer, all that it said (but Age). */
    const struct field *fields;
    unsigned fields_count;
    struct field own_fields[REPRESENTATION_FIELDS_MAX];

    uint64_t hash; /* of the content when small, else of the stamp */
    char etag_text[16];
    char length_digits[21];
};

struct page_scan;
struct growth;

/* What an origin's answer says beyond its one representation, which is the first of its resource's
 * (CODING_IDENTITY's place) whatever its coding. */
struct origin_answer {
    int status;
    struct growth *growth;    /* its content; a reference */
    bool unbounded;           /* the length of the content is not known yet */
    bool varies;              /* on more than Accept-Encoding */
    uint64_t received_ms;     /* CLOCK_MONOTONIC, when it was */
    uint32_t initial_age_s;   /* this old (RFC 9111 4.2.3) */
    uint32_t client_life_s;   /* how long a client may use it without asking, from its birth */
};

/* One version of one file, or one answer of an origin. Immutable but for `references`, `scans` and what is known of its name. */
struct resource {
    unsigned references;
    enum asset_as as;
    struct span path; /* of the request, normalised; a NUL follows */
    uint64_t validator;      /* changes with the content, before coding */
    struct origin_answer *origin; /* NULL: a file; in the resource's own memory */

    /* identity_resource of `path` at the site that asked last; client.c's. */
    const struct config_site *known_site;
    uint64_t known_id;

    const char *mime; /* content-type field value */
    bool any_coded; /* Vary: accept-encoding */
    uint32_t ttl_s; /* respond_ttl of a file at the site that asked last, */
    const struct config_site *ttl_site; /* which is this */
    struct page_scan *scans; /* content_scan.c's */
    time_t modified; /* -1: not known, of an origin's answer */
    char last_modified[32];  /* IMF-fixdate, never in the future (RFC 9110 8.8.2.1) */
    struct representation codings[CODINGS];
};

enum content_outcome {
    CONTENT_FOUND,
    CONTENT_REDIRECT,  /* a directory asked for without its slash */
    CONTENT_MISSING,   /* 404 */
    CONTENT_FORBIDDEN, /* 403: no permission, a symbolic link, not a regular file */
    CONTENT_FAILED     /* 503: out of descriptors or memory, too much waits, an I/O error */
};

struct content;
struct content_lookup;

/* Called once for each look-up, which is then free for another. `resource` (FOUND only) is borrowed
 * until the callback returns; take a reference to keep it. */
typedef void content_found(struct content_lookup *lookup, enum content_outcome outcome,
                           struct resource *resource);

/* Embedded in its owner, zeroed first; the owner must cancel it before going away. */
struct content_lookup {
    content_found *found;

    /* With `wants_assets`, and when what is found is text/html, the callback waits until the page
     * was scanned for the assets it references, or CONTENT_SCAN_WAIT_MS after the scan began. The
     * page is the one at `scheme`://`authority`, both borrowed until the callback. */
    bool wants_assets;
    struct span scheme, authority;

    struct link link; /* content.c's, as is the rest */
    const struct config_site *site;
};

/* `bytes_max`: of all cached versions; the least recently used go first. `ring`, `timers` (one
 * entry of which is used) and `stats` are borrowed until destroy. Returns NULL when memory runs
 * out. */
struct content *content_create(struct ring *ring, struct timers *timers, struct stats *stats,
                               size_t bytes_max);

/* Begins the end: what waits for a file is called back with CONTENT_FAILED, reads with -ECANCELED, and
 * nothing new is begun. Returns true when nothing is in flight and content_destroy may be called; until
 * then run the loop and call it again. */
bool content_quiesce(struct content *content);

/* Every resource must have been released. NULL is accepted. */
void content_destroy(struct content *content);

/* Looks `path` (normalised, absolute, decoded; "/" at the end names a directory, whose index.html
 * is meant) up below `route`'s root; `route` is a route of `site`. The callback may run before this
 * returns (a fresh cache entry: always, unless a scan is waited for) or from a later wake-up. A
 * version is served for CONTENT_FRESH_MS after the file was looked at; the first look-up after that
 * has it looked at again, and all wait for that. */
void content_find(struct content *content, const struct config_site *site,
                  const struct config_route *route, struct span path,
                  struct content_lookup *lookup);

/* The callback will not come any more. Harmless for a look-up that waits for none. */
void content_cancel(struct content_lookup *lookup);

/* True while a callback is due. */
static inline bool content_waiting(const struct content_lookup *lookup)
{
    return lookup->link.next != NULL;
}

/* What content_find would answer at once, if that is a resource: borrowed until the next content call. NULL:
 * content_find tells. */
struct resource *content_find_fresh(struct content *content, const struct config_route *route,
                                    struct span path);

/* The resource for `path` if a fresh one is cached, borrowed until the next content call; else
 * NULL, without starting anything; nor does it count as a use. */
struct resource *content_peek(struct content *content, const struct config_route *route,
                              struct span path);

/* The version that was there when the file was last looked at, if that is less than CONTENT_LATE_MS
 * ago: for who can't wait for the look that is under way. Borrowed until the next content call; NULL
 * when there is none. */
struct resource *content_last(struct content *content, const struct config_route *route,
                              struct span path);

/* The finished scan of the page `resource` as seen at `scheme`://`authority`, or NULL: no page, not
 * asked for (by `wants_assets`) or not finished. Borrowed until the next content call. */
const struct assets *content_assets(const struct resource *resource, struct span scheme,
                                    struct span authority);

/* Answers look-ups that waited for the same look at a file, as many as a wake-up has time for, and scans
 * pages, at most ASSETS_SLICE_MAX bytes a call. Call it once in each wake-up of the loop;
 * returns true when more is to be done, so that the loop must not wait. */
bool content_work(struct content *content);

/* The 12 bits of a resource's version that the push table keeps. */
static inline uint16_t resource_validator(const struct resource *resource)
{
    return (uint16_t)(resource->validator & 0xfff);
}

/* The same for the file open as `fd`, which is read as it is now. Blocks; for commands. Returns 0 or
 * -errno. */
int content_validator(int fd, uint16_t *validator);

/* Returns `resource`. */
struct resource *resource_hold(struct resource *resource);
void resource_release(struct resource *resource); /* NULL is accepted */

/* Reading a large representation through the ring, one piece at a time. */
struct content_reader;
typedef void content_read(struct content_reader *reader, int result); /* bytes, or -errno */

/* Embedded in its owner; free for the next read from its callback on. */
struct content_reader {
    content_read *done;
    const struct representation *representation; /* content_read.c's, as is the rest */
    uint8_t *buffer;
    size_t length;
    uint64_t offset;
    bool last;
    struct link link;
};

/* Reads `length` bytes (1 to 1 GiB, within the representation) at `offset` into `buffer`. The
 * result is `length`, or -EIO when the file has been truncated meanwhile, another -errno, or
 * -ECANCELED from content_quiesce. With `last`, the final piece of a response, it is -ESTALE if the
 * file was written to since it was opened: the pieces before may then be of different versions, and
 * the response must not end as if it were whole. (A file replaced by renaming is read to its end
 * undisturbed.) Reader, buffer and a reference to the resource must be kept until the callback.
 * Reads are capped in number per worker; beyond that they queue. */
void content_read_at(struct content *content, struct content_reader *reader,
                     const struct representation *representation, uint64_t offset, uint8_t *buffer,
                     size_t length, bool last);

#endif

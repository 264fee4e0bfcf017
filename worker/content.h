/* Path -> resource: files below a route's root, opened and read through the ring, kept in a
 * per-worker cache of immutable, reference-counted versions. */
#ifndef HERALD_CONTENT_H
#define HERALD_CONTENT_H

#include "master/handoff/config.h"
#include "master/handoff/span.h"
#include "master/handoff/stats.h"
#include "policy/assets.h"
#include "policy/request.h"
#include "worker/ring.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define CONTENT_SMALL_MAX (256 * 1024) /* bytes of a file kept in memory */

/* The codings a file can have a precompressed sibling in, best first. */
enum content_coding { CODING_BROTLI, CODING_ZSTD, CODING_GZIP, CODING_IDENTITY, CODINGS };

/* One representation: the file itself, or a precompressed sibling (".br", ".zst", ".gz"). */
struct representation {
    uint64_t size;
    uint8_t *body;     /* the whole content when small, else NULL */
    int fd;            /* open for reading when large, else -1; closed with the resource */
    struct span etag;  /* quoted, distinct for each coding (RFC 9110 8.8.3) */
    struct span length_text; /* `size` in decimal */
    struct statx_stamp {     /* what tells that the file changed */
        uint64_t inode, size;
        int64_t modified_s, changed_s;
        uint32_t modified_ns, changed_ns;
    } stamp;
    bool exists;
};

/* One version of one file. Immutable but for `references` and `assets`. */
struct resource {
    unsigned references;
    struct span path;        /* of the request, normalised */
    const char *mime;        /* content-type field value */
    enum asset_as as;
    struct representation codings[CODINGS];
    bool any_coded;          /* Vary: accept-encoding */
    time_t modified;
    char last_modified[32];  /* IMF-fixdate */
    uint64_t validator;      /* 64-bit hash that changes with the content's stamp, before coding */
    struct assets *assets;   /* text/html: its scan when done, else NULL; owned */
};

enum content_outcome {
    CONTENT_FOUND,
    CONTENT_REDIRECT,  /* a directory asked for without its slash */
    CONTENT_MISSING,   /* 404 */
    CONTENT_FORBIDDEN, /* 403: no permission, a symbolic link, not a regular file */
    CONTENT_FAILED     /* 500, 503: out of descriptors or memory, an I/O error */
};

struct content;
struct content_lookup;

/* Called once for each look-up. `resource` (FOUND only) is borrowed until the callback returns; take
 * a reference to keep it. */
typedef void content_found(struct content_lookup *lookup, enum content_outcome outcome,
                           struct resource *resource);

/* Embedded in its owner, who must cancel it before going away. */
struct content_lookup {
    content_found *found;
    struct content_lookup *next; /* content.c's */
    void *waiting_for;           /* content.c's; NULL when no callback is due */
};

/* `bytes_max`: of all cached bodies; the least recently used go first. `scan_assets` is asked
 * for text/html. Returns NULL when memory runs out. */
struct content *content_create(struct ring *ring, struct stats *stats, size_t bytes_max);

/* Begins the end: no new operations; returns true when nothing is in flight and content_destroy may
 * be called (poll it from the loop). */
bool content_quiesce(struct content *content);
void content_destroy(struct content *content);

/* Looks `path` (normalised, absolute, decoded; "/" ends name a directory, whose index.html is meant)
 * up below the route's root. The callback may run before this returns (a fresh cache entry: always)
 * or from a later wake-up. A cached entry is checked for change at most once a second, in the
 * background: the version known is served meanwhile only if it was checked within the last second. */
void content_find(struct content *content, const struct config_route *route, struct span path,
                  struct content_lookup *lookup);

/* The callback will not come any more. */
void content_cancel(struct content_lookup *lookup);

/* The resource for `path` if a fresh one is cached, borrowed until the next content call; else
 * NULL, without starting anything. */
struct resource *content_peek(struct content *content, const struct config_route *route,
                              struct span path);

struct resource *resource_hold(struct resource *resource);
void resource_release(struct content *content, struct resource *resource);

/* Reading a large representation through the ring, one piece at a time. */
struct content_reader;
typedef void content_read(struct content_reader *reader, int result); /* bytes, or -errno */

struct content_reader {
    struct ring_op op;
    content_read *done;
    uint8_t *buffer;
    size_t asked;
};

/* Reads up to `length` bytes at `offset` into `buffer`. 0 bytes, or fewer than were asked for before
 * the representation's size, means that the file was truncated: -EIO. The reader must live until
 * its callback. Reads are capped in number per worker; beyond that they queue. */
void content_read_at(struct content *content, struct content_reader *reader,
                     const struct representation *representation, uint64_t offset,
                     uint8_t *buffer, size_t length);

#endif

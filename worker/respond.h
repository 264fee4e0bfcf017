/* From a request and a resource to a response: status, fields, which bytes. No I/O, nothing
 * allocated. (RFC 9110, RFC 9111) */
#ifndef HERALD_RESPOND_H
#define HERALD_RESPOND_H

#include "master/handoff/config.h"
#include "policy/decision.h"
#include "policy/request.h"
#include "worker/content.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RESPOND_FIELDS_MAX 16 /* kept inline: at most 10 are used here; the rest is the caller's */
#define RESPOND_SCRATCH 128

struct body_source;

/* Spans borrow from the resource, the route, the request, static text, or `scratch`. */
struct response {
    int status;
    unsigned fields_count, fields_room;
    const struct representation *body; /* what the bytes to send are of; NULL: `text`, if any */
    uint64_t offset, length;           /* of the bytes to send, of `body` or of `text`; 0: none */
    struct body_source *source;        /* whose content is sent in place of all that; `length` of it,
                                        * 0 when that is not known */
    struct span text;                  /* the short body of an error or redirect */
    bool cacheable;                    /* may the client store it (RFC 9111 3)? */
    uint32_t ttl_s;                    /* how long it stays fresh there (RFC 9111 4.2) */
    unsigned scratch_used;
    bool unbounded; /* how much content follows is not known yet; `length` is 0 */
    struct field *long_fields; /* the caller's, `long_room` of them, for a resource that has more */
    unsigned long_room;        /* than fit inline; respond_fields_needed tells */
    struct field *fields; /* without :status; names in lower case. `inline_fields`, or the memory
                           * of whoever proxies: an origin's list is longer */
    struct field inline_fields[RESPOND_FIELDS_MAX];
    char scratch[RESPOND_SCRATCH];
};

/* Answers a GET or HEAD for `resource`: content coding by Accept-Encoding (RFC 9110 12.5.3) with
 * Vary, preconditions in the order of 13.2.2, one byte range with If-Range (14.2; several are
 * answered with the whole), validators, the route's Cache-Control. The statuses are 200, 206, 304,
 * 406 (only when identity is refused and nothing else is to be had), 412 and 416, and 405 for any
 * other method. The response to HEAD has the fields of GET's and nothing to send: its length is 0.
 * What an origin answered is answered with its status and fields, with an Age, as it is: neither
 * coded otherwise nor made anything else but 206, 304, 412 or 416, and those only for its 200. */
void respond_resource(struct response *response, const struct request *request,
                      const struct config_site *site, const struct config_route *route,
                      const struct resource *resource);

/* How many of response->long_fields there must be to answer for `resource`; 0: none. */
unsigned respond_fields_needed(const struct resource *resource);

/* An error or redirect with a short text/plain body. `location` is for redirects, else empty; 405
 * has Allow (15.5.6). */
void respond_status(struct response *response, const struct request *request, int status,
                    struct span location);

/* Takes a request target's path and query apart and decodes the path's percent-encodings, once.
 * Nothing is resolved: refused (-EINVAL, 400) is what doesn't begin with "/" (so the asterisk, the
 * absolute and the empty form), a "." or ".." segment however written, NUL and other control bytes,
 * a backslash or an encoded slash, a bad encoding, a space, a fragment. Empty segments are kept.
 * `out` has room for target.length bytes, in which `path` lies; `query` lies in `target`, as it was
 * written, without "?". */
int respond_path(struct span target, char *out, struct span *path, struct span *query);

/* The inverse: `path` with what isn't a path character (RFC 3986 3.3) percent-encoded. Returns the
 * bytes written to `out`, or 0 when it has not that much room. */
size_t respond_path_encode(struct span path, char *out, size_t room);

/* How long a client may use a response with these fields from now on without asking (RFC 9111 4.2,
 * for a private cache: s-maxage says nothing), in seconds: max-age, else Expires less Date, else
 * `heuristic_s`; less Age, which what came through other caches has. 0 for no-store and no-cache,
 * and for a max-age or Expires that can't be read. `storable` (may be NULL) is false for no-store
 * alone. Names are in lower case; the fields may be an origin's. */
uint32_t respond_freshness(const struct field *fields, size_t count, uint32_t heuristic_s,
                           bool *storable);

/* The same for the answer to a GET of `resource` of `site`. */
uint32_t respond_ttl(struct resource *resource, const struct config_site *site);

/* Whether anyone may know of this response: a shared cache may store it (RFC 9111 3) and hand it to
 * others, it sets no cookie, and it varies on nothing but the content coding. `with_cookies`: the
 * request had cookies that are not this server's, so it must say public or s-maxage. */
bool respond_is_public(const struct response *response, bool with_cookies);

/* Whether `resource` may be pushed to who sends this Accept-Encoding (NULL data: none is sent):
 * REASON_PENDING when it may; REASON_NOT_CACHEABLE when the client may not store it, when it is
 * private (a promised request carries no one's cookies), or when it is stale at once, so that
 * nothing would be known to be held and it would be sent with every page; REASON_NOT_FOUND when no
 * coding is acceptable, or an origin's answer is no 200. `representation` (may be NULL) is what would be sent. */
enum reason respond_pushable(const struct resource *resource, const struct config_site *site,
                             const struct config_route *route, struct span accept_encoding,
                             const struct representation **representation);

#endif

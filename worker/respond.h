/* From a request and a resource to a response: status, fields, which bytes. Pure: no I/O, nothing
 * allocated. (RFC 9110) */
#ifndef HERALD_RESPOND_H
#define HERALD_RESPOND_H

#include "master/handoff/config.h"
#include "policy/request.h"
#include "worker/content.h"

#include <stdint.h>

#define RESPOND_FIELDS_MAX 16

/* Spans borrow from the resource, the route, the request, static text, or `scratch`. */
struct response {
    int status;
    struct field fields[RESPOND_FIELDS_MAX]; /* without :status; names in lower case */
    unsigned fields_count;
    const struct representation *body; /* NULL: the short text below, if any */
    uint64_t offset, length;           /* of the body's bytes to send; length 0: none */
    struct span text;                  /* the short body of an error or redirect */
    bool cacheable;                    /* may the client store it (RFC 9111 3)? */
    uint32_t ttl_s;                    /* how long it stays fresh there (RFC 9111 4.2) */
    char scratch[512];
};

/* Answers a GET or HEAD for `resource`: preconditions (13), one byte range with If-Range (14), content
 * coding by Accept-Encoding (12.5.3) with Vary, validators, Cache-Control of the route. Other methods
 * get 405 with Allow. HEAD has a body length but the caller sends no DATA. */
void respond_resource(struct response *response, const struct request *request,
                      const struct config_site *site, const struct config_route *route,
                      const struct resource *resource);

/* An error or redirect with a short text/plain body. `location` is for redirects, else empty. */
void respond_status(struct response *response, const struct request *request, int status,
                    struct span location);

/* Normalises a request target's path: splits off the query, decodes percent-encodings once, resolves
 * nothing: refuses (-EINVAL, 400) what is not absolute, "..", ".", empty inner segments? (kept),
 * "%00", an encoded slash or backslash, bad encodings, control bytes. `out` has room for
 * target.length bytes. */
int respond_path(struct span target, char *out, struct span *path, struct span *query);

/* Freshness of a response with this Cache-Control / Expires / Date (RFC 9111 4.2.1), in seconds;
 * `heuristic_s` when nothing is said. 0 for no-store, no-cache. */
uint32_t respond_freshness(struct span cache_control, uint32_t heuristic_s, bool *storable);

#endif

/* What the files of respond.h share among themselves. */
#ifndef HERALD_RESPOND_PARTS_H
#define HERALD_RESPOND_PARTS_H

#include "worker/respond.h"

/* respond.c's: the parts of a response. */
void respond_begin(struct response *response, int status);
void respond_add(struct response *response, struct span name, struct span value);
struct span respond_format(struct response *response, const char *form, ...)
    __attribute__((format(printf, 2, 3)));
void respond_error(struct response *response, const struct request *request, int status);
void respond_unsatisfiable(struct response *response, const struct request *request,
                           const struct representation *representation);

/* respond_origin.c's: respond_resource for what an origin answered. */
struct asked;
void respond_origin(struct response *response, const struct request *request,
                    const struct asked *asked, const struct resource *resource, bool head);

/* How old the answer is now, in seconds (RFC 9111 4.2.3); how long a client may use it from now on. */
uint32_t origin_age(const struct origin_answer *origin);
uint32_t origin_client_ttl(const struct origin_answer *origin);

/* A field that must come once; `count` tells how often it came. */
struct asked_once {
    struct span value;
    unsigned count;
};

/* A field that may come in several lines. */
struct asked_lines {
    size_t first; /* index of the first one */
    unsigned count;
};

/* The request's fields that choose the response, found in one pass. */
struct asked {
    struct asked_lines accept_encoding, if_match, if_none_match;
    struct asked_once if_modified_since, if_unmodified_since, range, if_range;
};

void asked_collect(struct asked *asked, const struct request *request);

/* The coding to serve (RFC 9110 12.5.3), or CODINGS when none is acceptable, for an Accept-Encoding
 * in `lines` of `fields`. */
enum content_coding choose_coding(const struct resource *resource, const struct field *fields,
                                  const struct asked_lines *lines);

enum precondition { PRECONDITION_TRUE, PRECONDITION_NOT_MODIFIED, PRECONDITION_FAILED };

/* RFC 9110 13.2.2, steps 1 to 4, for GET and HEAD. */
enum precondition evaluate_preconditions(const struct request *request, const struct asked *asked,
                                         const struct representation *representation,
                                         time_t modified);

enum byte_range { RANGE_WHOLE, RANGE_PART, RANGE_UNSATISFIABLE };

/* RFC 9110 13.2.2, step 5, and 14.1.2: which bytes a GET is answered with. */
enum byte_range evaluate_range(const struct asked *asked,
                               const struct representation *representation, time_t modified,
                               uint64_t *offset, uint64_t *length);

struct cache_directives {
    bool no_store, no_cache, is_private, is_public;
    bool must_revalidate; /* or proxy-revalidate */
    bool has_max_age, has_s_maxage;
    uint32_t max_age_s;
    uint32_t s_maxage_s;
    uint32_t while_revalidating_s, if_error_s; /* RFC 5861; 0: not said */
};

/* RFC 9111 5.2.2. */
struct cache_directives cache_directives_parse(struct span cache_control);

/* What a response's fields say about its freshness, each at its first occurrence but for
 * Cache-Control, whose lines are one list (RFC 9110 5.3). */
struct freshness_fields {
    struct cache_directives directives;
    struct span expires, date, age;
};

struct freshness_fields freshness_collect(const struct field *fields, size_t count);

/* Expires less Date, or less now without one, in seconds; 0 when that is past or no date. */
uint32_t freshness_until_expires(const struct freshness_fields *said);

/* The Age field's value (RFC 9111 5.1): its first member, 0 when it can't be read. */
uint32_t freshness_age(const struct freshness_fields *said);

/* For a private cache, Age not subtracted: what respond_freshness tells of a response of now. */
uint32_t freshness_lifetime(const struct freshness_fields *said, uint32_t heuristic_s);

/* What respond_freshness tells of a file's response, of whose fields the route's Cache-Control alone
 * says how long it may be used. Fills in `directives`. */
uint32_t respond_file_freshness(const struct config_site *site, const struct config_route *route,
                                struct cache_directives *directives);

/* Whether a Vary field's value names more than Accept-Encoding. */
bool vary_is_more_than_coding(struct span vary);

#endif

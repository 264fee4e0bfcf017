/* What the files of respond.h share among themselves. */
#ifndef HERALD_RESPOND_PARTS_H
#define HERALD_RESPOND_PARTS_H

#include "worker/respond.h"

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
    bool has_max_age, has_s_maxage;
    uint32_t max_age_s;
    uint32_t s_maxage_s;
};

/* RFC 9111 5.2.2. */
struct cache_directives cache_directives_parse(struct span cache_control);

#endif

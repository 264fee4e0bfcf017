/* Link fields, read (RFC 8288). */
#ifndef HERALD_LINKS_H
#define HERALD_LINKS_H

#include "master/handoff/span.h"
#include "policy/request.h"

#include <stdbool.h>
#include <stddef.h>

#define LINKS_MAX 32           /* of one response */
#define LINKS_SCRATCH_MAX 4096 /* bytes of their resolved paths and relations */

/* What links are read against, and where what is not in the field itself is kept. */
struct link_base {
    const struct request *request;
    struct span authority; /* as the client wrote it, with the port */
    size_t used;
    char scratch[LINKS_SCRATCH_MAX];
};

static inline void link_base_init(struct link_base *base, const struct request *request,
                                  struct span authority)
{
    base->request = request;
    base->authority = authority;
    base->used = 0;
}

/* Cuts the next link-value off a Link field's value: up to a comma outside <> and "". */
struct span links_cut(struct span *list);

/* Reads a link-value into one link for each of its relations, in lower case, at most `max`; a
 * target of the request's authority is resolved against it. Returns their number: 0 for what is
 * malformed, and for a link whose context is not this response (an `anchor`, RFC 8288 3.2). They
 * borrow from `text` and from `base`. */
size_t links_read_one(struct link_base *base, struct span text, struct response_link *links,
                      size_t max);

/* Reads all of these fields that are Link fields: at most `max` links. */
size_t links_read(struct link_base *base, const struct field *fields, size_t count,
                  struct response_link *links, size_t max);

#endif

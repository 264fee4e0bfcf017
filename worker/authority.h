/* What an authority means, remembered: nearly every request of a worker names one of a few. */
#ifndef HERALD_AUTHORITY_H
#define HERALD_AUTHORITY_H

#include "master/handoff/config.h"
#include "master/handoff/span.h"

#include <stdbool.h>

#define AUTHORITY_MAX 128 /* bytes of one that is remembered */
#define AUTHORITIES 32    /* places, one for each value of a hash */

struct authority {
    unsigned length; /* of `text`; 0: an empty place */
    unsigned host_length;
    const struct config_site *site; /* NULL: no site has that name */
    char text[AUTHORITY_MAX];       /* as clients wrote it */
    char host[AUTHORITY_MAX];       /* without the port, in lower case */
};

struct authorities {
    struct authority places[AUTHORITIES];
};

/* The entry for `text`, valid until the next call; NULL when it is none that can be remembered: too
 * long, or unsound. */
const struct authority *authority_find(struct authorities *authorities,
                                       const struct config *config, struct span text);

/* Whether it has only bytes that an authority may have (RFC 3986 3.2.2 and 3.2.3): no userinfo, no
 * path, no blanks. */
bool authority_is_sound(struct span text);

/* The host without its port, in lower case, written to `out`, which has room for as much as `text`;
 * an IPv6 address keeps its brackets. */
struct span authority_host(struct span text, char *out);

#endif

/* Where a reference in a page or stylesheet leads: RFC 3986 section 5, read as browsers read it
 * (the WHATWG URL standard: backslashes are slashes, tabs and newlines vanish, %2e is a dot). */
#ifndef HERALD_ASSETS_URL_H
#define HERALD_ASSETS_URL_H

#include "master/handoff/span.h"
#include "policy/assets.h"

#include <stdbool.h>

#define ASSETS_SCHEME_MAX 8
#define ASSETS_AUTHORITY_MAX 264

/* An http or https URL without fragment; each part NUL-terminated. */
struct assets_url {
    char scheme[ASSETS_SCHEME_MAX];       /* lower case */
    char authority[ASSETS_AUTHORITY_MAX]; /* lower case, without the scheme's own port */
    char path[ASSETS_PATH_MAX + 1];       /* begins with "/"; a query may follow */
};

/* Makes a URL of its parts. Returns 0, or -EINVAL unless it is a usable http(s) one. */
int assets_url_init(struct assets_url *url, struct span scheme, struct span authority,
                    struct span path);

/* Resolves `reference`, entities already decoded, against `base`. `utf8`: bytes above 7F are known
 * to be UTF-8; otherwise a reference with such bytes is refused, since its meaning hangs on an
 * encoding that isn't known here.
 * Returns 0, or -EINVAL for one that is empty, too long, only a fragment, of another scheme than
 * http(s), or one that browsers may not agree on. `out` may not be `base`. */
int assets_url_resolve(const struct assets_url *base, struct span reference, bool utf8,
                       struct assets_url *out);

/* True when both have the same scheme, host and port. */
bool assets_url_same_origin(const struct assets_url *a, const struct assets_url *b);

#endif

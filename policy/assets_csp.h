/* What a page's own Content-Security-Policy lets it fetch from its origin (CSP 3). A <meta> may
 * carry one; a browser doesn't request what it forbids. */
#ifndef HERALD_ASSETS_CSP_H
#define HERALD_ASSETS_CSP_H

#include "master/handoff/span.h"
#include "policy/request.h"

#include <stdbool.h>

/* Does `policy`, a serialized policy, surely allow assets of this kind from the page's origin? */
bool assets_csp_allows(struct span policy, enum asset_as as);

#endif

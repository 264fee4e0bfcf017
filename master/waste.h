/* What pushing cost and gained, for `herald status`: the shared figures with their names. */
#ifndef HERALD_WASTE_H
#define HERALD_WASTE_H

#include "master/handoff/config.h"
#include "master/handoff/segment.h"

#include <jansson.h>

/* {"sites": [...], "paths": [...]}: exact sums by site and version of its policies; and the paths
 * that wasted most lately. Sites that `config` (may be NULL) no longer has, and paths whose names
 * are not public, have a null for their name. Owned by the caller; NULL when memory runs out. */
json_t *waste_json(const struct segment *segment, const struct config *config);

/* The experiment that push.holdout makes, one object for each site, version and means. Likewise. */
json_t *experiment_json(const struct segment *segment, const struct config *config);

#endif

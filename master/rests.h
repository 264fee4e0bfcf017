/* How the servers behind origins do, for `herald status`, as the workers tell in their slots. */
#ifndef HERALD_RESTS_H
#define HERALD_RESTS_H

#include "master/generation.h"

#include <jansson.h>

/* [{"server": TEXT, "resting": N, "of": N, "until_s": N, "failures": N}, ...]: each server of the
 * generation's config; at how many of its workers it rests, for how many seconds more at most, and
 * the most failures since it last answered. Owned by the caller; NULL when memory runs out. */
json_t *rests_json(const struct generation *generation);

#endif

/* The limits of a config that sets none. */
#ifndef HERALD_TESTS_DEFAULT_LIMITS_H
#define HERALD_TESTS_DEFAULT_LIMITS_H

#include "master/handoff/config.h"

#define LIMIT(key, type, fallback, least, most, prose) .key = fallback,
static const struct config_limits DEFAULT_LIMITS = {
#include "master/handoff/limits.def"
};
#undef LIMIT

#endif

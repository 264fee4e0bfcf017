#include "master/handoff/stats.h"

#include <assert.h>

static const char *const NAMES[] = {
#define COUNTER(name, prose) #name,
#include "master/handoff/counters.def"
#undef COUNTER
};

static const char *const PROSE[] = {
#define COUNTER(name, prose) prose,
#include "master/handoff/counters.def"
#undef COUNTER
};

const char *stats_name(enum counter counter)
{
    assert(counter < COUNTERS);
    return NAMES[counter];
}

const char *stats_prose(enum counter counter)
{
    assert(counter < COUNTERS);
    return PROSE[counter];
}

/* The policy lists of a config's sites as a text: part of what a version is, so that a version
 * brings its own lists back when it is used again. */
#ifndef HERALD_POLICY_LISTS_H
#define HERALD_POLICY_LISTS_H

#include "master/handoff/config.h"
#include "master/handoff/fault.h"
#include "master/handoff/span.h"

#include <stdbool.h>

#define POLICY_LISTS_BYTES_MAX (1024 * 1024)

/* A config whose sites have the lists of a version. Everything else, and the order of sites and
 * routes, is the config's that it was made from. */
struct policy_lists {
    struct config config;
    bool any; /* whether any list has a policy */
    char *text;
    struct config_site *sites;
    struct config_route *routes;
    struct config_policy *policies;
};

/* The lists of `config` as a text (malloc'd, owned by the caller), the same for the same lists:
 * where the config names them is left out. NULL when memory runs out. */
char *policy_lists_text(const struct config *config);

/* Joins `config`, which is borrowed until policy_lists_free, and the lists of `text`. A route that
 * the text does not know has no policies. Returns 0 and lists owned by the caller, or -errno with
 * `fault` for a text that policy_lists_text does not write. */
int policy_lists_join(const struct config *config, struct span text, struct policy_lists **lists,
                      struct fault *fault);
void policy_lists_free(struct policy_lists *lists);

#endif

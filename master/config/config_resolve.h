/* From what a config says to what it means: checks every key against the table of keys, fills in
 * the defaults, and makes the struct config. */
#ifndef HERALD_CONFIG_RESOLVE_H
#define HERALD_CONFIG_RESOLVE_H

#include "master/config/config_value.h"
#include "master/handoff/config.h"

/* What the process knows and the config doesn't say. */
struct config_facts {
    const char *directory; /* absolute: relative paths of the config begin here */
    bool privileged;       /* root: workers get a user, and the defaults are the system's */
    unsigned cpus;         /* that herald may use, from 1 */
    bool apart;            /* the demo: what it keeps is nobody else's */
    const char *state;     /* the default state directory without privileges, and of the demo:
                            * absolute; "": none */
};

/* Resolves the keys `top` and the list of tables `sites`; places in them index `files`. Opens no
 * file and looks at none but the user database. Returns 0 and a config owned by the caller, or
 * -errno with `fault`. */
int config_resolve(const struct value *top, const struct value *sites, char *const *files,
                   size_t files_count, const struct config_facts *facts, struct config **config,
                   struct fault *fault);

#endif

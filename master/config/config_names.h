/* The host names of origin servers, looked up: workers never ask a resolver. */
#ifndef HERALD_CONFIG_NAMES_H
#define HERALD_CONFIG_NAMES_H

#include "master/handoff/config.h"

#define CONFIG_NAMES_WAIT_MS 4000 /* for all names together */

/* Looks up every host name of the config's origin servers, at once, and fills in their addresses; a
 * name that brings none in time keeps what it had. Blocks; for children. Returns 0 or -ENOMEM. */
int config_names_look_up(struct config *config);

/* Adds a line to the config's warnings for each name that brought no address. Returns 0 or -ENOMEM.
 */
int config_names_warn(struct config *config);

/* How often that is to be done again, in ms: the least origin.lookup of routes with a name in their
 * origin; 0: there is none. */
uint64_t config_names_interval(const struct config *config);

/* Calls `each` for every server, in the config's order. */
void config_names_each(struct config *config,
                       void (*each)(struct config_server *server, void *context), void *context);

#endif

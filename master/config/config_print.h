/* The resolved config in the config's own language: what `herald check --print` shows. */
#ifndef HERALD_CONFIG_PRINT_H
#define HERALD_CONFIG_PRINT_H

#include "master/handoff/config.h"

#include <stdio.h>

/* Writes Lua that loads to the same config: every key with its value, paths absolute, includes
 * resolved. Keys without effect in this version are left out while they have their default. */
void config_print(const struct config *config, FILE *out);

#endif

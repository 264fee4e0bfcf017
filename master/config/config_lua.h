/* Runs a config's Lua and brings out what it says. The only part of the master that has a Lua
 * state; to be called in an unprivileged process (master/confined.h).
 *
 * The config sees the base, string, table, math and bit functions that are harmless, `include` and
 * `site`. Assigning to a global name sets a key of the config. Undeclared names, unknown keys, keys
 * given twice and endless loops are faults with file and line. Nothing is ever compiled to machine
 * code, and bytecode is not accepted. */
#ifndef HERALD_CONFIG_LUA_H
#define HERALD_CONFIG_LUA_H

#include "master/config/config_value.h"
#include "master/handoff/fault.h"

#include <stddef.h>

#define CONFIG_LUA_FILES_MAX 256 /* the config and its includes */
#define CONFIG_LUA_NESTED_MAX 16 /* includes within includes; tables within tables */
#define CONFIG_LUA_CPU_MS 1000   /* CPU time of the whole config */
#define CONFIG_LUA_MEMORY (64 * 1024 * 1024)

struct config_lua_source {
    int file_fd;        /* the config, a regular file open for reading */
    int directory_fd;   /* its directory; includes are looked for below it */
    const char *prefix; /* what faults put before names in that directory: "", "conf/" */
    const char *name;   /* the config's name in it, "herald.lua" */
};

/* What the text says. Places index `files`. */
struct config_lua_result {
    struct value *top;   /* a table: the keys that were set */
    struct value *sites; /* a table: a list of what `site` was called with */
    char **files;        /* names for people, with the prefix; the config itself is the first */
    size_t files_count;
};

/* Runs the config. Returns 0 and a result to be finished, or -errno with `fault`. */
int config_lua_run(const struct config_lua_source *source, struct config_lua_result *result,
                   struct fault *fault);
void config_lua_finish(struct config_lua_result *result);

#endif

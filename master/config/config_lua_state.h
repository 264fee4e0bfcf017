/* What the parts of config_lua share: one run of a config. */
#ifndef HERALD_CONFIG_LUA_STATE_H
#define HERALD_CONFIG_LUA_STATE_H

#include "master/config/config_include.h"
#include "master/config/config_lua.h"
#include "master/config/config_source.h"

#include <lua.h>
#include <stdbool.h>
#include <time.h>

#define CONFIG_LUA_KEYS_MAX 128 /* keys at the top of a config, and words near to one */

struct file {
    char *path; /* below the config's directory */
    char *name; /* for people */
    char *text; /* the Lua as it was read; `source` points into it */
    size_t length;
    struct source source;
    struct include_identity identity;
    bool running;
};

struct evaluation {
    lua_State *lua;
    const struct config_lua_source *where;
    struct fault *fault;
    struct file files[CONFIG_LUA_FILES_MAX];
    size_t files_count;
    struct value *top;
    struct value *sites;
    struct value_field
        set[CONFIG_LUA_KEYS_MAX]; /* key and place of each global that was assigned */
    size_t set_count;
    size_t values;
    size_t memory; /* bytes that the state holds */
    bool memory_ran_out;
    struct value_place seen; /* the line that ran last */
    struct timespec started;
};

/* The evaluation that a C function of ours was made for: its first upvalue. */
struct evaluation *config_lua_evaluation(lua_State *lua);

/* The line that runs: of the innermost function that is written in Lua; line 0 when there is none.
 */
struct value_place config_lua_here(lua_State *lua, struct evaluation *evaluation);

/* Records the fault and raises a Lua error; only the first fault counts. Never returns. */
int config_lua_raise(lua_State *lua, struct evaluation *evaluation, struct value_place place,
                     const char *what);

/* Compiles and runs a file that was read; raises a Lua error when that fails. */
void config_lua_run_file(lua_State *lua, struct evaluation *evaluation, struct file *file);

/* include(pattern), and what people are told when a file can't be read for -errno. */
int config_lua_include(lua_State *lua);
const char *config_lua_explain(int rc);

/* The value at the absolute `index`, owned by the caller, or NULL with a fault. `place` is where it
 * stands, unless it is a table, which knows better. Raises no Lua error. */
struct value *config_lua_read(struct evaluation *evaluation, int index, struct value_place place,
                              unsigned depth);

/* The string at `index`, borrowed from Lua, or NULL with a fault: it is not UTF-8 or has a NUL. */
const char *config_lua_text(struct evaluation *evaluation, int index, struct value_place place);

/* Makes what __at needs, for the file whose index is `file` and its constructors. Pushing and
 * making may raise a Lua error for want of memory. */
void config_lua_make_places(lua_State *lua);
void config_lua_push_at(lua_State *lua);
size_t config_lua_place_base(size_t file);

/* Puts the functions that a config may use into the table at index `to`, and sees to it that
 * nothing in the state is compiled to machine code. */
void config_lua_open_libraries(lua_State *lua, int to);

#endif

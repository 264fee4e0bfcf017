#include "master/config/config_lua.h"

#include "master/config/config_lua_state.h"
#include "master/handoff/config_key.h"

#include <assert.h>
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HOOK_EVERY 10000 /* instructions between two looks at the clock */

/* Registry keys: what a config sees as its globals, and the values of those it assigned. */
#define ENVIRONMENT "herald.environment"
#define GLOBALS "herald.globals"

struct evaluation *config_lua_evaluation(lua_State *lua)
{
    return lua_touserdata(lua, lua_upvalueindex(1));
}

int config_lua_raise(lua_State *lua, struct evaluation *evaluation, struct value_place place,
                     const char *what)
{
    if (!evaluation->fault->what[0])
        fault_set(evaluation->fault, -EINVAL, evaluation->files[place.file].name, place.line, "%s",
                  what);
    value_clean(evaluation->fault->what);
    lua_pushliteral(lua, "");
    return lua_error(lua);
}

/* Chunks are named "=" and their file's index, so that Lua's own messages begin "0:12: ". */
static bool place_of(lua_State *lua, struct evaluation *evaluation, lua_Debug *frame,
                     struct value_place *place)
{
    char *end;
    if (!lua_getinfo(lua, "Sl", frame) || frame->currentline <= 0)
        return false;
    unsigned long file = strtoul(frame->short_src, &end, 10);
    if (*end || end == frame->short_src || file >= evaluation->files_count)
        return false;
    *place = (struct value_place){(unsigned)file, frame->currentline};
    return true;
}

struct value_place config_lua_here(lua_State *lua, struct evaluation *evaluation)
{
    struct value_place place = {0, 0};
    lua_Debug frame;
    for (int level = 0; lua_getstack(lua, level, &frame); level++)
        if (place_of(lua, evaluation, &frame, &place))
            break;
    return place;
}

static void *allocate(void *context, void *old, size_t old_size, size_t size)
{
    struct evaluation *evaluation = context;
    void *memory = NULL;
    if (size == 0) {
        free(old);
        evaluation->memory -= old_size;
        return NULL;
    }
    if (evaluation->memory - old_size + size <= CONFIG_LUA_MEMORY)
        memory = realloc(old, size);
    if (memory)
        evaluation->memory += size - old_size;
    else if (size > old_size)
        evaluation->memory_ran_out = true;
    return memory;
}

static struct evaluation *evaluation_of_state(lua_State *lua)
{
    void *context;
    lua_getallocf(lua, &context);
    return context;
}

/* Knows the line, for when memory runs out and no one may ask any more, and stops what runs for too
 * long. */
static void watch(lua_State *lua, lua_Debug *frame)
{
    struct evaluation *evaluation = evaluation_of_state(lua);
    struct value_place place = {0, 0};
    struct timespec now;
    if (place_of(lua, evaluation, frame, &place))
        evaluation->seen = place;
    if (frame->event == LUA_HOOKLINE)
        return;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    int64_t spent_ms = (int64_t)(now.tv_sec - evaluation->started.tv_sec) * 1000 +
                       (now.tv_nsec - evaluation->started.tv_nsec) / 1000000;
    if (spent_ms < CONFIG_LUA_CPU_MS)
        return;
    config_lua_raise(lua, evaluation, evaluation->seen,
                     "the config has run for 1s of CPU time: an endless loop?");
}

/* ---- what went wrong ---- */

/* Lua's message "0:12: what" as a fault; `here` when it names no place. */
static void fault_from_message(struct evaluation *evaluation, const char *message,
                               struct value_place here)
{
    char *end;
    unsigned long file = strtoul(message, &end, 10);
    if (end != message && *end == ':' && file < evaluation->files_count) {
        unsigned long line = strtoul(end + 1, &end, 10);
        if (end[0] == ':' && end[1] == ' ' && line <= INT32_MAX) {
            here = (struct value_place){(unsigned)file, (int)line};
            message = end + 2;
        }
    }
    fault_set(evaluation->fault, -EINVAL, evaluation->files[here.file].name, here.line, "%s",
              message);
    value_clean(evaluation->fault->what);
}

/* Runs where an error was raised, with the stack still there to tell the line. */
static int handle_error(lua_State *lua)
{
    struct evaluation *evaluation = evaluation_of_state(lua);
    const char *message = lua_type(lua, 1) == LUA_TSTRING ? lua_tostring(lua, 1) : NULL;
    if (!evaluation->fault->what[0] && message)
        fault_from_message(evaluation, message, config_lua_here(lua, evaluation));
    else if (!evaluation->fault->what[0])
        fault_set(evaluation->fault, -EINVAL,
                  evaluation->files[config_lua_here(lua, evaluation).file].name,
                  config_lua_here(lua, evaluation).line, "error() was called with %s",
                  lua_isnil(lua, 1) ? "nothing" : luaL_typename(lua, 1));
    return 1;
}

/* A fault about `word`: which of `words` it is near to, or else `hint`. */
static int raise_unknown(lua_State *lua, struct evaluation *evaluation, struct value_place place,
                         const char *what, const char *word, const char *const *words,
                         const char *hint)
{
    char text[FAULT_WHAT_MAX];
    char shown[80];
    snprintf(shown, sizeof(shown), "%.64s", word);
    value_clean(shown);
    const char *nearest = fault_nearest(shown, words);
    if (nearest)
        snprintf(text, sizeof(text), "%s \"%s\", nearest \"%s\"", what, shown, nearest);
    else
        snprintf(text, sizeof(text), "%s \"%s\"%s", what, shown, hint);
    return config_lua_raise(lua, evaluation, place, text);
}

/* ---- what the config calls ---- */

static int call_site(lua_State *lua)
{
    struct evaluation *evaluation = config_lua_evaluation(lua);
    struct value_place here = config_lua_here(lua, evaluation);
    if (lua_gettop(lua) != 1 || !lua_istable(lua, 1))
        return config_lua_raise(lua, evaluation, here,
                                "site: expected one table, as in site { root = \"/srv/www\" }");
    struct value *site = config_lua_read(evaluation, 1, here, 1);
    if (!site || value_add(evaluation->sites, site) < 0)
        return config_lua_raise(lua, evaluation, here, "out of memory");
    return 0;
}

/* Whether Lua has a function or library of that name which a config has not. */
static bool is_withheld(const char *name)
{
    static const char *const NAMES[] = {"_G",
                                        "collectgarbage",
                                        "coroutine",
                                        "debug",
                                        "dofile",
                                        "getfenv",
                                        "getmetatable",
                                        "io",
                                        "jit",
                                        "load",
                                        "loadfile",
                                        "loadstring",
                                        "module",
                                        "newproxy",
                                        "os",
                                        "package",
                                        "pcall",
                                        "print",
                                        "rawequal",
                                        "rawget",
                                        "rawset",
                                        "require",
                                        "setfenv",
                                        "setmetatable",
                                        "utf8",
                                        "xpcall",
                                        NULL};
    for (size_t i = 0; NAMES[i]; i++)
        if (strcmp(name, NAMES[i]) == 0)
            return true;
    return false;
}

static int raise_undeclared(lua_State *lua, struct evaluation *evaluation, const char *name)
{
    static const char *const FUNCTIONS[] = {
        "include", "site", "string",   "table",    "math",  "bit",    "ipairs", "pairs", "next",
        "select",  "type", "tonumber", "tostring", "error", "assert", "unpack", NULL};
    struct value_place here = config_lua_here(lua, evaluation);
    char text[FAULT_WHAT_MAX];
    const char *why = NULL;
    if (is_withheld(name))
        why = "is not available in a config";
    else if (config_key_find(CONFIG_TOP, name))
        why = "is read before it is set";
    if (!why)
        return raise_unknown(lua, evaluation, here, "undeclared variable", name, FUNCTIONS, "");
    snprintf(text, sizeof(text), "\"%s\" %s", name, why);
    return config_lua_raise(lua, evaluation, here, text);
}

/* A name is read that is no local variable: a function of ours, or a key that was set before. */
static int read_global(lua_State *lua)
{
    struct evaluation *evaluation = config_lua_evaluation(lua);
    for (int i = 2; i <= 3; i++) { /* upvalues: functions, then keys */
        lua_pushvalue(lua, 2);
        lua_rawget(lua, lua_upvalueindex(i));
        if (!lua_isnil(lua, -1))
            return 1;
        lua_pop(lua, 1);
    }
    const char *name = lua_type(lua, 2) == LUA_TSTRING ? lua_tostring(lua, 2) : "?";
    return raise_undeclared(lua, evaluation, name);
}

static void note_set(struct evaluation *evaluation, const char *name, struct value_place place)
{
    const struct source *source = &evaluation->files[place.file].source;
    int line = source_set_line(source, name, 1, place.line);
    size_t i = 0;
    /* A store is counted to the last line of its statement, the name stands on the first. */
    if (line)
        place.line = line;
    while (i < evaluation->set_count && strcmp(evaluation->set[i].key, name) != 0)
        i++;
    assert(i < CONFIG_LUA_KEYS_MAX);
    evaluation->set[i].key = (char *)(uintptr_t)config_key_find(CONFIG_TOP, name)->name;
    evaluation->set[i].place = place;
    if (i == evaluation->set_count)
        evaluation->set_count++;
}

static int raise_no_key(lua_State *lua, struct evaluation *evaluation, struct value_place here,
                        const char *name)
{
    const char *words[CONFIG_LUA_KEYS_MAX + 1];
    char text[FAULT_WHAT_MAX];
    size_t count;
    size_t used = 0;
    const struct config_key *keys = config_keys(CONFIG_TOP, &count);
    int line = source_set_line(&evaluation->files[here.file].source, name, 1, here.line);
    const char *home = config_key_home(name);
    here.line = line ? line : here.line;
    bool function = strcmp(name, "site") == 0 || strcmp(name, "include") == 0;
    if (function || home) {
        snprintf(text, sizeof(text),
                 function ? "%s is a function: write %s without \"=\""
                          : "unknown key \"%s\" at the top, it is a key of %s",
                 name, function ? name : home);
        return config_lua_raise(lua, evaluation, here, text);
    }
    for (size_t i = 0; i < count && used < CONFIG_LUA_KEYS_MAX; i++)
        if (keys[i].standing != CONFIG_REFUSED)
            words[used++] = keys[i].name;
    words[used] = NULL;
    return raise_unknown(lua, evaluation, here, "unknown key", name, words,
                         "; for a variable of your own write `local`");
}

/* `name = value` for a name that is no local variable. */
static int write_global(lua_State *lua)
{
    struct evaluation *evaluation = config_lua_evaluation(lua);
    struct value_place here = config_lua_here(lua, evaluation);
    const char *name = lua_type(lua, 2) == LUA_TSTRING ? lua_tostring(lua, 2) : "?";
    if (!config_key_find(CONFIG_TOP, name))
        return raise_no_key(lua, evaluation, here, name);
    note_set(evaluation, name, here);
    lua_pushvalue(lua, 2);
    lua_pushvalue(lua, 3);
    lua_rawset(lua, lua_upvalueindex(2));
    return 0;
}

/* ---- files ---- */

static void compile(lua_State *lua, struct evaluation *evaluation, const char *text, size_t length,
                    const char *name)
{
    struct value_place nowhere = {(unsigned)strtoul(name + 1, NULL, 10), 0};
    if (length > 0 && text[0] == LUA_SIGNATURE[0])
        config_lua_raise(lua, evaluation, nowhere, "this is bytecode, a config is text");
    if (luaL_loadbufferx(lua, text, length, name, "t") == 0)
        return;
    if (!evaluation->fault->what[0])
        fault_from_message(evaluation, lua_tostring(lua, -1), nowhere);
    lua_error(lua);
}

/* Compiles and runs a file that was read. The text is compiled as it is first, since what Lua says
 * of a syntax error must be about what its author wrote. */
void config_lua_run_file(lua_State *lua, struct evaluation *evaluation, struct file *file)
{
    size_t index = (size_t)(file - evaluation->files);
    char name[16];
    int base = lua_gettop(lua);
    snprintf(name, sizeof(name), "=%zu", index);
    compile(lua, evaluation, file->text, file->length, name);
    int rc = source_scan(span_make(file->text, file->length), config_lua_place_base(index),
                         &file->source);
    if (rc == 0 && luaL_loadbufferx(lua, file->source.text, file->source.length, name, "t") == 0)
        lua_replace(lua, -2);
    else
        source_finish(&file->source); /* it runs as it is, and faults name coarser lines */
    lua_settop(lua, base + 1);
    lua_getfield(lua, LUA_REGISTRYINDEX, ENVIRONMENT);
    lua_setfenv(lua, -2);
    config_lua_push_at(lua);
    file->running = true;
    lua_call(lua, 1, 0);
    file->running = false;
}

/* ---- the state ---- */

static void push_closure(lua_State *lua, struct evaluation *evaluation, lua_CFunction function)
{
    lua_pushlightuserdata(lua, evaluation);
    lua_pushcclosure(lua, function, 1);
}

/* An empty table stands for the globals, so that every access to one is seen. */
static void make_environment(lua_State *lua, struct evaluation *evaluation)
{
    lua_settop(lua, 0);
    lua_newtable(lua); /* 1: functions */
    lua_newtable(lua); /* 2: keys that were set */
    lua_newtable(lua); /* 3: the environment */
    lua_newtable(lua); /* 4: its metatable */
    config_lua_open_libraries(lua, 1);
    push_closure(lua, evaluation, call_site);
    lua_setfield(lua, 1, "site");
    push_closure(lua, evaluation, config_lua_include);
    lua_setfield(lua, 1, "include");
    lua_pushlightuserdata(lua, evaluation);
    lua_pushvalue(lua, 1);
    lua_pushvalue(lua, 2);
    lua_pushcclosure(lua, read_global, 3);
    lua_setfield(lua, 4, "__index");
    lua_pushlightuserdata(lua, evaluation);
    lua_pushvalue(lua, 2);
    lua_pushcclosure(lua, write_global, 2);
    lua_setfield(lua, 4, "__newindex");
    lua_setmetatable(lua, 3);
    lua_setfield(lua, LUA_REGISTRYINDEX, ENVIRONMENT);
    lua_setfield(lua, LUA_REGISTRYINDEX, GLOBALS);
    config_lua_make_places(lua);
    lua_settop(lua, 0);
}

static void read_globals(lua_State *lua, struct evaluation *evaluation)
{
    lua_getfield(lua, LUA_REGISTRYINDEX, GLOBALS);
    for (size_t i = 0; i < evaluation->set_count; i++) {
        const struct value_field *set = &evaluation->set[i];
        lua_getfield(lua, -1, set->key);
        if (!lua_isnil(lua, -1)) {
            struct value *value = config_lua_read(evaluation, lua_gettop(lua), set->place, 1);
            if (!value || value_set(evaluation->top, set->key, set->place, value) < 0)
                config_lua_raise(lua, evaluation, set->place, "out of memory");
        }
        lua_pop(lua, 1);
    }
    value_sort(evaluation->top);
}

static int evaluate(lua_State *lua)
{
    struct evaluation *evaluation = lua_touserdata(lua, 1);
    make_environment(lua, evaluation);
    lua_sethook(lua, watch, LUA_MASKCOUNT | LUA_MASKLINE, HOOK_EVERY);
    config_lua_run_file(lua, evaluation, &evaluation->files[0]);
    read_globals(lua, evaluation);
    return 0;
}

/* Everything that may raise an error runs inside this: an error outside ends the process. */
static int evaluate_protected(lua_State *lua)
{
    struct evaluation *evaluation = lua_touserdata(lua, 1);
    lua_pushcfunction(lua, handle_error);
    lua_pushcfunction(lua, evaluate);
    lua_pushlightuserdata(lua, evaluation);
    int rc = lua_pcall(lua, 1, 0, 2);
    return rc ? lua_error(lua) : 0;
}

static int run_state(struct evaluation *evaluation)
{
    struct fault *fault = evaluation->fault;
    evaluation->lua = lua_newstate(allocate, evaluation);
    if (!evaluation->lua)
        return fault_set(fault, -ENOMEM, evaluation->files[0].name, 0, "out of memory");
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &evaluation->started);
    int rc = lua_cpcall(evaluation->lua, evaluate_protected, evaluation);
    lua_close(evaluation->lua);
    if (rc == 0)
        return 0;
    if (rc == LUA_ERRMEM || (evaluation->memory_ran_out && !fault->what[0]))
        fault_set(fault, -EINVAL, evaluation->files[evaluation->seen.file].name,
                  evaluation->seen.line, "the config needs more than 64MiB of memory");
    else if (!fault->what[0])
        fault_set(fault, -EINVAL, evaluation->files[0].name, 0, "the config failed");
    return -EINVAL;
}

static int begin(struct evaluation *evaluation)
{
    const struct config_lua_source *where = evaluation->where;
    struct file *file = &evaluation->files[0];
    evaluation->top = value_table((struct value_place){0, 0});
    evaluation->sites = value_table((struct value_place){0, 0});
    file->path = strdup(where->name);
    if (asprintf(&file->name, "%s%s", where->prefix, where->name) < 0)
        file->name = NULL;
    evaluation->files_count = 1;
    if (!evaluation->top || !evaluation->sites || !file->path || !file->name)
        return fault_set(evaluation->fault, -ENOMEM, where->name, 0, "out of memory");
    int rc = include_read_fd(where->file_fd, &file->text, &file->length, &file->identity);
    return rc < 0 ? fault_set(evaluation->fault, rc, file->name, 0, "%s", config_lua_explain(rc))
                  : 0;
}

/* Moves the files' names to `result`. */
static int take_files(struct evaluation *evaluation, struct config_lua_result *result)
{
    result->files = calloc(evaluation->files_count, sizeof(*result->files));
    if (!result->files)
        return fault_set(evaluation->fault, -ENOMEM, NULL, 0, "out of memory");
    for (size_t i = 0; i < evaluation->files_count; i++) {
        result->files[i] = evaluation->files[i].name;
        evaluation->files[i].name = NULL;
    }
    result->files_count = evaluation->files_count;
    return 0;
}

int config_lua_run(const struct config_lua_source *source, struct config_lua_result *result,
                   struct fault *fault)
{
    struct evaluation *evaluation = calloc(1, sizeof(*evaluation));
    *result = (struct config_lua_result){0};
    if (!evaluation)
        return fault_set(fault, -ENOMEM, source->name, 0, "out of memory");
    evaluation->where = source;
    evaluation->fault = fault;
    fault->what[0] = 0;
    int rc = begin(evaluation);
    if (rc == 0)
        rc = run_state(evaluation);
    if (rc == 0)
        rc = take_files(evaluation, result);
    if (rc == 0) {
        result->top = evaluation->top;
        result->sites = evaluation->sites;
    } else {
        value_destroy(evaluation->top);
        value_destroy(evaluation->sites);
    }
    for (size_t i = 0; i < evaluation->files_count; i++) {
        free(evaluation->files[i].path);
        free(evaluation->files[i].name);
        free(evaluation->files[i].text);
        source_finish(&evaluation->files[i].source);
    }
    free(evaluation);
    return rc;
}

void config_lua_finish(struct config_lua_result *result)
{
    value_destroy(result->top);
    value_destroy(result->sites);
    for (size_t i = 0; i < result->files_count; i++)
        free(result->files[i]);
    free(result->files);
    *result = (struct config_lua_result){0};
}

#include "policy/sandbox.h"

#include "policy/policy_lint.h"

#include <luajit.h>
#include <lualib.h>
#include <stdio.h>

/* Said of names that people know from elsewhere. */
static const struct {
    const char *name;
    const char *hint;
} HINTS[] = {
    {"print", "a policy writes to the log with log.info"},
    {"os", "a policy has no clock and no files"},
    {"io", "a policy has no files; see policy.data and policy.manifest"},
    {"random", "see util.bucket"},
    {"randomseed", "see util.bucket"},
    {"dump", "there is no bytecode here"},
    {"load", "a policy loads no code; see require"},
    {"loadstring", "a policy loads no code; see require"},
    {"loadfile", "a policy loads no code; see require"},
    {"dofile", "a policy loads no code; see require"},
    {"module", "a module returns a table; see require"},
    {"package", "see require"},
    {"coroutine", "a hook runs to its end"},
    {"xpcall", "see pcall"},
    {"setfenv", "a policy has one environment"},
    {"getfenv", "a policy has one environment"},
    {"stats", "this version of the API has no statistics"},
    {"learn", "this version of the API learns nothing"},
    {"_G", "a policy has no table of globals"},
};

static const char *hint_for(const char *name)
{
    for (size_t i = 0; i < sizeof(HINTS) / sizeof(HINTS[0]); i++) {
        if (strcmp(name, HINTS[i].name) == 0)
            return HINTS[i].hint;
    }
    return NULL;
}

/* __index of a library's table: upvalue 1 is the library's name. */
static int missing_name(lua_State *L)
{
    const char *names[API_NAMES_MAX];
    const char *library = lua_tostring(L, lua_upvalueindex(1));
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2);
    const char *hint = hint_for(name);
    if (strcmp(library, "_G") == 0)
        lua_pushfstring(L, "there is no global '%s'", name);
    else
        lua_pushfstring(L, "there is no '%s.%s'", library, name);
    if (hint)
        return luaL_error(L, "%s: %s", lua_tostring(L, -1), hint);
    api_library_names(library, names);
    return raise_unknown(L, lua_tostring(L, -1), name, names);
}

/* __newindex of whatever is read-only: upvalue 1 names it. */
static int refuse_write(lua_State *L)
{
    const char *what = lua_tostring(L, lua_upvalueindex(1));
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2);
    if (strcmp(what, "_G") == 0)
        return luaL_error(L, "'%s' is assigned as a global; write 'local %s'", name, name);
    return luaL_error(L, "'%s.%s' is assigned, but %s is read-only", what, name, what);
}

void sandbox_protect(lua_State *L, const char *what, lua_CFunction missing)
{
    /* The real table, whose own metatable tells what is missing in it. */
    lua_createtable(L, 0, 1);
    lua_pushstring(L, what);
    lua_pushcclosure(L, missing, 1);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    /* The one that is shown: empty, so that every write comes to __newindex. */
    lua_newtable(L);
    lua_createtable(L, 0, 4);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushstring(L, what);
    lua_pushcclosure(L, refuse_write, 1);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, "__readonly");
    lua_setmetatable(L, -2);
    lua_remove(L, -2);
}

/* rawset, except for what is read-only. */
static int guarded_rawset(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 2);
    luaL_checkany(L, 3);
    if (luaL_getmetafield(L, 1, "__readonly"))
        return luaL_error(L, "rawset: the table is read-only");
    lua_settop(L, 3);
    lua_rawset(L, 1);
    return 1;
}

/* string.rep, with an end to it: upvalue 1 is Lua's own. */
static int capped_rep(lua_State *L)
{
    size_t length = check_span(L, 1).length;
    lua_Number times = luaL_checknumber(L, 2);
    if (!lua_isnoneornil(L, 3))
        length += check_span(L, 3).length;
    if (times * (lua_Number)length > VM_REP_MAX)
        return luaL_error(L, "string.rep: the result would be longer than %d bytes", VM_REP_MAX);
    /* An empty string a billion times would take its time. */
    if (length == 0)
        times = times < 1 ? 0 : 1;
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_settop(L, 4);
    lua_pushnumber(L, times);
    lua_replace(L, 3);
    lua_call(L, 3, 1);
    return 1;
}

/* string.gsub, with a bound on gsub within gsub, each of which takes some 9 KB of the C stack: by a
 * function, or by a table's __index. Upvalue 1 is Lua's own. */
static int bounded_gsub(lua_State *L)
{
    struct policy_vm *vm = vm_of(L);
    unsigned depth = vm->now.depth;
    lua_settop(L, 4);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    if (lua_type(L, 4) != LUA_TFUNCTION && lua_type(L, 4) != LUA_TTABLE) {
        lua_call(L, 4, 2);
        return 2;
    }
    if (depth == VM_DEPTH_MAX)
        return luaL_error(L, "string.gsub is called by itself %d times over", VM_DEPTH_MAX);
    vm->now.depth = depth + 1;
    int status = lua_pcall(L, 4, 2, 0);
    vm->now.depth = depth;
    return status ? lua_error(L) : 2;
}

/* Replaces the library function `name` of the table at the top by a wrapper of it. */
static void wrap(lua_State *L, const char *name, lua_CFunction wrapper)
{
    lua_getfield(L, -1, name);
    lua_pushcclosure(L, wrapper, 1);
    lua_setfield(L, -2, name);
}

/* Pushes a table with what api.def keeps of the global library `library`. */
static void push_kept(lua_State *L, const char *library)
{
    lua_newtable(L);
    lua_getglobal(L, library);
    for (size_t i = 0; i < API_LUA_COUNT; i++) {
        if (strcmp(API_LUA_ENTRIES[i].library, library) != 0)
            continue;
        lua_getfield(L, -1, API_LUA_ENTRIES[i].name);
        lua_setfield(L, -3, API_LUA_ENTRIES[i].name);
    }
    lua_pop(L, 1);
}

static void open_library(lua_State *L, const char *name, lua_CFunction open)
{
    lua_pushcfunction(L, open);
    lua_pushstring(L, name);
    lua_call(L, 1, 0);
}

/* Strings keep their methods, whose table no policy can reach. */
static void protect_strings(lua_State *L)
{
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, SLOT_STRING);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 2);
}

void sandbox_open(lua_State *L)
{
    static const char *const LIBRARIES[] = {LUA_STRLIBNAME, LUA_TABLIBNAME, LUA_MATHLIBNAME,
                                            LUA_BITLIBNAME};
    open_library(L, "", luaopen_base);
    open_library(L, LUA_STRLIBNAME, luaopen_string);
    open_library(L, LUA_TABLIBNAME, luaopen_table);
    open_library(L, LUA_MATHLIBNAME, luaopen_math);
    open_library(L, LUA_BITLIBNAME, luaopen_bit);
    /* After the libraries: opening them may turn it on. */
    luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
    push_kept(L, "_G");
    lua_pushcfunction(L, guarded_rawset);
    lua_setfield(L, -2, "rawset");
    for (size_t i = 0; i < sizeof(LIBRARIES) / sizeof(LIBRARIES[0]); i++) {
        push_kept(L, LIBRARIES[i]);
        if (strcmp(LIBRARIES[i], LUA_STRLIBNAME) == 0) {
            wrap(L, "rep", capped_rep);
            wrap(L, "gsub", bounded_gsub);
            lua_pushvalue(L, -1);
            lua_rawseti(L, LUA_REGISTRYINDEX, SLOT_STRING);
        }
        sandbox_protect(L, LIBRARIES[i], missing_name);
        lua_setfield(L, -2, LIBRARIES[i]);
    }
    lua_rawseti(L, LUA_REGISTRYINDEX, SLOT_GLOBALS);
    protect_strings(L);
}

struct text {
    struct span rest;
};

static const char *read_text(lua_State *L, void *data, size_t *size)
{
    struct text *text = data;
    (void)L;
    *size = text->rest.length;
    text->rest.length = 0;
    return *size ? text->rest.data : NULL;
}

/* The name of the bundle's file that is nearest to `name`, in `found`; false when none is near. */
static bool nearest_file(const struct bundle *bundle, const char *name, char *found)
{
    char other[BUNDLE_NAME_MAX + 1];
    const char *pair[] = {found, other, NULL};
    found[0] = '\0';
    for (size_t i = 0; bundle && i < bundle_count(bundle); i++) {
        struct span file = bundle_name(bundle, i);
        snprintf(other, sizeof(other), "%.*s", SPAN_PRINT(file));
        if (fault_nearest(name, pair) == other)
            memcpy(found, other, sizeof(other));
    }
    return found[0];
}

static int raise_no_file(lua_State *L, struct policy_vm *vm, const char *file)
{
    char name[BUNDLE_NAME_MAX + 1];
    if (nearest_file(vm->bundle, file, name))
        return luaL_error(L, "no file '%s' among the policies; did you mean '%s'?", file, name);
    return luaL_error(L, "no file '%s' among the policies", file);
}

/* A dictionary that nobody declared is an error now, not when its line runs. */
static void check_shared(lua_State *L, struct policy_vm *vm, const char *file, struct span text)
{
    char name[65], what[256];
    deadline_hold();
    int line = policy_lint_shared(vm->config, text, name);
    deadline_release();
    if (!line)
        return;
    shared_unknown(vm->config, name, what, sizeof(what));
    luaL_error(L, "%s:%d: %s", file, line, what);
}

void sandbox_compile(lua_State *L, struct policy_vm *vm, const char *file, int environment)
{
    char chunk[BUNDLE_NAME_MAX + 2];
    struct text text = {{NULL, 0}};
    if (vm->bundle)
        text.rest = bundle_find(vm->bundle, span_of(file));
    if (!text.rest.data)
        raise_no_file(L, vm, file);
    if (text.rest.length && text.rest.data[0] == LUA_SIGNATURE[0])
        luaL_error(L, "%s:1: this is bytecode; a policy is Lua text", file);
    struct span text_of_file = text.rest;
    snprintf(chunk, sizeof(chunk), "@%s", file);
    if (lua_loadx(L, read_text, &text, chunk, "t") != 0)
        lua_error(L);
    check_shared(L, vm, file, text_of_file);
    lua_pushvalue(L, environment);
    lua_setfenv(L, -2);
}

/* "lib.prices", "lib/prices" and "lib/prices.lua" all mean the same file. */
static void file_of_module(lua_State *L, struct span name, char *file, size_t size)
{
    bool whole = span_ends(name, SPAN_LITERAL(".lua"));
    if (name.length == 0 || name.length + 5 > size)
        luaL_error(L, "require: no file can be called '%s'", name.data);
    snprintf(file, size, "%.*s%s", SPAN_PRINT(name), whole ? "" : ".lua");
    for (size_t i = 0; !whole && i < name.length; i++) {
        if (file[i] == '.')
            file[i] = '/';
    }
}

/* Called with a module's name and the environment: returns its value. */
static int run_module(lua_State *L)
{
    char file[BUNDLE_NAME_MAX + 1];
    file_of_module(L, check_span(L, 1), file, sizeof(file));
    sandbox_compile(L, vm_of(L), file, 2);
    lua_call(L, 0, 1);
    if (lua_isnil(L, -1) || lua_isboolean(L, -1))
        return luaL_error(L, "%s:1: a module ends with 'return' and a value", file);
    return 1;
}

/* require(name): upvalue 1 is the table of what is loaded, 2 the environment. */
static int sandbox_require(lua_State *L)
{
    struct policy_vm *vm = vm_of(L);
    char file[BUNDLE_NAME_MAX + 1];
    file_of_module(L, check_span(L, 1), file, sizeof(file));
    lua_settop(L, 1);
    lua_getfield(L, lua_upvalueindex(1), file);
    if (lua_type(L, -1) == LUA_TBOOLEAN)
        return luaL_error(L, "require: '%s' is being loaded already; files require each other",
                          file);
    if (!lua_isnil(L, -1))
        return 1;
    lua_pop(L, 1);
    if (!vm->bundle || !bundle_find(vm->bundle, span_of(file)).data)
        return raise_no_file(L, vm, file);
    lua_pushboolean(L, 0);
    lua_setfield(L, lua_upvalueindex(1), file);
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_pushcfunction(L, run_module);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    int status = lua_pcall(L, 2, 1, 0);
    if (status)
        lua_pushnil(L);
    else
        lua_pushvalue(L, -1);
    lua_setfield(L, lua_upvalueindex(1), file);
    return status ? lua_error(L) : 1;
}

void sandbox_environment(lua_State *L, struct policy_vm *vm, const struct policy *policy)
{
    lua_newtable(L);
    lua_rawgeti(L, LUA_REGISTRYINDEX, SLOT_GLOBALS);
    for (lua_pushnil(L); lua_next(L, -2) != 0;) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, -5);
    }
    lua_pop(L, 1);
    binding_libraries(L, vm, policy);
    lua_pushvalue(L, -1);
    sandbox_protect(L, "_G", missing_name);
    /* `require` needs the environment that it is part of. */
    lua_newtable(L);
    lua_pushvalue(L, -2);
    lua_pushcclosure(L, sandbox_require, 2);
    lua_setfield(L, -3, "require");
    lua_remove(L, -2);
}

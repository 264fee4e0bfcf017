/* What of Lua's libraries a config may use. */
#include "master/config/config_lua_state.h"

#include <assert.h>
#include <lauxlib.h>
#include <luajit.h>
#include <lualib.h>

static void copy_fields(lua_State *lua, int from, int to, const char *const *names)
{
    for (; *names; names++) {
        lua_getfield(lua, from, *names);
        assert(!lua_isnil(lua, -1));
        lua_setfield(lua, to, *names);
    }
}

/* Opens a library and puts a table of its harmless functions under `name` into the table at `to`
 * (for the base library: the functions themselves). */
static void open_library(lua_State *lua, lua_CFunction open, const char *name,
                         const char *const *names, int to)
{
    lua_pushcfunction(lua, open);
    lua_pushstring(lua, *name ? name : "");
    lua_call(lua, 1, 0);
    if (!*name) {
        copy_fields(lua, LUA_GLOBALSINDEX, to, names);
        return;
    }
    lua_getglobal(lua, name);
    lua_newtable(lua);
    copy_fields(lua, lua_gettop(lua) - 1, lua_gettop(lua), names);
    lua_setfield(lua, to, name);
    lua_pop(lua, 1);
}

void config_lua_open_libraries(lua_State *lua, int to)
{
    static const char *const BASE[] = {"assert", "error",  "ipairs",   "next",
                                       "pairs",  "select", "tonumber", "tostring",
                                       "type",   "unpack", NULL};
    static const char *const STRING[] = {"byte",    "char", "find",  "format", "gmatch",
                                         "gsub",    "len",  "lower", "match",  "rep",
                                         "reverse", "sub",  "upper", NULL};
    static const char *const TABLE[] = {"concat", "insert", "maxn", "remove", "sort", NULL};
    static const char *const MATH[] = {"abs", "ceil", "floor", "fmod", "huge", "log", "max",
                                       "min", "modf", "pi",    "pow",  "sqrt", NULL};
    static const char *const BIT[] = {"band",   "bnot",  "bor",   "bxor", "lshift",
                                      "rshift", "tobit", "tohex", NULL};
    open_library(lua, luaopen_base, "", BASE, to);
    open_library(lua, luaopen_string, "string", STRING, to);
    open_library(lua, luaopen_table, "table", TABLE, to);
    open_library(lua, luaopen_math, "math", MATH, to);
    open_library(lua, luaopen_bit, "bit", BIT, to);
    /* ("x"):dump() must find no more than string.dump does. */
    lua_pushliteral(lua, "");
    lua_getmetatable(lua, -1);
    lua_getfield(lua, to, "string");
    lua_setfield(lua, -2, "__index");
    lua_pop(lua, 2);
    /* Opening libraries may have turned the compiler on. */
    luaJIT_setmode(lua, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
}

/* From Lua's values to ours, and how tables know where they were made. */
#include "master/config/config_lua_state.h"

#include <errno.h>
#include <lauxlib.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define VALUES_MAX 200000

/* Registry keys: tables -> the number of their constructor, and the function __at. */
#define PLACES "herald.places"
#define AT "herald.at"

size_t config_lua_place_base(size_t file)
{
    return file * (size_t)SOURCE_TABLES_MAX;
}

/* __at(N, table): the table was made by the constructor N. */
static int note_table(lua_State *lua)
{
    luaL_checktype(lua, 1, LUA_TNUMBER);
    luaL_checktype(lua, 2, LUA_TTABLE);
    lua_settop(lua, 2);
    lua_getfield(lua, LUA_REGISTRYINDEX, PLACES);
    lua_pushvalue(lua, 2);
    lua_pushvalue(lua, 1);
    lua_rawset(lua, -3);
    lua_settop(lua, 2);
    return 1;
}

void config_lua_make_places(lua_State *lua)
{
    /* Tables that the config has dropped need no place. */
    lua_newtable(lua);
    lua_newtable(lua);
    lua_pushliteral(lua, "k");
    lua_setfield(lua, -2, "__mode");
    lua_setmetatable(lua, -2);
    lua_setfield(lua, LUA_REGISTRYINDEX, PLACES);
    lua_pushcfunction(lua, note_table);
    lua_setfield(lua, LUA_REGISTRYINDEX, AT);
}

void config_lua_push_at(lua_State *lua)
{
    lua_getfield(lua, LUA_REGISTRYINDEX, AT);
}

static struct value *fail_value(struct evaluation *evaluation, struct value_place place,
                                const char *what)
{
    if (!evaluation->fault->what[0])
        fault_set(evaluation->fault, -EINVAL, evaluation->files[place.file].name, place.line, "%s",
                  what);
    value_clean(evaluation->fault->what);
    return NULL;
}

static bool is_utf8(const char *text, size_t length)
{
    for (size_t i = 0; i < length;) {
        unsigned char lead = (unsigned char)text[i++];
        unsigned more = lead < 0x80 ? 0 : (lead & 0xe0) == 0xc0 ? 1 : (lead & 0xf0) == 0xe0 ? 2 : 3;
        uint32_t point = more == 0 ? lead : lead & (0x3fU >> more);
        if ((lead & 0xc0) == 0x80 || lead > 0xf4 || i + more > length)
            return false;
        for (unsigned n = 0; n < more; n++) {
            if (((unsigned char)text[i] & 0xc0) != 0x80)
                return false;
            point = (point << 6) | ((unsigned char)text[i++] & 0x3fU);
        }
        if ((more == 1 && point < 0x80) || (more == 2 && point < 0x800) ||
            (more == 3 && (point < 0x10000 || point > 0x10ffff)) ||
            (point >= 0xd800 && point < 0xe000))
            return false;
    }
    return true;
}

const char *config_lua_text(struct evaluation *evaluation, int index, struct value_place place)
{
    size_t length;
    const char *text = lua_tolstring(evaluation->lua, index, &length);
    if (memchr(text, 0, length) || !is_utf8(text, length)) {
        fail_value(evaluation, place, "a string is not text: it has a NUL or is not UTF-8");
        return NULL;
    }
    return text;
}

/* Which constructor made the table at `index`; false when none of the config's did. */
static bool made_by(struct evaluation *evaluation, int index, unsigned *file, size_t *table)
{
    lua_State *lua = evaluation->lua;
    lua_getfield(lua, LUA_REGISTRYINDEX, PLACES);
    lua_pushvalue(lua, index);
    lua_rawget(lua, -2);
    size_t at = lua_isnumber(lua, -1) ? (size_t)lua_tonumber(lua, -1) : SIZE_MAX;
    lua_pop(lua, 2);
    *file = (unsigned)(at / SOURCE_TABLES_MAX);
    *table = at % SOURCE_TABLES_MAX;
    return at != SIZE_MAX && *file < evaluation->files_count &&
           *table < evaluation->files[*file].source.tables_count;
}

struct table_reading {
    struct value *value;
    const struct source *source; /* NULL: it is not known where the table was made */
    size_t table;
    size_t length; /* of the list in it */
    unsigned depth;
};

static int read_items(struct evaluation *evaluation, const struct table_reading *reading, int index)
{
    lua_State *lua = evaluation->lua;
    struct value_place place = reading->value->place;
    for (size_t i = 0; i < reading->length; i++) {
        if (reading->source)
            place.line = source_item_line(reading->source, reading->table, i);
        lua_rawgeti(lua, index, (int)i + 1);
        struct value *item =
            config_lua_read(evaluation, lua_gettop(lua), place, reading->depth + 1);
        lua_pop(lua, 1);
        if (!item || value_add(reading->value, item) < 0)
            return -EINVAL;
    }
    return 0;
}

/* The field whose key and value are on top of the stack. */
static int read_field(struct evaluation *evaluation, const struct table_reading *reading)
{
    lua_State *lua = evaluation->lua;
    struct value_place place = reading->value->place;
    char what[FAULT_WHAT_MAX];
    int again = 0;
    if (lua_type(lua, -2) == LUA_TNUMBER) {
        double number = lua_tonumber(lua, -2);
        if (number >= 1 && number <= (double)reading->length && floor(number) == number)
            return 0;
        fail_value(evaluation, place, "a list has holes, or a number for a key");
        return -EINVAL;
    }
    if (lua_type(lua, -2) != LUA_TSTRING) {
        fail_value(evaluation, place, "a table has a key that is neither a name nor a number");
        return -EINVAL;
    }
    const char *key = config_lua_text(evaluation, lua_gettop(lua) - 1, place);
    if (!key)
        return -EINVAL;
    if (reading->source)
        place.line = source_key_line(reading->source, reading->table, key, &again);
    if (again) {
        place.line = again;
        snprintf(what, sizeof(what), "%.64s is given twice in one table", key);
        fail_value(evaluation, place, what);
        return -EINVAL;
    }
    struct value *value = config_lua_read(evaluation, lua_gettop(lua), place, reading->depth + 1);
    return value ? value_set(reading->value, key, place, value) : -EINVAL;
}

static struct value *read_table(struct evaluation *evaluation, int index, struct value_place place,
                                unsigned depth)
{
    lua_State *lua = evaluation->lua;
    struct table_reading reading = {.length = lua_objlen(lua, index), .depth = depth};
    unsigned file;
    int rc;
    if (depth > CONFIG_LUA_NESTED_MAX || !lua_checkstack(lua, 8))
        return fail_value(evaluation, place, "tables are nested too deeply");
    if (made_by(evaluation, index, &file, &reading.table)) {
        reading.source = &evaluation->files[file].source;
        place = (struct value_place){file, reading.source->tables[reading.table].line};
    }
    reading.value = value_table(place);
    if (!reading.value)
        return fail_value(evaluation, place, "out of memory");
    rc = read_items(evaluation, &reading, index);
    lua_pushnil(lua);
    while (rc == 0 && lua_next(lua, index)) {
        rc = read_field(evaluation, &reading);
        lua_pop(lua, 1);
    }
    if (rc < 0) {
        lua_settop(lua, index);
        value_destroy(reading.value);
        return fail_value(evaluation, place, "out of memory");
    }
    value_sort(reading.value);
    return reading.value;
}

struct value *config_lua_read(struct evaluation *evaluation, int index, struct value_place place,
                              unsigned depth)
{
    lua_State *lua = evaluation->lua;
    const char *text;
    if (++evaluation->values > VALUES_MAX)
        return fail_value(evaluation, place, "the config has too many values");
    switch (lua_type(lua, index)) {
    case LUA_TSTRING:
        text = config_lua_text(evaluation, index, place);
        return text ? value_text(text, place) : NULL;
    case LUA_TNUMBER:
        return value_number(lua_tonumber(lua, index), place);
    case LUA_TBOOLEAN:
        return value_bool(lua_toboolean(lua, index) != 0, place);
    case LUA_TTABLE:
        return read_table(evaluation, index, place, depth);
    default:
        return value_other(luaL_typename(lua, index), place);
    }
}

/* JSON texts as Lua values. */
#include "policy/vm.h"

static void push_value(lua_State *L, const json_t *value);

static void push_object(lua_State *L, const json_t *object)
{
    const char *key;
    json_t *value;
    lua_createtable(L, 0, (int)json_object_size(object));
    json_object_foreach((json_t *)object, key, value)
    {
        lua_pushstring(L, key);
        push_value(L, value);
        lua_rawset(L, -3);
    }
}

static void push_array(lua_State *L, const json_t *array)
{
    size_t count = json_array_size(array);
    lua_createtable(L, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        push_value(L, json_array_get(array, i));
        lua_rawseti(L, -2, (int)i + 1);
    }
}

static void push_value(lua_State *L, const json_t *value)
{
    luaL_checkstack(L, 8, "JSON");
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        push_object(L, value);
        break;
    case JSON_ARRAY:
        push_array(L, value);
        break;
    case JSON_STRING:
        lua_pushlstring(L, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        lua_pushnumber(L, (lua_Number)json_integer_value(value));
        break;
    case JSON_REAL:
        lua_pushnumber(L, json_real_value(value));
        break;
    case JSON_NULL:
        lua_pushnil(L);
        break;
    default:
        lua_pushboolean(L, json_is_true(value));
    }
}

/* How deep the brackets of a text nest; those in strings do not count. */
static unsigned depth_of(struct span text)
{
    unsigned depth = 0, deepest = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '[' || c == '{') && ++depth > deepest)
            deepest = depth;
        else if (!quoted && (c == ']' || c == '}') && depth)
            depth--;
    }
    return deepest;
}

void json_drop(struct policy_vm *vm)
{
    json_t *json = vm->json;
    vm->json = NULL;
    json_decref(json);
}

void json_push(lua_State *L, struct policy_vm *vm, struct span text, const char *name)
{
    json_error_t error;
    if (depth_of(text) > VM_JSON_DEPTH_MAX)
        luaL_error(L, "%s: nested deeper than %d", name, VM_JSON_DEPTH_MAX);
    deadline_hold();
    json_drop(vm);
    vm->json = json_loadb(text.length ? text.data : "", text.length,
                          JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
    deadline_release();
    if (!vm->json)
        luaL_error(L, "%s:%d: %s", name, error.line, error.text);
    push_value(L, vm->json);
    deadline_hold();
    json_drop(vm);
    deadline_release();
}

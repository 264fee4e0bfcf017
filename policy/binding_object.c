/* What all objects given to hooks have in common. */
#include "policy/vm.h"

#include <assert.h>

static const struct {
    enum api_word word;
    const char *name;
    lua_CFunction index;
} KINDS[OBJECTS] = {
    [OBJECT_REQ] = {API_req, "req", req_index},
    [OBJECT_CLIENT] = {API_client, "req.client", client_index},
    [OBJECT_CAN] = {API_can, "req.client.can", can_index},
    [OBJECT_HEADERS] = {API_WORDS, "req.headers", headers_index},
    [OBJECT_COOKIES] = {API_WORDS, "req.cookies", cookies_index},
    [OBJECT_RES] = {API_res, "res", res_index},
    [OBJECT_RES_HEADERS] = {API_WORDS, "res.headers", headers_index},
    [OBJECT_R] = {API_r, "r", r_index},
    [OBJECT_PUSH] = {API_push, "push", push_index},
};

static const struct {
    enum api_word word;
    lua_CFunction function;
} METHODS[] = {
    {API_client_has, client_has}, {API_push_add, push_add},
    {API_push_add_all, push_add_all}, {API_push_hint, push_hint},
    {API_push_preconnect, push_preconnect}, {API_push_skip, push_skip},
    {API_push_each, push_each},
};

static const char *const RESULTS[] = {
    [PUSH_RESULT_DELIVERED] = "delivered",
    [PUSH_RESULT_CANCELLED] = "cancelled",
    [PUSH_RESULT_REFUSED] = "refused",
    [PUSH_RESULT_LOST] = "lost",
};

int raise_unknown(lua_State *L, const char *sentence, const char *word, const char *const *words)
{
    const char *nearest = fault_nearest(word, words);
    if (nearest)
        return luaL_error(L, "%s; did you mean '%s'?", sentence, nearest);
    return luaL_error(L, "%s", sentence);
}

static int raise_stale(lua_State *L, enum object object)
{
    return luaL_error(L, "%s is used after its hook ended; keep values of it, or req.vars",
                      KINDS[object].name);
}

struct handle *object_check(lua_State *L, struct policy_vm *vm, int index, enum object object)
{
    /* No userdata but these ever reaches a policy. */
    struct handle *handle = lua_touserdata(L, index);
    if (!handle || handle->object != object)
        luaL_typerror(L, index, KINDS[object].name);
    else if (handle->run != vm->now.run || !vm->now.run)
        raise_stale(L, object);
    return handle;
}

enum api_word object_field(lua_State *L, struct policy_vm *vm, enum object object)
{
    const char *names[API_NAMES_MAX];
    enum api_word word = KINDS[object].word;
    unsigned end = vm->ends[object];
    const void *address = lua_topointer(L, 2);
    for (unsigned i = (unsigned)word + 1; i < end; i++) {
        if (vm->words[i] == address)
            return (enum api_word)i;
    }
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2);
    api_names(word, names);
    lua_pushfstring(L, "%s has no field '%s'", API[word].name, key);
    raise_unknown(L, lua_tostring(L, -1), key, names);
    return word;
}

void object_push(lua_State *L, const struct policy_vm *vm, enum object object)
{
    int slot = SLOT_OBJECTS + (int)(vm->now.set * OBJECTS + object);
    lua_rawgeti(L, LUA_REGISTRYINDEX, slot);
    struct handle *handle = lua_touserdata(L, -1);
    handle->run = vm->now.run;
}

void object_measure(struct policy_vm *vm)
{
    if (!vm->host->measure || !vm->now.request)
        return;
    deadline_hold();
    vm->host->measure(vm->host->context, vm->now.request);
    deadline_release();
}

static struct handle *make_handle(lua_State *L, enum object object)
{
    struct handle *handle = lua_newuserdata(L, sizeof(*handle));
    *handle = (struct handle){0, object, HANDLE_CURRENT};
    lua_rawgeti(L, LUA_REGISTRYINDEX, SLOT_METATABLES + (int)object);
    lua_setmetatable(L, -2);
    return handle;
}

void object_push_candidate(lua_State *L, const struct policy_vm *vm, uint32_t index)
{
    struct handle *handle = make_handle(L, OBJECT_R);
    handle->run = vm->now.run;
    handle->index = index;
}

static int refuse_write(lua_State *L)
{
    struct handle *handle = lua_touserdata(L, 1);
    return luaL_error(L, "%s is read-only; req.vars is yours to write",
                      handle && handle->object < OBJECTS ? KINDS[handle->object].name : "this");
}

static int show(lua_State *L)
{
    struct handle *handle = lua_touserdata(L, 1);
    lua_pushstring(L, handle && handle->object < OBJECTS ? KINDS[handle->object].name : "?");
    return 1;
}

static void make_metatable(lua_State *L, enum object object)
{
    lua_createtable(L, 0, 4);
    lua_pushcfunction(L, KINDS[object].index);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, refuse_write);
    lua_setfield(L, -2, "__newindex");
    lua_pushcfunction(L, show);
    lua_setfield(L, -2, "__tostring");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_rawseti(L, LUA_REGISTRYINDEX, SLOT_METATABLES + (int)object);
}

/* Interns `word` for good and returns its address. */
static const void *intern(lua_State *L, const char *word, int slot)
{
    lua_pushstring(L, word);
    const void *address = lua_topointer(L, -1);
    lua_rawseti(L, LUA_REGISTRYINDEX, slot);
    return address;
}

void binding_objects(lua_State *L)
{
    struct policy_vm *vm = vm_of(L);
    for (unsigned i = 0; i < OBJECTS; i++) {
        make_metatable(L, (enum object)i);
        vm->ends[i] = KINDS[i].word < API_WORDS ? api_end(KINDS[i].word) : API_WORDS;
    }
    for (int i = 0; i < VM_SETS * OBJECTS; i++) {
        make_handle(L, (enum object)(i % OBJECTS));
        lua_rawseti(L, LUA_REGISTRYINDEX, SLOT_OBJECTS + i);
    }
    for (int i = 0; i < API_WORDS; i++)
        vm->words[i] = intern(L, API[i].name, SLOT_WORDS + i);
    for (int i = 0; i < AS_KINDS; i++)
        vm->as_words[i] = intern(L, asset_as_name((enum asset_as)i), SLOT_AS + i);
    for (int i = 0; i <= PUSH_RESULT_LOST; i++)
        intern(L, RESULTS[i], SLOT_RESULTS + i);
    for (size_t i = 0; i < sizeof(METHODS) / sizeof(METHODS[0]); i++) {
        lua_pushcfunction(L, METHODS[i].function);
        lua_rawseti(L, LUA_REGISTRYINDEX, SLOT_METHODS + (int)METHODS[i].word);
    }
}

void push_as(lua_State *L, enum asset_as as)
{
    if (as == AS_UNKNOWN)
        lua_pushnil(L);
    else
        lua_rawgeti(L, LUA_REGISTRYINDEX, SLOT_AS + (int)as);
}

enum asset_as check_as(lua_State *L, struct policy_vm *vm, int index)
{
    const char *names[AS_KINDS];
    const void *address = lua_topointer(L, index);
    for (unsigned as = AS_UNKNOWN + 1; as < AS_KINDS; as++) {
        if (vm->as_words[as] == address)
            return (enum asset_as)as;
    }
    bool is_name = lua_type(L, index) == LUA_TSTRING;
    const char *name = is_name ? lua_tostring(L, index) : luaL_typename(L, index);
    for (unsigned as = AS_UNKNOWN + 1; as < AS_KINDS; as++)
        names[as - 1] = asset_as_name((enum asset_as)as);
    names[AS_KINDS - 1] = NULL;
    lua_pushfstring(L, "there is no destination '%s'", name);
    raise_unknown(L, lua_tostring(L, -1), name, names);
    return AS_UNKNOWN;
}

/* The global table `shared`: dictionaries that all workers have in common (policy/shared_dict.h).
 * Where the host has none (specs, checks) a state has private ones, whose clock stands still. */
#include "policy/sandbox.h"
#include "policy/vm.h"

#include <errno.h>
#include <math.h>
#include <sys/mman.h>

#define TTL_MAX (UINT32_C(10) * 365 * 86400)

/* A call under way: which dictionary, and the time. */
struct call {
    struct shared_dict *dict;
    struct span key;
    uint32_t now_s;
};

static int private_dicts(struct policy_vm *vm)
{
    static const uint8_t key[16] = {0};
    size_t bytes = vm->config->shared_count * SHARED_BYTES_MIN;
    if (vm->scratch)
        return 0;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return -ENOMEM;
    vm->scratch = memory;
    for (size_t i = 0; i < vm->config->shared_count; i++)
        shared_dict_attach(&vm->scratch_dicts[i], (char *)memory + i * SHARED_BYTES_MIN,
                           SHARED_BYTES_MIN, 1, key);
    return 0;
}

void shared_drop(struct policy_vm *vm)
{
    if (vm->scratch)
        munmap(vm->scratch, vm->config->shared_count * SHARED_BYTES_MIN);
    vm->scratch = NULL;
}

/* Methods have their dictionary's number as upvalue 1. */
static struct call begin(lua_State *L, const char *method)
{
    struct policy_vm *vm = vm_of(L);
    struct call call = {.now_s = 1};
    unsigned index = (unsigned)lua_tointeger(L, lua_upvalueindex(1));
    const char *name = vm->config->shared[index].name;
    if (!lua_istable(L, 1))
        luaL_error(L, "shared.%s.%s: call it with a colon, shared.%s:%s(key)", name, method, name,
                   method);
    if (!vm->now.request)
        luaL_error(L, "shared.%s:%s needs a request; it works in hooks other than init", name,
                   method);
    call.key = check_span(L, 2);
    if (vm->host->dictionary) {
        call.dict =
            vm->host->dictionary(vm->host->context, vm->now.request, index, &call.now_s);
        return call;
    }
    deadline_hold();
    int rc = private_dicts(vm);
    deadline_release();
    if (rc < 0)
        luaL_error(L, "no memory for shared.%s", name);
    call.dict = &vm->scratch_dicts[index];
    return call;
}

/* What came of it: true, or nil and why. */
static int push_result(lua_State *L, enum shared_result result)
{
    const char *why = shared_dict_why(result);
    if (!why) {
        lua_pushboolean(L, result == SHARED_DONE);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, why);
    return 2;
}

static struct shared_value check_value(lua_State *L, int index)
{
    switch (lua_type(L, index)) {
    case LUA_TSTRING:
        return (struct shared_value){.type = SHARED_STRING, .text = check_span(L, index)};
    case LUA_TNUMBER:
        return (struct shared_value){.type = SHARED_NUMBER, .number = lua_tonumber(L, index)};
    case LUA_TBOOLEAN:
        return (struct shared_value){.type = SHARED_BOOLEAN,
                                     .number = lua_toboolean(L, index)};
    case LUA_TNIL:
        luaL_error(L, "a value is a string, number or boolean, not nil; delete removes a key");
        break;
    default:
        luaL_error(L, "a value is a string, number or boolean, not a %s", luaL_typename(L, index));
    }
    return (struct shared_value){0};
}

static uint32_t check_ttl(lua_State *L, int index)
{
    lua_Number ttl_s = lua_isnoneornil(L, index) ? 0 : luaL_checknumber(L, index);
    if (lua_isnoneornil(L, index))
        return 0;
    if (!(ttl_s > 0 && ttl_s <= TTL_MAX))
        luaL_error(L, "ttl is seconds, more than 0 and at most 10 years");
    return (uint32_t)ceil(ttl_s);
}

static int shared_get(lua_State *L)
{
    struct call call = begin(L, "get");
    struct shared_value value;
    char text[SHARED_VALUE_MAX];
    deadline_hold();
    enum shared_result result = shared_dict_get(call.dict, call.key, call.now_s, &value, text);
    deadline_release();
    if (result == SHARED_ABSENT) {
        lua_pushnil(L);
        return 1;
    }
    if (result != SHARED_DONE)
        return push_result(L, result);
    if (value.type == SHARED_STRING)
        push_span(L, value.text);
    else if (value.type == SHARED_NUMBER)
        lua_pushnumber(L, value.number);
    else
        lua_pushboolean(L, value.number != 0);
    return 1;
}

static int put(lua_State *L, const char *method, bool only_new)
{
    struct call call = begin(L, method);
    struct shared_value value = check_value(L, 3);
    uint32_t ttl_s = check_ttl(L, 4);
    deadline_hold();
    enum shared_result result =
        only_new ? shared_dict_add(call.dict, call.key, &value, ttl_s, call.now_s)
                 : shared_dict_set(call.dict, call.key, &value, ttl_s, call.now_s);
    deadline_release();
    return push_result(L, result);
}

static int shared_set(lua_State *L)
{
    return put(L, "set", false);
}

static int shared_add(lua_State *L)
{
    return put(L, "add", true);
}

static int shared_delete(lua_State *L)
{
    struct call call = begin(L, "delete");
    deadline_hold();
    enum shared_result result = shared_dict_delete(call.dict, call.key, call.now_s);
    deadline_release();
    return push_result(L, result);
}

static int shared_incr(lua_State *L)
{
    struct call call = begin(L, "incr");
    double by = luaL_optnumber(L, 3, 1);
    double init = luaL_optnumber(L, 4, 0);
    uint32_t ttl_s = check_ttl(L, 5);
    double sum = 0;
    deadline_hold();
    enum shared_result result =
        shared_dict_incr(call.dict, call.key, by, init, ttl_s, call.now_s, &sum);
    deadline_release();
    if (result != SHARED_DONE)
        return push_result(L, result);
    lua_pushnumber(L, sum);
    return 1;
}

/* __index of what a dictionary lacks: upvalue 1 is its name. */
static int missing_method(lua_State *L)
{
    const char *names[API_NAMES_MAX];
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2);
    api_names(API_dictionary, names);
    lua_pushfstring(L, "%s has no method '%s'", lua_tostring(L, lua_upvalueindex(1)), name);
    return raise_unknown(L, lua_tostring(L, -1), name, names);
}

void shared_unknown(const struct config *config, const char *name, char *text, size_t size)
{
    const char *names[CONFIG_SHARED_MAX + 1] = {NULL};
    for (size_t i = 0; i < config->shared_count; i++)
        names[i] = config->shared[i].name;
    const char *nearest = fault_nearest(name, names);
    if (nearest)
        snprintf(text, size, "the config declares no dictionary 'shared.%.64s'; did you mean '%s'?",
                 name, nearest);
    else
        snprintf(text, size,
                 "the config declares no dictionary 'shared.%.64s'; add shared = { %.64s = "
                 "\"1MiB\" }",
                 name, name);
}

static int missing_dictionary(lua_State *L)
{
    char text[256];
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2);
    shared_unknown(vm_of(L)->config, name, text, sizeof(text));
    return luaL_error(L, "%s", text);
}

static void push_dictionary(lua_State *L, const struct policy_vm *vm, unsigned index)
{
    static const luaL_Reg METHODS[] = {{"get", shared_get},
                                       {"set", shared_set},
                                       {"add", shared_add},
                                       {"incr", shared_incr},
                                       {"delete", shared_delete}};
    char name[CONFIG_SHARED_NAME_MAX + 16];
    lua_createtable(L, 0, sizeof(METHODS) / sizeof(METHODS[0]));
    for (size_t i = 0; i < sizeof(METHODS) / sizeof(METHODS[0]); i++) {
        lua_pushinteger(L, (lua_Integer)index);
        lua_pushcclosure(L, METHODS[i].func, 1);
        lua_setfield(L, -2, METHODS[i].name);
    }
    snprintf(name, sizeof(name), "shared.%s", vm->config->shared[index].name);
    sandbox_protect(L, name, missing_method);
}

void binding_shared(lua_State *L, const struct policy_vm *vm)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, SLOT_SHARED);
    if (lua_istable(L, -1))
        return;
    lua_pop(L, 1);
    lua_newtable(L);
    for (unsigned i = 0; i < vm->config->shared_count; i++) {
        push_dictionary(L, vm, i);
        lua_setfield(L, -2, vm->config->shared[i].name);
    }
    sandbox_protect(L, "shared", missing_dictionary);
    lua_pushvalue(L, -1);
    lua_rawseti(L, LUA_REGISTRYINDEX, SLOT_SHARED);
}

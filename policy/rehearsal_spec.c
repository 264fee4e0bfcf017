/* A spec's file in a sandbox of its own: what it returns as JSON, its functions kept to be called. */
#include "policy/rehearsal_parts.h"

#include "policy/sandbox.h"
#include "policy/vm.h"

#include <errno.h>
#include <stdlib.h>

#define VALUES_MAX 100000 /* that a spec may return */
#define DEPTH_MAX 16
#define TICKS 50 /* of loading a spec, and of one `expect` */

/* The registry's slots beyond those of the VM, which has no policies here. */
enum { SLOT_SPEC_LOAD = SLOT_POLICIES, SLOT_SPEC_EXPECT, SLOT_SPEC_VALUE };

struct spec {
    struct policy_vm *vm;
    struct config config; /* no sites: only its limits are used */
    struct policy_host host;
    struct policy policy; /* names the spec in what its log and its errors say */
    json_t *value;
    json_t *got; /* what `expect` is called with */
    size_t which;
    unsigned values;
};

/* ---- what a spec may ask of its host: nothing ---- */

static enum client_has no_client(void *context, const struct request *request, struct span path)
{
    (void)context, (void)request, (void)path;
    return CLIENT_LACKS;
}

static const struct assets *no_assets(void *context, const struct request *request,
                                      struct span path)
{
    (void)context, (void)request, (void)path;
    return NULL;
}

static int no_file(void *context, const struct request *request, struct span path,
                   struct span *content, uint64_t *version)
{
    (void)context, (void)request, (void)path, (void)content, (void)version;
    return -ENOENT;
}

static void no_log(void *context, const struct request *request, const char *policy,
                   struct span message, struct span json)
{
    (void)context, (void)request, (void)policy, (void)message, (void)json;
}

static void no_failure(void *context, enum policy_event event, const char *policy,
                       const struct fault *fault)
{
    (void)context, (void)event, (void)policy, (void)fault;
}

/* ---- Lua to JSON ---- */

static struct spec *spec_of(lua_State *L)
{
    return vm_of(L)->host->context;
}

static int refuse(lua_State *L, const char *what, const char *which)
{
    struct policy_vm *vm = vm_of(L);
    fault_set(&vm->fault, -EINVAL, spec_of(L)->policy.file, 1, "%s%s", what, which);
    return lua_error(L);
}

static void add_value(lua_State *L, json_t *parent, const char *key, unsigned depth);

/* A value that has no members. Returns NULL for a table. */
static json_t *plain_value(lua_State *L, const char *key)
{
    size_t length;
    const char *text;
    lua_Number number;
    switch (lua_type(L, -1)) {
    case LUA_TTABLE:
        return NULL;
    case LUA_TBOOLEAN:
        return json_boolean(lua_toboolean(L, -1));
    case LUA_TSTRING:
        text = lua_tolstring(L, -1, &length);
        return json_stringn_nocheck(text, length);
    case LUA_TNUMBER:
        number = lua_tonumber(L, -1);
        if (number == (double)(int64_t)number)
            return json_integer((json_int_t)number);
        return json_real(number);
    default:
        if (lua_isfunction(L, -1) && key && strcmp(key, "expect") == 0)
            return json_true();
        refuse(L, "a spec is made of strings, numbers, booleans, tables, and functions called "
                  "'expect'; this is none: ",
               key ? key : luaL_typename(L, -1));
        return NULL;
    }
}

/* Appends the items of the table at `table`, and takes its fields, if any, into `object`. */
static void add_members(lua_State *L, int table, json_t *array, json_t *object, unsigned depth)
{
    int items = (int)lua_objlen(L, table);
    for (int i = 1; i <= items; i++) {
        lua_rawgeti(L, table, i);
        add_value(L, array, NULL, depth);
        lua_pop(L, 1);
    }
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        if (lua_type(L, -2) == LUA_TNUMBER)
            continue;
        if (lua_type(L, -2) != LUA_TSTRING)
            refuse(L, "keys are strings, not a ", luaL_typename(L, -2));
        add_value(L, object, lua_tostring(L, -2), depth);
    }
}

static bool has_fields(lua_State *L, int table)
{
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        if (lua_type(L, -2) == LUA_TNUMBER)
            continue;
        lua_pop(L, 2);
        return true;
    }
    return false;
}

static void keep_value(json_t *parent, const char *key, json_t *value)
{
    if (key)
        json_object_set_new_nocheck(parent, key, value);
    else
        json_array_append_new(parent, value);
}

/* Adds the value at the top to `parent`, a table with items and fields as an object whose "items"
 * are the former. Everything hangs on the spec's value from the start, so that an error leaves
 * nothing behind. */
static void add_value(lua_State *L, json_t *parent, const char *key, unsigned depth)
{
    struct spec *spec = spec_of(L);
    if (++spec->values > VALUES_MAX || depth > DEPTH_MAX)
        refuse(L, "a spec returns too much, or a table that contains itself", "");
    luaL_checkstack(L, 8, "spec");
    json_t *value = plain_value(L, key);
    if (value || lua_type(L, -1) != LUA_TTABLE) {
        keep_value(parent, key, value);
        return;
    }
    int table = lua_gettop(L);
    bool fields = has_fields(L, table);
    value = fields ? json_object() : json_array();
    keep_value(parent, key, value);
    json_t *items = value;
    if (fields && lua_objlen(L, table) > 0) {
        items = json_array();
        json_object_set_new_nocheck(value, "items", items);
    }
    add_members(L, table, items, value, depth + 1);
}

/* ---- in protected calls ---- */

static int load(lua_State *L)
{
    struct spec *spec = spec_of(L);
    sandbox_environment(L, spec->vm, &spec->policy);
    sandbox_compile(L, spec->vm, spec->policy.file, 1);
    lua_call(L, 0, 1);
    if (!lua_istable(L, -1))
        return refuse(L, "the file returns no table of cases; is it complete?", "");
    lua_pushvalue(L, -1);
    lua_rawseti(L, LUA_REGISTRYINDEX, SLOT_SPEC_VALUE);
    add_value(L, spec->value, "spec", 0);
    return 0;
}

static void push_json(lua_State *L, const json_t *value)
{
    const char *key;
    json_t *member;
    size_t i;
    luaL_checkstack(L, 8, "spec");
    if (json_is_object(value)) {
        lua_newtable(L);
        json_object_foreach((json_t *)(uintptr_t)value, key, member)
        {
            lua_pushstring(L, key);
            push_json(L, member);
            lua_rawset(L, -3);
        }
    } else if (json_is_array(value)) {
        lua_newtable(L);
        json_array_foreach(value, i, member)
        {
            push_json(L, member);
            lua_rawseti(L, -2, (int)i + 1);
        }
    } else if (json_is_string(value)) {
        lua_pushlstring(L, json_string_value(value), json_string_length(value));
    } else {
        lua_pushnil(L);
    }
}

static int expect(lua_State *L)
{
    struct spec *spec = spec_of(L);
    lua_rawgeti(L, LUA_REGISTRYINDEX, SLOT_SPEC_VALUE);
    lua_rawgeti(L, -1, (int)spec->which + 1);
    lua_getfield(L, -1, "expect");
    push_json(L, spec->got);
    lua_call(L, 1, 2);
    if (!lua_isboolean(L, -2) || lua_toboolean(L, -2))
        return 0;
    return refuse(L, "expect returned false",
                  lua_type(L, -1) == LUA_TSTRING ? lua_pushfstring(L, ": %s", lua_tostring(L, -1))
                                                 : "");
}

static int prepare(lua_State *L)
{
    lua_pushcfunction(L, load);
    lua_rawseti(L, LUA_REGISTRYINDEX, SLOT_SPEC_LOAD);
    lua_pushcfunction(L, expect);
    lua_rawseti(L, LUA_REGISTRYINDEX, SLOT_SPEC_EXPECT);
    lua_pushboolean(L, 0);
    lua_rawseti(L, LUA_REGISTRYINDEX, SLOT_SPEC_VALUE);
    return 0;
}

/* ---- from outside Lua ---- */

static int call(struct spec *spec, int slot, struct fault *fault)
{
    struct policy_vm *vm = spec->vm;
    struct deadline_limits limits = {TICKS, 2 * TICKS, vm->limits.tick_ms};
    int status = 0;
    if (!vm->L)
        return fault_set(fault, -EINVAL, spec->policy.file, 1, "the spec's state was dropped");
    lua_settop(vm->L, 1);
    lua_rawgeti(vm->L, LUA_REGISTRYINDEX, slot);
    vm->loading = &spec->policy;
    policy_begin(vm, &spec->policy, HOOK_init);
    enum deadline_outcome outcome = deadline_pcall(vm->L, 0, 0, 1, &limits, &status);
    if (outcome != DEADLINE_NONE || status != 0)
        policy_fault(vm, &spec->policy, HOOK_init, outcome, status, &limits);
    vm->loading = NULL;
    vm->now.policy = NULL;
    json_drop(vm);
    if (outcome == DEADLINE_NONE && status == 0)
        return 0;
    *fault = vm->fault;
    if (outcome == DEADLINE_HARD)
        vm->L = NULL;
    return -EINVAL;
}

int spec_open(const struct config *config, int bundle_fd, const char *name, struct spec **spec,
              struct fault *fault)
{
    struct spec *made = calloc(1, sizeof(*made));
    if (!made)
        return fault_set(fault, -ENOMEM, name, 0, "memory ran out");
    made->config.policy = config->policy;
    made->config.shared = config->shared;
    made->config.shared_count = config->shared_count;
    made->host = (struct policy_host){.context = made,
                                      .client_has = no_client,
                                      .assets_of = no_assets,
                                      .read_file = no_file,
                                      .log = no_log,
                                      .failed = no_failure};
    made->policy.name = name;
    snprintf(made->policy.file, sizeof(made->policy.file), "%s", name);
    made->value = json_object();
    int rc = made->value ? 0 : fault_set(fault, -ENOMEM, name, 0, "memory ran out");
    if (rc == 0)
        rc = policy_vm_create(&made->config, bundle_fd, &made->host, &made->vm, fault);
    if (rc == 0 && lua_cpcall(made->vm->L, prepare, NULL) != 0)
        rc = fault_set(fault, -ENOMEM, name, 0, "policy.memory is too little for the spec");
    if (rc == 0)
        rc = call(made, SLOT_SPEC_LOAD, fault);
    if (rc < 0) {
        spec_close(made);
        return rc;
    }
    *spec = made;
    return 0;
}

void spec_close(struct spec *spec)
{
    if (!spec)
        return;
    policy_vm_destroy(spec->vm);
    json_decref(spec->value);
    free(spec);
}

json_t *spec_value(const struct spec *spec)
{
    return json_object_get(spec->value, "spec");
}

/* Where `name` stands as a string of its own, in either kind of quotes. */
int spec_line(const struct spec *spec, size_t i)
{
    struct span text = bundle_find(spec->vm->bundle, span_of(spec->policy.file));
    json_t *cases = json_object_get(spec_value(spec), "items");
    if (!cases)
        cases = spec_value(spec);
    json_t *one = json_array_get(cases, i);
    json_t *name = json_array_get(json_is_array(one) ? one : json_object_get(one, "items"), 0);
    size_t length = json_string_length(name);
    int line = 1;
    for (size_t at = 0; length && at + length + 1 < text.length; at++) {
        line += text.data[at] == '\n';
        if ((text.data[at] == '"' || text.data[at] == '\'') &&
            memcmp(text.data + at + 1, json_string_value(name), length) == 0 &&
            text.data[at + 1 + length] == text.data[at])
            return line;
    }
    return 1;
}

int spec_expect(struct spec *spec, size_t i, json_t *got, struct fault *fault)
{
    spec->which = i;
    spec->got = got;
    int rc = call(spec, SLOT_SPEC_EXPECT, fault);
    spec->got = NULL;
    return rc;
}

/* The global tables: policy, assets, util, log; stats, learn and shared have files of their own. */
#include "policy/glob.h"
#include "policy/sandbox.h"
#include "policy/vm.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

static struct request *need_request(lua_State *L, const struct policy_vm *vm, const char *what)
{
    if (!vm->now.request)
        luaL_error(L, "%s needs a request; it works in hooks other than init", what);
    return vm->now.request;
}

/* Functions of `policy` have the cache of their policy as upvalue 1. */

static int policy_data(lua_State *L)
{
    struct policy_vm *vm = vm_of(L);
    struct span name = check_span(L, 1);
    lua_settop(L, 1);
    lua_rawget(L, lua_upvalueindex(1));
    if (!lua_isnil(L, -1))
        return 1;
    lua_settop(L, 0);
    lua_pushlstring(L, name.data, name.length);
    struct span text = vm->bundle ? bundle_find(vm->bundle, name) : (struct span){NULL, 0};
    if (!text.data)
        return luaL_error(L, "policy.data: no file '%s' among the policies", name.data);
    if (span_ends(name, SPAN_LITERAL(".json")))
        json_push(L, vm, text, lua_tostring(L, 1));
    else
        push_span(L, text);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    lua_rawset(L, lua_upvalueindex(1));
    return 1;
}

/* Pushes the cached value of `file` (at stack index 1) when it is of this version. */
static bool push_cached(lua_State *L, struct span version)
{
    size_t length = 0;
    lua_pushvalue(L, 1);
    lua_rawget(L, lua_upvalueindex(1));
    if (!lua_istable(L, -1))
        return false;
    lua_rawgeti(L, -1, 1);
    const char *cached = lua_tolstring(L, -1, &length);
    if (!span_equal(span_make(cached, length), version))
        return false;
    lua_rawgeti(L, -2, 2);
    return true;
}

static int policy_manifest(lua_State *L)
{
    struct policy_vm *vm = vm_of(L);
    struct request *request = need_request(L, vm, "policy.manifest");
    struct span file = check_span(L, 1);
    struct span content = {NULL, 0};
    uint64_t version = 0;
    lua_settop(L, 1);
    deadline_hold();
    int rc = vm->host->read_file(vm->host->context, request, file, &content, &version);
    deadline_release();
    if (rc == -ENOENT) {
        lua_pushnil(L);
        return 1;
    }
    if (rc < 0)
        return luaL_error(L, "policy.manifest: %s: %s", file.data, strerrordesc_np(-rc));
    if (content.length > VM_MANIFEST_MAX)
        return luaL_error(L, "policy.manifest: %s is longer than %d bytes", file.data,
                          VM_MANIFEST_MAX);
    if (push_cached(L, span_make(&version, sizeof(version))))
        return 1;
    lua_settop(L, 1);
    lua_createtable(L, 2, 0);
    lua_pushlstring(L, (const char *)&version, sizeof(version));
    lua_rawseti(L, 2, 1);
    json_push(L, vm, content, lua_tostring(L, 1));
    lua_pushvalue(L, -1);
    lua_rawseti(L, 2, 2);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    lua_rawset(L, lua_upvalueindex(1));
    return 1;
}

/* __index of what `policy` lacks: upvalue 1 is its name. */
static int missing_member(lua_State *L)
{
    const char *names[API_NAMES_MAX];
    const char *library = lua_tostring(L, lua_upvalueindex(1));
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2);
    enum api_word word = 0;
    if (strcmp(library, "policy") == 0 && strcmp(name, "args") == 0)
        return luaL_error(L, "policy.args is known in init and in the hooks, not while the file "
                             "is loaded");
    while (API[word].kind != API_IS_GLOBAL || strcmp(API[word].name, library) != 0)
        word++;
    api_names(word, names);
    lua_pushfstring(L, "%s has no member '%s'", library, name);
    return raise_unknown(L, lua_tostring(L, -1), name, names);
}

/* __index of the arguments: upvalue 1 is a table whose keys are those declared. */
static int missing_argument(lua_State *L)
{
    const char *names[VM_ARGUMENTS_MAX + 1];
    size_t count = 0;
    luaL_checkany(L, 2);
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(1));
    if (lua_toboolean(L, -1)) {
        lua_pushnil(L);
        return 1;
    }
    for (lua_pushnil(L); lua_next(L, lua_upvalueindex(1)) && count < VM_ARGUMENTS_MAX;
         lua_pop(L, 1))
        names[count++] = lua_tostring(L, -2);
    names[count] = NULL;
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2);
    lua_pushfstring(L, "the policy declares no argument '%s'", name);
    return raise_unknown(L, lua_tostring(L, -1), name, names);
}

void binding_set_args(lua_State *L, int environment, const char *const *names)
{
    int arguments = lua_gettop(L);
    sandbox_protect(L, "policy.args", missing_argument);
    /* The function that says what is missing wants the names instead. */
    lua_getmetatable(L, arguments);
    lua_getfield(L, -1, "__index");
    lua_getmetatable(L, -1);
    lua_newtable(L);
    for (size_t i = 0; names[i]; i++) {
        lua_pushboolean(L, 1);
        lua_setfield(L, -2, names[i]);
    }
    lua_pushcclosure(L, missing_argument, 1);
    lua_setfield(L, -2, "__index");
    lua_settop(L, arguments);
    lua_getfield(L, environment, "policy");
    lua_getmetatable(L, -1);
    lua_getfield(L, -1, "__index");
    lua_pushvalue(L, arguments);
    lua_setfield(L, -2, "args");
    lua_settop(L, arguments - 1);
}

static void set_text(lua_State *L, enum api_word word, struct span text)
{
    push_word(L, word);
    push_span(L, text);
    lua_rawset(L, -3);
}

static void push_asset(lua_State *L, const void *context, size_t i)
{
    const struct asset *asset = &((const struct assets *)context)->items[i];
    lua_createtable(L, 0, 4);
    set_text(L, API_asset_path, asset->path);
    push_word(L, API_asset_as);
    push_as(L, asset->as);
    lua_rawset(L, -3);
    record_flag(L, API_asset_blocking, asset->blocking);
    record_flag(L, API_asset_crossorigin, asset->crossorigin);
    if (asset->priority != ASSETS_PRIORITY_AUTO)
        set_text(L, API_asset_priority,
                 asset->priority == ASSETS_PRIORITY_HIGH ? SPAN_LITERAL("high")
                                                         : SPAN_LITERAL("low"));
}

static int assets_of(lua_State *L)
{
    struct policy_vm *vm = vm_of(L);
    struct request *request = need_request(L, vm, "assets.of");
    struct span path = check_span(L, 1);
    deadline_hold();
    const struct assets *assets = vm->host->assets_of(vm->host->context, request, path);
    deadline_release();
    struct record_list list = {0, assets ? assets->count : 0, push_asset, assets};
    for (size_t i = 0; i < list.count; i++) {
        const struct asset *asset = &assets->items[i];
        char flags[4] = {(char)asset->as, asset->blocking, asset->crossorigin,
                         (char)asset->priority};
        list.hash = record_hash(list.hash, asset->path);
        list.hash = record_hash(list.hash, span_make(flags, sizeof(flags)));
    }
    records_push(L, vm, &list);
    return 1;
}

static int util_glob(lua_State *L)
{
    struct policy_vm *vm = vm_of(L);
    struct span pattern = check_span(L, 1);
    struct span text = check_span(L, 2);
    bool matches = glob_match(pattern, text, &vm->now.glob_steps);
    if (!vm->now.glob_steps)
        return luaL_error(L, "util.glob: %d steps in one hook are enough", VM_GLOB_STEPS_MAX);
    lua_pushboolean(L, matches);
    return 1;
}

/* FNV-1a, then a finalizer that spreads it over all bits. */
static uint64_t hash(uint64_t state, struct span text)
{
    for (size_t i = 0; i < text.length; i++)
        state = (state ^ (unsigned char)text.data[i]) * UINT64_C(0x100000001b3);
    return state;
}

static int util_bucket(lua_State *L)
{
    struct policy_vm *vm = vm_of(L);
    object_check(L, vm, 1, OBJECT_CLIENT);
    const struct request *request = vm->now.request;
    lua_Number n = luaL_checknumber(L, 2);
    struct span salt = lua_isnoneornil(L, 3) ? (struct span){NULL, 0} : check_span(L, 3);
    luaL_argcheck(L, n >= 1 && n <= 1e9 && n == floor(n), 2, "an integer from 1 is wanted");
    const char *id = request->client.id[0] ? request->client.id : request->id;
    uint64_t state = hash(hash(UINT64_C(0xcbf29ce484222325), salt), span_of(id));
    state = (state ^ state >> 32) * UINT64_C(0xd6e8feb86659fd93);
    state ^= state >> 32;
    lua_pushnumber(L, (lua_Number)(state % (uint64_t)n));
    return 1;
}

struct writer {
    char text[VM_LOG_TEXT_MAX];
    size_t used;
};

static void write_byte(lua_State *L, struct writer *out, char c)
{
    if (out->used == sizeof(out->text))
        luaL_error(L, "log.info: the fields come to more than %d bytes", VM_LOG_TEXT_MAX);
    out->text[out->used++] = c;
}

static void write_text(lua_State *L, struct writer *out, struct span text)
{
    for (size_t i = 0; i < text.length; i++)
        write_byte(L, out, text.data[i]);
}

/* How many bytes at the start of `text` are one character (RFC 3629); 0: none is. */
static size_t utf8_length(struct span text)
{
    unsigned char first = (unsigned char)text.data[0];
    size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (first > 0xf4 || length > text.length)
        return 0;
    for (size_t i = 1; i < length; i++) {
        unsigned char c = (unsigned char)text.data[i];
        unsigned char least = i == 1 && first == 0xe0   ? 0xa0
                              : i == 1 && first == 0xf0 ? 0x90
                                                        : 0x80;
        unsigned char most = i == 1 && first == 0xed ? 0x9f : i == 1 && first == 0xf4 ? 0x8f : 0xbf;
        if (c < least || c > most)
            return 0;
    }
    return length;
}

/* As RFC 8259 7 wants it; what is not UTF-8 becomes U+FFFD. */
static void write_string(lua_State *L, struct writer *out, struct span text)
{
    char escape[8];
    write_byte(L, out, '"');
    while (text.length) {
        unsigned char c = (unsigned char)text.data[0];
        size_t length = utf8_length(text);
        if (c == '"' || c == '\\')
            write_byte(L, out, '\\');
        if (length == 0 || c < 0x20 || c == 0x7f) {
            snprintf(escape, sizeof(escape), "\\u%04x", length ? c : 0xfffdu);
            write_text(L, out, span_of(escape));
            length = 1;
        } else {
            write_text(L, out, (struct span){text.data, length});
        }
        text = span_after(text, length);
    }
    write_byte(L, out, '"');
}

/* The value at the top of the stack. */
static void write_value(lua_State *L, struct writer *out, const char *key)
{
    char number[32];
    size_t length;
    const char *text;
    switch (lua_type(L, -1)) {
    case LUA_TSTRING:
        text = lua_tolstring(L, -1, &length);
        write_string(L, out, span_make(text, length));
        break;
    case LUA_TNUMBER:
        if (!isfinite(lua_tonumber(L, -1)))
            luaL_error(L, "log.info: field '%s' is not a finite number", key);
        snprintf(number, sizeof(number), "%.14g", lua_tonumber(L, -1));
        write_text(L, out, span_of(number));
        break;
    case LUA_TBOOLEAN:
        write_text(L, out, span_of(lua_toboolean(L, -1) ? "true" : "false"));
        break;
    default:
        luaL_error(L, "log.info: field '%s' is a %s, not a string, number or boolean", key,
                   luaL_typename(L, -1));
    }
}

/* Collects the keys of the table at index 2 in order, so that a line reads the same every time. */
static size_t sorted_keys(lua_State *L, const char *keys[VM_LOG_FIELDS_MAX])
{
    size_t count = 0;
    for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            luaL_error(L, "log.info: the names of fields are strings");
        if (count == VM_LOG_FIELDS_MAX)
            luaL_error(L, "log.info: more than %d fields", VM_LOG_FIELDS_MAX);
        const char *key = lua_tostring(L, -2);
        size_t at = count++;
        for (; at > 0 && strcmp(keys[at - 1], key) > 0; at--)
            keys[at] = keys[at - 1];
        keys[at] = key;
    }
    return count;
}

static void write_fields(lua_State *L, struct writer *out)
{
    const char *keys[VM_LOG_FIELDS_MAX];
    size_t count = sorted_keys(L, keys);
    write_byte(L, out, '{');
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            write_byte(L, out, ',');
        write_string(L, out, span_of(keys[i]));
        write_byte(L, out, ':');
        lua_getfield(L, 2, keys[i]);
        write_value(L, out, keys[i]);
        lua_pop(L, 1);
    }
    write_byte(L, out, '}');
}

static int log_info(lua_State *L)
{
    struct policy_vm *vm = vm_of(L);
    struct writer out;
    struct span message = check_span(L, 1);
    out.used = 0;
    lua_settop(L, 2);
    if (!lua_isnil(L, 2)) {
        luaL_checktype(L, 2, LUA_TTABLE);
        write_fields(L, &out);
    }
    if (vm->now.log_lines == VM_LOG_LINES_MAX)
        return luaL_error(L, "log.info: %d lines in one hook are enough", VM_LOG_LINES_MAX);
    vm->now.log_lines++;
    deadline_hold();
    vm->host->log(vm->host->context, vm->now.request, vm->now.policy->name, message,
                  span_make(out.text, out.used));
    deadline_release();
    return 0;
}

/* A library shared by all policies: the function `name` of the table at the top. */
static void set_function(lua_State *L, const char *name, lua_CFunction function)
{
    lua_pushcfunction(L, function);
    lua_setfield(L, -2, name);
}

static void protect_as(lua_State *L, const char *name)
{
    sandbox_protect(L, name, missing_member);
    lua_setfield(L, -2, name);
}

void binding_libraries(lua_State *L, struct policy_vm *vm, const struct policy *policy)
{
    lua_newtable(L);
    lua_newtable(L);
    lua_pushcclosure(L, policy_data, 1);
    lua_setfield(L, -2, "data");
    lua_newtable(L);
    lua_pushcclosure(L, policy_manifest, 1);
    lua_setfield(L, -2, "manifest");
    lua_pushstring(L, policy->name);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, vm->version);
    lua_setfield(L, -2, "version");
    protect_as(L, "policy");
    lua_newtable(L);
    set_function(L, "of", assets_of);
    protect_as(L, "assets");
    lua_newtable(L);
    binding_stats(L);
    protect_as(L, "stats");
    lua_newtable(L);
    set_function(L, "next", learn_next);
    set_function(L, "note", learn_note);
    protect_as(L, "learn");
    binding_shared(L, vm);
    lua_setfield(L, -2, "shared");
    lua_newtable(L);
    set_function(L, "glob", util_glob);
    set_function(L, "bucket", util_bucket);
    protect_as(L, "util");
    lua_newtable(L);
    set_function(L, "info", log_info);
    protect_as(L, "log");
}

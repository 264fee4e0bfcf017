/* Loading one policy: its file in the sandbox, what it returns, the arguments it is given. */
#include "policy/glob.h"
#include "policy/sandbox.h"
#include "policy/vm.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

static const char *const METHODS[] = {"GET",    "HEAD",    "POST",  "PUT",
                                      "DELETE", "OPTIONS", "PATCH", NULL};

static const char *const ARGUMENT_TYPES[] = {"string",   "number", "integer", "boolean", "size",
                                             "duration", "list",   "table",   NULL};

/* Raises an error of its own place, which on_error leaves as it is. */
static int raise_at(lua_State *L, const char *where, int line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const char *what = lua_pushvfstring(L, format, arguments);
    va_end(arguments);
    fault_set(&vm_of(L)->fault, -EINVAL, where, line, "%s", what);
    return lua_error(L);
}

static int line_at(struct span text, size_t offset)
{
    int line = 1;
    for (size_t i = 0; i < offset && i < text.length; i++)
        line += text.data[i] == '\n';
    return line;
}

static bool is_word_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* The line where a policy's text has `word` as a key or anywhere; its last line when nowhere. */
static int line_of(const struct policy_vm *vm, const struct policy *policy, const char *word)
{
    struct span text = bundle_find(vm->bundle, span_of(policy->file));
    size_t length = strlen(word);
    size_t found = text.length;
    for (size_t i = 0; length && i + length <= text.length; i++) {
        struct span after = span_after(text, i + length);
        if (memcmp(text.data + i, word, length) != 0 || (i > 0 && is_word_byte(text.data[i - 1])) ||
            (after.length && is_word_byte(after.data[0])))
            continue;
        if (found == text.length)
            found = i;
        after = span_trim(after);
        if (after.length > 1 && after.data[0] == '=' && after.data[1] != '=')
            return line_at(text, i);
    }
    while (found == text.length && found > 0 && isspace((unsigned char)text.data[found - 1]))
        text.length = --found;
    return line_at(text, found);
}

/* Says that `word` in `policy`'s file is none of `words`. */
static int refuse_word(lua_State *L, const struct policy *policy, const char *what,
                       const char *word, const char *const *words)
{
    int line = line_of(vm_of(L), policy, word);
    const char *nearest = fault_nearest(word, words);
    if (nearest)
        return raise_at(L, policy->file, line, "there is no %s '%s'; did you mean '%s'?", what,
                        word, nearest);
    return raise_at(L, policy->file, line, "there is no %s '%s'", what, word);
}

/* Says that the config's arguments for `policy` are wrong, where the config does. */
static int refuse_argument(lua_State *L, const struct policy *policy, const char *format,
                           const char *name, const char *more)
{
    lua_pushfstring(L, format, name, more);
    return raise_at(L, policy->config_file, policy->config_line, "policy '%s' %s", policy->name,
                    lua_tostring(L, -1));
}

/* A name that must be a string, at `index`. */
static const char *need_name(lua_State *L, const struct policy *policy, int index, const char *what)
{
    if (lua_type(L, index) != LUA_TSTRING)
        raise_at(L, policy->file, line_of(vm_of(L), policy, what), "the names in '%s' are strings",
                 what);
    return lua_tostring(L, index);
}

static unsigned word_index(lua_State *L, const struct policy *policy, const char *what,
                           const char *word, const char *const *words)
{
    for (unsigned i = 0; words[i]; i++) {
        if (strcmp(words[i], word) == 0)
            return i;
    }
    refuse_word(L, policy, what, word, words);
    return 0;
}

static void take_dest(lua_State *L, struct policy *policy, const char *word)
{
    const char *names[AS_KINDS + 1];
    if (strcmp(word, "*") == 0) {
        policy->applies.dests = ~0u;
        return;
    }
    for (unsigned as = AS_UNKNOWN + 1; as < AS_KINDS; as++)
        names[as - 1] = asset_as_name((enum asset_as)as);
    names[AS_KINDS - 1] = "*";
    names[AS_KINDS] = NULL;
    policy->applies.dests |= 2u << word_index(L, policy, "destination", word, names);
}

static void take_method(lua_State *L, struct policy *policy, const char *word)
{
    if (strcmp(word, "*") == 0)
        policy->applies.methods = ~0u;
    else
        policy->applies.methods |= 1u << word_index(L, policy, "method", word, METHODS);
}

static void take_pattern(lua_State *L, struct policy *policy, const char *word)
{
    struct applies *applies = &policy->applies;
    size_t used = 0, length = strlen(word);
    for (unsigned i = 0; i < applies->patterns_count; i++)
        used += applies->patterns[i].length;
    if (applies->patterns_count == VM_PATTERNS_MAX || length > sizeof(applies->text) - used)
        raise_at(L, policy->file, line_of(vm_of(L), policy, "path"),
                 "applies.path has more than %d patterns or %d bytes", VM_PATTERNS_MAX,
                 (int)sizeof(applies->text));
    if (word[0] != '/' && word[0] != '*')
        raise_at(L, policy->file, line_of(vm_of(L), policy, "path"),
                 "applies.path: '%s' matches no path; patterns begin with '/' or '*'", word);
    memcpy(applies->text + used, word, length);
    applies->patterns[applies->patterns_count++] = (struct span){applies->text + used, length};
}

/* Gives `take` the string, or each string of the list, at the top; pops it. */
static void take_each(lua_State *L, struct policy *policy, const char *what,
                      void (*take)(lua_State *, struct policy *, const char *))
{
    if (lua_type(L, -1) == LUA_TSTRING) {
        take(L, policy, lua_tostring(L, -1));
    } else if (lua_istable(L, -1) && lua_objlen(L, -1) > 0) {
        int count = (int)lua_objlen(L, -1);
        for (int i = 1; i <= count; i++) {
            lua_rawgeti(L, -1, i);
            take(L, policy, need_name(L, policy, -1, what));
            lua_pop(L, 1);
        }
    } else {
        raise_at(L, policy->file, line_of(vm_of(L), policy, what),
                 "applies.%s is a string or a list of strings", what);
    }
    lua_pop(L, 1);
}

static bool get_entry(lua_State *L, int table, const char *name)
{
    lua_pushstring(L, name);
    lua_rawget(L, table);
    if (!lua_isnil(L, -1))
        return true;
    lua_pop(L, 1);
    return false;
}

/* Refuses keys of the table at `index` that the API's record `word` does not have. */
static void check_keys(lua_State *L, const struct policy *policy, int index, enum api_word word,
                       const char *what)
{
    const char *names[API_NAMES_MAX];
    api_names(word, names);
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            raise_at(L, policy->file, line_of(vm_of(L), policy, "return"),
                     "a %s is a name, not a %s", what, luaL_typename(L, -2));
        word_index(L, policy, what, lua_tostring(L, -2), names);
    }
}

/* Takes `applies` of the module at `module`. */
static void take_applies(lua_State *L, struct policy *policy, int module)
{
    memset(&policy->applies, 0, sizeof(policy->applies));
    policy->applies.dests = 1u << AS_DOCUMENT;
    policy->applies.methods = 1u; /* GET */
    if (!get_entry(L, module, "applies"))
        return;
    if (!lua_istable(L, -1))
        raise_at(L, policy->file, line_of(vm_of(L), policy, "applies"), "applies is a table");
    int applies = lua_gettop(L);
    check_keys(L, policy, applies, API_applies, "key of applies");
    if (get_entry(L, applies, "dest")) {
        policy->applies.dests = 0;
        take_each(L, policy, "dest", take_dest);
    }
    if (get_entry(L, applies, "method")) {
        policy->applies.methods = 0;
        take_each(L, policy, "method", take_method);
    }
    if (get_entry(L, applies, "path"))
        take_each(L, policy, "path", take_pattern);
    lua_pop(L, 1);
}

/* Where the function at the top begins in the policy's file; `fallback` when it is from another. */
static int line_defined(lua_State *L, const struct policy *policy, int fallback)
{
    struct lua_Debug at;
    lua_pushvalue(L, -1);
    lua_getinfo(L, ">S", &at);
    return strcmp(at.short_src, policy->file) == 0 && at.linedefined > 0 ? at.linedefined
                                                                         : fallback;
}

static void take_hooks(lua_State *L, struct policy *policy, int module)
{
    policy->hooks = 0;
    for (int hook = 0; hook < HOOKS; hook++) {
        const char *name = API_HOOKS[hook].name;
        if (!get_entry(L, module, name))
            continue;
        int line = line_of(vm_of(L), policy, name);
        if (!lua_isfunction(L, -1))
            raise_at(L, policy->file, line, "%s is a function, not a %s", name,
                     luaL_typename(L, -1));
        policy->lines[hook] = line_defined(L, policy, line);
        policy->hooks |= 1u << hook;
        lua_rawseti(L, LUA_REGISTRYINDEX, policy->slot + hook);
    }
}

/* Checks that the module at `module` speaks this API and has hooks. */
static void check_module(lua_State *L, struct policy *policy, int module)
{
    check_keys(L, policy, module, API_module, "policy key");
    if (!get_entry(L, module, "api"))
        raise_at(L, policy->file, line_of(vm_of(L), policy, "return"),
                 "'api = 1' is missing in what the policy returns");
    if (lua_type(L, -1) != LUA_TNUMBER || lua_tonumber(L, -1) != 1)
        raise_at(L, policy->file, line_of(vm_of(L), policy, "api"),
                 "api is 1 for this version of herald");
    lua_pop(L, 1);
}

/* An argument's type, without its "?". */
struct argument_type {
    unsigned index; /* of ARGUMENT_TYPES */
    bool optional;
};

static struct argument_type parse_type(lua_State *L, const struct policy *policy, const char *name,
                                       const char *text)
{
    struct argument_type type = {0, false};
    size_t length = strlen(text);
    if (length && text[length - 1] == '?') {
        type.optional = true;
        length--;
    }
    lua_pushlstring(L, text, length);
    text = lua_tostring(L, -1);
    for (; ARGUMENT_TYPES[type.index]; type.index++) {
        if (strcmp(ARGUMENT_TYPES[type.index], text) == 0) {
            lua_pop(L, 1);
            return type;
        }
    }
    const char *nearest = fault_nearest(text, ARGUMENT_TYPES);
    raise_at(L, policy->file, line_of(vm_of(L), policy, name),
             "argument '%s' has the type '%s', which is not known; did you mean '%s'?", name, text,
             nearest ? nearest : "string");
    return type;
}

/* Replaces a text like "64KiB" at the top by its number. */
static bool parse_unit(lua_State *L, bool is_size)
{
    uint64_t value;
    size_t length;
    if (lua_type(L, -1) == LUA_TNUMBER)
        return lua_tonumber(L, -1) >= 0;
    if (lua_type(L, -1) != LUA_TSTRING)
        return false;
    const char *data = lua_tolstring(L, -1, &length);
    struct span text = span_make(data, length);
    if ((is_size ? config_parse_size(text, &value) : config_parse_duration(text, &value)) < 0)
        return false;
    lua_pop(L, 1);
    lua_pushnumber(L, (lua_Number)value);
    return true;
}

/* Whether the value at the top, which may be replaced, is of that type. */
static bool fits_type(lua_State *L, const char *type)
{
    int is = lua_type(L, -1);
    if (strcmp(type, "string") == 0)
        return is == LUA_TSTRING;
    if (strcmp(type, "number") == 0)
        return is == LUA_TNUMBER;
    if (strcmp(type, "integer") == 0)
        return is == LUA_TNUMBER && lua_tonumber(L, -1) == (double)(int64_t)lua_tonumber(L, -1);
    if (strcmp(type, "boolean") == 0)
        return is == LUA_TBOOLEAN;
    if (strcmp(type, "size") == 0 || strcmp(type, "duration") == 0)
        return parse_unit(L, type[0] == 's');
    if (is != LUA_TTABLE)
        return false;
    if (strcmp(type, "table") == 0)
        return true;
    size_t keys = 0;
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
        keys++;
    return keys == lua_objlen(L, -1);
}

/* Checks the argument `name`, declared as the value at the top, in the table at `given`. */
static void check_argument(lua_State *L, const struct policy *policy, int given, const char *name)
{
    if (lua_type(L, -1) != LUA_TSTRING)
        raise_at(L, policy->file, line_of(vm_of(L), policy, name),
                 "argument '%s' is declared by its type, like \"number?\"", name);
    struct argument_type type = parse_type(L, policy, name, lua_tostring(L, -1));
    if (!get_entry(L, given, name)) {
        if (!type.optional)
            refuse_argument(L, policy, "needs the argument '%s', a %s", name,
                            ARGUMENT_TYPES[type.index]);
        return;
    }
    if (!fits_type(L, ARGUMENT_TYPES[type.index]))
        refuse_argument(L, policy, "takes an argument '%s' that is a %s", name,
                        ARGUMENT_TYPES[type.index]);
    lua_setfield(L, given, name);
}

/* Checks each argument that `args` of the module declares, in the table at `given`; fills `names`
 * with what is declared. */
static void check_declared(lua_State *L, const struct policy *policy, int module, int given,
                           const char *names[VM_ARGUMENTS_MAX + 1])
{
    size_t count = 0;
    names[0] = NULL;
    if (!get_entry(L, module, "args"))
        return;
    if (!lua_istable(L, -1))
        raise_at(L, policy->file, line_of(vm_of(L), policy, "args"), "args is a table");
    int declared = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, declared); lua_pop(L, 1)) {
        const char *name = need_name(L, policy, -2, "args");
        if (count == VM_ARGUMENTS_MAX) {
            raise_at(L, policy->file, line_of(vm_of(L), policy, "args"), "more than %d arguments",
                     VM_ARGUMENTS_MAX);
            return;
        }
        check_argument(L, policy, given, name);
        names[count++] = name;
        names[count] = NULL;
    }
    lua_pop(L, 1);
}

/* Pushes the config's arguments, checked and frozen, and makes them policy.args. */
static void take_arguments(lua_State *L, struct policy_vm *vm, const struct policy *policy,
                           int environment, int module)
{
    const char *names[VM_ARGUMENTS_MAX + 1];
    const char *text = policy->arguments ? policy->arguments : "{}";
    json_push(L, vm, span_of(text), "arguments");
    int given = lua_gettop(L);
    if (!lua_istable(L, given))
        refuse_argument(L, policy, "has arguments that are not a table%s%s", "", "");
    check_declared(L, policy, module, given, names);
    for (lua_pushnil(L); lua_next(L, given); lua_pop(L, 1)) {
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "1";
        size_t i = 0;
        while (names[i] && strcmp(names[i], name) != 0)
            i++;
        const char *nearest = names[i] ? NULL : fault_nearest(name, names);
        if (nearest)
            refuse_argument(L, policy, "takes no argument '%s'; did you mean '%s'?", name, nearest);
        else if (!names[i])
            refuse_argument(L, policy, "takes no argument '%s'%s", name, "");
    }
    lua_pushvalue(L, given);
    binding_set_args(L, environment, names);
}

/* Runs in a protected call: all of loading vm->now.policy. */
int policy_load_protected(lua_State *L)
{
    struct policy_vm *vm = vm_of(L);
    struct policy *policy = vm->loading;
    sandbox_environment(L, vm, policy);
    sandbox_compile(L, vm, policy->file, 1);
    lua_call(L, 0, 1);
    if (lua_isfunction(L, 2)) {
        lua_createtable(L, 0, 2);
        lua_insert(L, 2);
        lua_setfield(L, 2, API_HOOKS[HOOK_on_request].name);
        lua_pushinteger(L, 1);
        lua_setfield(L, 2, "api");
    }
    if (!lua_istable(L, 2))
        return raise_at(L, policy->file, line_of(vm, policy, ""),
                        "the file returns no table of hooks and no function; is it complete?");
    check_module(L, policy, 2);
    take_applies(L, policy, 2);
    take_hooks(L, policy, 2);
    take_arguments(L, vm, policy, 1, 2);
    if (!(policy->hooks & 1u << HOOK_init))
        return 0;
    vm->now.hook = HOOK_init;
    lua_rawgeti(L, LUA_REGISTRYINDEX, policy->slot + HOOK_init);
    lua_getfield(L, 1, "policy");
    lua_getfield(L, -1, "args");
    lua_remove(L, -2);
    lua_call(L, 1, 0);
    return 0;
}

int policy_load(struct policy_vm *vm, struct policy *policy)
{
    struct deadline_limits limits = {VM_LOAD_TICKS, 2 * VM_LOAD_TICKS, vm->limits.tick_ms};
    int status = 0;
    lua_State *L = vm->L;
    lua_settop(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, SLOT_LOAD);
    vm->loading = policy;
    policy_begin(vm, policy, HOOK_init);
    enum deadline_outcome outcome = deadline_pcall(L, 0, 0, 1, &limits, &status);
    json_drop(vm);
    vm->now.policy = NULL;
    if (outcome != DEADLINE_NONE || status != 0)
        policy_fault(vm, policy, HOOK_init, outcome, status, &limits);
    vm->loading = NULL;
    if (outcome == DEADLINE_NONE && status == 0)
        return 0;
    return status == LUA_ERRMEM ? -ENOMEM : -EINVAL;
}

bool policy_wants(const struct policy *policy, const struct request *request)
{
    const struct applies *applies = &policy->applies;
    uint32_t steps = VM_GLOB_STEPS_MAX;
    if (!(applies->dests >> request->dest & 1u))
        return false;
    if (applies->methods != ~0u) {
        unsigned method = 0;
        while (METHODS[method] && !span_equal(request->method, span_of(METHODS[method])))
            method++;
        if (!(applies->methods >> method & 1u))
            return false;
    }
    for (unsigned i = 0; i < applies->patterns_count; i++) {
        if (glob_match(applies->patterns[i], request->path, &steps))
            return true;
    }
    return applies->patterns_count == 0;
}

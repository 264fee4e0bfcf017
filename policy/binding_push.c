/* push and r: what policies propose, and how they see it. */
#include "policy/vm.h"

#include <assert.h>

struct options {
    enum asset_as as;
    uint8_t urgency;
    bool incremental;
    bool fetch;
    const char *fetchpriority; /* NULL: not said */
    int crossorigin;           /* -1: not said */
    struct span why;
};

static uint8_t check_urgency(lua_State *L, int index)
{
    lua_Number urgency = lua_type(L, index) == LUA_TNUMBER ? lua_tonumber(L, index) : -1;
    if (!(urgency >= 0 && urgency <= 7) || urgency != (int)urgency)
        luaL_error(L, "urgency is an integer from 0 to 7");
    return (uint8_t)urgency;
}

static bool check_flag(lua_State *L, int index, const char *name)
{
    if (!lua_isboolean(L, index))
        luaL_error(L, "%s is true or false, not a %s", name, luaL_typename(L, index));
    return lua_toboolean(L, index);
}

/* The words of HTML's attribute; "auto" is the same as nothing said. */
static const char *check_fetchpriority(lua_State *L, int index)
{
    const char *word = lua_type(L, index) == LUA_TSTRING ? lua_tostring(L, index) : "";
    if (strcmp(word, "high") == 0)
        return "high";
    if (strcmp(word, "low") == 0)
        return "low";
    if (strcmp(word, "auto") != 0)
        luaL_error(L, "fetchpriority is \"high\", \"low\" or \"auto\"");
    return NULL;
}

/* Takes one option, its key and value on top of the stack. */
static void take_option(lua_State *L, struct policy_vm *vm, struct options *options)
{
    const char *names[API_NAMES_MAX];
    const int value = lua_gettop(L);
    const void *key = lua_topointer(L, value - 1);
    size_t length;
    if (key == vm->words[API_options_as]) {
        options->as = check_as(L, vm, value);
    } else if (key == vm->words[API_options_urgency]) {
        options->urgency = check_urgency(L, value);
    } else if (key == vm->words[API_options_incremental]) {
        options->incremental = check_flag(L, value, "incremental");
    } else if (key == vm->words[API_options_fetch]) {
        options->fetch = check_flag(L, value, "fetch");
    } else if (key == vm->words[API_options_crossorigin]) {
        options->crossorigin = check_flag(L, value, "crossorigin");
    } else if (key == vm->words[API_options_fetchpriority]) {
        options->fetchpriority = check_fetchpriority(L, value);
    } else if (key == vm->words[API_options_why]) {
        if (lua_type(L, value) != LUA_TSTRING)
            luaL_error(L, "why is a string, not a %s", luaL_typename(L, value));
        options->why.data = lua_tolstring(L, value, &length);
        options->why.length = length;
    } else {
        const char *name = lua_type(L, value - 1) == LUA_TSTRING ? lua_tostring(L, value - 1) : "?";
        api_names(API_options, names);
        lua_pushfstring(L, "there is no option '%s'", name);
        raise_unknown(L, lua_tostring(L, -1), name, names);
    }
}

static void take_options(lua_State *L, struct policy_vm *vm, struct options *options)
{
    *options = (struct options){.urgency = CANDIDATE_URGENCY_UNSET, .crossorigin = -1};
    if (lua_isnoneornil(L, 3))
        return;
    luaL_checktype(L, 3, LUA_TTABLE);
    lua_settop(L, 3);
    lua_pushnil(L);
    while (lua_next(L, 3)) {
        take_option(L, vm, options);
        lua_pop(L, 1);
    }
}

/* The decision that hooks may still add to. */
static struct decision *open_decision(lua_State *L, struct policy_vm *vm, const char *method)
{
    object_check(L, vm, 1, OBJECT_PUSH);
    if (vm->now.hook != HOOK_on_request && vm->now.hook != HOOK_on_response)
        luaL_error(L, "push:%s is called in %s, which comes after the proposals", method,
                   API_HOOKS[vm->now.hook].name);
    return vm->now.decision;
}

static int answer(lua_State *L, enum reason reason)
{
    lua_pushboolean(L, reason == REASON_PENDING);
    if (reason == REASON_PENDING)
        return 1;
    lua_pushstring(L, reason_name(reason));
    return 2;
}

/* The line that called the method. */
static int caller_line(lua_State *L)
{
    struct lua_Debug at;
    if (!lua_getstack(L, 1, &at) || !lua_getinfo(L, "l", &at))
        return 0;
    return at.currentline > 0 ? at.currentline : 0;
}

/* A page has all it may have, and its policy goes on and on: what it has yet to say changes nothing, and
 * every client that asks for the page would wait for it. Its hook ends here, as if it had returned. */
static void count_refused(lua_State *L, struct policy_vm *vm)
{
    if (++vm->now.refused > DECISION_REFUSED_MAX)
        policy_end_hook(L);
}

static enum reason propose(lua_State *L, struct policy_vm *vm, enum candidate_kind kind,
                           struct span path, const struct options *options)
{
    struct decision *decision = vm->now.decision;
    struct candidate *taken;
    enum reason reason =
        decision_add(decision, vm->now.request, kind, path, vm->now.policy->name, &taken);
    if (reason == REASON_TOO_MANY)
        count_refused(L, vm);
    if (taken && vm->traces)
        taken->proposed_line = caller_line(L);
    if (!taken || kind == CANDIDATE_PRECONNECT)
        return reason;
    if (options->as != AS_UNKNOWN)
        taken->as = options->as;
    taken->urgency = options->urgency;
    taken->incremental = options->incremental;
    taken->fetch = options->fetch;
    taken->fetchpriority = options->fetchpriority;
    taken->crossorigin = options->crossorigin >= 0 ? options->crossorigin : taken->as == AS_FONT;
    if (options->why.length)
        taken->why = decision_text(decision, options->why);
    return reason;
}

static int propose_one(lua_State *L, enum candidate_kind kind, const char *method)
{
    struct policy_vm *vm = vm_of(L);
    struct options options;
    open_decision(L, vm, method);
    struct span path = check_span(L, 2);
    take_options(L, vm, &options);
    return answer(L, propose(L, vm, kind, path, &options));
}

static struct span string_at(lua_State *L, int index)
{
    size_t length;
    const char *data = lua_tolstring(L, index, &length);
    return span_make(data, length);
}

/* One of a list, on top of the stack: a path, or a table of one and its own options. */
static struct span take_item(lua_State *L, struct policy_vm *vm, int number, struct options *options)
{
    struct span path = {NULL, 0};
    int item = lua_gettop(L), type = lua_type(L, item);
    if (type == LUA_TSTRING)
        return string_at(L, item);
    if (type != LUA_TTABLE)
        luaL_error(L, "item %d of push:add_all is a path or a table, not a %s", number,
                   luaL_typename(L, item));
    lua_pushnil(L);
    while (lua_next(L, item)) {
        if (lua_topointer(L, item + 1) != vm->words[API_r_path])
            take_option(L, vm, options);
        else if (lua_type(L, item + 2) == LUA_TSTRING)
            path = string_at(L, item + 2);
        lua_pop(L, 1);
    }
    if (!path.data)
        luaL_error(L, "item %d of push:add_all has no path, a string", number);
    return path;
}

/* The strings that options borrow stay in the tables that they come from. */
int push_add_all(lua_State *L)
{
    struct policy_vm *vm = vm_of(L);
    struct options common;
    int taken = 0;
    open_decision(L, vm, "add_all");
    luaL_checktype(L, 2, LUA_TTABLE);
    take_options(L, vm, &common);
    lua_settop(L, 2);
    for (int i = 1; lua_rawgeti(L, 2, i), !lua_isnil(L, 3); i++) {
        struct options options = common;
        if (i > VM_LIST_PROPOSED_MAX)
            luaL_error(L, "push:add_all takes a list of at most %d", VM_LIST_PROPOSED_MAX);
        struct span path = take_item(L, vm, i, &options);
        taken += propose(L, vm, CANDIDATE_PUSH, path, &options) == REASON_PENDING;
        lua_settop(L, 2);
    }
    lua_pushinteger(L, taken);
    return 1;
}

int push_add(lua_State *L)
{
    return propose_one(L, CANDIDATE_PUSH, "add");
}

int push_hint(lua_State *L)
{
    return propose_one(L, CANDIDATE_HINT, "hint");
}

int push_preconnect(lua_State *L)
{
    lua_settop(L, 2);
    return propose_one(L, CANDIDATE_PRECONNECT, "preconnect");
}

int push_skip(lua_State *L)
{
    struct policy_vm *vm = vm_of(L);
    struct decision *decision = open_decision(L, vm, "skip");
    struct span path = check_span(L, 2);
    struct span why = lua_isnoneornil(L, 3) ? (struct span){NULL, 0} : check_span(L, 3);
    enum reason reason = decision_skip(decision, vm->now.request, path, vm->now.policy->name, why);
    struct candidate *skipped = reason == REASON_SKIPPED ? decision_find(decision, path) : NULL;
    if (vm->traces && skipped && skipped->judge == vm->now.policy->name)
        skipped->judge_line = caller_line(L);
    return answer(L, reason == REASON_SKIPPED ? REASON_PENDING : reason);
}

/* The candidate after the one at stack index 2, or the first. */
static int next_candidate(lua_State *L)
{
    struct policy_vm *vm = vm_of(L);
    object_check(L, vm, 1, OBJECT_PUSH);
    uint32_t index = 0;
    if (!lua_isnil(L, 2))
        index = object_check(L, vm, 2, OBJECT_R)->index + 1;
    if (!vm->now.decision || index >= vm->now.decision->count)
        lua_pushnil(L);
    else
        object_push_candidate(L, vm, index);
    return 1;
}

int push_each(lua_State *L)
{
    object_check(L, vm_of(L), 1, OBJECT_PUSH);
    lua_pushcfunction(L, next_candidate);
    lua_pushvalue(L, 1);
    return 2;
}

int push_index(lua_State *L)
{
    struct policy_vm *vm = vm_of(L);
    object_check(L, vm, 1, OBJECT_PUSH);
    const struct decision *decision = vm->now.decision;
    int field = (int)object_field(L, vm, OBJECT_PUSH);
    switch (field) {
    case API_push_bytes:
        lua_pushnumber(L, (lua_Number)decision->bytes);
        break;
    case API_push_count:
        lua_pushinteger(L, (lua_Integer)decision->accepted);
        break;
    case API_push_budget_bytes:
        object_measure(vm);
        lua_pushnumber(L, (lua_Number)decision->budget_bytes);
        break;
    default:
        lua_rawgeti(L, LUA_REGISTRYINDEX, SLOT_METHODS + field);
    }
    return 1;
}

static const struct candidate *candidate_of(lua_State *L, struct policy_vm *vm)
{
    const struct handle *handle = object_check(L, vm, 1, OBJECT_R);
    if (handle->index == HANDLE_CURRENT)
        return vm->now.candidate;
    if (!vm->now.decision || handle->index >= vm->now.decision->count)
        luaL_error(L, "r: this candidate was taken back");
    return &vm->now.decision->items[handle->index];
}

static void push_kind(lua_State *L, enum candidate_kind kind)
{
    static const char *const KINDS[] = {
        [CANDIDATE_PUSH] = "push",
        [CANDIDATE_HINT] = "hint",
        [CANDIDATE_PRECONNECT] = "preconnect",
    };
    lua_pushstring(L, KINDS[kind]);
}

static void push_has(lua_State *L, enum client_has has)
{
    static const char *const STATES[] = {
        [CLIENT_HOLDS] = "held",
        [CLIENT_DECLINED] = "declined",
        [CLIENT_STALE] = "stale",
    };
    if (has == CLIENT_LACKS)
        lua_pushnil(L);
    else
        lua_pushstring(L, STATES[has]);
}

/* What is known only once the worker has found the resource. */
static void push_resolved(lua_State *L, const struct candidate *r, int field)
{
    if (!r->resolved)
        lua_pushnil(L);
    else if (field == API_r_size)
        lua_pushnumber(L, (lua_Number)r->size);
    else if (field == API_r_mime)
        push_span_or_nil(L, r->mime);
    else if (field == API_r_etag)
        push_span_or_nil(L, r->etag);
    else if (field == API_r_cacheable)
        lua_pushboolean(L, r->cacheable);
    else
        push_has(L, r->has);
}

int r_index(lua_State *L)
{
    struct policy_vm *vm = vm_of(L);
    const struct candidate *r = candidate_of(L, vm);
    int field = (int)object_field(L, vm, OBJECT_R);
    switch (field) {
    case API_r_path:
        push_span(L, r->path);
        break;
    case API_r_kind:
        push_kind(L, r->kind);
        break;
    case API_r_as:
        push_as(L, r->as);
        break;
    case API_r_urgency:
        if (r->urgency == CANDIDATE_URGENCY_UNSET)
            lua_pushnil(L);
        else
            lua_pushinteger(L, r->urgency);
        break;
    case API_r_proposer:
        lua_pushstring(L, r->proposer);
        break;
    case API_r_why:
        push_span_or_nil(L, r->why);
        break;
    default:
        push_resolved(L, r, field);
    }
    return 1;
}

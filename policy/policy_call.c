/* Calling hooks, and telling what went wrong in them. */
#include "policy/vm.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define CALLERS_MAX 4

/* Splits "file:line: what", as Lua writes it. Returns false for other texts. */
static bool split(const char *text, struct fault *fault)
{
    const char *colon = strchr(text, ':');
    while (colon && !isdigit((unsigned char)colon[1]))
        colon = strchr(colon + 1, ':');
    if (!colon || colon - text > BUNDLE_NAME_MAX + 4)
        return false;
    char *end;
    long line = strtol(colon + 1, &end, 10);
    if (end[0] != ':' || end[1] != ' ')
        return false;
    snprintf(fault->where, sizeof(fault->where), "%.*s", (int)(colon - text), text);
    fault->line = (int)line;
    snprintf(fault->what, sizeof(fault->what), "%s", end + 2);
    return true;
}

/* The innermost Lua function at or above `*level`, which is left behind it. Allocates nothing. */
static bool position(lua_State *L, int *level, struct lua_Debug *at)
{
    while (lua_getstack(L, *level, at)) {
        lua_getinfo(L, "Sl", at);
        ++*level;
        if (at->currentline > 0)
            return true;
    }
    return false;
}

/* Adds who called, for an error in a helper is seldom the helper's. */
static void add_callers(lua_State *L, struct fault *fault)
{
    struct lua_Debug at;
    int level = 1;
    size_t used = strlen(fault->what);
    unsigned shown = 0;
    while (shown < CALLERS_MAX && position(L, &level, &at)) {
        if (at.currentline == fault->line && strcmp(at.short_src, fault->where) == 0)
            continue;
        int length = snprintf(fault->what + used, sizeof(fault->what) - used, "%s%s:%d",
                              shown ? ", " : " (called at ", at.short_src, at.currentline);
        if (length < 0 || (size_t)length >= sizeof(fault->what) - used - 1)
            break;
        used += (size_t)length;
        shown++;
    }
    if (shown)
        snprintf(fault->what + used, sizeof(fault->what) - used, ")");
    else
        fault->what[used] = '\0';
}

static char END; /* its address says that a hook ends */

void policy_end_hook(lua_State *L)
{
    lua_pushlightuserdata(L, &END);
    lua_error(L);
    abort(); /* it does not return */
}

static bool ends_hook(lua_State *L, int index)
{
    return lua_touserdata(L, index) == &END;
}

int policy_on_error(lua_State *L)
{
    struct policy_vm *vm = vm_of(L);
    struct fault *fault = &vm->fault;
    struct lua_Debug at;
    int level = 1;
    if (fault->what[0] || ends_hook(L, 1))
        return 1;
    const char *text = lua_type(L, 1) == LUA_TSTRING ? lua_tostring(L, 1) : NULL;
    if (text && split(text, fault)) {
        add_callers(L, fault);
        return 1;
    }
    bool found = position(L, &level, &at);
    fault_set(fault, 0, found ? at.short_src : NULL, found ? at.currentline : 0, "%s%s",
              text ? text : "an error whose value is a ", text ? "" : luaL_typename(L, 1));
    return 1;
}

void policy_exhausted(struct policy_vm *vm)
{
    struct lua_Debug at;
    int level = 0;
    if (!vm->L || !vm->now.policy || vm->exhausted.line || !position(vm->L, &level, &at))
        return;
    snprintf(vm->exhausted.file, sizeof(vm->exhausted.file), "%s", at.short_src);
    vm->exhausted.line = at.currentline;
}

void policy_begin(struct policy_vm *vm, const struct policy *policy, enum api_hook hook)
{
    vm->now.policy = policy;
    vm->now.hook = hook;
    vm->now.glob_steps = VM_GLOB_STEPS_MAX;
    vm->now.log_lines = 0;
    vm->now.depth = 0;
    vm->now.refused = 0;
    vm->fault.what[0] = vm->fault.where[0] = '\0';
    vm->fault.line = 0;
    vm->exhausted.line = 0;
}

/* A fault that knows no place gets that of the last allocation refused, or the hook's. */
static void complete(struct policy_vm *vm, const struct policy *policy, int line)
{
    bool known = vm->exhausted.line > 0;
    if (vm->fault.where[0])
        return;
    snprintf(vm->fault.where, sizeof(vm->fault.where), "%s",
             known ? vm->exhausted.file : policy->file);
    vm->fault.line = known ? vm->exhausted.line : line;
}

enum policy_event policy_fault(struct policy_vm *vm, const struct policy *policy,
                               enum api_hook hook, enum deadline_outcome outcome, int status,
                               const struct deadline_limits *limits)
{
    struct fault *fault = &vm->fault;
    const char *name = vm->loading ? "loading" : API_HOOKS[hook].name;
    int line = vm->loading ? 1 : policy->lines[hook];
    unsigned most_ms =
        limits->tick_ms * (outcome == DEADLINE_HARD ? limits->hard_ticks : limits->soft_ticks);
    if (outcome == DEADLINE_HARD) {
        fault_set(fault, 0, policy->file, line,
                  "hard deadline: %s did not end within %u ms of CPU time, not even when told to; "
                  "the state of all policies was dropped",
                  name, most_ms);
        return POLICY_HARD_DEADLINE;
    }
    if (outcome == DEADLINE_SOFT) {
        snprintf(fault->what, sizeof(fault->what),
                 "soft deadline: %s ran for more than %u ms of CPU time", name,
                 most_ms - limits->tick_ms);
        complete(vm, policy, line);
        return POLICY_SOFT_DEADLINE;
    }
    if (status == LUA_ERRMEM) {
        fault_set(fault, 0, NULL, 0,
                  "not enough memory: %s needs more than policy.memory allows, %zu bytes", name,
                  vm->arena.size);
        complete(vm, policy, line);
        return POLICY_MEMORY;
    }
    /* The handler, policy_on_error, has one reason to fail: no stack was left for it. */
    if (!fault->what[0])
        fault_set(fault, 0, NULL, 0, "stack overflow: %s calls itself without end", name);
    complete(vm, policy, line);
    return POLICY_ERROR;
}

/* Tells the host, and gives the state what it needs after such a failure. */
static void fail(struct policy_vm *vm, const struct policy *policy, enum policy_event event)
{
    vm->host->failed(vm->host->context, event, policy->name, &vm->fault);
    bool renew = event == POLICY_HARD_DEADLINE;
    if (!renew && (event == POLICY_MEMORY || vm->arena.used > vm->collect_above)) {
        /* What the call left behind goes now; what stays is held by module-level variables. */
        lua_settop(vm->L, 1);
        lua_rawgeti(vm->L, LUA_REGISTRYINDEX, SLOT_COLLECT);
        lua_pushboolean(vm->L, 1);
        lua_pcall(vm->L, 1, 0, 0);
        renew = vm->arena.used > vm->arena.size / 4 * 3;
    }
    if (renew && policy_vm_renew(vm) < 0)
        vm->host->failed(vm->host->context, POLICY_ERROR, policy->name, &vm->broken);
}

static int push_arguments(struct policy_vm *vm, enum api_hook hook, enum push_result result)
{
    lua_State *L = vm->L;
    object_push(L, vm, OBJECT_REQ);
    switch (hook) {
    case HOOK_on_response:
        object_push(L, vm, OBJECT_RES);
        /* The links of the last call may have been changed by it. */
        lua_pushboolean(L, 0);
        lua_rawseti(L, LUA_REGISTRYINDEX, SLOT_LINKS);
        break;
    case HOOK_on_push:
        object_push(L, vm, OBJECT_R);
        break;
    case HOOK_on_push_result:
        object_push(L, vm, OBJECT_R);
        lua_rawgeti(L, LUA_REGISTRYINDEX, SLOT_RESULTS + (int)result);
        return 3;
    default:
        break;
    }
    object_push(L, vm, OBJECT_PUSH);
    return lua_gettop(L) - 2;
}

/* The outermost function is the last to return. */
static void on_return(lua_State *L, lua_Debug *where)
{
    if (lua_getinfo(L, "l", where) && where->currentline > 0)
        vm_of(L)->return_line = where->currentline;
}

/* Calls one hook. Nothing here allocates outside the protected call. Returns true when it came to
 * its end; its two results are then at stack indices 2 and 3. */
static bool call(struct policy_vm *vm, const struct policy *policy, enum api_hook hook,
                 enum push_result result)
{
    lua_State *L = vm->L;
    int status = 0;
    vm->now.run = ++vm->runs;
    vm->now.set = (unsigned)(vm->runs % VM_SETS);
    policy_begin(vm, policy, hook);
    lua_settop(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, policy->slot + (int)hook);
    int arguments = push_arguments(vm, hook, result);
    if (vm->traces)
        lua_sethook(L, on_return, LUA_MASKRET, 0);
    enum deadline_outcome outcome = deadline_pcall(L, arguments, 2, 1, &vm->limits, &status);
    vm->calls++;
    vm->now.policy = NULL;
    vm->now.run = 0;
    if (vm->json)
        json_drop(vm);
    if (outcome == DEADLINE_NONE && status == 0)
        return true;
    if (outcome == DEADLINE_NONE && status == LUA_ERRRUN && ends_hook(L, -1)) {
        lua_settop(L, 1);
        lua_settop(L, 3); /* it returned nothing */
        return true;
    }
    fail(vm, policy, policy_fault(vm, policy, hook, outcome, status, &vm->limits));
    return false;
}

/* Between calls the collector works by the arena's fill, which Lua's own pace knows nothing of. */
static void tidy(struct policy_vm *vm)
{
    vm->now.request = NULL;
    vm->now.response = NULL;
    vm->now.decision = NULL;
    vm->now.candidate = NULL;
    if (!vm->L)
        return;
    lua_settop(vm->L, 1);
    if (vm->arena.used <= vm->collect_above)
        return;
    lua_rawgeti(vm->L, LUA_REGISTRYINDEX, SLOT_COLLECT);
    lua_pcall(vm->L, 0, 0, 0);
    lua_settop(vm->L, 1);
}

/* The string result at stack index 3, or an empty one. */
static struct span why_result(lua_State *L)
{
    size_t length = 0;
    const char *text = lua_type(L, 3) == LUA_TSTRING ? lua_tolstring(L, 3, &length) : NULL;
    return span_make(text, length);
}

/* A hook ended well but returned what means nothing. */
static void refuse_result(struct policy_vm *vm, const struct policy *policy, enum api_hook hook,
                          const char *wanted)
{
    fault_set(&vm->fault, 0, policy->file, policy->lines[hook], "%s returns %s, not a %s",
              API_HOOKS[hook].name, wanted, luaL_typename(vm->L, 2));
    vm->host->failed(vm->host->context, POLICY_ERROR, policy->name, &vm->fault);
}

/* What a proposer returned: nothing, or `false` and why it proposes nothing. */
static void take_result(struct policy_vm *vm, const struct policy *policy, enum api_hook hook,
                        struct decision *decision, unsigned first)
{
    lua_State *L = vm->L;
    if (lua_isnil(L, 2) || (lua_isboolean(L, 2) && lua_toboolean(L, 2)))
        return;
    decision_take_back(decision, first, policy->name);
    if (!lua_isboolean(L, 2)) {
        refuse_result(vm, policy, hook, "nothing, or false and a word");
        return;
    }
    if (decision->notes_count < DECISION_NOTES_MAX)
        decision->notes[decision->notes_count++] =
            (struct decision_note){policy->name, decision_text(decision, why_result(L))};
}

static void run_proposers(struct policy_vm *vm, const struct policy_list *list, enum api_hook hook,
                          struct request *request, const struct response_facts *response,
                          struct decision *decision)
{
    assert(!vm->now.request && !vm->now.policy);
    if (!list || !(list->hooks & 1u << hook) || !policy_vm_revive(vm))
        return;
    for (size_t i = 0; vm->L && i < list->count; i++) {
        const struct policy *policy = &list->policies[i];
        unsigned first = decision->count;
        if (!(policy->hooks & 1u << hook) || !policy_wants(policy, request))
            continue;
        vm->now.request = request;
        vm->now.response = response;
        vm->now.decision = decision;
        if (call(vm, policy, hook, PUSH_RESULT_LOST))
            take_result(vm, policy, hook, decision, first);
        else
            decision_take_back(decision, first, policy->name);
    }
    tidy(vm);
}

void policy_on_request(struct policy_vm *vm, const struct policy_list *list,
                       struct request *request, struct decision *decision)
{
    run_proposers(vm, list, HOOK_on_request, request, NULL, decision);
}

void policy_on_response(struct policy_vm *vm, const struct policy_list *list,
                        struct request *request, const struct response_facts *response,
                        struct decision *decision)
{
    run_proposers(vm, list, HOOK_on_response, request, response, decision);
}

static bool is_hint(lua_State *L)
{
    return lua_type(L, 2) == LUA_TSTRING && strcmp(lua_tostring(L, 2), "hint") == 0;
}

/* What a judge returned: nothing, `false` and why, or "hint" and why. */
static void take_verdict(struct policy_vm *vm, const struct policy *policy,
                         struct decision *decision, struct candidate *candidate)
{
    lua_State *L = vm->L;
    struct span why = why_result(L);
    if (lua_isnil(L, 2) || (lua_isboolean(L, 2) && lua_toboolean(L, 2)))
        return;
    candidate->judge = policy->name;
    candidate->judge_line = vm->traces ? vm->return_line : policy->lines[HOOK_on_push];
    if (is_hint(L)) {
        if (candidate->kind == CANDIDATE_PUSH)
            candidate->kind = CANDIDATE_HINT;
    } else if (lua_isboolean(L, 2)) {
        candidate->verdict = REASON_VETOED;
    } else {
        candidate->verdict = REASON_POLICY_FAILED;
        refuse_result(vm, policy, HOOK_on_push, "nothing, false or 'hint'");
        return;
    }
    if (why.length)
        candidate->why = decision_text(decision, why);
}

void policy_on_push(struct policy_vm *vm, const struct policy_list *list, struct request *request,
                    struct decision *decision, struct candidate *candidate)
{
    assert(!vm->now.request && !vm->now.policy);
    if (!list || !(list->hooks & 1u << HOOK_on_push))
        return;
    for (size_t i = 0; i < list->count && candidate->verdict == REASON_PENDING; i++) {
        const struct policy *policy = &list->policies[i];
        if (!(policy->hooks & 1u << HOOK_on_push) || !policy_wants(policy, request))
            continue;
        vm->now.request = request;
        vm->now.decision = decision;
        vm->now.candidate = candidate;
        if (vm->L && call(vm, policy, HOOK_on_push, PUSH_RESULT_LOST)) {
            take_verdict(vm, policy, decision, candidate);
            continue;
        }
        candidate->verdict = REASON_POLICY_FAILED;
        candidate->judge = policy->name;
        candidate->judge_line = vm->fault.line;
    }
    tidy(vm);
}

void policy_on_push_result(struct policy_vm *vm, const struct policy_list *list,
                           struct request *request, const struct candidate *candidate,
                           enum push_result result)
{
    assert(!vm->now.request && !vm->now.policy);
    if (!policy_wants_results(list))
        return;
    for (size_t i = 0; vm->L && i < list->count; i++) {
        const struct policy *policy = &list->policies[i];
        if (!(policy->hooks & 1u << HOOK_on_push_result) || !policy_wants(policy, request))
            continue;
        vm->now.request = request;
        vm->now.candidate = candidate;
        call(vm, policy, HOOK_on_push_result, result);
    }
    tidy(vm);
}

bool policy_applies(const struct policy_list *list, const struct request *request)
{
    const unsigned proposers = 1u << HOOK_on_request | 1u << HOOK_on_response;
    for (size_t i = 0; list && i < list->count; i++) {
        if (list->policies[i].hooks & proposers && policy_wants(&list->policies[i], request))
            return true;
    }
    return false;
}

bool policy_wants_results(const struct policy_list *list)
{
    return list && list->hooks & 1u << HOOK_on_push_result;
}

void policy_request_done(struct policy_vm *vm, struct request *request)
{
    vars_release(vm, request->vars);
    request->vars = 0;
}

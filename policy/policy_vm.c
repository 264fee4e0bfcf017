/* Making the state of a version's policies, and their lists. */
#include "policy/policy_vm.h"

#include "policy/sandbox.h"
#include "policy/vm.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#define MEMORY_BYTES (8 * 1024 * 1024) /* when the config says nothing */
#define COLLECT_KIB 64                 /* of garbage to find between two calls */
#define PAUSE_BYTES (512 * 1024)       /* of garbage for which a small state does not stop */

/* Nested sorts or __tostring within string.format end by Lua's own stack limit, after at most some
 * 4 MB of the C stack; gsub is bounded by sandbox.c. */
#define STACK_BYTES ((rlim_t)8 * 1024 * 1024)

static void *allocate(void *context, void *block, size_t old_size, size_t size)
{
    struct policy_vm *vm = context;
    void *fresh = arena_realloc(&vm->arena, block, size);
    (void)old_size;
    if (!fresh && size)
        policy_exhausted(vm);
    return fresh;
}

static int panic(lua_State *L)
{
    (void)L;
    fputs("herald: an unprotected error in a policy's state\n", stderr);
    abort();
}

/* With an argument: all garbage goes; without: a step. */
static int collect(lua_State *L)
{
    if (lua_gettop(L) > 0)
        lua_gc(L, LUA_GCCOLLECT, 0);
    else
        lua_gc(L, LUA_GCSTEP, COLLECT_KIB);
    return 0;
}

/* Runs in lua_cpcall. */
static int open_state(lua_State *L)
{
    struct policy_vm *vm = vm_of(L);
    int slots = SLOT_POLICIES + (int)vm->policies_count * VM_POLICY_SLOTS;
    /* All of the registry's integer keys exist from here on, so that setting one allocates
     * nothing. */
    for (int i = 1; i < slots; i++) {
        lua_pushboolean(L, 0);
        lua_rawseti(L, LUA_REGISTRYINDEX, i);
    }
    lua_pushcfunction(L, policy_on_error);
    lua_rawseti(L, LUA_REGISTRYINDEX, SLOT_ON_ERROR);
    lua_pushcfunction(L, collect);
    lua_rawseti(L, LUA_REGISTRYINDEX, SLOT_COLLECT);
    lua_pushcfunction(L, policy_load_protected);
    lua_rawseti(L, LUA_REGISTRYINDEX, SLOT_LOAD);
    lua_newtable(L);
    lua_pushinteger(L, 0);
    lua_rawseti(L, -2, 0);
    lua_rawseti(L, LUA_REGISTRYINDEX, SLOT_VARS);
    sandbox_open(L);
    binding_objects(L);
    binding_records(L);
    return 0;
}

/* Sets the collector's pace by what is live: a small state lets some garbage gather, a large one
 * must not outgrow the arena. */
static void pace(struct policy_vm *vm)
{
    size_t live = vm->arena.used;
    size_t percent = 100 + PAUSE_BYTES * 100 / live;
    size_t most = vm->arena.size / 10 * 9 * 100 / live;
    if (percent < 200)
        percent = 200;
    if (percent > most)
        percent = most > 105 ? most : 105;
    lua_gc(vm->L, LUA_GCSETPAUSE, (int)percent);
    vm->collect_above = vm->arena.size / 2;
    if (vm->collect_above < live + (vm->arena.size - live) / 2)
        vm->collect_above = live + (vm->arena.size - live) / 2;
}

/* Fills an empty arena. lua_newstate itself finds memory there for certain: were it refused some,
 * this LuaJIT would crash in taking back what it had. */
static int make_state(struct policy_vm *vm)
{
    vm->L = NULL;
    vm->epoch++;
    vm->vars_count = 0;
    json_drop(vm);
    vm->L = lua_newstate(allocate, vm);
    if (!vm->L)
        return fault_set(&vm->fault, -ENOMEM, NULL, 0, "no memory for the policies' state");
    lua_atpanic(vm->L, panic);
    if (lua_cpcall(vm->L, open_state, NULL) != 0)
        return fault_set(&vm->fault, -ENOMEM, NULL, 0,
                         "policy.memory of %zu bytes is too little for the policies' state",
                         vm->arena.size);
    lua_settop(vm->L, 0);
    lua_rawgeti(vm->L, LUA_REGISTRYINDEX, SLOT_ON_ERROR);
    for (size_t i = 0; i < vm->policies_count; i++) {
        vm->policies[i].lists_count = 0;
        int rc = policy_load(vm, &vm->policies[i]);
        if (rc < 0)
            return rc;
    }
    lua_settop(vm->L, 1);
    lua_rawgeti(vm->L, LUA_REGISTRYINDEX, SLOT_COLLECT);
    lua_pushboolean(vm->L, 1);
    lua_pcall(vm->L, 1, 0, 0);
    lua_settop(vm->L, 1);
    pace(vm);
    return 0;
}

/* A file that loaded once may fail to the next time, by its own fault; the more often it does, the
 * more calls go by unanswered until it is tried again. */
bool policy_vm_revive(struct policy_vm *vm)
{
    return vm->L || (++vm->silent >= vm->patience && policy_vm_renew(vm) == 0);
}

/* A state whose memory may be in any condition is forgotten with its arena, not closed. */
int policy_vm_renew(struct policy_vm *vm)
{
    struct policy_now now = vm->now;
    arena_reset(&vm->arena);
    int rc = make_state(vm);
    vm->now = now;
    if (rc < 0) {
        vm->broken = vm->fault;
        vm->L = NULL;
        vm->silent = 0;
        vm->patience *= 2;
    }
    if (rc == 0 || vm->patience > VM_PATIENCE_MAX)
        vm->patience = rc == 0 ? VM_PATIENCE_MIN / 2 : VM_PATIENCE_MAX;
    return rc;
}

static bool has_ending(const char *name)
{
    return span_ends(span_of(name), SPAN_LITERAL(".lua"));
}

/* The policy whose name, as the config would write it, is nearest to `name`: in `found`. */
static bool nearest_policy(const struct bundle *bundle, const char *name, char *found)
{
    char other[BUNDLE_NAME_MAX + 1];
    const char *pair[] = {found, other, NULL};
    found[0] = '\0';
    for (size_t i = 0; bundle && i < bundle_count(bundle); i++) {
        struct span file = bundle_name(bundle, i);
        if (!span_ends(file, SPAN_LITERAL(".lua")))
            continue;
        if (!has_ending(name))
            file.length -= 4;
        snprintf(other, sizeof(other), "%.*s", SPAN_PRINT(file));
        if (fault_nearest(name, pair) == other)
            memcpy(found, other, sizeof(other));
    }
    return found[0];
}

static int name_policy(struct policy_vm *vm, struct policy *policy, const struct config_site *site,
                       const struct config_policy *entry, struct fault *fault)
{
    char nearest[BUNDLE_NAME_MAX + 1];
    const char *where = vm->config->path ? vm->config->path : "config";
    int line = site->line;
    if (entry->file) {
        where = entry->file;
        line = entry->line;
    }
    policy->name = entry->name;
    policy->arguments = entry->arguments;
    policy->config_file = where;
    policy->config_line = line;
    int length = snprintf(policy->file, sizeof(policy->file), "%s%s", entry->name,
                          has_ending(entry->name) ? "" : ".lua");
    if (length < 0 || (size_t)length >= sizeof(policy->file))
        return fault_set(fault, -ENAMETOOLONG, where, line, "the policy name '%s' is too long",
                         entry->name);
    if (vm->bundle && bundle_find(vm->bundle, span_of(policy->file)).data)
        return 0;
    if (nearest_policy(vm->bundle, entry->name, nearest))
        return fault_set(fault, -ENOENT, where, line, "there is no policy '%s'; did you mean '%s'?",
                         entry->name, nearest);
    return fault_set(fault, -ENOENT, where, line, "there is no policy '%s'", entry->name);
}

/* Counts the lists of each site: routes with the same policies share one. */
static int count_lists(struct policy_vm *vm)
{
    const struct config *config = vm->config;
    vm->site_lists = calloc(config->sites_count + 1, sizeof(*vm->site_lists));
    if (!vm->site_lists)
        return -ENOMEM;
    for (size_t s = 0; s < config->sites_count; s++) {
        const struct config_site *site = &config->sites[s];
        size_t lists = 0;
        for (size_t r = 0; r < site->routes_count; r++) {
            if (site->routes[r].list >= lists)
                lists = (size_t)site->routes[r].list + 1;
        }
        vm->site_lists[s] = vm->lists_count;
        vm->lists_count += lists;
    }
    vm->lists = calloc(vm->lists_count + 1, sizeof(*vm->lists));
    return vm->lists ? 0 : -ENOMEM;
}

static struct policy_list *list_of(const struct policy_vm *vm, size_t site,
                                   const struct config_route *route)
{
    return &vm->lists[vm->site_lists[site] + route->list];
}

/* Sizes every list, then gives each its part of one array of policies. */
static int share_policies(struct policy_vm *vm, struct fault *fault)
{
    const struct config *config = vm->config;
    for (size_t s = 0; s < config->sites_count; s++) {
        for (size_t r = 0; r < config->sites[s].routes_count; r++) {
            const struct config_route *route = &config->sites[s].routes[r];
            if (route->policies_count > VM_LIST_MAX)
                return fault_set(fault, -E2BIG, config->path, config->sites[s].line,
                                 "a list of more than %d policies", VM_LIST_MAX);
            list_of(vm, s, route)->count = route->policies_count;
        }
    }
    for (size_t i = 0; i < vm->lists_count; i++)
        vm->policies_count += vm->lists[i].count;
    vm->policies = calloc(vm->policies_count + 1, sizeof(*vm->policies));
    if (!vm->policies)
        return fault_set(fault, -ENOMEM, NULL, 0, "memory ran out");
    struct policy *next = vm->policies;
    for (size_t i = 0; i < vm->lists_count; i++) {
        vm->lists[i].policies = next;
        next += vm->lists[i].count;
    }
    for (size_t i = 0; i < vm->policies_count; i++)
        vm->policies[i].slot = SLOT_POLICIES + (int)i * VM_POLICY_SLOTS;
    return 0;
}

static int make_lists(struct policy_vm *vm, struct fault *fault)
{
    const struct config *config = vm->config;
    if (count_lists(vm) < 0)
        return fault_set(fault, -ENOMEM, NULL, 0, "memory ran out");
    int rc = share_policies(vm, fault);
    for (size_t s = 0; rc == 0 && s < config->sites_count; s++) {
        const struct config_site *site = &config->sites[s];
        for (size_t r = 0; rc == 0 && r < site->routes_count; r++) {
            const struct config_route *route = &site->routes[r];
            struct policy_list *list = list_of(vm, s, route);
            for (size_t p = 0; rc == 0 && p < list->count; p++)
                rc = name_policy(vm, &list->policies[p], site, &route->policies[p], fault);
        }
    }
    return rc;
}

/* Raises the stack's soft limit to what policies may need, where the hard one allows it. */
static int check_stack(struct fault *fault)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_STACK, &limit) < 0 || limit.rlim_cur >= STACK_BYTES)
        return 0;
    limit.rlim_cur = STACK_BYTES;
    if (limit.rlim_max >= STACK_BYTES && setrlimit(RLIMIT_STACK, &limit) == 0)
        return 0;
    return fault_set(fault, -ENOMEM, NULL, 0,
                     "policies need a stack of 8 MiB; the limit (ulimit -s) is lower");
}

int policy_limits(const struct config *config, struct policy_limits *limits, struct fault *fault)
{
    struct deadline_limits ticks;
    int rc = deadline_limits(config->policy.soft_ms, config->policy.hard_ms, &ticks, fault);
    limits->memory_bytes = config->policy.memory_bytes ? config->policy.memory_bytes : MEMORY_BYTES;
    limits->tick_ms = ticks.tick_ms;
    limits->soft_ms = ticks.soft_ticks * ticks.tick_ms;
    limits->hard_ms = ticks.hard_ticks * ticks.tick_ms;
    if (rc == 0 &&
        (limits->memory_bytes < ARENA_BYTES_MIN || limits->memory_bytes > ARENA_BYTES_MAX))
        rc = fault_set(fault, -ERANGE, NULL, 0,
                       "policy.memory is %llu bytes; it may be 256 KiB to 1 GiB",
                       (unsigned long long)limits->memory_bytes);
    return rc;
}

static int prepare(struct policy_vm *vm, int bundle_fd, struct fault *fault)
{
    struct policy_limits limits;
    int rc = policy_limits(vm->config, &limits, fault);
    if (rc == 0)
        rc = deadline_limits(vm->config->policy.soft_ms, vm->config->policy.hard_ms, &vm->limits,
                             fault);
    if (rc == 0)
        rc = check_stack(fault);
    if (rc == 0 && bundle_fd >= 0)
        rc = bundle_open(bundle_fd, &vm->bundle, fault);
    if (rc < 0)
        return rc;
    snprintf(vm->version, sizeof(vm->version), "%016llx",
             vm->bundle ? (unsigned long long)bundle_version(vm->bundle) : 0ULL);
    if (arena_open(&vm->arena, (size_t)limits.memory_bytes) < 0)
        return fault_set(fault, -ENOMEM, NULL, 0, "no memory for the policies' state");
    return make_lists(vm, fault);
}

static void sum_hooks(struct policy_vm *vm)
{
    for (size_t i = 0; i < vm->lists_count; i++) {
        vm->lists[i].hooks = 0;
        for (size_t p = 0; p < vm->lists[i].count; p++)
            vm->lists[i].hooks |= vm->lists[i].policies[p].hooks;
    }
}

int policy_vm_create(const struct config *config, int bundle_fd, const struct policy_host *host,
                     struct policy_vm **vm, struct fault *fault)
{
    int rc = deadline_start(fault);
    if (rc < 0)
        return rc;
    struct policy_vm *made = calloc(1, sizeof(*made));
    if (!made) {
        deadline_stop();
        return fault_set(fault, -ENOMEM, NULL, 0, "memory ran out");
    }
    made->patience = VM_PATIENCE_MIN / 2;
    made->config = config;
    made->host = host;
    rc = prepare(made, bundle_fd, fault);
    if (rc == 0 && (rc = make_state(made)) < 0 && fault)
        *fault = made->fault;
    if (rc < 0) {
        policy_vm_destroy(made);
        return rc;
    }
    sum_hooks(made);
    *vm = made;
    return 0;
}

void policy_vm_destroy(struct policy_vm *vm)
{
    if (!vm)
        return;
    /* Nothing in the state has a finalizer, so it goes with its arena. */
    json_drop(vm);
    shared_drop(vm);
    arena_close(&vm->arena);
    bundle_close(vm->bundle);
    free(vm->policies);
    free(vm->lists);
    free(vm->site_lists);
    free(vm);
    deadline_stop();
}

const struct policy_list *policy_vm_list(const struct policy_vm *vm, const struct config_site *site,
                                         const struct config_route *route)
{
    const struct config *config = vm->config;
    assert(site >= config->sites && site < config->sites + config->sites_count);
    return route->policies_count ? list_of(vm, (size_t)(site - config->sites), route) : NULL;
}

void policy_vm_trace(struct policy_vm *vm)
{
    vm->traces = true;
}

uint64_t policy_vm_calls(const struct policy_vm *vm)
{
    return vm->calls;
}

uint64_t policy_vm_version(const struct policy_vm *vm)
{
    return vm->bundle ? bundle_version(vm->bundle) : 0;
}

size_t policy_vm_memory(const struct policy_vm *vm)
{
    return vm->arena.used;
}

static enum client_has check_client_has(void *context, const struct request *request,
                                        struct span path)
{
    (void)context, (void)request, (void)path;
    return CLIENT_LACKS;
}

static const struct assets *check_assets_of(void *context, const struct request *request,
                                            struct span path)
{
    (void)context, (void)request, (void)path;
    return NULL;
}

static int check_read_file(void *context, const struct request *request, struct span path,
                           struct span *content, uint64_t *version)
{
    (void)context, (void)request, (void)path, (void)content, (void)version;
    return -ENOENT;
}

static void check_log(void *context, const struct request *request, const char *policy,
                      struct span message, struct span json)
{
    (void)context, (void)request, (void)policy, (void)message, (void)json;
}

static void check_failed(void *context, enum policy_event event, const char *policy,
                         const struct fault *fault)
{
    (void)context, (void)event, (void)policy, (void)fault;
}

int policy_check(const struct config *config, int bundle_fd, struct fault *fault)
{
    /* There are no requests here: `init` hooks may log, and nothing else is asked for. */
    static const struct policy_host host = {
        .client_has = check_client_has,
        .assets_of = check_assets_of,
        .read_file = check_read_file,
        .log = check_log,
        .failed = check_failed,
    };
    struct policy_vm *vm;
    int rc = policy_vm_create(config, bundle_fd, &host, &vm, fault);
    if (rc == 0)
        policy_vm_destroy(vm);
    return rc;
}

/* What policy code cannot do: reach out of its sandbox, run for ever, take more than its memory,
 * spoil the state for others. */
#include "policy/vm.h"
#include "tests/unit/policy_fixture.h"

#include <luajit.h>
#include <lualib.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

#define AFTERWARDS_MS \
    4 /* to empty the arena and make the state anew; several times that with ASan */
#define HOSTILE HERALD_STOCK_DIR "/../tests/policy/hostile"

static char *read_whole(const char *path, size_t *length)
{
    FILE *in = fopen(path, "r");
    assert_non_null(in);
    char *text = calloc(1, 65536);
    *length = fread(text, 1, 65535, in);
    fclose(in);
    return text;
}

static const char *event_name(const struct fixture *f)
{
    static const char *const NAMES[] = {"error", "soft", "memory", "hard"};
    for (unsigned i = 0; i <= POLICY_HARD_DEADLINE; i++) {
        if (f->failures[i])
            return NAMES[i];
    }
    return "none";
}

/* Checks how the call ended against a line of EXPECTED. */
static void check_end(const struct fixture *f, const char *name, const char *expected)
{
    int line = 0, at = 0;
    bool right;
    if (sscanf(expected, "error %d %n", &line, &at) == 1)
        right = f->failures[POLICY_ERROR] && f->last.line == line &&
                strstr(f->last.what, expected + at);
    else
        right = strcmp(expected, "any") == 0 || strstr(expected, event_name(f));
    if (failures(f) > 1 || !right)
        fail_msg("%s: expected %s, got %u failures, %s: %s:%d: %s", name, expected, failures(f),
                 event_name(f), f->last.where, f->last.line, f->last.what);
    if (failures(f)) {
        char file[64];
        snprintf(file, sizeof(file), "%.50s.lua", name);
        assert_string_equal(f->last.where, file);
        assert_true(f->last.line > 0);
    }
}

static double cpu_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* A hook ends by its deadline and one tick more, and what comes after it is short: the best of the
 * calls tells, since a tick comes late while other processes take the processor away. */
static void check_time(const struct fixture *f, const char *name, const char *expected, double ms)
{
    const struct deadline_limits *limits = &f->vm->limits;
    bool soft_at_most = !strstr(expected, "hard") && strcmp(expected, "any") != 0;
    unsigned ticks = soft_at_most ? limits->soft_ticks : limits->hard_ticks;
    if (ms > (ticks + 1) * limits->tick_ms + AFTERWARDS_MS)
        fail_msg("%s: expected %s, and it took %.1f ms of CPU time", name, expected, ms);
}

/* Runs one script beside a policy that means no harm, three times over. */
static void run_hostile(struct fixture *f, const char *name, const char *expected)
{
    char path[256], file[64];
    size_t length;
    snprintf(file, sizeof(file), "%.50s.lua", name);
    snprintf(path, sizeof(path), "%s/%s", HOSTILE, file);
    char *text = read_whole(path, &length);
    write_file(f->dir, file, text, length);
    free(text);
    f->route.policies_count = 0;
    use_policy(f, file, "{}");
    use_policy(f, "good.lua", "{}");
    int rc = try_open(f);
    if ((rc < 0) != (strcmp(expected, "load") == 0))
        fail_msg("%s: opening says %d, %s:%d: %s", name, rc, f->fault.where, f->fault.line,
                 f->fault.what);
    double best_ms = 1e9;
    for (unsigned i = 0; rc == 0 && i < 3; i++) {
        memset(f->failures, 0, sizeof(f->failures));
        double began_ms = cpu_ms();
        page(f);
        best_ms = cpu_ms() - began_ms < best_ms ? cpu_ms() - began_ms : best_ms;
        check_end(f, name, expected);
        assert_true(arena_sound(&f->vm->arena));
        if (!decision_find(&f->decision, SPAN_LITERAL("/good.css")) && f->decision.count < 100)
            fail_msg("%s: the next policy was not heard", name);
    }
    if (rc < 0) {
        assert_string_equal(f->fault.where, file);
        assert_true(f->fault.line > 0);
    } else {
        print_message("%-24s %5.1f ms\n", name, best_ms);
        check_time(f, name, expected, best_ms);
    }
    close_vm(f);
}

static void every_hostile_script_ends_as_expected_and_harms_no_other(void **state)
{
    struct fixture *f = *state;
    char line[256];
    unsigned scripts = 0;
    policy_file(f, "good.lua", "return function(req, push) push:add('/good.css') end");
    FILE *expected = fopen(HOSTILE "/EXPECTED", "r");
    assert_non_null(expected);
    while (fgets(line, sizeof(line), expected)) {
        char *colon = strchr(line, ':');
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '#' || !colon)
            continue;
        *colon = '\0';
        run_hostile(f, line, colon + 2);
        scripts++;
    }
    fclose(expected);
    assert_true(scripts > 50);
}

static void the_globals_are_those_of_the_table_and_no_others(void **state)
{
    struct fixture *f = *state;
    static const char *const GONE[] = {"load",
                                       "loadstring",
                                       "loadfile",
                                       "dofile",
                                       "xpcall",
                                       "coroutine",
                                       "collectgarbage",
                                       "debug",
                                       "io",
                                       "os",
                                       "ffi",
                                       "jit",
                                       "package",
                                       "getfenv",
                                       "setfenv",
                                       "newproxy",
                                       "print",
                                       "module",
                                       "gcinfo",
                                       "_G",
                                       "_VERSION",
                                       "math.random",
                                       "math.randomseed",
                                       "string.dump",
                                       "table.new",
                                       "table.foreach"};
    char text[8192];
    int used = snprintf(text, sizeof(text), "local all = {");
    for (size_t i = 0; i < API_LUA_COUNT; i++) {
        bool base = strcmp(API_LUA_ENTRIES[i].library, "_G") == 0;
        used += snprintf(text + used, sizeof(text) - (size_t)used, "%s%s%s,",
                         base ? "" : API_LUA_ENTRIES[i].library, base ? "" : ".",
                         API_LUA_ENTRIES[i].name);
    }
    snprintf(text + used, sizeof(text) - (size_t)used,
             "require}\nreturn function() assert(#all == %zu) end", API_LUA_COUNT + 1);
    only_policy(f, text);
    must_open(f);
    page(f);
    no_failure(f);
    close_vm(f);
    for (size_t i = 0; i < sizeof(GONE) / sizeof(GONE[0]); i++) {
        snprintf(text, sizeof(text), "\nlocal x = %s\nreturn function() return nil, x end",
                 GONE[i]);
        policy_file(f, "p.lua", text);
        refuses(f, "p.lua", 2, "there is no ");
    }
}

static void an_unknown_global_is_named_with_the_nearest_one(void **state)
{
    struct fixture *f = *state;
    only_policy(f, "return function()\n\n  for _ in ipars({}) do end\nend");
    must_open(f);
    page(f);
    failed_with(f, POLICY_ERROR, "p.lua", 3, "there is no global 'ipars'; did you mean 'ipairs'?");
}

static void a_misspelt_library_function_is_named_with_the_nearest_one(void **state)
{
    struct fixture *f = *state;
    only_policy(f, "return function()\n  return nil, ('x'):uper()\nend");
    must_open(f);
    page(f);
    failed_with(f, POLICY_ERROR, "p.lua", 2, "there is no 'string.uper'; did you mean 'upper'?");
}

static void strings_keep_their_methods(void **state)
{
    struct fixture *f = *state;
    only_policy(f, "return function(req, push)\n"
                   "  assert(('abc'):gsub('b', 'x') == 'axc')\n"
                   "  assert(('abc'):gsub('b', function(c) return c .. c end) == 'abbc')\n"
                   "  assert(('abc'):gsub('%w', { a = '1' }) == '1bc')\n"
                   "  local s, n = ('aaa'):gsub('a', 'b', 2)\n"
                   "  assert(s == 'bba' and n == 2)\n"
                   "  assert(('ab'):rep(3) == 'ababab' and ('x'):rep(0) == '')\n"
                   "  assert(('x'):rep(3, ',') == 'x,x,x' and (''):rep(9) == '')\n"
                   "  push:add('/fine')\n"
                   "end");
    must_open(f);
    page(f);
    no_failure(f);
    proposes(f, 0, "/fine");
}

static void an_error_in_a_gsub_does_not_use_up_the_depth(void **state)
{
    struct fixture *f = *state;
    only_policy(f,
                "return function(req, push)\n"
                "  for _ = 1, 100 do pcall(string.gsub, 'x', 'x', function() error('no') end) end\n"
                "  assert(('x'):gsub('x', function() return 'y' end) == 'y')\n"
                "end");
    must_open(f);
    page(f);
    no_failure(f);
}

/* The number of traces that a state has compiled, by the library that policies never see. */
static int traces(lua_State *L)
{
    int count = 0;
    lua_settop(L, 0);
    lua_pushcfunction(L, luaopen_jit);
    lua_pushliteral(L, LUA_JITLIBNAME);
    assert_int_equal(lua_pcall(L, 1, 0, 0), 0);
    lua_getfield(L, LUA_REGISTRYINDEX, "_PRELOAD");
    lua_getfield(L, -1, "jit.util");
    assert_true(lua_isfunction(L, -1));
    assert_int_equal(lua_pcall(L, 0, 1, 0), 0);
    for (;; count++) {
        lua_getfield(L, -1, "traceinfo");
        lua_pushinteger(L, count + 1);
        assert_int_equal(lua_pcall(L, 1, 1, 0), 0);
        if (lua_isnil(L, -1))
            return count;
        lua_pop(L, 1);
    }
}

#define HOT "local n = 0 for i = 1, 20000 do n = n + i % 7 end "

static void no_trace_is_ever_compiled(void **state)
{
    struct fixture *f = *state;
    only_policy(f, HOT "return function(req, push)\n" HOT "push:add('/' .. n) end");
    must_open(f);
    page(f);
    page(f);
    no_failure(f);
    assert_int_equal(f->decision.count, 1);
    /* The same loop does compile where nobody turned the compiler off. */
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    assert_int_equal(luaL_dostring(L, HOT), 0);
    assert_true(traces(L) > 0);
    lua_close(L);
    assert_int_equal(traces(f->vm->L), 0);
}

static void bytecode_does_not_load_under_any_name(void **state)
{
    struct fixture *f = *state;
    write_file(f->dir, "lib/code.lua", "\x1bLJ\x02", 4);
    only_policy(f, "local code = require('lib.code')\nreturn code");
    refuses(f, "lib/code.lua", 1, "this is bytecode");
}

static void memory_comes_back_after_a_call_that_ran_out_of_it(void **state)
{
    struct fixture *f = *state;
    only_policy(f, "return function(req, push)\n"
                   "  if req.query == 'q=1' then\n"
                   "    local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end\n"
                   "  end\n"
                   "  push:add('/a')\n"
                   "end");
    f->config.policy.memory_bytes = 1024 * 1024;
    must_open(f);
    for (unsigned i = 0; i < 20; i++) {
        page(f);
        assert_true(policy_vm_memory(f->vm) < 512 * 1024);
    }
    assert_int_equal(f->failures[POLICY_MEMORY], 20);
    f->request.query = SPAN_LITERAL("");
    page(f);
    proposes(f, 0, "/a");
    assert_int_equal(failures(f), 20);
}

static void a_policy_that_keeps_too_much_is_started_anew(void **state)
{
    struct fixture *f = *state;
    only_policy(f, "local kept = {}\n"
                   "return function(req, push)\n"
                   "  for _ = 1, 200 do kept[#kept + 1] = { 'a table of some size', 1, 2, 3 } end\n"
                   "  push:add('/n' .. #kept)\n"
                   "end");
    f->config.policy.memory_bytes = 512 * 1024;
    must_open(f);
    unsigned proposed = 0;
    for (unsigned i = 0; i < 200; i++) {
        page(f);
        proposed += f->decision.count;
    }
    assert_true(f->failures[POLICY_MEMORY] > 2);
    assert_int_equal(f->failures[POLICY_MEMORY], failures(f));
    assert_int_equal(proposed + failures(f), 200);
    assert_true(proposed > 150);
}

static void garbage_of_many_calls_never_runs_the_state_out_of_memory(void **state)
{
    struct fixture *f = *state;
    only_policy(f, "local kept = {} for i = 1, 2000 do kept[i] = { i } end\n"
                   "return function(req, push)\n"
                   "  local t = {} for i = 1, 50 do t[i] = { 'x' .. i .. req.query } end\n"
                   "  push:add('/' .. #t)\n"
                   "end");
    f->config.policy.memory_bytes = 768 * 1024;
    must_open(f);
    char query[32];
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(query, sizeof(query), "n=%u", i);
        f->request.query = span_of(query);
        page(f);
    }
    no_failure(f);
    proposes(f, 0, "/50");
}

/* Every allocation of opening a VM and of each hook fails once, then all from it on. */
#define ALL_HOOKS                                                                                  \
    "local seen = {}\n"                                                                            \
    "return { api = 1, args = { n = 'number' }, applies = { dest = '*', path = { '/*' } },\n"      \
    "  init = function(args) seen[args.n] = policy.data('d.json').x log.info('i', { a = 1 }) end," \
    "  on_request = function(req, push)\n"                                                         \
    "    req.vars.t = { req.path, req.headers.accept, req.cookies.c, req.client.id }\n"            \
    "    for _, a in ipairs(assets.of(req.path)) do push:add(a.path, { as = a.as }) end\n"         \
    "    for _, p in ipairs(policy.manifest('m.json')) do push:add(p) end\n"                       \
    "    push:add('/x' .. req.query:gsub('q', function(q) return q .. q end))\n"                   \
    "    push:hint('/y', { why = 'because' }) push:preconnect('https://o.example')\n"              \
    "    push:skip('/z', 'never')\n"                                                               \
    "    for r in push:each() do seen[r.path] = r.proposer end\n"                                  \
    "    log.info('request', { path = req.path, bucket = util.bucket(req.client, 9) })\n"          \
    "    if not pcall(error, {}) then seen[#seen + 1] = tostring(req) end\n"                       \
    "  end,\n"                                                                                     \
    "  on_response = function(req, res, push)\n"                                                   \
    "    for _, l in ipairs(res.links) do push:add(l.path .. '?' .. req.vars.t[1]) end\n"          \
    "  end,\n"                                                                                     \
    "  on_push = function(req, r, push)\n"                                                         \
    "    if r.path:find('x') then return 'hint', 'w' .. r.size end\n"                              \
    "  end,\n"                                                                                     \
    "  on_push_result = function(req, r, result) seen[result] = r.etag .. req.vars.t[1] end }\n"

static void fill_request(struct fixture *f)
{
    f->fields[0] = (struct field){SPAN_LITERAL("accept"), SPAN_LITERAL("text/html")};
    f->fields[1] = (struct field){SPAN_LITERAL("cookie"), SPAN_LITERAL("b=1; c=two")};
    f->request.fields_count = 2;
    f->links[0] = (struct response_link){.path = SPAN_LITERAL("/l.css"),
                                         .rel = SPAN_LITERAL("preload"),
                                         .as = AS_STYLE,
                                         .same_origin = true};
    f->response.links_count = 1;
    f->assets = calloc(1, sizeof(struct assets) + sizeof(struct asset));
    f->assets->count = 1;
    f->assets->items[0] = (struct asset){.path = SPAN_LITERAL("/a.css"), .as = AS_STYLE};
    write_file(f->root, "m.json", "[\"/m.js\"]", 9);
}

static void run_all_hooks(struct fixture *f)
{
    page(f);
    respond(f);
    judge(f, 10);
    for (unsigned i = 0; i < f->decision.count; i++)
        policy_on_push_result(f->vm, f->list, &f->request, &f->decision.items[i],
                              PUSH_RESULT_DELIVERED);
    policy_request_done(f->vm, &f->request);
}

static uint64_t failing_open(struct fixture *f, uint64_t at, bool on)
{
    struct policy_vm *vm = NULL;
    struct fault fault = {.what = ""};
    arena_refuse_in_next(at, on);
    int rc = policy_vm_create(&f->config, f->bundle, &f->host, &vm, &fault);
    arena_refuse_in_next(0, false);
    if (rc == 0) {
        uint64_t allocations = vm->arena.allocations;
        policy_vm_destroy(vm);
        return at > allocations ? 0 : allocations;
    }
    assert_true(rc == -ENOMEM || rc == -EINVAL);
    assert_true(fault.what[0]);
    return UINT64_MAX;
}

static void *count_allocations(void *context, void *block, size_t old_size, size_t size)
{
    (void)old_size;
    if (size == 0) {
        free(block);
        return NULL;
    }
    ++*(uint64_t *)context;
    return realloc(block, size);
}

/* lua_newstate of this LuaJIT crashes when it is refused memory, which an empty arena never does.
 */
static uint64_t allocations_of_newstate(void)
{
    uint64_t count = 0;
    lua_State *L = lua_newstate(count_allocations, &count);
    assert_non_null(L);
    lua_close(L);
    return count;
}

static void opening_survives_the_failure_of_any_allocation(void **state)
{
    struct fixture *f = *state;
    policy_file(f, "d.json", "{\"x\": [1, {\"y\": null}]}");
    policy_file(f, "p.lua", ALL_HOOKS);
    use_policy(f, "p.lua", "{\"n\": 1}");
    use_policy(f, "manifest", "{\"file\": \"m.json\"}");
    f->bundle = bundle_create(&f->config, &f->fault);
    assert_true(f->bundle >= 0);
    unsigned refused = 0;
    for (uint64_t at = allocations_of_newstate() + 1; failing_open(f, at, false) != 0; at++)
        refused += failing_open(f, at, true) == UINT64_MAX;
    assert_true(refused > 500);
}

static void hooks_survive_the_failure_of_any_allocation(void **state)
{
    struct fixture *f = *state;
    fill_request(f);
    policy_file(f, "d.json", "{\"x\": [1, {\"y\": null}]}");
    policy_file(f, "p.lua", ALL_HOOKS);
    use_policy(f, "p.lua", "{\"n\": 1}");
    unsigned failed = 0;
    for (unsigned on = 0; on < 2; on++) {
        for (uint64_t n = 1;; n++) {
            must_open(f);
            memset(f->failures, 0, sizeof(f->failures));
            uint64_t before = f->vm->arena.allocations;
            f->vm->arena.refuse_at = before + n;
            f->vm->arena.refuse_on = on;
            run_all_hooks(f);
            bool reached = f->vm->arena.allocations >= before + n;
            f->vm->arena.refuse_at = 0;
            failed += failures(f) > 0;
            /* A state that could not be made again stays silent; any other works as before. */
            if (f->vm->L) {
                assert_true(arena_sound(&f->vm->arena));
                memset(f->failures, 0, sizeof(f->failures));
                run_all_hooks(f);
                no_failure(f);
                proposes(f, 0, "/a.css");
            }
            close_vm(f);
            if (!reached)
                break;
        }
    }
    assert_true(failed > 60);
}

/* A clock far faster than the VM's own makes many escapes, each somewhere else. */
static void tick_every(timer_t timer, long ns)
{
    struct itimerspec every = {{0, ns}, {0, ns}};
    assert_int_equal(timer_settime(timer, 0, &every, NULL), 0);
}

/* Calls the policy `rounds` times; every call is stopped, or left without having been told to stop.
 * By such a clock even loading may take too long: then the VM is made anew. */
static void escape(struct fixture *f, timer_t timer, unsigned rounds, bool untold)
{
    uint64_t calls = 0;
    memset(f->failures, 0, sizeof(f->failures));
    must_open(f);
    while (calls + policy_vm_calls(f->vm) < rounds) {
        f->vm->limits.soft_ticks = untold ? UINT32_MAX : 2;
        tick_every(timer, 60000);
        while (f->vm->L && calls + policy_vm_calls(f->vm) < rounds) {
            page(f);
            f->file_version++;
        }
        tick_every(timer, 0);
        assert_null(f->vm->json);
        if (f->vm->L) {
            assert_true(arena_sound(&f->vm->arena));
            continue;
        }
        calls += policy_vm_calls(f->vm);
        close_vm(f);
        must_open(f);
    }
    assert_int_equal(f->failures[POLICY_SOFT_DEADLINE] + f->failures[POLICY_HARD_DEADLINE] +
                         f->failures[POLICY_MEMORY],
                     rounds);
    close_vm(f);
    if (untold)
        assert_true(f->failures[POLICY_HARD_DEADLINE] + f->failures[POLICY_MEMORY] == rounds);
}

static void nothing_of_an_escape_stays_behind(void **state)
{
    static const char *const BODIES[] = {
        "while true do pcall(function() error({}) end) end",
        "while true do local t = {} for i = 1, 50 do t[i] = ('x'):rep(i) end end",
        "while true do pcall(string.gsub, ('a'):rep(50), 'a', pcall) end",
        "while true do local t = { 3, 2, 1 } pcall(table.sort, t, pcall) end",
        "while true do push:add('/' .. ('y'):rep(500)) pcall(push.add, push, 1, 2) end",
        "while true do pcall(policy.manifest, 'm.json') end",
        "while true do pcall(log.info, 'x', { a = 1, b = 'c' }) end",
    };
    struct fixture *f = *state;
    struct sigevent event;
    timer_t timer;
    char text[512];
    fill_request(f);
    write_file(f->root, "m.json", "{\"a\": [1, 2, 3, {\"b\": \"c\"}]}", 28);
    memset(&event, 0, sizeof(event));
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGVTALRM;
    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    for (size_t i = 0; i < sizeof(BODIES) / sizeof(BODIES[0]); i++) {
        snprintf(text, sizeof(text),
                 "return function(req, push)\n while true do pcall(function() %s end) end\nend",
                 BODIES[i]);
        f->route.policies_count = 0;
        only_policy(f, text);
        assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
        escape(f, timer, getenv("HERALD_SOAK") ? 5000 : 100, false);
        escape(f, timer, getenv("HERALD_SOAK") ? 5000 : 100, true);
        timer_delete(timer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_hostile_script_ends_as_expected_and_harms_no_other,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(the_globals_are_those_of_the_table_and_no_others, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_unknown_global_is_named_with_the_nearest_one, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_misspelt_library_function_is_named_with_the_nearest_one,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(strings_keep_their_methods, setup, teardown),
        cmocka_unit_test_setup_teardown(an_error_in_a_gsub_does_not_use_up_the_depth, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(no_trace_is_ever_compiled, setup, teardown),
        cmocka_unit_test_setup_teardown(bytecode_does_not_load_under_any_name, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_comes_back_after_a_call_that_ran_out_of_it, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_policy_that_keeps_too_much_is_started_anew, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(garbage_of_many_calls_never_runs_the_state_out_of_memory,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(opening_survives_the_failure_of_any_allocation, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(hooks_survive_the_failure_of_any_allocation, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(nothing_of_an_escape_stays_behind, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "master/config/config_lua.h"

#include "tests/unit/config_case.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

static struct config_lua_result said;
static struct fault fault;

/* Runs herald.lua in this process. */
static int run(void)
{
    struct config_lua_source source = {.prefix = "", .name = "herald.lua"};
    config_lua_finish(&said);
    fault = (struct fault){0};
    source.directory_fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    source.file_fd = open("herald.lua", O_RDONLY | O_CLOEXEC);
    assert_true(source.directory_fd >= 0 && source.file_fd >= 0);
    int rc = config_lua_run(&source, &said, &fault);
    close(source.directory_fd);
    close(source.file_fd);
    return rc;
}

static const char *text_of_fault(void)
{
    static char text[FAULT_WHERE_MAX + FAULT_WHAT_MAX + 16];
    return fault_text(&fault, text, sizeof(text));
}

static void accepts(const char *lua)
{
    case_write("herald.lua", lua);
    if (run() < 0)
        fail_msg("%s", text_of_fault());
}

static const char *refuses(const char *lua)
{
    case_write("herald.lua", lua);
    assert_int_equal(run(), -EINVAL);
    assert_null(said.top);
    return text_of_fault();
}

static int leave(void **state)
{
    config_lua_finish(&said);
    return case_leave(state);
}

static const char *text(const char *key)
{
    const struct value *value = value_get(said.top, key);
    assert_non_null(value);
    assert_int_equal(value->type, VALUE_TEXT);
    return value->text;
}

/* ---- what a config says ---- */

static void an_assignment_to_a_global_name_sets_a_key(void **state)
{
    (void)state;
    accepts("user = 'a'\nworkers = 3\nlisten = { 'x', { 'y', tls = true } }");
    assert_int_equal(said.top->fields_count, 3);
    assert_string_equal(text("user"), "a");
    assert_true(value_get(said.top, "workers")->number == 3);
    const struct value *listen = value_get(said.top, "listen");
    assert_int_equal(listen->items_count, 2);
    assert_string_equal(listen->items[1]->items[0]->text, "y");
    assert_true(value_get(listen->items[1], "tls")->truth);
    assert_int_equal(listen->items[1]->place.line, 3);
}

static void the_last_assignment_counts_and_nil_takes_it_back(void **state)
{
    (void)state;
    accepts("user = 'a'\nuser = 'b'\nworkers = 1\nworkers = nil\nstate = user");
    assert_string_equal(text("user"), "b");
    assert_string_equal(text("state"), "b");
    assert_null(value_get(said.top, "workers"));
}

static void loops_functions_and_libraries_work(void **state)
{
    (void)state;
    accepts("local function page(name) return { root = '/srv/' .. name:lower() } end\n"
            "for i, name in ipairs { 'A', 'B', 'C' } do\n"
            "  local s = page(name)\n"
            "  s.names = { string.format('%s%d.test', name, i) }\n"
            "  site(s)\n"
            "end\n"
            "local words = {}\n"
            "for word in ('x y z'):gmatch('%a') do table.insert(words, word) end\n"
            "table.sort(words, function(a, b) return a > b end)\n"
            "user = table.concat(words, '-') .. math.floor(2.5) .. bit.band(7, 3)");
    assert_int_equal(said.sites->items_count, 3);
    assert_string_equal(value_get(said.sites->items[2], "root")->text, "/srv/c");
    assert_string_equal(text("user"), "z-y-x23");
}

static void a_table_from_a_loop_knows_the_lines_of_its_keys(void **state)
{
    (void)state;
    accepts("for i = 1, 2 do\n"
            "  site {\n"
            "    root = '/' .. i,\n"
            "    routes = {\n"
            "      ['/a/' .. i] = {},\n"
            "    } }\n"
            "end");
    const struct value *site = said.sites->items[1];
    assert_int_equal(site->place.line, 2);
    assert_string_equal(site->fields[0].key, "root");
    assert_int_equal(site->fields[0].place.line, 3);
    assert_int_equal(site->fields[1].place.line, 4);
    assert_int_equal(site->fields[1].value->fields[0].place.line, 5);
}

static void a_site_is_what_it_was_when_site_was_called(void **state)
{
    (void)state;
    accepts("local s = { root = '/a' }\nsite(s)\ns.root = '/b'\nsite(s)");
    assert_string_equal(value_get(said.sites->items[0], "root")->text, "/a");
    assert_string_equal(value_get(said.sites->items[1], "root")->text, "/b");
}

/* ---- what a config may not ---- */

static void only_harmless_names_are_there(void **state)
{
    static const char *const WITHHELD[] = {
        "print",        "os",           "io",      "require", "load",      "loadstring",
        "loadfile",     "dofile",       "package", "debug",   "coroutine", "jit",
        "setmetatable", "getmetatable", "rawset",  "rawget",  "getfenv",   "setfenv",
        "newproxy",     "pcall",        "xpcall",  "_G",      "ffi",       "collectgarbage",
        "module",       "gcinfo",       "arg"};
    char lua[64];
    char wanted[128];
    (void)state;
    for (size_t i = 0; i < sizeof(WITHHELD) / sizeof(WITHHELD[0]); i++) {
        snprintf(lua, sizeof(lua), "local x\nx = %s", WITHHELD[i]);
        snprintf(wanted, sizeof(wanted), "\"%s\"", WITHHELD[i]);
        const char *said_of_it = refuses(lua);
        assert_non_null(strstr(said_of_it, "herald.lua:2: "));
        assert_non_null(strstr(said_of_it, wanted));
    }
}

static void a_string_has_no_more_methods_than_the_string_table(void **state)
{
    (void)state;
    accepts("user = tostring(string.dump) .. tostring(('').dump) .. tostring(math.random)");
    assert_string_equal(text("user"), "nilnilnil");
}

static void the_file_gets_nothing_but_the_marker_of_tables(void **state)
{
    (void)state;
    /* It is given __at, which takes a number and a table and can't be fooled into more. */
    accepts("local at = ...\nlocal t = at(123456789, {})\nat(-1, t)\nat(0/0, t)\nsite(t)");
    assert_int_equal(said.sites->items_count, 1);
    assert_non_null(strstr(refuses("local at = ...\nat('x', 1)"), "herald.lua:2: bad argument"));
}

static void bytecode_is_refused(void **state)
{
    static const char BYTES[] = "\x1bLJ\x02\x02";
    (void)state;
    case_write_bytes("herald.lua", BYTES, sizeof(BYTES));
    assert_int_equal(run(), -EINVAL);
    assert_string_equal(text_of_fault(), "herald.lua: this is bytecode, a config is text");
}

static int64_t cpu_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void an_endless_loop_ends_after_a_second_of_cpu_time(void **state)
{
    static const char *const LOOPS[] = {
        "user = 'a'\nwhile true do end", "local a\nrepeat local x = 1 until false",
        "local function f()\nreturn f() end f()",
        "local t = {}\ntable.sort({1,2,3}, function() while true do end end)"};
    (void)state;
    for (size_t i = 0; i < sizeof(LOOPS) / sizeof(LOOPS[0]); i++) {
        int64_t start = cpu_ms();
        assert_string_equal(
            refuses(LOOPS[i]),
            "herald.lua:2: the config has run for 1s of CPU time: an endless loop?");
        assert_in_range(cpu_ms() - start, 990, 2500);
    }
}

static void memory_is_bounded(void **state)
{
    static const char *const HOGS[] = {"local t = {}\nwhile true do t[#t + 1] = ('x'):rep(1e3) .. #t end",
                                       "local s = 'x'\nwhile true do s = s .. s end",
                                       "local s = ''\nlocal r = ('x'):rep(1e8)",
                                       "local t = {}\nfor i = 1, 1e9 do t['k' .. i] = ('x'):rep(1e3) .. i end"};
    (void)state;
    for (size_t i = 0; i < sizeof(HOGS) / sizeof(HOGS[0]); i++)
        assert_string_equal(refuses(HOGS[i]),
                            "herald.lua:2: the config needs more than 64MiB of memory");
}

static void recursion_without_end_is_a_fault(void **state)
{
    (void)state;
    assert_non_null(strstr(refuses("local function f()\n  return 1 + f()\nend\nf()"),
                           "herald.lua:2: stack overflow"));
}

static void tables_that_contain_themselves_are_refused(void **state)
{
    (void)state;
    assert_non_null(
        strstr(refuses("local t = {}\nt.routes = t\nsite(t)"), "tables are nested too deeply"));
}

static void a_string_that_is_no_text_is_refused(void **state)
{
    static const char *const BAD[] = {
        "'a\\0b'",     "'\\255'", "'\\192\\128'", "'\\237\\160\\128'", "'\\244\\144\\128\\128'",
        "'\\226\\130'"};
    char lua[64];
    (void)state;
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        snprintf(lua, sizeof(lua), "workers = 1\nuser = %s", BAD[i]);
        assert_string_equal(refuses(lua), "herald.lua:2: a string is not text: it has a NUL or is "
                                          "not UTF-8");
    }
    accepts("user = 'gr\\195\\188n \\226\\130\\172 \\240\\159\\152\\128'");
    assert_string_equal(text("user"), "grün € 😀");
}

/* ---- no machine code ---- */

/* Whether this process has memory that is executable and belongs to no file: compiled traces. */
static bool has_machine_code(void)
{
    char line[512];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps)) {
        char flags[8];
        char path[256] = "";
        if (sscanf(line, "%*s %7s %*s %*s %*s %255s", flags, path) >= 1 && flags[2] == 'x' &&
            path[0] == '\0')
            found = true;
    }
    fclose(maps);
    return found;
}

static atomic_bool watching;
static atomic_bool seen;

/* Looks for machine code as long as it is to; it is unmapped with its state. */
static void *watch(void *unused)
{
    (void)unused;
    do
        if (has_machine_code())
            atomic_store(&seen, true);
    while (atomic_load(&watching));
    return NULL;
}

static bool leaves_machine_code(void (*work)(void))
{
    pthread_t watcher;
    atomic_store(&watching, true);
    atomic_store(&seen, false);
    assert_int_equal(pthread_create(&watcher, NULL, watch, NULL), 0);
    work();
    atomic_store(&watching, false);
    assert_int_equal(pthread_join(watcher, NULL), 0);
    return atomic_load(&seen);
}

/* Loops that the compiler takes even while a hook is set, as it is for a config; then something
 * that it never takes, so that there is time to look. */
#define HOT_LOOP                                                        \
    "for i = 1, 1e5 do end local n = 0 repeat n = n + 1 until n > 1e5 " \
    "for i = 1, 2e5 do local s = ('abc'):gsub('b', 'c') end"

/* Until the watcher sees what it must be able to see. */
static void run_compiled(void)
{
    lua_State *lua = luaL_newstate();
    luaL_openlibs(lua);
    for (int i = 0; i < 5000 && !atomic_load(&seen); i++)
        assert_int_equal(luaL_dostring(lua, HOT_LOOP), 0);
    lua_close(lua);
}

static void run_config(void)
{
    accepts(HOT_LOOP);
}

static void a_config_is_never_compiled_to_machine_code(void **state)
{
    (void)state;
    assert_false(has_machine_code());
    assert_false(leaves_machine_code(run_config));
    assert_true(leaves_machine_code(run_compiled)); /* so the watcher would have seen it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_assignment_to_a_global_name_sets_a_key),
        cmocka_unit_test(the_last_assignment_counts_and_nil_takes_it_back),
        cmocka_unit_test(loops_functions_and_libraries_work),
        cmocka_unit_test(a_table_from_a_loop_knows_the_lines_of_its_keys),
        cmocka_unit_test(a_site_is_what_it_was_when_site_was_called),
        cmocka_unit_test(only_harmless_names_are_there),
        cmocka_unit_test(a_string_has_no_more_methods_than_the_string_table),
        cmocka_unit_test(the_file_gets_nothing_but_the_marker_of_tables),
        cmocka_unit_test(bytecode_is_refused),
        cmocka_unit_test(an_endless_loop_ends_after_a_second_of_cpu_time),
        cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(recursion_without_end_is_a_fault),
        cmocka_unit_test(tables_that_contain_themselves_are_refused),
        cmocka_unit_test(a_string_that_is_no_text_is_refused),
        cmocka_unit_test(a_config_is_never_compiled_to_machine_code),
    };
    return cmocka_run_group_tests(tests, case_enter, leave);
}

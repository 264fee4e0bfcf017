#include "policy/deadline.h"

#include <errno.h>
#include <lauxlib.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* States here are LuaJIT's own, libraries and all; only time is under test. */
#include <luajit.h>
#include <lualib.h>

static struct deadline_limits limits;

static int setup(void **state)
{
    struct fault fault;
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
    *state = L;
    if (deadline_limits(0, 0, &limits, &fault) != 0)
        return -1;
    return deadline_start(&fault);
}

static int teardown(void **state)
{
    deadline_stop();
    if (*state)
        lua_close(*state);
    return 0;
}

static double cpu_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static enum deadline_outcome run(lua_State *L, const char *text, int *status)
{
    assert_int_equal(luaL_loadstring(L, text), 0);
    return deadline_pcall(L, 0, 0, 0, &limits, status);
}

static void the_defaults_are_two_ticks_and_seven(void **state)
{
    (void)state;
    if (limits.tick_ms == 4) {
        assert_int_equal(limits.soft_ticks, 2);
        assert_int_equal(limits.hard_ticks, 7);
    }
    assert_true(limits.soft_ticks >= DEADLINE_SOFT_TICKS_MIN);
    assert_true(limits.hard_ticks > limits.soft_ticks);
}

static void limits_below_what_the_kernel_can_measure_are_refused(void **state)
{
    struct deadline_limits other;
    struct fault fault;
    uint32_t tick_ms = limits.tick_ms;
    (void)state;
    assert_int_equal(deadline_limits(2 * tick_ms - 1, 0, &other, &fault), -ERANGE);
    assert_non_null(strstr(fault.what, "policy.soft"));
    assert_int_equal(deadline_limits(2 * tick_ms, 2 * tick_ms, &other, &fault), -ERANGE);
    assert_non_null(strstr(fault.what, "policy.hard"));
    assert_int_equal(deadline_limits(2 * tick_ms, 2 * tick_ms + 1, &other, &fault), 0);
    assert_int_equal(other.hard_ticks, 3);
    assert_int_equal(deadline_limits(1000, 0, &other, &fault), 0);
    assert_true(other.soft_ticks * tick_ms >= 1000 && other.hard_ticks > other.soft_ticks);
}

static void a_short_call_is_left_alone(void **state)
{
    lua_State *L = *state;
    int status = -1;
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(run(L, "local n = 0 for i = 1, 100 do n = n + i end", &status),
                         DEADLINE_NONE);
        assert_int_equal(status, 0);
    }
    assert_false(deadline_passed());
}

static void an_error_of_the_call_is_its_own(void **state)
{
    lua_State *L = *state;
    int status = -1;
    assert_int_equal(run(L, "error('no')", &status), DEADLINE_NONE);
    assert_int_equal(status, LUA_ERRRUN);
}

static void a_loop_is_stopped_after_two_ticks_and_the_state_goes_on(void **state)
{
    lua_State *L = *state;
    int status = -1;
    for (unsigned i = 0; i < 5; i++) {
        double start = cpu_ms();
        assert_int_equal(run(L, "while true do end", &status), DEADLINE_SOFT);
        double took = cpu_ms() - start;
        assert_int_equal(status, LUA_ERRRUN);
        assert_non_null(strstr(lua_tostring(L, -1), ":1: soft deadline"));
        assert_true(took > 0.9 * limits.tick_ms * (limits.soft_ticks - 1));
        assert_true(took < 10.0 * limits.tick_ms * limits.soft_ticks);
        lua_settop(L, 0);
        assert_int_equal(run(L, "x = 1", &status), DEADLINE_NONE);
        assert_int_equal(status, 0);
    }
}

static void catching_the_error_does_not_help(void **state)
{
    lua_State *L = *state;
    int status = -1;
    assert_int_equal(run(L, "while true do pcall(function() while true do end end) end", &status),
                     DEADLINE_SOFT);
    assert_int_equal(
        run(L, "while true do pcall(pcall, function() while true do end end) end", &status),
        DEADLINE_SOFT);
}

static void a_library_function_that_does_not_end_is_left(void **state)
{
    lua_State *L = *state;
    int status = -1;
    double start = cpu_ms();
    assert_int_equal(run(L, "local s = ('a'):rep(60) s:find(('.-'):rep(12) .. 'b')", &status),
                     DEADLINE_HARD);
    double took = cpu_ms() - start;
    assert_true(took > 0.9 * limits.tick_ms * (limits.hard_ticks - 1));
    assert_true(took < 10.0 * limits.tick_ms * limits.hard_ticks);
    *state = NULL; /* not to be touched again, not even to be closed */
}

static void burn(unsigned ms)
{
    double start = cpu_ms();
    while (cpu_ms() - start < ms)
        ;
}

static unsigned finished;

static int hold_for_long(lua_State *L)
{
    (void)L;
    deadline_hold();
    deadline_hold();
    burn(4 * limits.tick_ms * limits.hard_ticks);
    deadline_release();
    finished++;
    deadline_release();
    finished++; /* never: the call was left on release */
    return 0;
}

static void work_of_the_host_is_done_before_a_call_is_left(void **state)
{
    lua_State *L = *state;
    int status = -1;
    finished = 0;
    lua_pushcfunction(L, hold_for_long);
    assert_int_equal(deadline_pcall(L, 0, 0, 0, &limits, &status), DEADLINE_HARD);
    assert_int_equal(finished, 1);
    *state = NULL;
}

static int hold_beyond_soft(lua_State *L)
{
    (void)L;
    deadline_hold();
    for (unsigned i = 0; i < 1000 && !deadline_passed(); i++)
        burn(1);
    assert_true(deadline_passed());
    deadline_release();
    return 0;
}

static void time_in_the_host_counts(void **state)
{
    lua_State *L = *state;
    int status = -1;
    lua_register(L, "work", hold_beyond_soft);
    assert_int_equal(run(L, "work() local x = 1 x = x + 1", &status), DEADLINE_SOFT);
}

static void time_outside_of_calls_does_not_count(void **state)
{
    lua_State *L = *state;
    int status = -1;
    for (unsigned i = 0; i < 3; i++) {
        burn(limits.tick_ms * limits.hard_ticks);
        assert_int_equal(run(L, "local n = 0 for i = 1, 1000 do n = n + i end", &status),
                         DEADLINE_NONE);
    }
}

static void *run_in_thread(void *context)
{
    static _Thread_local struct fault fault;
    int status = -1;
    lua_State *L = luaL_newstate();
    luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
    bool *stopped = context;
    if (deadline_start(&fault) == 0 && luaL_loadstring(L, "while true do end") == 0)
        *stopped = deadline_pcall(L, 0, 0, 0, &limits, &status) == DEADLINE_SOFT;
    deadline_stop();
    lua_close(L);
    return NULL;
}

static void each_thread_has_its_own_time(void **state)
{
    bool stopped[2] = {false, false};
    pthread_t threads[2];
    (void)state;
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_in_thread, &stopped[i]), 0);
    for (unsigned i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        assert_true(stopped[i]);
    }
}

static void a_child_starts_a_timer_of_its_own(void **state)
{
    lua_State *L = *state;
    int status = -1, end = -1;
    struct fault fault;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (deadline_start(&fault) != 0 || luaL_loadstring(L, "while true do end") != 0)
            _exit(2);
        _exit(deadline_pcall(L, 0, 0, 0, &limits, &status) == DEADLINE_SOFT ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &end, 0), child);
    assert_true(WIFEXITED(end));
    assert_int_equal(WEXITSTATUS(end), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_defaults_are_two_ticks_and_seven, setup, teardown),
        cmocka_unit_test_setup_teardown(limits_below_what_the_kernel_can_measure_are_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_short_call_is_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(an_error_of_the_call_is_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(a_loop_is_stopped_after_two_ticks_and_the_state_goes_on,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(catching_the_error_does_not_help, setup, teardown),
        cmocka_unit_test_setup_teardown(a_library_function_that_does_not_end_is_left, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(work_of_the_host_is_done_before_a_call_is_left, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(time_in_the_host_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(time_outside_of_calls_does_not_count, setup, teardown),
        cmocka_unit_test_setup_teardown(each_thread_has_its_own_time, setup, teardown),
        cmocka_unit_test_setup_teardown(a_child_starts_a_timer_of_its_own, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

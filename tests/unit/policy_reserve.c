#include "policy/reserve.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#ifdef __SANITIZE_ADDRESS__
#define IS_LIMITABLE false /* its own memory is not to be limited */
#else
#define IS_LIMITABLE true
#endif

#define LARGE (300u * 1024) /* not to be had of what the heap holds already */

static struct rlimit unlimited;

/* From now on the process's memory does not grow. */
static void make_scarce(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu", &pages), 1);
    fclose(file);
    assert_int_equal(getrlimit(RLIMIT_AS, &unlimited), 0);
    struct rlimit limit = {pages * (rlim_t)sysconf(_SC_PAGESIZE), unlimited.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
}

static void make_plenty(void)
{
    assert_int_equal(setrlimit(RLIMIT_AS, &unlimited), 0);
}

static void the_heap_is_used_while_it_has_something(void **state)
{
    struct reserve reserve;
    (void)state;
    assert_int_equal(reserve_init(&reserve), 0);
    char *data = reserve_resize(&reserve, reserve_take(&reserve, 10), LARGE);
    assert_false(reserve_holds(&reserve, data));
    assert_false(reserve_lacked(&reserve));
    reserve_give(&reserve, data);
    reserve_give(&reserve, NULL);
    reserve_finish(&reserve);
}

static void the_reserve_is_used_when_the_heap_has_nothing_and_is_whole_again_then(void **state)
{
    struct reserve reserve;
    (void)state;
    if (!IS_LIMITABLE)
        skip();
    assert_int_equal(reserve_init(&reserve), 0);
    char *small = reserve_take(&reserve, 100);
    memset(small, 'a', 100);
    make_scarce();
    char *grown = reserve_resize(&reserve, small, LARGE);
    char *other = reserve_take(&reserve, LARGE);
    bool held = reserve_holds(&reserve, grown) && reserve_holds(&reserve, other);
    bool lacked = reserve_lacked(&reserve), again = reserve_lacked(&reserve);
    make_plenty();
    assert_true(held && lacked && !again);
    assert_true(grown + LARGE <= other || other + LARGE <= grown);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(grown[i], 'a');
    char *home = reserve_resize(&reserve, grown, 2 * LARGE);
    assert_false(reserve_holds(&reserve, home));
    assert_int_equal(home[99], 'a');
    reserve_give(&reserve, other);
    assert_int_equal(reserve.used, 0);
    reserve_give(&reserve, home);
    reserve_finish(&reserve);
}

static void a_process_that_needs_more_than_the_reserve_ends(void **state)
{
    (void)state;
    if (!IS_LIMITABLE)
        skip();
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct reserve reserve;
        signal(SIGABRT, SIG_DFL);
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        if (reserve_init(&reserve) < 0)
            _exit(1);
        make_scarce();
        for (unsigned i = 0; i < 100; i++)
            reserve_take(&reserve, LARGE);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_heap_is_used_while_it_has_something),
        cmocka_unit_test(the_reserve_is_used_when_the_heap_has_nothing_and_is_whole_again_then),
        cmocka_unit_test(a_process_that_needs_more_than_the_reserve_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

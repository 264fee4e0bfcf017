#include "master/confined.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char *output;
static size_t length;
static struct fault fault;

static int run(void (*work)(void *, int), void *argument)
{
    struct confined confined = {
        .run = work,
        .argument = argument,
        .cpu_s = 1,
        .wall_ms = 3000,
        .output_max = 1 << 20,
        .what = "the work",
        .where = "here",
    };
    free(output);
    output = NULL;
    fault = (struct fault){0};
    return confined_run(&confined, &output, &length, &fault);
}

static int teardown(void **state)
{
    (void)state;
    free(output);
    output = NULL;
    return 0;
}

static void write_text(void *argument, int out)
{
    confined_write(out, argument, strlen(argument));
}

static void what_the_child_writes_comes_back(void **state)
{
    (void)state;
    assert_int_equal(run(write_text, (char *)"hello"), 0);
    assert_int_equal(length, 5);
    assert_string_equal(output, "hello");
    assert_int_equal(run(write_text, (char *)""), 0);
    assert_int_equal(length, 0);
}

static void write_much(void *argument, int out)
{
    char bytes[4096];
    memset(bytes, 'w', sizeof(bytes));
    for (size_t i = 0; i < *(size_t *)argument / sizeof(bytes); i++)
        confined_write(out, bytes, sizeof(bytes));
}

static void more_than_a_pipe_holds_comes_back_whole(void **state)
{
    size_t size = 1 << 19;
    (void)state;
    assert_int_equal(run(write_much, &size), 0);
    assert_int_equal(length, size);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(output[i], 'w');
}

static void exactly_what_is_allowed_comes_back(void **state)
{
    struct confined confined = {.run = write_text,
                                .argument = (char *)"12345678",
                                .cpu_s = 1,
                                .wall_ms = 3000,
                                .output_max = 8,
                                .what = "the work"};
    (void)state;
    free(output);
    assert_int_equal(confined_run(&confined, &output, &length, &fault), 0);
    assert_string_equal(output, "12345678");
    free(output);
    confined.argument = (char *)"123456789";
    assert_int_equal(confined_run(&confined, &output, &length, &fault), -EIO);
    assert_null(output);
}

static void too_much_is_a_fault(void **state)
{
    size_t size = 1 << 22;
    (void)state;
    assert_int_equal(run(write_much, &size), -EIO);
    assert_null(output);
    assert_string_equal(fault.what, "the work wrote more than 1048576 bytes");
    assert_string_equal(fault.where, "here");
}

static void report_identity(void *argument, int out)
{
    char text[128];
    gid_t groups[8];
    (void)argument;
    snprintf(text, sizeof(text), "%d %d %d %d", (int)geteuid(), (int)getegid(),
             getgroups(8, groups), setuid(0));
    confined_write(out, text, strlen(text));
}

static void root_becomes_an_ordinary_user_for_good(void **state)
{
    int user;
    int group;
    int groups;
    int back;
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(run(report_identity, NULL), 0);
    assert_int_equal(sscanf(output, "%d %d %d %d", &user, &group, &groups, &back), 4);
    assert_int_not_equal(user, 0);
    assert_int_not_equal(group, 0);
    assert_int_equal(groups, 0);
    assert_int_equal(back, -1);
}

static void count_descriptors(void *argument, int out)
{
    char text[64];
    int open_count = 0;
    (void)argument;
    for (int fd = 3; fd < 64; fd++)
        open_count += fcntl(fd, F_GETFD) >= 0;
    snprintf(text, sizeof(text), "%d %d", open_count, fcntl(*(int *)argument, F_GETFD) >= 0);
    confined_write(out, text, strlen(text));
}

static void only_the_kept_descriptors_stay_open(void **state)
{
    struct confined confined = {.run = count_descriptors,
                                .cpu_s = 1,
                                .wall_ms = 3000,
                                .output_max = 100,
                                .what = "the work"};
    int others[2];
    int kept = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)state;
    assert_int_equal(pipe(others), 0);
    confined.argument = &kept;
    confined.keep[confined.keep_count++] = kept;
    free(output);
    assert_int_equal(confined_run(&confined, &output, &length, &fault), 0);
    assert_string_equal(output, "2 1"); /* the kept one and the way back */
    assert_true(fcntl(others[0], F_GETFD) >= 0);
    close(kept);
    close(others[0]);
    close(others[1]);
}

static void spin(void *argument, int out)
{
    (void)argument;
    (void)out;
    for (volatile unsigned i = 0;; i++)
        ;
}

static void a_child_that_computes_for_ever_is_ended(void **state)
{
    (void)state;
    /* Wall time may run out first on a busy machine; then the other fault is right. */
    int rc = run(spin, NULL);
    assert_int_equal(rc, -ETIME);
    assert_true(strcmp(fault.what, "the work took more than 1 s of CPU time") == 0 ||
                strcmp(fault.what, "the work took more than 3000 ms") == 0);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void wait_for_ever(void *argument, int out)
{
    (void)argument;
    confined_write(out, "some", 4);
    for (;;)
        pause();
}

static void a_child_that_waits_for_ever_is_ended(void **state)
{
    struct confined confined = {
        .run = wait_for_ever, .cpu_s = 1, .wall_ms = 300, .output_max = 100, .what = "the work"};
    int64_t start = now_ms();
    (void)state;
    free(output);
    assert_int_equal(confined_run(&confined, &output, &length, &fault), -ETIME);
    assert_null(output);
    assert_true(now_ms() - start >= 300);
    assert_string_equal(fault.what, "the work took more than 300 ms");
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void close_and_stay(void *argument, int out)
{
    (void)argument;
    close(out);
    for (;;)
        pause();
}

static void a_child_that_hangs_up_and_stays_is_ended(void **state)
{
    (void)state;
    assert_int_equal(run(close_and_stay, NULL), -EIO);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void end_early(void *argument, int out)
{
    confined_write(out, "half a resultw", 14);
    if (*(int *)argument < 0)
        _exit(-*(int *)argument);
    signal(*(int *)argument, SIG_DFL);
    raise(*(int *)argument);
}

static void half_a_result_is_a_fault_that_says_how_the_child_ended(void **state)
{
    int how = SIGKILL;
    (void)state;
    assert_int_equal(run(end_early, &how), -EIO);
    assert_string_equal(fault.what, "the work died of signal 9 (Killed)");
    how = SIGSEGV;
    assert_int_equal(run(end_early, &how), -EIO);
    assert_string_equal(fault.what, "the work died of signal 11 (Segmentation fault)");
    how = -3;
    assert_int_equal(run(end_early, &how), -EIO);
    assert_string_equal(fault.what, "the work ended early with status 3");
}

static void try_to_fork(void *argument, int out)
{
    pid_t pid = fork();
    (void)argument;
    if (pid == 0)
        _exit(0);
    confined_write(out, pid > 0 ? "forked" : "refused", 6);
}

static void the_child_starts_no_process(void **state)
{
    (void)state;
    assert_int_equal(run(try_to_fork, NULL), 0);
    assert_string_equal(output, "refuse");
}

static void read_signals(void *argument, int out)
{
    sigset_t blocked;
    struct sigaction action;
    char text[32];
    (void)argument;
    sigprocmask(SIG_SETMASK, NULL, &blocked);
    sigaction(SIGUSR1, NULL, &action);
    snprintf(text, sizeof(text), "%d %d", sigismember(&blocked, SIGTERM),
             action.sa_handler == SIG_DFL);
    confined_write(out, text, strlen(text));
}

static void the_callers_signals_are_not_the_childs(void **state)
{
    sigset_t blocked;
    sigset_t before;
    (void)state;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    signal(SIGUSR1, SIG_IGN);
    int rc = run(read_signals, NULL);
    signal(SIGUSR1, SIG_DFL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    assert_int_equal(rc, 0);
    assert_string_equal(output, "0 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_child_writes_comes_back),
        cmocka_unit_test(more_than_a_pipe_holds_comes_back_whole),
        cmocka_unit_test(exactly_what_is_allowed_comes_back),
        cmocka_unit_test(too_much_is_a_fault),
        cmocka_unit_test(root_becomes_an_ordinary_user_for_good),
        cmocka_unit_test(only_the_kept_descriptors_stay_open),
        cmocka_unit_test(a_child_that_computes_for_ever_is_ended),
        cmocka_unit_test(a_child_that_waits_for_ever_is_ended),
        cmocka_unit_test(a_child_that_hangs_up_and_stays_is_ended),
        cmocka_unit_test(half_a_result_is_a_fault_that_says_how_the_child_ended),
        cmocka_unit_test(the_child_starts_no_process),
        cmocka_unit_test(the_callers_signals_are_not_the_childs),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}

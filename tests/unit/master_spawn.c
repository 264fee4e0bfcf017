#include "master/helper.h"
#include "master/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct spawn_user user;

static int find_user(void **state)
{
    struct fault fault;
    (void)state;
    return spawn_user_find("nobody", &user, &fault);
}

/* Runs `body` in a child and returns what it sent. */
static const char *told_by(int (*body)(int socket, void *context), void *context, const int *keep,
                           size_t keep_count)
{
    static char text[4096];
    char how[SPAWN_TEXT_MAX];
    struct spawned child;
    struct fault fault;
    struct spawn_plan plan = {.name = "test-child",
                              .user = &user,
                              .socket_type = SOCK_SEQPACKET,
                              .keep = keep,
                              .keep_count = keep_count,
                              .body = body,
                              .context = context};
    assert_int_equal(spawn(&plan, &child, &fault), 0);
    struct pollfd ready = {.fd = child.socket, .events = POLLIN};
    assert_int_equal(poll(&ready, 1, 10000), 1);
    ssize_t n = recv(child.socket, text, sizeof(text) - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    assert_true(spawn_reap(child.pid, true, how));
    close(child.socket);
    close(child.pidfd);
    return text;
}

static int tell_status(int socket, void *context)
{
    static char text[4096];
    (void)context;
    FILE *file = fopen("/proc/self/status", "r");
    size_t n = fread(text, 1, sizeof(text), file);
    fclose(file);
    return send(socket, text, n, 0) < 0;
}

static void check_field(const char *status, const char *field, const char *value)
{
    const char *at = strstr(status, field);
    assert_non_null(at);
    at += strlen(field);
    at += strspn(at, " \t");
    if (strncmp(at, value, strlen(value)) != 0)
        fail_msg("%s is %.40s, not %s", field, at, value);
}

static void a_child_has_no_privileges_and_can_get_none(void **state)
{
    (void)state;
    const char *status = told_by(tell_status, NULL, NULL, 0);
    check_field(status, "NoNewPrivs:", "1");
    check_field(status, "Name:", "test-child");
    check_field(status, "SigBlk:", "0000000000000000");
    if (geteuid() != 0)
        skip();
    check_field(status, "CapEff:", "0000000000000000");
    check_field(status, "CapPrm:", "0000000000000000");
    assert_null(strstr(status, "Uid:\t0"));
    assert_null(strstr(strstr(status, "Uid:"), "\t0\t"));
    check_field(status, "Groups:", "65534");
}

static int tell_descriptors(int socket, void *context)
{
    char text[512] = "";
    size_t used = 0;
    (void)context;
    for (int fd = 3; fd < 1024 && used < sizeof(text) - 8; fd++)
        if (fd != socket && fcntl(fd, F_GETFD) >= 0)
            used += (size_t)sprintf(text + used, "%d ", fd);
    return send(socket, text, strlen(text) + 1, 0) < 0;
}

static void a_child_has_only_the_descriptors_it_was_given(void **state)
{
    int fds[8];
    char expected[64];
    (void)state;
    for (int i = 0; i < 8; i++)
        fds[i] = open("/dev/null", O_RDONLY);
    const int keep[] = {fds[6], -1, fds[1], fds[2], fds[1]};
    snprintf(expected, sizeof(expected), "%d %d %d ", fds[1], fds[2], fds[6]);
    assert_string_equal(told_by(tell_descriptors, NULL, keep, 5), expected);
    assert_string_equal(told_by(tell_descriptors, NULL, NULL, 0), "");
    for (int i = 0; i < 8; i++)
        close(fds[i]);
}

static int ignore_signals(int socket, void *context)
{
    static const int ignored[] = {SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE};
    (void)context;
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        raise(ignored[i]);
    send(socket, "alive", 5, 0);
    return 0;
}

static void what_a_terminal_sends_leaves_a_child_alone(void **state)
{
    sigset_t blocked;
    sigset_t old;
    (void)state;
    sigfillset(&blocked);
    sigprocmask(SIG_BLOCK, &blocked, &old); /* as the master has it, only more */
    assert_string_equal(told_by(ignore_signals, NULL, NULL, 0), "alive");
    sigprocmask(SIG_SETMASK, &old, NULL);
}

static int sleep_long(int socket, void *context)
{
    (void)context;
    send(socket, "up", 2, 0);
    for (int i = 0; i < 60; i++)
        sleep(1);
    return 0;
}

static void no_child_outlives_a_master_that_is_killed(void **state)
{
    int ends[2];
    pid_t child_pid;
    (void)state;
    assert_int_equal(pipe(ends), 0);
    pid_t master = fork();
    if (master == 0) {
        struct fault fault;
        struct spawned child;
        char up[2];
        struct spawn_plan plan = {
            .name = "test-child", .user = &user, .socket_type = SOCK_SEQPACKET, .body = sleep_long};
        if (spawn(&plan, &child, &fault) < 0)
            _exit(1);
        fcntl(child.socket, F_SETFL, 0);
        (void)!recv(child.socket, up, 2, 0); /* the child is past its change of user */
        (void)!write(ends[1], &child.pid, sizeof(child.pid));
        pause();
        _exit(0);
    }
    assert_int_equal(read(ends[0], &child_pid, sizeof(child_pid)), sizeof(child_pid));
    kill(master, SIGKILL);
    waitpid(master, NULL, 0);
    for (int i = 0; i < 1000 && kill(child_pid, 0) == 0; i++) {
        char name[64];
        char line[256] = "";
        snprintf(name, sizeof(name), "/proc/%d/stat", (int)child_pid);
        FILE *file = fopen(name, "r");
        if (file) {
            (void)!fgets(line, sizeof(line), file);
            fclose(file);
        }
        if (strstr(line, ") Z "))
            break; /* dead; nobody here may reap it */
        assert_true(i < 999);
        usleep(5000);
    }
    close(ends[0]);
    close(ends[1]);
}

static void a_user_that_does_not_exist_is_replaced_by_nobody(void **state)
{
    struct spawn_user found;
    struct fault fault = {0};
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(spawn_user_find("no-such-user-here", &found, &fault), 1);
    assert_string_equal(found.name, "nobody");
    assert_int_equal(spawn_user_find("root", &found, &fault), -EPERM);
    assert_non_null(strstr(fault.what, "root"));
}

static void an_end_is_told_in_words(void **state)
{
    char how[SPAWN_TEXT_MAX];
    (void)state;
    pid_t pid = fork();
    if (pid == 0)
        _exit(3);
    assert_true(spawn_reap(pid, true, how));
    assert_string_equal(how, "exited with status 3");
    pid = fork();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    assert_false(spawn_reap(pid, false, how));
    kill(pid, SIGKILL);
    assert_true(spawn_reap(pid, true, how));
    assert_string_equal(how, "was killed by signal 9 (Killed)");
}

/* ---- helpers ---- */

static struct {
    int count;
    int rc;
    char text[256];
    size_t length;
    int fd;
    char why[1024];
} result;

static void on_done(struct helper *helper, int rc, struct span answer, int fd,
                    const struct fault *fault)
{
    (void)helper;
    result.count++;
    result.rc = rc;
    result.length = answer.length;
    result.fd = fd;
    snprintf(result.text, sizeof(result.text), "%.*s", SPAN_PRINT(answer));
    fault_text(fault, result.why, sizeof(result.why));
}

static int answer_large(int socket, void *context)
{
    size_t length = *(size_t *)context;
    char *data = calloc(1, length);
    int fd = memfd_create("passed", 0);
    (void)!write(fd, "inside", 6);
    return helper_answer(socket, span_make(data, length), fd);
}

static int answer_refusal(int socket, void *context)
{
    struct fault fault;
    (void)context;
    fault_set(&fault, -EINVAL, "herald.lua", 3, "no good");
    return helper_refuse(socket, &fault);
}

static int answer_nothing(int socket, void *context)
{
    (void)socket;
    (void)context;
    abort();
}

static int answer_never(int socket, void *context)
{
    (void)context;
    (void)socket;
    for (int i = 0; i < 60; i++)
        sleep(1);
    return 0;
}

static int answer_without_end(int socket, void *context)
{
    static char block[1 << 20];
    (void)context;
    block[0] = 'o';
    for (int i = 0; i < 100; i++)
        if (send(socket, block, sizeof(block), MSG_NOSIGNAL) < 0)
            return 1;
    return 0;
}

static void run_helper(int (*body)(int socket, void *context), void *context, int64_t wall_ms)
{
    struct loop loop;
    struct fault fault = {0};
    static struct helper helper;
    memset(&result, 0, sizeof(result));
    memset(&helper, 0, sizeof(helper));
    helper.done = on_done;
    helper.wall_ms = wall_ms;
    assert_int_equal(loop_init(&loop), 0);
    assert_int_equal(helper_start(&helper, &loop, "testing", &user, NULL, 0, body, context, &fault),
                     0);
    while (helper.running) {
        loop_wait(&loop, helper.deadline_ms);
        helper_tick(&helper, loop_now_ms());
    }
    assert_int_equal(result.count, 1);
    loop_finish(&loop);
}

static void a_helper_brings_bytes_and_a_descriptor(void **state)
{
    size_t length = 3000000;
    char inside[7] = "";
    (void)state;
    run_helper(answer_large, &length, 0);
    assert_int_equal(result.rc, 0);
    assert_int_equal(result.length, length);
    assert_int_equal(pread(result.fd, inside, 6, 0), 6);
    assert_string_equal(inside, "inside");
    close(result.fd);
}

static void a_helper_that_refuses_tells_why(void **state)
{
    (void)state;
    run_helper(answer_refusal, NULL, 0);
    assert_true(result.rc < 0);
    assert_string_equal(result.why, "herald.lua:3: no good");
}

static void a_helper_that_crashes_is_a_fault(void **state)
{
    (void)state;
    run_helper(answer_nothing, NULL, 0);
    assert_true(result.rc < 0);
    assert_non_null(strstr(result.why, "testing: "));
    assert_non_null(strstr(result.why, "signal 6"));
}

static void a_helper_that_takes_too_long_is_ended(void **state)
{
    (void)state;
    run_helper(answer_never, NULL, 50);
    assert_int_equal(result.rc, -ETIMEDOUT);
    assert_string_equal(result.why, "testing: took too long");
}

static void a_helper_that_says_too_much_is_ended(void **state)
{
    (void)state;
    run_helper(answer_without_end, NULL, 0);
    assert_int_equal(result.rc, -EFBIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_has_no_privileges_and_can_get_none),
        cmocka_unit_test(a_child_has_only_the_descriptors_it_was_given),
        cmocka_unit_test(what_a_terminal_sends_leaves_a_child_alone),
        cmocka_unit_test(no_child_outlives_a_master_that_is_killed),
        cmocka_unit_test(a_user_that_does_not_exist_is_replaced_by_nobody),
        cmocka_unit_test(an_end_is_told_in_words),
        cmocka_unit_test(a_helper_brings_bytes_and_a_descriptor),
        cmocka_unit_test(a_helper_that_refuses_tells_why),
        cmocka_unit_test(a_helper_that_crashes_is_a_fault),
        cmocka_unit_test(a_helper_that_takes_too_long_is_ended),
        cmocka_unit_test(a_helper_that_says_too_much_is_ended),
    };
    return cmocka_run_group_tests(tests, find_user, NULL);
}

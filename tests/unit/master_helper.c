/* The master's children that answer: what they may cost it. */
#include "master/helper.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct loop loop;
static struct helper helper;
static int result;
static int passed;
static char said[64];

static int setup(void **state)
{
    (void)state;
    memset(&helper, 0, sizeof(helper));
    return loop_init(&loop);
}

static int teardown(void **state)
{
    (void)state;
    helper_cancel(&helper);
    loop_finish(&loop);
    return 0;
}

static void done(struct helper *one, int rc, struct span answer, int fd, const struct fault *fault)
{
    (void)one;
    (void)fault;
    result = rc;
    passed = fd;
    snprintf(said, sizeof(said), "%.*s", SPAN_PRINT(answer));
}

static unsigned open_descriptors(void)
{
    unsigned count = 0;
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static void run(int (*body)(int socket, void *context))
{
    static const struct spawn_user user = {.drop = false};
    struct fault fault;
    helper.done = done;
    if (helper_start(&helper, &loop, "testing", &user, NULL, 0, body, NULL, &fault) < 0)
        fail_msg("%s", fault.what);
    while (helper.running) {
        loop_wait(&loop, 1000);
        helper_tick(&helper, loop_now_ms());
    }
}

static int answer_with_one(int socket, void *context)
{
    (void)context;
    return helper_answer(socket, SPAN_LITERAL("yes"), STDIN_FILENO);
}

/* As a child might that was taken over. */
static int answer_with_many(int socket, void *context)
{
    const int fds[2] = {STDIN_FILENO, STDIN_FILENO};
    char byte = 'o';
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(fds))];
    } control = {0};
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    (void)context;
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(fds));
    memcpy(CMSG_DATA(c), fds, sizeof(fds));
    for (int i = 0; i < 20; i++)
        if (sendmsg(socket, &message, MSG_NOSIGNAL) != 1)
            return 1;
    return 0;
}

static void an_answer_brings_its_descriptor(void **state)
{
    (void)state;
    unsigned before = open_descriptors();
    run(answer_with_one);
    assert_int_equal(result, 0);
    assert_string_equal(said, "yes");
    assert_true(passed >= 0);
    close(passed);
    assert_int_equal(open_descriptors(), before);
}

static void descriptors_that_nobody_asked_for_are_closed(void **state)
{
    (void)state;
    unsigned before = open_descriptors();
    run(answer_with_many);
    if (passed >= 0)
        close(passed);
    assert_int_equal(open_descriptors(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_answer_brings_its_descriptor, setup, teardown),
        cmocka_unit_test_setup_teardown(descriptors_that_nobody_asked_for_are_closed, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "master/control.h"

#include <errno.h>
#include <pwd.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct loop loop;
static struct control control;
static char directory[64];
static char path[80];
static struct control_handle later; /* of the last "later" */
static char author[CONTROL_AUTHOR_MAX];

static void on_command(void *context, struct control_handle client, const char *who,
                       const char *verb, json_t *request)
{
    (void)context;
    snprintf(author, sizeof(author), "%s", who);
    if (strcmp(verb, "echo") == 0)
        control_answer(&control, client, json_incref(request));
    else if (strcmp(verb, "large") == 0) {
        json_t *list = json_array();
        for (int i = 0; i < 100000; i++)
            json_array_append_new(list, json_integer(i));
        control_answer(&control, client, list);
    } else if (strcmp(verb, "later") == 0)
        later = client;
    else
        control_answer(&control, client, control_error("no %s", verb));
}

static int setup(void **state)
{
    struct fault fault = {0};
    (void)state;
    snprintf(directory, sizeof(directory), "/tmp/herald-control-XXXXXX");
    if (!mkdtemp(directory) || loop_init(&loop) < 0)
        return -1;
    snprintf(path, sizeof(path), "%s/sock", directory);
    return control_open(&control, &loop, path, on_command, NULL, &fault);
}

static int teardown(void **state)
{
    (void)state;
    control_close(&control);
    loop_finish(&loop);
    unlink(path);
    return rmdir(directory);
}

static int connect_once(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    strcpy(address.sun_path, path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void send_text(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Turns the loop until nothing happens any more. */
static void turn(void)
{
    for (int i = 0; i < 60; i++)
        loop_wait(&loop, 0);
}

/* The answer's line, or "" when the connection ended without one, or NULL when nothing came. */
static const char *answer(int fd)
{
    static char line[4096];
    turn();
    ssize_t n = recv(fd, line, sizeof(line) - 1, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return NULL;
    line[n > 0 ? n : 0] = '\0';
    return line;
}

static void check_error(int fd, const char *what)
{
    const char *line = answer(fd);
    assert_non_null(line);
    json_t *object = json_loads(line, 0, NULL);
    assert_true(json_is_false(json_object_get(object, "ok")));
    const char *said = json_string_value(json_object_get(object, "error"));
    assert_non_null(said);
    if (!strstr(said, what))
        fail_msg("\"%s\" is not in \"%s\"", what, said);
    json_decref(object);
}

static void the_socket_is_private(void **state)
{
    struct stat st;
    (void)state;
    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void a_command_gets_one_line_and_its_author_is_known(void **state)
{
    char expected[CONTROL_AUTHOR_MAX];
    (void)state;
    int fd = connect_once();
    send_text(fd, "{\"verb\":\"echo\",\"n\":1}\n");
    assert_string_equal(answer(fd), "{\"verb\":\"echo\",\"n\":1}\n");
    const struct passwd *user = getpwuid(geteuid());
    if (user)
        snprintf(expected, sizeof(expected), "%.24s (pid %d)", user->pw_name, (int)getpid());
    else
        snprintf(expected, sizeof(expected), "uid %u (pid %d)", geteuid(), (int)getpid());
    assert_string_equal(author, expected);
    close(fd);
}

static void several_commands_of_one_connection_are_answered_in_order(void **state)
{
    (void)state;
    int fd = connect_once();
    send_text(fd, "{\"verb\":\"echo\",\"n\":1}\n{\"verb\":\"echo\",\"n\":2}\n{\"verb\":");
    assert_string_equal(answer(fd), "{\"verb\":\"echo\",\"n\":1}\n{\"verb\":\"echo\",\"n\":2}\n");
    send_text(fd, "\"echo\"}\n");
    assert_string_equal(answer(fd), "{\"verb\":\"echo\"}\n");
    close(fd);
}

static void garbage_gets_an_error_and_the_connection_goes_on(void **state)
{
    static const char *const lines[] = {
        "\n",   "hello\n",        "{\"verb\":\n", "[1,2]\n",
        "{}\n", "{\"verb\":7}\n", "\xff\xfe\n",   "{\"verb\":\"a\",\"verb\":\"b\"}\n"};
    (void)state;
    int fd = connect_once();
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        send_text(fd, lines[i]);
        check_error(fd, "");
    }
    send_text(fd, "{\"verb\":\"echo\"}\n");
    assert_string_equal(answer(fd), "{\"verb\":\"echo\"}\n");
    close(fd);
}

static void deep_nesting_is_refused(void **state)
{
    char line[CONTROL_COMMAND_MAX];
    (void)state;
    int fd = connect_once();
    memset(line, '[', sizeof(line));
    line[sizeof(line) - 2] = '\n';
    line[sizeof(line) - 1] = '\0';
    send_text(fd, line);
    check_error(fd, "");
    close(fd);
}

static void an_oversized_command_is_refused_and_the_connection_ends(void **state)
{
    char line[CONTROL_COMMAND_MAX + 1];
    (void)state;
    int fd = connect_once();
    memset(line, ' ', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\0';
    send_text(fd, line);
    check_error(fd, "too long");
    assert_string_equal(answer(fd), "");
    close(fd);
}

static void half_a_command_is_refused_when_the_sender_stops(void **state)
{
    (void)state;
    int fd = connect_once();
    send_text(fd, "{\"verb\":\"echo\"}");
    assert_null(answer(fd));
    shutdown(fd, SHUT_WR);
    check_error(fd, "line feed");
    close(fd);
}

static void a_slow_command_is_refused_when_its_time_is_over(void **state)
{
    (void)state;
    int fd = connect_once();
    send_text(fd, "{\"verb\"");
    turn();
    int64_t now_ms = loop_now_ms();
    assert_true(control_step(&control, now_ms) <= now_ms + CONTROL_LINE_MS);
    assert_null(answer(fd));
    control_step(&control, now_ms + CONTROL_LINE_MS);
    check_error(fd, "too long to come");
    assert_string_equal(answer(fd), "");
    close(fd);
}

static void a_silent_connection_is_closed_when_its_time_is_over(void **state)
{
    (void)state;
    int fd = connect_once();
    turn();
    control_step(&control, loop_now_ms() + CONTROL_LINE_MS);
    assert_string_equal(answer(fd), "");
    close(fd);
}

static void an_answer_can_come_later_while_others_are_served(void **state)
{
    (void)state;
    int waiting = connect_once();
    int other = connect_once();
    send_text(waiting, "{\"verb\":\"later\"}\n");
    assert_null(answer(waiting));
    send_text(other, "{\"verb\":\"echo\"}\n");
    assert_string_equal(answer(other), "{\"verb\":\"echo\"}\n");
    control_step(&control, loop_now_ms() + 3600 * 1000); /* it may take its time */
    control_answer(&control, later, json_pack("{s:i}", "n", 5));
    assert_string_equal(answer(waiting), "{\"n\":5}\n");
    close(waiting);
    close(other);
}

static void an_answer_for_a_client_that_left_is_dropped(void **state)
{
    (void)state;
    int fd = connect_once();
    send_text(fd, "{\"verb\":\"later\"}\n");
    turn();
    close(fd);
    turn();
    int next = connect_once(); /* gets the place of the one that left */
    turn();
    control_answer(&control, later, json_pack("{s:i}", "n", 5));
    assert_null(answer(next));
    close(next);
}

static void a_client_that_does_not_read_holds_up_nobody(void **state)
{
    (void)state;
    int deaf = connect_once();
    int other = connect_once();
    send_text(deaf, "{\"verb\":\"large\"}\n");
    turn();
    send_text(other, "{\"verb\":\"echo\"}\n");
    assert_string_equal(answer(other), "{\"verb\":\"echo\"}\n");
    control_step(&control, loop_now_ms() + CONTROL_ANSWER_MS);
    char byte;
    ssize_t n;
    size_t got = 0;
    while ((n = recv(deaf, &byte, 1, 0)) > 0)
        got += (size_t)n;
    assert_int_equal(n, 0);
    assert_true(got > 0 && got < 500000);
    close(deaf);
    close(other);
}

static void a_large_answer_arrives_whole(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        struct fault fault;
        json_t *request = json_pack("{s:s}", "verb", "large");
        json_t *list = control_call(path, request, NULL, &fault);
        _exit(json_array_size(list) == 100000 ? 0 : 1);
    }
    int status;
    for (int i = 0; i < 10000 && waitpid(pid, &status, WNOHANG) == 0; i++)
        loop_wait(&loop, loop_now_ms() + 10);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void too_many_clients_are_told_so(void **state)
{
    int clients[CONTROL_CLIENTS_MAX + 1];
    (void)state;
    for (int i = 0; i <= CONTROL_CLIENTS_MAX; i++) {
        clients[i] = connect_once();
        turn();
    }
    check_error(clients[CONTROL_CLIENTS_MAX], "too many");
    close(clients[0]);
    turn();
    int fd = connect_once();
    send_text(fd, "{\"verb\":\"echo\"}\n");
    assert_string_equal(answer(fd), "{\"verb\":\"echo\"}\n");
    close(fd);
    for (int i = 1; i <= CONTROL_CLIENTS_MAX; i++)
        close(clients[i]);
}

static void a_second_master_is_refused_while_the_first_answers(void **state)
{
    static struct control second;
    struct fault fault = {0};
    (void)state;
    assert_int_equal(control_open(&second, &loop, path, on_command, NULL, &fault), -EADDRINUSE);
    assert_string_equal(fault.where, path);
    int fd = connect_once();
    send_text(fd, "{\"verb\":\"echo\"}\n");
    assert_string_equal(answer(fd), "{\"verb\":\"echo\"}\n");
    close(fd);
}

static void the_socket_of_a_dead_master_is_replaced(void **state)
{
    struct fault fault = {0};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)state;
    control_close(&control);
    strcpy(address.sun_path, path);
    int dead = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(dead, (struct sockaddr *)&address, sizeof(address)), 0);
    close(dead);
    assert_int_equal(control_open(&control, &loop, path, on_command, NULL, &fault), 0);
}

static void a_file_in_the_way_is_never_removed(void **state)
{
    struct fault fault = {0};
    struct stat st;
    (void)state;
    control_close(&control);
    FILE *file = fopen(path, "w");
    fclose(file);
    assert_int_equal(control_open(&control, &loop, path, on_command, NULL, &fault), -EEXIST);
    assert_int_equal(lstat(path, &st), 0);
    unlink(path);
    assert_int_equal(control_open(&control, &loop, path, on_command, NULL, &fault), 0);
}

static void a_call_to_nobody_says_so(void **state)
{
    struct fault fault = {0};
    char nowhere[100];
    (void)state;
    snprintf(nowhere, sizeof(nowhere), "%s/nowhere", directory);
    json_t *request = json_pack("{s:s}", "verb", "echo");
    assert_null(control_call(nowhere, request, NULL, &fault));
    assert_string_equal(fault.where, nowhere);
    assert_non_null(strstr(fault.what, "is it running?"));
    json_decref(request);
}

int main(void)
{
#define WITH_SOCKET(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_SOCKET(the_socket_is_private),
        WITH_SOCKET(a_command_gets_one_line_and_its_author_is_known),
        WITH_SOCKET(several_commands_of_one_connection_are_answered_in_order),
        WITH_SOCKET(garbage_gets_an_error_and_the_connection_goes_on),
        WITH_SOCKET(deep_nesting_is_refused),
        WITH_SOCKET(an_oversized_command_is_refused_and_the_connection_ends),
        WITH_SOCKET(half_a_command_is_refused_when_the_sender_stops),
        WITH_SOCKET(a_slow_command_is_refused_when_its_time_is_over),
        WITH_SOCKET(a_silent_connection_is_closed_when_its_time_is_over),
        WITH_SOCKET(an_answer_can_come_later_while_others_are_served),
        WITH_SOCKET(an_answer_for_a_client_that_left_is_dropped),
        WITH_SOCKET(a_client_that_does_not_read_holds_up_nobody),
        WITH_SOCKET(a_large_answer_arrives_whole),
        WITH_SOCKET(too_many_clients_are_told_so),
        WITH_SOCKET(a_second_master_is_refused_while_the_first_answers),
        WITH_SOCKET(the_socket_of_a_dead_master_is_replaced),
        WITH_SOCKET(a_file_in_the_way_is_never_removed),
        WITH_SOCKET(a_call_to_nobody_says_so),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

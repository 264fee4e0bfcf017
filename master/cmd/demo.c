#include "master/cmd/cmd.h"
#include "master/cmd/echo.h"
#include "master/cmd/urls.h"
#include "master/spawn.h"
#include "master/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINE_BYTES_MAX (128 * 1024) /* a page's line names every candidate */
#define ECHO_END_MS 1000

static void suggest(const char *command, const char *url, const char *prose)
{
    printf("  %s %s\n      %s\n", command, url, prose);
}

static void say_what_to_try(const struct supervisor *supervisor, void *context)
{
    char tls[SUPERVISOR_URL_MAX];
    char clear[SUPERVISOR_URL_MAX];
    (void)context;
    urls_first(supervisor, true, tls);
    urls_first(supervisor, false, clear);
    urls_print_ready(supervisor, false);
    printf("\nTry this, from another terminal:\n");
    suggest("nghttp -ans", tls, "the page, and marked with * what was pushed with it");
    suggest("nghttp -ans --no-push", tls, "the same without pushes: each asset is asked for");
    suggest("nghttp -ans", clear, "without TLS");
    suggest("curl -k --http2 -o page.html", tls, "a client that takes no pushes");
    printf("  %s status --demo\n      what was pushed, and why not more\n",
           program_invocation_name); /* as it was called: it may not be installed */
    printf("Every page gets a line here: what was pushed, or why nothing was. Ctrl-C ends it.\n\n");
    fflush(stdout);
}

/* In the child: a line of text for each page in the access log, until all who write it are gone. */
static int echo_body(int socket, void *context)
{
    static char buffer[LINE_BYTES_MAX];
    int log = *(const int *)context;
    size_t used = 0;
    bool skip = false; /* the rest of a line that was too long */
    close(socket);
    for (;;) {
        ssize_t n = read(log, buffer + used, sizeof(buffer) - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return 0;
        used += (size_t)n;
        for (char *end; (end = memchr(buffer, '\n', used));) {
            char text[ECHO_TEXT_MAX];
            size_t length = (size_t)(end - buffer);
            if (!skip && echo_line(span_make(buffer, length), text))
                printf("%s\n", text);
            skip = false;
            used -= length + 1;
            memmove(buffer, end + 1, used);
        }
        fflush(stdout);
        if (used == sizeof(buffer)) {
            used = 0;
            skip = true;
        }
    }
}

/* Starts the process that shows the access log. Returns the log's other end, or -errno. */
static int echo_start(struct spawned *echo, struct fault *fault)
{
    struct spawn_user user;
    int ends[2];
    struct spawn_plan plan = {.name = "herald-echo",
                              .user = &user,
                              .socket_type = SOCK_STREAM,
                              .keep = &ends[0],
                              .keep_count = 1,
                              .body = echo_body,
                              .context = &ends[0]};
    int rc = spawn_user_find("herald", &user, fault);
    if (rc < 0)
        return rc;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return fault_set(fault, -errno, "demo", 0, "no pipe: %s", strerror(errno));
    rc = spawn(&plan, echo, fault);
    close(ends[0]);
    if (rc < 0)
        close(ends[1]);
    return rc < 0 ? rc : ends[1];
}

/* Its last lines are shown; a terminal that takes nothing holds up nobody. */
static void echo_end(struct spawned *echo)
{
    char how[SPAWN_TEXT_MAX];
    struct pollfd gone = {.fd = echo->pidfd, .events = POLLIN};
    if (poll(&gone, 1, ECHO_END_MS) != 1)
        kill(echo->pid, SIGKILL);
    spawn_reap(echo->pid, true, how);
    close(echo->pidfd);
    close(echo->socket);
}

int cmd_demo(int argc, char **argv)
{
    struct fault fault = {0};
    struct spawned echo;
    struct supervisor_options options = {.source = {CONFIG_DEMO, NULL}, .ready = say_what_to_try};
    const struct cmd_option known[] = {{0}};
    const struct cmd_syntax syntax = {
        "demo",
        "Serves the demo site on 127.0.0.1, TLS on port 8443 and cleartext HTTP/2 on 8080, says\n"
        "what to try, and prints a line for every page: what was pushed, or why nothing was.",
        known};
    int status = cmd_parse(&syntax, argc, argv);
    if (status != CMD_GO_ON)
        return status;
    options.access_fd = echo_start(&echo, &fault);
    if (options.access_fd < 0)
        return cmd_fault(&fault, false);
    status = supervisor_run(&options, &fault) == 0 ? CMD_DONE : cmd_fault(&fault, false);
    close(options.access_fd);
    echo_end(&echo);
    return status;
}

/* `herald policy watch`: the files are loaded and used whenever they change, with what is wrong with
 * them on the operator's own terminal. */
#include "master/cmd/policy.h"

#include "master/cmd/policy_remote.h"
#include "master/loop.h"
#include "master/policy_watch.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The directory that the running herald has its policies from, or NULL. `*active`: what runs. */
static char *find_dir(const struct remote *remote, int *active, int *status)
{
    json_t *answer = policy_remote_call(remote, json_pack("{s:s}", "verb", "policy-list"), status);
    if (!answer)
        return NULL;
    const json_t *policy = json_object_get(answer, "policy");
    const char *dir =
        json_string_value(json_object_get(json_object_get(policy, "files"), "dir"));
    char *copy = dir ? strdup(dir) : NULL;
    *active = (int)json_integer_value(json_object_get(policy, "active"));
    json_decref(answer);
    if (!copy)
        fprintf(stderr, "herald: its config sets no policy.dir: there are no files to watch\n");
    return copy;
}

static void load(const struct remote *remote)
{
    int status;
    json_t *answer = policy_remote_call(remote,
                                        json_pack("{s:s, s:s, s:b}", "verb", "policy-load",
                                                  "message", "policy watch", "use", 1),
                                        &status);
    if (!answer)
        return;
    if (remote->json)
        remote_print_json(json_incref(answer));
    else
        policy_remote_print(answer);
    fflush(stdout);
    json_decref(answer);
}

static int watch_dir(const struct remote *remote, const char *dir, int active)
{
    struct policy_watch watch;
    struct fault fault;
    if (policy_watch_open(&watch, dir, &fault) < 0)
        return cmd_fault(&fault, remote->json);
    if (!remote->json)
        printf("v%d is active; watching %s\n", active, dir);
    fflush(stdout);
    for (;;) {
        int64_t next = policy_watch_next(&watch);
        int64_t now_ms = loop_now_ms();
        struct pollfd ready = {.fd = watch.fd, .events = POLLIN};
        int wait_ms = next == INT64_MAX ? -1 : next > now_ms ? (int)(next - now_ms) : 0;
        if (poll(&ready, 1, wait_ms) < 0 && errno != EINTR)
            break;
        now_ms = loop_now_ms();
        policy_watch_read(&watch, now_ms);
        if (policy_watch_due(&watch, now_ms))
            load(remote);
    }
    policy_watch_close(&watch);
    return CMD_FAILED;
}

int cmd_policy_watch(int argc, char **argv)
{
    struct remote remote = {0};
    const struct cmd_option options[] = {REMOTE_OPTIONS(remote), {0}};
    const struct cmd_syntax syntax = {
        "policy watch",
        "Loads and uses the files of policy.dir whenever they change, until it is interrupted. What\n"
        "does not load changes nothing.",
        options};
    int active = 0;
    int status = cmd_parse(&syntax, argc, argv);
    if (status != CMD_GO_ON)
        return status;
    char *dir = find_dir(&remote, &active, &status);
    if (!dir)
        return CMD_FAILED;
    status = watch_dir(&remote, dir, active);
    free(dir);
    return status;
}

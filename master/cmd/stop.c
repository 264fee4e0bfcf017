#include "master/cmd/remote.h"

#include <stdio.h>

int cmd_stop(int argc, char **argv)
{
    struct remote remote = {0};
    struct fault fault = {0};
    bool now = false;
    int fd = -1;
    const struct cmd_option options[] = {
        REMOTE_OPTIONS(remote),
        {"--now", 0, NULL, "end at once; open requests are cut off", NULL, &now},
        {0}};
    const struct cmd_syntax syntax = {"stop",
                                      "Ends a running herald: no new connections, open requests "
                                      "are finished, within the config's\n"
                                      "limits.drain. Returns when it has ended.",
                                      options};
    int status = cmd_parse(&syntax, argc, argv);
    if (status != CMD_GO_ON)
        return status;
    json_t *request = json_pack("{s:s, s:b}", "verb", "stop", "now", (int)now);
    json_t *answer = remote_call(&remote, request, &fd, &fault);
    json_decref(request);
    if (!answer)
        return cmd_fault(&fault, remote.json);
    remote_wait_end(fd);
    if (remote.json)
        return remote_print_json(answer);
    status = remote_refused(answer) ? CMD_FAILED : CMD_DONE;
    if (status == CMD_DONE)
        printf("stopped\n");
    json_decref(answer);
    return status;
}

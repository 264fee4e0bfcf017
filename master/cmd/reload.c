#include "master/cmd/remote.h"

#include <stdio.h>

int cmd_reload(int argc, char **argv)
{
    struct remote remote = {0};
    struct fault fault = {0};
    const struct cmd_option options[] = {REMOTE_OPTIONS(remote), {0}};
    const struct cmd_syntax syntax = {
        "reload",
        "Makes a running herald read its config again. Returns when the new workers serve; when\n"
        "anything is wrong with it, says what, exits with 1, and the old ones go on.",
        options};
    int status = cmd_parse(&syntax, argc, argv);
    if (status != CMD_GO_ON)
        return status;
    json_t *request = json_pack("{s:s}", "verb", "reload");
    json_t *answer = remote_call(&remote, request, NULL, &fault);
    json_decref(request);
    if (!answer)
        return cmd_fault(&fault, remote.json);
    if (remote.json)
        return remote_print_json(answer);
    status = CMD_FAILED;
    if (!remote_refused(answer)) {
        printf("generation %" JSON_INTEGER_FORMAT " serves\n",
               json_integer_value(json_object_get(answer, "generation")));
        status = CMD_DONE;
    }
    json_decref(answer);
    return status;
}

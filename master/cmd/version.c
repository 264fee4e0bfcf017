#include "master/cmd/cmd.h"

#include <stdio.h>

int cmd_version(int argc, char **argv)
{
    bool json = false;
    const struct cmd_option options[] = {
        {"--json", 0, NULL, "as JSON", NULL, &json},
        {0},
    };
    const struct cmd_syntax syntax = {"version", "Prints herald's version.", options};
    int status = cmd_parse(&syntax, argc, argv);
    if (status != CMD_GO_ON)
        return status;
    printf(json ? "{\"ok\":true,\"version\":\"%s\"}\n" : "herald %s\n", HERALD_VERSION);
    return CMD_DONE;
}

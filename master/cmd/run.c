#include "master/cmd/cmd.h"
#include "master/cmd/urls.h"
#include "master/supervisor.h"

#include <stdio.h>

static void say_ready(const struct supervisor *supervisor, void *context)
{
    urls_print_ready(supervisor, *(const bool *)context);
}

int cmd_run(int argc, char **argv)
{
    const char *config = NULL;
    const char *root = NULL;
    struct fault fault = {0};
    bool json = false;
    struct supervisor_options options = {.access_fd = -1, .ready = say_ready, .context = &json};
    const struct cmd_option known[] = {
        {"--config", 'c', "FILE", "the config; else herald.lua here or in /etc/herald", &config,
         NULL},
        {"--root", 0, "DIR", "no config: serve DIR on 127.0.0.1, ports 8443 (TLS) and 8080", &root,
         NULL},
        {"--json", 0, NULL, "the ready line, and a fault, as JSON", NULL, &json},
        {0},
    };
    const struct cmd_syntax syntax = {
        "run",
        "Serves in the foreground, and prints a line that begins with \"ready\" once every worker\n"
        "accepts. HUP reloads the config, USR1 reopens the logs, QUIT finishes open work and "
        "ends,\n"
        "TERM ends.",
        known};
    int status = cmd_parse(&syntax, argc, argv);
    if (status != CMD_GO_ON)
        return status;
    if (cmd_source(config, root, &options.source, &fault) < 0) {
        cmd_fault(&fault, json);
        return CMD_USAGE;
    }
    return supervisor_run(&options, &fault) == 0 ? CMD_DONE : cmd_fault(&fault, json);
}

/* `herald push on|off`: the switch for emergencies. */
#include "master/cmd/remote.h"

#include <stdio.h>
#include <string.h>

static void print_answer(const json_t *answer, bool off, const char *site)
{
    printf("pushes are %s%s%s%s\n", off ? "off" : "on", site ? " for " : "", site ? site : "",
           off ? "; hints too. Switch them on: herald push on" : "");
    if (!off && site && json_is_true(json_object_get(answer, "off_everywhere")))
        printf("they are off everywhere all the same: herald push on\n");
}

int cmd_push(int argc, char **argv)
{
    struct remote remote = {0};
    struct fault fault = {0};
    const char *texts[1], *site = NULL;
    const struct cmd_option options[] = {
        {"--site", 0, "NAME", "of this site only", &site, NULL}, REMOTE_OPTIONS(remote), {0}};
    const struct cmd_syntax syntax = {
        "push",
        "Switches pushes and hints off, or on again, in all workers at once. The switch stays as it\n"
        "is over reloads and restarts.",
        options};
    struct cmd_words words = {"on|off", texts, 1, 1, 0};
    int status = cmd_parse_words(&syntax, &words, argc, argv);
    if (status != CMD_GO_ON)
        return status;
    bool off = strcmp(texts[0], "off") == 0;
    if (!off && strcmp(texts[0], "on") != 0) {
        fprintf(stderr, "herald push: '%s' is neither on nor off\n", texts[0]);
        return CMD_USAGE;
    }
    json_t *request = json_pack("{s:s, s:b}", "verb", "push", "off", off);
    if (site)
        json_object_set_new(request, "site", json_string(site));
    json_t *answer = remote_call(&remote, request, NULL, &fault);
    json_decref(request);
    if (!answer)
        return cmd_fault(&fault, remote.json);
    if (remote.json)
        return remote_print_json(answer);
    status = remote_refused(answer) ? CMD_FAILED : CMD_DONE;
    if (status == CMD_DONE)
        print_answer(answer, off, site);
    json_decref(answer);
    return status;
}

/* `herald policy load|use|rollback|discard|canary|shadow`: which version of the policies runs. */
#include "master/cmd/policy.h"

#include "master/cmd/policy_remote.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cmd_policy_load(int argc, char **argv)
{
    struct remote remote = {0};
    const char *message = NULL, *texts[1];
    bool use = false;
    char path[PATH_MAX] = "";
    const struct cmd_option options[] = {
        {"--message", 'm', "TEXT", "what changed, for those who read the list", &message, NULL},
        {"--use", 0, NULL, "and make it the active one", NULL, &use},
        REMOTE_OPTIONS(remote),
        {0}};
    const struct cmd_syntax syntax = {
        "policy load",
        "Makes a version of the policy files, with FILE or DIR in place of its namesake in, or all\n"
        "of, policy.dir: compiles and checks it, stores it, sends it to every worker.",
        options};
    struct cmd_words words = {"[FILE|DIR]", texts, 0, 1, 0};
    int status = cmd_parse_words(&syntax, &words, argc, argv);
    if (status != CMD_GO_ON)
        return status;
    if (words.count && !realpath(texts[0], path)) {
        fprintf(stderr, "herald: %s: cannot be opened: %m\n", texts[0]);
        return CMD_FAILED;
    }
    json_t *answer = policy_remote_call(
        &remote,
        json_pack("{s:s, s:s, s:s, s:b}", "verb", "policy-load", "message", message ? message : "",
                  "path", path, "use", use),
        &status);
    if (!answer)
        return status;
    if (remote.json)
        return remote_print_json(answer);
    if (!json_is_true(json_object_get(answer, "new")))
        printf("the content is that of v%d already\n",
               (int)json_integer_value(json_object_get(answer, "version")));
    if (json_integer_value(json_object_get(answer, "cases")))
        printf("%d cases of %d specs passed\n",
               (int)json_integer_value(json_object_get(answer, "cases")),
               (int)json_integer_value(json_object_get(answer, "specs")));
    policy_remote_print(answer);
    json_decref(answer);
    return CMD_DONE;
}

/* A verb whose one word is a version. Returns the answer to `request`, a control verb's name, or
 * NULL and the exit status. */
static json_t *call_for_version(struct remote *remote, const struct cmd_syntax *syntax,
                                const char *verb, int argc, char **argv, int *status)
{
    const char *texts[1];
    uint32_t number;
    struct cmd_words words = {"vN", texts, 1, 1, 0};
    *status = cmd_parse_words(syntax, &words, argc, argv);
    if (*status != CMD_GO_ON)
        return NULL;
    if (!policy_remote_number(texts[0], &number)) {
        fprintf(stderr, "herald %s: '%s' is no version; say v14\n", syntax->verb, texts[0]);
        *status = CMD_USAGE;
        return NULL;
    }
    return policy_remote_call(
        remote, json_pack("{s:s, s:I}", "verb", verb, "version", (json_int_t)number), status);
}

static int print_activation(const struct remote *remote, json_t *answer)
{
    if (remote->json)
        return remote_print_json(answer);
    policy_remote_print(answer);
    json_decref(answer);
    return CMD_DONE;
}

int cmd_policy_use(int argc, char **argv)
{
    struct remote remote = {0};
    const struct cmd_option options[] = {REMOTE_OPTIONS(remote), {0}};
    const struct cmd_syntax syntax = {
        "policy use",
        "Makes a version the active one, on every worker at once. No connection is touched.",
        options};
    int status;
    json_t *answer = call_for_version(&remote, &syntax, "policy-use", argc, argv, &status);
    return answer ? print_activation(&remote, answer) : status;
}

int cmd_policy_discard(int argc, char **argv)
{
    struct remote remote = {0};
    const struct cmd_option options[] = {REMOTE_OPTIONS(remote), {0}};
    const struct cmd_syntax syntax = {"policy discard",
                                      "Removes a version that is not in use from the disk.",
                                      options};
    int status;
    json_t *answer = call_for_version(&remote, &syntax, "policy-discard", argc, argv, &status);
    if (!answer)
        return status;
    if (remote.json)
        return remote_print_json(answer);
    printf("v%d discarded\n", (int)json_integer_value(json_object_get(answer, "version")));
    json_decref(answer);
    return CMD_DONE;
}

int cmd_policy_rollback(int argc, char **argv)
{
    struct remote remote = {0};
    const struct cmd_option options[] = {REMOTE_OPTIONS(remote), {0}};
    const struct cmd_syntax syntax = {
        "policy rollback",
        "Makes the version active again that was active before. The one that is left is active\n"
        "again only by `herald policy use`.",
        options};
    int status = cmd_parse(&syntax, argc, argv);
    if (status != CMD_GO_ON)
        return status;
    json_t *answer =
        policy_remote_call(&remote, json_pack("{s:s}", "verb", "policy-rollback"), &status);
    return answer ? print_activation(&remote, answer) : status;
}

/* Reads "5%", "0.5%" or "5" as thousandths. Returns false for anything else. */
static bool read_share(const char *text, int *permille)
{
    char *end;
    double percent = strtod(text, &end);
    end += *end == '%';
    if (*end != '\0' || end == text || !isfinite(percent) || percent < 0.1 || percent > 100)
        return false;
    *permille = (int)lround(percent * 10);
    return true;
}

static int bad_word(const struct cmd_syntax *syntax, const char *word, const char *wanted)
{
    fprintf(stderr, "herald %s: '%s' is not %s\n", syntax->verb, word, wanted);
    return CMD_USAGE;
}

int cmd_policy_canary(int argc, char **argv)
{
    struct remote remote = {0};
    const char *texts[2];
    uint32_t number = 0;
    int permille = 0, status;
    const struct cmd_option options[] = {REMOTE_OPTIONS(remote), {0}};
    const struct cmd_syntax syntax = {
        "policy canary",
        "Lets a share of the clients have a version, the same ones each time; `off` ends it.",
        options};
    struct cmd_words words = {"vN PERCENT | off", texts, 1, 2, 0};
    status = cmd_parse_words(&syntax, &words, argc, argv);
    if (status != CMD_GO_ON)
        return status;
    bool off = strcmp(texts[words.count - 1], "off") == 0; /* also "v14 off" */
    if (!off && !policy_remote_number(texts[0], &number))
        return bad_word(&syntax, texts[0], "a version, such as v14, nor `off`");
    if (!off && (words.count < 2 || !read_share(texts[1], &permille)))
        return bad_word(&syntax, words.count < 2 ? "" : texts[1],
                        "a share of the clients: 0.1% to 100%");
    json_t *answer = policy_remote_call(&remote,
                                        json_pack("{s:s, s:b, s:I, s:i}", "verb", "policy-canary",
                                                  "off", off, "version", (json_int_t)number,
                                                  "permille", permille),
                                        &status);
    if (!answer)
        return status;
    if (remote.json)
        return remote_print_json(answer);
    if (off)
        printf("no canary\n");
    else
        printf("v%u for %d.%d %% of the clients; end it: herald policy canary off\n", number,
               permille / 10, permille % 10);
    json_decref(answer);
    return CMD_DONE;
}

int cmd_policy_shadow(int argc, char **argv)
{
    struct remote remote = {0};
    const char *texts[2];
    uint32_t number = 0;
    int status;
    const struct cmd_option options[] = {REMOTE_OPTIONS(remote), {0}};
    const struct cmd_syntax syntax = {
        "policy shadow",
        "Asks a version beside the one that decides, and counts where it would decide otherwise:\n"
        "herald policy show vN. It changes nothing. `off` ends it.",
        options};
    struct cmd_words words = {"vN | off", texts, 1, 2, 0};
    status = cmd_parse_words(&syntax, &words, argc, argv);
    if (status != CMD_GO_ON)
        return status;
    bool off = strcmp(texts[words.count - 1], "off") == 0;
    if (!off && !policy_remote_number(texts[0], &number))
        return bad_word(&syntax, texts[0], "a version, such as v14, nor `off`");
    json_t *answer = policy_remote_call(&remote,
                                        json_pack("{s:s, s:b, s:I}", "verb", "policy-shadow", "off",
                                                  off, "version", (json_int_t)number),
                                        &status);
    if (!answer)
        return status;
    if (remote.json)
        return remote_print_json(answer);
    if (off)
        printf("no shadow\n");
    else
        printf("v%u is asked beside the active one; what differs: herald policy show v%u\n", number,
               number);
    json_decref(answer);
    return CMD_DONE;
}

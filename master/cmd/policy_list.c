/* `herald policy list|show`: what versions there are, and what is known of one. */
#include "master/cmd/policy.h"

#include "master/cmd/policy_remote.h"

#include <stdio.h>
#include <string.h>

static long long number_at(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static json_t *call_list(const struct remote *remote, int *status)
{
    return policy_remote_call(remote, json_pack("{s:s}", "verb", "policy-list"), status);
}

static void print_version(const json_t *version)
{
    char name[16];
    snprintf(name, sizeof(name), "v%lld", number_at(version, "number"));
    printf("%-6s %-12s %-20s %-10s %9lld %7lld  %s%s%s\n", name, text_at(version, "state"),
           text_at(version, "made"), text_at(version, "author"), number_at(version, "pages"),
           number_at(version, "failures"), text_at(version, "message"),
           json_object_get(version, "why") ? "  -- " : "", text_at(version, "why"));
}

int cmd_policy_list(int argc, char **argv)
{
    struct remote remote = {0};
    const struct cmd_option options[] = {REMOTE_OPTIONS(remote), {0}};
    const struct cmd_syntax syntax = {
        "policy list", "Lists the versions of the policies, the newest first.", options};
    int status = cmd_parse(&syntax, argc, argv);
    if (status != CMD_GO_ON)
        return status;
    json_t *answer = call_list(&remote, &status);
    if (!answer)
        return status;
    if (remote.json)
        return remote_print_json(answer);
    const json_t *versions = json_object_get(json_object_get(answer, "policy"), "versions");
    printf("%-6s %-12s %-20s %-10s %9s %7s  %s\n", "", "state", "made", "by", "pages", "failed",
           "message");
    for (size_t i = 0; i < json_array_size(versions); i++)
        print_version(json_array_get(versions, i));
    json_decref(answer);
    return CMD_DONE;
}

static void print_share(const json_t *policy, const json_t *version)
{
    static const char *const keys[] = {"pages", "failures", "soft_deadlines", "hard_strikes"};
    if (number_at(policy, "canary") == number_at(version, "number"))
        printf("share       %lld.%lld %% of the clients\n", number_at(policy, "permille") / 10,
               number_at(policy, "permille") % 10);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (json_object_get(version, keys[i]))
            printf("%-15s %lld\n", keys[i], number_at(version, keys[i]));
}

static void print_shadow(const json_t *policy, const json_t *version)
{
    const json_t *examples = json_object_get(policy, "examples");
    if (number_at(policy, "shadow") != number_at(version, "number"))
        return;
    printf("differs     on %lld of %lld pages\n", number_at(version, "differing"),
           number_at(version, "compared"));
    for (size_t i = 0; i < json_array_size(examples); i++)
        printf("  %s\n", json_string_value(json_array_get(examples, i)));
}

static void print_shown(const json_t *policy, const json_t *version)
{
    printf("version     v%lld, %s\n", number_at(version, "number"), text_at(version, "state"));
    if (json_object_get(version, "why"))
        printf("why         %s\n", text_at(version, "why"));
    printf("made        %s by %s\n", text_at(version, "made"), text_at(version, "author"));
    printf("message     %s\n", text_at(version, "message"));
    printf("content     %s, %lld bytes\n", text_at(version, "id"), number_at(version, "bytes"));
    print_share(policy, version);
    print_shadow(policy, version);
}

int cmd_policy_show(int argc, char **argv)
{
    struct remote remote = {0};
    const char *texts[1];
    uint32_t number = 0;
    const struct cmd_option options[] = {REMOTE_OPTIONS(remote), {0}};
    const struct cmd_syntax syntax = {
        "policy show",
        "Tells what is known of a version (the active one): who made it and how it fares; of the\n"
        "shadow, where it would decide otherwise.",
        options};
    struct cmd_words words = {"[vN]", texts, 0, 1, 0};
    int status = cmd_parse_words(&syntax, &words, argc, argv);
    if (status != CMD_GO_ON)
        return status;
    if (words.count && !policy_remote_number(texts[0], &number)) {
        fprintf(stderr, "herald policy show: '%s' is no version; say v14\n", texts[0]);
        return CMD_USAGE;
    }
    json_t *answer = call_list(&remote, &status);
    if (!answer)
        return status;
    const json_t *policy = json_object_get(answer, "policy");
    const json_t *versions = json_object_get(policy, "versions");
    if (!words.count)
        number = (uint32_t)number_at(policy, "active");
    json_t *found = NULL;
    for (size_t i = 0; i < json_array_size(versions); i++)
        if (number_at(json_array_get(versions, i), "number") == (long long)number)
            found = json_array_get(versions, i);
    if (!found)
        fprintf(stderr, "herald: there is no version v%u\n", number);
    else if (remote.json && json_dumpf(found, stdout, JSON_COMPACT) == 0)
        putchar('\n');
    else
        print_shown(policy, found);
    json_decref(answer);
    return found ? CMD_DONE : CMD_FAILED;
}

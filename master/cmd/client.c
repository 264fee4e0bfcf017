/* `herald client show|forget`: what the push table has about one client. */
#include "master/cmd/duration.h"
#include "master/cmd/remote.h"

#include "policy/identity.h"

#include <stdio.h>

struct client_call {
    struct remote remote;
    const char *site;
    const char *id;
};

/* Every text of the right form is some client's: only the running herald's key tells whose. */
static bool is_id(const char *text)
{
    static const uint8_t any_key[IDENTITY_LOG_KEY_BYTES];
    uint64_t client;
    return identity_client_parse(any_key, span_of(text), &client);
}

/* Reads the command line. Returns CMD_GO_ON, or the exit status. */
static int read_call(struct client_call *call, const char *verb, const char *summary, int argc,
                     char **argv)
{
    const struct cmd_option options[] = {
        {"--site", 0, "NAME", "the client is of this site; else it is found out", &call->site,
         NULL},
        REMOTE_OPTIONS(call->remote),
        {0}};
    const struct cmd_syntax syntax = {verb, summary, options};
    struct cmd_words words = {"ID", &call->id, 1, 1, 0};
    int status = cmd_parse_words(&syntax, &words, argc, argv);
    if (status != CMD_GO_ON || is_id(call->id))
        return status;
    fprintf(stderr,
            "herald %s: '%s' is no client id: these are the %d hexadecimal digits, in lower case, "
            "that the access log has as \"client\"\n",
            verb, call->id, IDENTITY_TEXT_LENGTH);
    return CMD_USAGE;
}

/* Asks the running herald. Returns CMD_GO_ON with `*answer`, owned by the caller, or the exit
 * status. */
static int ask(const struct client_call *call, const char *what, json_t **answer)
{
    struct fault fault = {0};
    json_t *request = json_pack("{s:s, s:s, s:s, s:s*}", "verb", "client", "do", what, "id",
                                call->id, "site", call->site);
    if (!request) {
        fault_set(&fault, -1, NULL, 0, "the site's name is not UTF-8");
        return cmd_fault(&fault, call->remote.json);
    }
    *answer = remote_call(&call->remote, request, NULL, &fault);
    json_decref(request);
    if (!*answer)
        return cmd_fault(&fault, call->remote.json);
    if (call->remote.json)
        return remote_print_json(*answer);
    if (!remote_refused(*answer))
        return CMD_GO_ON;
    json_decref(*answer);
    return CMD_FAILED;
}

static json_int_t number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static const char *word(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "?";
}

/* Paths come from file names, which may hold anything. */
static void print_path(const char *path)
{
    for (; *path; path++)
        putchar((unsigned char)*path < 0x20 || *path == 0x7f ? '?' : *path);
    putchar('\n');
}

static void print_entry(const json_t *entry)
{
    char age[DURATION_TEXT_MAX + 8] = "";
    char left[DURATION_TEXT_MAX];
    char text[DURATION_TEXT_MAX];
    if (json_object_get(entry, "age_s"))
        snprintf(age, sizeof(age), "%s%s", duration_text(number(entry, "age_s"), text),
                 json_is_true(json_object_get(entry, "probation")) ? " *" : "");
    printf("%-14s %-14s %-12s ", word(entry, "state"), age,
           duration_text(number(entry, "left_s"), left));
    print_path(word(entry, "path"));
}

static void print_known(const json_t *answer)
{
    if (json_is_false(json_object_get(answer, "complete")))
        printf("not all of the site's files could be looked at\n");
}

static void print_show(const json_t *answer)
{
    const json_t *entries = json_object_get(answer, "entries");
    bool probation = false;
    printf("client %s of %s, %" JSON_INTEGER_FORMAT " known resources\n\n%-14s %-14s %-12s path\n",
           word(answer, "id"), word(answer, "site"), number(answer, "known"), "state", "since",
           "expires in");
    for (size_t i = 0; i < json_array_size(entries); i++) {
        const json_t *entry = json_array_get(entries, i);
        print_entry(entry);
        probation |= json_is_true(json_object_get(entry, "probation"));
    }
    if (number(answer, "unlisted"))
        printf("and %" JSON_INTEGER_FORMAT " more\n", number(answer, "unlisted"));
    if (probation)
        printf("* on probation: noted before the client first showed its id again\n");
    print_known(answer);
}

static int show(int argc, char **argv)
{
    struct client_call call = {0};
    json_t *answer = NULL;
    int status = read_call(&call, "client show",
                           "Lists what a client is believed to hold of its site's files.", argc,
                           argv);
    if (status == CMD_GO_ON)
        status = ask(&call, "show", &answer);
    if (status != CMD_GO_ON)
        return status;
    print_show(answer);
    json_decref(answer);
    return CMD_DONE;
}

static int forget(int argc, char **argv)
{
    struct client_call call = {0};
    json_t *answer = NULL;
    int status = read_call(&call, "client forget",
                           "Removes what a client is believed to hold of its site's files, so that "
                           "it is pushed again.",
                           argc, argv);
    if (status == CMD_GO_ON)
        status = ask(&call, "forget", &answer);
    if (status != CMD_GO_ON)
        return status;
    printf("client %s of %s: %" JSON_INTEGER_FORMAT " entries removed\n", word(answer, "id"),
           word(answer, "site"), number(answer, "removed"));
    if (number(answer, "sending"))
        printf("%" JSON_INTEGER_FORMAT " being sent just now are left\n",
               number(answer, "sending"));
    print_known(answer);
    json_decref(answer);
    return CMD_DONE;
}

static const struct cmd_verb VERBS[] = {
    {"show", show, "ID", "list what a client is believed to hold"},
    {"forget", forget, "ID", "remove it, so that it is pushed again"},
    {0},
};

int cmd_client(int argc, char **argv)
{
    return cmd_run_verb("client", VERBS, argc, argv);
}

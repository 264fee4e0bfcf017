/* `herald explain`: what would be pushed with a URL and why not more, without sending anything; or
 * what was, by a request's id. */
#include "master/cmd/explain.h"

#include "master/cmd/remote.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define GROUP_MAX 24         /* questions of one command, */
#define GROUP_BYTES 3000     /* which is at most CONTROL_COMMAND_MAX long */
#define HEADERS_MAX 64
#define LINE_MAX_BYTES 2500

struct call {
    struct remote remote;
    const char *url, *request, *client, *header, *policy, *rtt, *cwnd, *streams;
    bool no_push, hints, batch;
    json_t *headers; /* pairs */
};

/* ---- the command line ---- */

static int add_header(json_t *headers, const char *text)
{
    const char *colon = strchr(text, ':');
    if (!colon || colon == text || json_array_size(headers) == HEADERS_MAX) {
        fprintf(stderr,
                "herald explain: '%s' is no header field: write --header 'name: value', %d times "
                "at most\n",
                text, HEADERS_MAX);
        return CMD_USAGE;
    }
    const char *value = colon + 1 + strspn(colon + 1, " \t");
    if (json_array_append_new(headers, json_pack("[s%, s]", text, (size_t)(colon - text), value)) ==
        0)
        return CMD_GO_ON;
    fprintf(stderr, "herald explain: the header field '%.*s' is not UTF-8\n", (int)(colon - text),
            text);
    return CMD_USAGE;
}

/* Takes every --header out of argv, since it may be given several times. */
static int take_headers(json_t *headers, int *argc, char **argv)
{
    int kept = 1;
    for (int i = 1; i < *argc; i++) {
        const char *value = NULL;
        if (strncmp(argv[i], "--header=", 9) == 0)
            value = argv[i] + 9;
        else if (strcmp(argv[i], "--header") == 0 || strcmp(argv[i], "-H") == 0)
            value = i + 1 < *argc ? argv[++i] : "";
        if (!value) {
            argv[kept++] = argv[i];
            continue;
        }
        int status = add_header(headers, value);
        if (status != CMD_GO_ON)
            return status;
    }
    *argc = kept;
    return CMD_GO_ON;
}

static int bad_number(const char *option, const char *text, const char *like)
{
    fprintf(stderr, "herald explain: %s is like %s, not '%s'\n", option, like, text);
    return CMD_USAGE;
}

static int parse(struct call *call, int argc, char **argv)
{
    const struct cmd_option options[] = {
        {"--client", 0, "ID", "who asks, as the log has it (default: one that was never here)",
         &call->client, NULL},
        {"--header", 'H', "'K: V'", "a field of the request; may be given several times",
         &call->header, NULL}, /* each was taken out before */
        {"--policy", 0, "vN", "with this version of the policies, not the active one",
         &call->policy, NULL},
        {"--no-push", 0, NULL, "the client takes no push", NULL, &call->no_push},
        {"--hints", 0, NULL, "a browser: it navigates, takes 103, and no push", NULL, &call->hints},
        {"--rtt", 0, "TIME", "the connection's round trip (default: 50ms)", &call->rtt, NULL},
        {"--cwnd", 0, "SIZE", "its congestion window (default: 14600, where they begin)",
         &call->cwnd, NULL},
        {"--max-streams", 0, "N", "the client's MAX_CONCURRENT_STREAMS (default: 100)",
         &call->streams, NULL},
        {"--request", 0, "ID", "what was decided for this past request, from the access log",
         &call->request, NULL},
        {"--batch", 0, NULL, "read questions from stdin, a URL or a JSON object a line; answer in JSON",
         NULL, &call->batch},
        REMOTE_OPTIONS(call->remote),
        {0},
    };
    const struct cmd_syntax syntax = {
        "explain",
        "Says what would be pushed with a URL, to whom, and why not more. Nothing is sent.",
        options};
    struct cmd_words words = {"URL", &call->url, 0, 1, 0};
    int status = take_headers(call->headers, &argc, argv);
    if (status == CMD_GO_ON)
        status = cmd_parse_words(&syntax, &words, argc, argv);
    if (status != CMD_GO_ON)
        return status;
    int asked = (call->url != NULL) + (call->request != NULL) + call->batch;
    if (asked == 1)
        return CMD_GO_ON;
    fprintf(stderr, "herald explain: give %sa URL, --request ID or --batch\n",
            asked ? "only one of " : "");
    return CMD_USAGE;
}

/* ---- asking ---- */

/* What the options say, as a question without its URL. Returns CMD_GO_ON or CMD_USAGE. */
static int question_of(const struct call *call, json_t *question)
{
    uint64_t value;
    json_object_set(question, "headers", call->headers);
    if (call->client)
        json_object_set_new(question, "client", json_string(call->client));
    if (call->no_push || call->hints)
        json_object_set_new(question, "no_push", json_true());
    if (call->hints)
        json_array_append_new(json_object_get(question, "headers"),
                              json_pack("[s, s]", "sec-fetch-mode", "navigate"));
    if (call->rtt && config_parse_duration(span_of(call->rtt), &value) < 0)
        return bad_number("--rtt", call->rtt, "50ms");
    if (call->rtt)
        json_object_set_new(question, "rtt_us", json_integer((json_int_t)value * 1000));
    if (call->cwnd && config_parse_size(span_of(call->cwnd), &value) < 0)
        return bad_number("--cwnd", call->cwnd, "64KiB");
    if (call->cwnd)
        json_object_set_new(question, "cwnd_bytes", json_integer((json_int_t)value));
    if (call->streams && (config_parse_size(span_of(call->streams), &value) < 0 ||
                          strspn(call->streams, "0123456789") != strlen(call->streams)))
        return bad_number("--max-streams", call->streams, "100");
    if (call->streams)
        json_object_set_new(question, "streams_max", json_integer((json_int_t)value));
    return CMD_GO_ON;
}

/* Asks the running herald. Returns its answers as texts, owned by the caller, or NULL with
 * `*status`. */
static json_t *ask(const struct call *call, json_t *questions, int *status)
{
    struct fault fault = {0};
    json_t *request = json_pack("{s:s, s:O, s:s*}", "verb", "explain", "questions", questions,
                                "policy", call->policy);
    if (!request)
        fault_set(&fault, -EILSEQ, NULL, 0, "what was asked for is not UTF-8");
    json_t *answer = request ? remote_call(&call->remote, request, NULL, &fault) : NULL;
    json_decref(request);
    *status = CMD_FAILED;
    if (!answer) {
        cmd_fault(&fault, call->remote.json);
        return NULL;
    }
    if (!json_is_true(json_object_get(answer, "ok"))) {
        if (call->remote.json)
            remote_print_json(answer);
        else if (remote_refused(answer))
            json_decref(answer);
        return NULL;
    }
    json_t *answers = json_incref(json_object_get(answer, "answers"));
    json_decref(answer);
    *status = CMD_DONE;
    return answers;
}

static int print_answer(const struct call *call, const json_t *text)
{
    json_t *answer = json_loads(json_string_value(text) ? json_string_value(text) : "", 0, NULL);
    bool failed = !answer || json_object_get(answer, "error");
    if (call->remote.json || call->batch)
        printf("%s\n", json_string_value(text));
    else if (!answer)
        fprintf(stderr, "herald: the answer makes no sense\n");
    else if (failed)
        fprintf(stderr, "herald: %s\n",
                json_string_value(json_object_get(answer, "error")));
    else
        explain_print(answer);
    json_decref(answer);
    return failed ? CMD_FAILED : CMD_DONE;
}

static int ask_and_print(const struct call *call, json_t *questions)
{
    int status;
    json_t *answers = ask(call, questions, &status);
    json_t *text;
    size_t i;
    json_array_foreach(answers, i, text)
    {
        int one = print_answer(call, text);
        status = one == CMD_DONE ? status : one;
    }
    json_decref(answers);
    json_array_clear(questions);
    return status;
}

/* A line of --batch: a URL, or an object that stands in for the options. */
static json_t *question_in(const char *line, const json_t *base)
{
    json_t *question = json_copy((json_t *)(uintptr_t)base);
    if (line[0] == '{') {
        json_t *own = json_loads(line, 0, NULL);
        bool good = own && json_object_update(question, own) == 0;
        json_decref(own);
        if (good)
            return question;
        json_decref(question);
        return NULL;
    }
    json_object_set_new(question, "url", json_string(line));
    return question;
}

static int run_batch(const struct call *call, const json_t *base)
{
    char line[LINE_MAX_BYTES];
    json_t *questions = json_array();
    size_t bytes = 0;
    int status = CMD_DONE;
    for (unsigned number = 1; fgets(line, sizeof(line), stdin); number++) {
        size_t length = strcspn(line, "\n");
        bool whole = line[length] == '\n' || feof(stdin);
        line[length] = '\0';
        json_t *question = whole ? question_in(line, base) : NULL;
        if (!question) {
            fprintf(stderr, "herald explain: stdin:%u: neither a URL nor a JSON object, or too "
                            "long\n",
                    number);
            json_decref(questions);
            return CMD_FAILED;
        }
        size_t size = json_dumpb(question, NULL, 0, JSON_COMPACT) + 1;
        if (bytes + size > GROUP_BYTES || json_array_size(questions) == GROUP_MAX) {
            if (ask_and_print(call, questions) != CMD_DONE)
                status = CMD_FAILED;
            bytes = 0;
        }
        json_array_append_new(questions, question);
        bytes += size;
    }
    if (json_array_size(questions) && ask_and_print(call, questions) != CMD_DONE)
        status = CMD_FAILED;
    json_decref(questions);
    return status;
}

/* ---- the log ---- */

/* The access log of the config that the options name. */
static int run_request(const struct call *call)
{
    struct config_source source;
    struct config *config = NULL;
    struct fault fault = {0};
    json_t *line = NULL;
    int status = CMD_FAILED;
    int rc = cmd_source(call->remote.config, call->remote.root, &source, &fault);
    if (rc == 0 && call->remote.demo)
        source = (struct config_source){CONFIG_DEMO, NULL};
    if (rc == 0)
        rc = stage_load(&source, &config, &fault);
    if (rc == 0 && (!config->log.access || config->log.access[0] != '/'))
        rc = fault_set(&fault, -EINVAL, config->path, 0,
                       config->log.access
                           ? "the access log goes to stderr: nothing can be read back from it; "
                             "name a file: log = { access = \"access.json\" }"
                           : "the access log is off, so nothing is known of past requests; turn "
                             "it on: log = { access = \"access.json\" }");
    if (rc == 0)
        line = explain_find(config->log.access, call->request, &fault);
    if (!line)
        cmd_fault(&fault, call->remote.json);
    else if (call->remote.json)
        status = json_dumpf(line, stdout, JSON_COMPACT) == 0 && putchar('\n') ? CMD_DONE
                                                                              : CMD_FAILED;
    else
        explain_print(line);
    status = line ? CMD_DONE : CMD_FAILED;
    json_decref(line);
    config_destroy(config);
    return status;
}

int cmd_explain(int argc, char **argv)
{
    struct call call = {.headers = json_array()};
    json_t *question = json_object();
    int status = parse(&call, argc, argv);
    if (status == CMD_GO_ON)
        status = question_of(&call, question);
    if (status == CMD_GO_ON && call.request) {
        status = run_request(&call);
    } else if (status == CMD_GO_ON && call.batch) {
        status = run_batch(&call, question);
    } else if (status == CMD_GO_ON) {
        json_t *questions = json_array();
        json_object_set_new(question, "url", json_string(call.url));
        json_array_append(questions, question);
        status = ask_and_print(&call, questions);
        json_decref(questions);
    }
    json_decref(question);
    json_decref(call.headers);
    return status;
}

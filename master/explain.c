#include "master/explain.h"

#include "master/resources.h"
#include "master/supervisor.h"
#include "worker/rehearse.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_MAX (64 * 1024) /* bytes of texts made here, of one command */
#define RTT_US 50000
#define CWND_BYTES 14600 /* ten segments, with which connections begin (RFC 6928) */
#define STREAMS_MAX 100
#define CPU_S 30

/* A command as the child finds it in its copy of the master's memory. */
struct task {
    struct supervisor *supervisor;
    const struct generation *generation;
    int version_fd;   /* the bundle of `version`; owned by the master; -1: none was named */
    uint32_t version; /* REHEARSE_ACTIVE: none was named */
    struct rehearse_question questions[EXPLAIN_QUESTIONS_MAX];
    size_t count;
    char text[TEXT_MAX];
    size_t text_used;
};

/* ---- the child ---- */

static void told(void *context, struct span answer)
{
    json_array_append_new(context, json_stringn(answer.data, answer.length));
}

/* What other processes need and this one doesn't: the certificates' keys. */
static void forget_keys(struct supervisor *s)
{
    struct generation *one[] = {s->serving, s->staged, s->leaving};
    for (size_t i = 0; i < sizeof(one) / sizeof(one[0]); i++)
        if (one[i])
            resources_forget_keys(one[i]->config);
    for (struct generation *g = s->draining; g; g = g->next)
        resources_forget_keys(g->config);
}

static void fill_versions(const struct task *task, struct handoff *handoff)
{
    if (task->version == REHEARSE_ACTIVE) {
        desk_fill(&task->supervisor->desk, 0, handoff);
        return;
    }
    handoff->versions[0] = (struct handoff_version){task->version, task->version_fd};
    handoff->versions_count = 1;
}

static int explain_body(int socket, void *context)
{
    struct task *task = context;
    const struct generation *generation = task->generation;
    struct fault fault = {0};
    json_t *answers = json_array();
    struct handoff handoff = {.config = generation->config,
                              .segment = &task->supervisor->segment,
                              .slot = SEGMENT_SLOTS_MAX - 1,
                              .generation = generation->number,
                              .control_fd = -1,
                              .access_fd = generation->access_fd,
                              .error_fd = -1};
    fill_versions(task, &handoff);
    forget_keys(task->supervisor);
    if (worker_rehearse(&handoff, task->version, task->questions, task->count, told, answers, &fault) < 0)
        return helper_refuse(socket, &fault);
    json_t *answer = json_pack("{s:b, s:o}", "ok", 1, "answers", answers);
    char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
    if (!text) {
        fault_set(&fault, -ENOMEM, "explain", 0, "out of memory");
        return helper_refuse(socket, &fault);
    }
    return helper_answer(socket, span_of(text), -1);
}

/* ---- the questions ---- */

/* A copy that lives as long as the task; in lower case if `lower`. Empty when there is no room. */
static struct span keep_text(struct task *task, struct span text, bool lower)
{
    char *copy = task->text + task->text_used;
    if (text.length > TEXT_MAX - task->text_used)
        return (struct span){NULL, 0};
    for (size_t i = 0; i < text.length; i++)
        copy[i] = (char)(lower ? tolower((unsigned char)text.data[i]) : text.data[i]);
    task->text_used += text.length;
    return span_make(copy, text.length);
}

/* "https://host:port" of the first address, with the first site's name where it has one. */
static void default_origin(const struct supervisor *s, char *origin, size_t size)
{
    char url[SUPERVISOR_URL_MAX];
    const struct config *config = s->serving->config;
    const char *name = config->sites_count ? config->sites[0].names[0] : "*";
    supervisor_url(s, 0, url);
    url[strlen(url) - 1] = '\0';
    const char *host = strstr(url, "://") + 3;
    const char *port = strrchr(host, ':');
    if (port && strchr(port, ']'))
        port = NULL;
    if (strcmp(name, "*") == 0)
        snprintf(origin, size, "%s", url);
    else
        snprintf(origin, size, "%.*s%s%s", (int)(host - url), url, name, port ? port : "");
}

/* Cuts a URL, or a path of the first site. Returns false for what is neither. */
static bool take_url(struct task *task, struct rehearse_question *question, const char *url)
{
    char origin[512] = "";
    struct span text = span_of(url);
    if (text.length && text.data[0] == '/') {
        default_origin(task->supervisor, origin, sizeof(origin));
        question->target = keep_text(task, text, false);
        text = span_of(origin);
    }
    question->secure = span_starts(text, SPAN_LITERAL("https://"));
    if (!question->secure && !span_starts(text, SPAN_LITERAL("http://")))
        return false;
    text = span_after(text, question->secure ? 8 : 7);
    text.length = span_find(text, '#');
    size_t slash = span_find(text, '/');
    question->authority = keep_text(task, span_make(text.data, slash), false);
    if (!question->target.data)
        question->target = slash < text.length ? keep_text(task, span_after(text, slash), false)
                                               : SPAN_LITERAL("/");
    return question->authority.length && question->target.length;
}

static bool take_headers(struct task *task, struct rehearse_question *question, json_t *headers)
{
    json_t *pair;
    size_t i;
    json_array_foreach(headers, i, pair)
    {
        const char *name = json_string_value(json_array_get(pair, 0));
        const char *value = json_string_value(json_array_get(pair, 1));
        if (!name || !value || question->fields_count == REHEARSE_FIELDS_MAX)
            return false;
        question->fields[question->fields_count++] = (struct field){
            keep_text(task, span_of(name), true), keep_text(task, span_of(value), false)};
    }
    return true;
}

static uint64_t take_number(const json_t *object, const char *key, uint64_t fallback, uint64_t most)
{
    json_t *value = json_object_get(object, key);
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return fallback;
    uint64_t number = (uint64_t)json_integer_value(value);
    return number < most ? number : most;
}

/* Returns NULL, or why it makes no sense. */
static const char *take_question(struct task *task, json_t *value)
{
    struct rehearse_question *question = &task->questions[task->count++];
    const char *url = json_string_value(json_object_get(value, "url"));
    const char *method = json_string_value(json_object_get(value, "method"));
    const char *client = json_string_value(json_object_get(value, "client"));
    *question = (struct rehearse_question){.method = SPAN_LITERAL("GET")};
    if (!url || !take_url(task, question, url))
        return "what is asked for is a URL (https://host/path) or a path of the first site";
    if (method)
        question->method = keep_text(task, span_of(method), false);
    if (client)
        question->client = keep_text(task, span_of(client), false);
    if (!take_headers(task, question, json_object_get(value, "headers")))
        return "headers are pairs of a name and a value, 64 at most";
    question->no_push = json_is_true(json_object_get(value, "no_push"));
    question->streams_max =
        (uint32_t)take_number(value, "streams_max", STREAMS_MAX, UINT32_MAX / 2);
    question->rtt_us = (uint32_t)take_number(value, "rtt_us", RTT_US, UINT32_MAX / 2);
    question->cwnd_bytes = (uint32_t)take_number(value, "cwnd_bytes", CWND_BYTES, UINT32_MAX / 2);
    question->bandwidth_bps = take_number(value, "bandwidth_bps", 0, UINT64_MAX / 2);
    return task->text_used < TEXT_MAX ? NULL : "the questions are too long";
}

/* ---- the master ---- */

static void answered(struct helper *helper, int rc, struct span answer, int fd,
                     const struct fault *fault)
{
    struct explain *explain = OWNER_OF(helper, struct explain, helper);
    char text[FAULT_WHERE_MAX + FAULT_WHAT_MAX + 32];
    if (fd >= 0)
        close(fd);
    json_t *said = rc == 0 ? json_loadb(answer.data, answer.length, 0, NULL) : NULL;
    if (!said)
        said = control_error("%s", rc < 0 ? fault_text(fault, text, sizeof(text))
                                          : "the answer makes no sense");
    control_answer(explain->control, explain->asker, said);
}

/* Starts the child with what a worker inherits and it needs: the roots, the policies, the segment. */
static int start(struct explain *explain, struct task *task, struct fault *fault)
{
    struct supervisor *s = task->supervisor;
    const struct config *config = task->generation->config;
    struct handoff handoff = {0};
    size_t count = 0, most = 3 + SEGMENT_VERSIONS_MAX;
    fill_versions(task, &handoff);
    for (size_t i = 0; i < config->sites_count; i++)
        most += config->sites[i].routes_count;
    int *keep = calloc(most, sizeof(*keep));
    if (!keep)
        return fault_set(fault, -ENOMEM, "explain", 0, "out of memory");
    for (unsigned i = 0; i < handoff.versions_count; i++)
        keep[count++] = handoff.versions[i].fd;
    keep[count++] = s->segment.fd;
    keep[count++] = s->segment.secrets_fd;
    for (size_t i = 0; i < config->sites_count; i++)
        for (size_t j = 0; j < config->sites[i].routes_count; j++)
            keep[count++] = config->sites[i].routes[j].root_fd;
    explain->helper.done = answered;
    explain->helper.cpu_s = CPU_S;
    int rc = helper_start(&explain->helper, &s->loop, "explaining", &task->generation->user, keep,
                          count, explain_body, task, fault);
    free(keep);
    return rc;
}

/* "v14" or "14". */
static int take_version(struct task *task, const json_t *named, struct fault *fault)
{
    const char *text = json_string_value(named);
    char *end = NULL;
    task->version = REHEARSE_ACTIVE;
    task->version_fd = -1;
    if (!text)
        return 0;
    unsigned long number = strtoul(text + (text[0] == 'v'), &end, 10);
    if (*end || number == 0 || number > SEGMENT_VERSION_MOST)
        return fault_set(fault, -EINVAL, NULL, 0, "\"%.40s\" is no version: they are called v14",
                         text);
    task->version = (uint32_t)number;
    task->version_fd = policy_store_bundle(&task->supervisor->desk.store, task->version, fault);
    return task->version_fd < 0 ? task->version_fd : 0;
}

static json_t *begin(struct supervisor *s, struct explain *explain, struct control_handle client,
                     json_t *request)
{
    static struct task task; /* the child has a copy of it, as of all else */
    json_t *questions = json_object_get(request, "questions");
    json_t *question;
    struct fault fault = {0};
    char text[FAULT_WHERE_MAX + FAULT_WHAT_MAX + 32];
    size_t i, count = json_array_size(questions);
    if (explain->helper.running)
        return control_error("something else is being explained; try again");
    if (count == 0 || count > EXPLAIN_QUESTIONS_MAX)
        return control_error("\"questions\" is a list of 1 to %d", EXPLAIN_QUESTIONS_MAX);
    task.supervisor = s;
    task.generation = s->serving;
    task.count = 0;
    task.text_used = 0;
    json_array_foreach(questions, i, question)
    {
        const char *why = take_question(&task, question);
        if (why)
            return control_error("%s", why);
    }
    explain->control = &s->control;
    explain->asker = client;
    int rc = take_version(&task, json_object_get(request, "policy"), &fault);
    if (rc == 0)
        rc = start(explain, &task, &fault);
    if (task.version_fd >= 0)
        close(task.version_fd);
    return rc < 0 ? control_error("%s", fault_text(&fault, text, sizeof(text))) : NULL;
}

void explain_run(struct supervisor *s, struct control_handle client, json_t *request)
{
    json_t *refusal = s->serving ? begin(s, &s->explain, client, request)
                                 : control_error("herald is not serving");
    if (refusal)
        control_answer(&s->control, client, refusal);
}

int64_t explain_step(struct explain *explain, int64_t now_ms)
{
    helper_tick(&explain->helper, now_ms);
    return explain->helper.running ? explain->helper.deadline_ms : LOOP_NEVER;
}

void explain_cancel(struct explain *explain)
{
    helper_cancel(&explain->helper);
}

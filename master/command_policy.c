#include "master/command_policy.h"

#include "master/policy_status.h"
#include "master/supervisor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *const COMMAND_POLICY_VERBS[] = {
    "policy-list",   "policy-load",   "policy-use",     "policy-rollback", "policy-canary",
    "policy-shadow", "policy-discard", "push", NULL};

static void refuse(struct supervisor *s, struct control_handle client, const struct fault *fault)
{
    char text[FAULT_WHERE_MAX + FAULT_WHAT_MAX + 16];
    control_answer(&s->control, client,
                   control_error("%s", fault_text(fault, text, sizeof(text))));
}

/* "root" of "root (uid 0, pid 12)". */
static void short_author(const char *author, char name[STORE_AUTHOR_MAX])
{
    size_t length = strcspn(author, "(");
    while (length && author[length - 1] == ' ')
        length--;
    snprintf(name, STORE_AUTHOR_MAX, "%.*s", (int)length, author);
}

/* The version that the request names, when it must name one. Returns 0 or -errno with `fault`. */
static int take_version(const struct supervisor *s, json_t *request, uint32_t *number,
                        struct fault *fault)
{
    const json_t *value = json_object_get(request, "version");
    json_int_t wanted = json_integer_value(value);
    if (!json_is_integer(value) || wanted < 1 || wanted > SEGMENT_VERSION_MOST)
        return fault_set(fault, -EINVAL, NULL, 0, "say which version, such as v14");
    *number = (uint32_t)wanted;
    if (policy_store_find(&s->desk.store, *number))
        return 0;
    return fault_set(fault, -ENOENT, NULL, 0, "there is no version v%u; herald policy list shows "
                     "what there is", *number);
}

static int take_text(json_t *request, const char *key, char *text, size_t size,
                     struct fault *fault)
{
    const char *value = json_string_value(json_object_get(request, key));
    if (value && strlen(value) >= size)
        return fault_set(fault, -E2BIG, NULL, 0, "the %s is longer than %zu bytes", key, size - 1);
    snprintf(text, size, "%s", value ? value : "");
    return 0;
}

static int take_load(json_t *request, struct policy_task *task, struct fault *fault)
{
    task->kind = POLICY_LOAD;
    task->use = json_is_true(json_object_get(request, "use"));
    int rc = take_text(request, "message", task->message, sizeof(task->message), fault);
    if (rc == 0)
        rc = take_text(request, "path", task->path, sizeof(task->path), fault);
    if (rc == 0 && task->path[0] && task->path[0] != '/')
        rc = fault_set(fault, -EINVAL, task->path, 0, "is no absolute path");
    return rc;
}

static int take_canary(const struct supervisor *s, json_t *request, struct policy_task *task,
                       struct fault *fault)
{
    json_int_t permille = json_integer_value(json_object_get(request, "permille"));
    task->kind = POLICY_CANARY;
    if (json_is_true(json_object_get(request, "off")))
        return 0;
    if (permille < 1 || permille > 1000)
        return fault_set(fault, -ERANGE, NULL, 0, "a canary has 0.1 %% to 100 %% of the clients");
    task->permille = (uint32_t)permille;
    return take_version(s, request, &task->number, fault);
}

static int take_task(const struct supervisor *s, const char *verb, json_t *request,
                     struct policy_task *task, struct fault *fault)
{
    if (strcmp(verb, "policy-load") == 0)
        return take_load(request, task, fault);
    if (strcmp(verb, "policy-canary") == 0)
        return take_canary(s, request, task, fault);
    if (strcmp(verb, "policy-rollback") == 0) {
        task->kind = POLICY_ROLLBACK;
        return 0;
    }
    task->kind = strcmp(verb, "policy-use") == 0 ? POLICY_USE : POLICY_SHADOW;
    if (task->kind == POLICY_SHADOW && json_is_true(json_object_get(request, "off")))
        return 0;
    return take_version(s, request, &task->number, fault);
}

static void queue(struct supervisor *s, struct control_handle client, const char *author,
                  const char *verb, json_t *request)
{
    struct policy_task task = {.answers = true, .client = client};
    struct fault fault;
    short_author(author, task.author);
    int rc = take_task(s, verb, request, &task, &fault);
    if (rc == 0 && policy_tasks_add(&s->tasks, &task) < 0)
        rc = fault_set(&fault, -EBUSY, NULL, 0, "too many commands wait already");
    if (rc < 0)
        refuse(s, client, &fault);
}

static void discard(struct supervisor *s, struct control_handle client, json_t *request)
{
    struct fault fault;
    uint32_t number;
    int rc = take_version(s, request, &number, &fault);
    if (rc == 0 && number == s->desk.shipping)
        rc = fault_set(&fault, -EBUSY, NULL, 0, "v%u is being sent to the workers", number);
    if (rc == 0 && number == s->desk.arriving)
        rc = fault_set(&fault, -EBUSY, NULL, 0, "v%u comes with the next generation", number);
    if (rc == 0)
        rc = policy_store_discard(&s->desk.store, number, &fault);
    if (rc < 0) {
        refuse(s, client, &fault);
        return;
    }
    if (s->desk.loaded == number)
        s->desk.loaded = 0;
    desk_trim(&s->desk);
    control_answer(&s->control, client, json_pack("{s:b, s:i}", "ok", 1, "version", (int)number));
}

/* The first name of the site that the operator means, by any of its names. */
static const char *site_named(const struct supervisor *s, const char *name, struct fault *fault)
{
    const struct config *config = s->serving->config;
    const char *names[64 + 1] = {NULL};
    size_t count = 0;
    for (size_t i = 0; i < config->sites_count; i++)
        for (size_t n = 0; n < config->sites[i].names_count; n++) {
            if (strcasecmp(config->sites[i].names[n], name) == 0)
                return config->sites[i].names[0];
            if (count < 64)
                names[count++] = config->sites[i].names[n];
        }
    const char *nearest = fault_nearest(name, names);
    fault_set(fault, -ENOENT, NULL, 0, "there is no site \"%s\"%s%s%s", name,
              nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
    return NULL;
}

static void push(struct supervisor *s, struct control_handle client, const char *author,
                 json_t *request)
{
    char who[STORE_AUTHOR_MAX];
    struct fault fault;
    const json_t *off = json_object_get(request, "off");
    const char *wanted = json_string_value(json_object_get(request, "site"));
    const char *site = wanted ? site_named(s, wanted, &fault) : NULL;
    short_author(author, who);
    int rc = wanted && !site ? -ENOENT : 0;
    if (rc == 0 && !json_is_boolean(off))
        rc = fault_set(&fault, -EINVAL, NULL, 0, "say on or off");
    if (rc == 0)
        rc = desk_push(&s->desk, json_is_true(off), site, who, &fault);
    if (rc < 0) {
        refuse(s, client, &fault);
        return;
    }
    json_t *answer = json_pack("{s:b, s:b, s:b, s:i}", "ok", 1, "off", json_is_true(off),
                               "off_everywhere", s->desk.store.push_off, "off_sites",
                               (int)s->desk.store.sites_off_count);
    if (site)
        json_object_set_new(answer, "site", json_string(site));
    control_answer(&s->control, client, answer);
}

bool command_policy(struct supervisor *s, struct control_handle client, const char *author,
                    const char *verb, json_t *request)
{
    unsigned i = 0;
    while (COMMAND_POLICY_VERBS[i] && strcmp(COMMAND_POLICY_VERBS[i], verb) != 0)
        i++;
    if (!COMMAND_POLICY_VERBS[i])
        return false;
    if (!s->serving || !s->desk.is_open)
        control_answer(&s->control, client, control_error("herald is not serving"));
    else if (strcmp(verb, "policy-list") == 0)
        control_answer(&s->control, client,
                       json_pack("{s:b, s:o}", "ok", 1, "policy", policy_status(&s->desk)));
    else if (strcmp(verb, "policy-discard") == 0)
        discard(s, client, request);
    else if (strcmp(verb, "push") == 0)
        push(s, client, author, request);
    else
        queue(s, client, author, verb, request);
    return true;
}

/* A case of a spec: its policies, and the decision as a worker takes it. */
#include "policy/rehearsal_stage.h"

#include <errno.h>
#include <stdlib.h>

#define PUSH_MAX (1024 * 1024)
#define STREAMS_MAX 32

/* ---- the policies ---- */

static int add_policy(struct stage *stage, const json_t *name, json_t *arguments)
{
    struct config_policy *policy = &stage->policies[stage->route.policies_count];
    if (!json_is_string(name) || stage->route.policies_count == STAGE_POLICIES_MAX)
        return stage_wrong(stage->run, stage->fault, "policies are named by strings, 32 at most",
                           "");
    if (arguments && !json_is_object(arguments) && json_array_size(arguments) > 0)
        return stage_wrong(stage->run, stage->fault, "arguments have names", "");
    policy->name = (char *)(uintptr_t)json_string_value(name);
    policy->arguments =
        json_is_object(arguments) ? json_dumps(arguments, JSON_COMPACT) : strdup("{}");
    policy->file = stage->run->file;
    policy->line = stage->run->line;
    stage->route.policies_count++;
    return policy->arguments ? 0 : -ENOMEM;
}

/* An entry of `policies`: a name, or { name, argument = ... }. */
static int add_entry(struct stage *stage, const json_t *entry)
{
    json_t *items =
        json_is_array(entry) ? (json_t *)(uintptr_t)entry : json_object_get(entry, "items");
    if (json_is_string(entry))
        return add_policy(stage, entry, NULL);
    json_t *arguments = json_is_object(entry) ? json_deep_copy(entry) : NULL;
    json_object_del(arguments, "items");
    int rc = add_policy(stage, json_array_get(items, 0), arguments);
    json_decref(arguments);
    return rc;
}

/* The policy that the spec's own name tells. */
static int add_default(struct stage *stage)
{
    const char *file = stage->run->file;
    size_t length = strlen(file) - strlen(REHEARSAL_ENDING);
    snprintf(stage->default_policy, sizeof(stage->default_policy), "%.*s.lua", (int)length, file);
    if (!bundle_find(stage->run->bundle, span_of(stage->default_policy)).data)
        return fault_set(stage->fault, -EINVAL, file, 1,
                         "there is no policy '%s'; a spec of another one says 'policy = \"...\"'",
                         stage->default_policy);
    json_t *name = json_string(stage->default_policy);
    int rc = add_policy(stage, name, json_object_get(stage->run->spec, "args"));
    stage->policies[0].name = stage->default_policy;
    json_decref(name);
    return rc;
}

static int take_policies(struct stage *stage)
{
    json_t *list = json_object_get(stage->run->spec, "policies");
    json_t *policy = json_object_get(stage->run->spec, "policy");
    json_t *entry;
    size_t i;
    int rc = 0;
    stage->route.prefix = (char *)(uintptr_t) "/";
    stage->route.root_fd = -1;
    stage->route.policies = stage->policies;
    if (policy)
        return add_policy(stage, policy, json_object_get(stage->run->spec, "args"));
    if (!list)
        return add_default(stage);
    json_array_foreach(list, i, entry)
    {
        if (rc == 0)
            rc = add_entry(stage, entry);
    }
    return rc;
}

static void make_site(struct stage *stage)
{
    stage->names[0] = (char *)(uintptr_t) "*";
    stage->site = (struct config_site){.names = stage->names,
                                       .names_count = 1,
                                       .routes = &stage->route,
                                       .routes_count = 1,
                                       .file = stage->run->file,
                                       .line = stage->run->line};
    stage->config = (struct config){
        .path = (char *)(uintptr_t)stage->run->file, .sites = &stage->site, .sites_count = 1};
    stage->config.policy = stage->run->config->policy;
    stage->config.shared = stage->run->config->shared;
    stage->config.shared_count = stage->run->config->shared_count;
    stage_make_host(stage);
}

/* ---- the decision ---- */

/* Fills in what a worker would find out about the candidate's resource. */
static int resolve(struct stage *stage, struct candidate *candidate)
{
    struct stage_run *run = stage->run;
    json_t *file = stage_by_path(run, "files", candidate->path);
    bool all_exist = !json_object_get(run->test, "files") && !json_object_get(run->spec, "files");
    const json_t *size = json_is_object(file) ? json_object_get(file, "size") : file;
    if (candidate->kind == CANDIDATE_PRECONNECT || candidate->verdict != REASON_PENDING)
        return 0;
    if ((!file && !all_exist) || json_is_false(file)) {
        candidate->verdict = REASON_NOT_FOUND;
        return 0;
    }
    candidate->resolved = true;
    candidate->size = STAGE_SIZE_DEFAULT;
    candidate->mime = stage_text(json_object_get(file, "mime"));
    candidate->etag = json_is_string(json_object_get(file, "etag"))
                          ? stage_text(json_object_get(file, "etag"))
                          : SPAN_LITERAL("\"v1\"");
    candidate->cacheable = !json_is_false(json_object_get(file, "cacheable"));
    candidate->has = stage_has(stage, candidate->path);
    if (size && stage_size(size, &candidate->size) < 0)
        return fault_set(stage->fault, -EINVAL, run->file, run->line,
                         "the size of '%.*s' is a number of bytes, or a text like \"64KiB\"",
                         SPAN_PRINT(candidate->path));
    if (candidate->has == CLIENT_HOLDS)
        candidate->verdict = REASON_HELD;
    else if (candidate->has == CLIENT_DECLINED)
        candidate->verdict = REASON_DECLINED;
    else if (!candidate->cacheable)
        candidate->verdict = REASON_NOT_CACHEABLE;
    return 0;
}

static enum reason check_limits(const struct stage *stage, const struct candidate *candidate)
{
    const struct decision *decision = &stage->run->decision;
    if (candidate->size > decision->budget_bytes)
        return REASON_TOO_LARGE;
    if (decision->bytes + candidate->size > decision->budget_bytes)
        return REASON_MAX_BYTES;
    return decision->accepted >= STREAMS_MAX ? REASON_MAX_STREAMS : REASON_PENDING;
}

static void judge(struct stage *stage, struct policy_vm *vm, const struct policy_list *list,
                  struct candidate *candidate)
{
    struct decision *decision = &stage->run->decision;
    const struct client_facts *client = &stage->request.client;
    if (candidate->verdict != REASON_PENDING)
        return;
    if (candidate->kind == CANDIDATE_PRECONNECT) {
        candidate->verdict = REASON_HINTED;
        return;
    }
    if (!client->can_push && !client->can_hints)
        candidate->verdict = REASON_PUSH_DISABLED;
    else if (candidate->kind == CANDIDATE_PUSH && !client->can_hints)
        candidate->verdict = check_limits(stage, candidate);
    if (candidate->verdict != REASON_PENDING)
        return;
    policy_on_push(vm, list, &stage->request, decision, candidate);
    if (candidate->verdict != REASON_PENDING)
        return;
    if (candidate->kind == CANDIDATE_HINT || client->can_hints) {
        candidate->verdict = REASON_HINTED;
        return;
    }
    candidate->verdict = REASON_PUSHED;
    decision->accepted++;
    decision->bytes += candidate->size;
}

/* Judges what no round before this one had. */
static int end_round(struct stage *stage, struct policy_vm *vm, const struct policy_list *list)
{
    struct decision *decision = &stage->run->decision;
    int rc = 0;
    for (unsigned i = stage->judged; i < decision->count && rc == 0; i++)
        rc = resolve(stage, &decision->items[i]);
    for (unsigned i = stage->judged; i < decision->count && rc == 0; i++)
        judge(stage, vm, list, &decision->items[i]);
    stage->judged = decision->count;
    return rc;
}

/* As a worker does: a file's page has one round; an origin's goes out as it is proposed, before the
 * origin answers, and if that is no page the policies are not told. */
static int decide(struct stage *stage, struct policy_vm *vm)
{
    struct decision *decision = &stage->run->decision;
    const struct policy_list *list = policy_vm_list(vm, &stage->site, &stage->route);
    int status = stage->response.status;
    bool early = strcmp(stage->response.from, "origin") == 0;
    int rc = 0;
    policy_vm_trace(vm);
    if (!policy_applies(list, &stage->request))
        return 0;
    policy_on_request(vm, list, &stage->request, decision);
    if (early)
        rc = end_round(stage, vm, list);
    if (rc == 0 && stage->early.links_count) {
        policy_on_response(vm, list, &stage->request, &stage->early, decision);
        rc = end_round(stage, vm, list);
    }
    if (rc == 0 && (!early || status == 200 || status == 304))
        policy_on_response(vm, list, &stage->request, &stage->response, decision);
    if (rc == 0)
        rc = end_round(stage, vm, list);
    policy_request_done(vm, &stage->request);
    return rc;
}

/* A policy's and a proposer's names are the stage's own, and a case is compared after it is gone:
 * they are copied into the decision's text. */
static const char *keep_name(struct decision *decision, const char *name)
{
    struct span copy =
        name ? decision_text(decision, span_make(name, strlen(name) + 1)) : (struct span){0};
    return copy.data;
}

static void keep_names(struct decision *decision)
{
    for (unsigned i = 0; i < decision->count; i++) {
        struct candidate *item = &decision->items[i];
        const char *proposer = keep_name(decision, item->proposer);
        item->proposer = proposer ? proposer : "?";
        item->judge = keep_name(decision, item->judge);
    }
    for (unsigned i = 0; i < decision->notes_count; i++) {
        const char *policy = keep_name(decision, decision->notes[i].policy);
        decision->notes[i].policy = policy ? policy : "?";
    }
}

static int take_budget(struct stage *stage)
{
    json_t *budget = stage_member(stage->run, "push_max");
    stage->run->decision.budget_bytes = PUSH_MAX;
    if (budget && stage_size(budget, &stage->run->decision.budget_bytes) < 0)
        return stage_wrong(stage->run, stage->fault, "push_max is a number of bytes, or \"64KiB\"",
                           "");
    stage->route.push = (struct config_push){.max_streams = STREAMS_MAX,
                                             .max_bytes = stage->run->decision.budget_bytes};
    return 0;
}

static int prepare(struct stage *stage)
{
    int rc = take_policies(stage);
    make_site(stage);
    if (rc == 0)
        rc = stage_take_request(stage);
    if (rc == 0)
        rc = stage_take_client(stage);
    if (rc == 0)
        rc = stage_take_response(stage);
    return rc == 0 ? take_budget(stage) : rc;
}

int stage_run_case(struct stage_run *run, struct fault *fault)
{
    struct policy_vm *vm = NULL;
    struct stage *stage = calloc(1, sizeof(*stage));
    run->logs = json_array();
    run->failures = 0;
    decision_reset(&run->decision);
    if (!stage || !run->logs) {
        free(stage);
        return fault_set(fault, -ENOMEM, run->file, run->line, "memory ran out");
    }
    stage->run = run;
    stage->fault = fault;
    int rc = prepare(stage);
    if (rc == 0)
        rc = policy_vm_create(&stage->config, run->bundle_fd, &stage->host, &vm, fault);
    if (rc == 0)
        rc = decide(stage, vm);
    keep_names(&run->decision);
    policy_vm_destroy(vm);
    for (size_t i = 0; i < stage->route.policies_count; i++)
        free(stage->policies[i].arguments);
    free(stage->assets);
    free(stage->file);
    free(stage);
    return rc;
}

void stage_finish(struct stage_run *run)
{
    json_decref(run->logs);
    run->logs = NULL;
}

/* A case of a spec: its request, client, response and files as policies see them, and the decision
 * as a worker takes it. */
#include "policy/rehearsal_parts.h"

#include "policy/api.h"
#include "policy/assets.h"
#include "policy/policy_vm.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#define FIELDS_MAX 64
#define LINKS_MAX 32
#define POLICIES_MAX 32
#define ASSETS_MAX 256
#define SIZE_DEFAULT 1000
#define PUSH_MAX (1024 * 1024)
#define STREAMS_MAX 32

/* What a case's run needs while it lasts. */
struct stage {
    struct stage_run *run;
    struct config config;
    struct config_site site;
    struct config_route route;
    struct config_policy policies[POLICIES_MAX];
    struct policy_host host;
    struct request request;
    struct response_facts response;
    struct response_facts early; /* the origin's 103; without links: it sends none */
    struct field fields[FIELDS_MAX], response_fields[FIELDS_MAX];
    struct response_link links[LINKS_MAX], early_links[LINKS_MAX];
    unsigned judged; /* candidates of rounds that are over */
    struct span authority;
    char *names[1];
    char default_policy[BUNDLE_NAME_MAX + 1];
    struct assets *assets;
    char *file; /* what read_file last gave */
    struct fault *fault;
};

/* ---- looking into the spec ---- */

json_t *stage_member(const struct stage_run *run, const char *key)
{
    json_t *value = json_object_get(run->test, key);
    return value ? value : json_object_get(run->spec, key);
}

/* A member of `request`, `client` or `response`: the case's, or else the spec's. */
static json_t *part(const struct stage_run *run, const char *table, const char *key)
{
    json_t *value = json_object_get(json_object_get(run->test, table), key);
    return value ? value : json_object_get(json_object_get(run->spec, table), key);
}

static int wrong(const struct stage_run *run, struct fault *fault, const char *what,
                 const char *which)
{
    return fault_set(fault, -EINVAL, run->file, run->line, "%s%s", what, which);
}

static struct span text_of(const json_t *value)
{
    return span_make(json_string_value(value), json_string_length(value));
}

static int take_text(const struct stage *stage, const char *table, const char *key,
                     struct span *text)
{
    json_t *value = part(stage->run, table, key);
    if (value && !json_is_string(value))
        return wrong(stage->run, stage->fault, "this is to be a string: ", key);
    if (value)
        *text = text_of(value);
    return 0;
}

static int take_number(const struct stage *stage, const char *table, const char *key,
                       uint64_t scale, uint64_t *number)
{
    json_t *value = part(stage->run, table, key);
    if (value && (!json_is_number(value) || json_number_value(value) < 0))
        return wrong(stage->run, stage->fault, "this is to be a number: ", key);
    if (value)
        *number = (uint64_t)(json_number_value(value) * (double)scale);
    return 0;
}

static int take_flag(const struct stage *stage, const char *table, const char *key, bool *flag)
{
    json_t *value = part(stage->run, table, key);
    if (value && !json_is_boolean(value))
        return wrong(stage->run, stage->fault, "this is true or false: ", key);
    if (value)
        *flag = json_is_true(value);
    return 0;
}

/* A number of bytes, or a text like "64KiB". */
static int size_of(const json_t *value, uint64_t *bytes)
{
    if (json_is_number(value) && json_number_value(value) >= 0)
        *bytes = (uint64_t)json_number_value(value);
    else if (!json_is_string(value) || config_parse_size(text_of(value), bytes) < 0)
        return -EINVAL;
    return 0;
}

/* ---- the request ---- */

/* Header fields, their names in lower case as HTTP/2 has them. The texts stay the JSON's, whose
 * keys are copied once. */
static int take_fields(struct stage *stage, const char *table, struct field *fields, size_t *count)
{
    json_t *headers = part(stage->run, table, "headers");
    const char *name;
    json_t *value;
    if (headers && !json_is_object(headers) && json_array_size(headers) > 0)
        return wrong(stage->run, stage->fault, "headers is a table of names and values", "");
    json_object_foreach(headers, name, value)
    {
        if (!json_is_string(value))
            return wrong(stage->run, stage->fault, "a header's value is a string: ", name);
        for (const char *at = name; *at; at++)
            if (isupper((unsigned char)*at))
                return wrong(stage->run, stage->fault,
                             "names of headers are in lower case: ", name);
        if (*count == FIELDS_MAX)
            return wrong(stage->run, stage->fault, "more than 64 headers", "");
        fields[(*count)++] = (struct field){span_of(name), text_of(value)};
    }
    return 0;
}

static int take_request(struct stage *stage)
{
    struct request *request = &stage->request;
    struct span target = SPAN_LITERAL("/");
    json_t *whole = stage_member(stage->run, "request");
    int rc = 0;
    if (json_is_string(whole))
        target = text_of(whole);
    else
        rc = take_text(stage, "request", "path", &target);
    *request = (struct request){.id = "00000000000000a1",
                                .method = SPAN_LITERAL("GET"),
                                .scheme = SPAN_LITERAL("https"),
                                .host = SPAN_LITERAL("www.example.com"),
                                .fields = stage->fields,
                                .context = stage};
    if (rc == 0)
        rc = take_text(stage, "request", "method", &request->method);
    if (rc == 0)
        rc = take_text(stage, "request", "scheme", &request->scheme);
    if (rc == 0)
        rc = take_text(stage, "request", "host", &request->host);
    if (rc == 0 && !span_starts(target, SPAN_LITERAL("/")))
        rc = wrong(stage->run, stage->fault, "the request's path begins with '/'", "");
    if (rc == 0)
        rc = take_fields(stage, "request", stage->fields, &request->fields_count);
    request->path = target;
    request->path.length = span_find(target, '?');
    if (request->path.length < target.length)
        request->query = span_after(target, request->path.length + 1);
    for (size_t i = 0; i < request->fields_count; i++)
        request_read_field(request, request->host, &stage->fields[i]);
    if (request->dest == AS_UNKNOWN)
        request->dest = asset_as_of_path(request->path);
    return rc;
}

static int take_identity(struct stage *stage)
{
    static const char *const WORDS[] = {"cookie", "tls", "connection"};
    struct client_facts *client = &stage->request.client;
    struct span id = SPAN_LITERAL("00000000000000c1");
    struct span by = SPAN_LITERAL("cookie");
    unsigned i = 0;
    int rc = take_text(stage, "client", "id", &id);
    if (rc == 0)
        rc = take_text(stage, "client", "identified_by", &by);
    while (i < 3 && !span_equal(by, span_of(WORDS[i])))
        i++;
    if (rc == 0 && i == 3)
        rc = wrong(stage->run, stage->fault,
                   "identified_by is \"cookie\", \"tls\" or \"connection\"", "");
    if (rc == 0 && id.length >= sizeof(client->id))
        rc = wrong(stage->run, stage->fault, "a client's id has at most 19 bytes", "");
    if (rc < 0)
        return rc;
    snprintf(client->id, sizeof(client->id), "%.*s", SPAN_PRINT(id));
    client->identified_by = i == 0 ? IDENTIFY_COOKIE : i == 1 ? IDENTIFY_TLS : IDENTIFY_CONNECTION;
    return 0;
}

static int take_client(struct stage *stage)
{
    struct client_facts *client = &stage->request.client;
    bool push = true, hints = false;
    uint64_t rtt_us = 0, cwnd = 0;
    int rc = take_identity(stage);
    if (rc == 0)
        rc = take_flag(stage, "client", "hints", &hints);
    push = !hints;
    if (rc == 0)
        rc = take_flag(stage, "client", "push", &push);
    if (rc == 0 && push && hints)
        rc = wrong(stage->run, stage->fault, "a client that takes pushes is sent no hints", "");
    if (rc == 0)
        rc = take_number(stage, "client", "rtt_ms", 1000, &rtt_us);
    if (rc == 0)
        rc = take_number(stage, "client", "cwnd_bytes", 1, &cwnd);
    if (rc == 0)
        rc = take_number(stage, "client", "bandwidth_bps", 1, &client->bandwidth_bps);
    client->can_push = push;
    client->can_hints = hints;
    client->rtt_us = (uint32_t)rtt_us;
    client->cwnd_bytes = (uint32_t)cwnd;
    return rc;
}

/* ---- the response ---- */

static int take_link(struct stage *stage, const json_t *value, struct response_link *links,
                     size_t *count)
{
    struct response_link *link = &links[*count];
    if (*count == LINKS_MAX)
        return wrong(stage->run, stage->fault, "more than 32 links", "");
    if (!json_is_string(json_object_get(value, "path")))
        return wrong(stage->run, stage->fault, "a link is a table with a path", "");
    *link = (struct response_link){
        .path = text_of(json_object_get(value, "path")),
        .rel = text_of(json_object_get(value, "rel")),
        .as = asset_as_of(text_of(json_object_get(value, "as"))),
        .fetchpriority = text_of(json_object_get(value, "fetchpriority")),
        .nopush = json_is_true(json_object_get(value, "nopush")),
        .crossorigin = json_is_true(json_object_get(value, "crossorigin")),
    };
    const json_t *own = json_object_get(value, "same_origin");
    link->same_origin = own ? json_is_true(own) : link->path.data[0] == '/';
    if (!link->rel.length)
        link->rel = SPAN_LITERAL("preload");
    ++*count;
    return 0;
}

static int take_links(struct stage *stage, const char *key, struct response_link *links,
                      size_t *count)
{
    json_t *value;
    size_t i;
    int rc = 0;
    json_array_foreach(part(stage->run, "response", key), i, value)
    {
        if (rc == 0)
            rc = take_link(stage, value, links, count);
    }
    return rc;
}

static int take_response(struct stage *stage)
{
    struct response_facts *response = &stage->response;
    uint64_t status = 200, ttl_s = 3600;
    struct span from = SPAN_LITERAL("file");
    *response = (struct response_facts){.mime = SPAN_LITERAL("text/html"),
                                        .size = SIZE_DEFAULT,
                                        .cacheable = true,
                                        .fields = stage->response_fields,
                                        .links = stage->links};
    int rc = take_number(stage, "response", "status", 1, &status);
    if (rc == 0)
        rc = take_text(stage, "response", "mime", &response->mime);
    if (rc == 0)
        rc = take_number(stage, "response", "size", 1, &response->size);
    if (rc == 0)
        rc = take_text(stage, "response", "etag", &response->etag);
    if (rc == 0)
        rc = take_flag(stage, "response", "cacheable", &response->cacheable);
    if (rc == 0)
        rc = take_number(stage, "response", "ttl_s", 1, &ttl_s);
    if (rc == 0)
        rc = take_text(stage, "response", "from", &from);
    if (rc == 0)
        rc = take_fields(stage, "response", stage->response_fields, &response->fields_count);
    stage->early =
        (struct response_facts){.status = 103, .from = "origin", .links = stage->early_links};
    if (rc == 0)
        rc = take_links(stage, "links", stage->links, &response->links_count);
    if (rc == 0)
        rc = take_links(stage, "early", stage->early_links, &stage->early.links_count);
    if (rc == 0 && stage->early.links_count && !span_equal(from, SPAN_LITERAL("origin")))
        rc = wrong(stage->run, stage->fault, "only an origin sends a 103: from = \"origin\"", "");
    response->status = (int)status;
    response->ttl_s = (uint32_t)ttl_s;
    response->from = from.data;
    return rc;
}

/* ---- what the host says ---- */

/* The value for `path` in the table `table`, with or without the slash that it begins with. */
static json_t *by_path(const struct stage_run *run, const char *table, struct span path)
{
    char name[DECISION_PATH_MAX + 2];
    if (path.length > DECISION_PATH_MAX)
        return NULL;
    snprintf(name, sizeof(name), "/%.*s", SPAN_PRINT(path));
    const char *key = path.length && path.data[0] == '/' ? name + 1 : name;
    json_t *value = part(run, table, key);
    return value ? value : part(run, table, key + 1);
}

static bool lists(const struct stage *stage, const char *key, struct span path)
{
    json_t *list = part(stage->run, "client", key);
    json_t *value;
    size_t i;
    json_array_foreach(list, i, value)
    {
        if (span_equal(text_of(value), path))
            return true;
    }
    return false;
}

static enum client_has has(const struct stage *stage, struct span path)
{
    if (lists(stage, "holds", path))
        return CLIENT_HOLDS;
    if (lists(stage, "declined", path))
        return CLIENT_DECLINED;
    return lists(stage, "stale", path) ? CLIENT_STALE : CLIENT_LACKS;
}

static enum client_has host_client_has(void *context, const struct request *request,
                                       struct span path)
{
    (void)request;
    return has(context, path);
}

static struct asset asset_from(const json_t *value)
{
    const json_t *path = json_is_string(value) ? value : json_object_get(value, "path");
    struct span priority = text_of(json_object_get(value, "priority"));
    struct asset asset = {.path = text_of(path),
                          .as = asset_as_of(text_of(json_object_get(value, "as"))),
                          .blocking = json_is_true(json_object_get(value, "blocking")),
                          .crossorigin = json_is_true(json_object_get(value, "crossorigin"))};
    if (asset.as == AS_UNKNOWN)
        asset.as = asset_as_of_path(asset.path);
    asset.priority = span_equal(priority, SPAN_LITERAL("high"))  ? ASSETS_PRIORITY_HIGH
                     : span_equal(priority, SPAN_LITERAL("low")) ? ASSETS_PRIORITY_LOW
                                                                 : ASSETS_PRIORITY_AUTO;
    return asset;
}

static const struct assets *host_assets_of(void *context, const struct request *request,
                                           struct span path)
{
    struct stage *stage = context;
    json_t *list = by_path(stage->run, "assets", path);
    json_t *value;
    size_t i;
    (void)request;
    if (!stage->assets)
        stage->assets = malloc(sizeof(*stage->assets) + ASSETS_MAX * sizeof(struct asset));
    if (!stage->assets || !json_is_array(list))
        return NULL;
    stage->assets->count = 0;
    json_array_foreach(list, i, value)
    {
        struct asset asset = asset_from(value);
        if (asset.path.length && stage->assets->count < ASSETS_MAX)
            stage->assets->items[stage->assets->count++] = asset;
    }
    return stage->assets;
}

static unsigned host_learn_next(void *context, const struct request *request, struct span page,
                                const struct learned_wish *wish, struct policy_learned *items,
                                unsigned room, const char **why)
{
    struct stage *stage = context;
    json_t *value;
    size_t i;
    unsigned count = 0;
    (void)request, (void)wish;
    json_array_foreach(by_path(stage->run, "learned", page), i, value)
    {
        struct asset asset = asset_from(value);
        if (count == room || !asset.path.length || asset.path.length > NAMES_TEXT_MAX)
            continue;
        struct policy_learned *item = &items[count++];
        memcpy(item->text, asset.path.data, asset.path.length);
        item->path = span_make(item->text, asset.path.length);
        item->as = asset.as;
        item->crossorigin = asset.crossorigin;
    }
    *why = "unknown";
    return count;
}

static int host_read_file(void *context, const struct request *request, struct span path,
                          struct span *content, uint64_t *version)
{
    struct stage *stage = context;
    json_t *json = json_object_get(by_path(stage->run, "files", path), "json");
    (void)request;
    if (!json)
        return -ENOENT;
    free(stage->file);
    stage->file = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
    if (!stage->file)
        return -ENOMEM;
    *content = span_of(stage->file);
    *version = 1;
    return 0;
}

static void host_log(void *context, const struct request *request, const char *policy,
                     struct span message, struct span json)
{
    struct stage *stage = context;
    (void)request, (void)policy;
    if (json_array_size(stage->run->logs) < STAGE_LOGS_MAX)
        json_array_append_new(stage->run->logs,
                              json_sprintf("%.*s%s%.*s", SPAN_PRINT(message),
                                           json.length ? " " : "", SPAN_PRINT(json)));
}

static void host_failed(void *context, enum policy_event event, const char *policy,
                        const struct fault *fault)
{
    struct stage *stage = context;
    (void)event, (void)policy;
    if (stage->run->failures++ == 0)
        stage->run->failure = *fault;
}

/* ---- the policies ---- */

static int add_policy(struct stage *stage, const json_t *name, json_t *arguments)
{
    struct config_policy *policy = &stage->policies[stage->route.policies_count];
    if (!json_is_string(name) || stage->route.policies_count == POLICIES_MAX)
        return wrong(stage->run, stage->fault, "policies are named by strings, 32 at most", "");
    if (arguments && !json_is_object(arguments) && json_array_size(arguments) > 0)
        return wrong(stage->run, stage->fault, "arguments have names", "");
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
    stage->host = (struct policy_host){.context = stage,
                                       .client_has = host_client_has,
                                       .assets_of = host_assets_of,
                                       .read_file = host_read_file,
                                       .learn_next = host_learn_next,
                                       .log = host_log,
                                       .failed = host_failed};
}

/* ---- the decision ---- */

/* Fills in what a worker would find out about the candidate's resource. */
static int resolve(struct stage *stage, struct candidate *candidate)
{
    struct stage_run *run = stage->run;
    json_t *file = by_path(run, "files", candidate->path);
    bool all_exist = !json_object_get(run->test, "files") && !json_object_get(run->spec, "files");
    const json_t *size = json_is_object(file) ? json_object_get(file, "size") : file;
    if (candidate->kind == CANDIDATE_PRECONNECT || candidate->verdict != REASON_PENDING)
        return 0;
    if ((!file && !all_exist) || json_is_false(file)) {
        candidate->verdict = REASON_NOT_FOUND;
        return 0;
    }
    candidate->resolved = true;
    candidate->size = SIZE_DEFAULT;
    candidate->mime = text_of(json_object_get(file, "mime"));
    candidate->etag = json_is_string(json_object_get(file, "etag"))
                          ? text_of(json_object_get(file, "etag"))
                          : SPAN_LITERAL("\"v1\"");
    candidate->cacheable = !json_is_false(json_object_get(file, "cacheable"));
    candidate->has = has(stage, candidate->path);
    if (size && size_of(size, &candidate->size) < 0)
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
    if (budget && size_of(budget, &stage->run->decision.budget_bytes) < 0)
        return wrong(stage->run, stage->fault, "push_max is a number of bytes, or \"64KiB\"", "");
    stage->route.push = (struct config_push){.max_streams = STREAMS_MAX,
                                             .max_bytes = stage->run->decision.budget_bytes};
    return 0;
}

static int prepare(struct stage *stage)
{
    int rc = take_policies(stage);
    make_site(stage);
    if (rc == 0)
        rc = take_request(stage);
    if (rc == 0)
        rc = take_client(stage);
    if (rc == 0)
        rc = take_response(stage);
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

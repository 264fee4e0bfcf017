/* What a case says of its request, its client and the response. */
#include "policy/rehearsal_stage.h"

#include <ctype.h>
#include <errno.h>

json_t *stage_member(const struct stage_run *run, const char *key)
{
    json_t *value = json_object_get(run->test, key);
    return value ? value : json_object_get(run->spec, key);
}

/* A member of `request`, `client` or `response`: the case's, or else the spec's. */
json_t *stage_part(const struct stage_run *run, const char *table, const char *key)
{
    json_t *value = json_object_get(json_object_get(run->test, table), key);
    return value ? value : json_object_get(json_object_get(run->spec, table), key);
}

int stage_wrong(const struct stage_run *run, struct fault *fault, const char *what,
                const char *which)
{
    return fault_set(fault, -EINVAL, run->file, run->line, "%s%s", what, which);
}

struct span stage_text(const json_t *value)
{
    return span_make(json_string_value(value), json_string_length(value));
}

static int take_text(const struct stage *stage, const char *table, const char *key,
                     struct span *text)
{
    json_t *value = stage_part(stage->run, table, key);
    if (value && !json_is_string(value))
        return stage_wrong(stage->run, stage->fault, "this is to be a string: ", key);
    if (value)
        *text = stage_text(value);
    return 0;
}

static int take_number(const struct stage *stage, const char *table, const char *key,
                       uint64_t scale, uint64_t *number)
{
    json_t *value = stage_part(stage->run, table, key);
    if (value && (!json_is_number(value) || json_number_value(value) < 0))
        return stage_wrong(stage->run, stage->fault, "this is to be a number: ", key);
    if (value)
        *number = (uint64_t)(json_number_value(value) * (double)scale);
    return 0;
}

static int take_flag(const struct stage *stage, const char *table, const char *key, bool *flag)
{
    json_t *value = stage_part(stage->run, table, key);
    if (value && !json_is_boolean(value))
        return stage_wrong(stage->run, stage->fault, "this is true or false: ", key);
    if (value)
        *flag = json_is_true(value);
    return 0;
}

/* A number of bytes, or a text like "64KiB". */
int stage_size(const json_t *value, uint64_t *bytes)
{
    if (json_is_number(value) && json_number_value(value) >= 0)
        *bytes = (uint64_t)json_number_value(value);
    else if (!json_is_string(value) || config_parse_size(stage_text(value), bytes) < 0)
        return -EINVAL;
    return 0;
}

/* ---- the request ---- */

/* Header fields, their names in lower case as HTTP/2 has them. The texts stay the JSON's, whose
 * keys are copied once. */
static int take_fields(struct stage *stage, const char *table, struct field *fields, size_t *count)
{
    json_t *headers = stage_part(stage->run, table, "headers");
    const char *name;
    json_t *value;
    if (headers && !json_is_object(headers) && json_array_size(headers) > 0)
        return stage_wrong(stage->run, stage->fault, "headers is a table of names and values", "");
    json_object_foreach(headers, name, value)
    {
        if (!json_is_string(value))
            return stage_wrong(stage->run, stage->fault, "a header's value is a string: ", name);
        for (const char *at = name; *at; at++)
            if (isupper((unsigned char)*at))
                return stage_wrong(stage->run, stage->fault,
                                   "names of headers are in lower case: ", name);
        if (*count == STAGE_FIELDS_MAX)
            return stage_wrong(stage->run, stage->fault, "more than 64 headers", "");
        fields[(*count)++] = (struct field){span_of(name), stage_text(value)};
    }
    return 0;
}

int stage_take_request(struct stage *stage)
{
    struct request *request = &stage->request;
    struct span target = SPAN_LITERAL("/");
    json_t *whole = stage_member(stage->run, "request");
    int rc = 0;
    if (json_is_string(whole))
        target = stage_text(whole);
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
        rc = stage_wrong(stage->run, stage->fault, "the request's path begins with '/'", "");
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
        rc = stage_wrong(stage->run, stage->fault,
                         "identified_by is \"cookie\", \"tls\" or \"connection\"", "");
    if (rc == 0 && id.length >= sizeof(client->id))
        rc = stage_wrong(stage->run, stage->fault, "a client's id has at most 19 bytes", "");
    if (rc < 0)
        return rc;
    snprintf(client->id, sizeof(client->id), "%.*s", SPAN_PRINT(id));
    client->identified_by = i == 0 ? IDENTIFY_COOKIE : i == 1 ? IDENTIFY_TLS : IDENTIFY_CONNECTION;
    return 0;
}

int stage_take_client(struct stage *stage)
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
        rc = stage_wrong(stage->run, stage->fault, "a client that takes pushes is sent no hints",
                         "");
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
    if (*count == STAGE_LINKS_MAX)
        return stage_wrong(stage->run, stage->fault, "more than 32 links", "");
    if (!json_is_string(json_object_get(value, "path")))
        return stage_wrong(stage->run, stage->fault, "a link is a table with a path", "");
    *link = (struct response_link){
        .path = stage_text(json_object_get(value, "path")),
        .rel = stage_text(json_object_get(value, "rel")),
        .as = asset_as_of(stage_text(json_object_get(value, "as"))),
        .fetchpriority = stage_text(json_object_get(value, "fetchpriority")),
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
    json_array_foreach(stage_part(stage->run, "response", key), i, value)
    {
        if (rc == 0)
            rc = take_link(stage, value, links, count);
    }
    return rc;
}

int stage_take_response(struct stage *stage)
{
    struct response_facts *response = &stage->response;
    uint64_t status = 200, ttl_s = 3600;
    struct span from = SPAN_LITERAL("file");
    *response = (struct response_facts){.mime = SPAN_LITERAL("text/html"),
                                        .size = STAGE_SIZE_DEFAULT,
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
        rc = stage_wrong(stage->run, stage->fault, "only an origin sends a 103: from = \"origin\"",
                         "");
    response->status = (int)status;
    response->ttl_s = (uint32_t)ttl_s;
    response->from = from.data;
    return rc;
}

/* A worker's side of the policies, as a case says that it would be. */
#include "policy/rehearsal_stage.h"

#include <errno.h>
#include <stdlib.h>

#define ASSETS_MAX 256

/* The value for `path` in the table `table`, with or without the slash that it begins with. */
json_t *stage_by_path(const struct stage_run *run, const char *table, struct span path)
{
    char name[DECISION_PATH_MAX + 2];
    if (path.length > DECISION_PATH_MAX)
        return NULL;
    snprintf(name, sizeof(name), "/%.*s", SPAN_PRINT(path));
    const char *key = path.length && path.data[0] == '/' ? name + 1 : name;
    json_t *value = stage_part(run, table, key);
    return value ? value : stage_part(run, table, key + 1);
}

static bool lists(const struct stage *stage, const char *key, struct span path)
{
    json_t *list = stage_part(stage->run, "client", key);
    json_t *value;
    size_t i;
    json_array_foreach(list, i, value)
    {
        if (span_equal(stage_text(value), path))
            return true;
    }
    return false;
}

enum client_has stage_has(const struct stage *stage, struct span path)
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
    return stage_has(context, path);
}

static struct asset asset_from(const json_t *value)
{
    const json_t *path = json_is_string(value) ? value : json_object_get(value, "path");
    struct span priority = stage_text(json_object_get(value, "priority"));
    struct asset asset = {.path = stage_text(path),
                          .as = asset_as_of(stage_text(json_object_get(value, "as"))),
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
    json_t *list = stage_by_path(stage->run, "assets", path);
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
    json_array_foreach(stage_by_path(stage->run, "learned", page), i, value)
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
    json_t *json = json_object_get(stage_by_path(stage->run, "files", path), "json");
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

void stage_make_host(struct stage *stage)
{
    stage->host = (struct policy_host){.context = stage,
                                       .client_has = host_client_has,
                                       .assets_of = host_assets_of,
                                       .read_file = host_read_file,
                                       .learn_next = host_learn_next,
                                       .log = host_log,
                                       .failed = host_failed};
}

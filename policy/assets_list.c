#include "policy/assets_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint32_t hash_of(const char *path)
{
    uint32_t hash = 2166136261u;

    for (; *path; path++)
        hash = (hash ^ (unsigned char)*path) * 16777619u;
    return hash;
}

static struct assets_found *find(struct assets_list *list, const char *path, uint32_t hash)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].hash == hash && strcmp(list->items[i].path, path) == 0)
            return &list->items[i];
    return NULL;
}

static void merge(struct assets_found *known, const struct assets_found *found)
{
    known->blocking = known->blocking || found->blocking;
    known->crossorigin = known->crossorigin || found->crossorigin;
    known->module = known->module || found->module;
    if (known->priority == ASSETS_PRIORITY_AUTO)
        known->priority = found->priority;
}

int assets_list_add(struct assets_list *list, const char *path, const struct assets_found *found)
{
    uint32_t hash = hash_of(path);
    struct assets_found *known = find(list, path, hash);

    if (known) {
        merge(known, found);
        return 0;
    }
    if (list->count == ASSETS_MAX) {
        list->turned_away = true;
        return 0;
    }
    struct assets_found *item = &list->items[list->count];
    *item = *found;
    item->hash = hash;
    item->sequence = (uint32_t)list->count;
    item->path = strdup(path);
    if (!item->path)
        return -ENOMEM;
    list->count++;
    return 0;
}

void assets_list_finish(struct assets_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].path);
    list->count = 0;
}

static int compare(const void *left, const void *right)
{
    const struct assets_found *a = left;
    const struct assets_found *b = right;

    if (a->blocking != b->blocking)
        return a->blocking ? -1 : 1;
    if (a->position != b->position)
        return a->position > b->position ? 1 : -1;
    return (a->sequence > b->sequence) - (a->sequence < b->sequence);
}

struct assets *assets_list_result(struct assets_list *list)
{
    size_t bytes = sizeof(struct assets) + list->count * sizeof(struct asset);
    size_t text = 0;

    for (size_t i = 0; i < list->count; i++)
        text += strlen(list->items[i].path) + 1;
    struct assets *assets = malloc(bytes + text);
    if (!assets)
        return NULL;
    char *at = (char *)assets + bytes;
    qsort(list->items, list->count, sizeof(*list->items), compare);
    assets->count = list->count;
    for (size_t i = 0; i < list->count; i++) {
        const struct assets_found *found = &list->items[i];
        size_t length = strlen(found->path);
        memcpy(at, found->path, length + 1);
        assets->items[i] = (struct asset){
            .path = span_make(at, length),
            .as = found->as,
            .priority = found->priority,
            .blocking = found->blocking,
            .crossorigin = found->crossorigin,
            .module = found->module,
        };
        at += length + 1;
    }
    return assets;
}

void assets_destroy(struct assets *assets)
{
    free(assets);
}

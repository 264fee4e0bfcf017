#include "worker/header_list.h"

#include <stdlib.h>
#include <string.h>

#define LISTS_KEPT 256 /* free header lists kept by the worker */

struct header_list *header_list_take(struct header_pool *pool)
{
    struct header_list *list = pool->free;
    if (list) {
        pool->free = list->next_free;
        pool->count--;
    } else {
        list = malloc(sizeof(*list) + pool->texts_size);
        if (!list)
            return NULL;
        memset(header_list_texts(list), 0, pool->texts_size);
    }
    memset(list, 0, offsetof(struct header_list, inline_fields));
    list->pool = pool;
    list->fields = list->inline_fields;
    list->room = HEADER_FIELDS_INLINE;
    return list;
}

void header_list_release(struct header_list *list)
{
    if (!list)
        return;
    struct header_pool *pool = list->pool;
    pool->let_go(list);
    if (list->fields != list->inline_fields)
        free(list->fields);
    if (pool->count >= LISTS_KEPT) {
        free(list);
        return;
    }
    list->next_free = pool->free;
    pool->free = list;
    pool->count++;
}

bool header_list_grow(struct header_list *list, uint64_t fields_max)
{
    struct field *fields = malloc(fields_max * sizeof(*fields));
    if (!fields)
        return false;
    memcpy(fields, list->fields, list->count * sizeof(*fields));
    if (list->fields != list->inline_fields)
        free(list->fields);
    list->fields = fields;
    list->room = (unsigned)fields_max;
    return true;
}

void header_pool_finish(struct header_pool *pool)
{
    while (pool->free) {
        struct header_list *list = pool->free;
        pool->free = list->next_free;
        free(list);
    }
}

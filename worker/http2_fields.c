#include "worker/http2_internal.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>

#define LISTS_KEPT 256 /* free header lists kept by the worker */

struct header_list *header_list_take(struct header_pool *pool)
{
    struct header_list *list = pool->free;
    if (list) {
        pool->free = list->next_free;
        pool->count--;
    } else {
        list = malloc(sizeof(*list));
        if (!list)
            return NULL;
    }
    memset(list, 0, offsetof(struct header_list, inline_fields));
    list->fields = list->inline_fields;
    list->owners = list->inline_owners;
    list->room = HTTP2_FIELDS_INLINE;
    return list;
}

void header_list_give(struct header_pool *pool, struct header_list *list)
{
    if (!list)
        return;
    for (unsigned i = 0; i < list->owners_count; i++)
        nghttp2_rcbuf_decref(list->owners[i]);
    if (list->fields != list->inline_fields) {
        free(list->fields);
        free(list->owners);
    }
    if (pool->count >= LISTS_KEPT) {
        free(list);
        return;
    }
    list->next_free = pool->free;
    pool->free = list;
    pool->count++;
}

/* Moves the list to the heap, once, at the full size that the limit allows. */
static bool header_list_grow(struct header_list *list, uint64_t fields_max)
{
    struct field *fields = malloc(fields_max * sizeof(*fields));
    struct nghttp2_rcbuf **owners = malloc((2 * fields_max + 12) * sizeof(struct nghttp2_rcbuf *));
    if (!fields || !owners) {
        free(fields);
        free(owners);
        return false;
    }
    memcpy(fields, list->fields, list->count * sizeof(*fields));
    memcpy(owners, list->owners, list->owners_count * sizeof(struct nghttp2_rcbuf *));
    list->fields = fields;
    list->owners = owners;
    list->room = (unsigned)fields_max;
    return true;
}

static struct span span_of_rcbuf(nghttp2_rcbuf *buffer)
{
    nghttp2_vec vec = nghttp2_rcbuf_get_buf(buffer);
    return (struct span){(const char *)vec.base, vec.len};
}

/* Keeps a text that lives in nghttp2's table or was decoded for this field. */
static void own(struct header_list *list, nghttp2_rcbuf *buffer)
{
    nghttp2_rcbuf_incref(buffer);
    list->owners[list->owners_count++] = buffer;
}

static struct span *pseudo_field(struct header_list *list, struct span name)
{
    switch (name.length > 1 ? name.data[1] : 0) {
    case 'm':
        return &list->method;
    case 's':
        return &list->scheme;
    case 'a':
        return &list->authority;
    case 'p':
        return name.length == 5 ? &list->target : NULL; /* not :protocol */
    default:
        return NULL;
    }
}

void header_list_add(struct header_list *list, const struct config_limits *limits,
                     struct nghttp2_rcbuf *name_buffer, struct nghttp2_rcbuf *value_buffer)
{
    struct span name = span_of_rcbuf(name_buffer);
    struct span value = span_of_rcbuf(value_buffer);
    list->seen++;
    list->bytes += name.length + value.length + 32;
    if (list->seen > limits->header_fields || list->bytes > limits->header_bytes)
        list->too_large = true;
    if (list->too_large)
        return;
    if (name.length && name.data[0] == ':') {
        struct span *pseudo = pseudo_field(list, name);
        if (pseudo && !pseudo->data) {
            *pseudo = value;
            own(list, value_buffer);
        }
        return;
    }
    if (list->count == list->room && !header_list_grow(list, limits->header_fields)) {
        list->too_large = true;
        return;
    }
    if (!list->host.data && span_equal(name, SPAN_LITERAL("host")))
        list->host = value;
    list->fields[list->count++] = (struct field){name, value};
    if (!nghttp2_rcbuf_is_static(name_buffer))
        own(list, name_buffer);
    own(list, value_buffer);
}

void header_pool_finish(struct header_pool *pool)
{
    while (pool->free) {
        struct header_list *list = pool->free;
        pool->free = list->next_free;
        free(list);
    }
}

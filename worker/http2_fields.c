#include "worker/http2_internal.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

#define OWNERS_APART 12 /* more than the pseudo-fields of any request that nghttp2 takes */

/* nghttp2's own reference-counted texts of a list, behind it. */
struct texts {
    unsigned count;
    nghttp2_rcbuf **heap; /* NULL while `owners` is enough */
    nghttp2_rcbuf *owners[2 * HEADER_FIELDS_INLINE + OWNERS_APART];
};

static void let_go(struct header_list *list)
{
    struct texts *texts = header_list_texts(list);
    nghttp2_rcbuf **owners = texts->heap ? texts->heap : texts->owners;
    for (unsigned i = 0; i < texts->count; i++)
        nghttp2_rcbuf_decref(owners[i]);
    free(texts->heap);
    texts->heap = NULL;
    texts->count = 0;
}

void http2_fields_init(struct header_pool *pool)
{
    *pool = (struct header_pool){.texts_size = sizeof(struct texts), .let_go = let_go};
}

/* Moves the list to the heap, once, at the full size that the limit allows. */
static bool grow(struct header_list *list, uint64_t fields_max)
{
    struct texts *texts = header_list_texts(list);
    texts->heap = malloc((2 * fields_max + OWNERS_APART) * sizeof(nghttp2_rcbuf *));
    if (!texts->heap || !header_list_grow(list, fields_max)) {
        free(texts->heap);
        texts->heap = NULL;
        return false;
    }
    memcpy(texts->heap, texts->owners, texts->count * sizeof(nghttp2_rcbuf *));
    return true;
}

/* Keeps a text that lives in nghttp2's table or was decoded for this field. */
static void own(struct texts *texts, nghttp2_rcbuf *buffer)
{
    nghttp2_rcbuf **owners = texts->heap ? texts->heap : texts->owners;
    nghttp2_rcbuf_incref(buffer);
    owners[texts->count++] = buffer;
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

void http2_fields_add(struct header_list *list, const struct config_limits *limits,
                      const struct http2_text *name, const struct http2_text *value)
{
    struct texts *texts = header_list_texts(list);
    if (!header_list_count(list, limits, name->text.length + value->text.length))
        return;
    if (name->text.length && name->text.data[0] == ':') {
        struct span *pseudo = pseudo_field(list, name->text);
        if (pseudo && !pseudo->data) {
            *pseudo = value->text;
            own(texts, value->owner);
        }
        return;
    }
    if (list->count == list->room && !grow(list, limits->header_fields)) {
        list->too_large = true;
        return;
    }
    header_list_store(list, name->text, value->text);
    if (!nghttp2_rcbuf_is_static(name->owner))
        own(texts, name->owner);
    own(texts, value->owner);
}

/* ---- going out ---- */

#define NO_COPY (NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE)

nghttp2_nv http2_nv_make(struct span name, struct span value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name.data,
                        value.length ? (uint8_t *)(uintptr_t)value.data : (uint8_t *)(uintptr_t) "",
                        name.length, value.length, NO_COPY};
}

size_t http2_nv_fill(nghttp2_nv *nva, size_t at, size_t room, const struct field *fields,
                     size_t count)
{
    for (size_t i = 0; i < count && at < room; i++)
        nva[at++] = http2_nv_make(fields[i].name, fields[i].value);
    return at;
}

/* The common statuses are static text; others are copied by nghttp2. */
nghttp2_nv http2_nv_status(int status, char *digits)
{
    switch (status) {
    case 200:
        return http2_nv_make(SPAN_LITERAL(":status"), SPAN_LITERAL("200"));
    case 304:
        return http2_nv_make(SPAN_LITERAL(":status"), SPAN_LITERAL("304"));
    default:
        snprintf(digits, 4, "%03d", status);
        nghttp2_nv nv = http2_nv_make(SPAN_LITERAL(":status"), span_make(digits, 3));
        nv.flags = NGHTTP2_NV_FLAG_NO_COPY_NAME;
        return nv;
    }
}

/* Resources made of what an origin answered: one block each, but for the content. */
#include "worker/cache_parts.h"

#include "worker/http_date.h"
#include "worker/respond.h"
#include "worker/respond_parts.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

struct block {
    struct resource resource;
    struct origin_answer origin;
    struct field fields[]; /* then the texts */
};

/* Where texts are put, one after another. */
static struct span keep(char **at, struct span text)
{
    char *copy = *at;
    if (text.length)
        memcpy(copy, text.data, text.length);
    copy[text.length] = '\0';
    *at += text.length + 1;
    return span_make(copy, text.length);
}

static bool has_content(int status)
{
    return status != 204 && status != 304;
}

static void set_length(struct representation *representation, uint64_t size)
{
    int length = snprintf(representation->length_digits, sizeof(representation->length_digits),
                          "%llu", (unsigned long long)size);
    representation->size = size;
    representation->length_text = span_make(representation->length_digits, (size_t)length);
}

/* What tells one version from the next: the origin's tag, else its date, else the content. */
static uint64_t validator_of(struct span etag, struct span modified, const struct growth *growth)
{
    if (etag.length)
        return content_hash(etag.data, etag.length);
    if (modified.length)
        return content_hash(modified.data, modified.length);
    return growth_is_whole(growth) ? content_hash(growth->bytes, (size_t)growth->filled) : 0;
}

/* The fields of `block`, with a content-length of ours in the first place when it is known, and a
 * Date in the last when the origin said none. */
static void take_fields(struct block *block, const struct field *fields, size_t count, time_t now_s,
                        char **text)
{
    struct representation *representation = &block->resource.codings[CODING_IDENTITY];
    char date[HTTP_DATE_LENGTH + 1];
    unsigned used = 0;
    bool dated = false;
    if (!block->origin.unbounded && has_content(block->origin.status))
        block->fields[used++] =
            (struct field){SPAN_LITERAL("content-length"), representation->length_text};
    for (size_t i = 0; i < count; i++) {
        if (cache_leaves_out(fields[i].name))
            continue;
        dated |= span_equal(fields[i].name, SPAN_LITERAL("date"));
        block->fields[used].name = keep(text, fields[i].name);
        block->fields[used++].value = keep(text, fields[i].value);
    }
    if (!dated) {
        http_date_format(now_s, date);
        block->fields[used++] = (struct field){SPAN_LITERAL("date"), keep(text, span_of(date))};
    }
    representation->fields = block->fields;
    representation->fields_count = used;
}

static void describe(struct block *block, struct growth *growth)
{
    struct resource *resource = &block->resource;
    struct representation *representation = &resource->codings[CODING_IDENTITY];
    const struct field *fields = representation->fields;
    unsigned count = representation->fields_count;
    struct span type = field_find(fields, count, SPAN_LITERAL("content-type"));
    struct span modified = field_find(fields, count, SPAN_LITERAL("last-modified"));
    resource->mime = type.length ? type.data : "";
    resource->as = asset_as_of_path(resource->path);
    representation->etag = field_find(fields, count, SPAN_LITERAL("etag"));
    if (!http_date_parse(span_trim(modified), &resource->modified))
        resource->modified = -1;
    for (unsigned i = 0; i < count; i++)
        block->origin.varies |= span_equal(fields[i].name, SPAN_LITERAL("vary")) &&
                                vary_is_more_than_coding(fields[i].value);
    resource->validator = validator_of(representation->etag, modified, growth);
    representation->hash = resource->validator;
}

struct resource *cache_resource_create(struct span target, const struct origin_answer *origin,
                                       const struct field *fields, size_t count,
                                       struct growth *growth, time_t now_s)
{
    size_t size = target.length + 1 + HTTP_DATE_LENGTH + 1;
    for (size_t i = 0; i < count; i++)
        size += fields[i].name.length + fields[i].value.length + 2;
    struct block *block = calloc(1, sizeof(*block) + (count + 2) * sizeof(struct field) + size);
    if (!block)
        return NULL;
    struct resource *resource = &block->resource;
    struct representation *representation = &resource->codings[CODING_IDENTITY];
    char *text = (char *)&block->fields[count + 2];
    struct span path, query;
    resource->references = 1;
    for (unsigned i = 0; i < CODINGS; i++) {
        resource->codings[i].coding = (enum content_coding)i;
        resource->codings[i].fd = -1;
    }
    if (respond_path(target, text, &path, &query) < 0)
        path = span_make(text, 0);
    text[path.length] = '\0';
    text += path.length + 1;
    resource->path = path;
    block->origin = *origin;
    block->origin.growth = growth_hold(growth);
    block->origin.unbounded = growth->length == GROWTH_UNKNOWN && !growth_is_whole(growth);
    resource->origin = &block->origin;
    representation->exists = true;
    if (!block->origin.unbounded)
        set_length(representation, growth_is_whole(growth) ? growth->filled : growth->length);
    if (growth_is_whole(growth))
        representation->body = growth->bytes;
    take_fields(block, fields, count, now_s, &text);
    describe(block, growth);
    return resource;
}

/* What a 304 must not change: it describes the content, which stays as it was (RFC 9111 3.2). */
static bool stays(struct span name)
{
    return cache_leaves_out(name) || span_equal(name, SPAN_LITERAL("content-encoding")) ||
           span_equal(name, SPAN_LITERAL("content-type")) ||
           span_equal(name, SPAN_LITERAL("content-range"));
}

struct resource *cache_resource_refresh(const struct resource *old, const struct field *fields,
                                        size_t count, time_t now_s)
{
    const struct representation *known = &old->codings[CODING_IDENTITY];
    char path[CACHE_KEY_MAX];
    struct field *merged = malloc((known->fields_count + count) * sizeof(*merged) + 1);
    size_t used = 0;
    if (!merged)
        return NULL;
    for (unsigned i = 0; i < known->fields_count; i++) {
        struct span name = known->fields[i].name;
        if (stays(name) || !field_find(fields, count, name).data)
            merged[used++] = known->fields[i];
    }
    for (size_t i = 0; i < count; i++)
        if (!stays(fields[i].name))
            merged[used++] = fields[i];
    size_t length = respond_path_encode(old->path, path, sizeof(path));
    struct resource *resource = cache_resource_create(span_make(path, length), old->origin, merged,
                                                      used, old->origin->growth, now_s);
    free(merged);
    return resource;
}

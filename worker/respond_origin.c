/* Answers from what an origin said, which a cache keeps. (RFC 9110, RFC 9111) */
#include "worker/respond_parts.h"
#include "worker/timer.h"

#include <assert.h>

#define FIELDS_BESIDE 8 /* Age, Content-Range, and what the caller adds */

uint32_t origin_age(const struct origin_answer *origin)
{
    uint64_t now = timer_clock_coarse_ms();
    uint64_t here_s = now > origin->received_ms ? (now - origin->received_ms) / 1000 : 0;
    uint64_t age_s = here_s + origin->initial_age_s;
    return age_s < UINT32_MAX ? (uint32_t)age_s : UINT32_MAX;
}

uint32_t origin_client_ttl(const struct origin_answer *origin)
{
    uint32_t age_s = origin_age(origin);
    return age_s < origin->client_life_s ? origin->client_life_s - age_s : 0;
}

unsigned respond_fields_needed(const struct resource *resource)
{
    unsigned count = resource->codings[CODING_IDENTITY].fields_count + FIELDS_BESIDE;
    return resource->origin && count > RESPOND_FIELDS_MAX ? count : 0;
}

static void begin(struct response *response, const struct resource *resource, int status)
{
    unsigned needed = respond_fields_needed(resource);
    respond_begin(response, status);
    assert(response->long_room >= needed);
    if (needed) {
        response->fields = response->long_fields;
        response->fields_room = response->long_room;
    }
}

static void add_age(struct response *response, const struct resource *resource)
{
    respond_add(response, SPAN_LITERAL("age"),
                respond_format(response, "%u", origin_age(resource->origin)));
    response->cacheable = true;
    response->ttl_s = origin_client_ttl(resource->origin);
}

static void respond_whole(struct response *response, const struct resource *resource)
{
    const struct representation *representation = &resource->codings[CODING_IDENTITY];
    begin(response, resource, resource->origin->status);
    memcpy(response->fields, representation->fields,
           representation->fields_count * sizeof(struct field));
    response->fields_count = representation->fields_count;
    response->body = representation;
    response->length = representation->size;
    response->unbounded = resource->origin->unbounded;
    add_age(response, resource);
}

static void respond_part(struct response *response, const struct resource *resource,
                         uint64_t offset, uint64_t length)
{
    const struct representation *representation = &resource->codings[CODING_IDENTITY];
    respond_whole(response, resource);
    response->status = 206;
    response->offset = offset;
    response->length = length;
    response->fields[REPRESENTATION_LENGTH_FIELD].value =
        respond_format(response, "%llu", (unsigned long long)length);
    respond_add(response, SPAN_LITERAL("content-range"),
                respond_format(response, "bytes %llu-%llu/%.*s", (unsigned long long)offset,
                               (unsigned long long)(offset + length - 1),
                               SPAN_PRINT(representation->length_text)));
}

/* What a 304 has to say again (RFC 9110 15.4.5); the date of the last change only where no tag
 * tells versions apart. */
static bool says_again(struct span name, bool tagged)
{
    static const struct span NAMES[] = {
        SPAN_LITERAL("cache-control"), SPAN_LITERAL("content-location"), SPAN_LITERAL("date"),
        SPAN_LITERAL("etag"),          SPAN_LITERAL("expires"),          SPAN_LITERAL("vary")};
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++)
        if (span_equal(name, NAMES[i]))
            return true;
    return !tagged && span_equal(name, SPAN_LITERAL("last-modified"));
}

static void respond_not_modified(struct response *response, const struct resource *resource)
{
    const struct representation *representation = &resource->codings[CODING_IDENTITY];
    begin(response, resource, 304);
    for (unsigned i = 0; i < representation->fields_count; i++) {
        const struct field *field = &representation->fields[i];
        if (says_again(field->name, representation->etag.length > 0))
            respond_add(response, field->name, field->value);
    }
    add_age(response, resource);
}

/* Parts are cut from what is there as a whole. */
static void respond_get(struct response *response, const struct request *request,
                        const struct asked *asked, const struct resource *resource)
{
    const struct representation *representation = &resource->codings[CODING_IDENTITY];
    uint64_t offset = 0, length = 0;
    enum byte_range range =
        asked->range.count && representation->body
            ? evaluate_range(asked, representation, resource->modified, &offset, &length)
            : RANGE_WHOLE;
    if (range == RANGE_PART)
        respond_part(response, resource, offset, length);
    else if (range == RANGE_UNSATISFIABLE)
        respond_unsatisfiable(response, request, representation);
    else
        respond_whole(response, resource);
}

void respond_origin(struct response *response, const struct request *request,
                    const struct asked *asked, const struct resource *resource, bool head)
{
    enum precondition precondition = PRECONDITION_TRUE;
    if (resource->origin->status == 200)
        precondition = evaluate_preconditions(request, asked, &resource->codings[CODING_IDENTITY],
                                              resource->modified);
    if (precondition == PRECONDITION_FAILED) {
        respond_error(response, request, 412);
    } else if (precondition == PRECONDITION_NOT_MODIFIED) {
        respond_not_modified(response, resource);
    } else if (head || resource->origin->status != 200) {
        respond_whole(response, resource);
        if (head) {
            response->length = 0;
            response->unbounded = false;
        }
    } else {
        respond_get(response, request, asked, resource);
    }
}

#include "worker/respond.h"

#include "worker/http_date.h"
#include "worker/http_status.h"
#include "worker/respond_parts.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

void respond_add(struct response *response, struct span name, struct span value)
{
    assert(response->fields_count < response->fields_room);
    response->fields[response->fields_count++] = (struct field){name, value};
}

void respond_begin(struct response *response, int status)
{
    response->status = status;
    response->fields = response->inline_fields;
    response->fields_room = RESPOND_FIELDS_MAX;
    response->fields_count = 0;
    response->body = NULL;
    response->source = NULL;
    response->offset = response->length = 0;
    response->text = (struct span){NULL, 0};
    response->cacheable = false;
    response->ttl_s = 0;
    response->scratch_used = 0;
    response->unbounded = false;
}

/* Formats into the scratch, which has room for all that is ever put there. */
struct span respond_format(struct response *response, const char *form, ...)
{
    va_list arguments;
    char *at = response->scratch + response->scratch_used;
    size_t room = sizeof(response->scratch) - response->scratch_used;
    va_start(arguments, form);
    int length = vsnprintf(at, room, form, arguments);
    va_end(arguments);
    assert(length >= 0 && (size_t)length < room);
    response->scratch_used += (unsigned)length;
    return span_make(at, (size_t)length);
}

static bool is_head(const struct request *request)
{
    return span_equal(request->method, SPAN_LITERAL("HEAD"));
}

/* The status for a person to read, as the content. */
static void add_text(struct response *response, const struct request *request)
{
    struct span text = respond_format(response, "%d %s\n", response->status, http_status_reason(response->status));
    respond_add(response, SPAN_LITERAL("content-length"), respond_format(response, "%zu", text.length));
    respond_add(response, SPAN_LITERAL("content-type"), SPAN_LITERAL("text/plain"));
    if (is_head(request))
        return;
    response->text = text;
    response->length = text.length;
}

void respond_error(struct response *response, const struct request *request, int status)
{
    respond_begin(response, status);
    add_text(response, request);
    respond_add(response, SPAN_LITERAL("date"), http_date_now());
}

void respond_status(struct response *response, const struct request *request, int status,
                    struct span location)
{
    respond_error(response, request, status);
    if (location.length)
        respond_add(response, SPAN_LITERAL("location"), location);
    if (status == 405)
        respond_add(response, SPAN_LITERAL("allow"), SPAN_LITERAL("GET, HEAD"));
}

static void add_vary(struct response *response)
{
    respond_add(response, SPAN_LITERAL("vary"), SPAN_LITERAL("accept-encoding"));
}

/* Date, and what the route says about caching. */
static void add_common(struct response *response, const struct config_site *site,
                       const struct config_route *route)
{
    struct span cache_control = span_of(route->cache_control);
    if (cache_control.length)
        respond_add(response, SPAN_LITERAL("cache-control"), cache_control);
    respond_add(response, SPAN_LITERAL("date"), http_date_now());
    struct cache_directives directives;
    response->ttl_s = respond_file_freshness(site, route, &directives);
    response->cacheable = !directives.no_store;
}

/* RFC 9110 15.4.5: what a cache needs to go on with what it has; the etag makes the modification
 * date needless. */
static void respond_not_modified(struct response *response, const struct config_site *site,
                                 const struct config_route *route, const struct resource *resource,
                                 const struct representation *representation)
{
    respond_begin(response, 304);
    respond_add(response, SPAN_LITERAL("etag"), representation->etag);
    if (resource->any_coded)
        add_vary(response);
    add_common(response, site, route);
}

static void respond_whole(struct response *response, const struct config_site *site,
                          const struct config_route *route,
                          const struct representation *representation)
{
    respond_begin(response, 200);
    memcpy(response->fields, representation->fields,
           representation->fields_count * sizeof(struct field));
    response->fields_count = representation->fields_count;
    response->body = representation;
    response->length = representation->size;
    add_common(response, site, route);
}

static void respond_part(struct response *response, const struct config_site *site,
                         const struct config_route *route,
                         const struct representation *representation, uint64_t offset,
                         uint64_t length)
{
    respond_whole(response, site, route, representation);
    response->status = 206;
    response->offset = offset;
    response->length = length;
    response->fields[REPRESENTATION_LENGTH_FIELD].value =
        respond_format(response, "%llu", (unsigned long long)length);
    respond_add(response, SPAN_LITERAL("content-range"),
        respond_format(response, "bytes %llu-%llu/%.*s", (unsigned long long)offset,
               (unsigned long long)(offset + length - 1), SPAN_PRINT(representation->length_text)));
}

void respond_unsatisfiable(struct response *response, const struct request *request,
                                  const struct representation *representation)
{
    respond_error(response, request, 416);
    respond_add(response, SPAN_LITERAL("content-range"),
        respond_format(response, "bytes */%.*s", SPAN_PRINT(representation->length_text)));
}

static void respond_get(struct response *response, const struct request *request,
                        const struct asked *asked, const struct config_site *site,
                        const struct config_route *route, const struct resource *resource,
                        const struct representation *representation)
{
    uint64_t offset = 0, length = 0;
    enum byte_range range =
        asked->range.count
            ? evaluate_range(asked, representation, resource->modified, &offset, &length)
            : RANGE_WHOLE;
    if (range == RANGE_PART)
        respond_part(response, site, route, representation, offset, length);
    else if (range == RANGE_UNSATISFIABLE)
        respond_unsatisfiable(response, request, representation);
    else
        respond_whole(response, site, route, representation);
}

void respond_resource(struct response *response, const struct request *request,
                      const struct config_site *site, const struct config_route *route,
                      const struct resource *resource)
{
    struct asked asked;
    bool head = is_head(request);
    if (!head && !span_equal(request->method, SPAN_LITERAL("GET"))) {
        respond_status(response, request, 405, (struct span){NULL, 0});
        return;
    }
    asked_collect(&asked, request);
    if (resource->origin) {
        respond_origin(response, request, &asked, resource, head);
        return;
    }
    enum content_coding coding = choose_coding(resource, request->fields, &asked.accept_encoding);
    if (coding == CODINGS) {
        respond_error(response, request, 406);
        add_vary(response);
        return;
    }
    const struct representation *representation = &resource->codings[coding];
    switch (evaluate_preconditions(request, &asked, representation, resource->modified)) {
    case PRECONDITION_FAILED:
        respond_error(response, request, 412);
        return;
    case PRECONDITION_NOT_MODIFIED:
        respond_not_modified(response, site, route, resource, representation);
        return;
    case PRECONDITION_TRUE:
        break;
    }
    if (head) {
        respond_whole(response, site, route, representation);
        response->length = 0;
    } else {
        respond_get(response, request, &asked, site, route, resource, representation);
    }
}

/* A target's path, and the answer to any header fields for a made-up resource. The first line is
 * the target, the others are values of the fields named below, each behind its index as a digit. */
#include "tests/fuzz/input.h"

#include "worker/content_parts.h"
#include "worker/respond.h"

static const char *const NAMES[] = {"range",         "if-match",          "if-none-match",
                                    "if-range",      "if-modified-since", "if-unmodified-since",
                                    "cache-control", "accept-encoding"};

static struct resource *make_resource(void)
{
    static const char *const CONTENT[CODINGS] = {[CODING_BROTLI] = "br.", [CODING_GZIP] = "gzip..",
                                                 [CODING_IDENTITY] = "0123456789"};
    struct resource *resource = resource_create(SPAN_LITERAL("/a.css"));
    static struct mime *mime; /* lives as long as what it names */
    mime = mime_create("/dev/null");
    for (unsigned i = 0; i < CODINGS; i++) {
        if (!CONTENT[i])
            continue;
        struct representation *representation = &resource->codings[i];
        representation->exists = true;
        representation->size = strlen(CONTENT[i]);
        representation->body = (uint8_t *)strdup(CONTENT[i]);
        representation->stamp = (struct content_stamp){.inode = 1, .modified_s = 784111777};
    }
    resource_complete(resource, mime, SPAN_LITERAL("a.css"));
    return resource;
}

static void check_path(struct span target)
{
    char *decoded = malloc(target.length + 1);
    char *encoded = malloc(3 * target.length + 1);
    char *again = malloc(3 * target.length + 1);
    struct span path, query, second;
    if (respond_path(target, decoded, &path, &query) == 0) {
        MUST(path.length && path.data[0] == '/' && span_find(path, 0) == path.length);
        size_t length = respond_path_encode(path, encoded, 3 * target.length + 1);
        MUST(respond_path(span_make(encoded, length), again, &second, &query) == 0);
        MUST(span_equal(path, second) && query.length == 0);
    }
    free(decoded), free(encoded), free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char cache_control[] = "public, max-age=600";
    static const struct config_site site = {.heuristic_s = 300};
    static const struct config_route route = {.cache_control = cache_control};
    static struct resource *resource;
    struct input input = input_make(data, size);
    struct field fields[16];
    struct request request = {.method = SPAN_LITERAL("GET"), .path = SPAN_LITERAL("/a.css"),
                              .fields = fields};
    struct response response;
    if (!resource)
        resource = make_resource();
    check_path(input_line(&input));
    while (input.rest.length && request.fields_count < 16) {
        const char *name = NAMES[input_byte(&input) % 8];
        fields[request.fields_count++] = (struct field){span_of(name), input_line(&input)};
    }
    respond_resource(&response, &request, &site, &route, resource);
    MUST(response.fields_count <= RESPOND_FIELDS_MAX && response.scratch_used <= RESPOND_SCRATCH);
    MUST(!response.body || (response.body->exists && response.offset <= response.body->size &&
                            response.length <= response.body->size - response.offset));
    MUST(response.status != 206 || response.length > 0);
    for (size_t i = 0; i < request.fields_count; i++) {
        static const char *const SAID[] = {"cache-control", "expires", "age", "date"};
        fields[i].name = span_of(SAID[fields[i].value.length % 4]);
    }
    respond_freshness(fields, request.fields_count, 7, NULL);
    input_finish(&input);
    return 0;
}

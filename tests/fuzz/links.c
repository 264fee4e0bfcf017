/* Link fields of a response, one a line, seen from a page. */
#include "tests/fuzz/input.h"

#include "worker/hints.h"
#include "worker/page.h"

#define LINKS_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = input_make(data, size);
    struct request request = {.scheme = SPAN_LITERAL("https"), .host = SPAN_LITERAL("a.test"),
                              .path = SPAN_LITERAL("/shop/index.html")};
    struct field fields[4];
    struct response_facts response = {.status = 200, .fields = fields};
    struct response_link links[LINKS_MAX];
    char *scratch = malloc(PAGE_HINTS_MAX);
    while (input.rest.length && response.fields_count < 4)
        fields[response.fields_count++] = (struct field){SPAN_LITERAL("link"), input_line(&input)};
    size_t count = links_read(&response, &request, SPAN_LITERAL("a.test:8443"), scratch, links,
                              LINKS_MAX);
    MUST(count <= LINKS_MAX);
    for (size_t i = 0; i < count; i++) {
        struct span path = links[i].path;
        MUST(links[i].rel.length > 0 && links[i].as < AS_KINDS);
        MUST(!links[i].same_origin || (path.data[0] == '/' && path.data >= scratch &&
                                       path.data + path.length <= scratch + PAGE_HINTS_MAX));
        for (size_t at = 0; at < path.length; at++)
            MUST(path.data[at] != '\n');
    }
    free(scratch);
    input_finish(&input);
    return 0;
}

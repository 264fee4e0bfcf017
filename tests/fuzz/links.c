/* Link fields of a response, one a line, seen from a page. */
#include "tests/fuzz/input.h"

#include "worker/links.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = input_make(data, size);
    struct request request = {.scheme = SPAN_LITERAL("https"), .host = SPAN_LITERAL("a.test"),
                              .path = SPAN_LITERAL("/shop/index.html")};
    struct field fields[4];
    size_t fields_count = 0;
    struct response_link links[LINKS_MAX];
    struct link_base *base = malloc(sizeof(*base));
    link_base_init(base, &request, SPAN_LITERAL("a.test:8443"));
    while (input.rest.length && fields_count < 4)
        fields[fields_count++] = (struct field){SPAN_LITERAL("link"), input_line(&input)};
    size_t count = links_read(base, fields, fields_count, links, LINKS_MAX);
    MUST(count <= LINKS_MAX);
    for (size_t i = 0; i < count; i++) {
        struct span path = links[i].path;
        MUST(links[i].rel.length > 0 && links[i].as < AS_KINDS);
        MUST(!links[i].same_origin || (path.data[0] == '/' && path.data >= base->scratch &&
                                       path.data + path.length <= base->scratch + base->used));
        for (size_t at = 0; at < path.length; at++)
            MUST(path.data[at] != '\n');
    }
    free(base);
    input_finish(&input);
    return 0;
}

/* What the config's child hands over as JSON, after a first line that is a duration, a size or an
 * address. What was read must be written and read again as the same. */
#include "tests/fuzz/input.h"

#include "master/handoff/config.h"

static void parse(struct span text)
{
    char shown[CONFIG_FORMAT_MAX];
    struct sockaddr_storage address;
    socklen_t length;
    uint64_t value, again;
    if (config_parse_duration(text, &value) == 0)
        MUST(config_parse_duration(span_of(config_format_duration(value, shown)), &again) == 0 &&
             again == value);
    if (config_parse_size(text, &value) == 0)
        MUST(config_parse_size(span_of(config_format_size(value, shown)), &again) == 0 &&
             again == value);
    if (config_parse_address(text, &address, &length) == 0)
        MUST(length > 0 && length <= sizeof(address));
}

static void use(const struct config *config)
{
    for (size_t i = 0; i < config->sites_count; i++) {
        const struct config_site *site = &config->sites[i];
        const struct config_route *route = config_route(site, SPAN_LITERAL("/a/b.css"));
        MUST(route >= site->routes && route < site->routes + site->routes_count);
        config_is_alias(site, SPAN_LITERAL("a.test"));
    }
    config_site(config, SPAN_LITERAL("A.test"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = input_make(data, size);
    struct config *config = NULL, *again = NULL;
    struct fault fault = {0};
    parse(input_line(&input));
    struct span json = input_take(&input, input.rest.length);
    if (config_decode(json, &config, &fault) == 0) {
        use(config);
        char *first = config_encode(config);
        MUST(first && config_decode(span_of(first), &again, &fault) == 0);
        char *second = config_encode(again);
        MUST(second && strcmp(first, second) == 0);
        free(first);
        free(second);
    } else {
        MUST(!config && fault.what[0]);
    }
    config_destroy(config);
    config_destroy(again);
    input_finish(&input);
    return 0;
}

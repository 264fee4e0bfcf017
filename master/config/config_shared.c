/* The dictionaries that policies share. */
#include "master/config/config_resolver.h"

#include <stdlib.h>
#include <string.h>

#define PAGE UINT64_C(4096)

static int read_size(struct resolver *resolver, const struct value_field *field, uint64_t *bytes)
{
    char what[CONFIG_SHARED_NAME_MAX + 16];
    const struct value *value = field->value;
    uint64_t size = 0;
    int rc = -1;
    if (value->type == VALUE_TEXT)
        rc = config_parse_size(span_of(value->text), &size);
    else if (value->type == VALUE_NUMBER && value->number >= 0 && value->number <= 1e15)
        rc = 0, size = (uint64_t)value->number;
    snprintf(what, sizeof(what), "shared.%s", field->key);
    if (rc < 0 || size < CONFIG_SHARED_BYTES_MIN || size > CONFIG_SHARED_BYTES_MAX)
        return resolve_refuse_type(resolver, what,
                                   "a size from 64KiB to 1GiB, such as \"1MiB\"", value);
    *bytes = (size + PAGE - 1) / PAGE * PAGE;
    return 0;
}

static int add(struct resolver *resolver, const struct value_field *field)
{
    struct config *config = resolver->config;
    struct config_shared shared = {NULL, 0};
    size_t at = config->shared_count;
    if (!config_is_shared_name(field->key))
        return resolve_refuse(resolver, field->place,
                              "shared: \"%.64s\" is no name for a dictionary; it is a lower-case "
                              "letter, then up to 31 of a-z, 0-9 and _",
                              field->key);
    int rc = read_size(resolver, field, &shared.bytes);
    if (rc == 0)
        rc = resolve_set_text(resolver, &shared.name, field->key);
    if (rc < 0)
        return rc;
    for (; at > 0 && strcmp(config->shared[at - 1].name, field->key) > 0; at--)
        config->shared[at] = config->shared[at - 1];
    config->shared[at] = shared;
    config->shared_count++;
    return 0;
}

int resolve_shared(struct resolver *resolver, const struct config_key *key,
                   const struct value_field *field)
{
    struct config *config = resolver->config;
    const struct value *table = field->value;
    uint64_t total = 0;
    if (table->type != VALUE_TABLE || table->items_count > 0)
        return resolve_refuse_type(resolver, "shared",
                                   "sizes by name, such as { counters = \"1MiB\" }",
                                   table->type == VALUE_TABLE ? table->items[0] : table);
    if (table->fields_count > CONFIG_SHARED_MAX)
        return resolve_refuse(resolver, field->place, "shared: %zu dictionaries, %d at most",
                              table->fields_count, CONFIG_SHARED_MAX);
    config->shared = calloc(CONFIG_SHARED_MAX, sizeof(*config->shared));
    if (!config->shared)
        return resolve_no_memory(resolver);
    for (size_t i = 0; i < table->fields_count; i++) {
        int rc = add(resolver, &table->fields[i]);
        if (rc < 0)
            return rc;
    }
    for (size_t i = 0; i < config->shared_count; i++)
        total += config->shared[i].bytes;
    if (total > CONFIG_SHARED_BYTES_MAX)
        return resolve_refuse(resolver, field->place,
                              "shared: the dictionaries come to more than 1GiB");
    return resolve_note_place(resolver, key, field->place);
}

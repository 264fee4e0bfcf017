/* The applications behind a route. */
#include "master/config/config_resolver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char EXPECTED[] = "\"http://HOST[:PORT]\", \"https://HOST[:PORT]\" or \"unix:/PATH\", "
                               "or a list of them with keys";

/* Why a URL that begins well is none for a server, or NULL. */
static const char *url_fault(const char *text)
{
    const char *scheme = strstr(text, "://");
    const char *rest = scheme ? scheme + 3 : "";
    if (scheme && strncmp(text, "http", 4) == 0 && strchr(rest, '@'))
        return "names and passwords have no place in it";
    if (scheme && strncmp(text, "http", 4) == 0 && strpbrk(rest, "/?#"))
        return "it has a path; requests keep their own";
    if (strncmp(text, "unix:", 5) == 0)
        return "the socket's path is longer than 107 bytes";
    return NULL;
}

/* A relative path of a socket begins where the config lies. */
static int absolute_text(struct resolver *resolver, const char *text, char **absolute)
{
    char *path = NULL;
    if (strncmp(text, "unix:", 5) != 0 || !text[5])
        return resolve_set_text(resolver, absolute, text);
    int rc = resolve_set_path(resolver, &path, text + 5);
    if (rc == 0 && asprintf(absolute, "unix:%s", path) < 0)
        rc = resolve_no_memory(resolver);
    free(path);
    return rc;
}

static int add_server(struct resolver *resolver, const struct value *item,
                      struct config_origin *origin)
{
    char *text = NULL;
    if (item->type != VALUE_TEXT)
        return resolve_refuse_type(resolver, "origin", EXPECTED, item);
    int rc = absolute_text(resolver, item->text, &text);
    if (rc < 0)
        return rc;
    rc = config_parse_server(text, &origin->servers[origin->servers_count]);
    origin->servers_count++;
    free(text);
    if (rc == -ENOMEM)
        return resolve_no_memory(resolver);
    if (rc < 0 && url_fault(item->text))
        return resolve_refuse(resolver, item->place, "origin: \"%.200s\": %s", item->text,
                              url_fault(item->text));
    if (rc < 0)
        return resolve_refuse_type(resolver, "origin", EXPECTED, item);
    for (size_t i = 0; i + 1 < origin->servers_count; i++)
        if (strcmp(origin->servers[i].text, origin->servers[origin->servers_count - 1].text) == 0)
            return resolve_refuse(resolver, item->place, "origin: \"%.200s\" is there twice",
                                  item->text);
    return 0;
}

static int set_servers(struct resolver *resolver, const struct value *const *items, size_t count,
                       struct config_origin *origin)
{
    int rc = 0;
    config_origin_clear(origin);
    if (count > CONFIG_SERVERS_MAX)
        return resolve_refuse(resolver, items[0]->place, "origin: more than %d servers",
                              CONFIG_SERVERS_MAX);
    origin->servers = calloc(count, sizeof(*origin->servers));
    if (!origin->servers)
        return resolve_no_memory(resolver);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = add_server(resolver, items[i], origin);
    return rc;
}

int resolve_origin(struct resolver *resolver, const struct value_field *field,
                   struct config_route *route)
{
    const struct value *value = field->value;
    const struct value *only[] = {value};
    struct config_origin *origin = &route->origin;
    struct target target = {CONFIG_ORIGIN, route};
    int rc = 0;
    origin->file = resolve_file(resolver, field->place);
    origin->line = field->place.line;
    if (value->type != VALUE_TABLE)
        return set_servers(resolver, only, 1, origin);
    if (value->items_count > 0)
        rc = set_servers(resolver, (const struct value *const *)value->items, value->items_count,
                         origin);
    else if (origin->servers_count == 0)
        return resolve_refuse_type(resolver, "origin", EXPECTED, value);
    struct value keys = *value;
    keys.items_count = 0;
    if (rc == 0)
        rc = resolve_fields(resolver, "origin", &keys, &target, 1);
    if (rc == 0 && !origin->verify && value_get(value, "verify"))
        rc = resolve_warn(resolver, field->place,
                          "origin.verify is false: who is on the way to an https server can be it");
    return rc;
}

int resolve_copy_origin(struct resolver *resolver, const struct config_origin *from,
                        struct config_origin *to)
{
    config_origin_finish(to);
    *to = *from;
    to->servers = NULL;
    to->servers_count = 0;
    to->host = to->ca = NULL;
    int rc = from->host ? resolve_set_text(resolver, &to->host, from->host) : 0;
    if (rc == 0 && from->ca)
        rc = resolve_set_text(resolver, &to->ca, from->ca);
    if (rc < 0 || from->servers_count == 0)
        return rc;
    to->servers = calloc(from->servers_count, sizeof(*to->servers));
    if (!to->servers)
        return resolve_no_memory(resolver);
    for (; to->servers_count < from->servers_count; to->servers_count++)
        if (config_parse_server(from->servers[to->servers_count].text,
                                &to->servers[to->servers_count]) < 0)
            return resolve_no_memory(resolver);
    return 0;
}

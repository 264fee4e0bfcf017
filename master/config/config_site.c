/* Sites and their routes. */
#include "master/config/config_resolver.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROUTES_MAX 10000 /* of one site */
#define PREFIX_MAX 1024

/* ---- routes ---- */

static int copy_policies(struct resolver *resolver, const struct config_route *from,
                         struct config_route *to)
{
    int rc = 0;
    to->policies = calloc(from->policies_count + 1, sizeof(*to->policies));
    if (!to->policies)
        return resolve_no_memory(resolver);
    while (rc == 0 && to->policies_count < from->policies_count) {
        const struct config_policy *policy = &from->policies[to->policies_count];
        struct config_policy *copy = &to->policies[to->policies_count++];
        copy->file = policy->file;
        copy->line = policy->line;
        rc = resolve_set_text(resolver, &copy->name, policy->name);
        if (rc == 0)
            rc = resolve_set_text(resolver, &copy->arguments, policy->arguments);
    }
    return rc;
}

/* A route begins as a copy of its site's own. */
static int inherit(struct resolver *resolver, const struct config_route *own,
                   struct config_route *route)
{
    int rc = copy_policies(resolver, own, route);
    if (rc == 0 && own->root)
        rc = resolve_set_text(resolver, &route->root, own->root);
    if (rc == 0 && own->cache_control)
        rc = resolve_set_text(resolver, &route->cache_control, own->cache_control);
    if (rc == 0)
        rc = resolve_copy_origin(resolver, &own->origin, &route->origin);
    route->symlinks = own->symlinks;
    route->cached = own->cached;
    route->push = own->push;
    return rc;
}

/* Why the path of a route can't be one, or NULL. Requests' paths are decoded and normalised before
 * they are compared with it. */
static const char *path_fault(const char *path)
{
    size_t length = strlen(path);
    const char *star = strchr(path, '*');
    if (path[0] != '/')
        return "it does not begin with \"/\"";
    if (length > PREFIX_MAX)
        return "it is longer than 1024 bytes";
    if (star && (star[1] || star[-1] != '/'))
        return "\"*\" stands only at the end, after \"/\"";
    if (strcmp(path, "/*") == 0)
        return "that is the whole site: its keys go to the site itself";
    if (strpbrk(path, "?#"))
        return "it has a query or fragment, which routes don't look at";
    for (const char *at = path; *at; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            return "it has a control character";
        if (*at == '%' && isxdigit((unsigned char)at[1]) && isxdigit((unsigned char)at[2]))
            return "paths are compared decoded: write the character itself";
        if (*at != '/')
            continue;
        size_t part = strcspn(at + 1, "/");
        if ((part == 0 && at[1]) || (part == 1 && at[1] == '.') ||
            (part == 2 && at[1] == '.' && at[2] == '.'))
            return "it has an empty part, \".\" or \"..\", which no request's path has";
    }
    return NULL;
}

static void set_place(const struct resolver *resolver, const struct value *table,
                      struct value_place place, struct config_route *route)
{
    for (size_t i = 0; i < table->fields_count; i++)
        if (strcmp(table->fields[i].key, "root") == 0 ||
            strcmp(table->fields[i].key, "origin") == 0)
            place = table->fields[i].place;
    route->file = resolve_file(resolver, place);
    route->line = place.line;
}

/* Files or an application: what a route says itself takes the place of what its site says. */
static int choose_answerer(struct resolver *resolver, const struct value *table,
                           struct config_route *route)
{
    const struct value *root = value_get(table, "root");
    const struct value *origin = value_get(table, "origin");
    if (root && origin)
        return resolve_refuse(resolver, origin->place,
                              "origin: there is a root too, and only one of the two can answer");
    if (origin) {
        free(route->root);
        route->root = NULL;
    } else if (root) {
        config_origin_clear(&route->origin);
    }
    return 0;
}

static int resolve_route(struct resolver *resolver, const struct value_field *field,
                         const struct config_route *own, struct config_route *route)
{
    char what[PREFIX_MAX + 16];
    struct target target = {CONFIG_ROUTE, route};
    const char *fault = path_fault(field->key);
    if (fault)
        return resolve_refuse(resolver, field->place, "routes: \"%.200s\": %s", field->key, fault);
    snprintf(what, sizeof(what), "route \"%s\"", field->key);
    if (field->value->type != VALUE_TABLE)
        return resolve_refuse_type(resolver, what, "a table of keys", field->value);
    int rc = resolve_set_text(resolver, &route->prefix, field->key);
    if (rc < 0)
        return rc;
    size_t length = strlen(route->prefix);
    route->exact = route->prefix[length - 1] != '*';
    if (!route->exact)
        route->prefix[length - 1] = 0;
    rc = inherit(resolver, own, route);
    if (rc == 0)
        rc = resolve_fields(resolver, what, field->value, &target, 1);
    route->file = own->file; /* of the root, when it is inherited */
    route->line = own->line;
    if (rc == 0)
        rc = choose_answerer(resolver, field->value, route);
    if (rc == 0 && (value_get(field->value, "root") || value_get(field->value, "origin") ||
                    !config_is_served(own)))
        set_place(resolver, field->value, field->place, route);
    return rc;
}

/* Longest first; of two that are as long, the exact one. */
static int by_prefix(const void *left, const void *right)
{
    const struct config_route *a = left;
    const struct config_route *b = right;
    size_t a_length = strlen(a->prefix);
    size_t b_length = strlen(b->prefix);
    if (a_length != b_length)
        return a_length > b_length ? -1 : 1;
    if (a->exact != b->exact)
        return a->exact ? -1 : 1;
    return strcmp(a->prefix, b->prefix);
}

/* The site's own route was made already, at the end of the array. */
static int resolve_routes(struct resolver *resolver, const struct value *table,
                          struct config_site *site)
{
    const struct config_route *own = &site->routes[site->routes_count - 1];
    int rc = 0;
    for (size_t i = 0; rc == 0 && table && i < table->fields_count; i++)
        rc = resolve_route(resolver, &table->fields[i], own, &site->routes[i]);
    if (rc == 0 && site->routes_count > 2)
        qsort(site->routes, site->routes_count - 1, sizeof(*site->routes), by_prefix);
    return rc;
}

/* ---- sites ---- */

static int check_routes(struct resolver *resolver, const struct value *routes)
{
    char found[VALUE_DESCRIPTION_MAX];
    if (routes->type != VALUE_TABLE)
        return resolve_refuse_type(resolver, "routes", "a table by path", routes);
    if (routes->items_count > 0)
        return resolve_refuse(resolver, routes->items[0]->place,
                              "routes: expected [\"/path/*\"] = { ... }, found %s without a path",
                              value_describe(routes->items[0], found));
    if (routes->fields_count > ROUTES_MAX)
        return resolve_refuse(resolver, routes->place, "routes: more than %d", ROUTES_MAX);
    return 0;
}

static int site_defaults(struct resolver *resolver, struct config_site *site,
                         struct config_route *own)
{
    const struct config *config = resolver->config;
    int rc = resolve_defaults(resolver, CONFIG_SITE, site);
    if (rc == 0)
        rc = resolve_defaults(resolver, CONFIG_ROUTE, own);
    site->remember_s = config->clients.remember_s;
    memcpy(site->identify, config->clients.identify, sizeof(site->identify));
    site->identify_count = config->clients.identify_count;
    return rc < 0 ? rc : resolve_set_text(resolver, &own->prefix, "/");
}

static int name_everyone(struct resolver *resolver, struct config_site *site,
                         struct value_place place)
{
    site->names = calloc(1, sizeof(*site->names));
    if (!site->names)
        return resolve_no_memory(resolver);
    site->names_count = 1;
    int rc = resolve_set_text(resolver, &site->names[0], "*");
    return rc < 0 ? rc : resolve_note_name(resolver, site->names[0], place);
}

static int check_site(struct resolver *resolver, const struct value *table,
                      const struct config_site *site)
{
    bool served = false;
    for (size_t i = 0; i < site->routes_count; i++)
        served = served || config_is_served(&site->routes[i]);
    if (!served)
        return resolve_refuse(resolver, table->place,
                              "site: there is no root and no origin, nothing could be served");
    if (site->aliases_count > 0 && strcmp(site->names[0], "*") == 0)
        return resolve_refuse(resolver, table->place,
                              "site: aliases redirect to the first of names, which is \"*\"");
    return 0;
}

int resolve_site(struct resolver *resolver, const struct value *table, struct config_site *site)
{
    const struct value *routes = value_get(table, "routes");
    size_t count = 1;
    int rc = routes ? check_routes(resolver, routes) : 0;
    if (rc < 0)
        return rc;
    count += routes ? routes->fields_count : 0;
    site->file = resolve_file(resolver, table->place);
    site->line = table->place.line;
    site->routes = calloc(count, sizeof(*site->routes));
    if (!site->routes)
        return resolve_no_memory(resolver);
    for (site->routes_count = 0; site->routes_count < count; site->routes_count++)
        site->routes[site->routes_count].root_fd = -1;
    struct config_route *own = &site->routes[count - 1];
    struct target targets[] = {{CONFIG_SITE, site}, {CONFIG_ROUTE, own}};
    rc = site_defaults(resolver, site, own);
    if (rc == 0)
        rc = resolve_fields(resolver, "site", table, targets, 2);
    if (rc == 0)
        rc = choose_answerer(resolver, table, own);
    if (rc < 0)
        return rc;
    set_place(resolver, table, table->place, own);
    if (!site->names)
        rc = name_everyone(resolver, site, table->place);
    if (rc == 0)
        rc = resolve_routes(resolver, routes, site);
    return rc < 0 ? rc : check_site(resolver, table, site);
}

/* ---- what holds between sites ---- */

int resolve_note_name(struct resolver *resolver, const char *name, struct value_place place)
{
    struct site_name *names = resolver->names;
    size_t count = resolver->names_count;
    if ((count & (count - 1)) == 0)
        names = reallocarray(names, count ? count * 2 : 1, sizeof(*names));
    if (!names)
        return resolve_no_memory(resolver);
    resolver->names = names;
    names[count] = (struct site_name){name, place, count};
    resolver->names_count++;
    return 0;
}

static int by_name(const void *left, const void *right)
{
    const struct site_name *a = left;
    const struct site_name *b = right;
    int order = strcmp(a->name, b->name);
    return order ? order : a->order < b->order ? -1 : 1;
}

static int check_names(struct resolver *resolver)
{
    const struct site_name *names = resolver->names;
    qsort(resolver->names, resolver->names_count, sizeof(*resolver->names), by_name);
    for (size_t i = 1; i < resolver->names_count; i++)
        if (strcmp(names[i - 1].name, names[i].name) == 0)
            return resolve_refuse(
                resolver, names[i].place, "names: \"%s\" is there twice, first at %s:%d",
                names[i].name, resolve_file(resolver, names[i - 1].place), names[i - 1].place.line);
    return 0;
}

static bool same_policies(const struct config_route *a, const struct config_route *b)
{
    if (a->policies_count != b->policies_count)
        return false;
    for (size_t i = 0; i < a->policies_count; i++)
        if (strcmp(a->policies[i].name, b->policies[i].name) != 0 ||
            strcmp(a->policies[i].arguments, b->policies[i].arguments) != 0)
            return false;
    return true;
}

int resolve_check_sites(struct resolver *resolver)
{
    struct config *config = resolver->config;
    for (size_t i = 0; i < config->sites_count; i++) {
        struct config_site *site = &config->sites[i];
        uint32_t next = 0;
        for (size_t k = 0; k < site->routes_count; k++) {
            size_t other = 0;
            while (other < k && !same_policies(&site->routes[other], &site->routes[k]))
                other++;
            site->routes[k].list = other < k ? site->routes[other].list : next++;
        }
    }
    return check_names(resolver);
}

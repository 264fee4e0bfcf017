/* The text is lines: "site NAME" (its first), "route PREFIX" or "exact PATH", "policy NAME
 * ARGUMENTS". */
#include "policy/policy_lists.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES_MAX 65536

static const char *site_name(const struct config_site *site)
{
    return site->names_count ? site->names[0] : "*";
}

static const char *route_prefix(const struct config_route *route)
{
    return route->prefix ? route->prefix : "/";
}

static const char *arguments_of(const struct config_policy *policy)
{
    return policy->arguments ? policy->arguments : "{}";
}

char *policy_lists_text(const struct config *config)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    for (size_t s = 0; s < config->sites_count; s++) {
        const struct config_site *site = &config->sites[s];
        fprintf(out, "site %s\n", site_name(site));
        for (size_t r = 0; r < site->routes_count; r++) {
            const struct config_route *route = &site->routes[r];
            fprintf(out, "%s %s\n", route->exact ? "exact" : "route", route_prefix(route));
            for (size_t p = 0; p < route->policies_count; p++)
                fprintf(out, "policy %s %s\n", route->policies[p].name,
                        arguments_of(&route->policies[p]));
        }
    }
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

/* What the text's lines are read with. */
struct reading {
    struct policy_lists *lists;
    struct config_site *site;   /* NULL: the config has no such site */
    struct config_route *route; /* NULL: nor such a route */
    size_t policies;            /* entries used */
};

static struct config_site *find_site(struct policy_lists *lists, const char *name)
{
    for (size_t s = 0; s < lists->config.sites_count; s++)
        if (strcmp(site_name(&lists->sites[s]), name) == 0)
            return &lists->sites[s];
    return NULL;
}

static struct config_route *find_route(struct config_site *site, const char *prefix, bool exact)
{
    for (size_t r = 0; site && r < site->routes_count; r++)
        if (site->routes[r].exact == exact && strcmp(route_prefix(&site->routes[r]), prefix) == 0)
            return &site->routes[r];
    return NULL;
}

/* The place in the config where the same entry stands today, for faults. */
static void find_place(const struct reading *reading, struct config_policy *policy)
{
    const struct policy_lists *lists = reading->lists;
    const struct config_site *site = &lists->config.sites[reading->site - lists->sites];
    for (size_t r = 0; r < site->routes_count; r++)
        for (size_t p = 0; p < site->routes[r].policies_count; p++) {
            const struct config_policy *now = &site->routes[r].policies[p];
            if (strcmp(now->name, policy->name) != 0)
                continue;
            policy->file = now->file;
            policy->line = now->line;
        }
}

static int read_policy(struct reading *reading, char *words)
{
    char *arguments = strchr(words, ' ');
    if (!arguments || arguments == words)
        return -EINVAL;
    *arguments++ = '\0';
    if (!reading->route)
        return 0;
    struct config_policy *policy = &reading->lists->policies[reading->policies++];
    policy->name = words;
    policy->arguments = arguments;
    find_place(reading, policy);
    if (reading->route->policies_count++ == 0)
        reading->route->policies = policy;
    reading->lists->any = true;
    return 0;
}

static int read_line(struct reading *reading, char *line)
{
    bool exact = strncmp(line, "exact ", 6) == 0;
    if (strncmp(line, "site ", 5) == 0) {
        reading->site = find_site(reading->lists, line + 5);
        reading->route = NULL;
        return 0;
    }
    if (exact || strncmp(line, "route ", 6) == 0) {
        reading->route = find_route(reading->site, line + 6, exact);
        return reading->route && reading->route->policies_count ? -EINVAL : 0;
    }
    return strncmp(line, "policy ", 7) == 0 ? read_policy(reading, line + 7) : -EINVAL;
}

static int read_text(struct policy_lists *lists)
{
    struct reading reading = {.lists = lists};
    for (char *line = lists->text, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        if (!end)
            return -EINVAL;
        *end = '\0';
        int rc = read_line(&reading, line);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static bool is_same(const struct config_route *a, const struct config_route *b)
{
    if (a->policies_count != b->policies_count)
        return false;
    for (size_t i = 0; i < a->policies_count; i++)
        if (strcmp(a->policies[i].name, b->policies[i].name) != 0 ||
            strcmp(arguments_of(&a->policies[i]), arguments_of(&b->policies[i])) != 0)
            return false;
    return true;
}

/* Routes with the same policies share a list. */
static void number_lists(struct policy_lists *lists)
{
    for (size_t s = 0; s < lists->config.sites_count; s++) {
        struct config_site *site = &lists->sites[s];
        uint32_t next = 0;
        for (size_t r = 0; r < site->routes_count; r++) {
            size_t other = 0;
            while (other < r && !is_same(&site->routes[other], &site->routes[r]))
                other++;
            site->routes[r].list = other < r ? site->routes[other].list : next++;
        }
    }
}

/* Copies the sites and routes, without policies. Returns false when memory runs out. */
static bool copy_sites(struct policy_lists *lists, size_t entries)
{
    const struct config *config = &lists->config;
    size_t routes = 0;
    for (size_t s = 0; s < config->sites_count; s++)
        routes += config->sites[s].routes_count;
    lists->sites = calloc(config->sites_count + 1, sizeof(*lists->sites));
    lists->routes = calloc(routes + 1, sizeof(*lists->routes));
    lists->policies = calloc(entries + 1, sizeof(*lists->policies));
    if (!lists->sites || !lists->routes || !lists->policies)
        return false;
    struct config_route *route = lists->routes;
    for (size_t s = 0; s < config->sites_count; s++) {
        lists->sites[s] = config->sites[s];
        lists->sites[s].routes = route;
        for (size_t r = 0; r < config->sites[s].routes_count; r++, route++) {
            *route = config->sites[s].routes[r];
            route->policies = NULL;
            route->policies_count = 0;
        }
    }
    return true;
}

int policy_lists_join(const struct config *config, struct span text, struct policy_lists **lists,
                      struct fault *fault)
{
    size_t entries = 0;
    for (size_t i = 0; i < text.length; i++)
        entries += text.data[i] == '\n';
    if (text.length > POLICY_LISTS_BYTES_MAX || entries > ENTRIES_MAX)
        return fault_set(fault, -E2BIG, NULL, 0, "the version's policy lists are too long");
    struct policy_lists *made = calloc(1, sizeof(*made));
    if (made)
        made->text = strndup(text.length ? text.data : "", text.length);
    if (made)
        made->config = *config;
    if (!made || !made->text || !copy_sites(made, entries)) {
        policy_lists_free(made);
        return fault_set(fault, -ENOMEM, NULL, 0, "memory ran out");
    }
    if (read_text(made) < 0) {
        policy_lists_free(made);
        return fault_set(fault, -EINVAL, NULL, 0, "the version's policy lists are damaged");
    }
    number_lists(made);
    made->config.sites = made->sites;
    *lists = made;
    return 0;
}

void policy_lists_free(struct policy_lists *lists)
{
    if (!lists)
        return;
    free(lists->text);
    free(lists->sites);
    free(lists->routes);
    free(lists->policies);
    free(lists);
}

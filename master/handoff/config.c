#include "master/handoff/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct unit {
    const char *name;
    uint64_t factor;
};

/* From the largest to the smallest. */
static const struct unit DURATIONS[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000},
                                        {"s", 1000},     {"ms", 1},      {NULL, 0}};
static const struct unit SIZES[] = {{"TiB", UINT64_C(1) << 40},
                                    {"GiB", UINT64_C(1) << 30},
                                    {"MiB", UINT64_C(1) << 20},
                                    {"KiB", UINT64_C(1) << 10},
                                    {"", 1},
                                    {NULL, 0}};

static int parse(struct span text, const struct unit *units, uint64_t *value)
{
    uint64_t number = 0;
    size_t i = 0;
    for (; i < text.length && text.data[i] >= '0' && text.data[i] <= '9'; i++)
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(text.data[i] - '0'), &number))
            return -ERANGE;
    if (i == 0)
        return -EINVAL;
    for (const struct unit *unit = units; unit->name; unit++)
        if (span_equal(span_after(text, i), span_of(unit->name)))
            return __builtin_mul_overflow(number, unit->factor, value) ? -ERANGE : 0;
    return -EINVAL;
}

int config_parse_duration(struct span text, uint64_t *ms)
{
    return parse(text, DURATIONS, ms);
}

int config_parse_size(struct span text, uint64_t *bytes)
{
    return parse(text, SIZES, bytes);
}

static int parse_port(struct span text, in_port_t *port)
{
    uint64_t number;
    if (text.length > 5 || parse(text, SIZES + 4, &number) < 0 || number < 1 || number > 65535)
        return -EINVAL;
    *port = htons((uint16_t)number);
    return 0;
}

/* The host part of `text` as inet_pton wants it; its length is less than INET6_ADDRSTRLEN. */
static int host_copy(struct span text, char host[INET6_ADDRSTRLEN])
{
    if (text.length >= INET6_ADDRSTRLEN || span_find(text, 0) != text.length)
        return -EINVAL;
    memcpy(host, text.data, text.length);
    host[text.length] = 0;
    return 0;
}

int config_parse_address(struct span text, struct sockaddr_storage *address, socklen_t *length)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
    char host[INET6_ADDRSTRLEN];
    in_port_t port;
    size_t colon = text.length;
    while (colon > 0 && text.data[colon - 1] != ':')
        colon--;
    if (colon == 0 || parse_port(span_after(text, colon), &port) < 0)
        return -EINVAL;
    text.length = colon - 1;
    if (text.length == 0)
        text = SPAN_LITERAL("[::]");
    memset(address, 0, sizeof(*address));
    if (text.length > 2 && text.data[0] == '[' && text.data[text.length - 1] == ']') {
        text = (struct span){text.data + 1, text.length - 2};
        v6->sin6_family = AF_INET6;
        v6->sin6_port = port;
        *length = sizeof(*v6);
        return host_copy(text, host) == 0 && inet_pton(AF_INET6, host, &v6->sin6_addr) == 1
                   ? 0
                   : -EINVAL;
    }
    v4->sin_family = AF_INET;
    v4->sin_port = port;
    *length = sizeof(*v4);
    return host_copy(text, host) == 0 && inet_pton(AF_INET, host, &v4->sin_addr) == 1 ? 0 : -EINVAL;
}

static const char *format(uint64_t value, const struct unit *unit, char *text)
{
    while (value % unit->factor != 0)
        unit++;
    snprintf(text, CONFIG_FORMAT_MAX, "%" PRIu64 "%s", value / unit->factor, unit->name);
    return text;
}

const char *config_format_duration(uint64_t ms, char text[CONFIG_FORMAT_MAX])
{
    return format(ms, ms ? DURATIONS : DURATIONS + 3, text);
}

const char *config_format_size(uint64_t bytes, char text[CONFIG_FORMAT_MAX])
{
    return format(bytes, bytes ? SIZES : SIZES + 4, text);
}

static bool names_have(char *const *names, size_t count, struct span host)
{
    for (size_t i = 0; i < count; i++)
        if (span_equal_nocase(span_of(names[i]), host))
            return true;
    return false;
}

bool config_is_shared_name(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return name[0] >= 'a' && name[0] <= 'z' && !name[length] && length <= CONFIG_SHARED_NAME_MAX;
}

const struct config_site *config_site(const struct config *config, struct span host)
{
    const struct config_site *fallback = NULL;
    for (size_t i = 0; i < config->sites_count; i++) {
        const struct config_site *site = &config->sites[i];
        if (names_have(site->names, site->names_count, host) || config_is_alias(site, host))
            return site;
        if (names_have(site->names, site->names_count, SPAN_LITERAL("*")))
            fallback = site;
    }
    return fallback;
}

bool config_is_alias(const struct config_site *site, struct span host)
{
    return names_have(site->aliases, site->aliases_count, host);
}

/* Asked for every name of every page: most prefixes differ from a path within a few bytes. */
static bool is_of_route(const struct config_route *route, struct span path)
{
    const char *prefix = route->prefix;
    size_t i = 0;
    while (i < path.length && prefix[i] && prefix[i] == path.data[i])
        i++;
    return !prefix[i] && (!route->exact || i == path.length);
}

const struct config_route *config_route(const struct config_site *site, struct span path)
{
    size_t i = 0;
    while (i + 1 < site->routes_count && !is_of_route(&site->routes[i], path))
        i++;
    return &site->routes[i];
}

void config_place(const struct config *config, const char *key, const char **file, int *line)
{
    *file = NULL;
    *line = 0;
    for (size_t i = 0; i < config->places_count; i++) {
        if (strcmp(config->places[i].key, key) == 0) {
            *file = config->places[i].file;
            *line = config->places[i].line;
            return;
        }
    }
}

struct config *config_create(void)
{
    struct config *config = calloc(1, sizeof(*config));
    if (!config)
        return NULL;
    config->policy.dir_fd = -1;
    config->policy.stock_fd = -1;
    return config;
}

static void texts_free(char **texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(texts[i]);
    free(texts);
}

static void close_if_open(int fd)
{
    if (fd >= 0)
        close(fd);
}

static void route_finish(struct config_route *route)
{
    free(route->prefix);
    free(route->root);
    free(route->cache_control);
    config_origin_finish(&route->origin);
    close_if_open(route->root_fd);
    for (size_t i = 0; i < route->policies_count; i++) {
        free(route->policies[i].name);
        free(route->policies[i].arguments);
    }
    free(route->policies);
}

static void site_finish(struct config_site *site)
{
    texts_free(site->names, site->names_count);
    texts_free(site->aliases, site->aliases_count);
    for (size_t i = 0; i < site->routes_count; i++)
        route_finish(&site->routes[i]);
    free(site->routes);
}

/* A private key does not stay behind in freed memory. */
static void pem_finish(struct span pem)
{
    if (pem.data)
        explicit_bzero((void *)(uintptr_t)pem.data, pem.length);
    free((void *)(uintptr_t)pem.data);
}

static void certificate_finish(struct config_certificate *certificate)
{
    free(certificate->sni);
    free(certificate->cert_path);
    free(certificate->key_path);
    pem_finish(certificate->cert_pem);
    pem_finish(certificate->key_pem);
}

void config_destroy(struct config *config)
{
    if (!config)
        return;
    for (size_t i = 0; i < config->listens_count; i++) {
        free(config->listens[i].text);
        free(config->listens[i].redirect);
    }
    free(config->listens);
    for (size_t i = 0; i < config->certificates_count; i++)
        certificate_finish(&config->certificates[i]);
    free(config->certificates);
    for (size_t i = 0; i < config->sites_count; i++)
        site_finish(&config->sites[i]);
    free(config->sites);
    for (size_t i = 0; i < config->shared_count; i++)
        free(config->shared[i].name);
    free(config->shared);
    for (size_t i = 0; i < config->places_count; i++)
        free(config->places[i].key);
    free(config->places);
    texts_free(config->files, config->files_count);
    texts_free(config->warnings, config->warnings_count);
    close_if_open(config->policy.dir_fd);
    close_if_open(config->policy.stock_fd);
    free(config->policy.dir);
    free(config->log.access);
    free(config->log.error);
    free(config->admin.socket);
    free(config->admin.http);
    free(config->path);
    free(config->user);
    free(config->state_dir);
    free(config);
}

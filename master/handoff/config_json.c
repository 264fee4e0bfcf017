/* The config as JSON text and back: how the unprivileged reader hands it to the master. The master
 * does not trust that text: every member is looked for, its type and range are checked. */
#include "master/handoff/config_key.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>

#define ITEMS_MAX 100000 /* of one list */

struct decoder {
    struct config *config;
    struct fault *fault;
};

static int bad(struct decoder *decoder, const char *key, const char *what)
{
    return fault_set(decoder->fault, -EINVAL, NULL, 0, "the encoded config has %s '%s'", what, key);
}

/* ---- encoding; NULL means that memory ran out, or that a text is not UTF-8 ---- */

static json_t *text_json(const char *text)
{
    return text ? json_string(text) : json_null();
}

static json_t *texts_json(char *const *texts, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        if (json_array_append_new(array, json_string(texts[i])) < 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

static json_t *place_json(const struct config *config, const char *file, int line)
{
    for (size_t i = 0; file && i < config->files_count; i++)
        if (config->files[i] == file)
            return json_pack("[ii]", (int)i, line);
    return json_null();
}

static const enum config_identify *identify_of(enum config_scope scope, const void *object,
                                               size_t *count)
{
    const struct config *config = object;
    const struct config_site *site = object;
    *count = scope == CONFIG_SITE ? site->identify_count : config->clients.identify_count;
    return scope == CONFIG_SITE ? site->identify : config->clients.identify;
}

static json_t *identify_json(enum config_scope scope, const void *object)
{
    size_t count;
    const enum config_identify *order = identify_of(scope, object, &count);
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, json_string(config_identify_name(order[i])));
    return array;
}

static json_t *scope_json(enum config_scope scope, const void *object);

static json_t *key_json(const struct config_key *key, const void *object)
{
    if (config_key_is_text(key))
        return text_json(*config_key_text(key, (void *)(uintptr_t)object));
    if (config_key_is_number(key))
        return json_integer((json_int_t)config_key_number(key, object));
    if (key->type == CONFIG_BOOL)
        return json_boolean(config_key_number(key, object) != 0);
    if (key->type == CONFIG_IDENTIFY)
        return identify_json(key->scope, object);
    return scope_json(key->inner, (const char *)object + key->offset);
}

static bool is_list(const struct config_key *key)
{
    return key->type >= CONFIG_NAMES && key->type <= CONFIG_ROUTES;
}

/* All members of the scope that the key table knows how to store; lists are left out. */
static json_t *scope_json(enum config_scope scope, const void *object)
{
    size_t count;
    const struct config_key *keys = config_keys(scope, &count);
    json_t *json = json_object();
    for (size_t i = 0; i < count; i++) {
        if (keys[i].standing == CONFIG_REFUSED || is_list(&keys[i]))
            continue;
        if (json_object_set_new(json, keys[i].name, key_json(&keys[i], object)) < 0) {
            json_decref(json);
            return NULL;
        }
    }
    return json;
}

static json_t *policy_json(const struct config *config, const struct config_policy *policy)
{
    return json_pack("{ss ss so}", "name", policy->name, "arguments", policy->arguments, "place",
                     place_json(config, policy->file, policy->line));
}

static json_t *origin_json(const struct config *config, const struct config_route *route)
{
    const struct config_origin *origin = &route->origin;
    json_t *servers = json_array();
    json_t *json = scope_json(CONFIG_ORIGIN, route);
    int rc = 0;
    for (size_t i = 0; i < origin->servers_count; i++)
        rc |= json_array_append_new(servers,
                                    json_pack("{ss ss}", "url", origin->servers[i].text,
                                              "addresses", origin->servers[i].addresses));
    rc |= json_object_set_new(json, "servers", servers);
    rc |= json_object_set_new(json, "place", place_json(config, origin->file, origin->line));
    if (rc == 0)
        return json;
    json_decref(json);
    return NULL;
}

static json_t *route_json(const struct config *config, const struct config_route *route)
{
    json_t *policies = json_array();
    json_t *json = scope_json(CONFIG_ROUTE, route);
    int rc = 0;
    for (size_t i = 0; i < route->policies_count; i++)
        rc |= json_array_append_new(policies, policy_json(config, &route->policies[i]));
    rc |= json_object_set_new(json, "policies", policies);
    rc |= json_object_set_new(json, "origin", origin_json(config, route));
    rc |= json_object_set_new(json, "prefix", json_string(route->prefix));
    rc |= json_object_set_new(json, "exact", json_boolean(route->exact));
    rc |= json_object_set_new(json, "list", json_integer(route->list));
    rc |= json_object_set_new(json, "place", place_json(config, route->file, route->line));
    if (rc == 0)
        return json;
    json_decref(json);
    return NULL;
}

static json_t *site_json(const struct config *config, const struct config_site *site)
{
    json_t *routes = json_array();
    json_t *json = scope_json(CONFIG_SITE, site);
    int rc = 0;
    for (size_t i = 0; i < site->routes_count; i++)
        rc |= json_array_append_new(routes, route_json(config, &site->routes[i]));
    rc |= json_object_set_new(json, "routes", routes);
    rc |= json_object_set_new(json, "names", texts_json(site->names, site->names_count));
    rc |= json_object_set_new(json, "aliases", texts_json(site->aliases, site->aliases_count));
    rc |= json_object_set_new(json, "place", place_json(config, site->file, site->line));
    if (rc == 0)
        return json;
    json_decref(json);
    return NULL;
}

static json_t *listen_json(const struct config *config, const struct config_listen *listen)
{
    json_t *json = scope_json(CONFIG_LISTEN, listen);
    int rc = json_object_set_new(json, "address", json_string(listen->text));
    rc |= json_object_set_new(json, "place", place_json(config, listen->file, listen->line));
    if (rc == 0)
        return json;
    json_decref(json);
    return NULL;
}

static json_t *certificate_json(const struct config *config,
                                const struct config_certificate *certificate)
{
    json_t *json = scope_json(CONFIG_TLS, certificate);
    if (json_object_set_new(json, "place",
                            place_json(config, certificate->file, certificate->line)) == 0)
        return json;
    json_decref(json);
    return NULL;
}

static int lists_json(const struct config *config, json_t *json)
{
    int rc = 0;
    json_t *listens = json_array();
    json_t *certificates = json_array();
    json_t *sites = json_array();
    json_t *places = json_array();
    json_t *shared = json_array();
    for (size_t i = 0; i < config->listens_count; i++)
        rc |= json_array_append_new(listens, listen_json(config, &config->listens[i]));
    for (size_t i = 0; i < config->certificates_count; i++)
        rc |=
            json_array_append_new(certificates, certificate_json(config, &config->certificates[i]));
    for (size_t i = 0; i < config->sites_count; i++)
        rc |= json_array_append_new(sites, site_json(config, &config->sites[i]));
    for (size_t i = 0; i < config->places_count; i++)
        rc |= json_array_append_new(
            places, json_pack("{ss so}", "key", config->places[i].key, "place",
                              place_json(config, config->places[i].file, config->places[i].line)));
    for (size_t i = 0; i < config->shared_count; i++)
        rc |= json_array_append_new(shared,
                                    json_pack("{ss sI}", "name", config->shared[i].name, "bytes",
                                              (json_int_t)config->shared[i].bytes));
    rc |= json_object_set_new(json, "shared", shared);
    rc |= json_object_set_new(json, "listen", listens);
    rc |= json_object_set_new(json, "tls", certificates);
    rc |= json_object_set_new(json, "sites", sites);
    rc |= json_object_set_new(json, "places", places);
    return rc;
}

char *config_encode(const struct config *config)
{
    char *text = NULL;
    json_t *json = scope_json(CONFIG_TOP, config);
    int rc = lists_json(config, json);
    rc |= json_object_set_new(json, "path", text_json(config->path));
    rc |= json_object_set_new(json, "files", texts_json(config->files, config->files_count));
    rc |=
        json_object_set_new(json, "warnings", texts_json(config->warnings, config->warnings_count));
    if (rc == 0)
        text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    return text;
}

/* ---- decoding ---- */

static int text_decode(struct decoder *decoder, const json_t *json, const char *key, bool required,
                       char **text)
{
    const json_t *value = json_object_get(json, key);
    if (json_is_null(value) && !required)
        return 0;
    if (!json_is_string(value))
        return bad(decoder, key, "no text");
    *text = strdup(json_string_value(value));
    return *text ? 0 : -ENOMEM;
}

static int texts_decode(struct decoder *decoder, const json_t *json, const char *key, char ***texts,
                        size_t *count)
{
    const json_t *array = json_object_get(json, key);
    size_t length = json_array_size(array);
    if (!json_is_array(array) || length > ITEMS_MAX)
        return bad(decoder, key, "no list");
    *texts = calloc(length + 1, sizeof(**texts));
    if (!*texts)
        return -ENOMEM;
    for (; *count < length; ++*count) {
        const char *text = json_string_value(json_array_get(array, *count));
        if (!text)
            return bad(decoder, key, "no text in");
        (*texts)[*count] = strdup(text);
        if (!(*texts)[*count])
            return -ENOMEM;
    }
    return 0;
}

static int integer_decode(struct decoder *decoder, const json_t *json, const char *key,
                          uint64_t least, uint64_t most, uint64_t *number)
{
    const json_t *value = json_object_get(json, key);
    json_int_t integer = json_integer_value(value);
    if (!json_is_integer(value) || integer < 0 || (uint64_t)integer < least ||
        (uint64_t)integer > most)
        return bad(decoder, key, "no number within bounds");
    *number = (uint64_t)integer;
    return 0;
}

static int bool_decode(struct decoder *decoder, const json_t *json, const char *key, bool *truth)
{
    const json_t *value = json_object_get(json, key);
    if (!json_is_boolean(value))
        return bad(decoder, key, "no boolean");
    *truth = json_is_true(value);
    return 0;
}

static int place_decode(struct decoder *decoder, const json_t *json, const char **file, int *line)
{
    const json_t *place = json_object_get(json, "place");
    json_int_t index = json_integer_value(json_array_get(place, 0));
    json_int_t number = json_integer_value(json_array_get(place, 1));
    if (json_is_null(place))
        return 0;
    if (!json_is_array(place) || index < 0 || (uint64_t)index >= decoder->config->files_count ||
        number < 0 || number > INT_MAX)
        return bad(decoder, "place", "no place");
    *file = decoder->config->files[index];
    *line = (int)number;
    return 0;
}

static int identify_decode(struct decoder *decoder, const json_t *array, enum config_scope scope,
                           void *object)
{
    struct config *config = object;
    struct config_site *site = object;
    size_t length = json_array_size(array);
    enum config_identify *order = scope == CONFIG_SITE ? site->identify : config->clients.identify;
    size_t *count = scope == CONFIG_SITE ? &site->identify_count : &config->clients.identify_count;
    if (!json_is_array(array) || length > CONFIG_IDENTIFY_MAX)
        return bad(decoder, "identify", "no list");
    for (*count = 0; *count < length; ++*count) {
        const char *word = json_string_value(json_array_get(array, *count));
        int i = 0;
        while (i < CONFIG_IDENTIFY_MAX &&
               (!word || strcmp(word, config_identify_name((enum config_identify)i)) != 0))
            i++;
        if (i == CONFIG_IDENTIFY_MAX)
            return bad(decoder, "identify", "an unknown word in");
        order[*count] = (enum config_identify)i;
    }
    return 0;
}

static int scope_decode(struct decoder *decoder, const json_t *json, enum config_scope scope,
                        void *object);

/* A text with a default is always there, unless it may be switched off. */
static bool is_required(const struct config_key *key)
{
    return key->text && strcmp(key->text, "off") != 0;
}

static int key_decode(struct decoder *decoder, const json_t *json, const struct config_key *key,
                      void *object)
{
    uint64_t number = 0;
    bool truth = false;
    int rc;
    if (config_key_is_text(key))
        return text_decode(decoder, json, key->name, is_required(key),
                           config_key_text(key, object));
    if (key->type == CONFIG_IDENTIFY)
        return identify_decode(decoder, json_object_get(json, key->name), key->scope, object);
    if (key->type == CONFIG_SUBTABLE)
        return scope_decode(decoder, json_object_get(json, key->name), key->inner,
                            (char *)object + key->offset);
    if (key->type == CONFIG_BOOL) {
        rc = bool_decode(decoder, json, key->name, &truth);
        number = truth;
    } else {
        uint64_t least = key->number < key->least ? key->number : key->least;
        rc = integer_decode(decoder, json, key->name, least, key->most, &number);
    }
    if (rc == 0)
        config_key_set_number(key, object, number);
    return rc;
}

static int scope_decode(struct decoder *decoder, const json_t *json, enum config_scope scope,
                        void *object)
{
    size_t count;
    const struct config_key *keys = config_keys(scope, &count);
    if (!json_is_object(json))
        return bad(decoder, config_scope_name(scope), "no table");
    for (size_t i = 0; i < count; i++) {
        int rc = 0;
        if (keys[i].standing != CONFIG_REFUSED && !is_list(&keys[i]))
            rc = key_decode(decoder, json, &keys[i], object);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* The list `key` of `json`, and memory for as many structs of `size` bytes and one more. */
static int list_begin(struct decoder *decoder, const json_t *json, const char *key, size_t size,
                      const json_t **array, void **memory)
{
    *array = json_object_get(json, key);
    if (!json_is_array(*array) || json_array_size(*array) > ITEMS_MAX)
        return bad(decoder, key, "no list");
    *memory = calloc(json_array_size(*array) + 1, size);
    return *memory ? 0 : -ENOMEM;
}

static int policies_decode(struct decoder *decoder, const json_t *json, struct config_route *route)
{
    const json_t *array;
    void *memory = NULL;
    int rc = list_begin(decoder, json, "policies", sizeof(*route->policies), &array, &memory);
    route->policies = memory;
    while (rc == 0 && route->policies_count < json_array_size(array)) {
        const json_t *item = json_array_get(array, route->policies_count);
        struct config_policy *policy = &route->policies[route->policies_count++];
        rc = text_decode(decoder, item, "name", true, &policy->name);
        if (rc == 0)
            rc = text_decode(decoder, item, "arguments", true, &policy->arguments);
        if (rc == 0)
            rc = place_decode(decoder, item, &policy->file, &policy->line);
    }
    return rc;
}

static int server_decode(struct decoder *decoder, const json_t *json, struct config_server *server)
{
    const char *url = json_string_value(json_object_get(json, "url"));
    int rc = url ? config_parse_server(url, server) : -EINVAL;
    if (rc < 0)
        return rc == -ENOMEM ? rc : bad(decoder, "url", "no server in");
    free(server->addresses);
    server->addresses = NULL;
    rc = text_decode(decoder, json, "addresses", true, &server->addresses);
    if (rc == 0 && !config_are_addresses(server->addresses))
        return bad(decoder, "addresses", "no addresses in");
    return rc;
}

static int origin_decode(struct decoder *decoder, const json_t *json, struct config_route *route)
{
    struct config_origin *origin = &route->origin;
    const json_t *array;
    void *memory = NULL;
    int rc = scope_decode(decoder, json, CONFIG_ORIGIN, route);
    if (rc == 0)
        rc = list_begin(decoder, json, "servers", sizeof(*origin->servers), &array, &memory);
    origin->servers = memory;
    if (rc == 0 && json_array_size(array) > CONFIG_SERVERS_MAX)
        return bad(decoder, "servers", "too much in");
    while (rc == 0 && origin->servers_count < json_array_size(array)) {
        const json_t *item = json_array_get(array, origin->servers_count);
        rc = server_decode(decoder, item, &origin->servers[origin->servers_count++]);
    }
    return rc < 0 ? rc : place_decode(decoder, json, &origin->file, &origin->line);
}

static int route_decode(struct decoder *decoder, const json_t *json, struct config_route *route)
{
    uint64_t list = 0;
    route->root_fd = -1;
    int rc = text_decode(decoder, json, "prefix", true, &route->prefix);
    if (rc == 0)
        rc = scope_decode(decoder, json, CONFIG_ROUTE, route);
    if (rc == 0)
        rc = bool_decode(decoder, json, "exact", &route->exact);
    if (rc == 0)
        rc = integer_decode(decoder, json, "list", 0, UINT32_MAX, &list);
    route->list = (uint32_t)list;
    if (rc == 0)
        rc = policies_decode(decoder, json, route);
    if (rc == 0)
        rc = origin_decode(decoder, json_object_get(json, "origin"), route);
    return rc < 0 ? rc : place_decode(decoder, json, &route->file, &route->line);
}

static int site_decode(struct decoder *decoder, const json_t *json, struct config_site *site)
{
    const json_t *array;
    void *memory = NULL;
    int rc = scope_decode(decoder, json, CONFIG_SITE, site);
    if (rc == 0)
        rc = texts_decode(decoder, json, "names", &site->names, &site->names_count);
    if (rc == 0)
        rc = texts_decode(decoder, json, "aliases", &site->aliases, &site->aliases_count);
    if (rc == 0)
        rc = place_decode(decoder, json, &site->file, &site->line);
    if (rc == 0)
        rc = list_begin(decoder, json, "routes", sizeof(*site->routes), &array, &memory);
    site->routes = memory;
    while (rc == 0 && site->routes_count < json_array_size(array)) {
        const json_t *item = json_array_get(array, site->routes_count);
        rc = route_decode(decoder, item, &site->routes[site->routes_count++]);
    }
    if (rc == 0 && site->routes_count == 0)
        return bad(decoder, "routes", "nothing in");
    return rc;
}

static int listens_decode(struct decoder *decoder, const json_t *json)
{
    struct config *config = decoder->config;
    const json_t *array;
    void *memory = NULL;
    int rc = list_begin(decoder, json, "listen", sizeof(*config->listens), &array, &memory);
    config->listens = memory;
    while (rc == 0 && config->listens_count < json_array_size(array)) {
        const json_t *item = json_array_get(array, config->listens_count);
        struct config_listen *listen = &config->listens[config->listens_count++];
        rc = text_decode(decoder, item, "address", true, &listen->text);
        if (rc == 0 && config_parse_address(span_of(listen->text), &listen->address,
                                            &listen->address_length) < 0)
            rc = bad(decoder, "address", "no address in");
        if (rc == 0)
            rc = scope_decode(decoder, item, CONFIG_LISTEN, listen);
        if (rc == 0)
            rc = place_decode(decoder, item, &listen->file, &listen->line);
    }
    return rc;
}

static int certificates_decode(struct decoder *decoder, const json_t *json)
{
    struct config *config = decoder->config;
    const json_t *array;
    void *memory = NULL;
    int rc = list_begin(decoder, json, "tls", sizeof(*config->certificates), &array, &memory);
    config->certificates = memory;
    while (rc == 0 && config->certificates_count < json_array_size(array)) {
        const json_t *item = json_array_get(array, config->certificates_count);
        struct config_certificate *certificate =
            &config->certificates[config->certificates_count++];
        rc = scope_decode(decoder, item, CONFIG_TLS, certificate);
        if (rc == 0)
            rc = place_decode(decoder, item, &certificate->file, &certificate->line);
        if (rc == 0 && !certificate->sni)
            return bad(decoder, "sni", "no text");
    }
    return rc;
}

static int sites_decode(struct decoder *decoder, const json_t *json)
{
    struct config *config = decoder->config;
    const json_t *array;
    void *memory = NULL;
    int rc = list_begin(decoder, json, "sites", sizeof(*config->sites), &array, &memory);
    config->sites = memory;
    while (rc == 0 && config->sites_count < json_array_size(array)) {
        const json_t *item = json_array_get(array, config->sites_count);
        rc = site_decode(decoder, item, &config->sites[config->sites_count++]);
    }
    return rc;
}

static int places_decode(struct decoder *decoder, const json_t *json)
{
    struct config *config = decoder->config;
    const json_t *array;
    void *memory = NULL;
    int rc = list_begin(decoder, json, "places", sizeof(*config->places), &array, &memory);
    config->places = memory;
    while (rc == 0 && config->places_count < json_array_size(array)) {
        const json_t *item = json_array_get(array, config->places_count);
        struct config_place *place = &config->places[config->places_count++];
        rc = text_decode(decoder, item, "key", true, &place->key);
        if (rc == 0)
            rc = place_decode(decoder, item, &place->file, &place->line);
    }
    return rc;
}

static int shared_decode(struct decoder *decoder, const json_t *json)
{
    struct config *config = decoder->config;
    const json_t *array;
    void *memory = NULL;
    uint64_t total = 0;
    int rc = list_begin(decoder, json, "shared", sizeof(*config->shared), &array, &memory);
    config->shared = memory;
    if (rc == 0 && json_array_size(array) > CONFIG_SHARED_MAX)
        return bad(decoder, "shared", "too much in");
    while (rc == 0 && config->shared_count < json_array_size(array)) {
        const json_t *item = json_array_get(array, config->shared_count);
        struct config_shared *shared = &config->shared[config->shared_count++];
        rc = text_decode(decoder, item, "name", true, &shared->name);
        if (rc == 0 && !config_is_shared_name(shared->name))
            rc = bad(decoder, "name", "no name in");
        if (rc == 0)
            rc = integer_decode(decoder, item, "bytes", CONFIG_SHARED_BYTES_MIN,
                                CONFIG_SHARED_BYTES_MAX, &shared->bytes);
        total += shared->bytes;
        if (rc == 0 && (shared->bytes % 4096 || total > CONFIG_SHARED_BYTES_MAX))
            rc = bad(decoder, "bytes", "no size in");
    }
    return rc;
}

static int top_decode(struct decoder *decoder, const json_t *json)
{
    struct config *config = decoder->config;
    int rc = text_decode(decoder, json, "path", false, &config->path);
    if (rc == 0)
        rc = texts_decode(decoder, json, "files", &config->files, &config->files_count);
    if (rc == 0)
        rc = texts_decode(decoder, json, "warnings", &config->warnings, &config->warnings_count);
    if (rc == 0)
        rc = scope_decode(decoder, json, CONFIG_TOP, config);
    if (rc == 0)
        rc = listens_decode(decoder, json);
    if (rc == 0)
        rc = certificates_decode(decoder, json);
    if (rc == 0)
        rc = places_decode(decoder, json);
    if (rc == 0)
        rc = shared_decode(decoder, json);
    return rc < 0 ? rc : sites_decode(decoder, json);
}

int config_decode(struct span json, struct config **config, struct fault *fault)
{
    json_error_t error;
    struct decoder decoder = {.config = config_create(), .fault = fault};
    errno = 0;
    json_t *root = json_loadb(json.data, json.length, JSON_REJECT_DUPLICATES, &error);
    int rc = -ENOMEM;
    if (!root && errno != ENOMEM)
        rc = fault_set(fault, -EINVAL, NULL, error.line, "the encoded config is torn: %s",
                       error.text);
    else if (root && decoder.config)
        rc = top_decode(&decoder, root);
    json_decref(root);
    if (rc == 0) {
        *config = decoder.config;
        return 0;
    }
    if (rc == -ENOMEM)
        fault_set(fault, rc, NULL, 0, "out of memory");
    config_destroy(decoder.config);
    return rc;
}

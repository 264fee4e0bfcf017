/* The lists of the config: what to listen on, certificates, host names, policies. */
#include "master/config/config_resolver.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LISTENS_MAX 64
#define CERTIFICATES_MAX 10000
#define NAMES_MAX 10000
#define POLICIES_MAX 32           /* of one list */
#define ARGUMENTS_MAX (64 * 1024) /* bytes of one policy's arguments as JSON */

/* Refuses what is no list, has keys, or has more than `most` items. */
static int check_list(struct resolver *resolver, const char *name, const char *expected,
                      const struct value *list, size_t most)
{
    if (list->type != VALUE_TABLE)
        return resolve_refuse_type(resolver, name, expected, list);
    if (list->fields_count > 0)
        return resolve_refuse(resolver, list->fields[0].place,
                              "%s: expected %s, found the key \"%.64s\"", name, expected,
                              list->fields[0].key);
    if (list->items_count > most)
        return resolve_refuse(resolver, list->place, "%s: more than %zu entries", name, most);
    return 0;
}

/* ---- listen ---- */

static int resolve_listen(struct resolver *resolver, const struct value *item,
                          struct config_listen *listen)
{
    static const char *const EXPECTED =
        "a literal address and port, such as \"[::]:443\" or \"127.0.0.1:8080\"";
    const struct value *address = item;
    struct value keys;
    struct target target = {CONFIG_LISTEN, listen};
    int rc = 0;
    listen->file = resolve_file(resolver, item->place);
    listen->line = item->place.line;
    if (item->type == VALUE_TABLE && item->items_count == 1) {
        address = item->items[0];
        keys = *item;
        keys.items_count = 0;
        rc = resolve_fields(resolver, "listen", &keys, &target, 1);
    }
    if (rc < 0)
        return rc;
    if (item->type == VALUE_TABLE && item->items_count == 0)
        return resolve_refuse(resolver, item->place,
                              "listen: the address is missing; it stands "
                              "first, as in { \"[::]:443\", tls = true }");
    if (address->type != VALUE_TEXT ||
        config_parse_address(span_of(address->text), &listen->address, &listen->address_length) < 0)
        return resolve_refuse_type(resolver, "listen", EXPECTED, address);
    return resolve_set_text(resolver, &listen->text, address->text);
}

int resolve_listens(struct resolver *resolver, const struct value *list)
{
    struct config *config = resolver->config;
    int rc = check_list(resolver, "listen", "a list of addresses, such as { \"127.0.0.1:8080\" }",
                        list, LISTENS_MAX);
    if (rc < 0)
        return rc;
    config->listens = calloc(list->items_count + 1, sizeof(*config->listens));
    if (!config->listens)
        return resolve_no_memory(resolver);
    while (rc == 0 && config->listens_count < list->items_count) {
        const struct value *item = list->items[config->listens_count];
        rc = resolve_listen(resolver, item, &config->listens[config->listens_count++]);
    }
    return rc;
}

static int add_self_signed(struct resolver *resolver)
{
    struct config *config = resolver->config;
    config->certificates = calloc(1, sizeof(*config->certificates));
    if (!config->certificates)
        return resolve_no_memory(resolver);
    config->certificates_count = 1;
    return resolve_set_text(resolver, &config->certificates[0].sni, "*");
}

static int warn_self_signed(struct resolver *resolver)
{
    const struct config *config = resolver->config;
    for (size_t i = 0; i < config->certificates_count; i++) {
        const struct config_certificate *certificate = &config->certificates[i];
        if (!certificate->cert_path)
            return resolve_warn(resolver, (struct value_place){0, 0},
                                "no certificate for \"%s\", a self-signed one is made at start",
                                certificate->sni);
    }
    return 0;
}

/* What redirects needs somewhere to redirect to, and is not that itself. */
static int check_redirects(struct resolver *resolver, bool tls)
{
    const struct config *config = resolver->config;
    for (size_t i = 0; i < config->listens_count; i++) {
        const struct config_listen *listen = &config->listens[i];
        if (listen->redirect && listen->tls)
            return fault_set(resolver->fault, -EINVAL, listen->file, listen->line,
                             "listen: \"%s\" has tls and redirect; only one without tls redirects",
                             listen->text);
        if (listen->redirect && !tls)
            return fault_set(resolver->fault, -EINVAL, listen->file, listen->line,
                             "listen: \"%s\" redirects to https, but no listen has tls = true",
                             listen->text);
    }
    return 0;
}

int resolve_check_listens(struct resolver *resolver)
{
    struct config *config = resolver->config;
    bool tls = false;
    if (config->listens_count == 0)
        return resolve_refuse(resolver, (struct value_place){0, 0},
                              "nothing to listen on: add listen = { \"127.0.0.1:8080\" }");
    for (size_t i = 0; i < config->listens_count; i++) {
        const struct config_listen *listen = &config->listens[i];
        tls = tls || listen->tls;
        for (size_t k = 0; k < i; k++) {
            const struct config_listen *other = &config->listens[k];
            if (other->address_length == listen->address_length &&
                memcmp(&other->address, &listen->address, listen->address_length) == 0)
                return fault_set(resolver->fault, -EINVAL, listen->file, listen->line,
                                 "listen: \"%s\" is there twice, first at %s:%d", listen->text,
                                 other->file, other->line);
        }
    }
    int redirects = check_redirects(resolver, tls);
    if (redirects < 0)
        return redirects;
    if (!tls && config->certificates_count > 0)
        return resolve_warn(resolver, (struct value_place){0, 0},
                            "there are certificates, but no listen has tls = true");
    if (tls && config->certificates_count == 0) {
        int rc = add_self_signed(resolver);
        if (rc < 0)
            return rc;
    }
    return tls ? warn_self_signed(resolver) : 0;
}

/* ---- tls ---- */

static int resolve_certificate(struct resolver *resolver, const struct value *item, size_t index)
{
    struct config *config = resolver->config;
    struct config_certificate *certificate = &config->certificates[index];
    struct target target = {CONFIG_TLS, certificate};
    if (item->type != VALUE_TABLE)
        return resolve_refuse_type(resolver, "tls", "a table of sni, cert and key", item);
    certificate->file = resolve_file(resolver, item->place);
    certificate->line = item->place.line;
    int rc = resolve_fields(resolver, "tls", item, &target, 1);
    if (rc < 0)
        return rc;
    if (!certificate->sni)
        return resolve_refuse(resolver, item->place,
                              "tls: sni is missing; sni = \"*\" is the default certificate");
    if (!certificate->cert_path != !certificate->key_path)
        return resolve_refuse(resolver, item->place, "tls: there is a %s, but no %s",
                              certificate->cert_path ? "cert" : "key",
                              certificate->cert_path ? "key" : "cert");
    for (size_t i = 0; i < index; i++)
        if (strcmp(config->certificates[i].sni, certificate->sni) == 0)
            return resolve_refuse(
                resolver, item->place, "tls: sni \"%s\" is there twice, first at %s:%d",
                certificate->sni, config->certificates[i].file, config->certificates[i].line);
    return 0;
}

int resolve_certificates(struct resolver *resolver, const struct value *list)
{
    struct config *config = resolver->config;
    int rc = check_list(resolver, "tls", "a list of tables", list, CERTIFICATES_MAX);
    if (rc < 0)
        return rc;
    config->certificates = calloc(list->items_count + 1, sizeof(*config->certificates));
    if (!config->certificates)
        return resolve_no_memory(resolver);
    while (rc == 0 && config->certificates_count < list->items_count) {
        size_t index = config->certificates_count++;
        rc = resolve_certificate(resolver, list->items[index], index);
    }
    return rc;
}

/* ---- names ---- */

#define HOST_NAMES "a list of host names, such as { \"www.example.com\" }"

int resolve_names(struct resolver *resolver, const struct config_key *key, const struct value *list,
                  struct config_site *site)
{
    bool aliases = strcmp(key->name, "aliases") == 0;
    char ***names = aliases ? &site->aliases : &site->names;
    size_t *count = aliases ? &site->aliases_count : &site->names_count;
    int rc = check_list(resolver, key->name, HOST_NAMES, list, NAMES_MAX);
    if (rc < 0)
        return rc;
    if (!aliases && list->items_count == 0)
        return resolve_refuse_type(resolver, key->name, HOST_NAMES, list);
    *names = calloc(list->items_count + 1, sizeof(**names));
    if (!*names)
        return resolve_no_memory(resolver);
    while (*count < list->items_count) {
        const struct value *item = list->items[*count];
        bool everyone = item->type == VALUE_TEXT && !aliases && strcmp(item->text, "*") == 0;
        if (item->type != VALUE_TEXT || (!everyone && !config_is_host(item->text)))
            return resolve_refuse_type(
                resolver, key->name,
                aliases ? "a host name without port" : "a host name without port, or \"*\"", item);
        char *name = strdup(item->text);
        if (!name)
            return resolve_no_memory(resolver);
        (*names)[(*count)++] = name;
        for (char *at = name; *at; at++)
            *at = (char)tolower((unsigned char)*at);
        rc = resolve_note_name(resolver, name, item->place);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- policies ---- */

/* "preload" is one of the stock, "shop.lua" and "shop/cart.lua" are files below policy.dir. */
static bool is_policy_name(const char *name)
{
    size_t length = strlen(name);
    bool part = false;
    if (length == 0 || length > 128)
        return false;
    for (const char *at = name; *at; at++) {
        if (*at == '/' ? !part : !(isalnum((unsigned char)*at) || strchr("_-.", *at)))
            return false;
        if (*at == '.' && !part)
            return false;
        part = *at != '/';
    }
    return part;
}

static int read_arguments(struct resolver *resolver, const struct value *table, char **text)
{
    struct value arguments = *table;
    const struct value *culprit = NULL;
    char found[VALUE_DESCRIPTION_MAX];
    size_t length = 0;
    FILE *out = open_memstream(text, &length);
    if (!out)
        return resolve_no_memory(resolver);
    arguments.items_count = 0;
    int rc = value_write_json(&arguments, out, &culprit);
    if (fclose(out) != 0 || rc == -ENOMEM)
        return resolve_no_memory(resolver);
    if (rc < 0)
        return resolve_refuse(resolver, culprit->place,
                              "policies: an argument is a text, number, boolean, list or table "
                              "of keys, found %s",
                              culprit->type == VALUE_TABLE ? "a list that has keys"
                                                           : value_describe(culprit, found));
    if (length > ARGUMENTS_MAX)
        return resolve_refuse(resolver, table->place, "policies: the arguments are too long");
    return 0;
}

static int resolve_policy(struct resolver *resolver, const struct value *item,
                          struct config_policy *policy)
{
    static const char *const EXPECTED =
        "a policy's name, such as \"preload\", or { \"preload\", argument = value }";
    const struct value *name = item;
    struct value none = {.type = VALUE_TABLE, .place = item->place};
    if (item->type == VALUE_TABLE && item->items_count == 1)
        name = item->items[0];
    if (name->type != VALUE_TEXT || !is_policy_name(name->text))
        return resolve_refuse_type(resolver, "policies", EXPECTED, name);
    size_t length = strlen(name->text);
    bool file = length > 4 && strcmp(name->text + length - 4, ".lua") == 0;
    if (file && !resolver->config->policy.dir)
        return resolve_refuse(resolver, name->place,
                              "policies: \"%s\" is a file below policy.dir, which is not set",
                              name->text);
    if (!file && strpbrk(name->text, "./"))
        return resolve_refuse(resolver, name->place,
                              "policies: \"%s\" is neither a stock policy's name nor a .lua file",
                              name->text);
    policy->file = resolve_file(resolver, name->place);
    policy->line = name->place.line;
    int rc = resolve_set_text(resolver, &policy->name, name->text);
    return rc < 0 ? rc : read_arguments(resolver, name == item ? &none : item, &policy->arguments);
}

static void drop_policies(struct config_route *route)
{
    for (size_t i = 0; i < route->policies_count; i++) {
        free(route->policies[i].name);
        free(route->policies[i].arguments);
    }
    free(route->policies);
    route->policies = NULL;
    route->policies_count = 0;
}

int resolve_policies(struct resolver *resolver, const struct value *list,
                     struct config_route *route)
{
    int rc = check_list(resolver, "policies",
                        "a list of policies, such as { \"scan\", \"budget\" }", list, POLICIES_MAX);
    if (rc < 0)
        return rc;
    drop_policies(route);
    route->policies = calloc(list->items_count + 1, sizeof(*route->policies));
    if (!route->policies)
        return resolve_no_memory(resolver);
    while (rc == 0 && route->policies_count < list->items_count) {
        const struct value *item = list->items[route->policies_count];
        rc = resolve_policy(resolver, item, &route->policies[route->policies_count++]);
    }
    return rc;
}

#include "master/config/config_resolve.h"

#include "master/config/config_resolver.h"

#include <errno.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#define WORDS_MAX 128
#define FALLBACK_USER "nobody"

static const struct value_place NOWHERE = {0, 0};

const char *resolve_file(const struct resolver *resolver, struct value_place place)
{
    const struct config *config = resolver->config;
    return place.file < config->files_count ? config->files[place.file] : NULL;
}

int resolve_refuse(struct resolver *resolver, struct value_place place, const char *format, ...)
{
    char what[FAULT_WHAT_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    value_clean(what);
    return fault_set(resolver->fault, -EINVAL, resolve_file(resolver, place), place.line, "%s",
                     what);
}

int resolve_refuse_type(struct resolver *resolver, const char *name, const char *expected,
                        const struct value *found)
{
    char description[VALUE_DESCRIPTION_MAX];
    return resolve_refuse(resolver, found->place, "%s: expected %s, found %s", name, expected,
                          value_describe(found, description));
}

int resolve_no_memory(struct resolver *resolver)
{
    return fault_set(resolver->fault, -ENOMEM, NULL, 0, "out of memory");
}

int resolve_warn(struct resolver *resolver, struct value_place place, const char *format, ...)
{
    struct config *config = resolver->config;
    struct fault warning;
    char what[FAULT_WHAT_MAX];
    char text[FAULT_WHERE_MAX + FAULT_WHAT_MAX + 16];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    value_clean(what);
    fault_set(&warning, 0, resolve_file(resolver, place), place.line, "%s", what);
    char **warnings = reallocarray(config->warnings, config->warnings_count + 1, sizeof(*warnings));
    if (!warnings)
        return resolve_no_memory(resolver);
    config->warnings = warnings;
    warnings[config->warnings_count] = strdup(fault_text(&warning, text, sizeof(text)));
    return warnings[config->warnings_count++] ? 0 : resolve_no_memory(resolver);
}

static int refuse_unknown(struct resolver *resolver, const char *what,
                          const struct value_field *field, const struct target *targets,
                          size_t targets_count)
{
    const char *words[WORDS_MAX + 1];
    size_t used = 0;
    struct value word = {.type = VALUE_TEXT, .text = field->key};
    char shown[VALUE_DESCRIPTION_MAX];
    for (size_t i = 0; i < targets_count; i++) {
        size_t count;
        const struct config_key *keys = config_keys(targets[i].scope, &count);
        for (size_t k = 0; k < count && used < WORDS_MAX; k++)
            if (keys[k].standing != CONFIG_REFUSED)
                words[used++] = keys[k].name;
    }
    words[used] = NULL;
    const char *nearest = fault_nearest(field->key, words);
    const char *quoted = value_describe(&word, shown) + strlen("string ");
    const char *home =
        config_key_find(CONFIG_TOP, field->key) ? "the top" : config_key_home(field->key);
    if (home)
        return resolve_refuse(resolver, field->place, "unknown key %s in %s, it is a key of %s",
                              quoted, what, home);
    return resolve_refuse(resolver, field->place, "unknown key %s in %s%s%s%s", quoted, what,
                          nearest ? ", nearest \"" : "", nearest ? nearest : "",
                          nearest ? "\"" : "");
}

static int resolve_key(struct resolver *resolver, const struct config_key *key,
                       const struct value_field *field, void *object)
{
    struct target inner = {key->inner, (char *)object + key->offset};
    char name[CONFIG_KEY_NAME_MAX];
    if (key->standing == CONFIG_REFUSED)
        return resolve_refuse(resolver, field->place, "%s is not supported in this version (%s)",
                              config_key_name(key, name), key->prose);
    switch (key->type) {
    case CONFIG_SUBTABLE:
        if (field->value->type != VALUE_TABLE)
            return resolve_refuse_type(resolver, key->name, "a table of keys", field->value);
        return resolve_fields(resolver, key->name, field->value, &inner, 1);
    case CONFIG_LISTENS:
        return resolve_listens(resolver, field->value);
    case CONFIG_CERTIFICATES:
        return resolve_certificates(resolver, field->value);
    case CONFIG_NAMES:
        return resolve_names(resolver, key, field->value, object);
    case CONFIG_POLICIES:
        return resolve_policies(resolver, field->value, object);
    case CONFIG_SHARED:
        return resolve_shared(resolver, key, field);
    case CONFIG_ORIGINS:
        return resolve_origin(resolver, field, object);
    case CONFIG_IDENTIFY:
        return resolve_identify(resolver, key, field->value, object);
    case CONFIG_ROUTES:
        return 0;
    default:
        return resolve_scalar(resolver, key, field, object);
    }
}

int resolve_fields(struct resolver *resolver, const char *what, const struct value *table,
                   const struct target *targets, size_t targets_count)
{
    char found[VALUE_DESCRIPTION_MAX];
    if (table->items_count > 0)
        return resolve_refuse(resolver, table->items[0]->place,
                              "%s: expected `key = value`, found %s without a key", what,
                              value_describe(table->items[0], found));
    for (size_t i = 0; i < table->fields_count; i++) {
        const struct value_field *field = &table->fields[i];
        const struct config_key *key = NULL;
        size_t at = 0;
        while (at < targets_count && !(key = config_key_find(targets[at].scope, field->key)))
            at++;
        if (!key)
            return refuse_unknown(resolver, what, field, targets, targets_count);
        int rc = resolve_key(resolver, key, field, targets[at].object);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int resolve_identify(struct resolver *resolver, const struct config_key *key,
                     const struct value *list, void *object)
{
    struct config *config = object;
    struct config_site *site = object;
    bool of_site = key->scope == CONFIG_SITE;
    enum config_identify *order = of_site ? site->identify : config->clients.identify;
    size_t *used = of_site ? &site->identify_count : &config->clients.identify_count;
    const char *words[CONFIG_IDENTIFY_MAX + 1] = {NULL};
    char name[CONFIG_KEY_NAME_MAX];
    config_key_name(key, name);
    for (int i = 0; i < CONFIG_IDENTIFY_MAX; i++)
        words[i] = config_identify_name((enum config_identify)i);
    if (list->type != VALUE_TABLE || list->fields_count > 0 || list->items_count == 0)
        return resolve_refuse_type(resolver, name,
                                   "a list of \"cookie\", \"tls\" and \"connection\"", list);
    *used = 0;
    for (size_t i = 0; i < list->items_count; i++) {
        const struct value *item = list->items[i];
        int word = 0;
        while (item->type == VALUE_TEXT && words[word] && strcmp(words[word], item->text) != 0)
            word++;
        if (item->type != VALUE_TEXT)
            return resolve_refuse_type(resolver, name, "\"cookie\", \"tls\" or \"connection\"",
                                       item);
        if (!words[word]) {
            const char *nearest = fault_nearest(item->text, words);
            return resolve_refuse(resolver, item->place, "%s: unknown word \"%.64s\"%s%s%s", name,
                                  item->text, nearest ? ", nearest \"" : "", nearest ? nearest : "",
                                  nearest ? "\"" : "");
        }
        for (size_t k = 0; k < *used; k++)
            if (order[k] == (enum config_identify)word)
                return resolve_refuse(resolver, item->place, "%s: \"%s\" is there twice", name,
                                      item->text);
        order[(*used)++] = (enum config_identify)word;
    }
    return 0;
}

static bool is_set(const struct config *config, const char *key)
{
    const char *file;
    int line;
    config_place(config, key, &file, &line);
    return file != NULL;
}

static struct value_place place_of(const struct value *top, const char *table, const char *key)
{
    const struct value *inner = table ? value_get(top, table) : top;
    for (size_t i = 0; inner && i < inner->fields_count; i++)
        if (strcmp(inner->fields[i].key, key) == 0)
            return inner->fields[i].place;
    return NOWHERE;
}

/* Without privileges state and socket lie where an ordinary user may write, and the demo's lie
 * apart from those of a herald that serves somebody. */
static int resolve_state(struct resolver *resolver, const struct value *top)
{
    struct config *config = resolver->config;
    bool own = !resolver->facts->privileged || resolver->facts->apart;
    int rc = 0;
    if (own && !is_set(config, "state") && !*resolver->facts->state)
        return resolve_refuse(resolver, NOWHERE,
                              "state: without $HOME there is no default for it, set it");
    if (own && !is_set(config, "state"))
        rc = resolve_set_text(resolver, &config->state_dir, resolver->facts->state);
    if (rc == 0 && own && !is_set(config, "admin.socket")) {
        size_t length = strlen(config->state_dir);
        char *path;
        while (length > 1 && config->state_dir[length - 1] == '/')
            length--;
        if (asprintf(&path, "%.*s.sock", (int)length, config->state_dir) < 0)
            return resolve_no_memory(resolver);
        free(config->admin.socket);
        config->admin.socket = path;
    }
    if (rc == 0 && strlen(config->admin.socket) >= sizeof(((struct sockaddr_un *)0)->sun_path))
        rc = resolve_refuse(resolver, place_of(top, "admin", "socket"),
                            "admin.socket: the path \"%.200s\" is longer than 107 bytes",
                            config->admin.socket);
    return rc;
}

static int resolve_user(struct resolver *resolver, const struct value *top)
{
    struct config *config = resolver->config;
    struct value_place place = place_of(top, NULL, "user");
    const struct passwd *user;
    if (!resolver->facts->privileged)
        return 0;
    user = getpwnam(config->user);
    if (user && user->pw_uid == 0)
        return resolve_refuse(resolver, place, "user: \"%s\" is root, and workers must not be root",
                              config->user);
    if (user)
        return 0;
    if (!getpwnam(FALLBACK_USER))
        return resolve_refuse(
            resolver, place, "user: neither \"%s\" nor \"" FALLBACK_USER "\" exists", config->user);
    int rc = resolve_warn(
        resolver, place, "user \"%s\" does not exist, workers run as " FALLBACK_USER, config->user);
    return rc < 0 ? rc : resolve_set_text(resolver, &config->user, FALLBACK_USER);
}

static int resolve_top(struct resolver *resolver, const struct value *top)
{
    struct config *config = resolver->config;
    struct target target = {CONFIG_TOP, config};
    int rc = resolve_defaults(resolver, CONFIG_TOP, config);
    for (int i = 0; i < CONFIG_IDENTIFY_MAX; i++)
        config->clients.identify[config->clients.identify_count++] = (enum config_identify)i;
    if (rc == 0)
        rc = resolve_fields(resolver, "the config", top, &target, 1);
    if (rc == 0)
        rc = resolve_state(resolver, top);
    if (rc == 0)
        rc = resolve_user(resolver, top);
    if (rc == 0 && config->workers == 0)
        config->workers = resolver->facts->cpus < 64 ? resolver->facts->cpus : 64;
    if (rc == 0 && config->policy.hard_ms > 0 && config->policy.hard_ms <= config->policy.soft_ms)
        rc = resolve_refuse(resolver, place_of(top, "policy", "hard"),
                            "policy.hard (%ums) is to be more than policy.soft (%ums)",
                            config->policy.hard_ms, config->policy.soft_ms);
    return rc;
}

static int resolve_sites(struct resolver *resolver, const struct value *sites)
{
    struct config *config = resolver->config;
    int rc = 0;
    if (sites->items_count == 0)
        return resolve_refuse(resolver, NOWHERE,
                              "there is no site: add site { root = \"/srv/www\" }");
    config->sites = calloc(sites->items_count, sizeof(*config->sites));
    if (!config->sites)
        return resolve_no_memory(resolver);
    while (rc == 0 && config->sites_count < sites->items_count) {
        const struct value *table = sites->items[config->sites_count];
        rc = resolve_site(resolver, table, &config->sites[config->sites_count++]);
    }
    return rc < 0 ? rc : resolve_check_sites(resolver);
}

static int copy_files(struct resolver *resolver, char *const *files, size_t count)
{
    struct config *config = resolver->config;
    config->files = calloc(count + 1, sizeof(*config->files));
    if (!config->files)
        return resolve_no_memory(resolver);
    for (; config->files_count < count; config->files_count++) {
        config->files[config->files_count] = strdup(files[config->files_count]);
        if (!config->files[config->files_count])
            return resolve_no_memory(resolver);
    }
    return 0;
}

int config_resolve(const struct value *top, const struct value *sites, char *const *files,
                   size_t files_count, const struct config_facts *facts, struct config **config,
                   struct fault *fault)
{
    struct resolver resolver = {.facts = facts, .config = config_create(), .fault = fault};
    if (!resolver.config)
        return resolve_no_memory(&resolver);
    int rc = copy_files(&resolver, files, files_count);
    if (rc == 0)
        rc = resolve_top(&resolver, top);
    if (rc == 0)
        rc = resolve_check_listens(&resolver);
    if (rc == 0)
        rc = resolve_sites(&resolver, sites);
    free(resolver.names);
    if (rc < 0)
        config_destroy(resolver.config);
    else
        *config = resolver.config;
    return rc;
}

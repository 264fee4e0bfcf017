/* The keys of the config file as data: the rows of config_keys.def and limits.def. */
#ifndef HERALD_CONFIG_KEY_H
#define HERALD_CONFIG_KEY_H

#include "master/handoff/config.h"

#include <stddef.h>
#include <stdint.h>

/* Where keys stand, in the order of the manual; each has a struct that its members belong to. */
enum config_scope {
    CONFIG_TOP, /* struct config, as the next four */
    CONFIG_CLIENTS,
    CONFIG_POLICY,
    CONFIG_LOG,
    CONFIG_ADMIN,
    CONFIG_CACHE,
    CONFIG_LIMITS, /* struct config_limits */
    CONFIG_LISTEN, /* struct config_listen */
    CONFIG_TLS,    /* struct config_certificate */
    CONFIG_SITE,   /* struct config_site; a site's table also takes the keys of CONFIG_ROUTE */
    CONFIG_ROUTE,  /* struct config_route */
    CONFIG_PUSH,   /* struct config_push */
    CONFIG_ORIGIN, /* struct config_route */
    CONFIG_SCOPES
};

enum config_type {
    /* char * */
    CONFIG_USER,
    CONFIG_PATH,
    CONFIG_LOG_FILE,
    CONFIG_ADDRESS,
    CONFIG_SNI,
    CONFIG_AUTHORITY,
    CONFIG_REDIRECT, /* "https" */
    CONFIG_FIELD_VALUE,
    /* bool */
    CONFIG_BOOL,
    /* uint32_t or uint64_t, as `size` says */
    CONFIG_WORKERS,
    CONFIG_BUDGET, /* bytes, "auto" or "off" */
    CONFIG_COUNT,
    CONFIG_SHARE, /* from 0 to 1; kept in parts of CONFIG_SHARE_ALL */
    CONFIG_DURATION_S,
    CONFIG_DURATION_MS,
    CONFIG_REMEMBER, /* seconds, or "never" */
    CONFIG_SIZE,
    CONFIG_TABLE_SIZE,
    /* tables and lists */
    CONFIG_IDENTIFY,
    CONFIG_NAMES,
    CONFIG_LISTENS,
    CONFIG_CERTIFICATES,
    CONFIG_POLICIES,
    CONFIG_SHARED,
    CONFIG_ORIGINS,
    CONFIG_ROUTES,
    CONFIG_SUBTABLE, /* keys of the scope `inner`, in the object at `offset` */
};

enum config_standing {
    CONFIG_WORKS,
    CONFIG_IDLE,    /* read and checked, without effect in this version */
    CONFIG_REFUSED, /* of a later version; `prose` says what it is */
};

struct config_key {
    enum config_scope scope;
    enum config_scope inner; /* the scope itself unless the type is a table */
    enum config_type type;
    enum config_standing standing;
    const char *name;
    size_t offset;    /* of the member in the scope's struct */
    size_t size;      /* of a number's member: 4 or 8 bytes */
    const char *text; /* the default of a text; NULL: none */
    uint64_t number;  /* the default of a number */
    uint64_t least;
    uint64_t most;
    const char *prose;
};

/* The keys of one scope, `*count` of them, in the table's order. */
const struct config_key *config_keys(enum config_scope scope, size_t *count);

/* The key of that name in the scope, or NULL. */
const struct config_key *config_key_find(enum config_scope scope, const char *name);

/* Where a key of that name stands that is none at the top: "clients", "site"; NULL when nowhere. */
const char *config_key_home(const char *name);

/* The key as people call it: "clients.table", "push.max_bytes", "names". Returns `text`. */
#define CONFIG_KEY_NAME_MAX 64
const char *config_key_name(const struct config_key *key, char text[CONFIG_KEY_NAME_MAX]);

/* What stands before a key of the scope in faults: "clients", "push", "tls"; "" at the top. */
const char *config_scope_name(enum config_scope scope);

/* Whether the key's member is a `char *`, or a number. */
bool config_key_is_text(const struct config_key *key);
bool config_key_is_number(const struct config_key *key);

/* The number at the key's member of `object`, the scope's struct. */
uint64_t config_key_number(const struct config_key *key, const void *object);
void config_key_set_number(const struct config_key *key, void *object, uint64_t number);

/* The text's member. */
char **config_key_text(const struct config_key *key, void *object);

/* `number` of the key's type as the config would say it: "30d", "256MiB", "true", "auto", "20".
 * Returns `text`. */
const char *config_key_format(const struct config_key *key, uint64_t number,
                              char text[CONFIG_FORMAT_MAX]);

/* "cookie" and so on; IDENTIFY_... is from 0 to CONFIG_IDENTIFY_MAX - 1. */
const char *config_identify_name(enum config_identify identify);

#endif

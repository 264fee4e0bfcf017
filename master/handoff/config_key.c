#include "master/handoff/config_key.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)
#define SECOND UINT64_C(1000) /* in milliseconds */
#define HOUR UINT64_C(3600)
#define DAY (HOUR * 24)

#define OBJECT_TOP struct config
#define OBJECT_CLIENTS struct config
#define OBJECT_POLICY struct config
#define OBJECT_LOG struct config
#define OBJECT_ADMIN struct config
#define OBJECT_CACHE struct config
#define OBJECT_LISTEN struct config_listen
#define OBJECT_TLS struct config_certificate
#define OBJECT_SITE struct config_site
#define OBJECT_ROUTE struct config_route
#define OBJECT_PUSH struct config_push
#define OBJECT_ORIGIN struct config_route

/* Where a table's keys are kept: in the same struct, unless it has a struct of its own. */
#define INNER_OFFSET_TOP 0
#define INNER_OFFSET_CLIENTS 0
#define INNER_OFFSET_POLICY 0
#define INNER_OFFSET_LOG 0
#define INNER_OFFSET_ADMIN 0
#define INNER_OFFSET_CACHE 0
#define INNER_OFFSET_LIMITS offsetof(struct config, limits)
#define INNER_OFFSET_LISTEN 0
#define INNER_OFFSET_TLS 0
#define INNER_OFFSET_SITE 0
#define INNER_OFFSET_ROUTE 0
#define INNER_OFFSET_PUSH offsetof(struct config_route, push)
#define INNER_OFFSET_ORIGIN 0

#define MEMBER_SIZE(object, member) sizeof(((object *)0)->member)

static const struct config_key KEYS[] = {
#define NUMBER(standing_, scope_, key_, type_, member_, default_, least_, most_, prose_) \
    {.scope = CONFIG_##scope_,                                                           \
     .inner = CONFIG_##scope_,                                                           \
     .type = CONFIG_##type_,                                                             \
     .standing = CONFIG_##standing_,                                                     \
     .name = #key_,                                                                      \
     .offset = offsetof(OBJECT_##scope_, member_),                                       \
     .size = MEMBER_SIZE(OBJECT_##scope_, member_),                                      \
     .number = default_,                                                                 \
     .least = least_,                                                                    \
     .most = most_,                                                                      \
     .prose = prose_},
#define TEXT(standing_, scope_, key_, type_, member_, default_, prose_) \
    {.scope = CONFIG_##scope_,                                          \
     .inner = CONFIG_##scope_,                                          \
     .type = CONFIG_##type_,                                            \
     .standing = CONFIG_##standing_,                                    \
     .name = #key_,                                                     \
     .offset = offsetof(OBJECT_##scope_, member_),                      \
     .text = default_,                                                  \
     .prose = prose_},
#define TABLE(scope_, key_, type_, inner_, prose_) \
    {.scope = CONFIG_##scope_,                     \
     .inner = CONFIG_##inner_,                     \
     .type = CONFIG_##type_,                       \
     .standing = CONFIG_WORKS,                     \
     .name = #key_,                                \
     .offset = INNER_OFFSET_##inner_,              \
     .prose = prose_},
#define LATER(scope_, key_, prose_) \
    {.scope = CONFIG_##scope_,      \
     .inner = CONFIG_##scope_,      \
     .standing = CONFIG_REFUSED,    \
     .name = #key_,                 \
     .prose = prose_},
#include "master/handoff/config_keys.def"
#undef NUMBER
#undef TEXT
#undef TABLE
#undef LATER

#define LIMIT(key_, type_, default_, least_, most_, prose_) \
    {.scope = CONFIG_LIMITS,                                \
     .inner = CONFIG_LIMITS,                                \
     .type = CONFIG_##type_,                                \
     .standing = CONFIG_WORKS,                              \
     .name = #key_,                                         \
     .offset = offsetof(struct config_limits, key_),        \
     .size = sizeof(uint64_t),                              \
     .number = default_,                                    \
     .least = least_,                                       \
     .most = most_,                                         \
     .prose = prose_},
#include "master/handoff/limits.def"
#undef LIMIT
};

#define KEYS_COUNT (sizeof(KEYS) / sizeof(KEYS[0]))

static const char *const SCOPE_NAMES[CONFIG_SCOPES] = {
    [CONFIG_TOP] = "",          [CONFIG_CLIENTS] = "clients", [CONFIG_POLICY] = "policy",
    [CONFIG_LOG] = "log",       [CONFIG_ADMIN] = "admin",     [CONFIG_LIMITS] = "limits",
    [CONFIG_LISTEN] = "listen", [CONFIG_TLS] = "tls",         [CONFIG_SITE] = "site",
    [CONFIG_ROUTE] = "route",   [CONFIG_PUSH] = "push",       [CONFIG_ORIGIN] = "origin",
    [CONFIG_CACHE] = "cache",
};

static const char *const IDENTIFY_NAMES[CONFIG_IDENTIFY_MAX] = {
    [IDENTIFY_COOKIE] = "cookie",
    [IDENTIFY_TLS] = "tls",
    [IDENTIFY_CONNECTION] = "connection",
};

/* A scope's rows stand together in the tables. */
const struct config_key *config_keys(enum config_scope scope, size_t *count)
{
    size_t first = 0;
    size_t end;
    while (first < KEYS_COUNT && KEYS[first].scope != scope)
        first++;
    for (end = first; end < KEYS_COUNT && KEYS[end].scope == scope;)
        end++;
    *count = end - first;
    return &KEYS[first];
}

const struct config_key *config_key_find(enum config_scope scope, const char *name)
{
    size_t count;
    const struct config_key *keys = config_keys(scope, &count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(keys[i].name, name) == 0)
            return &keys[i];
    return NULL;
}

const char *config_key_home(const char *name)
{
    for (size_t i = 0; i < KEYS_COUNT; i++)
        if (KEYS[i].scope != CONFIG_TOP && strcmp(KEYS[i].name, name) == 0)
            return KEYS[i].scope == CONFIG_ROUTE ? "site" : SCOPE_NAMES[KEYS[i].scope];
    return NULL;
}

const char *config_key_name(const struct config_key *key, char text[CONFIG_KEY_NAME_MAX])
{
    bool bare = key->scope == CONFIG_TOP || key->scope == CONFIG_SITE || key->scope == CONFIG_ROUTE;
    snprintf(text, CONFIG_KEY_NAME_MAX, "%s%s%s", bare ? "" : SCOPE_NAMES[key->scope],
             bare ? "" : ".", key->name);
    return text;
}

const char *config_scope_name(enum config_scope scope)
{
    assert(scope < CONFIG_SCOPES);
    return SCOPE_NAMES[scope];
}

bool config_key_is_text(const struct config_key *key)
{
    return key->standing != CONFIG_REFUSED && key->type <= CONFIG_FIELD_VALUE;
}

bool config_key_is_number(const struct config_key *key)
{
    return key->type >= CONFIG_WORKERS && key->type <= CONFIG_TABLE_SIZE;
}

uint64_t config_key_number(const struct config_key *key, const void *object)
{
    const char *at = (const char *)object + key->offset;
    uint64_t wide;
    uint32_t narrow;
    bool truth;
    if (key->type == CONFIG_BOOL) {
        memcpy(&truth, at, sizeof(truth));
        return truth;
    }
    assert(config_key_is_number(key) && (key->size == 4 || key->size == 8));
    if (key->size == 8) {
        memcpy(&wide, at, sizeof(wide));
        return wide;
    }
    memcpy(&narrow, at, sizeof(narrow));
    return narrow;
}

void config_key_set_number(const struct config_key *key, void *object, uint64_t number)
{
    char *at = (char *)object + key->offset;
    uint32_t narrow = (uint32_t)number;
    bool truth = number != 0;
    if (key->type == CONFIG_BOOL) {
        memcpy(at, &truth, sizeof(truth));
        return;
    }
    assert(config_key_is_number(key) && (key->size == 8 || number <= UINT32_MAX));
    if (key->size == 8)
        memcpy(at, &number, sizeof(number));
    else
        memcpy(at, &narrow, sizeof(narrow));
}

char **config_key_text(const struct config_key *key, void *object)
{
    assert(config_key_is_text(key));
    return (char **)(void *)((char *)object + key->offset);
}

/* "0.05": the digits that matter. */
static void format_share(uint64_t share, char text[CONFIG_FORMAT_MAX])
{
    int length = snprintf(text, CONFIG_FORMAT_MAX, "%" PRIu64 ".%06" PRIu64,
                          share / CONFIG_SHARE_ALL, share % CONFIG_SHARE_ALL);
    while (text[length - 1] == '0')
        text[--length] = 0;
    if (text[length - 1] == '.')
        text[length - 1] = 0;
}

const char *config_key_format(const struct config_key *key, uint64_t number,
                              char text[CONFIG_FORMAT_MAX])
{
    switch (key->type) {
    case CONFIG_BOOL:
        snprintf(text, CONFIG_FORMAT_MAX, "%s", number ? "true" : "false");
        break;
    case CONFIG_REMEMBER:
        if (number == 0) {
            snprintf(text, CONFIG_FORMAT_MAX, "never");
            break;
        }
        /* fall through */
    case CONFIG_DURATION_S:
        return config_format_duration(number * 1000, text);
    case CONFIG_DURATION_MS:
        return config_format_duration(number, text);
    case CONFIG_BUDGET:
        if (number == CONFIG_BUDGET_AUTO || number == CONFIG_BUDGET_OFF) {
            snprintf(text, CONFIG_FORMAT_MAX, "%s", number == CONFIG_BUDGET_OFF ? "off" : "auto");
            break;
        }
        /* fall through */
    case CONFIG_SIZE:
    case CONFIG_TABLE_SIZE:
        return config_format_size(number, text);
    case CONFIG_SHARE:
        format_share(number, text);
        break;
    case CONFIG_WORKERS:
        if (number == 0) {
            snprintf(text, CONFIG_FORMAT_MAX, "auto");
            break;
        }
        /* fall through */
    default:
        snprintf(text, CONFIG_FORMAT_MAX, "%" PRIu64, number);
    }
    return text;
}

const char *config_identify_name(enum config_identify identify)
{
    assert((unsigned)identify < CONFIG_IDENTIFY_MAX);
    return IDENTIFY_NAMES[identify];
}

/* Texts, numbers and booleans of the config: what each type takes and what it means. */
#include "master/config/config_resolver.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#define EXPECTED_MAX 160

static bool is_size(const struct config_key *key)
{
    return key->type == CONFIG_SIZE || key->type == CONFIG_TABLE_SIZE || key->type == CONFIG_BUDGET;
}

static const char *expected_number(const struct config_key *key, char text[EXPECTED_MAX])
{
    char least[CONFIG_FORMAT_MAX];
    char most[CONFIG_FORMAT_MAX];
    const char *what = "a whole number";
    const char *such_as = "";
    if (key->type == CONFIG_WORKERS)
        what = "\"auto\" or a whole number";
    if (key->type == CONFIG_SHARE) {
        what = "a share";
        such_as = ", such as 0.05";
    }
    if (is_size(key)) {
        what = key->type == CONFIG_BUDGET ? "\"auto\", \"off\" or a size" : "a size";
        such_as = ", such as \"64KiB\" or \"1MiB\"";
    }
    if (key->type == CONFIG_DURATION_MS || key->type == CONFIG_DURATION_S ||
        key->type == CONFIG_REMEMBER) {
        what = key->type == CONFIG_REMEMBER ? "\"never\" or a duration" : "a duration";
        such_as = key->type == CONFIG_DURATION_MS ? ", such as \"500ms\" or \"10s\""
                                                  : ", such as \"10s\" or \"1d\"";
    }
    config_key_format(key, key->least, least);
    config_key_format(key, key->most, most);
    if (key->type == CONFIG_BUDGET)
        config_format_size(key->most, most);
    if (key->type == CONFIG_REMEMBER && key->least == 0)
        snprintf(least, sizeof(least), "0s");
    snprintf(text, EXPECTED_MAX, "%s from %s to %s%s", what, least, most, such_as);
    return text;
}

static const char *expected_text(const struct config_key *key)
{
    switch (key->type) {
    case CONFIG_USER:
        return "a user's name";
    case CONFIG_LOG_FILE:
        return key->text && strcmp(key->text, "off") == 0 ? "a path, \"stderr\" or \"off\""
                                                          : "a path or \"stderr\"";
    case CONFIG_ADDRESS:
        return "a literal address and port, such as \"127.0.0.1:9900\"";
    case CONFIG_SNI:
        return "a host name, \"*.host.name\" or \"*\"";
    case CONFIG_AUTHORITY:
        return "a host name and perhaps a port, such as \"app.internal:8080\"";
    case CONFIG_REDIRECT:
        return "\"https\"";
    case CONFIG_FIELD_VALUE:
        return "the value of a header field";
    default:
        return "a path";
    }
}

int resolve_set_text(struct resolver *resolver, char **member, const char *text)
{
    char *copy = strdup(text);
    if (!copy)
        return resolve_no_memory(resolver);
    free(*member);
    *member = copy;
    return 0;
}

int resolve_set_path(struct resolver *resolver, char **member, const char *text)
{
    char *path;
    while (text[0] == '.' && text[1] == '/')
        for (text += 2; *text == '/'; text++)
            ;
    bool here = strcmp(text, ".") == 0 || !*text;
    if (text[0] == '/')
        return resolve_set_text(resolver, member, text);
    if (asprintf(&path, "%s%s%s", resolver->facts->directory, here ? "" : "/", here ? "" : text) <
        0)
        return resolve_no_memory(resolver);
    free(*member);
    *member = path;
    return 0;
}

/* RFC 9110 5.5: visible characters, spaces and tabs within, and bytes above 127. */
static bool is_field_value(const char *text)
{
    size_t length = strlen(text);
    if (length == 0 || isspace((unsigned char)text[0]) || isspace((unsigned char)text[length - 1]))
        return false;
    for (; *text; text++)
        if (((unsigned char)*text < 0x20 && *text != '\t') || *text == 0x7f)
            return false;
    return true;
}

/* A server's URL has the same form behind its scheme. */
static bool is_authority(const char *text)
{
    struct config_server server = {0};
    char url[512];
    bool good = snprintf(url, sizeof(url), "http://%s", text) < (int)sizeof(url) &&
                config_parse_server(url, &server) == 0;
    config_server_finish(&server);
    return good;
}

static bool is_sni(const char *text)
{
    if (strncmp(text, "*.", 2) == 0)
        return text[2] != '[' && config_is_host(text + 2);
    return strcmp(text, "*") == 0 || config_is_host(text);
}

static bool is_user(const char *text)
{
    size_t length = strlen(text);
    if (length == 0 || length > 32 || text[0] == '-')
        return false;
    for (; *text; text++)
        if (!((unsigned char)*text < 0x80 &&
              (isalnum((unsigned char)*text) || strchr("_.-$", *text))))
            return false;
    return true;
}

static int resolve_text(struct resolver *resolver, const struct config_key *key,
                        const struct value *value, void *object)
{
    char name[CONFIG_KEY_NAME_MAX];
    char **member = config_key_text(key, object);
    const char *text = value->type == VALUE_TEXT ? value->text : "";
    struct sockaddr_storage address;
    socklen_t length;
    bool good = *text != 0;
    bool log_word = key->type == CONFIG_LOG_FILE && strcmp(text, "stderr") == 0;
    bool off = key->text && strcmp(key->text, "off") == 0 && strcmp(text, "off") == 0;
    if (key->type == CONFIG_USER)
        good = is_user(text);
    else if (key->type == CONFIG_SNI)
        good = is_sni(text);
    else if (key->type == CONFIG_AUTHORITY)
        good = is_authority(text);
    else if (key->type == CONFIG_REDIRECT)
        good = strcmp(text, "https") == 0;
    else if (key->type == CONFIG_FIELD_VALUE)
        good = is_field_value(text);
    else if (key->type == CONFIG_LOG_FILE)
        good = *text && (off || strcmp(text, "off") != 0);
    else if (key->type == CONFIG_ADDRESS)
        good = config_parse_address(span_of(text), &address, &length) == 0;
    if (!good)
        return resolve_refuse_type(resolver, config_key_name(key, name), expected_text(key), value);
    if (off) {
        free(*member);
        *member = NULL;
        return 0;
    }
    if ((key->type == CONFIG_PATH || key->type == CONFIG_LOG_FILE) && !log_word)
        return resolve_set_path(resolver, member, text);
    int rc = resolve_set_text(resolver, member, text);
    for (char *at = *member; rc == 0 && key->type == CONFIG_SNI && *at; at++)
        *at = (char)tolower((unsigned char)*at);
    return rc;
}

/* The number that `value` stands for, in the key's unit; false when it is none. */
static bool number_of(const struct config_key *key, const struct value *value, uint64_t *number)
{
    struct span text = span_of(value->type == VALUE_TEXT ? value->text : NULL);
    bool whole = value->type == VALUE_NUMBER && value->number >= 0 && value->number < 1e15 &&
                 floor(value->number) == value->number;
    switch (key->type) {
    case CONFIG_DURATION_MS:
        return config_parse_duration(text, number) == 0;
    case CONFIG_REMEMBER:
        *number = 0;
        if (span_equal(text, SPAN_LITERAL("never")))
            return true;
        /* fall through */
    case CONFIG_DURATION_S:
        if (config_parse_duration(text, number) < 0 || *number % 1000 != 0)
            return false;
        *number /= 1000;
        return true;
    case CONFIG_BUDGET:
    case CONFIG_SIZE:
    case CONFIG_TABLE_SIZE:
        if (text.data)
            return config_parse_size(text, number) == 0;
        break;
    case CONFIG_SHARE:
        if (value->type != VALUE_NUMBER || !(value->number >= 0 && value->number <= 1))
            return false;
        *number = (uint64_t)llround(value->number * CONFIG_SHARE_ALL);
        return true;
    default:
        break;
    }
    if (whole)
        *number = (uint64_t)value->number;
    return whole;
}

/* Per cent were probably meant: 5 and "5%" are 0.05. */
static const char *nearest_share(const struct config_key *key, const struct value *value,
                                 char text[EXPECTED_MAX])
{
    char share[CONFIG_FORMAT_MAX];
    double percent = value->type == VALUE_NUMBER ? value->number
                     : value->type == VALUE_TEXT ? strtod(value->text, NULL)
                                                 : 0;
    if (!(percent > 0 && percent <= 100))
        return "";
    config_key_format(key, (uint64_t)llround(percent * CONFIG_SHARE_ALL / 100), share);
    snprintf(text, EXPECTED_MAX, ", nearest %s", share);
    return text;
}

/* The unit that was probably meant: "64MB" is "64MiB", "90" seconds "90s". */
static const char *nearest_number(const struct config_key *key, const struct value *value,
                                  char text[EXPECTED_MAX])
{
    static const char *const SIZES[] = {"KiB", "MiB", "GiB", "TiB", NULL};
    static const char *const TIMES[] = {"d", "h", "ms", "m", "s", NULL};
    bool size = is_size(key);
    bool time = key->type == CONFIG_DURATION_MS || key->type == CONFIG_DURATION_S ||
                key->type == CONFIG_REMEMBER;
    size_t digits = value->type == VALUE_TEXT ? strspn(value->text, "0123456789") : 0;
    const char *unit = digits ? value->text + digits : "";
    unit += strspn(unit, " ");
    const char *meant = time && !*unit ? "s" : NULL;
    for (const char *const *one = size ? SIZES : TIMES; *one; one++)
        if (strcmp(unit, *one) == 0)
            return "";
    for (const char *const *one = size ? SIZES : TIMES; *unit && !meant && *one; one++)
        if (tolower((unsigned char)*unit) == tolower((unsigned char)(*one)[0]) &&
            (strcmp(*one, "ms") != 0 || strncmp(unit, "mil", 3) == 0))
            meant = *one;
    if (digits == 0 || digits > 15 || !meant || !(size || time))
        return "";
    snprintf(text, EXPECTED_MAX, ", nearest \"%.*s%s\"", (int)digits, value->text, meant);
    return text;
}

static int refuse_number(struct resolver *resolver, const struct config_key *key,
                         const struct value *value)
{
    char expected[EXPECTED_MAX];
    char nearest[EXPECTED_MAX];
    char name[CONFIG_KEY_NAME_MAX];
    char found[VALUE_DESCRIPTION_MAX];
    return resolve_refuse(resolver, value->place, "%s: expected %s, found %s%s",
                          config_key_name(key, name), expected_number(key, expected),
                          value_describe(value, found),
                          key->type == CONFIG_SHARE ? nearest_share(key, value, nearest)
                                                    : nearest_number(key, value, nearest));
}

/* The words that stand for a number beyond the key's bounds. */
static bool is_word(const struct config_key *key, const struct value *value, uint64_t *number)
{
    const char *text = value->type == VALUE_TEXT ? value->text : "";
    bool automatic = strcmp(text, "auto") == 0;
    if (key->type == CONFIG_BUDGET) {
        *number = automatic ? CONFIG_BUDGET_AUTO : CONFIG_BUDGET_OFF;
        return automatic || strcmp(text, "off") == 0;
    }
    *number = 0;
    return automatic && key->type == CONFIG_WORKERS;
}

static int resolve_number(struct resolver *resolver, const struct config_key *key,
                          const struct value *value, void *object)
{
    char name[CONFIG_KEY_NAME_MAX];
    char given[CONFIG_FORMAT_MAX];
    char taken[CONFIG_FORMAT_MAX];
    uint64_t number = 0;
    if (is_word(key, value, &number)) {
        config_key_set_number(key, object, number);
        return 0;
    }
    if (!number_of(key, value, &number) || number < key->least || number > key->most)
        return refuse_number(resolver, key, value);
    if (key->type == CONFIG_TABLE_SIZE && (number & (number - 1))) {
        uint64_t power = UINT64_C(1) << (63 - __builtin_clzll(number));
        resolve_warn(resolver, value->place, "%s: %s is rounded down to %s, a power of two",
                     config_key_name(key, name), config_format_size(number, given),
                     config_format_size(power, taken));
        number = power;
    }
    config_key_set_number(key, object, number);
    return 0;
}

int resolve_note_place(struct resolver *resolver, const struct config_key *key,
                       struct value_place place)
{
    struct config *config = resolver->config;
    char name[CONFIG_KEY_NAME_MAX];
    struct config_place *places =
        reallocarray(config->places, config->places_count + 1, sizeof(*places));
    if (!places)
        return resolve_no_memory(resolver);
    config->places = places;
    places[config->places_count] = (struct config_place){strdup(config_key_name(key, name)),
                                                         resolve_file(resolver, place), place.line};
    return places[config->places_count++].key ? 0 : resolve_no_memory(resolver);
}

int resolve_scalar(struct resolver *resolver, const struct config_key *key,
                   const struct value_field *field, void *object)
{
    const struct value *value = field->value;
    char name[CONFIG_KEY_NAME_MAX];
    int rc;
    if (config_key_is_text(key)) {
        rc = resolve_text(resolver, key, value, object);
    } else if (config_key_is_number(key)) {
        rc = resolve_number(resolver, key, value, object);
    } else {
        if (value->type != VALUE_BOOL)
            return resolve_refuse_type(resolver, config_key_name(key, name), "true or false",
                                       value);
        config_key_set_number(key, object, value->truth);
        rc = 0;
    }
    if (rc == 0 && key->standing == CONFIG_IDLE)
        rc = resolve_warn(resolver, field->place, "%s has no effect in this version",
                          config_key_name(key, name));
    if (rc == 0 && key->scope <= CONFIG_LIMITS)
        rc = resolve_note_place(resolver, key, field->place);
    return rc;
}

int resolve_defaults(struct resolver *resolver, enum config_scope scope, void *object)
{
    size_t count;
    const struct config_key *keys = config_keys(scope, &count);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        const struct config_key *key = &keys[i];
        if (key->standing == CONFIG_REFUSED)
            continue;
        if (key->type == CONFIG_SUBTABLE || key->type == CONFIG_ORIGINS)
            rc = resolve_defaults(resolver, key->inner, (char *)object + key->offset);
        else if (config_key_is_number(key) || key->type == CONFIG_BOOL)
            config_key_set_number(key, object, key->number);
        else if (config_key_is_text(key) && key->text && strcmp(key->text, "off") != 0)
            rc = resolve_set_text(resolver, config_key_text(key, object), key->text);
    }
    return rc;
}

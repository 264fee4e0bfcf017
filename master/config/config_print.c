#include "master/config/config_print.h"

#include "master/config/config_source.h"
#include "master/handoff/config_key.h"

#include <stdint.h>
#include <string.h>

#define NESTED_MAX 64 /* of a policy's arguments; the loader takes fewer */

struct printer {
    FILE *out;
    unsigned depth; /* of indentation */
};

static void begin_line(const struct printer *printer)
{
    fprintf(printer->out, "%*s", (int)printer->depth * 2, "");
}

/* One byte of a Lua string. Three digits, so that a digit may follow. */
static void print_byte(FILE *out, char byte)
{
    if (byte == '"' || byte == '\\')
        fprintf(out, "\\%c", byte);
    else if ((unsigned char)byte < 0x20 || byte == 0x7f)
        fprintf(out, "\\%03u", (unsigned)byte);
    else
        putc(byte, out);
}

static void print_text(FILE *out, const char *text)
{
    putc('"', out);
    for (; *text; text++)
        print_byte(out, *text);
    putc('"', out);
}

static void print_texts(FILE *out, char *const *texts, size_t count)
{
    fputs("{", out);
    for (size_t i = 0; i < count; i++) {
        fputs(i ? ", " : " ", out);
        print_text(out, texts[i]);
    }
    fputs(count ? " }" : "}", out);
}

static void print_number(FILE *out, const struct config_key *key, uint64_t number)
{
    char text[CONFIG_FORMAT_MAX];
    bool bare = key->type == CONFIG_BOOL || key->type == CONFIG_COUNT ||
                key->type == CONFIG_SHARE || key->type == CONFIG_WORKERS;
    config_key_format(key, number, text);
    fprintf(out, bare ? "%s" : "\"%s\"", text);
}

/* ---- policies ---- */

/* A JSON string, whose quote is before `at`, as a Lua string. Returns what follows it. The only
 * escapes in the arguments, which value_write_json wrote, are these. */
static const char *print_json_text(FILE *out, const char *at)
{
    unsigned code;
    putc('"', out);
    for (; *at && *at != '"'; at++) {
        if (*at != '\\') {
            putc(*at, out);
        } else if (strnlen(at, 6) == 6 && sscanf(at, "\\u%4x", &code) == 1) {
            fprintf(out, "\\%03u", code & 0xffU);
            at += 5;
        } else if (at[1]) {
            fprintf(out, "\\%c", *++at);
        }
    }
    putc('"', out);
    return *at ? at + 1 : at;
}

static bool is_name(struct span word)
{
    if (word.length == 0 || (word.data[0] >= '0' && word.data[0] <= '9'))
        return false;
    for (size_t i = 0; i < word.length; i++)
        if (!((word.data[i] >= 'a' && word.data[i] <= 'z') ||
              (word.data[i] >= 'A' && word.data[i] <= 'Z') || word.data[i] == '_' ||
              (word.data[i] >= '0' && word.data[i] <= '9')))
            return false;
    return !source_is_keyword(word);
}

static const char *print_json_key(FILE *out, const char *at)
{
    struct span word = span_make(at, strcspn(at, "\"\\"));
    if (at[word.length] == '"' && is_name(word)) {
        fprintf(out, "%.*s", SPAN_PRINT(word));
        return at + word.length + 1;
    }
    putc('[', out);
    at = print_json_text(out, at);
    putc(']', out);
    return at;
}

/* The members of a JSON object (or what is inside it, for the nested ones) as a Lua table's. */
static void print_json(FILE *out, const char *at)
{
    bool object[NESTED_MAX] = {false};
    size_t depth = 0;
    bool key = false;
    while (*at) {
        char byte = *at++;
        if (byte == '"') {
            at = key ? print_json_key(out, at) : print_json_text(out, at);
            key = false;
        } else if (byte == '{' || byte == '[') {
            if (++depth == NESTED_MAX)
                return;
            object[depth] = key = byte == '{';
            fputs(depth > 1 ? "{ " : "", out);
        } else if (byte == '}' || byte == ']') {
            if (depth-- == 0)
                return;
            fputs(depth > 0 ? " }" : "", out);
        } else if (byte == ',') {
            key = object[depth];
            fputs(", ", out);
        } else if (byte == ':') {
            fputs(" = ", out);
        } else {
            putc(byte, out);
        }
    }
}

static void print_policies(FILE *out, const struct config_route *route)
{
    fputs("{", out);
    for (size_t i = 0; i < route->policies_count; i++) {
        const struct config_policy *policy = &route->policies[i];
        bool bare = strcmp(policy->arguments, "{}") == 0;
        fputs(i ? ", " : " ", out);
        fputs(bare ? "" : "{ ", out);
        print_text(out, policy->name);
        fputs(bare ? "" : ", ", out);
        if (!bare)
            print_json(out, policy->arguments);
        fputs(bare ? "" : " }", out);
    }
    fputs(route->policies_count ? " }" : "}", out);
}

/* ---- tables ---- */

static void print_identify(FILE *out, const enum config_identify *order, size_t count)
{
    fputs("{", out);
    for (size_t i = 0; i < count; i++)
        fprintf(out, "%s\"%s\"", i ? ", " : " ", config_identify_name(order[i]));
    fputs(" }", out);
}

static void print_shared(FILE *out, const struct config *config)
{
    char size[CONFIG_FORMAT_MAX];
    for (size_t i = 0; i < config->shared_count; i++)
        fprintf(out,
                is_name(span_of(config->shared[i].name)) ? "%s%s = \"%s\"" : "%s[\"%s\"] = \"%s\"",
                i ? ", " : "{ ", config->shared[i].name,
                config_format_size(config->shared[i].bytes, size));
    fputs(" }", out);
}

static void print_scope(struct printer *printer, enum config_scope scope, const void *object);

static void print_origin(struct printer *printer, const struct config_route *route)
{
    fputs("{\n", printer->out);
    printer->depth++;
    for (size_t i = 0; i < route->origin.servers_count; i++) {
        begin_line(printer);
        print_text(printer->out, route->origin.servers[i].text);
        fputs(",\n", printer->out);
    }
    print_scope(printer, CONFIG_ORIGIN, route);
    printer->depth--;
    begin_line(printer);
    fputs("}", printer->out);
}

static bool is_left_out(const struct config_key *key, const void *object)
{
    const char *text;
    if (key->standing == CONFIG_REFUSED || key->type == CONFIG_LISTENS ||
        key->type == CONFIG_CERTIFICATES || key->type == CONFIG_ROUTES)
        return true;
    if (key->type == CONFIG_ORIGINS)
        return ((const struct config_route *)object)->origin.servers_count == 0;
    if (key->type == CONFIG_SHARED)
        return ((const struct config *)object)->shared_count == 0;
    if (config_key_is_number(key) && (key->standing == CONFIG_IDLE || key->number < key->least) &&
        config_key_number(key, object) == key->number)
        return true;
    if (!config_key_is_text(key))
        return false;
    text = *config_key_text(key, (void *)(uintptr_t)object);
    return !text && !(key->text && strcmp(key->text, "off") == 0);
}

static void print_value(struct printer *printer, const struct config_key *key, const void *object)
{
    FILE *out = printer->out;
    const struct config *config = object;
    const struct config_site *site = object;
    bool of_site = key->scope == CONFIG_SITE;
    const char *text;
    switch (key->type) {
    case CONFIG_SUBTABLE:
        fputs("{\n", out);
        printer->depth++;
        print_scope(printer, key->inner, (const char *)object + key->offset);
        printer->depth--;
        begin_line(printer);
        fputs("}", out);
        break;
    case CONFIG_IDENTIFY:
        print_identify(out, of_site ? site->identify : config->clients.identify,
                       of_site ? site->identify_count : config->clients.identify_count);
        break;
    case CONFIG_NAMES:
        if (strcmp(key->name, "aliases") == 0)
            print_texts(out, site->aliases, site->aliases_count);
        else
            print_texts(out, site->names, site->names_count);
        break;
    case CONFIG_POLICIES:
        print_policies(out, object);
        break;
    case CONFIG_ORIGINS:
        print_origin(printer, object);
        break;
    case CONFIG_SHARED:
        print_shared(out, config);
        break;
    default:
        if (!config_key_is_text(key)) {
            print_number(out, key, config_key_number(key, object));
            break;
        }
        text = *config_key_text(key, (void *)(uintptr_t)object);
        print_text(out, text ? text : "off");
    }
}

static void print_scope(struct printer *printer, enum config_scope scope, const void *object)
{
    size_t count;
    const struct config_key *keys = config_keys(scope, &count);
    for (size_t i = 0; i < count; i++) {
        if (is_left_out(&keys[i], object))
            continue;
        begin_line(printer);
        fprintf(printer->out, "%s = ", keys[i].name);
        print_value(printer, &keys[i], object);
        fputs(printer->depth ? ",\n" : "\n", printer->out);
    }
}

static void print_listens(const struct config *config, FILE *out)
{
    fputs("listen = {\n", out);
    for (size_t i = 0; i < config->listens_count; i++) {
        const struct config_listen *listen = &config->listens[i];
        bool plain = !listen->tls && !listen->redirect;
        fputs(plain ? "  " : "  { ", out);
        print_text(out, listen->text);
        fputs(listen->tls ? ", tls = true" : "", out);
        if (listen->redirect)
            fprintf(out, ", redirect = \"%s\"", listen->redirect);
        fputs(plain ? ",\n" : " },\n", out);
    }
    fputs("}\n", out);
}

static void print_certificates(const struct config *config, FILE *out)
{
    fputs("tls = {\n", out);
    for (size_t i = 0; i < config->certificates_count; i++) {
        const struct config_certificate *certificate = &config->certificates[i];
        fputs("  { sni = ", out);
        print_text(out, certificate->sni);
        if (certificate->cert_path) {
            fputs(", cert = ", out);
            print_text(out, certificate->cert_path);
            fputs(", key = ", out);
            print_text(out, certificate->key_path);
        }
        fputs(" },\n", out);
    }
    fputs("}\n", out);
}

static void print_route(struct printer *printer, const struct config_route *route)
{
    begin_line(printer);
    putc('[', printer->out);
    putc('"', printer->out);
    for (const char *at = route->prefix; *at; at++)
        print_byte(printer->out, *at);
    fputs(route->exact ? "\"] = {\n" : "*\"] = {\n", printer->out);
    printer->depth++;
    print_scope(printer, CONFIG_ROUTE, route);
    printer->depth--;
    begin_line(printer);
    fputs("},\n", printer->out);
}

static void print_site(const struct config_site *site, FILE *out)
{
    struct printer printer = {out, 1};
    fputs("site {\n", out);
    print_scope(&printer, CONFIG_SITE, site);
    print_scope(&printer, CONFIG_ROUTE, &site->routes[site->routes_count - 1]);
    if (site->routes_count > 1) {
        fputs("  routes = {\n", out);
        printer.depth++;
        for (size_t i = 0; i + 1 < site->routes_count; i++)
            print_route(&printer, &site->routes[i]);
        fputs("  },\n", out);
    }
    fputs("}\n", out);
}

void config_print(const struct config *config, FILE *out)
{
    struct printer printer = {out, 0};
    print_scope(&printer, CONFIG_TOP, config);
    print_listens(config, out);
    if (config->certificates_count > 0)
        print_certificates(config, out);
    for (size_t i = 0; i < config->sites_count; i++)
        print_site(&config->sites[i], out);
}

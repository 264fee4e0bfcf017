/* The manual's reference of keys says what the table of keys says. With --write it is made so. */
#include "master/handoff/config_key.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define MANUAL HERALD_STOCK_DIR "/../master/herald.conf.5"
#define BEGIN \
    ".\\\" keys: begin. From here on written by build/tests/unit_master_config_man --write.\n"
#define END ".\\\" keys: end\n"

static const char *const HEADINGS[CONFIG_SCOPES] = {
    [CONFIG_TOP] = "At the top",
    [CONFIG_LISTEN] = "In an entry of listen",
    [CONFIG_TLS] = "In an entry of tls",
    [CONFIG_CLIENTS] = "In clients",
    [CONFIG_POLICY] = "In policy",
    [CONFIG_LOG] = "In log",
    [CONFIG_ADMIN] = "In admin",
    [CONFIG_SITE] = "In a site",
    [CONFIG_ROUTE] = "In a site and in each of its routes",
    [CONFIG_PUSH] = "In push",
    [CONFIG_ORIGIN] = "In origin",
    [CONFIG_CACHE] = "In cache",
    [CONFIG_LIMITS] = "In limits",
};

static const enum config_scope ORDER[CONFIG_SCOPES] = {
    CONFIG_TOP,   CONFIG_LISTEN, CONFIG_TLS,   CONFIG_CLIENTS, CONFIG_POLICY, CONFIG_LOG,
    CONFIG_ADMIN, CONFIG_CACHE, CONFIG_SITE,   CONFIG_ROUTE, CONFIG_PUSH, CONFIG_ORIGIN,    CONFIG_LIMITS};

static void put_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\\')
            fputs("\\e", out);
        else if (*text == '-')
            fputs("\\-", out);
        else
            putc(*text, out);
    }
}

static void put_number(FILE *out, const struct config_key *key, uint64_t number)
{
    char text[CONFIG_FORMAT_MAX];
    put_text(out, config_key_format(key, number, text));
}

static void put_prose(FILE *out, const struct config_key *key)
{
    size_t length = strlen(key->prose);
    putc(toupper((unsigned char)key->prose[0]), out);
    put_text(out, key->prose + 1);
    fputs(key->prose[length - 1] == '.' ? "\n" : ".\n", out);
}

/* Numbers below a scope's least stand for what only the running process knows; the prose says it.
 */
static void put_default(FILE *out, const struct config_key *key)
{
    bool number = config_key_is_number(key) || key->type == CONFIG_BOOL;
    bool described = number && key->number < key->least && key->type != CONFIG_WORKERS &&
                     key->type != CONFIG_BUDGET;
    if (key->scope == CONFIG_SITE && config_key_find(CONFIG_CLIENTS, key->name)) {
        fprintf(out, "Default: clients.%s.\n", key->name);
    } else if (number && !described) {
        fputs("Default: ", out);
        put_number(out, key, key->number);
        fputs(".\n", out);
    } else if (key->text) {
        fputs("Default: ", out);
        put_text(out, key->text);
        fputs(".\n", out);
    }
    if (config_key_is_number(key) && key->type != CONFIG_BUDGET) {
        fputs("From ", out);
        put_number(out, key, key->least);
        fputs(" to ", out);
        put_number(out, key, key->most);
        fputs(".\n", out);
    }
    if (key->standing == CONFIG_IDLE)
        fputs("Without effect in this version.\n", out);
}

/* The section between BEGIN and END; owned by the caller. */
static char *make_section(void)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    for (size_t i = 0; i < CONFIG_SCOPES; i++) {
        size_t count;
        const struct config_key *keys = config_keys(ORDER[i], &count);
        fprintf(out, ".SS %s\n", HEADINGS[ORDER[i]]);
        for (size_t k = 0; k < count; k++) {
            if (keys[k].standing == CONFIG_REFUSED)
                continue;
            fprintf(out, ".TP\n.B %s\n", keys[k].name);
            put_prose(out, &keys[k]);
            put_default(out, &keys[k]);
        }
    }
    fclose(out);
    return text;
}

/* The manual, with where its section begins and ends; owned by the caller. */
static char *read_manual(char **begin, char **end)
{
    static char text[256 * 1024];
    FILE *file = fopen(MANUAL, "r");
    if (!file)
        return NULL;
    size_t length = fread(text, 1, sizeof(text) - 1, file);
    text[length] = 0;
    fclose(file);
    *begin = strstr(text, BEGIN);
    *end = strstr(text, END);
    if (!*begin || !*end)
        return NULL;
    *begin += strlen(BEGIN);
    return text;
}

static void the_manual_describes_every_key_as_the_table_does(void **state)
{
    char *begin;
    char *end;
    char *section = make_section();
    (void)state;
    if (!read_manual(&begin, &end))
        fail_msg("%s is missing, or its marks are", MANUAL);
    *end = 0;
    if (strcmp(begin, section) != 0)
        fail_msg("master/herald.conf.5 is not what the table of keys says; "
                 "run build/tests/unit_master_config_man --write");
    free(section);
}

static void every_scope_has_a_heading_and_is_in_order_once(void **state)
{
    bool seen[CONFIG_SCOPES] = {false};
    (void)state;
    for (size_t i = 0; i < CONFIG_SCOPES; i++) {
        assert_non_null(HEADINGS[i]);
        assert_false(seen[ORDER[i]]);
        seen[ORDER[i]] = true;
    }
}

static int write_manual(void)
{
    char *begin;
    char *end;
    char *text = read_manual(&begin, &end);
    char *section = make_section();
    char *whole = NULL;
    if (!text || asprintf(&whole, "%.*s%s%s", (int)(begin - text), text, section, end) < 0)
        return 1;
    FILE *file = fopen(MANUAL, "w");
    if (!file || fputs(whole, file) < 0 || fclose(file) != 0)
        return 1;
    free(whole);
    free(section);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_manual_describes_every_key_as_the_table_does),
        cmocka_unit_test(every_scope_has_a_heading_and_is_in_order_once),
    };
    if (argc == 2 && strcmp(argv[1], "--write") == 0)
        return write_manual();
    return cmocka_run_group_tests(tests, NULL, NULL);
}

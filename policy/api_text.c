/* What is written from the API's table: annotations for editors, luacheck's globals, the manual's
 * reference. */
#include "policy/api.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#define WIDTH 100

/* Writes `text` in lines that begin with `prefix`. */
static void wrap(FILE *out, const char *prefix, const char *text)
{
    size_t column = 0;
    while (*text) {
        size_t word = strcspn(text, " ");
        if (column && column + 1 + word > WIDTH) {
            fputc('\n', out);
            column = 0;
        }
        column += (size_t)fprintf(out, "%s%.*s", column ? " " : prefix, (int)word, text);
        text += word;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

/* Cuts the next "name: type" off a list of arguments. Returns false when there is none. */
static bool next_argument(const char **list, char name[64], char type[128])
{
    const char *colon = strchr(*list, ':');
    if (!colon)
        return false;
    const char *end = strstr(colon, ", ");
    size_t length = end ? (size_t)(end - colon) : strlen(colon);
    snprintf(name, 64, "%.*s", (int)(colon - *list), *list);
    snprintf(type, 128, "%.*s", (int)(length - 2), colon + 2);
    *list = end ? end + 2 : colon + length;
    return true;
}

static void write_names(FILE *out, const char *arguments)
{
    char name[64], type[128];
    for (const char *separator = ""; next_argument(&arguments, name, type); separator = ", ") {
        name[strcspn(name, "?")] = '\0';
        fprintf(out, "%s%s", separator, name);
    }
}

static void write_function(FILE *out, const struct api_entry *entry)
{
    char name[64], type[128];
    const char *arguments = entry->arguments;
    fputc('\n', out);
    wrap(out, "---", entry->prose);
    while (next_argument(&arguments, name, type))
        fprintf(out, "---@param %s %s\n", name, type);
    for (const char *returns = entry->returns; *returns;) {
        size_t length =
            strstr(returns, ", ") ? (size_t)(strstr(returns, ", ") - returns) : strlen(returns);
        fprintf(out, "---@return %.*s\n", (int)length, returns);
        returns += length;
        returns += strspn(returns, ", ");
    }
    fprintf(out, "function %s%c%s(", entry->object, entry->kind == API_IS_METHOD ? ':' : '.',
            entry->name);
    write_names(out, entry->arguments);
    fputs(") end\n", out);
}

/* A field of a policy's module that is a hook has the hook's own type. */
static const struct api_hook_entry *hook_of(const struct api_entry *entry)
{
    for (size_t i = 0; i < HOOKS; i++) {
        if (strcmp(entry->object, "module") == 0 && strcmp(entry->name, API_HOOKS[i].name) == 0)
            return &API_HOOKS[i];
    }
    return NULL;
}

static void write_field(FILE *out, const struct api_entry *entry)
{
    const struct api_hook_entry *hook = hook_of(entry);
    size_t length = strlen(entry->arguments);
    bool optional = length && entry->arguments[length - 1] == '?';
    if (hook)
        fprintf(out, "---@field %s? fun(%s)%s%s %s\n", hook->name, hook->arguments,
                hook->returns[0] ? ": " : "", hook->returns, hook->prose);
    else
        fprintf(out, "---@field %s%s %.*s %s\n", entry->name, optional ? "?" : "",
                (int)(optional ? length - 1 : length), entry->arguments, entry->prose);
}

static void write_object(FILE *out, unsigned word, unsigned end)
{
    const struct api_entry *object = &API[word];
    fputc('\n', out);
    wrap(out, "---", object->prose);
    fprintf(out, "---@class herald.%s\n", object->name);
    bool has_functions = false;
    if (object->kind == API_IS_GLOBAL && end == word + 1)
        fputs("---@field [string] herald.dictionary\n", out);
    for (unsigned i = word + 1; i < end; i++) {
        if (API[i].kind == API_IS_FIELD)
            write_field(out, &API[i]);
        else
            has_functions = true;
    }
    if (object->kind == API_IS_GLOBAL)
        fprintf(out, "%s = {}\n", object->name);
    else if (has_functions)
        fprintf(out, "local %s = {}\n", object->name);
    for (unsigned i = word + 1; i < end; i++) {
        if (API[i].kind != API_IS_FIELD)
            write_function(out, &API[i]);
    }
}

void api_write_meta(FILE *out)
{
    fputs("---@meta herald\n-- Written from policy/api.def by build/tests/policy_api; changes made "
          "here are lost.\n\n---@alias herald.result 'delivered' | 'cancelled' | 'refused' | "
          "'lost'\n",
          out);
    for (unsigned word = 0; word < API_WORDS; word = api_end((enum api_word)word))
        write_object(out, word, api_end((enum api_word)word));
    fputs("\n---A file of the policy folder, run once for each policy that requires it.\n"
          "---@param name string\n---@return any\nfunction require(name) end\n",
          out);
}

/* Writes words in lines of their own width, separated by commas. */
static void write_list(FILE *out, const char *indent, const char *const *words)
{
    size_t column = 0;
    for (size_t i = 0; words[i]; i++) {
        if (column && column + strlen(words[i]) + 4 > WIDTH) {
            fputc('\n', out);
            column = 0;
        }
        column += (size_t)fprintf(out, "%s\"%s\",", column ? " " : indent, words[i]);
    }
    fputc('\n', out);
}

static void write_luacheck_library(FILE *out, const char *library)
{
    const char *names[API_NAMES_MAX];
    api_library_names(library, names);
    fprintf(out, "    %s = { fields = {\n", library);
    write_list(out, "      ", names);
    fputs("    } },\n", out);
}

void api_write_luacheck(FILE *out)
{
    static const char *const LIBRARIES[] = {"string", "table", "math", "bit"};
    const char *names[API_NAMES_MAX];
    fputs("-- Written from policy/api.def by build/tests/policy_api; changes made here are lost.\n"
          "-- The globals of a policy: what is not here is not in its sandbox either.\n"
          "stds.herald = {\n  read_globals = {\n    \"require\",\n",
          out);
    for (size_t i = 0; i < API_LUA_COUNT; i++) {
        if (strcmp(API_LUA_ENTRIES[i].library, "_G") == 0)
            fprintf(out, "    \"%s\",\n", API_LUA_ENTRIES[i].name);
    }
    for (size_t i = 0; i < sizeof(LIBRARIES) / sizeof(LIBRARIES[0]); i++)
        write_luacheck_library(out, LIBRARIES[i]);
    for (unsigned word = 0; word < API_WORDS; word++) {
        if (API[word].kind != API_IS_GLOBAL)
            continue;
        api_names((enum api_word)word, names);
        if (!names[0]) { /* its members are the config's */
            fprintf(out, "    %s = { other_fields = true },\n", API[word].name);
            continue;
        }
        fprintf(out, "    %s = { fields = {\n", API[word].name);
        write_list(out, "      ", names);
        fputs("    } },\n", out);
    }
    fputs("  },\n}\nstd = \"herald\"\nmax_line_length = 100\n"
          "exclude_files = { \"lua/meta\" }\n",
          out);
}

/* Writes roff text: a hyphen is a minus sign, a backslash itself, a dot at the start no request. */
static void roff(FILE *out, const char *text)
{
    if (*text == '.' || *text == '\'')
        fputs("\\&", out);
    for (; *text; text++) {
        if (*text == '\\')
            fputs("\\e", out);
        else if (*text == '-')
            fputs("\\-", out);
        else
            fputc(*text, out);
    }
}

static void roff_item(FILE *out, const char *object, const char *separator, const char *name,
                      const char *arguments)
{
    fputs(".TP\n.BI ", out);
    fprintf(out, "\"%s%s%s\"", object, separator, name);
    if (arguments) {
        fputs(" ( \"", out);
        write_names(out, arguments);
        fputs("\" )", out);
    }
    fputc('\n', out);
}

static void roff_type(FILE *out, const char *before, const char *type, const char *after)
{
    if (!type[0])
        return;
    fputs(before, out);
    roff(out, type);
    fputs(after, out);
}

static void write_manual_entry(FILE *out, const struct api_entry *entry)
{
    const struct api_hook_entry *hook = hook_of(entry);
    static const char *const TABLES[] = {"options", "module", "applies", "spec", "case"};
    bool is_table = strncmp(entry->object, "given_", 6) == 0;
    for (size_t i = 0; i < sizeof(TABLES) / sizeof(TABLES[0]); i++)
        is_table = is_table || strcmp(entry->object, TABLES[i]) == 0;
    if (hook) {
        roff_item(out, "", "", hook->name, hook->arguments);
        roff(out, hook->prose);
        fputc('\n', out);
        return;
    }
    if (entry->kind == API_IS_FIELD) {
        roff_item(out, is_table ? "" : entry->object, is_table ? "" : ".", entry->name, NULL);
        roff_type(out, "(", entry->arguments, ") ");
    } else {
        roff_item(out, entry->object, entry->kind == API_IS_METHOD ? ":" : ".", entry->name,
                  entry->arguments);
        roff_type(out, "Returns ", entry->returns, ". ");
    }
    roff(out, entry->prose);
    fputc('\n', out);
}

void api_write_manual(FILE *out)
{
    for (unsigned word = 0; word < API_WORDS;) {
        unsigned end = api_end((enum api_word)word);
        fprintf(out, ".SS %s\n", API[word].name);
        roff(out, API[word].prose);
        fputc('\n', out);
        for (unsigned i = word + 1; i < end; i++)
            write_manual_entry(out, &API[i]);
        word = end;
    }
}

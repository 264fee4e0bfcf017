/* What the API says of a word, for a person at a terminal. */
#include "policy/api.h"

#include "master/handoff/fault.h"
#include "policy/decision.h"

#include <stdbool.h>
#include <string.h>

#define WIDTH 92
#define WORDS_MAX 1024

static void print_wrapped(FILE *out, const char *indent, const char *text)
{
    size_t column = 0;
    while (*text) {
        size_t word = strcspn(text, " ");
        if (column && column + 1 + word > WIDTH) {
            fputc('\n', out);
            column = 0;
        }
        column += (size_t)fprintf(out, "%s%.*s", column ? " " : indent, (int)word, text);
        text += word;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

static const struct api_hook_entry *hook_called(const char *name)
{
    for (size_t i = 0; i < HOOKS; i++) {
        if (strcmp(API_HOOKS[i].name, name) == 0)
            return &API_HOOKS[i];
    }
    return NULL;
}

static void print_hook(FILE *out, const struct api_hook_entry *hook)
{
    fprintf(out, "%s = function(%s)%s%s\n", hook->name, hook->arguments,
            hook->returns[0] ? "  -->  " : "", hook->returns);
    print_wrapped(out, "    ", hook->prose);
}

/* Keys of plain tables are written without the table's name. */
static void print_entry(FILE *out, const struct api_entry *entry, bool in_record)
{
    if (entry->kind == API_IS_FIELD)
        fprintf(out, "%s%s%s  (%s)\n", in_record ? "" : entry->object, in_record ? "" : ".",
                entry->name, entry->arguments);
    else
        fprintf(out, "%s%c%s(%s)%s%s\n", entry->object, entry->kind == API_IS_METHOD ? ':' : '.',
                entry->name, entry->arguments, entry->returns[0] ? "  -->  " : "", entry->returns);
    print_wrapped(out, "    ", entry->prose);
}

static void print_object(FILE *out, enum api_word word)
{
    static const char *const KINDS[] = {"an object given to hooks", "a table", "a global table"};
    bool is_record = API[word].kind == API_IS_RECORD;
    fprintf(out, "%s: %s\n", API[word].name, KINDS[API[word].kind]);
    print_wrapped(out, "    ", API[word].prose);
    for (unsigned i = (unsigned)word + 1; i < (unsigned)api_end(word); i++) {
        const struct api_hook_entry *hook =
            strcmp(API[word].name, "module") == 0 ? hook_called(API[i].name) : NULL;
        fputc('\n', out);
        if (hook)
            print_hook(out, hook);
        else
            print_entry(out, &API[i], is_record);
    }
}

static bool is_field_of_record(unsigned i)
{
    while (API[i].kind >= API_IS_FIELD)
        i--;
    return API[i].kind == API_IS_RECORD;
}

/* Whether `word` names this entry: "add", "push.add" or "push:add". */
static bool names_entry(const struct api_entry *entry, const char *word)
{
    size_t length = strlen(entry->object);
    if (strcmp(entry->name, word) == 0)
        return true;
    return strncmp(word, entry->object, length) == 0 && (word[length] == '.' || word[length] == ':')
           && strcmp(word + length + 1, entry->name) == 0;
}

static bool names_library(const struct api_lua_entry *entry, const char *word)
{
    size_t length = strlen(entry->library);
    return strcmp(entry->library, word) == 0 || strcmp(entry->name, word) == 0 ||
           (strncmp(word, entry->library, length) == 0 && word[length] == '.' &&
            strcmp(word + length + 1, entry->name) == 0);
}

/* Prints what of Lua's own libraries `word` names. */
static unsigned print_lua(FILE *out, const char *word)
{
    unsigned found = 0;
    for (size_t i = 0; i < API_LUA_COUNT; i++) {
        const struct api_lua_entry *entry = &API_LUA_ENTRIES[i];
        bool base = strcmp(entry->library, "_G") == 0;
        if (!names_library(entry, word))
            continue;
        fprintf(out, "%s%s%s: as in the manual of Lua 5.1 (LuaJIT)\n", base ? "" : entry->library,
                base ? "" : ".", entry->name);
        found++;
    }
    return found;
}

static unsigned print_reason(FILE *out, const char *word)
{
    for (unsigned i = 0; i < REASONS; i++) {
        if (strcmp(reason_name((enum reason)i), word) != 0)
            continue;
        fprintf(out, "%s: a verdict on a candidate\n    %s\n", word, reason_prose((enum reason)i));
        return 1;
    }
    return 0;
}

static void print_overview(FILE *out)
{
    fprintf(out, "hooks:");
    for (size_t i = 0; i < HOOKS; i++)
        fprintf(out, " %s", API_HOOKS[i].name);
    fputc('\n', out);
    for (unsigned word = 0; word < API_WORDS; word = api_end((enum api_word)word)) {
        fprintf(out, "\n%s: %s\n", API[word].name, API[word].prose);
        size_t column = 0;
        for (unsigned i = word + 1; i < (unsigned)api_end((enum api_word)word); i++) {
            if (column > WIDTH - 20) {
                fputc('\n', out);
                column = 0;
            }
            column += (size_t)fprintf(out, "%s%s", column ? " " : "    ", API[i].name);
        }
        fputc('\n', out);
    }
    fprintf(out, "\nverdicts:\n");
    for (unsigned i = 0; i < REASONS; i++)
        fprintf(out, "    %-15s %s\n", reason_name((enum reason)i), reason_prose((enum reason)i));
}

unsigned api_doc(FILE *out, const char *word)
{
    unsigned found = 0;
    if (!word) {
        print_overview(out);
        return 1;
    }
    const struct api_hook_entry *hook = hook_called(word);
    if (hook) {
        print_hook(out, hook);
        found++;
    }
    for (unsigned i = 0; i < API_WORDS; i++) {
        bool is_object = API[i].kind < API_IS_FIELD;
        if (is_object ? strcmp(API[i].name, word) != 0 : !names_entry(&API[i], word))
            continue;
        if (!is_object && hook_called(API[i].name))
            continue;
        if (found++)
            fputc('\n', out);
        if (is_object)
            print_object(out, (enum api_word)i);
        else
            print_entry(out, &API[i], is_field_of_record(i));
    }
    if (!found)
        found = print_lua(out, word);
    return found + print_reason(out, word);
}

const char *api_doc_nearest(const char *word)
{
    static const char *const LIBRARIES[] = {"string", "table", "math", "bit"};
    static char full[API_WORDS][64];
    const char *words[WORDS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < HOOKS; i++)
        words[count++] = API_HOOKS[i].name;
    for (unsigned i = 0; i < API_WORDS && count < WORDS_MAX - REASONS - 160; i++) {
        words[count++] = API[i].name;
        if (API[i].kind < API_IS_FIELD)
            continue;
        snprintf(full[i], sizeof(full[i]), "%s%c%s", API[i].object,
                 API[i].kind == API_IS_METHOD ? ':' : '.', API[i].name);
        words[count++] = full[i];
    }
    for (size_t i = 0; i < API_LUA_COUNT && count < WORDS_MAX - REASONS - 8; i++)
        words[count++] = API_LUA_ENTRIES[i].name;
    for (size_t i = 0; i < sizeof(LIBRARIES) / sizeof(LIBRARIES[0]); i++)
        words[count++] = LIBRARIES[i];
    for (unsigned i = 0; i < REASONS && count < WORDS_MAX - 1; i++)
        words[count++] = reason_name((enum reason)i);
    words[count] = NULL;
    return fault_nearest(word, words);
}

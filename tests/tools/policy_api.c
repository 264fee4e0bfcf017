/* Writes what is made from policy/api.def. Run it from the top of the tree after changing that
 * table:
 *
 *   build/tests/policy_api             rewrites lua/meta/herald.lua, .luacheckrc,
 * lua/herald-policy.7 build/tests/policy_api --check     says which of them are out of date; the
 * status is then 1
 *
 * The manual is written by hand but for what is between its BEGIN and END lines. */
#include "policy/api.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define BEGIN ".\\\" BEGIN REFERENCE\n"
#define END ".\\\" END REFERENCE\n"

/* The content of `path`, malloc'd; empty when there is none. */
static char *read_text(const char *path)
{
    char *text = calloc(1, 1 << 20);
    FILE *in = fopen(path, "r");
    if (!text)
        exit(2);
    if (in) {
        size_t length = fread(text, 1, (1 << 20) - 1, in);
        text[length] = '\0';
        fclose(in);
    }
    return text;
}

static char *written(void (*write)(FILE *))
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        exit(2);
    write(out);
    fclose(out);
    return text;
}

/* Compares `path` with `text`, which it frees, or writes it there. */
static bool settle(const char *path, char *text, bool check)
{
    char *now = read_text(path);
    bool same = strcmp(now, text) == 0;
    free(now);
    if (!same && check)
        printf("%s is out of date: run build/tests/policy_api\n", path);
    if (!same && !check) {
        FILE *out = fopen(path, "w");
        if (!out || fputs(text, out) < 0 || fclose(out) != 0) {
            fprintf(stderr, "%s cannot be written\n", path);
            exit(2);
        }
        printf("%s was written anew\n", path);
        same = true;
    }
    free(text);
    return same;
}

/* The manual with its reference replaced. */
static char *manual_text(const char *path)
{
    char *old = read_text(path);
    char *reference = written(api_write_manual);
    char *text = NULL;
    size_t size = 0;
    char *begin = strstr(old, BEGIN), *end = strstr(old, END);
    if (!begin || !end) {
        fprintf(stderr, "%s has no BEGIN and END of its reference\n", path);
        exit(2);
    }
    FILE *out = open_memstream(&text, &size);
    if (!out)
        exit(2);
    fprintf(out, "%.*s%s%s%s", (int)(begin - old), old, BEGIN, reference, end);
    fclose(out);
    free(reference);
    free(old);
    return text;
}

int main(int argc, char **argv)
{
    bool check = argc == 2 && strcmp(argv[1], "--check") == 0;
    if (argc > 2 || (argc == 2 && !check)) {
        fprintf(stderr, "usage: policy_api [--check]\n");
        return 2;
    }
    bool good = settle("lua/meta/herald.lua", written(api_write_meta), check);
    good &= settle(".luacheckrc", written(api_write_luacheck), check);
    good &= settle("lua/herald-policy.7", manual_text("lua/herald-policy.7"), check);
    return good ? 0 : 1;
}

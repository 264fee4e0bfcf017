#include "master/cmd/cmd.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define OPTIONS_MAX 32

static const struct cmd_option HELP = {.name = "--help", .letter = 'h', .prose = "print this"};

static void print_option(const struct cmd_option *option)
{
    char left[64];
    if (option->letter)
        snprintf(left, sizeof(left), "-%c, %s%s%s", option->letter, option->name,
                 option->argument ? " " : "", option->argument ? option->argument : "");
    else
        snprintf(left, sizeof(left), "    %s%s%s", option->name, option->argument ? " " : "",
                 option->argument ? option->argument : "");
    printf("  %-24s %s\n", left, option->prose);
}

static void print_help(const struct cmd_syntax *syntax, const struct cmd_words *words)
{
    printf("herald %s%s%s%s\n%s\n", syntax->verb, syntax->options->name ? " [OPTION ...]" : "",
           words ? " " : "", words ? words->usage : "", syntax->summary);
    for (const struct cmd_option *option = syntax->options; option->name; option++)
        print_option(option);
    print_option(&HELP);
}

/* Finds "--name", "--name=value", "-c" or "-cvalue"; `*value` is what is attached, or NULL. */
static const struct cmd_option *find(const struct cmd_syntax *syntax, const char *word,
                                     const char **value)
{
    const struct cmd_option *option = syntax->options;
    *value = NULL;
    for (;; option++) {
        const struct cmd_option *one = option->name ? option : &HELP;
        size_t length = strlen(one->name);
        if (strncmp(word, one->name, length) == 0 &&
            (word[length] == '\0' || word[length] == '=')) {
            *value = word[length] ? word + length + 1 : NULL;
            return one;
        }
        if (one->letter && word[1] == one->letter) {
            *value = word[2] ? word + 2 : NULL;
            return one;
        }
        if (!option->name)
            return NULL;
    }
}

static int unknown(const struct cmd_syntax *syntax, const char *word)
{
    const char *names[OPTIONS_MAX + 2];
    size_t count = 0;
    for (const struct cmd_option *option = syntax->options; option->name && count < OPTIONS_MAX;
         option++)
        names[count++] = option->name;
    names[count++] = HELP.name;
    names[count] = NULL;
    const char *nearest = fault_nearest(word, names);
    fprintf(stderr, "herald %s: unknown %s '%s'%s%s%s try herald %s --help\n", syntax->verb,
            word[0] == '-' ? "option" : "argument", word, nearest ? "; did you mean '" : ";",
            nearest ? nearest : "", nearest ? "'? Or" : "", syntax->verb);
    return CMD_USAGE;
}

/* Takes the option at argv[*i], whose attached value is `value`. Returns CMD_GO_ON or CMD_USAGE. */
static int take_option(const struct cmd_syntax *syntax, const struct cmd_option *option,
                       const char *value, int argc, char **argv, int *i)
{
    if (!option->argument && value) {
        fprintf(stderr, "herald %s: %s takes no argument\n", syntax->verb, option->name);
        return CMD_USAGE;
    }
    if (!option->argument) {
        *option->is_set = true;
        return CMD_GO_ON;
    }
    if (!value && *i + 1 < argc)
        value = argv[++*i];
    if (!value || !*value) {
        fprintf(stderr, "herald %s: %s needs an argument: %s\n", syntax->verb, option->name,
                option->argument);
        return CMD_USAGE;
    }
    *option->text = value;
    return CMD_GO_ON;
}

static int check_words(const struct cmd_syntax *syntax, const struct cmd_words *words)
{
    if (!words || words->count >= words->min)
        return CMD_GO_ON;
    fprintf(stderr, "herald %s: %s is missing; try herald %s --help\n", syntax->verb, words->usage,
            syntax->verb);
    return CMD_USAGE;
}

int cmd_parse_words(const struct cmd_syntax *syntax, struct cmd_words *words, int argc, char **argv)
{
    bool options = true;
    if (words)
        words->count = 0;
    for (int i = 1; i < argc; i++) {
        const char *value = NULL;
        const struct cmd_option *option = NULL;
        bool dashed = options && argv[i][0] == '-' && argv[i][1];
        if (dashed && words && strcmp(argv[i], "--") == 0) {
            options = false;
            continue;
        }
        if (dashed)
            option = find(syntax, argv[i], &value);
        if (option == &HELP) {
            print_help(syntax, words);
            return CMD_DONE;
        }
        if (!option && !dashed && words && words->count < words->max) {
            words->texts[words->count++] = argv[i];
            continue;
        }
        if (!option)
            return unknown(syntax, argv[i]);
        int status = take_option(syntax, option, value, argc, argv, &i);
        if (status != CMD_GO_ON)
            return status;
    }
    return check_words(syntax, words);
}

int cmd_parse(const struct cmd_syntax *syntax, int argc, char **argv)
{
    return cmd_parse_words(syntax, NULL, argc, argv);
}

static void print_verbs(FILE *out, const char *verb, const struct cmd_verb *verbs)
{
    char left[80];
    fprintf(out, "usage: herald %s VERB [OPTION ...]\n\n", verb);
    for (; verbs->name; verbs++) {
        snprintf(left, sizeof(left), "%s %s", verbs->name, verbs->usage);
        fprintf(out, "  %-24s %s\n", left, verbs->prose);
    }
    fprintf(out, "\nherald %s VERB --help tells about a verb's options.\n", verb);
}

int cmd_run_verb(const char *verb, const struct cmd_verb *verbs, int argc, char **argv)
{
    const char *names[OPTIONS_MAX + 1];
    size_t count = 0;
    if (argc < 2) {
        print_verbs(stderr, verb, verbs);
        return CMD_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_verbs(stdout, verb, verbs);
        return CMD_DONE;
    }
    for (; count < OPTIONS_MAX && verbs[count].name; count++) {
        names[count] = verbs[count].name;
        if (strcmp(verbs[count].name, argv[1]) == 0)
            return verbs[count].run(argc - 1, argv + 1);
    }
    names[count] = NULL;
    const char *nearest = fault_nearest(argv[1], names);
    fprintf(stderr, "herald %s: unknown verb '%s'%s%s%s try herald %s --help\n", verb, argv[1],
            nearest ? "; did you mean '" : ";", nearest ? nearest : "", nearest ? "'? Or" : "",
            verb);
    return CMD_USAGE;
}

int cmd_fault(const struct fault *fault, bool json)
{
    char text[FAULT_WHERE_MAX + FAULT_WHAT_MAX + 16];
    fault_text(fault, text, sizeof(text));
    if (!json) {
        fprintf(stderr, "herald: %s\n", text);
        return CMD_FAILED;
    }
    json_t *object = json_pack("{s:b, s:s%}", "ok", 0, "error", text, strlen(text));
    if (!object) /* not UTF-8 */
        object = json_pack("{s:b, s:s}", "ok", 0, "error", "unprintable");
    if (object && json_dumpf(object, stdout, JSON_COMPACT) == 0)
        putchar('\n');
    json_decref(object);
    return CMD_FAILED;
}

int cmd_source(const char *config, const char *root, struct config_source *source,
               struct fault *fault)
{
    if (config && root)
        return fault_set(fault, -EINVAL, NULL, 0, "give either --config or --root, not both");
    if (root) {
        *source = (struct config_source){CONFIG_ROOT, root};
        return 0;
    }
    *source = (struct config_source){CONFIG_FILE, config};
    return 0;
}

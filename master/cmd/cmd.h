/* The verbs: argv in, text or JSON out. Every one returns the exit status: CMD_DONE, CMD_FAILED, or
 * CMD_USAGE. argv[0] is the verb. */
#ifndef HERALD_CMD_H
#define HERALD_CMD_H

#include "master/handoff/fault.h"
#include "master/stage.h"

#include <stdbool.h>
#include <stddef.h>

enum { CMD_DONE = 0, CMD_FAILED = 1, CMD_USAGE = 2 };

int cmd_run(int argc, char **argv);
int cmd_demo(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_reload(int argc, char **argv);
int cmd_stop(int argc, char **argv);
int cmd_push(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_policy(int argc, char **argv);
int cmd_client(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_version(int argc, char **argv);

/* An option: a switch, or one with an argument, of which the last one counts. */
struct cmd_option {
    const char *name;     /* "--config"; NULL ends a list */
    char letter;          /* 'c' for "-c", or 0 */
    const char *argument; /* "FILE", or NULL for a switch */
    const char *prose;
    const char **text; /* where the argument goes (borrowed from argv) */
    bool *is_set;      /* where a switch goes */
};

struct cmd_syntax {
    const char *verb;
    const char *summary; /* one sentence, for --help */
    const struct cmd_option *options;
};

#define CMD_GO_ON (-1)

/* Reads the options; `--help` is always there. Returns CMD_GO_ON; CMD_DONE when help was printed;
 * CMD_USAGE when an option was unknown (the nearest is named), incomplete, or something else stood
 * there, which was said on stderr. */
int cmd_parse(const struct cmd_syntax *syntax, int argc, char **argv);

/* What stands on the command line besides options: at least `min` words and at most `max`. */
struct cmd_words {
    const char *usage;  /* "NAME", "[WORD]" for --help */
    const char **texts; /* where they go (borrowed from argv): room for `max` */
    size_t min, max;
    size_t count; /* set: how many came */
};

/* The same for a verb that takes words; "--" ends the options. */
int cmd_parse_words(const struct cmd_syntax *syntax, struct cmd_words *words, int argc,
                    char **argv);

/* A verb's own verbs, like those of `herald policy`: a list that ends with a NULL name. */
struct cmd_verb {
    const char *name;
    int (*run)(int argc, char **argv); /* argv[0] is the name */
    const char *usage;                 /* "[DIR|FILE ...]" */
    const char *prose;
};

/* Runs the one that argv[1] names, or says what there is; `verb` is the outer one's name. */
int cmd_run_verb(const char *verb, const struct cmd_verb *verbs, int argc, char **argv);

/* Prints a fault as one line on stderr, or with `json` as {"ok":false,"error":...} on stdout.
 * Returns CMD_FAILED. */
int cmd_fault(const struct fault *fault, bool json);

/* Where the config comes from: `config` (a file), `root` (a directory; both are NULL when not
 * given), else the usual files. Returns 0, or -EINVAL with `fault` when both are given. Borrows its
 * arguments. */
int cmd_source(const char *config, const char *root, struct config_source *source,
               struct fault *fault);

#endif

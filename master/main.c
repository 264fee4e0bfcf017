/* herald: finds the verb and runs it. */
#include "master/cmd/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct verb {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *prose;
};

static const struct verb VERBS[] = {
    {"run", cmd_run, "serve, in the foreground"},
    {"demo", cmd_demo, "serve the demo site on 127.0.0.1, ports 8443 (TLS) and 8080"},
    {"check", cmd_check, "say whether a config is good; print what it means"},
    {"status", cmd_status, "say how a running herald fares"},
    {"reload", cmd_reload, "make a running herald read its config again"},
    {"stop", cmd_stop, "make a running herald finish its work and end"},
    {"push", cmd_push, "switch pushes off, or on again"},
    {"explain", cmd_explain, "say what would be pushed with a URL, to whom, and why not more"},
    {"policy", cmd_policy, "test, check, start and look up policies"},
    {"client", cmd_client, "show what a client is believed to hold; forget it"},
    {"doctor", cmd_doctor, "say whether this machine has what herald needs"},
    {"version", cmd_version, "print the version"},
};
#define VERBS_COUNT (sizeof(VERBS) / sizeof(VERBS[0]))

static void usage(FILE *out)
{
    fprintf(out, "usage: herald VERB [OPTION ...]\n\n");
    for (size_t i = 0; i < VERBS_COUNT; i++)
        fprintf(out, "  %-8s %s\n", VERBS[i].name, VERBS[i].prose);
    fprintf(out,
            "\nherald VERB --help tells about a verb's options; herald(8) about everything.\n");
}

static int unknown_verb(const char *word)
{
    const char *names[VERBS_COUNT + 1] = {0};
    for (size_t i = 0; i < VERBS_COUNT; i++)
        names[i] = VERBS[i].name;
    const char *nearest = fault_nearest(word, names);
    fprintf(stderr, "herald: unknown verb '%s'%s%s%s try herald --help\n", word,
            nearest ? "; did you mean '" : ";", nearest ? nearest : "", nearest ? "'? Or" : "");
    return CMD_USAGE;
}

/* A descriptor that herald opens must never become 0, 1 or 2. */
static void fill_standard_descriptors(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    while (fd >= 0 && fd <= STDERR_FILENO && fcntl(fd, F_SETFD, 0) == 0);
    if (fd > STDERR_FILENO)
        close(fd);
}

int main(int argc, char **argv)
{
    fill_standard_descriptors();
    if (argc < 2) {
        usage(stderr);
        return CMD_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
        usage(stdout);
        return CMD_DONE;
    }
    if (strcmp(word, "--version") == 0)
        word = "version";
    for (size_t i = 0; i < VERBS_COUNT; i++) {
        if (strcmp(word, VERBS[i].name) != 0)
            continue;
        int status = VERBS[i].run(argc - 1, argv + 1);
        if (fflush(stdout) != 0 && status == CMD_DONE) {
            fprintf(stderr, "herald: standard output: %s\n", strerror(errno));
            status = CMD_FAILED;
        }
        return status;
    }
    return unknown_verb(word);
}

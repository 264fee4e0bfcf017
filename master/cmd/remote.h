/* What the verbs share that speak to a running herald: finding its control socket, asking it. */
#ifndef HERALD_REMOTE_H
#define HERALD_REMOTE_H

#include "master/cmd/cmd.h"
#include "master/control.h"

/* How the operator said which herald is meant; all NULL and false when not. */
struct remote {
    const char *config; /* it runs with this config, */
    const char *root;   /* or serves this directory, */
    bool demo;          /* or is the demo, */
    const char *socket; /* or has this control socket */
    bool json;
};

/* The options of these verbs, for a list of struct cmd_option. */
#define REMOTE_OPTIONS(remote)                                                                  \
    {"--config", 'c', "FILE", "the herald that runs with this config", &(remote).config, NULL}, \
        {"--root", 0, "DIR", "the one that serves DIR", &(remote).root, NULL},                  \
        {"--demo", 0, NULL, "the demo; so too when there is no config", NULL, &(remote).demo},  \
        {"--socket", 0, "PATH", "the one with this control socket", &(remote).socket, NULL},    \
    {                                                                                           \
        "--json", 0, NULL, "as JSON", NULL, &(remote).json                                      \
    }

/* Sends `request` (borrowed), with the config that is meant, which another herald refuses. Returns
 * the answer, owned by the caller, or NULL with `fault`. For `fd` see control_call. */
json_t *remote_call(const struct remote *remote, json_t *request, int *fd, struct fault *fault);

/* Prints the answer as it is, which it takes. Returns the exit status. */
int remote_print_json(json_t *answer);

/* Non-zero when herald refused: the error was printed on stderr. */
int remote_refused(json_t *answer);

/* Waits until herald, which was told to stop, has ended; closes the connection. */
void remote_wait_end(int fd);

#endif

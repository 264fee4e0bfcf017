/* The control socket: a command is one line of JSON with a "verb", and so is its answer. Slow,
 * half, oversized and senseless commands get an answer with "error", and never hold up the loop. So
 * do commands for which there are no descriptors or no memory. */
#ifndef HERALD_CONTROL_H
#define HERALD_CONTROL_H

#include "master/handoff/fault.h"
#include "master/loop.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CONTROL_CLIENTS_MAX 16
#define CONTROL_COMMAND_MAX 4096 /* bytes of one line */
#define CONTROL_LINE_MS 5000     /* for a line, from the connect or the last answer */
#define CONTROL_ANSWER_MS 10000  /* for the client to take an answer */
#define CONTROL_AUTHOR_MAX 48
#define CONTROL_CONFIG "config_file" /* of a command: whose herald is meant, absolute */

struct control;

struct control_client {
    struct watch watch;
    struct control *control;
    uint64_t serial; /* 0: a free place */
    bool waiting;    /* for its answer */
    int64_t deadline_ms;
    char author[CONTROL_AUTHOR_MAX]; /* "alice (pid 12)", from SO_PEERCRED */
    char in[CONTROL_COMMAND_MAX];
    size_t in_used;
    char *out;
    size_t out_length;
    size_t out_sent;
    bool close_after;
};

/* Names a client for a later answer; it may be gone by then. */
struct control_handle {
    unsigned index;
    uint64_t serial;
};

/* Called for each well-formed command; `request` is borrowed until it returns. It answers by
 * control_answer, at once or later. */
typedef void control_command(void *context, struct control_handle client, const char *author,
                             const char *verb, json_t *request);

struct control {
    struct loop *loop;
    struct watch watch;
    int spare_fd;  /* given up to tell a client that there are no descriptors */
    bool in_command;
    char *path;
    dev_t device; /* what the path is, so that only our own socket is removed */
    ino_t inode;
    uint64_t serials;
    control_command *command;
    void *context;
    struct control_client clients[CONTROL_CLIENTS_MAX];
};

/* Makes the socket, mode 0600, in place of one that nobody listens to. Returns 0, or -errno with
 * `fault`: -EADDRINUSE when another process answers there. */
int control_open(struct control *control, struct loop *loop, const char *path,
                 control_command *command, void *context, struct fault *fault);

/* Ends all clients, after sending what can be sent without waiting, and removes the socket. */
void control_close(struct control *control);

/* Sends an answer, which it takes. A client that left meanwhile is accepted. */
void control_answer(struct control *control, struct control_handle client, json_t *answer);

/* The answer {"ok":false,"error":...}. */
json_t *control_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends clients whose time is over. Returns when it is to be called next. */
int64_t control_step(struct control *control, int64_t now_ms);

/* For commands: sends `request` (borrowed) to the master behind `path` and returns its answer,
 * owned by the caller, or NULL with `fault`. `*fd` (may be NULL) gets the connection, left open,
 * which ends when the master does; the caller closes it. */
json_t *control_call(const char *path, json_t *request, int *fd, struct fault *fault);

#endif

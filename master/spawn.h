/* Child processes: forked, without privileges, without strange descriptors, and never outliving the
 * master. */
#ifndef HERALD_SPAWN_H
#define HERALD_SPAWN_H

#include "master/handoff/fault.h"

#include <stdbool.h>
#include <sys/types.h>

#define SPAWN_GROUPS_MAX 64

/* Whom children run as. */
struct spawn_user {
    bool drop; /* false: the master has no privileges to give up */
    uid_t uid;
    gid_t gid;
    gid_t groups[SPAWN_GROUPS_MAX];
    int groups_count;
    char name[64];
};

#define SPAWN_WORKER_NAME "herald-worker" /* by which /proc knows a worker */

struct spawn_plan {
    const char *name; /* of the process, at most 15 bytes */
    const struct spawn_user *user;
    int socket_type; /* SOCK_SEQPACKET or SOCK_STREAM: how the child talks with the master */
    const int *keep; /* descriptors the child needs besides 0 to 2 and its socket; -1 is skipped */
    size_t keep_count;
    unsigned cpu_limit_s;                   /* 0: none */
    bool tidy; /* it frees what it made: under a sanitizer, leaks are looked for at its end */
    int (*body)(int socket, void *context); /* runs in the child; returns its exit status */
    void *context;
};

struct spawned {
    pid_t pid;
    int pidfd;
    int socket; /* the master's end, non-blocking */
};

/* Finds the user `name`, or nobody when it doesn't exist. Returns 0; 1 when nobody takes its place;
 * -ENOENT with `fault` when neither exists, -EPERM for a user with root's id. Without root's
 * privileges nothing is looked up: children run as the master does. */
int spawn_user_find(const char *name, struct spawn_user *user, struct fault *fault);

/* Forks a child that has no privileges and can't get any, default signal dispositions but for those
 * that a terminal or an operator sends to the master (they are ignored), and dies with the master.
 * When it cannot be made so, it sends 'f' and a text, and exits with status 1. Returns 0 and
 * `spawned`, whose descriptors the caller owns, or -errno with `fault`. */
int spawn(const struct spawn_plan *plan, struct spawned *spawned, struct fault *fault);

/* Reaps the child if it ended. Returns true then; `text` (SPAWN_TEXT_MAX bytes) says how: "was
 * killed by signal 9 (Killed)", "exited with status 1". */
#define SPAWN_TEXT_MAX 64
bool spawn_reap(pid_t pid, bool block, char *text);

#endif

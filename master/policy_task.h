/* What operators ask of the versions: load, use, canary, shadow. One at a time, in the order in which
 * they came; none holds up the loop. */
#ifndef HERALD_POLICY_TASK_H
#define HERALD_POLICY_TASK_H

#include "master/control.h"
#include "master/helper.h"
#include "master/policy_store.h"
#include "master/policy_watch.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#define POLICY_TASKS_MAX (CONTROL_CLIENTS_MAX + 1) /* and one for the watch */
#define POLICY_TASK_MS 15000 /* for all workers to take a version */

struct supervisor;

enum policy_task_kind {
    POLICY_LOAD,
    POLICY_USE,
    POLICY_ROLLBACK,
    POLICY_CANARY,
    POLICY_SHADOW,
    POLICY_LOOK, /* the files changed: judge them, and use them with policy.watch */
};

struct policy_task {
    enum policy_task_kind kind;
    bool answers; /* `client` waits for it */
    struct control_handle client;
    char author[STORE_AUTHOR_MAX];
    char message[STORE_MESSAGE_MAX + 1]; /* of a load */
    char path[PATH_MAX];                 /* of a load: a file or directory, "" for policy.dir */
    bool use;                            /* of a load: and use it */
    uint32_t number;                     /* 0 for a canary or shadow: none any more */
    uint32_t permille;                   /* of a canary */
    uint64_t began_us;                   /* when it came */
};

struct policy_tasks {
    struct supervisor *supervisor;
    struct policy_task queue[POLICY_TASKS_MAX]; /* the first one is under way */
    unsigned count;
    bool running;
    struct helper helper; /* the child that loads */
    int folder_fd;        /* of a load from elsewhere than policy.dir; -1: none */
    int file_fd;
    char file_name[PATH_MAX];
    unsigned specs;        /* that were run, */
    unsigned cases;        /* and their cases */
    bool is_new;           /* the content loaded was not there yet */
    uint32_t shipping;     /* the version that workers are taking; 0: none */
    int64_t shipped_ms;    /* since when */
    int64_t now_ms;
    struct policy_watch files; /* of policy.dir */
    struct watch files_ready;
};

/* Watches the directory of the config that serves now, to say when its files differ from what runs
 * and, with policy.watch, to use them. */
void policy_tasks_watch(struct policy_tasks *tasks, const char *dir);

void policy_tasks_init(struct policy_tasks *tasks, struct supervisor *supervisor);

/* Takes a task. Returns 0, or -EBUSY when too many wait. */
int policy_tasks_add(struct policy_tasks *tasks, const struct policy_task *task);

/* Goes on with the one under way, or begins the next. Returns when it is to be called next. */
int64_t policy_tasks_step(struct policy_tasks *tasks, int64_t now_ms);

/* Gives up all of them. */
void policy_tasks_cancel(struct policy_tasks *tasks);

#endif

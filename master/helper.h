/* Work that the master leaves to an unprivileged child: reading the config, checking certificates
 * and policies. The answer is 'o' and a payload, or 'f' and a text, and perhaps a descriptor. */
#ifndef HERALD_HELPER_H
#define HERALD_HELPER_H

#include "master/handoff/fault.h"
#include "master/handoff/span.h"
#include "master/loop.h"
#include "master/spawn.h"

#define HELPER_ANSWER_MAX (32 * 1024 * 1024)
#define HELPER_CPU_S 10      /* unless helper->cpu_s says otherwise */
#define HELPER_WALL_MS 30000 /* unless helper->wall_ms does */

struct helper {
    struct watch watch;
    struct loop *loop;
    struct spawned process;
    const char *task; /* "reading the config", for faults */
    unsigned cpu_s;   /* 0: the default */
    int64_t wall_ms;  /* 0: the default */
    int64_t deadline_ms;
    char *answer;
    size_t length;
    size_t size;
    int passed_fd; /* -1: none came */
    bool running;
    /* rc 0: `answer` is the payload, `fd` the descriptor that came (or -1), which the callee owns.
     * Else -errno and `fault`. The helper has ended and may be started again inside. */
    void (*done)(struct helper *helper, int rc, struct span answer, int fd,
                 const struct fault *fault);
};

/* Starts `body(socket, context)` in a child of `user` that keeps the `keep` descriptors; it ends by
 * helper_answer or helper_refuse. Returns 0 or -errno with `fault`. */
int helper_start(struct helper *helper, struct loop *loop, const char *task,
                 const struct spawn_user *user, const int *keep, size_t keep_count,
                 int (*body)(int socket, void *context), void *context, struct fault *fault);

/* Ends a helper that takes too long; to be called when its deadline was reached. */
void helper_tick(struct helper *helper, int64_t now_ms);

/* Ends the child without an answer. One that is not running is accepted. */
void helper_cancel(struct helper *helper);

/* In the child: sends the answer, and `fd` unless it is -1. Returns the child's exit status. */
int helper_answer(int socket, struct span payload, int fd);
int helper_refuse(int socket, const struct fault *fault);

#endif

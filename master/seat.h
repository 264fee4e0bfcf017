/* A seat is one share of a generation: a worker process sits in it, goes, and is replaced. */
#ifndef HERALD_SEAT_H
#define HERALD_SEAT_H

#include "master/backoff.h"
#include "master/handoff/handoff.h"
#include "master/listen.h"
#include "master/loop.h"
#include "master/pulse.h"
#include "master/slots.h"
#include "master/spawn.h"

#include <stdbool.h>

#define SEAT_READY_MS 20000 /* for a worker to arm its listeners */
#define SEAT_STOP_MS 2000   /* for a worker that was told to stop at once */
#define SEAT_RETRY_MS 100   /* when a process could not be made */

struct generation;
struct policy_desk;

/* What all seats of all generations share. */
struct seat_tools {
    struct loop *loop;
    struct slots *slots;
    struct listen_table *listens;
    struct policy_desk *desk; /* NULL: there are no versions of policies */
};

/* A version of the policies that the worker has, or was sent. */
struct seat_version {
    uint32_t number; /* 0: a free place */
    bool asked;      /* it has not answered yet */
    bool refused;    /* it cannot run there */
};

enum seat_state {
    SEAT_EMPTY,
    SEAT_STARTING,
    SEAT_READY,   /* accepts */
    SEAT_LEAVING, /* was told to drain or to stop */
};

struct seat {
    struct generation *generation;
    unsigned share;
    enum seat_state state;
    struct spawned process;
    struct watch exit_watch; /* the process's pidfd */
    struct watch word_watch; /* its control socket */
    int slot;
    int64_t ready_ms;   /* when it became ready; 0: not yet */
    int64_t kill_ms;    /* when it is killed, or LOOP_NEVER */
    int64_t restart_ms; /* empty: when the next one starts, or LOOP_NEVER */
    int64_t down_ms;    /* since when nobody here accepts; 0: somebody does */
    struct backoff backoff;
    struct pulse pulse;
    bool wedged; /* it is killed because a policy's hook did not end */
    unsigned restarts;
    uint64_t requests_before;       /* of the slot's earlier workers */
    char said[HANDOFF_MESSAGE_MAX]; /* the fault it told; "" for none */
    struct seat_version versions[SEGMENT_VERSIONS_MAX];
    char said_of_policy[HANDOFF_MESSAGE_MAX]; /* of the version that it refused last */
};

void seat_init(struct seat *seat, struct generation *generation, unsigned share);

/* Starts a worker. Returns 0, or -errno with `fault` and the seat empty. */
int seat_start(struct seat *seat, int64_t now_ms, struct fault *fault);

/* Sends a word, with the share that ADOPT and RELEASE carry, or the version that FORGET does.
 * Nothing happens on an empty seat. */
void seat_tell(struct seat *seat, enum handoff_word word, uint32_t number);

/* Sends a version of the policies, whose bundle `fd` stays the caller's. Returns 0 or -errno. */
int seat_tell_policy(struct seat *seat, uint32_t number, int fd);

/* Tells which addresses an origin's name has now. */
void seat_tell_addresses(struct seat *seat, const char *name, const char *addresses);

/* Sends new log descriptors, which stay the caller's; -1: that log stays as it is. */
void seat_tell_logs(struct seat *seat, int access_fd, int error_fd);

/* SIGKILL, said in the log as `why`. */
void seat_kill(struct seat *seat, const char *why);

#endif

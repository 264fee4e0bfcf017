/* Keeps the push table and what was learned across restarts: loads them at start, saves them every
 * few minutes and at the end. */
#ifndef HERALD_KEEPER_H
#define HERALD_KEEPER_H

#include "master/handoff/segment.h"
#include "master/helper.h"

#define KEEPER_SAVE_MS (5 * 60 * 1000)

struct keeper {
    struct helper helper; /* the child that saves */
    struct loop *loop;
    struct segment *segment;
    char *path;      /* of the table; NULL until keeper_init; nothing is saved then */
    char *learned;   /* the other file's */
    int64_t save_ms; /* when they are saved next */
};

/* Loads hash keys, table and learned sets from `state_dir` into a fresh segment, or makes the
 * former. What can't be used is said in the log, and starts empty. Returns 0 or -errno with
 * `fault`. */
int keeper_init(struct keeper *keeper, struct loop *loop, struct segment *segment,
                const char *state_dir, int64_t now_ms, struct fault *fault);

/* Starts a save when one is due. Returns when it is to be called next. */
int64_t keeper_step(struct keeper *keeper, int64_t now_ms);

/* Saves now, and forgets the paths. */
void keeper_finish(struct keeper *keeper);

/* Forgets the paths without saving: herald did not get to serve. */
void keeper_abandon(struct keeper *keeper);

#endif

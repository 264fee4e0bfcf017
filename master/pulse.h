/* Whether a worker's loop still turns. A worker is stuck when it used a second of CPU without a
 * heartbeat, or when it has been inside a policy for half a minute; one that merely gets no CPU on
 * a busy machine is not stuck. */
#ifndef HERALD_PULSE_H
#define HERALD_PULSE_H

#include "master/handoff/segment.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define PULSE_EVERY_MS 250
#define PULSE_CPU_NS INT64_C(1000000000)
#define PULSE_WALL_MS 30000

struct pulse {
    clockid_t clock;    /* of the process's CPU time */
    bool usable;        /* the clock could be had, and a first reading was taken */
    uint64_t heartbeat; /* when it last changed: its value, */
    int64_t cpu_ns;     /* the CPU time then, */
    int64_t wall_ms;    /* and the time then */
};

void pulse_begin(struct pulse *pulse, pid_t pid);

enum pulse_state {
    PULSE_BEATS,
    PULSE_WEDGED, /* a policy's hook holds it: it used the CPU there, so nothing but the hook did it
                   */
    PULSE_STUCK,  /* it used the CPU outside of hooks */
    PULSE_AWAY,   /* it is inside a hook and does not run: stopped, or waiting for memory */
};

/* What a state but the first means, for the log. */
const char *pulse_state_text(enum pulse_state state);

/* One reading. */
enum pulse_state pulse_check(struct pulse *pulse, const struct segment_slot *slot, int64_t now_ms);

/* The judgement, apart from the clock: the same for a reading that was taken at `now_ms`. */
enum pulse_state pulse_judge(struct pulse *pulse, uint64_t heartbeat, bool in_policy,
                             int64_t cpu_ns, int64_t now_ms);

#endif

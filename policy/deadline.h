/* How long Lua may run. One timer per thread counts its CPU time in ticks; there is no system call
 * per policy call.
 *
 * Soft deadline: a hook on every instruction, which stays, raises a Lua error until the call ends,
 * however many times it is caught; the state is kept. Hard deadline: the call is left by siglongjmp
 * from wherever it is, a C function of the Lua library included, and the state must be dropped.
 * While the host works for a policy (deadline_hold) leaving waits until it is done.
 *
 * Uses SIGVTALRM. */
#ifndef HERALD_DEADLINE_H
#define HERALD_DEADLINE_H

#include "master/handoff/fault.h"

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

#define DEADLINE_SOFT_MS 8 /* of one hook call, when the config says nothing */
#define DEADLINE_HARD_MS 28
#define DEADLINE_SOFT_TICKS_MIN 2 /* the first tick may come at once */

/* In ticks since the call began. */
struct deadline_limits {
    unsigned soft_ticks;
    unsigned hard_ticks;
    unsigned tick_ms; /* of CPU time */
};

/* What `soft_ms` and `hard_ms` (0: the defaults) come to on this kernel: a call ends after more
 * than (ticks - 1) * tick_ms, and as a rule by ticks * tick_ms; later when other processes keep
 * taking the processor away, for a tick is seen only by who runs when the kernel's own comes.
 * Returns 0, or -ERANGE with `fault` when they are too short to be told apart from a fast call, or
 * from each other. */
int deadline_limits(uint32_t soft_ms, uint32_t hard_ms, struct deadline_limits *limits,
                    struct fault *fault);

/* Starts this thread's timer; calls nest. Returns 0 or -errno with `fault`. */
int deadline_start(struct fault *fault);
void deadline_stop(void);

enum deadline_outcome {
    DEADLINE_NONE, /* the call ended by itself */
    DEADLINE_SOFT, /* it was stopped; its status says so too */
    DEADLINE_HARD, /* it was left; the state may not be touched again */
};

/* lua_pcall(L, arguments, results, handler) under `limits`, with its result in `*status`. Does not
 * nest. The thread's timer runs. */
enum deadline_outcome deadline_pcall(lua_State *L, int arguments, int results, int handler,
                                     const struct deadline_limits *limits, int *status);

/* True in a call whose soft deadline has passed. */
bool deadline_passed(void);

/* Around work for a policy that must not be cut short: memory of malloc, the host's own state. No
 * Lua function that may raise an error is called in between. */
void deadline_hold(void);
void deadline_release(void);

#endif

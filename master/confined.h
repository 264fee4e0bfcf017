/* Runs a function in a child that can do no harm, and brings back what it wrote.
 *
 * For what must read untrusted or programmable text: the config, policies. The child has no
 * privileges (as root, it becomes an ordinary user), no descriptors but the given ones, and bounds
 * on CPU time, wall time and output. Whatever becomes of it, the caller goes on. */
#ifndef HERALD_CONFINED_H
#define HERALD_CONFINED_H

#include "master/handoff/fault.h"

#include <stddef.h>

#define CONFINED_KEEP_MAX 8

struct confined {
    /* Runs in the child, where memory is a copy of the caller's; writes its result to the
     * descriptor `out` and returns. Borrowed until confined_run returns, as all of this. */
    void (*run)(void *argument, int out);
    void *argument;
    int keep[CONFINED_KEEP_MAX]; /* descriptors that stay open in the child */
    size_t keep_count;
    const char *user;  /* whom the child becomes when the caller is root; where that user is root or
                        * nobody knows it, or with NULL: herald, else nobody */
    unsigned cpu_s;    /* CPU time after which the child is killed, from 1 */
    unsigned wall_ms;  /* the same in wall time */
    size_t output_max; /* bytes; more is a fault */
    const char *what;  /* "the reader of herald.lua", for faults */
    const char *where; /* what faults are about, or NULL */
};

/* Returns 0 with `*output` (owned by the caller, `*length` bytes and a NUL), or -errno with
 * `fault`: -EPERM the privileges could not be given up, -ETIME out of time, -EIO the child died or
 * wrote too much. */
int confined_run(const struct confined *confined, char **output, size_t *length,
                 struct fault *fault);

/* Writes all of `data`; for `run`. Returns 0 or -errno. */
int confined_write(int out, const void *data, size_t length);

#endif

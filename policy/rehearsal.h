/* The specs of policies: what a policy does with a request, tried in the sandbox that workers use,
 * without a server.
 *
 * A spec is a file NAME_spec.lua among the policies; herald-policy(7) describes it. Every case runs
 * in a state of its own, so that none depends on another, and gets the same answers every time.
 * Called in an unprivileged child: what runs is an operator's code, bounded by the deadlines and
 * the memory of policies. */
#ifndef HERALD_REHEARSAL_H
#define HERALD_REHEARSAL_H

#include "master/handoff/config.h"
#include "master/handoff/fault.h"
#include "master/handoff/span.h"

#include <stdbool.h>

#define REHEARSAL_CASES_MAX 1000 /* of one spec */
#define REHEARSAL_ENDING "_spec.lua"

/* What became of one case, or (case_name empty) of a spec that cannot be used. */
struct rehearsal_case {
    const char *file; /* the spec's name among the policies */
    int line;         /* where the case is in it */
    const char *name;
    bool passed;
    const char *said; /* why it failed: lines that end in '\n'; "" when it passed */
};

struct rehearsal_totals {
    unsigned specs;
    unsigned cases;
    unsigned failed; /* cases, and specs that cannot be used */
};

/* Told of every case, in order. All of it is borrowed until it returns. */
typedef void rehearsal_told(void *context, const struct rehearsal_case *one);

/* True for the name of a spec among the files of a bundle. */
bool rehearsal_is_spec(struct span name);

/* Runs every spec of the bundle, or `only` the one of that name. `config` gives the limits of
 * policies and the dictionaries that are declared; its sites play no part. `told` may be NULL.
 * Returns 0 when every case passed; else -EINVAL with the first failure in `fault` (file, line of
 * the case, what) and all of them counted in `totals`; -ENOENT when there is no spec `only`;
 * another -errno with `fault` when nothing could be run. */
int rehearsal_run(const struct config *config, int bundle_fd, const char *only,
                  rehearsal_told *told, void *context, struct rehearsal_totals *totals,
                  struct fault *fault);

#endif

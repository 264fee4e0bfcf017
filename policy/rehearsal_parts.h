/* What the files of rehearsal.h share: the spec as Lua gave it (rehearsal_spec.c), the case's
 * request run through the policies (rehearsal_stage.c, .h), what came of it beside what was expected
 * (rehearsal_expect.c). */
#ifndef HERALD_REHEARSAL_PARTS_H
#define HERALD_REHEARSAL_PARTS_H

#include "policy/bundle.h"
#include "policy/decision.h"
#include "policy/rehearsal.h"

#include <jansson.h>
#include <stdio.h>

/* ---- rehearsal_spec.c ---- */

struct spec;

/* Runs the bundle's file `name` in a sandbox of its own. Returns 0 and a spec owned by the caller,
 * or -errno with `fault` at its line. `config` (its limits) and `name` are borrowed until close. */
int spec_open(const struct config *config, int bundle_fd, const char *name, struct spec **spec,
              struct fault *fault);
void spec_close(struct spec *spec); /* NULL is accepted */

/* What the spec returned, borrowed until close: its fields, "cases" an array of theirs. Tables are
 * arrays or objects; a function `expect` reads true. */
json_t *spec_value(const struct spec *spec);

/* The line of case `i`, from 0, by where its name stands. */
int spec_line(const struct spec *spec, size_t i);

/* Calls the function `expect` of case `i` with `got`. Returns 0; -EINVAL with `fault` when it failed
 * or returned false. */
int spec_expect(struct spec *spec, size_t i, json_t *got, struct fault *fault);

/* ---- rehearsal_stage.c ---- */

#define STAGE_LOGS_MAX 32

/* One case on its way. */
struct stage_run {
    const struct config *config;
    int bundle_fd;
    const struct bundle *bundle;
    const char *file; /* the spec's name */
    int line;
    json_t *spec; /* its fields, */
    json_t *test; /* and the case's, which go first */
    struct decision decision;
    json_t *logs;     /* array of messages, owned */
    unsigned failures; /* of hooks, */
    struct fault failure; /* and the first of them */
};

/* Makes the policies of the case, runs its request through them and judges every candidate as a
 * worker would. Returns 0, or -errno with `fault` when the case says something senseless. What the
 * candidates name the policy by lives until stage_finish. */
int stage_run_case(struct stage_run *run, struct fault *fault);
void stage_finish(struct stage_run *run);

/* The member `key` of the case, or else of the spec; NULL when neither has it. */
json_t *stage_member(const struct stage_run *run, const char *key);

/* ---- rehearsal_expect.c ---- */

/* Compares; writes each difference to `out`, a line or more. Returns how many there were, or -EINVAL
 * with `fault` for an expectation that makes no sense. */
int expect_compare(const struct stage_run *run, FILE *out, struct fault *fault);

/* What came of the case, for `expect`: owned by the caller, or NULL. */
json_t *expect_value(const struct stage_run *run);

#endif

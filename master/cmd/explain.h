/* What the files of `herald explain` share. */
#ifndef HERALD_CMD_EXPLAIN_H
#define HERALD_CMD_EXPLAIN_H

#include "master/handoff/fault.h"

#include <jansson.h>

/* Prints one answer for a person: the access log's members, and what explain adds to them. */
void explain_print(const json_t *answer);

/* Finds the line of the request `id` in the access log at `path`, looking at its last
 * EXPLAIN_LOG_BYTES from the end. Returns it, owned by the caller, or NULL with `fault`. */
#define EXPLAIN_LOG_BYTES (256L * 1024 * 1024)
json_t *explain_find(const char *path, const char *id, struct fault *fault);

#endif

/* What the verbs share that ask a running herald about versions of its policies. */
#ifndef HERALD_POLICY_REMOTE_H
#define HERALD_POLICY_REMOTE_H

#include "master/cmd/remote.h"

#include <stdbool.h>
#include <stdint.h>

/* Reads "v14" or "14". Returns false for anything else. */
bool policy_remote_number(const char *text, uint32_t *number);

/* Sends `request`, which it takes. Returns the answer, owned by the caller; or NULL when herald
 * can't be asked or refused, which was said then, and the exit status. */
json_t *policy_remote_call(const struct remote *remote, json_t *request, int *status);

/* Prints how a version came to the workers: "v14 active on 4/4 workers in 6 ms; undo: ...". */
void policy_remote_print(const json_t *answer);

#endif

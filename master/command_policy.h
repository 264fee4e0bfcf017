/* The control socket's verbs about policies and pushes. */
#ifndef HERALD_COMMAND_POLICY_H
#define HERALD_COMMAND_POLICY_H

#include "master/control.h"

#include <stdbool.h>

struct supervisor;

/* Their names, for a command that has no such verb; ends with NULL. */
extern const char *const COMMAND_POLICY_VERBS[];

/* Runs one, or returns false when `verb` is none of them. As a control_command. */
bool command_policy(struct supervisor *supervisor, struct control_handle client,
                    const char *author, const char *verb, json_t *request);

#endif

/* The verbs of the control socket: status, reload, stop. */
#ifndef HERALD_COMMAND_H
#define HERALD_COMMAND_H

#include "master/control.h"

/* A control_command whose context is the struct supervisor. */
void command_run(void *supervisor, struct control_handle client, const char *author,
                 const char *verb, json_t *request);

#endif

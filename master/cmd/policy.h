/* The verbs of `herald policy`, a file or more each. */
#ifndef HERALD_CMD_POLICY_H
#define HERALD_CMD_POLICY_H

#include "master/cmd/cmd.h"

int cmd_policy_doc(int argc, char **argv);
int cmd_policy_test(int argc, char **argv);

#endif

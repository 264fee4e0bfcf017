/* The verbs of `herald policy`, a file or more each. */
#ifndef HERALD_CMD_POLICY_H
#define HERALD_CMD_POLICY_H

#include "master/cmd/cmd.h"

int cmd_policy_load(int argc, char **argv);
int cmd_policy_use(int argc, char **argv);
int cmd_policy_rollback(int argc, char **argv);
int cmd_policy_watch(int argc, char **argv);
int cmd_policy_list(int argc, char **argv);
int cmd_policy_show(int argc, char **argv);
int cmd_policy_diff(int argc, char **argv);
int cmd_policy_canary(int argc, char **argv);
int cmd_policy_shadow(int argc, char **argv);
int cmd_policy_discard(int argc, char **argv);
int cmd_policy_doc(int argc, char **argv);
int cmd_policy_check(int argc, char **argv);
int cmd_policy_new(int argc, char **argv);
int cmd_policy_test(int argc, char **argv);

#endif

/* What looks wrong in policies that compile: found without running a hook. */
#ifndef HERALD_POLICY_LINT_H
#define HERALD_POLICY_LINT_H

#include "master/handoff/config.h"
#include "master/handoff/fault.h"

/* Tells of globals that the sandbox does not have, wherever they are used or assigned (they would be
 * errors only once that line runs), and of policies of the directory that a list names and no spec
 * tries. Files that do not compile are left to policy_check.
 * Runs no policy. */
void policy_lint(const struct config *config, int bundle_fd,
                 void (*told)(void *context, const struct fault *fault), void *context);

/* Looks in a file's text for the use of a dictionary, `shared.NAME`, that the config does not declare.
 * Returns its line and the name in `name` (64 bytes and a NUL), or 0: all are declared, or the text
 * does not compile. */
int policy_lint_shared(const struct config *config, struct span text, char name[65]);

#endif

/* In an unprivileged child: the policy files as one bundle, judged as every worker will see them. */
#ifndef HERALD_POLICY_CHILD_H
#define HERALD_POLICY_CHILD_H

#include "policy/bundle.h"

#include <stdbool.h>

struct policy_child {
    const struct config *config;   /* with its descriptors; the child's own */
    const struct bundle_file *one; /* a file that takes the place of its namesake, or NULL */
    bool specs;    /* run the specs too */
    int stored_fd; /* a stored version that may serve when the files are bad; -1: none may */
};

/* Answers (master/helper.h) with the bundle's descriptor, and the numbers of specs and of their
 * cases as payload, "3 14"; with the fault of the files as payload,
 * and no descriptor, when the stored version may serve; or refuses. A fault with a line shows that
 * line. Returns the child's exit status. */
int policy_child_answer(int socket, const struct policy_child *child);

#endif

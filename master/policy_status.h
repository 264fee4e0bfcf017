/* What is told of the policies' versions, by `herald status` and `herald policy`. */
#ifndef HERALD_POLICY_STATUS_H
#define HERALD_POLICY_STATUS_H

#include "master/policy_desk.h"

#include <jansson.h>

/* An object owned by the caller, or NULL when memory runs out. */
json_t *policy_status(const struct policy_desk *desk);

#endif

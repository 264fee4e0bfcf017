/* What `herald status` tells, as JSON. */
#ifndef HERALD_STATUS_H
#define HERALD_STATUS_H

#include "master/supervisor.h"

/* With what push.holdout's experiment came to, when that is asked for. Returns an object owned by the
 * caller, or NULL when memory runs out. */
json_t *status_make(struct supervisor *supervisor, bool experiment);

#endif

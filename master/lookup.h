/* The addresses of origin servers' host names, looked up again and again by an unprivileged child,
 * so that neither the master nor a worker ever waits for a resolver. */
#ifndef HERALD_LOOKUP_H
#define HERALD_LOOKUP_H

#include "master/generation.h"
#include "master/helper.h"

struct lookup {
    struct helper helper;
    unsigned number;               /* of the generation that is being looked up for */
    struct generation *generation; /* that serves; NULL: none */
    int64_t due_ms;
};

/* Does what is due for the generation that serves (NULL: none does), whose names were looked up
 * when its config was read. Returns when it is to be called next. */
int64_t lookup_step(struct lookup *lookup, struct loop *loop, struct generation *serving,
                    int64_t now_ms);

/* Ends the child. */
void lookup_cancel(struct lookup *lookup);

#endif

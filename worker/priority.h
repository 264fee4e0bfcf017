/* What a client says of a response's priority (RFC 9218): in its request's Priority field, or later
 * in a PRIORITY_UPDATE frame. */
#ifndef HERALD_PRIORITY_H
#define HERALD_PRIORITY_H

#include "master/handoff/span.h"

#include <stdbool.h>
#include <stdint.h>

#define PRIORITY_URGENCY_DEFAULT 3
#define PRIORITY_URGENCY_LAST 7

struct priority {
    uint8_t urgency;  /* 0, the most urgent, to 7 (RFC 9218 4.1) */
    bool incremental; /* its content is shown as it comes (4.2) */
    bool said;        /* false: the client has said nothing, and these are the defaults */
};

/* Reads a Priority field's value. Members that make no sense count as not said; of two of a kind
 * the last one counts (RFC 8941 3.2). An empty value says the defaults. */
struct priority priority_read(struct span value);

#endif

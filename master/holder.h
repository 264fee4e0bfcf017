/* Who listens on a port, as far as /proc tells. */
#ifndef HERALD_HOLDER_H
#define HERALD_HOLDER_H

#include <stdbool.h>

#define HOLDER_TEXT_MAX 64

/* Writes "nginx (pid 12)" into `text` (HOLDER_TEXT_MAX bytes), or the user when the process can't
 * be seen. Returns false when nothing is known. Takes some milliseconds; for a fault, not for a
 * loop. */
bool holder_of_port(unsigned port, char *text);

/* Whether a process that can be seen has the port open. */
bool holder_is_seen(unsigned port);

#endif

/* A line of the access log, for a person who watches the demo. */
#ifndef HERALD_ECHO_H
#define HERALD_ECHO_H

#include "master/handoff/span.h"

#include <stddef.h>

#define ECHO_TEXT_MAX 512

/* Writes what one JSON line of the access log tells about a page: "GET / 200: 14 pushed, 82.1 KiB",
 * "GET / 200: nothing pushed: the client sent SETTINGS_ENABLE_PUSH=0". Returns `text`
 * (ECHO_TEXT_MAX bytes), or NULL for a line that is of no interest: an asset that was served, or no
 * line of such a log at all. */
const char *echo_line(struct span json, char *text);

#endif

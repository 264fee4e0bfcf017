/* HTTP's dates (RFC 9110 5.6.7). */
#ifndef HERALD_HTTP_DATE_H
#define HERALD_HTTP_DATE_H

#include "master/handoff/span.h"

#include <stdbool.h>
#include <time.h>

#define HTTP_DATE_LENGTH 29

/* Writes `time` (years 0 to 9999) as an IMF-fixdate, "Sun, 06 Nov 1994 08:49:37 GMT", and a NUL. */
void http_date_format(time_t time, char text[HTTP_DATE_LENGTH + 1]);

/* Reads any of the three forms, the two obsolete ones included. Returns false for anything else. */
bool http_date_parse(struct span text, time_t *time);

/* Now, for a Date field: formatted once a second. The text stays where it is and always is a whole
 * date, but changes with the seconds. For one thread. */
struct span http_date_now(void);

/* Seconds of the wall clock, without a system call. */
time_t http_date_seconds(void);

#endif

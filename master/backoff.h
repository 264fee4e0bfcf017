/* How long to wait before a crashed worker is started again: 0.1 s, doubled with each crash up to
 * 30 s, and 0.1 s again after it served for a minute. */
#ifndef HERALD_BACKOFF_H
#define HERALD_BACKOFF_H

#include <stdint.h>

#define BACKOFF_LEAST_MS 100
#define BACKOFF_MOST_MS 30000
#define BACKOFF_HEALTHY_MS 60000

/* All zero before the first crash. */
struct backoff {
    int64_t delay_ms; /* the last one; 0: none yet */
};

/* The wait after a crash; `served_ms`: how long the worker had been ready, 0 if it never was. */
int64_t backoff_next(struct backoff *backoff, int64_t served_ms);

#endif

/* Makes any bytes UTF-8, in slices: what is no UTF-8, and NUL, becomes U+FFFD. */
#ifndef HERALD_ASSETS_UTF8_H
#define HERALD_ASSETS_UTF8_H

#include "master/handoff/span.h"

/* All zero at the start. */
struct assets_utf8 {
    unsigned char sequence[4]; /* not complete yet */
    size_t length;
    size_t wanted; /* 0: between characters */
};

/* Calls take(context, byte) for each byte of the result; an incomplete sequence at the end waits
 * for the next slice. */
void assets_utf8_feed(struct assets_utf8 *utf8, struct span text,
                      void (*take)(void *context, char c), void *context);

#endif

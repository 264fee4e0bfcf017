/* What differs between two texts, line by line. */
#ifndef HERALD_TEXT_DIFF_H
#define HERALD_TEXT_DIFF_H

#include "master/handoff/span.h"

#include <stdio.h>

/* Prints the lines that differ, with those around them, in the unified form; `before` and `after`
 * are the texts' names. Returns how many lines were added or removed; 0 prints nothing. */
size_t text_diff(FILE *out, const char *before, struct span a, const char *after, struct span b);

#endif

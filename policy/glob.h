/* Path patterns: `*` stands for any run of bytes, "/" included, `?` for one byte, every other byte
 * for itself. */
#ifndef HERALD_GLOB_H
#define HERALD_GLOB_H

#include "master/handoff/span.h"

#include <stdbool.h>
#include <stdint.h>

/* Whether the whole of `text` matches `pattern`. Takes one from `*steps` for each comparison, at
 * most pattern * text of them; when none is left the answer is false and `*steps` 0. */
bool glob_match(struct span pattern, struct span text, uint32_t *steps);

#endif

/* Names of one page and its stylesheets, each kept once and known by a number, so that names are
 * compared as numbers and all their memory is bounded. */
#ifndef HERALD_ASSETS_STRINGS_H
#define HERALD_ASSETS_STRINGS_H

#include "master/handoff/span.h"

#include <stdbool.h>
#include <stdint.h>

#define ASSETS_STRINGS_MAX 4096               /* names; a power of two */
#define ASSETS_STRINGS_BYTES_MAX (128 * 1024) /* of all of them */

/* What a name is of. The same word as a class and as an id has two numbers. */
enum assets_name { ASSETS_NAME_TAG, ASSETS_NAME_ID, ASSETS_NAME_CLASS, ASSETS_NAME_FAMILY };

struct assets_strings {
    uint16_t *slots; /* open addressing over numbers; 2 * ASSETS_STRINGS_MAX of them */
    struct assets_string *entries;
    char *bytes;
    uint32_t count; /* numbers 1 to count are taken */
    uint32_t used;
    bool full; /* a name was turned away: what is said of names no longer holds */
};

/* Returns 0 or -ENOMEM. */
int assets_strings_init(struct assets_strings *strings);
void assets_strings_finish(struct assets_strings *strings);

/* The number of `text` as a name of `kind`; tags and families ignore ASCII case. 0 when it is empty
 * or there is no room, which equals no name. */
uint16_t assets_strings_number(struct assets_strings *strings, enum assets_name kind,
                               struct span text);

/* A bit of a 64-bit filter: a set of names whose filter lacks it hasn't got the name. */
static inline uint64_t assets_strings_bit(uint16_t number)
{
    return number ? UINT64_C(1) << (number & 63) : 0;
}

#endif

/* Memory for libraries that come to harm when an allocation fails: the heap's, and when that has
 * nothing, that of a reserve. What used the reserve is to be ended, so that it gives it back. */
#ifndef HERALD_RESERVE_H
#define HERALD_RESERVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RESERVE_BYTES (1u * 1024 * 1024) /* untouched, and so no memory, until needed */

struct reserve {
    uint8_t *bytes;
    size_t used;
    unsigned chunks; /* in use: without any, all of it is free again */
    bool lacked;
};

/* Returns 0 or -ENOMEM. */
int reserve_init(struct reserve *reserve);

/* Everything taken was given back. */
void reserve_finish(struct reserve *reserve);

/* Memory of `size` bytes, more than none, aligned for anything. Aborts when the reserve has nothing
 * either: the process starts again rather than goes on with a library that is torn. */
void *reserve_take(struct reserve *reserve, size_t size);

/* As realloc, `size` being more than none; `data` may be NULL. */
void *reserve_resize(struct reserve *reserve, void *data, size_t size);

/* As free. */
void reserve_give(struct reserve *reserve, void *data);

/* True for memory that is the reserve's own. */
static inline bool reserve_holds(const struct reserve *reserve, const void *data)
{
    return (uintptr_t)data - (uintptr_t)reserve->bytes < RESERVE_BYTES;
}

/* Whether the heap had nothing, and the reserve was used, since this was last asked. */
bool reserve_lacked(struct reserve *reserve);

#endif

/* Memory that is taken and given back again and again, by the process's one thread: blocks of a few
 * sizes are kept for the next who wants such a one. The C library's allocator merges and splits blocks
 * beyond a KiB each time, which is a good part of what a short exchange with an origin costs.
 *
 * Under AddressSanitizer nothing is kept, so that it sees every block's end. */
#ifndef HERALD_BLOCKS_H
#define HERALD_BLOCKS_H

#include <stddef.h>

#define BLOCKS_KEPT_MAX (8u << 20) /* bytes; what comes back beyond them is freed */
#define BLOCKS_LARGEST (64u << 10) /* a larger one is the C library's affair */

/* As malloc, calloc, realloc, strdup and free; only for each other. */
void *blocks_take(size_t bytes);
void *blocks_take_zeroed(size_t count, size_t bytes);
void *blocks_resize(void *block, size_t bytes);
char *blocks_copy_text(const char *text);
void blocks_give(void *block);

/* The same, for libraries that come to harm when an allocation fails: of a reserve (policy/reserve.h)
 * when the heap has nothing, once blocks_reserve returned 0 and not -ENOMEM. */
int blocks_reserve(void);
void *blocks_take_surely(size_t bytes);
void *blocks_take_zeroed_surely(size_t count, size_t bytes);
void *blocks_resize_surely(void *block, size_t bytes);
char *blocks_copy_text_surely(const char *text);

/* Frees what is kept. */
void blocks_finish(void);

#endif

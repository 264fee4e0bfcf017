/* The memory of one policy state: a fixed piece of address space with an allocator of its own, so
 * that a policy can neither grow the process nor leave anything behind. The whole of it can be
 * dropped at any moment, even from a state that was interrupted in mid-allocation.
 *
 * Two-level segregated fit: every operation takes a bounded number of steps. One thread at a time.
 */
#ifndef HERALD_ARENA_H
#define HERALD_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARENA_BYTES_MIN (256 * 1024)
#define ARENA_BYTES_MAX (1024 * 1024 * 1024)

#define ARENA_BINS 16 /* small sizes, 16 bytes apart, that are kept for the next of their size */
#define ARENA_BIN_MAX 256 /* blocks kept of one size */

#define ARENA_ROWS 26    /* powers of two that a free block's size may lie in */
#define ARENA_COLUMNS 16 /* parts of each power of two */

struct arena_block;

struct arena {
    char *base; /* NULL: not mapped */
    size_t size;
    size_t used;          /* bytes in live blocks, their headers included */
    size_t peak;          /* the most that `used` has been since the last reset */
    uint64_t allocations; /* asked for since arena_open, refused ones included */
    uint64_t refuse_at;   /* tests: the allocation of this number fails, and all after it do while
                           * `refuse_on` is set; 0: none */
    bool refuse_on;
    struct {
        struct arena_block *head;
        unsigned count;
    } bins[ARENA_BINS];
    uint32_t rows; /* bit r: row r has a free block */
    uint16_t columns[ARENA_ROWS];
    struct arena_block *heads[ARENA_ROWS][ARENA_COLUMNS];
};

/* Maps `size` bytes, rounded up to pages; ARENA_BYTES_MIN to ARENA_BYTES_MAX. Returns 0, -EINVAL or
 * -ENOMEM. */
int arena_open(struct arena *arena, size_t size);
void arena_close(struct arena *arena);

/* Forgets every block, and what a test asked to be refused. Pages that were touched stay with the
 * process. */
void arena_reset(struct arena *arena);

/* Grows, shrinks, makes (`block` NULL) or frees (`size` 0, which returns NULL) a block, aligned to
 * 16 bytes. Returns NULL, with `block` as it was, when there is no room; shrinking never fails. */
void *arena_realloc(struct arena *arena, void *block, size_t size);

/* For tests: the next arena that is opened begins with this `refuse_at` and `refuse_on`. */
void arena_refuse_in_next(uint64_t refuse_at, bool refuse_on);

/* For tests: checks every block and free list. Returns false when something is amiss. */
bool arena_sound(const struct arena *arena);

#endif

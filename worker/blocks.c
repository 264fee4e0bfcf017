#include "worker/blocks.h"

#include "policy/reserve.h"

#include <assert.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define KEPT_MAX 0
#else
#define KEPT_MAX BLOCKS_KEPT_MAX
#endif

/* Sizes: four to each power of two, from LEAST on. */
#define LEAST_BITS 6
#define LEAST (1u << LEAST_BITS)
#define LARGEST_BITS 16
#define CLASSES (4 * (LARGEST_BITS - LEAST_BITS) + 2)
#define LARGE CLASSES /* the class of those that are not kept */

static_assert(BLOCKS_LARGEST == 1u << LARGEST_BITS, "the largest is of the last class but one");

/* What lies before each block. */
struct block {
    size_t room; /* bytes behind this */
    union {
        size_t class_at; /* while it is taken */
        struct block *next;
    };
};

static_assert(sizeof(struct block) % alignof(max_align_t) == 0, "blocks are aligned as malloc's");

static struct {
    struct block *kept[CLASSES];
    size_t kept_bytes;
    struct reserve reserve; /* for those who are to get something surely */
} blocks;

/* The first class whose blocks have room for `bytes`; *room is how much they have. */
static size_t class_for(size_t bytes, size_t *room)
{
    if (bytes <= LEAST) {
        *room = LEAST;
        return 0;
    }
    if (bytes > BLOCKS_LARGEST) {
        *room = bytes;
        return LARGE;
    }
    unsigned bits = 63 - (unsigned)__builtin_clzll(bytes - 1);
    size_t quarter = (bytes - 1) >> (bits - 2) & 3;
    *room = (4 + quarter + 1) << (bits - 2);
    return 4 * (bits - LEAST_BITS) + quarter + 1;
}

static void *take(size_t bytes, bool surely)
{
    size_t room, place = class_for(bytes, &room);
    struct block *block = place < LARGE ? blocks.kept[place] : NULL;
    if (block) {
        blocks.kept[place] = block->next;
        blocks.kept_bytes -= room;
    } else if (room > SIZE_MAX - sizeof(*block)) {
        return NULL;
    } else {
        size_t whole = sizeof(*block) + room;
        block = surely ? reserve_take(&blocks.reserve, whole) : malloc(whole);
    }
    if (!block)
        return NULL;
    block->room = room;
    block->class_at = reserve_holds(&blocks.reserve, block) ? LARGE : place;
    return block + 1;
}

void *blocks_take(size_t bytes)
{
    return take(bytes, false);
}

void blocks_give(void *memory)
{
    if (!memory)
        return;
    struct block *block = (struct block *)memory - 1;
    size_t place = block->class_at;
    assert(place <= LARGE);
    if (place == LARGE || blocks.kept_bytes + block->room > KEPT_MAX) {
        reserve_give(&blocks.reserve, block);
        return;
    }
    block->next = blocks.kept[place];
    blocks.kept[place] = block;
    blocks.kept_bytes += block->room;
}

static void *take_zeroed(size_t count, size_t bytes, bool surely)
{
    size_t all;
    void *memory = __builtin_mul_overflow(count, bytes, &all) ? NULL : take(all, surely);
    return memory ? memset(memory, 0, all) : NULL;
}

void *blocks_take_zeroed(size_t count, size_t bytes)
{
    return take_zeroed(count, bytes, false);
}

static void *resize(void *memory, size_t bytes, bool surely)
{
    if (!memory)
        return take(bytes, surely);
    struct block *block = (struct block *)memory - 1;
    if (bytes <= block->room && (block->class_at < LARGE || bytes > block->room / 2))
        return memory;
    void *moved = take(bytes, surely);
    if (!moved)
        return NULL;
    memcpy(moved, memory, bytes < block->room ? bytes : block->room);
    blocks_give(memory);
    return moved;
}

void *blocks_resize(void *memory, size_t bytes)
{
    return resize(memory, bytes, false);
}

static char *copy_text(const char *text, bool surely)
{
    size_t bytes = strlen(text) + 1;
    char *copy = take(bytes, surely);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

char *blocks_copy_text(const char *text)
{
    return copy_text(text, false);
}

/* ---- surely ---- */

int blocks_reserve(void)
{
    return blocks.reserve.bytes ? 0 : reserve_init(&blocks.reserve);
}

void *blocks_take_surely(size_t bytes)
{
    return take(bytes, true);
}

void *blocks_take_zeroed_surely(size_t count, size_t bytes)
{
    return take_zeroed(count, bytes, true);
}

void *blocks_resize_surely(void *memory, size_t bytes)
{
    return resize(memory, bytes, true);
}

char *blocks_copy_text_surely(const char *text)
{
    return copy_text(text, true);
}

void blocks_finish(void)
{
    for (size_t i = 0; i < CLASSES; i++) {
        while (blocks.kept[i]) {
            struct block *block = blocks.kept[i];
            blocks.kept[i] = block->next;
            free(block);
        }
    }
    blocks.kept_bytes = 0;
}

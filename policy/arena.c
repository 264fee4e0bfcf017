#include "policy/arena.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A block's header is the word before its payload: the payload's size with two flags in the low
 * bits. Payload sizes are 8 modulo 16, so that payloads are aligned to 16. A free block keeps its
 * list's links in the payload, and its address in the payload's last word, where the block behind
 * it finds it. A block of size 0 that is in use ends the arena. */
struct arena_block {
    size_t word;
    struct arena_block *next_free;
    struct arena_block *previous_free;
};

#define HEADER sizeof(size_t)
#define FREE ((size_t)1)          /* this block is free */
#define PREVIOUS_FREE ((size_t)2) /* the block before it is free */
#define FLAGS (FREE | PREVIOUS_FREE)
#define PAYLOAD_MIN ((size_t)24)
#define ROW_SHIFT 4 /* the first row holds payloads below 32 bytes */

static size_t block_size(const struct arena_block *block)
{
    return block->word & ~FLAGS;
}

static void *payload_of(struct arena_block *block)
{
    return (char *)block + HEADER;
}

static struct arena_block *block_of(void *payload)
{
    return (struct arena_block *)((char *)payload - HEADER);
}

static struct arena_block *next_of(const struct arena_block *block)
{
    return (struct arena_block *)((char *)block + HEADER + block_size(block));
}

static struct arena_block **footer_of(struct arena_block *block)
{
    return (struct arena_block **)((char *)next_of(block) - sizeof(struct arena_block *));
}

static void set_size(struct arena_block *block, size_t size)
{
    block->word = size | (block->word & FLAGS);
}

/* The row and column whose blocks are at least as large as their class's lower bound. */
static void class_of(size_t size, unsigned *row, unsigned *column)
{
    unsigned top = (unsigned)(63 - __builtin_clzl(size));
    *row = top - ROW_SHIFT;
    *column = (unsigned)((size >> (top - 4)) & (ARENA_COLUMNS - 1));
}

static void list_add(struct arena *arena, struct arena_block *block)
{
    unsigned row, column;
    class_of(block_size(block), &row, &column);
    struct arena_block *head = arena->heads[row][column];
    block->next_free = head;
    block->previous_free = NULL;
    if (head)
        head->previous_free = block;
    arena->heads[row][column] = block;
    arena->columns[row] = (uint16_t)(arena->columns[row] | 1u << column);
    arena->rows |= 1u << row;
}

static void list_remove(struct arena *arena, struct arena_block *block)
{
    unsigned row, column;
    class_of(block_size(block), &row, &column);
    if (block->next_free)
        block->next_free->previous_free = block->previous_free;
    if (block->previous_free) {
        block->previous_free->next_free = block->next_free;
        return;
    }
    arena->heads[row][column] = block->next_free;
    if (block->next_free)
        return;
    arena->columns[row] = (uint16_t)(arena->columns[row] & ~(1u << column));
    if (!arena->columns[row])
        arena->rows &= ~(1u << row);
}

/* A free block of at least `size` bytes, still in its list, or NULL. Only classes whose every block
 * is large enough are looked at, so the first block found fits. */
static struct arena_block *list_find(const struct arena *arena, size_t size)
{
    unsigned row, column;
    size_t step = (size_t)1 << (63 - __builtin_clzl(size) - 4);
    class_of(size + step - 1, &row, &column);
    if (row >= ARENA_ROWS)
        return NULL;
    unsigned columns = arena->columns[row] & (~0u << column);
    if (!columns) {
        unsigned rows = arena->rows & (~0u << row << 1);
        if (!rows)
            return NULL;
        row = (unsigned)__builtin_ctz(rows);
        columns = arena->columns[row];
    }
    return arena->heads[row][__builtin_ctz(columns)];
}

static void mark_free(struct arena *arena, struct arena_block *block)
{
    block->word |= FREE;
    next_of(block)->word |= PREVIOUS_FREE;
    *footer_of(block) = block;
    list_add(arena, block);
}

static void mark_used(struct arena *arena, struct arena_block *block)
{
    list_remove(arena, block);
    block->word &= ~FREE;
    next_of(block)->word &= ~PREVIOUS_FREE;
}

/* Gives back what `block`, in use, has beyond `size`, joined with a free block behind it. */
static void trim(struct arena *arena, struct arena_block *block, size_t size)
{
    size_t have = block_size(block);
    struct arena_block *after = next_of(block);
    if (have - size < HEADER + PAYLOAD_MIN)
        return;
    set_size(block, size);
    struct arena_block *rest = next_of(block);
    size_t rest_size = have - size - HEADER;
    if (after->word & FREE) {
        list_remove(arena, after);
        rest_size += HEADER + block_size(after);
    }
    rest->word = rest_size;
    mark_free(arena, rest);
}

static size_t rounded(size_t size)
{
    size_t payload = ((size + HEADER + 15) & ~(size_t)15) - HEADER;
    return payload < PAYLOAD_MIN ? PAYLOAD_MIN : payload;
}

static void count(struct arena *arena, size_t before, size_t after)
{
    arena->used += after - before;
    if (arena->used > arena->peak)
        arena->peak = arena->used;
}

/* Small blocks that were freed stay as they are for the next of their size, up to a number: most
 * of what Lua allocates lives shortly. `used` does not count them. */
static unsigned bin_of(size_t size)
{
    return (unsigned)((size - PAYLOAD_MIN) / 16);
}

static void release(struct arena *arena, struct arena_block *block);

/* Gives the blocks in the bins back, at most ARENA_BINS * ARENA_BIN_MAX of them. */
static bool empty_bins(struct arena *arena)
{
    bool any = false;
    for (unsigned i = 0; i < ARENA_BINS; i++) {
        struct arena_block *block = arena->bins[i].head;
        arena->bins[i].head = NULL;
        arena->bins[i].count = 0;
        while (block) {
            struct arena_block *next = block->next_free;
            count(arena, 0, HEADER + block_size(block));
            release(arena, block);
            block = next;
            any = true;
        }
    }
    return any;
}

static void *take(struct arena *arena, size_t size)
{
    unsigned bin = bin_of(size);
    if (bin < ARENA_BINS && arena->bins[bin].head) {
        struct arena_block *kept = arena->bins[bin].head;
        arena->bins[bin].head = kept->next_free;
        arena->bins[bin].count--;
        count(arena, 0, HEADER + size);
        return payload_of(kept);
    }
    struct arena_block *block = list_find(arena, size);
    if (!block && empty_bins(arena))
        block = list_find(arena, size);
    if (!block)
        return NULL;
    mark_used(arena, block);
    trim(arena, block, size);
    count(arena, 0, HEADER + block_size(block));
    return payload_of(block);
}

/* Frees a block, into its bin when there is room. */
static void drop(struct arena *arena, struct arena_block *block)
{
    size_t size = block_size(block);
    unsigned bin = bin_of(size);
    if (bin >= ARENA_BINS || arena->bins[bin].count == ARENA_BIN_MAX) {
        release(arena, block);
        return;
    }
    block->next_free = arena->bins[bin].head;
    arena->bins[bin].head = block;
    arena->bins[bin].count++;
    count(arena, HEADER + size, 0);
}

static void release(struct arena *arena, struct arena_block *block)
{
    struct arena_block *after = next_of(block);
    size_t size = block_size(block);
    count(arena, HEADER + size, 0);
    if (after->word & FREE) {
        list_remove(arena, after);
        size += HEADER + block_size(after);
    }
    if (block->word & PREVIOUS_FREE) {
        struct arena_block *before = ((struct arena_block **)block)[-1];
        list_remove(arena, before);
        size += HEADER + block_size(before);
        block = before;
    }
    set_size(block, size);
    mark_free(arena, block);
}

/* Makes `block` at least `size` long by taking in the free block behind it. */
static bool grow_in_place(struct arena *arena, struct arena_block *block, size_t size)
{
    struct arena_block *after = next_of(block);
    size_t have = block_size(block);
    if (!(after->word & FREE) || have + HEADER + block_size(after) < size)
        return false;
    mark_used(arena, after);
    set_size(block, have + HEADER + block_size(after));
    trim(arena, block, size);
    count(arena, have, block_size(block));
    return true;
}

static bool refused(struct arena *arena)
{
    arena->allocations++;
    if (!arena->refuse_at || arena->allocations < arena->refuse_at)
        return false;
    return arena->refuse_on || arena->allocations == arena->refuse_at;
}

static void *resize(struct arena *arena, struct arena_block *block, size_t size)
{
    size_t have = block_size(block);
    size_t need = rounded(size);
    if (need <= have) {
        trim(arena, block, need);
        count(arena, have, block_size(block));
        return payload_of(block);
    }
    if (refused(arena))
        return NULL;
    if (grow_in_place(arena, block, need))
        return payload_of(block);
    void *fresh = take(arena, need);
    if (!fresh)
        return NULL;
    memcpy(fresh, payload_of(block), have);
    drop(arena, block);
    return fresh;
}

void *arena_realloc(struct arena *arena, void *payload, size_t size)
{
    if (size == 0) {
        if (payload)
            drop(arena, block_of(payload));
        return NULL;
    }
    if (size > arena->size)
        return NULL;
    if (payload)
        return resize(arena, block_of(payload), size);
    return refused(arena) ? NULL : take(arena, rounded(size));
}

void arena_reset(struct arena *arena)
{
    memset(arena->heads, 0, sizeof(arena->heads));
    memset(arena->columns, 0, sizeof(arena->columns));
    memset(arena->bins, 0, sizeof(arena->bins));
    arena->refuse_at = 0;
    arena->rows = 0;
    arena->used = arena->peak = 0;
    /* The first header lies so that its payload is aligned; the last one ends the arena. */
    struct arena_block *first = (struct arena_block *)(arena->base + 16 - HEADER);
    first->word = arena->size - 16 - HEADER;
    next_of(first)->word = 0;
    mark_free(arena, first);
}

static uint64_t next_refuse_at;
static bool next_refuse_on;

void arena_refuse_in_next(uint64_t refuse_at, bool refuse_on)
{
    next_refuse_at = refuse_at;
    next_refuse_on = refuse_on;
}

int arena_open(struct arena *arena, size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    memset(arena, 0, sizeof(*arena));
    if (size < ARENA_BYTES_MIN || size > ARENA_BYTES_MAX)
        return -EINVAL;
    size = (size + page - 1) & ~(page - 1);
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return -ENOMEM;
    arena->base = base;
    arena->size = size;
    arena_reset(arena);
    arena->refuse_at = next_refuse_at;
    arena->refuse_on = next_refuse_on;
    return 0;
}

void arena_close(struct arena *arena)
{
    if (arena->base)
        munmap(arena->base, arena->size);
    memset(arena, 0, sizeof(*arena));
}

/* Bytes in the bins, or SIZE_MAX when one holds what it should not. */
static size_t binned(const struct arena *arena)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < ARENA_BINS; i++) {
        unsigned found = 0;
        for (struct arena_block *b = arena->bins[i].head; b; b = b->next_free, found++) {
            if (b->word & FREE || bin_of(block_size(b)) != i)
                return SIZE_MAX;
            bytes += HEADER + block_size(b);
        }
        if (found != arena->bins[i].count)
            return SIZE_MAX;
    }
    return bytes;
}

/* The free blocks in the lists, or SIZE_MAX when a list holds what it should not. */
static size_t listed(const struct arena *arena)
{
    size_t found = 0;
    for (unsigned row = 0; row < ARENA_ROWS; row++) {
        for (unsigned column = 0; column < ARENA_COLUMNS; column++) {
            const struct arena_block *block = arena->heads[row][column];
            bool marked = arena->rows >> row & 1 && arena->columns[row] >> column & 1;
            if (marked != (block != NULL))
                return SIZE_MAX;
            for (; block; block = block->next_free, found++) {
                unsigned r, c;
                class_of(block_size(block), &r, &c);
                if (!(block->word & FREE) || r != row || c != column)
                    return SIZE_MAX;
            }
        }
    }
    return found;
}

bool arena_sound(const struct arena *arena)
{
    size_t used = 0, free_blocks = 0;
    bool before_free = false;
    struct arena_block *block = (struct arena_block *)(arena->base + 16 - HEADER);
    for (; block_size(block); block = next_of(block)) {
        bool is_free = block->word & FREE;
        if ((char *)next_of(block) + HEADER > arena->base + arena->size)
            return false;
        if (!!(block->word & PREVIOUS_FREE) != before_free || (is_free && before_free))
            return false;
        if (is_free && *footer_of(block) != block)
            return false;
        free_blocks += is_free;
        used += is_free ? 0 : HEADER + block_size(block);
        before_free = is_free;
    }
    return (char *)block + HEADER == arena->base + arena->size &&
           used == arena->used + binned(arena) && listed(arena) == free_blocks;
}

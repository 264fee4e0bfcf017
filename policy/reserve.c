#include "policy/reserve.h"

#include <assert.h>
#include <errno.h>
#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct chunk {
    _Alignas(max_align_t) size_t size;
    uint8_t data[];
};

int reserve_init(struct reserve *reserve)
{
    *reserve = (struct reserve){.bytes = malloc(RESERVE_BYTES)};
    return reserve->bytes ? 0 : -ENOMEM;
}

void reserve_finish(struct reserve *reserve)
{
    assert(reserve->chunks == 0);
    free(reserve->bytes);
    reserve->bytes = NULL;
}

static void *take_of_reserve(struct reserve *reserve, size_t size)
{
    size_t left = RESERVE_BYTES - reserve->used;
    size_t whole = sizeof(struct chunk) + (size + sizeof(struct chunk) - 1) / sizeof(struct chunk) *
                                              sizeof(struct chunk);
    if (size > left || whole > left)
        abort();
    struct chunk *chunk = (struct chunk *)(void *)(reserve->bytes + reserve->used);
    reserve->used += whole;
    reserve->chunks++;
    reserve->lacked = true;
    chunk->size = size;
    return chunk->data;
}

void *reserve_take(struct reserve *reserve, size_t size)
{
    assert(size > 0);
    void *data = malloc(size);
    if (!data)
        data = take_of_reserve(reserve, size);
    return data;
}

static size_t size_of(const struct reserve *reserve, void *data)
{
    if (reserve_holds(reserve, data))
        return ((const struct chunk *)data)[-1].size;
    return malloc_usable_size(data); /* 0 for NULL */
}

void *reserve_resize(struct reserve *reserve, void *data, size_t size)
{
    assert(size > 0);
    void *grown = reserve_holds(reserve, data) ? NULL : realloc(data, size);
    if (grown)
        return grown;
    size_t kept = size_of(reserve, data);
    grown = reserve_take(reserve, size);
    if (kept)
        memcpy(grown, data, kept < size ? kept : size);
    reserve_give(reserve, data);
    return grown;
}

void reserve_give(struct reserve *reserve, void *data)
{
    if (!reserve_holds(reserve, data)) {
        free(data);
        return;
    }
    assert(reserve->chunks > 0);
    if (--reserve->chunks == 0)
        reserve->used = 0;
}

bool reserve_lacked(struct reserve *reserve)
{
    bool lacked = reserve->lacked;
    reserve->lacked = false;
    return lacked;
}

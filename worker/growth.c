#include "worker/growth.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST (16 * 1024) /* of content whose length is not known */

struct growth *growth_create(uint64_t length, size_t room_max, size_t *account)
{
    struct growth *growth = calloc(1, sizeof(*growth));
    if (!growth)
        return NULL;
    growth->references = 1;
    growth->account = account;
    growth->length = length;
    growth->room_max = room_max;
    growth->counted = length < room_max ? (size_t)length : room_max;
    *account += growth->counted;
    return growth;
}

struct growth *growth_hold(struct growth *growth)
{
    assert(growth->references > 0);
    growth->references++;
    return growth;
}

void growth_release(struct growth *growth)
{
    if (!growth || --growth->references > 0)
        return;
    assert(!growth->readers);
    *growth->account -= growth->counted;
    free(growth->bytes);
    free(growth);
}

static bool set_room(struct growth *growth, size_t room)
{
    uint8_t *bytes = realloc(growth->bytes, room ? room : 1);
    if (!bytes)
        return false;
    growth->bytes = bytes;
    growth->room = room;
    return true;
}

/* Without memory it ends: nothing would tell when there is some again. */
static bool need_room(struct growth *growth, size_t room)
{
    if (set_room(growth, room))
        return true;
    growth_end(growth, -ENOMEM);
    return false;
}

/* No more than this is needed from now on. */
static void shrink(struct growth *growth, size_t room)
{
    if (!set_room(growth, room))
        return;
    *growth->account -= growth->counted - room;
    growth->counted = room;
}

void growth_trim(struct growth *growth)
{
    size_t kept = (size_t)(growth->filled - growth->dropped);
    if (!growth->bytes || growth->counted > kept)
        shrink(growth, kept);
}

/* ---- spilling ---- */

/* Lets go of what every reader has taken. */
static void drop_taken(struct growth *growth)
{
    uint64_t least = growth->filled;
    for (const struct growth_reader *reader = growth->readers; reader; reader = reader->next)
        if (reader->offset < least)
            least = reader->offset;
    size_t taken = (size_t)(least - growth->dropped);
    size_t kept = (size_t)(growth->filled - least);
    if (taken && kept)
        memmove(growth->bytes, growth->bytes + taken, kept);
    growth->dropped = least;
    if (kept <= GROWTH_WINDOW_BYTES && growth->counted > GROWTH_WINDOW_BYTES)
        shrink(growth, GROWTH_WINDOW_BYTES);
}

static size_t kept_bytes(const struct growth *growth)
{
    return (size_t)(growth->filled - growth->dropped);
}

/* What has spilled takes more while less than a window of it waits. */
static bool make_room_spilled(struct growth *growth, size_t length)
{
    drop_taken(growth);
    size_t kept = kept_bytes(growth);
    if (kept >= GROWTH_WINDOW_BYTES)
        return false;
    return growth->room >= kept + length || need_room(growth, kept + length);
}

/* Makes room for `length` bytes more; false when there is none now. */
static bool make_room(struct growth *growth, size_t length)
{
    size_t kept = kept_bytes(growth);
    if (!growth->spilled && length > growth->room_max - kept)
        growth->spilled = true;
    if (growth->spilled)
        return make_room_spilled(growth, length);
    size_t room = growth->room ? growth->room : ROOM_FIRST;
    while (room < kept + length)
        room *= 2;
    if (growth->length != GROWTH_UNKNOWN)
        room = (size_t)growth->length;
    else if (room > growth->room_max)
        room = growth->room_max;
    return room <= growth->room || need_room(growth, room);
}

/* ---- arriving ---- */

/* Each reader's `ready` may close it, and no other. */
void growth_tell(struct growth *growth)
{
    struct growth_reader *next;
    growth_hold(growth);
    for (struct growth_reader *reader = growth->readers; reader; reader = next) {
        next = reader->next;
        reader->ready(reader->context);
    }
    growth_release(growth);
}

bool growth_append(struct growth *growth, const void *data, size_t length)
{
    if (growth->ended) /* too much came: the rest of that is nothing */
        return true;
    if (growth->length != GROWTH_UNKNOWN && length > growth->length - growth->filled) {
        growth_end(growth, -EMSGSIZE);
        growth_tell(growth);
        return true;
    }
    growth->full = !make_room(growth, length) && !growth->ended;
    if (growth->full)
        return false;
    if (growth->ended) {
        growth_tell(growth);
        return true;
    }
    memcpy(growth->bytes + kept_bytes(growth), data, length);
    growth->filled += length;
    growth_tell(growth);
    return true;
}

int growth_end(struct growth *growth, int failure)
{
    if (growth->ended)
        return growth->failure;
    growth->ended = true;
    growth->failure = failure;
    if (!failure && growth->length != GROWTH_UNKNOWN && growth->filled < growth->length)
        growth->failure = -EIO;
    growth->drained = NULL;
    return growth->failure;
}

/* ---- leaving ---- */

static void tell_drained(struct growth *growth)
{
    if (!growth->full || growth->ended || !growth->drained)
        return;
    for (const struct growth_reader *reader = growth->readers; reader; reader = reader->next)
        if (growth->filled - reader->offset > GROWTH_WINDOW_BYTES / 2)
            return;
    growth->full = false;
    growth->drained(growth->context);
}

static ptrdiff_t available(struct body_source *source, size_t max, bool *last)
{
    const struct growth_reader *reader = (const struct growth_reader *)source;
    const struct growth *growth = reader->growth;
    uint64_t left = growth->filled - reader->offset;
    if (growth->failure)
        return growth->failure;
    if (left == 0 && !growth->ended && growth->filled != growth->length)
        return -EAGAIN;
    size_t n = left < max ? (size_t)left : max;
    /* The last byte goes out only once it is known that the content ended well. */
    *last = growth->ended && n == left;
    if (!growth->ended && growth->filled == growth->length && n == left)
        return n > 1 ? (ptrdiff_t)(n - 1) : -EAGAIN;
    return (ptrdiff_t)n;
}

static void take(struct body_source *source, uint8_t *out, size_t length)
{
    struct growth_reader *reader = (struct growth_reader *)source;
    struct growth *growth = reader->growth;
    assert(reader->offset >= growth->dropped && length <= growth->filled - reader->offset);
    memcpy(out, growth->bytes + (reader->offset - growth->dropped), length);
    reader->offset += length;
    tell_drained(growth);
}

struct growth_reader *growth_read(struct growth *growth, growth_ready *ready, void *context)
{
    struct growth_reader *reader = growth->dropped ? NULL : calloc(1, sizeof(*reader));
    if (!reader)
        return NULL;
    reader->source = (struct body_source){available, take};
    reader->growth = growth_hold(growth);
    reader->ready = ready;
    reader->context = context;
    reader->next = growth->readers;
    if (growth->readers)
        growth->readers->previous = reader;
    growth->readers = reader;
    return reader;
}

void growth_read_no_more(struct growth_reader *reader)
{
    if (!reader)
        return;
    struct growth *growth = reader->growth;
    if (reader->previous)
        reader->previous->next = reader->next;
    else
        growth->readers = reader->next;
    if (reader->next)
        reader->next->previous = reader->previous;
    tell_drained(growth);
    growth_release(growth);
    free(reader);
}

/* Content that arrives from an origin, kept in memory and read by any number of streams while it
 * grows and after.
 *
 * While all of it fits into its room it is kept from the first byte on, and may be stored once it
 * is whole. What outgrows the room spills: only what its slowest reader has not taken is kept then,
 * and nobody new may read it. */
#ifndef HERALD_GROWTH_H
#define HERALD_GROWTH_H

#include "worker/body.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GROWTH_UNKNOWN UINT64_MAX       /* a length that its origin does not tell */
#define GROWTH_WINDOW_BYTES (64 * 1024) /* waits of what has spilled, before no more is taken */

struct growth_reader;

/* Shared by its holders; freed with the last of them. */
struct growth {
    unsigned references;
    size_t *account; /* where `counted` is counted while this lives; outlives it */
    size_t counted;  /* at first what it may come to need, in the end what it has */
    uint8_t *bytes;  /* those at the offsets from `dropped` to `filled` */
    size_t room, room_max;
    uint64_t length; /* of all of it, or GROWTH_UNKNOWN */
    uint64_t dropped, filled;
    bool spilled;
    bool ended;
    int failure; /* -errno once it ended too early */
    bool full;   /* growth_append took nothing */
    struct growth_reader *readers;
    void (*drained)(void *context); /* after `full`: there is room again. May be NULL */
    void *context;
};

/* Content of `length` bytes, of which at most `room_max` are kept at a time. `account` is borrowed.
 * All that may be needed is counted there at once. Returns owned, or NULL when memory runs out. */
struct growth *growth_create(uint64_t length, size_t room_max, size_t *account);

struct growth *growth_hold(struct growth *growth); /* returns it */
void growth_release(struct growth *growth);        /* NULL is accepted */

/* Takes the next bytes; false when there is no room for them until `drained`. More than was
 * announced is a failure of the whole, which ends, as it does without memory. */
bool growth_append(struct growth *growth, const void *data, size_t length);

/* Nothing more comes: the content is whole, or `failure` (-errno) came before its end. Less than
 * the announced length is -EIO. Returns what it ended with. The readers are not told yet. */
int growth_end(struct growth *growth, int failure);

/* Tells the readers that there is something new: how it ended. */
void growth_tell(struct growth *growth);

/* All of it is here, from the first byte on. */
static inline bool growth_is_whole(const struct growth *growth)
{
    return growth->ended && !growth->failure && !growth->spilled;
}

/* Gives back what room is left over. Only when nothing is read any more from `bytes` by its
 * address.
 */
void growth_trim(struct growth *growth);

/* Called when there is something new to be taken. */
typedef void growth_ready(void *context);

/* One stream's way through the content, from its first byte. Owned by whoever opened it. */
struct growth_reader {
    struct body_source source;
    struct growth *growth; /* a reference */
    struct growth_reader *next, *previous;
    uint64_t offset;
    growth_ready *ready;
    void *context;
};

/* It has all that there is so far, and more will come. */
static inline bool growth_reader_waits(const struct growth_reader *reader)
{
    return !reader->growth->ended && reader->offset + 1 >= reader->growth->filled;
}

/* What has spilled may not be read from the start any more (NULL). Returns owned, or NULL. */
struct growth_reader *growth_read(struct growth *growth, growth_ready *ready, void *context);
void growth_read_no_more(struct growth_reader *reader); /* NULL is accepted */

#endif

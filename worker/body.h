/* A response's content on its way out: from memory, read ahead from a file through the ring, or
 * from whoever makes it while it is sent.
 *
 * What a connection's bodies have read and not handed on is bounded: beyond it a body waits until
 * another one's buffer is empty. Buffers of streams whose window is shut are given up then, and
 * read again, so that a client that leaves some responses lying can still have others. */
#ifndef HERALD_BODY_H
#define HERALD_BODY_H

#include "worker/content.h"
#include "worker/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct body_reader;

/* One connection's buffers. Lives as long as its bodies. */
struct read_ahead {
    size_t piece_max; /* bytes of one body's buffer */
    size_t bytes_max; /* of all of them */
    size_t bytes;
    struct link holding; /* body readers with a buffer */
    struct link waiting; /* and those that want one, first come first served */
};

void read_ahead_init(struct read_ahead *ahead, size_t piece_max, size_t bytes_max);

/* Lets those that wait have what shut streams hold. To be called when a send has ended: a window
 * that shuts meanwhile tells nobody. */
void read_ahead_settle(struct read_ahead *ahead);

/* What a body asks of its stream. */
struct body_events {
    void (*ready)(void *context); /* content that was not available has become so, or has failed */
    bool (*shut)(void *context);  /* the peer's window for the stream is shut: nothing is taken */
};

/* Content that arrives while it is sent. Embedded in its owner, who outlives the body or closes it;
 * `ready` of the stream's BODY_EVENTS is the owner's to call when there is more. */
struct body_source {
    /* As body_available and body_take. */
    ptrdiff_t (*available)(struct body_source *source, size_t max, bool *last);
    void (*take)(struct body_source *source, uint8_t *out, size_t length);
};

struct body {
    const uint8_t *memory; /* the next byte, when the content is in memory */
    struct body_reader *reader;
    struct body_source *source;
    uint64_t left; /* bytes not taken yet; of a source whose length is not known, 0 */
};

/* Sends `length` bytes of memory that outlives the body. */
void body_open_memory(struct body *body, const void *data, size_t length);

/* Sends part of a representation, which must outlive the body: from its cached bytes, or by reading
 * ahead. `ahead` and `events` are borrowed until body_close. Returns 0 or -ENOMEM. */
int body_open(struct body *body, struct content *content, struct resource *resource,
              const struct representation *representation, uint64_t offset, uint64_t length,
              struct read_ahead *ahead, const struct body_events *events, void *context);

/* Sends what `source` has until that says it was the last; `length` is 0 when it is not known. */
void body_open_source(struct body *body, struct body_source *source, uint64_t length);

/* Lets go; a read under way ends by itself. A zeroed body is accepted. */
void body_close(struct body *body);

/* How many of the next bytes, at most `max` (what the windows and a frame have room for), can be
 * taken now. -EAGAIN: `ready` will be called; another -errno: the file changed or cannot be read.
 */
ptrdiff_t body_available(struct body *body, size_t max, bool *last);

/* Whether the bytes to come lie in memory. */
static inline bool body_lends(const struct body *body)
{
    return body->memory != NULL;
}

/* Instead of body_take: where they are. Only of a body that lends. */
const uint8_t *body_lend(struct body *body, size_t length);

/* Copies out what body_available has just offered. */
void body_take(struct body *body, uint8_t *out, size_t length);

#endif

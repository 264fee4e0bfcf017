/* What one send reads from: bytes that were written for it, and between them bytes of cached
 * resources, which are sent from where they are. Pooled by the worker, since a connection at rest
 * needs none. */
#ifndef HERALD_OUTBOX_H
#define HERALD_OUTBOX_H

#include "worker/content.h"
#include "worker/ring.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define OUTBOX_BYTES (80 * 1024)
#define OUTBOX_LENT_MAX 24 /* pieces of resources */

struct outbox {
    struct outbox *next;
    unsigned lent_count;
    size_t lent_bytes;
    size_t parted_at; /* of `bytes`: what is before is in `parts` */
    unsigned parts_count;
    struct iovec parts[2 * OUTBOX_LENT_MAX + 1];
    struct resource *lent[OUTBOX_LENT_MAX]; /* references, held until the send is over */
    struct msghdr message;
    uint8_t bytes[OUTBOX_BYTES];
};

struct outbox_pool {
    struct outbox *free;
    unsigned count;
};

/* An empty one, or NULL when memory runs out; and back, whose resources are released. */
struct outbox *outbox_take(struct outbox_pool *pool);
void outbox_give(struct outbox_pool *pool, struct outbox *outbox);

/* Frees what the pool keeps. */
void outbox_pool_finish(struct outbox_pool *pool);

/* Whether another piece can be lent. */
static inline bool outbox_borrows(const struct outbox *outbox)
{
    return outbox->lent_count < OUTBOX_LENT_MAX;
}

/* `length` bytes of `resource` at `data` are to be sent after the first `at` of `bytes`: in the
 * order of the calls, of which each has a larger `at`. They live as long as the resource has
 * references. */
void outbox_borrow(struct outbox *outbox, size_t at, struct resource *resource, const void *data,
                   size_t length);

/* Sends the first `written` of `bytes` and what was lent between them; it is given back when `op`
 * has completed. */
void outbox_send(struct outbox *outbox, size_t written, struct ring *ring, struct ring_op *op,
                 int fd);

#endif

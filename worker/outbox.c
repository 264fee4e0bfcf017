#include "worker/outbox.h"

#include <assert.h>
#include <stdlib.h>

#define OUTBOXES_KEPT 64

struct outbox *outbox_take(struct outbox_pool *pool)
{
    struct outbox *outbox = pool->free;
    if (outbox) {
        pool->free = outbox->next;
        pool->count--;
        return outbox;
    }
    outbox = malloc(sizeof(*outbox));
    if (outbox)
        memset(outbox, 0, offsetof(struct outbox, parts));
    return outbox;
}

void outbox_give(struct outbox_pool *pool, struct outbox *outbox)
{
    for (unsigned i = 0; i < outbox->lent_count; i++)
        resource_release(outbox->lent[i]);
    if (pool->count >= OUTBOXES_KEPT) {
        free(outbox);
        return;
    }
    memset(outbox, 0, offsetof(struct outbox, parts));
    outbox->next = pool->free;
    pool->free = outbox;
    pool->count++;
}

void outbox_pool_finish(struct outbox_pool *pool)
{
    while (pool->free) {
        struct outbox *outbox = pool->free;
        pool->free = outbox->next;
        free(outbox);
    }
    pool->count = 0;
}

static void add_part(struct outbox *outbox, const void *data, size_t length)
{
    assert(outbox->parts_count < sizeof(outbox->parts) / sizeof(outbox->parts[0]));
    outbox->parts[outbox->parts_count++] =
        (struct iovec){.iov_base = (void *)(uintptr_t)data, .iov_len = length};
}

/* What was written since the last piece. */
static void add_written(struct outbox *outbox, size_t at)
{
    assert(at >= outbox->parted_at && at <= OUTBOX_BYTES);
    if (at > outbox->parted_at)
        add_part(outbox, outbox->bytes + outbox->parted_at, at - outbox->parted_at);
    outbox->parted_at = at;
}

void outbox_borrow(struct outbox *outbox, size_t at, struct resource *resource, const void *data,
                   size_t length)
{
    assert(outbox_borrows(outbox));
    add_written(outbox, at);
    add_part(outbox, data, length);
    outbox->lent[outbox->lent_count++] = resource_hold(resource);
    outbox->lent_bytes += length;
}

void outbox_send(struct outbox *outbox, size_t written, struct ring *ring, struct ring_op *op,
                 int fd)
{
    if (!outbox->lent_count) {
        ring_send(ring, op, fd, outbox->bytes, written);
        return;
    }
    add_written(outbox, written);
    outbox->message = (struct msghdr){.msg_iov = outbox->parts, .msg_iovlen = outbox->parts_count};
    ring_sendmsg(ring, op, fd, &outbox->message);
}

/* Pieces of large files: a bounded number of reads under way, the rest in a queue. */
#include "worker/content_parts.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>

#define PIECE_MAX (1024 * 1024 * 1024)

static void read_on(struct read_slot *slot);

static struct read_slot *free_slot(struct content *content)
{
    for (unsigned i = 0; i < CONTENT_READS_MAX; i++)
        if (!content->reads[i].reader)
            return &content->reads[i];
    return NULL;
}

static void start(struct content *content, struct read_slot *slot, struct content_reader *reader)
{
    slot->content = content;
    slot->reader = reader;
    slot->got = 0;
    content->reads_running++;
    read_on(slot);
}

static void finish(struct read_slot *slot, int result)
{
    struct content *content = slot->content;
    struct content_reader *reader = slot->reader;
    slot->reader = NULL;
    content->reads_running--;
    if (!list_empty(&content->reads_queue)) {
        struct content_reader *following =
            LIST_OWNER(content->reads_queue.next, struct content_reader, link);
        list_remove(&following->link);
        start(content, slot, following);
    }
    reader->done(reader, result);
}

/* Of the inode's times only that of writing counts: replacing the file by renaming another over it
 * changes the other time, and leaves this version whole. */
static void confirmed(struct ring_op *op, const struct ring_event *event)
{
    struct read_slot *slot = LIST_OWNER(op, struct read_slot, op);
    struct content_stamp now = stamp_of(&slot->stat);
    const struct content_stamp *opened = &slot->reader->representation->stamp;
    if (event->result < 0)
        finish(slot, event->result);
    else if (now.size != opened->size || now.modified_s != opened->modified_s ||
             now.modified_ns != opened->modified_ns)
        finish(slot, -ESTALE);
    else
        finish(slot, (int)slot->got);
}

static void bytes_read(struct ring_op *op, const struct ring_event *event)
{
    struct read_slot *slot = LIST_OWNER(op, struct read_slot, op);
    const struct content_reader *reader = slot->reader;
    if (event->result > 0)
        slot->got += (size_t)event->result;
    if (slot->content->ending)
        finish(slot, -ECANCELED);
    else if (event->result < 0 && event->result != -EINTR)
        finish(slot, event->result);
    else if (event->result == 0)
        finish(slot, -EIO);
    else if (slot->got < reader->length)
        read_on(slot);
    else if (reader->last) {
        slot->op.done = confirmed;
        ring_statx(slot->content->ring, &slot->op, reader->representation->fd, "", AT_EMPTY_PATH,
                   STATX_BASIC_STATS, &slot->stat);
    } else {
        finish(slot, (int)slot->got);
    }
}

static void read_on(struct read_slot *slot)
{
    const struct content_reader *reader = slot->reader;
    slot->op.done = bytes_read;
    ring_read(slot->content->ring, &slot->op, reader->representation->fd,
              reader->buffer + slot->got, reader->length - slot->got, reader->offset + slot->got);
}

void content_read_at(struct content *content, struct content_reader *reader,
                     const struct representation *representation, uint64_t offset, uint8_t *buffer,
                     size_t length, bool last)
{
    struct read_slot *slot = free_slot(content);
    assert(reader->done && representation->fd >= 0);
    assert(length > 0 && length <= PIECE_MAX);
    assert(offset < representation->size && length <= representation->size - offset);
    reader->representation = representation;
    reader->offset = offset;
    reader->buffer = buffer;
    reader->length = length;
    reader->last = last;
    reader->link = (struct link){NULL, NULL};
    if (content->ending)
        reader->done(reader, -ECANCELED);
    else if (slot)
        start(content, slot, reader);
    else
        list_insert(&content->reads_queue, &reader->link);
}

void content_reads_end(struct content *content)
{
    struct link queue;
    list_take_all(&content->reads_queue, &queue);
    while (!list_empty(&queue)) {
        struct content_reader *reader = LIST_OWNER(queue.next, struct content_reader, link);
        list_remove(&reader->link);
        reader->done(reader, -ECANCELED);
    }
}

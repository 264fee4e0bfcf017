#include "worker/body.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Reads ahead into one buffer: what was read is taken before the next read begins. It outlives its
 * body while a read is under way. */
struct body_reader {
    struct content_reader read;
    struct content *content;
    struct resource *resource; /* a reference: the descriptor stays open */
    const struct representation *representation;
    uint64_t offset; /* of the next read */
    uint64_t left;   /* not yet read */
    size_t ahead;
    size_t start, filled; /* what is there to be taken */
    int failure;
    bool reading;
    bool orphaned;
    body_ready *ready;
    void *context;
    uint8_t buffer[];
};

static void reader_free(struct body_reader *reader)
{
    resource_release(reader->resource);
    free(reader);
}

static void on_read(struct content_reader *read, int result)
{
    struct body_reader *reader = (struct body_reader *)read;
    reader->reading = false;
    if (reader->orphaned) {
        reader_free(reader);
        return;
    }
    if (result <= 0) {
        reader->failure = result < 0 ? result : -EIO;
    } else {
        reader->start = 0;
        reader->filled = (size_t)result;
        reader->offset += (uint64_t)result;
        reader->left -= (uint64_t)result;
    }
    reader->ready(reader->context);
}

static void read_more(struct body_reader *reader)
{
    size_t length = reader->left < reader->ahead ? (size_t)reader->left : reader->ahead;
    reader->reading = true;
    reader->read.done = on_read;
    content_read_at(reader->content, &reader->read, reader->representation, reader->offset,
                    reader->buffer, length, length == reader->left);
}

void body_open_memory(struct body *body, const void *data, size_t length)
{
    *body = (struct body){.memory = data, .left = length};
}

int body_open(struct body *body, struct content *content, struct resource *resource,
              const struct representation *representation, uint64_t offset, uint64_t length,
              size_t ahead, body_ready *ready, void *context)
{
    *body = (struct body){.left = length};
    if (representation->body) {
        body->memory = representation->body + offset;
        return 0;
    }
    if (length < ahead)
        ahead = (size_t)length;
    struct body_reader *reader = malloc(sizeof(*reader) + ahead);
    if (!reader)
        return -ENOMEM;
    *reader = (struct body_reader){.content = content,
                                   .resource = resource_hold(resource),
                                   .representation = representation,
                                   .offset = offset,
                                   .left = length,
                                   .ahead = ahead,
                                   .ready = ready,
                                   .context = context};
    body->reader = reader;
    return 0;
}

void body_close(struct body *body)
{
    struct body_reader *reader = body->reader;
    *body = (struct body){0};
    if (!reader)
        return;
    if (reader->reading)
        reader->orphaned = true;
    else
        reader_free(reader);
}

ptrdiff_t body_available(struct body *body, size_t max, bool *last)
{
    size_t n = body->left < max ? (size_t)body->left : max;
    struct body_reader *reader = body->reader;
    if (reader) {
        if (reader->failure)
            return reader->failure;
        if (reader->start == reader->filled && body->left) {
            if (!reader->reading)
                read_more(reader);
            if (reader->reading)
                return -EAGAIN;
            if (reader->failure)
                return reader->failure;
        }
        if (n > reader->filled - reader->start)
            n = reader->filled - reader->start;
    }
    *last = n == body->left;
    return (ptrdiff_t)n;
}

void body_take(struct body *body, uint8_t *out, size_t length)
{
    struct body_reader *reader = body->reader;
    if (!length)
        return;
    if (reader) {
        memcpy(out, reader->buffer + reader->start, length);
        reader->start += length;
    } else {
        memcpy(out, body->memory, length);
        body->memory += length;
    }
    body->left -= length;
}

#include "worker/body.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_BYTES \
    16384 /* windows that leave less room are nearly shut: little is read for them */
#define LITTLE_BYTES 4096

/* Reads into one buffer: what was read is taken before the next read begins. It outlives its body
 * while a read is under way. */
struct body_reader {
    struct content_reader read;
    struct content *content;
    struct resource *resource; /* a reference: the descriptor stays open */
    const struct representation *representation;
    uint64_t offset;          /* of the next read */
    uint64_t left;            /* not yet read */
    struct read_ahead *ahead; /* NULL once orphaned */
    struct link place;        /* in ahead->holding, or ahead->waiting while it has no buffer */
    uint8_t *buffer;          /* NULL: none */
    size_t room;              /* bytes of it */
    size_t start, filled;     /* what is there to be taken */
    int failure;
    bool reading;
    const struct body_events *events;
    void *context;
};

/* ---- a connection's buffers ---- */

void read_ahead_init(struct read_ahead *ahead, size_t piece_max, size_t bytes_max)
{
    *ahead = (struct read_ahead){.piece_max = piece_max, .bytes_max = bytes_max};
    list_init(&ahead->holding);
    list_init(&ahead->waiting);
}

static bool waits_for_room(const struct body_reader *reader)
{
    return !reader->buffer && list_has(&reader->place);
}

static void wait_for_room(struct body_reader *reader)
{
    assert(!reader->buffer);
    if (!list_has(&reader->place))
        list_insert(&reader->ahead->waiting, &reader->place);
}

static void take_buffer(struct body_reader *reader, uint8_t *buffer, size_t room)
{
    struct read_ahead *ahead = reader->ahead;
    reader->buffer = buffer;
    reader->room = room;
    list_insert(&ahead->holding, &reader->place);
    ahead->bytes += room;
}

static void count_no_more(struct body_reader *reader)
{
    reader->ahead->bytes -= reader->room;
    list_remove(&reader->place);
}

/* What it holds is read again. No read is under way. */
static void give_buffer(struct body_reader *reader)
{
    if (!reader->buffer)
        return;
    reader->offset -= reader->filled - reader->start;
    reader->left += reader->filled - reader->start;
    reader->start = reader->filled = 0;
    count_no_more(reader);
    free(reader->buffer);
    reader->buffer = NULL;
}

/* Gives up what streams hold that nobody takes. */
static void reclaim(struct read_ahead *ahead)
{
    struct link *next;
    for (struct link *at = ahead->holding.next; at != &ahead->holding; at = next) {
        struct body_reader *reader = LIST_OWNER(at, struct body_reader, place);
        next = at->next;
        if (!reader->reading && reader->events->shut(reader->context))
            give_buffer(reader);
    }
}

/* Only those that will find room when content is asked of them. */
static void serve_waiting(struct read_ahead *ahead)
{
    size_t promised = ahead->bytes;
    while (!list_empty(&ahead->waiting) &&
           (!promised || promised + ahead->piece_max <= ahead->bytes_max)) {
        struct body_reader *first = LIST_OWNER(ahead->waiting.next, struct body_reader, place);
        list_remove(&first->place);
        promised += ahead->piece_max;
        first->events->ready(first->context);
    }
}

void read_ahead_settle(struct read_ahead *ahead)
{
    if (list_empty(&ahead->waiting))
        return;
    if (ahead->bytes + ahead->piece_max > ahead->bytes_max)
        reclaim(ahead);
    serve_waiting(ahead);
}

static bool has_room(struct read_ahead *ahead, size_t length)
{
    if (ahead->bytes && ahead->bytes + length > ahead->bytes_max)
        reclaim(ahead);
    return !ahead->bytes || ahead->bytes + length <= ahead->bytes_max;
}

/* ---- reading ---- */

static void reader_free(struct body_reader *reader)
{
    resource_release(reader->resource);
    free(reader->buffer);
    free(reader);
}

static void on_read(struct content_reader *read, int result)
{
    struct body_reader *reader = (struct body_reader *)read;
    reader->reading = false;
    if (!reader->ahead) {
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
    reader->events->ready(reader->context);
}

static size_t piece(const struct body_reader *reader, size_t max)
{
    size_t length = reader->ahead->piece_max;
    if (max < FRAME_BYTES)
        length = max < LITTLE_BYTES ? LITTLE_BYTES : max;
    return reader->left < length ? (size_t)reader->left : length;
}

static void read_more(struct body_reader *reader, size_t max)
{
    size_t length = piece(reader, max);
    if (reader->buffer && reader->room < length)
        give_buffer(reader);
    if (!reader->buffer) {
        if (!has_room(reader->ahead, length)) {
            wait_for_room(reader);
            return;
        }
        uint8_t *buffer = malloc(length);
        if (!buffer) {
            reader->failure = -ENOMEM;
            return;
        }
        list_remove(&reader->place);
        take_buffer(reader, buffer, length);
    }
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
              struct read_ahead *ahead, const struct body_events *events, void *context)
{
    *body = (struct body){.left = length};
    if (representation->body) {
        body->memory = representation->body + offset;
        return 0;
    }
    struct body_reader *reader = malloc(sizeof(*reader));
    if (!reader)
        return -ENOMEM;
    *reader = (struct body_reader){.content = content,
                                   .resource = resource_hold(resource),
                                   .representation = representation,
                                   .offset = offset,
                                   .left = length,
                                   .ahead = ahead,
                                   .events = events,
                                   .context = context};
    body->reader = reader;
    return 0;
}

void body_open_source(struct body *body, struct body_source *source, uint64_t length)
{
    *body = (struct body){.source = source, .left = length};
}

void body_close(struct body *body)
{
    struct body_reader *reader = body->reader;
    *body = (struct body){0};
    if (!reader)
        return;
    struct read_ahead *ahead = reader->ahead;
    list_remove(&reader->place);
    if (reader->reading) { /* the buffer is the kernel's until the read ends */
        count_no_more(reader);
        reader->ahead = NULL;
    } else {
        give_buffer(reader);
        reader_free(reader);
    }
    serve_waiting(ahead);
}

/* Returns 0 when something is there, -EAGAIN or the failure. */
static int reader_fill(struct body_reader *reader, uint64_t left, size_t max)
{
    if (!reader->failure && reader->start == reader->filled && left) {
        if (!reader->reading)
            read_more(reader, max);
        if (reader->reading || waits_for_room(reader))
            return -EAGAIN;
    }
    return reader->failure;
}

ptrdiff_t body_available(struct body *body, size_t max, bool *last)
{
    if (body->source)
        return body->source->available(body->source, max, last);
    size_t n = body->left < max ? (size_t)body->left : max;
    struct body_reader *reader = body->reader;
    if (reader) {
        int rc = reader_fill(reader, body->left, max);
        if (rc < 0)
            return rc;
        if (n > reader->filled - reader->start)
            n = reader->filled - reader->start;
    }
    *last = n == body->left;
    return (ptrdiff_t)n;
}

const uint8_t *body_lend(struct body *body, size_t length)
{
    const uint8_t *data = body->memory;
    body->memory += length;
    body->left -= length;
    return data;
}

void body_take(struct body *body, uint8_t *out, size_t length)
{
    struct body_reader *reader = body->reader;
    if (!length)
        return;
    if (body->source) {
        body->source->take(body->source, out, length);
        body->left -= length < body->left ? length : body->left;
        return;
    }
    if (reader) {
        memcpy(out, reader->buffer + reader->start, length);
        reader->start += length;
        if (reader->start == reader->filled && !list_empty(&reader->ahead->waiting)) {
            give_buffer(reader);
            serve_waiting(reader->ahead);
        }
    } else {
        memcpy(out, body->memory, length);
        body->memory += length;
    }
    body->left -= length;
}

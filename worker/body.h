/* A response's content on its way out: from memory, or read ahead from a file through the ring. */
#ifndef HERALD_BODY_H
#define HERALD_BODY_H

#include "worker/content.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct body_reader;

/* Called when content that was not available has become so, or has failed. */
typedef void body_ready(void *context);

struct body {
    const uint8_t *memory; /* the next byte, when the content is in memory */
    struct body_reader *reader;
    uint64_t left; /* bytes not taken yet */
};

/* Sends `length` bytes of memory that outlives the body. */
void body_open_memory(struct body *body, const void *data, size_t length);

/* Sends part of a representation, which must outlive the body: from its cached bytes, or by reading
 * `ahead` bytes at a time. Returns 0 or -ENOMEM. */
int body_open(struct body *body, struct content *content, struct resource *resource,
              const struct representation *representation, uint64_t offset, uint64_t length,
              size_t ahead, body_ready *ready, void *context);

/* Lets go; a read under way ends by itself. A zeroed body is accepted. */
void body_close(struct body *body);

/* How many of the next bytes, at most `max`, can be taken now. -EAGAIN: `ready` will be called;
 * another -errno: the file changed or cannot be read. */
ptrdiff_t body_available(struct body *body, size_t max, bool *last);

/* Copies out what body_available has just offered. */
void body_take(struct body *body, uint8_t *out, size_t length);

#endif

/* What frames arrive, in the order of the bytes: seen before the HTTP/2 library, which keeps quiet
 * about DATA of streams that were reset. */
#ifndef PAGE_VISIT_FRAMES_H
#define PAGE_VISIT_FRAMES_H

#include <stddef.h>
#include <stdint.h>

#define FRAMES_HEADER 9

struct frame {
    uint32_t length;
    uint8_t type, flags;
    int32_t stream;
};

struct frames {
    void (*began)(void *context, const struct frame *frame); /* its header is complete */
    void *context;
    uint8_t header[FRAMES_HEADER];
    size_t header_length;
    uint32_t left; /* of the payload */
};

void frames_feed(struct frames *frames, const uint8_t *bytes, size_t length);

#endif

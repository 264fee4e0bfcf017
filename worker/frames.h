/* The frame headers in a connection's input, seen before the library that decodes the frames: it
 * keeps some frames to itself, and those are the ones a flood would be made of. (RFC 9113 4.1) */
#ifndef HERALD_FRAMES_H
#define HERALD_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEADER_BYTES 9
#define FRAME_LENGTH_MAX 16384 /* SETTINGS_MAX_FRAME_SIZE as this server leaves it */

enum frame_type {
    FRAME_DATA = 0x0,
    FRAME_HEADERS = 0x1,
    FRAME_PRIORITY = 0x2,
    FRAME_RST_STREAM = 0x3,
    FRAME_SETTINGS = 0x4,
    FRAME_PUSH_PROMISE = 0x5,
    FRAME_PING = 0x6,
    FRAME_GOAWAY = 0x7,
    FRAME_WINDOW_UPDATE = 0x8,
    FRAME_CONTINUATION = 0x9,
    FRAME_PRIORITY_UPDATE = 0x10,
};

#define FRAME_END_STREAM 0x1  /* DATA, HEADERS */
#define FRAME_END_HEADERS 0x4 /* HEADERS, CONTINUATION */

struct frame_header {
    uint32_t length;
    uint8_t type;
    uint8_t flags;
    int32_t stream_id;
    int32_t prioritized_id; /* PRIORITY_UPDATE: the stream that it is about (RFC 9218 7.1) */
};

#define FRAME_LOOK_MAX (FRAME_HEADER_BYTES + 4) /* what is looked at of a PRIORITY_UPDATE */

struct frames {
    uint64_t skip; /* bytes until the next header: payload, at first the preface */
    unsigned have; /* bytes of it in `bytes` */
    uint8_t bytes[FRAME_LOOK_MAX];
};

void frames_init(struct frames *frames, size_t preface_bytes);

/* Looks on from `data`. Returns true when a header is complete: `header` is filled and `*seen` bytes
 * were looked at, the header's last byte being the last of them. Otherwise all were looked at. */
bool frames_next(struct frames *frames, const uint8_t *data, size_t length, size_t *seen,
                 struct frame_header *header);

#endif

#include "worker/frames.h"

void frames_init(struct frames *frames, size_t preface_bytes)
{
    *frames = (struct frames){.skip = preface_bytes};
}

static uint32_t read32(const uint8_t *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static uint32_t length_of(const uint8_t *b)
{
    return (uint32_t)b[0] << 16 | (uint32_t)b[1] << 8 | b[2];
}

/* How many bytes from the header's first on are looked at, once the header is there. */
static unsigned wanted_of(const uint8_t *b)
{
    return b[3] == FRAME_PRIORITY_UPDATE && length_of(b) >= 4 ? FRAME_LOOK_MAX : FRAME_HEADER_BYTES;
}

/* The same, as far as that is known. */
static unsigned wanted(const struct frames *frames)
{
    return frames->have >= FRAME_HEADER_BYTES ? wanted_of(frames->bytes) : FRAME_HEADER_BYTES;
}

static void read_header(struct frames *frames, const uint8_t *b, unsigned have,
                        struct frame_header *header)
{
    *header = (struct frame_header){.length = length_of(b), .type = b[3], .flags = b[4],
                                    .stream_id = (int32_t)(read32(b + 5) & 0x7fffffff)};
    if (have == FRAME_LOOK_MAX)
        header->prioritized_id = (int32_t)(read32(b + 9) & 0x7fffffff);
    frames->skip = header->length - (have - FRAME_HEADER_BYTES);
}

bool frames_next(struct frames *frames, const uint8_t *data, size_t length, size_t *seen,
                 struct frame_header *header)
{
    size_t at = frames->skip < length ? (size_t)frames->skip : length;
    frames->skip -= at;
    if (frames->have == 0 && length - at >= FRAME_LOOK_MAX) { /* as nearly always: in one piece */
        unsigned have = wanted_of(data + at);
        read_header(frames, data + at, have, header);
        *seen = at + have;
        return true;
    }
    while (at < length && frames->have < wanted(frames))
        frames->bytes[frames->have++] = data[at++];
    *seen = at;
    if (frames->have < wanted(frames))
        return false;
    read_header(frames, frames->bytes, frames->have, header);
    frames->have = 0;
    return true;
}

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

/* How many bytes from the header's first on are looked at, as far as that is known. */
static unsigned wanted(const struct frames *frames)
{
    bool update = frames->have >= FRAME_HEADER_BYTES && frames->bytes[3] == FRAME_PRIORITY_UPDATE &&
                  length_of(frames->bytes) >= 4;
    return update ? FRAME_LOOK_MAX : FRAME_HEADER_BYTES;
}

bool frames_next(struct frames *frames, const uint8_t *data, size_t length, size_t *seen,
                 struct frame_header *header)
{
    size_t at = frames->skip < length ? (size_t)frames->skip : length;
    frames->skip -= at;
    while (at < length && frames->have < wanted(frames))
        frames->bytes[frames->have++] = data[at++];
    *seen = at;
    if (frames->have < wanted(frames))
        return false;
    const uint8_t *b = frames->bytes;
    *header = (struct frame_header){.length = length_of(b), .type = b[3], .flags = b[4],
                                    .stream_id = (int32_t)(read32(b + 5) & 0x7fffffff)};
    if (frames->have == FRAME_LOOK_MAX)
        header->prioritized_id = (int32_t)(read32(b + 9) & 0x7fffffff);
    frames->skip = header->length - (frames->have - FRAME_HEADER_BYTES);
    frames->have = 0;
    return true;
}

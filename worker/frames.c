#include "worker/frames.h"

#include <string.h>

void frames_init(struct frames *frames, size_t preface_bytes)
{
    *frames = (struct frames){.skip = preface_bytes};
}

bool frames_next(struct frames *frames, const uint8_t *data, size_t length, size_t *seen,
                 struct frame_header *header)
{
    size_t at = frames->skip < length ? (size_t)frames->skip : length;
    frames->skip -= at;
    size_t wanted = FRAME_HEADER_BYTES - frames->have;
    size_t n = length - at < wanted ? length - at : wanted;
    if (n)
        memcpy(frames->bytes + frames->have, data + at, n);
    frames->have += (unsigned)n;
    *seen = at + n;
    if (frames->have < FRAME_HEADER_BYTES)
        return false;
    const uint8_t *b = frames->bytes;
    header->length = (uint32_t)b[0] << 16 | (uint32_t)b[1] << 8 | b[2];
    header->type = b[3];
    header->flags = b[4];
    header->stream_id =
        (int32_t)((uint32_t)(b[5] & 0x7f) << 24 | (uint32_t)b[6] << 16 | (uint32_t)b[7] << 8 | b[8]);
    frames->skip = header->length;
    frames->have = 0;
    return true;
}

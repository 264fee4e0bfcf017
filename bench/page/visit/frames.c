#include "bench/page/visit/frames.h"

#include <string.h>

static void on_header(struct frames *frames)
{
    const uint8_t *h = frames->header;
    struct frame frame = {.length = (uint32_t)h[0] << 16 | (uint32_t)h[1] << 8 | h[2],
                          .type = h[3],
                          .flags = h[4],
                          .stream = (h[5] & 0x7f) << 24 | h[6] << 16 | h[7] << 8 | h[8]};
    frames->header_length = 0;
    frames->left = frame.length;
    frames->began(frames->context, &frame);
}

void frames_feed(struct frames *frames, const uint8_t *bytes, size_t length)
{
    while (length) {
        size_t n = frames->left ? frames->left : FRAMES_HEADER - frames->header_length;
        n = n < length ? n : length;
        if (frames->left) {
            frames->left -= (uint32_t)n;
        } else {
            memcpy(frames->header + frames->header_length, bytes, n);
            frames->header_length += n;
            if (frames->header_length == FRAMES_HEADER)
                on_header(frames);
        }
        bytes += n;
        length -= n;
    }
}

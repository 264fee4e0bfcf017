#include "worker/inflate.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include <zlib.h>

#define GZIP_WINDOW (15 + 16) /* the largest window, and gzip's own head and tail */

struct inflate {
    z_stream stream;
    bool ended;
};

struct inflate *inflate_create(const void *coded, size_t length)
{
    struct inflate *inflate = calloc(1, sizeof(*inflate));
    if (!inflate)
        return NULL;
    inflate->stream.next_in = (Bytef *)(uintptr_t)coded;
    inflate->stream.avail_in = (uInt)length;
    if (inflateInit2(&inflate->stream, GZIP_WINDOW) == Z_OK)
        return inflate;
    free(inflate);
    return NULL;
}

void inflate_destroy(struct inflate *inflate)
{
    if (!inflate)
        return;
    inflateEnd(&inflate->stream);
    free(inflate);
}

ptrdiff_t inflate_next(struct inflate *coded, void *out, size_t room)
{
    z_stream *stream = &coded->stream;
    if (coded->ended)
        return 0;
    stream->next_out = out;
    stream->avail_out = (uInt)room;
    int rc = inflate(stream, Z_NO_FLUSH);
    if (rc == Z_STREAM_END)
        coded->ended = true;
    else if (rc != Z_OK || (stream->avail_out == room && stream->avail_in == 0))
        return -EILSEQ;
    return (ptrdiff_t)(room - stream->avail_out);
}

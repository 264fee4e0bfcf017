#include "worker/inflate.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef HERALD_BROTLI
#include <brotli/decode.h>
#endif
#include <zlib.h>

#define ZLIB_WINDOW (15 + 32) /* the largest window; gzip's head or zlib's, as it comes */

struct inflate {
    enum inflate_coding coding;
    const uint8_t *at; /* what is left of the coded content, */
    size_t left;       /* unless zlib keeps account of it */
    bool ended;
    z_stream stream;
#ifdef HERALD_BROTLI
    BrotliDecoderState *brotli;
#endif
};

bool inflate_knows(struct span value, enum inflate_coding *coding)
{
    static const struct {
        const char *name;
        enum inflate_coding coding;
    } known[] = {
        {"", INFLATE_NOTHING},    {"identity", INFLATE_NOTHING}, {"gzip", INFLATE_ZLIB},
        {"x-gzip", INFLATE_ZLIB}, {"deflate", INFLATE_ZLIB},
#ifdef HERALD_BROTLI
        {"br", INFLATE_BROTLI},
#endif
    };
    value = span_trim(value);
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
        if (span_equal_nocase(value, span_of(known[i].name))) {
            *coding = known[i].coding;
            return true;
        }
    return false;
}

static bool begin(struct inflate *inflate)
{
#ifdef HERALD_BROTLI
    if (inflate->coding == INFLATE_BROTLI) {
        inflate->brotli = BrotliDecoderCreateInstance(NULL, NULL, NULL);
        return inflate->brotli != NULL;
    }
#endif
    inflate->stream.next_in = (Bytef *)(uintptr_t)inflate->at;
    inflate->stream.avail_in = (uInt)inflate->left;
    return inflateInit2(&inflate->stream, ZLIB_WINDOW) == Z_OK;
}

struct inflate *inflate_create(enum inflate_coding coding, const void *coded, size_t length)
{
    struct inflate *inflate = calloc(1, sizeof(*inflate));
    assert(coding != INFLATE_NOTHING);
    if (!inflate)
        return NULL;
    inflate->coding = coding;
    inflate->at = coded;
    inflate->left = length;
    if (begin(inflate))
        return inflate;
    free(inflate);
    return NULL;
}

void inflate_destroy(struct inflate *inflate)
{
    if (!inflate)
        return;
#ifdef HERALD_BROTLI
    if (inflate->coding == INFLATE_BROTLI)
        BrotliDecoderDestroyInstance(inflate->brotli);
#endif
    if (inflate->coding == INFLATE_ZLIB)
        inflateEnd(&inflate->stream);
    free(inflate);
}

#ifdef HERALD_BROTLI
static ptrdiff_t next_of_brotli(struct inflate *coded, void *out, size_t room)
{
    uint8_t *at = out;
    size_t left = room;
    BrotliDecoderResult rc =
        BrotliDecoderDecompressStream(coded->brotli, &coded->left, &coded->at, &left, &at, NULL);
    coded->ended = rc == BROTLI_DECODER_RESULT_SUCCESS;
    if (!coded->ended && rc != BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT)
        return -EILSEQ;
    return (ptrdiff_t)(room - left);
}
#endif

static ptrdiff_t next_of_zlib(struct inflate *coded, void *out, size_t room)
{
    z_stream *stream = &coded->stream;
    stream->next_out = out;
    stream->avail_out = (uInt)room;
    int rc = inflate(stream, Z_NO_FLUSH);
    if (rc == Z_STREAM_END)
        coded->ended = true;
    else if (rc != Z_OK || (stream->avail_out == room && stream->avail_in == 0))
        return -EILSEQ;
    return (ptrdiff_t)(room - stream->avail_out);
}

ptrdiff_t inflate_next(struct inflate *coded, void *out, size_t room)
{
    if (coded->ended)
        return 0;
#ifdef HERALD_BROTLI
    if (coded->coding == INFLATE_BROTLI)
        return next_of_brotli(coded, out, room);
#endif
    return next_of_zlib(coded, out, room);
}

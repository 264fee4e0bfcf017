/* The lines of an HTTP/1.1 message, header block, chunk sizes and trailers, seen before the library
 * that parses them: it forgives some line ends and white space that two parties may read
 * differently, and those are what requests are smuggled with. Pure. (RFC 9112 2.2, 5, 7.1, 11.2) */
#ifndef HERALD_HTTP1_LINES_H
#define HERALD_HTTP1_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINES_CHUNK_MAX 256 /* bytes of a chunk's line, extensions included */

enum lines_state {
    LINES_BLOCK,      /* a header block or trailers, up to the empty line */
    LINES_CHUNK_SIZE, /* a chunk's line */
    LINES_CHUNK_DATA, /* its bytes */
    LINES_CHUNK_END,  /* the line end behind them */
    LINES_DONE,       /* the block or the chunked content is complete */
};

struct lines {
    enum lines_state state;
    bool chunked;    /* the content's; its block is the trailers */
    bool cr;         /* the last byte was one */
    bool digits_end; /* of the chunk's line: what follows is an extension */
    bool leading;    /* an empty line stood before the request */
    unsigned lines;  /* complete ones of the block, the empty one not counted */
    size_t line;     /* bytes of the line under way */
    uint64_t data;   /* of the chunk: bytes that are still to come */
    unsigned digits;
    const char *fault; /* what is wrong, in words; NULL: nothing */
};

/* A header block begins, or chunked content. */
void lines_begin(struct lines *lines, bool chunked);

/* Looks on from `data`. Returns how many bytes, at least one, belong to the state that `lines` had;
 * then that state, a line at a time, may have changed. 0: `fault` says what is wrong. Not to be
 * called when DONE, or with nothing. */
size_t lines_next(struct lines *lines, const uint8_t *data, size_t length);

#endif

/* Taking a coding off content, a piece at a time: gzip and deflate (RFC 1952, 1950) by zlib, br
 * (RFC 7932) by brotli where herald was built with it. Both are used here only. */
#ifndef HERALD_INFLATE_H
#define HERALD_INFLATE_H

#include "master/handoff/span.h"

#include <stdbool.h>
#include <stddef.h>

enum inflate_coding {
    INFLATE_NOTHING, /* content that has no coding */
    INFLATE_ZLIB,    /* either of its two */
    INFLATE_BROTLI,
};

struct inflate;

/* Reads a Content-Encoding field's value, "" for none (RFC 9110 8.4.1). Returns false when that
 * coding, or several, cannot be taken off. */
bool inflate_knows(struct span value, enum inflate_coding *coding);

/* NULL when memory runs out. `coded` is borrowed until destroy. */
struct inflate *inflate_create(enum inflate_coding coding, const void *coded, size_t length);
void inflate_destroy(struct inflate *inflate); /* NULL is accepted */

/* The next bytes of the content into `out`: their number, 0 at the end, -EILSEQ for what is not so
 * coded or ends early. */
ptrdiff_t inflate_next(struct inflate *inflate, void *out, size_t room);

#endif

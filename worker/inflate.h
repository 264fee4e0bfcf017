/* Taking gzip's coding off content, a piece at a time (RFC 1952), by zlib, which is used here only.
 */
#ifndef HERALD_INFLATE_H
#define HERALD_INFLATE_H

#include <stddef.h>

struct inflate;

/* NULL when memory runs out. */
struct inflate *inflate_create(const void *coded, size_t length); /* borrowed until destroy */
void inflate_destroy(struct inflate *inflate);                    /* NULL is accepted */

/* The next bytes of the content into `out`: their number, 0 at the end, -EILSEQ for what is no gzip
 * or ends early. */
ptrdiff_t inflate_next(struct inflate *inflate, void *out, size_t room);

#endif

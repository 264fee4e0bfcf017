/* File name -> content-type field value, by the machine's /etc/mime.types. */
#ifndef HERALD_MIME_H
#define HERALD_MIME_H

#include "master/handoff/span.h"

#define MIME_PATH "/etc/mime.types"
#define MIME_UNKNOWN \
    "application/octet-stream" /* what no rule names (RFC 9110 8.3, RFC 2046 4.5.1) */

struct mime;

/* Reads `path`, lines of "type extension ..." with "#" comments; of two lines for one extension the
 * first counts. A few types that every browser depends on are built in and hold whatever the file
 * says; a file that can't be read leaves these. Returns NULL when memory runs out; else a table
 * owned by the caller. */
struct mime *mime_create(const char *path);
void mime_destroy(struct mime *mime);

/* The type of the file called `path` by its last extension, case ignored; text types name their
 * charset. Never NULL; lives as long as the table. */
const char *mime_of(const struct mime *mime, struct span path);

#endif

/* An origin's response head, line by line: status, fields, the length of the content. What a strict
 * reading of RFC 9110 and 9112 does not allow is refused, since two readers could take it for two
 * different things. */
#ifndef HERALD_ORIGIN_HEAD_H
#define HERALD_ORIGIN_HEAD_H

#include "policy/request.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ORIGIN_HEAD_FIELDS_MAX 100
#define ORIGIN_HEAD_BYTES_MAX (64 * 1024) /* of names and values */

struct origin_head {
    struct origin_head *next_free;
    int status;
    bool complete;  /* the empty line came */
    bool coded;     /* there is a transfer coding */
    int64_t length; /* Content-Length; -1: there is none */
    size_t fields_count;
    struct field fields[ORIGIN_HEAD_FIELDS_MAX]; /* in `text`; names in lower case */
    char *text;
    size_t used, room;
};

/* Those that are free. */
struct origin_heads {
    struct origin_head *free;
};

/* An empty one, or NULL when memory runs out. */
struct origin_head *origin_head_take(struct origin_heads *heads);
void origin_head_give(struct origin_heads *heads, struct origin_head *head);
void origin_heads_finish(struct origin_heads *heads);

/* Takes the next line, its end included: the status line first. Returns NULL, or what is wrong. */
const char *origin_head_line(struct origin_head *head, struct span line);

#endif

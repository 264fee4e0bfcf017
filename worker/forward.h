/* Header lists on their way through: a client's request as an origin gets it, an origin's response
 * as a client does. Nothing is copied through that concerns one hop (RFC 9110 7.6.1); what names
 * the way is this server's own. No I/O. */
#ifndef HERALD_FORWARD_H
#define HERALD_FORWARD_H

#include "policy/request.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A list of fields with the texts that were made for it, in one block of memory. */
struct forward_list {
    struct field *fields; /* owned; the texts lie behind them, or are borrowed from what was read */
    unsigned count, room;
};

/* What the request's list is made of. */
struct forward_request {
    const struct field *fields;
    size_t fields_count;
    struct span authority; /* as the client wrote it */
    struct span scheme;
    struct span protocol; /* that it was received by: "2", "1.1" (RFC 9110 7.6.3) */
    const char *name;     /* this server's in Via, see FORWARD_NAME_MAX */
    const char *peer;     /* the client's address: "192.0.2.1", "2001:db8::1" */
    bool trusted;         /* what it says of its own way here is kept, and added to */
    bool empty_content;   /* say that there is none: "content-length: 0" */
};

/* What Via calls a server: "herald-" and what tells it from others of its kind. */
#define FORWARD_NAME_MAX 24

/* The request's fields for an origin: without Host and Content-Length, crumbs of cookies joined,
 * our own cookie taken out. Spans borrow from `request`. Returns 0 or -ENOMEM. */
int forward_request(const struct forward_request *request, struct forward_list *list);

/* The response's fields for a client, with all texts copied and room for `spare` more:
 * Content-Length as `length` says (-1: none), Date in any case. Returns 0 or -ENOMEM. */
int forward_response(const struct field *fields, size_t count, int64_t length, unsigned spare,
                     struct forward_list *list);

/* The request's Content-Length; -1 when there is none. */
int64_t forward_length(const struct field *fields, size_t count);

/* How often the request's Via says that it came through the server `name`. */
unsigned forward_passages(const struct field *fields, size_t count, const char *name);

/* A zeroed one is accepted. */
void forward_list_finish(struct forward_list *list);

#endif

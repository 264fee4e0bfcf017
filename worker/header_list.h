/* A request's header list, as whichever protocol it came by fills it: fields, and apart from them
 * what HTTP/2 has as pseudo-fields (RFC 9113 8.3.1). Its texts are not copied: the protocol keeps
 * them behind the list and lets go of them when the list is released. */
#ifndef HERALD_HEADER_LIST_H
#define HERALD_HEADER_LIST_H

#include "master/handoff/config.h"
#include "master/handoff/span.h"
#include "policy/request.h"

#include <stdbool.h>
#include <stddef.h>

#define HEADER_FIELDS_INLINE 24

struct header_list;

/* Free lists of one protocol, kept by its context. */
struct header_pool {
    struct header_list *free;
    unsigned count;
    size_t texts_size; /* bytes behind each list, the protocol's own; at first they are zero */
    void (*let_go)(struct header_list *list); /* of the texts, and leaves those bytes zero again */
};

/* Owned by the stream it is given to, until header_list_release. */
struct header_list {
    struct header_list *next_free;
    struct header_pool *pool;
    struct span method, scheme, authority, target; /* `target` is :path */
    struct span host;                              /* the Host field */
    unsigned count;
    unsigned room;
    unsigned seen;        /* fields counted against the limit, those not stored included */
    size_t bytes;         /* name + value + 32 of each */
    bool too_large;       /* a limit was passed: nothing more is stored */
    bool hostless;        /* neither an authority nor a Host, and there need be none (HTTP/1.0) */
    int refusal;          /* a status that the protocol refuses the request with; 0: it does not */
    struct field *fields; /* `room` of them: `inline_fields`, or from the heap */
    struct field inline_fields[HEADER_FIELDS_INLINE];
};

/* An empty list, or NULL when memory runs out. */
struct header_list *header_list_take(struct header_pool *pool);

/* Gives it back, its texts too. NULL is accepted. */
void header_list_release(struct header_list *list);

/* What the protocol keeps of a list's texts. */
static inline void *header_list_texts(struct header_list *list)
{
    return list + 1;
}

/* Counts a field against the limits, name and value and 32 (RFC 9113 10.5.1). Past one the list
 * becomes `too_large`: nothing more is stored, while fields go on being counted. Returns whether
 * this one is to be stored. */
static inline bool header_list_count(struct header_list *list, const struct config_limits *limits,
                                     size_t bytes)
{
    list->seen++;
    list->bytes += bytes + 32;
    if (list->seen > limits->header_fields || list->bytes > limits->header_bytes)
        list->too_large = true;
    return !list->too_large;
}

/* Makes room for `fields_max` fields, on the heap. Returns false when memory runs out. */
bool header_list_grow(struct header_list *list, uint64_t fields_max);

/* Stores a field that was counted and that there is room for; its name is in lower case. */
static inline void header_list_store(struct header_list *list, struct span name, struct span value)
{
    if (!list->host.data && span_equal(name, SPAN_LITERAL("host")))
        list->host = value;
    list->fields[list->count++] = (struct field){name, value};
}

/* Frees what the pool keeps. */
void header_pool_finish(struct header_pool *pool);

#endif

/* What http2.c and http2_fields.c share: requests' header lists, pooled by the worker's context. */
#ifndef HERALD_HTTP2_INTERNAL_H
#define HERALD_HTTP2_INTERNAL_H

#include "worker/http2.h"

struct header_pool {
    struct header_list *free;
    unsigned count;
};

/* An empty list, or NULL when memory runs out; and back. NULL is accepted. */
struct header_list *header_list_take(struct header_pool *pool);
void header_list_give(struct header_pool *pool, struct header_list *list);

/* Adds a field, which keeps its texts. Past a limit the list becomes `too_large` and stores nothing
 * more, while fields go on being counted (RFC 9113 10.5.1). */
void header_list_add(struct header_list *list, const struct config_limits *limits,
                     struct nghttp2_rcbuf *name, struct nghttp2_rcbuf *value);

/* Frees what the pool keeps. */
void header_pool_finish(struct header_pool *pool);

#endif

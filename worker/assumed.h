/* What a connection that has no peer is taken for: rehearse.c makes such connections. */
#ifndef HERALD_ASSUMED_H
#define HERALD_ASSUMED_H

#include <stdbool.h>
#include <stdint.h>

struct stream;

struct conn_assumed {
    bool secure;     /* as if over TLS */
    bool has_client; /* `client` asks, and is known by its cookie */
    uint64_t client; /* the stored client */
    uint32_t rtt_us;
    uint32_t cwnd_bytes;
    uint64_t bandwidth_bps; /* 0: not known */
    /* The response is complete, and with it the decision; called before it is submitted. */
    void (*answered)(struct conn_assumed *assumed, struct stream *stream);
    void *context;
};

#endif

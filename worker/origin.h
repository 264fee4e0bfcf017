/* Asking origin servers, by libcurl, which is used here only: its multi interface on the worker's
 * ring. Requests go out over kept connections, HTTP/1.1 or HTTP/2 over TLS where the server has it.
 * HTTP/2 connections carry one exchange at a time: libcurl stops reading a connection's frames
 * while one of its streams is paused.
 *
 * Everything that begins, goes on or ends is carried out by origins_work, once in each wake-up: the
 * functions here may be called from anywhere, the events' callbacks too. */
#ifndef HERALD_ORIGIN_H
#define HERALD_ORIGIN_H

#include "master/handoff/config.h"
#include "master/handoff/segment.h"
#include "policy/request.h"
#include "worker/ring.h"
#include "worker/timer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct origins;
struct exchange;

/* The version of libcurl that runs. */
const char *origins_library(void);

#define EXCHANGE_FIELDS_MAX 100           /* of one response; more is a failure */
#define EXCHANGE_FIELDS_BYTES (64 * 1024) /* of their names and values */

/* What is asked. Everything is copied. */
struct exchange_request {
    struct span method, target;
    struct span host;           /* the Host field's value */
    const struct field *fields; /* without Host, Content-Length and what concerns one hop */
    size_t fields_count;
    int64_t length; /* of its content; 0: it has none; -1: not known */
};

enum exchange_end {
    EXCHANGE_DONE,        /* the response is complete */
    EXCHANGE_UNREACHABLE, /* no connection came about */
    EXCHANGE_SILENT,      /* nothing came within the time-out */
    EXCHANGE_BROKEN,      /* it ended early, or is no HTTP */
    EXCHANGE_BUSY,        /* nobody was asked: every server has as many exchanges as it may */
};

/* `context` is exchange_begin's. All borrowed things last until the callback returns. */
struct exchange_events {
    /* 102 to 199; fields in lower case. */
    void (*interim)(void *context, int status, const struct field *fields, size_t count);
    /* The response; `length` of its content as it was announced, -1 when it was not. Fields that
     * concern one hop are among them. */
    void (*head)(void *context, int status, const struct field *fields, size_t count,
                 int64_t length);
    /* Content, decoded from its transfer coding. Returns false to take none of it: the same comes
     * again after exchange_resume. */
    bool (*content)(void *context, const void *data, size_t length);
    /* The request's next content into `out`: how many bytes; 0 when it has ended, -EAGAIN when
     * there is none now (exchange_send follows), -ECANCELED when there will be no end. */
    ptrdiff_t (*wanted)(void *context, void *out, size_t room);
    /* The last event; the exchange is gone. `text` says what failed, for the log: one line. */
    void (*end)(void *context, enum exchange_end how, const char *text);
};

/* `ring`, `timers`, `slot` and `config` are borrowed until destroy. Returns NULL when memory runs
 * out. */
struct origins *origins_create(struct ring *ring, struct timers *timers, struct segment_slot *slot,
                               const struct config *config);

/* Begins the end: connections are closed, nothing new is begun, no event follows. Returns true when
 * nothing is in flight and origins_destroy may be called; until then run the loop. */
bool origins_quiesce(struct origins *origins);
void origins_destroy(struct origins *origins); /* NULL is accepted */

/* Asks one of the servers of `origin`, a route's; others too, as far as its `retries` allow and the
 * request may be sent again. Returns NULL when memory runs out. No event comes before the next
 * origins_work. */
struct exchange *exchange_begin(struct origins *origins, const struct config_origin *origin,
                                const struct exchange_request *request,
                                const struct exchange_events *events, void *context);

/* Content that was not taken can be; there is more of the request, or it has ended. */
void exchange_resume(struct exchange *exchange);
void exchange_send(struct exchange *exchange);

/* No event comes any more; the exchange is gone for its owner. */
void exchange_cancel(struct exchange *exchange);

/* The server that is asked, as the config names it; "" before the first. */
const char *exchange_server(const struct exchange *exchange);

/* Does all that is due. True when more is to be done, so that the loop must not wait. */
bool origins_work(struct origins *origins);

/* Whether origins_work has anything to do. */
bool origins_pending(const struct origins *origins);

/* A host name's addresses have changed (HANDOFF_ADDRESSES). */
void origins_rename(struct origins *origins, struct span name, struct span addresses);

#endif

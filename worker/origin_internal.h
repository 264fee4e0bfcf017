/* What the files of origin.h share: origin.c drives libcurl's multi handle, origin_exchange.c has
 * an exchange's course, origin_handle.c the easy handles and what libcurl calls. */
#ifndef HERALD_ORIGIN_INTERNAL_H
#define HERALD_ORIGIN_INTERNAL_H

#include "worker/origin.h"
#include "worker/origin_head.h"
#include "worker/origin_sockets.h"
#include "worker/upstream.h"

#include <curl/curl.h>

#define EXCHANGE_WHY_MAX 192

/* An easy handle that knows its server. */
struct origin_handle {
    struct origin_handle *next;
    CURL *easy;
    CURLU *url;
    struct upstream *upstream;
    struct exchange *exchange; /* that it is at work for */
    unsigned lookups;          /* upstream->lookups when it was told the addresses */
    bool looked_up;
    struct curl_slist resolve;
    char *resolve_text;
    char error[CURL_ERROR_SIZE];
};

struct exchange {
    struct exchange *next, *previous; /* all of them */
    struct exchange *next_due;
    struct origins *origins;
    const struct config_origin *origin;
    const struct exchange_events *events; /* NULL once cancelled */
    void *context;
    struct origin_handle *handle; /* NULL: none yet, or not any more */
    struct upstream *upstream;    /* that is or was asked last */
    int64_t length;
    bool safe;          /* may be sent again though a server had it (RFC 9110 9.2.1) */
    bool head_only;     /* HEAD */
    bool queued;        /* in origins->due */
    bool started;       /* a server was chosen */
    bool expired;       /* the time-out has passed */
    bool resumed, more; /* exchange_resume, exchange_send were called */
    bool taking_paused, giving_paused; /* this side takes, gives nothing at the moment */
    bool own_fault;                    /* what failed was not the server */
    uint32_t tried;                    /* places among the origin's servers */
    unsigned retries;
    unsigned sendings; /* how often the request was begun on the connection at hand or before it */
    struct origin_head *head; /* being received */
    bool head_seen;           /* the final one */
    struct timer silence;
    char *method, *target; /* in `block`, as are the fields' texts */
    struct curl_slist *fields;
    char why[EXCHANGE_WHY_MAX]; /* what this side found wrong with the response */
};

struct origins {
    struct timers *timers;
    struct stats *stats;
    CURLM *multi; /* NULL once it is quiet */
    struct upstreams *upstreams;
    struct exchange *all;
    struct exchange *due, *due_last; /* to be looked at */
    struct timer timer;              /* libcurl's */
    bool timer_due;
    bool acted; /* messages may wait */
    struct origin_sockets sockets;
    struct origin_heads heads;
};

/* ---- origin_exchange.c ---- */

/* It is looked at in the next round of origins_work. */
void exchange_queue(struct exchange *exchange);

/* Carries out what is due: its end, its beginning, its going on. It may be gone afterwards. */
void exchange_work(struct exchange *exchange);

/* libcurl has done with it. It may be gone afterwards. */
void exchange_completed(struct exchange *exchange, CURLcode result);

/* The server has done something, or need not: its time-out begins anew, or rests. */
void exchange_heard(struct exchange *exchange);

/* Gives its handle back, if it has one; its request ends if it is under way. */
void exchange_let_go(struct exchange *exchange);

/* It has no handle and is not queued. No event comes. */
void exchange_free(struct exchange *exchange);

/* ---- origin_handle.c ---- */

/* One for the server, told its addresses; NULL when memory runs out. Goes back by either of the
 * others. */
struct origin_handle *origin_handle_take(struct origins *origins, struct upstream *upstream);
void origin_handle_give(struct origin_handle *handle);
void origin_handle_destroy(struct origin_handle *handle);

/* Says what its next request is. */
CURLcode origin_handle_set(CURL *easy, const struct exchange *exchange);

#endif

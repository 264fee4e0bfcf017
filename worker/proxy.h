/* A request answered by its route's origin: rebuilt, sent on, and the response rebuilt and streamed
 * back, both ways only as fast as the slower side takes it. */
#ifndef HERALD_PROXY_H
#define HERALD_PROXY_H

#include "worker/body.h"
#include "worker/cache.h"
#include "worker/forward.h"
#include "worker/origin.h"
#include "worker/stream.h"

#include <stdbool.h>

/* Bytes that wait between two sides of different pace: a queue in one piece of memory. */
struct fetch_buffer {
    uint8_t *bytes;
    size_t start, filled, room;
};

/* One exchange with an origin and the stream that it is for; or, with a fill, all who want the same. */
struct fetch {
    struct worker *worker;
    struct stream *stream;     /* NULL once it has ended, or has what it reads from the fill */
    struct exchange *exchange; /* NULL before it began, and once it has ended */
    struct cache_lookup lookup; /* what the stream waits for before anything is asked */
    struct cache_fill *fill;    /* what the response is stored by; NULL: it is the stream's alone */
    struct markup_note *note;   /* of the page that it brings; or NULL */
    bool filling;               /* its head is known, content goes there */
    bool passed;                /* the cache was asked, and left it alone */
    struct fetch *next, *previous; /* in worker->fetches: those that have no stream */
    const char *server;        /* that was asked last, for the log; the config's */
    char failure[192];         /* what failed; "" when nothing did */
    uint64_t began_us;         /* when the origin was asked, */
    uint64_t head_us;          /* and when its response began; 0: it has not */
    bool expects;              /* the client waits for 100 before it sends its content */
    bool request_ended;        /* all of the request's content is in `request` */
    bool ended;                /* all of the response's is in `content` */
    bool failed;               /* no more of it will come */
    bool paused;               /* the origin is, until `content` has room */
    int64_t length;            /* of the response's content; -1: not known */
    uint64_t received;         /* bytes of it so far */
    struct fetch_buffer request;
    struct fetch_buffer content;
    struct body_source source;  /* `content`, as the stream's body */
    struct forward_list fields; /* the response's */
};

/* Asks the origin; the stream is answered when that has answered, or now, when it can't be asked.
 */
void proxy_begin(struct stream *stream);

/* The stream's request content; and its end. */
void proxy_content(struct stream *stream, const void *data, size_t length);
void proxy_request_end(struct stream *stream);

/* The stream ends: what is under way for it does too. */
void proxy_leave(struct stream *stream);

/* Fetches what `request` asks for into the worker's cache, for `fill`, which that began (it is taken);
 * nobody waits. `peer`: the address of whose doing it is, borrowed. */
void proxy_fetch(struct worker *worker, const struct config_route *route,
                 const struct cache_request *request, struct cache_fill *fill, const char *peer);

/* The connections are gone, and the origins': so are the fetches. */
void proxy_finish(struct worker *worker);

/* The origin has not taken what the client sent; the client has all that the origin sent. */
bool proxy_holds_back(const struct stream *stream);
bool proxy_awaits_origin(const struct stream *stream);

#endif

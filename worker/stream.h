/* One request and its response, from the header block to the last byte. A promised request is one
 * too: the same code answers it. */
#ifndef HERALD_STREAM_H
#define HERALD_STREAM_H

#include "policy/request.h"
#include "worker/body.h"
#include "worker/client.h"
#include "worker/conn.h"
#include "worker/content.h"
#include "worker/growth.h"
#include "worker/respond.h"

#include <stdbool.h>

enum stream_state {
#define STREAM_STATE(name, prose) STREAM_##name,
#include "worker/stream_states.def"
#undef STREAM_STATE
    STREAM_STATES
};

#define STREAM_NO_PAGE (-1)
#define STREAM_TEXT_MAX 1024 /* bytes of host and path kept without an allocation */

struct stream {
    struct conn *conn;
    struct stream *next, *previous; /* in conn->streams */
    int32_t id;
    enum stream_state state;
    bool pushed;        /* promised by this side */
    bool request_ended; /* END_STREAM came */
    bool head;          /* a HEAD request: no content goes out */
    bool answered;      /* the response was submitted */
    bool complete;      /* its last frame was written out */
    bool client_reset;  /* RST_STREAM came */
    bool wants_policy;  /* a policy applies, and the client takes pushes or hints */
    bool ahead;         /* a pushed stream whose policy puts it ahead of its page */
    uint8_t cache_way;  /* enum cache_way: how an origin's answer came */
    bool waits;         /* promised, and not answered before its page has nothing ready */
    bool unwritten;     /* a pushed stream whose promise has not been written out */

    struct header_list *headers; /* NULL for pushed streams */
    struct field promised_field; /* a pushed stream's one request field, accept-encoding */
    struct span authority;       /* as the client wrote it, with the port */
    struct span target;          /* :path as written */
    const struct config_site *site;
    const struct config_route *route;
    struct request request;
    struct client client; /* who asks; identified only when it is needed */
    char *long_text;      /* from the heap when `text` is too small */
    char *long_location;  /* a redirect's target, from the heap */
    struct field *long_fields; /* of a response that has many, from the heap */

    struct content_lookup lookup;
    struct resource *resource; /* a reference */
    struct body body;
    struct growth_reader *growth; /* of the resource's content while that grows; owned */
    struct fetch *fetch;       /* from the route's origin (proxy.c); NULL: nothing is */
    struct interim *interims; /* 103s of its origin; owned */
    struct page *page;        /* the decision under way or carried out; owned */
    struct priority update;   /* by the client's last PRIORITY_UPDATE; said: there was one, */
    bool update_is_early;     /* ahead of the request, whose own field counts more */
    int32_t parent_id;        /* of a pushed stream: its page's; STREAM_NO_PAGE, once that is reset */
    unsigned candidate;       /* and which of its decision; */
    uint8_t urgency;          /* of a pushed stream, */
    bool incremental;
    uint8_t late_urgency; /* and once its page is done */
    bool late_incremental;

    uint64_t began_us;         /* CLOCK_MONOTONIC */
    const char *server;        /* that was asked for what all get, the config's; or NULL */
    uint32_t server_us;        /* and how long its answer took to begin */
    uint64_t content_sent;     /* bytes of the response's content */
    uint64_t content_received; /* bytes of the request's content */
    uint64_t content_began_ms;

    struct response response;
    char text[STREAM_TEXT_MAX]; /* from the response's fields on nothing is zeroed at first */
};

/* What the session calls. */
extern const struct session_events stream_events;

/* Ends a stream whose connection goes: everything it holds is released. */
void stream_end(struct stream *stream);

/* Makes a pushed stream for a candidate whose resource is known (a reference is taken), not yet
 * promised. NULL when memory runs out. */
struct stream *stream_for_push(struct stream *parent, const struct candidate *candidate,
                               const struct config_route *route);
void stream_discard(struct stream *stream); /* one that was not promised after all */

/* Fills stream->client, unless it is known already. */
void stream_identify(struct stream *stream);

/* Answers with what was found; the reference is taken. */
void stream_answer_resource(struct stream *stream, struct resource *resource);

/* Answers with a short text in place of what could not be had; stream->response is made. */
void stream_answer_status(struct stream *stream, int status);

/* Content of stream->response's source that was not available has become so, or has failed. */
void stream_content_ready(struct stream *stream);

/* No more of the request's content is wanted, or comes. */
void stream_stop_receiving(struct stream *stream);

/* Notes that the client will hold what it is being answered, or holds it: settled like a push. */
void stream_remember(struct stream *stream);

/* Sends the response, once the page's decision was carried out. */
void stream_answer(struct stream *stream);

/* The response is built: a page's decision goes on, or begins where policies want one; then, or at
 * once, the response is sent. */
void stream_decide(struct stream *stream);

/* What the connection's responses have left to send, `page` and what is not known yet apart. */
uint64_t streams_left_bytes(const struct conn *conn, const struct stream *page);

/* Pushes whose page ended before its response did, by a reset mostly, go on as if it were out: they
 * are answered, and rank as if they had been asked for. To be called outside the session's events. */
void streams_release_orphans(struct conn *conn);

/* RST for streams whose request content comes too slowly. Returns whether there were any. */
bool streams_check_receiving(struct conn *conn);

/* True when no stream of the connection has content ready that the peer's windows hold back. */
bool streams_need_no_window(const struct conn *conn);

#endif

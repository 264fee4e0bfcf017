/* One connection of a client: socket, TLS and HTTP/2 session, from connect to its end. */
#ifndef PUSHLOAD_CONN_H
#define PUSHLOAD_CONN_H

#include "bench/pushload/load.h"

#include <netdb.h>
#include <nghttp2/nghttp2.h>
#define XXH_STATIC_LINKING_ONLY /* the state is a member */
#include <xxhash.h>

#define CONN_OUT_BYTES 4096

enum conn_state { CONN_CONNECTING, CONN_SHAKING, CONN_WAITING, CONN_ASKED, CONN_LINGERING };
enum cut { CUT_NONE, CUT_CLOSE, CUT_RESET, CUT_BLACK_HOLE };

/* ENDED_ABRUPT: all was over, but the server did not say that it closes, which a server that is
 * killed does not: it may not have seen the last acknowledgements. */
enum ending { ENDED_WELL, ENDED_ABRUPT, ENDED_CUT, ENDED_LOST, ENDED_REFUSED, ENDED_TIMEOUT };
enum role { ROLE_PAGE, ROLE_FETCH, ROLE_PUSH, ROLE_REFERENCE };

struct stream {
    struct stream *next; /* of its connection; owned by it */
    int32_t id;
    enum role role;
    int resource;     /* index, or -1 */
    int status;       /* 0 until HEADERS came */
    unsigned version; /* of the resource */
    char etag[LOAD_ETAG_MAX];
    XXH64_state_t hash;
    uint64_t bytes;
    bool promised;  /* the promise was counted */
    bool closed;
    bool delivered; /* whole */
    bool declined;
    bool redundant; /* its client held this version when the HEADERS came */
};

struct conn {
    struct run *run;
    struct client *client; /* NULL: the connection of plain GETs */
    struct conn *next_of_client;
    struct conn *prev, *next; /* all that are open */
    enum conn_state state;
    enum cut cut;
    uint64_t cut_at; /* bytes of pushed DATA after which it is cut */
    bool cut_now;
    bool mute;   /* a write failed: there is only the rest to be read */
    bool closed; /* in cleartext: the server closed in order */
    bool failed; /* the session or the network; the owner of the event ends it */
    int fd;
    SSL *ssl;
    nghttp2_session *session;
    struct stream *streams;
    unsigned open_streams;
    unsigned pages_left; /* to ask for once all is over that was asked and promised */
    uint64_t pushed_bytes;
    uint8_t frame_header[9]; /* of the frame being received, */
    unsigned frame_have;     /* as far as it came; */
    uint64_t frame_left;     /* bytes of its payload still to come */
    uint64_t began_us, asked_us, linger_us;
    uint32_t events; /* what epoll watches */
    const uint8_t *pending; /* of the session, not yet in `out` */
    size_t pending_length, out_length;
    uint8_t out[CONN_OUT_BYTES];
};

struct run {
    struct load *load;
    struct addrinfo *address; /* owned */
    int epoll;
    struct conn *conns;  /* open ones */
    unsigned visiting;   /* clients */
    unsigned connecting; /* connections that cannot ask yet */
    unsigned unready;    /* --at-once: clients of this round that are not ready */
    uint64_t cut_span;   /* bytes of pushes among which a cut falls */
    int *holes;          /* descriptors of black holes, kept open to the end */
    size_t holes_count;
};

/* Opens a connection for `client` (NULL: for plain GETs), which then goes on by itself, to its end:
 * also when it fails at once. Ends the process without memory. */
void conn_open(struct run *run, struct client *client, enum cut cut);

/* What epoll saw. May end the connection. */
void conn_on_event(struct conn *conn, uint32_t events);

/* Ends the connection now and frees it. */
void conn_end(struct conn *conn, enum ending ending);

/* How a connection that said goodbye ends. A killed server's FIN cannot be told from another in
 * cleartext. */
enum ending conn_lingered(const struct conn *conn);

/* Makes sure that what the session has to say is sent. */
void conn_send(struct conn *conn);

/* ---- session.c ---- */

/* Makes the HTTP/2 session of a connection that is ready. Returns 0 or -ENOMEM. */
int session_open(struct conn *conn);

/* Asks for the page (or what a reference connection is for). */
void session_ask(struct conn *conn);

/* Feeds received bytes. Returns false when the session is broken. */
bool session_receive(struct conn *conn, const uint8_t *bytes, size_t length);

/* Counts the DATA of promises in received bytes; for those that the session does not get. */
void session_count(struct conn *conn, const uint8_t *bytes, size_t length);

/* Whether everything asked and promised is over. */
bool session_done(const struct conn *conn);

/* ---- pushload.c ---- */

/* Lets a connection that waits ask. */
void run_ask(struct conn *conn);

/* All of the client's connections of this visit are ready, or over. */
void run_client_ready(struct run *run, struct client *client);

/* The client's last connection of this visit is over. */
void run_visited(struct run *run, struct client *client);

#endif

/* One connection: its socket, its bytes in and out, its deadlines. What the bytes mean is tls.c's
 * and its session's to say, what to answer stream.c's.
 *
 * A connection is freed once its last operation has completed. Everything that must go out is
 * gathered during a wake-up and sent by conn_flush at its end: at most one send each. */
#ifndef HERALD_CONN_H
#define HERALD_CONN_H

#include "policy/identity.h"
#include "worker/assumed.h"
#include "worker/body.h"
#include "worker/guard.h"
#include "worker/input.h"
#include "worker/ledger.h"
#include "worker/list.h"
#include "worker/path.h"
#include "worker/session.h"
#include "worker/worker.h"

#include <stdbool.h>

struct learn_visits;

enum conn_state {
#define CONN_STATE(name, prose) CONN_##name,
#include "worker/conn_states.def"
#undef CONN_STATE
    CONN_STATES
};

/* The last cookie that was verified on a connection: its requests mostly bring the same one. */
struct known_cookie {
    const struct config_site *site; /* that it is of; NULL: there is none */
    char value[IDENTITY_COOKIE_LENGTH];
    struct client_id id;
    uint64_t stored; /* identity_client */
};

/* Pages of one connection that wait for their turn, and its place among the connections that have
 * such pages (worker/page_queue.h). */
struct page_line {
    struct link turn;  /* in page_queue->lines; in no list while none waits */
    struct link pages; /* page->turn */
};

struct conn {
    struct worker *worker;
    struct conn *next, *previous; /* in worker->conns */
    struct conn *next_dirty;
    struct conn *next_starved;
    bool dirty, starved;
    bool held;       /* it is not received from, until its session wants more */
    bool peer_ended; /* its side was closed, and it waits for an answer */

    int fd;
    int place; /* of its address in worker->addresses */
    unsigned https_port; /* that requests are redirected to; 0: none */
    enum conn_state state;
    struct ring_op recv;
    struct ring_op send;
    struct input input; /* what came in bulk, and waits for its turn */
    struct outbox *outbox; /* being sent; NULL when nothing is */
    size_t sending;        /* bytes of it */
    uint64_t queued_bytes; /* handed to the socket since the connection began */

    struct tls *tls; /* NULL in cleartext, before a handshake begins, and once all is sent */
    struct conn_assumed *assumed; /* a rehearsal's; NULL: there is a peer */
    struct session session;
    struct guard guard;
    unsigned preface_matched; /* bytes of the preface seen so far */

    struct timer timer;
    uint64_t opened_ms;
    uint64_t active_ms;   /* the last time a stream was open or a frame came */
    uint64_t progress_ms; /* the last time the peer took output */
    uint64_t progress_acked;   /* acked_bytes then: conn_look reads more meanwhile */
    uint64_t progress_content; /* guard.bytes_sent when a send last ended */
    uint64_t header_block; /* the header block under way; 0: none */
    uint64_t header_ms;   /* when it began; 0: there is none */
    uint64_t ended_ms;    /* when lingering began */
    size_t read_over;     /* bytes that came after its end was decided */
    bool deaf;            /* more of them are not read: */
    bool watching;        /* `recv` waits for the peer's close alone */
    uint64_t bodies_ms;   /* when the pace of request contents is looked at next; 0: none comes */
    bool slow_logged;     /* one of them was too slow, and the log says so */
    uint64_t notice_ms;   /* when the GOAWAY notice went out; 0: not draining */
    uint64_t acked_bytes; /* last read from TCP_INFO */
    bool goaway_sent;     /* the second GOAWAY, with the real last stream */
    bool goaway_received;
    uint32_t rtt_us; /* last read from TCP_INFO; 0: not yet */
    bool large;      /* it has more to send than a first window carries: whether to pace it matters */
    bool path_known; /* TCP_INFO was read for that */
    bool paced;      /* what is sent is decided late (path.h) */
    bool writable;   /* the kernel has said so since the last send */
    bool corked;     /* TCP_CORK: only whole segments leave while more waits here */
    uint32_t unsent_max; /* TCP_NOTSENT_LOWAT as it was set here; 0: as the listener has it */

    struct stream *streams; /* every stream of the connection, doubly linked */
    struct read_ahead ahead; /* what their contents have read and not handed on */
    unsigned receiving;     /* streams whose request content is still coming */
    unsigned pushes_waiting; /* promised streams that are answered when nothing else is ready */
    unsigned promises_unwritten; /* that were submitted, and not written out */
    bool orphan_pushes;     /* there are some that streams_release_orphans has not seen */
    struct page_line pages_waiting;

    uint64_t read_us;  /* CLOCK_MONOTONIC: when TCP_INFO was last read */
    uint64_t acked_us; /* when the peer had last acknowledged something by then, at the latest */

    struct ledger ledger;
    struct outcome *outcomes; /* of pages whose assets are not settled, the newest first */
    uint64_t renewed_ms; /* when claims were last renewed */
    uint64_t renewed_acked_bytes; /* acked_bytes then */
    bool has_id;         /* `id` was minted or came with the TLS session */
    struct client_id id;
    struct known_cookie cookie;
    unsigned promises, refusals; /* of this connection: half refused switches pushes off */
    bool push_off;
    char peer[48]; /* address, for the log */
    struct learn_visits *visits; /* pages whose assets are learned (learn.c); NULL: none */
    uint8_t address[16];   /* what its subscriber has of it (public.c) */
    uint8_t address_bytes; /* of that; 0: not asked for yet */
    bool address_local;    /* the loopback's */
};

/* Whether requests come over TLS. */
static inline bool conn_is_secure(const struct conn *conn)
{
    return conn->tls || (conn->assumed && conn->assumed->secure);
}

/* Takes an accepted socket. Closes it when the worker is full or memory runs out. `https_port`: what
 * is asked for on it is redirected to that port; 0: answered. */
void conn_open(struct worker *worker, int fd, bool tls, unsigned https_port);

/* There is something to send or to decide at the end of this wake-up. */
void conn_dirty(struct conn *conn);

/* Sends what is ready, and moves the connection on when nothing is. */
void conn_flush(struct conn *conn);

/* Looks at what came in bulk, for a bounded time: what waits longest first, the connections in turn.
 * Once a wake-up, behind what it made ready to be sent. Returns true when some waits still: the loop
 * must not sleep. */
bool conn_input_run(struct worker *worker);

/* Receives, unless it does so already or is not to. */
void conn_receive(struct conn *conn);

/* Ends the connection in order: what is queued is sent, then it is closed. */
void conn_finish(struct conn *conn);

/* Ends it now. */
void conn_abort(struct conn *conn);

/* First step of draining: the notice. The second follows when the peer has seen it. */
void conn_drain(struct conn *conn);

/* Frees a connection whose operations have all completed; from the loop only. */
void conn_destroy(struct conn *conn);

/* Reads TCP_INFO if it is due (at most once a round trip, unless the experiment times something:
 * then what brings the acknowledgement may follow another segment at once), and settles what was
 * acknowledged. */
void conn_look(struct conn *conn);

/* Where the connection's pushes settle. */
struct ledger_sink conn_sink(struct conn *conn);

/* Whether this kernel begins again with a small window after a pause; it does unless it was told not
 * to (net.ipv4.tcp_slow_start_after_idle). */
bool conn_path_restarts(void);

/* The events that conn.c answers itself; stream.c puts them into struct session_events. */
void conn_on_settings(void *connection);
void conn_on_goaway(void *connection, int32_t last, uint32_t error);
void conn_on_ping_acknowledged(void *connection);

/* Reads TCP_INFO: the path, and what of it policies see. Returns false when it cannot be read; both
 * are left alone then. */
bool conn_path_facts(struct conn *conn, struct path *path, struct client_facts *facts);

/* What was handed to the kernel and is not acknowledged as far as is known, and what waits here for
 * want of a handshake's end. */
uint64_t conn_unacked_bytes(const struct conn *conn);

#endif

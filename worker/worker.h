/* A worker: one thread, one ring, the connections of one slot. */
#ifndef HERALD_WORKER_H
#define HERALD_WORKER_H

#include "master/handoff/handoff.h"
#include "master/handoff/log.h"
#include "policy/figures.h"
#include "policy/learned.h"
#include "policy/names.h"
#include "policy/policy_versions.h"
#include "policy/push_table.h"
#include "worker/authority.h"
#include "worker/content.h"
#include "worker/http1.h"
#include "worker/http2.h"
#include "worker/input.h"
#include "worker/list.h"
#include "worker/outbox.h"
#include "worker/ring.h"
#include "worker/think.h"
#include "worker/timer.h"
#include "worker/tls.h"

#include <stdbool.h>

struct conn;
struct origins;
struct page;
struct stream;
struct acceptor;
struct manifest;
struct addresses;
struct outcome;

/* A log and the operation that writes it. */
struct worker_log {
    struct log log;
    struct ring_op op;
    int fd;      /* -1: off; lines are then not even formatted */
    int next_fd; /* takes over when the write under way is done; -1: none */
    struct span writing;
    uint64_t due_ms; /* when what is gathered is written at the latest; 0: nothing is */
    uint64_t writing_lines; /* of what is being written */
    uint64_t counted_lines, counted_dropped;
    struct worker *worker;
};

/* Connections with pages that wait for their turn to be decided (worker/page_queue.h). */
struct page_queue {
    struct link lines; /* page_line: */
    uint64_t wakeup;   /* the one in which pages were last decided, */
    uint64_t began_us; /* and since when */
};

/* What the hooks of shadows may take (worker/shadow.h). */
struct shadow_purse {
    uint64_t at_us;    /* when it was filled last */
    int64_t left_us;   /* below 0 after a hook that took long */
    uint64_t began_us; /* the hooks that are running */
};

#define WORKER_FAILURES 16 /* lines of policies whose failures are told apart */

struct worker {
    const struct handoff *handoff;
    const struct config *config;
    struct segment_slot *slot;
    struct stats *stats;

    struct ring *ring;
    struct timers timers;
    struct http2_context *http2;
    struct http1_context *http1;
    struct tls_context *tls; /* NULL when no listener wants TLS */
    struct content *content;
    struct origins *origins; /* NULL when no route has one */
    char via_name[24];       /* in Via: this herald's, the same in all its workers */
    struct cache *cache;     /* of their answers; NULL: nothing is kept */
    struct markup *markup;   /* what proxied pages referenced; NULL: no route has an origin */
    struct fetch *fetches;   /* those that no stream waits for */
    struct {
        uint64_t logged_ms; /* failures are said once a second, */
        unsigned silent;    /* with the number of those that were not */
    } origin_failures;
    struct thinking thinking; /* of origins, by route */
    struct policy_versions policies;
    struct policy_host policy_host;
    struct push_table pushes;
    struct authorities authorities;
    struct tally tally;
    struct figures figures;
    struct names names;
    struct learned learned;
    struct shared_dict shared[SEGMENT_SHARED_MAX]; /* as many as the config declares */
    struct acceptor *acceptor;
    struct addresses *addresses; /* NULL when no limit is set on them */

    struct conn *conns; /* every connection, doubly linked */
    unsigned conns_count;
    struct conn *dirty; /* those with something to flush at the end of this wake-up */
    struct conn *dead;  /* those to be freed at the end of this wake-up, or of one of the next */
    unsigned dead_count;
    struct conn *starved; /* those whose receive found no buffer */
    struct outbox_pool outboxes;
    uint8_t *plaintext; /* scratch that TLS encrypts from, OUTBOX_BYTES */
    struct stream *free_streams;
    unsigned free_streams_count;
    struct page *free_pages;
    unsigned free_pages_count;
    struct outcome *free_outcomes;
    unsigned free_outcomes_count;
    struct page_queue pages_waiting;
    struct link inputs; /* connections whose input waits for its turn */
    struct manifest *manifests;

    struct worker_log access;
    struct worker_log errors;
    struct ring_op control; /* poll of the control socket */
    struct timer drain;     /* the deadline of draining */
    struct timer logs_due;
    struct {
        uint64_t line;      /* a hash of where it was */
        uint64_t logged_ms; /* a failure there is logged once a second */
    } policy_failures[WORKER_FAILURES];
    unsigned work; /* of this wake-up so far, for worker_worked */
    struct {
        uint32_t number; /* of the shadow version, */
        unsigned count;  /* and how many examples of its differences were told */
    } shadow_told;
    struct shadow_purse shadow_purse;
    uint64_t evictions_told; /* of the push table, to the counter */
    uint64_t request_ids;   /* the next one's number */
    uint64_t id_base;       /* random, so that ids differ between workers and restarts */
    bool slow_start_after_idle; /* of this kernel's TCP */
    uint64_t wakeups;       /* of the loop, so far */
    struct push_ticks ticks; /* of the push table, for the first look-up of the wake-up */
    uint64_t ticks_until;    /* the wake-up before which they were read; 0: never */
    uint64_t clock_ms;       /* of the figures of pushes, */
    uint64_t clock_until;    /* and the wake-up before which it was read */
    bool more; /* pages are being scanned: the loop does not wait */
    bool draining;
    bool stopping;
};

/* Runs a worker in this process until it is told to end or its master is gone. Returns the exit
 * status: 0 after a drain or stop, 1 when it could not start (the fault was sent to the master). */
int worker_run(const struct handoff *handoff);

/* Makes a worker's parts in `worker`, whose content does not matter: all but what accepts; without
 * listeners (shares is 0), all but TLS too. `handoff` is borrowed. Returns 0 or -errno with `fault`.
 */
int worker_prepare(struct worker *worker, const struct handoff *handoff, struct fault *fault);

/* One wake-up of the loop: waits for at most `most_ns` (-1: for whatever comes), then does all that
 * can be done. */
void worker_turn(struct worker *worker, int64_t most_ns);

/* Tells what a callback made ready to be sent: `units` of about a request or 4 KiB each. Past
 * WORKER_WORK_MAX of them the wake-up ends and all is sent, since what waits together falls out of
 * the cache together. */
#define WORKER_WORK_MAX 64
static inline void worker_worked(struct worker *worker, unsigned units)
{
    worker->work += units;
    if (worker->work >= WORKER_WORK_MAX)
        ring_yield(worker->ring);
}

/* One line of the error log. */
void worker_log_error(struct worker *worker, const char *level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Tells the master how the shadow version `number` would have decided otherwise. */
void worker_tell_difference(struct worker *worker, uint32_t number, const char *text);

/* Tells the master that this worker gets on: once a wake-up, and after each thing that may take long. */
void worker_beat(struct worker *worker);

/* The push table's time for look-ups, read once a wake-up. */
static inline struct push_ticks worker_ticks(struct worker *worker)
{
    if (worker->ticks_until != worker->wakeups + 1) {
        worker->ticks = push_table_ticks(&worker->pushes);
        worker->ticks_until = worker->wakeups + 1;
    }
    return worker->ticks;
}

/* Sixteen hexadecimal digits that no other request has. `text` has room for 20 bytes. */
void worker_request_id(struct worker *worker, char *text);

#endif

/* What became of a page's assets: how its pushes ended, what they cost in vain, and when the last of
 * them was there. Settled figures go to the shared tally and figures, to the access log (one line a
 * page), and, where the site holds clients out, to the experiment.
 *
 * Of clients that are hinted or held out the assets come by their own requests: an outcome then
 * waits for those, on the same connection, until all came, another page was asked for, or the
 * connection ended. */
#ifndef HERALD_OUTCOME_H
#define HERALD_OUTCOME_H

#include "policy/decision.h"
#include "policy/figures.h"
#include "worker/ledger.h"

#include <stdbool.h>

struct conn;
struct page;
struct stream;
struct worker;

struct outcome {
    struct outcome *next; /* in conn->outcomes, the newest first; or in worker->free_outcomes */
    uint64_t site;        /* identity_site */
    uint64_t version;     /* of the policies that decided */
    char request_id[20];
    char client[20]; /* as in the log */
    uint8_t means;   /* enum figures_means */
    uint8_t arm;     /* enum figures_arm */
    bool trial;      /* its route holds clients out: it is part of the experiment */
    bool page_open;  /* the page's own response is under way */
    bool over;       /* no further request is waited for */
    unsigned open;   /* pushes and answers that are not settled */
    uint64_t began_us;
    uint64_t last_us;     /* when the last asset had been acknowledged; 0: none has */
    uint64_t page_bytes;  /* content of the page */
    uint64_t fetched_bytes; /* content of the assets that the client asked for */
    struct {
        unsigned count;
        uint64_t bytes;
    } kinds[TALLY_KINDS];
    unsigned awaited; /* assets[] that have not been asked for */
    unsigned assets_count;
    uint64_t assets[DECISION_CANDIDATES_MAX]; /* identity_resource; 0: asked for */
};

/* Attaches the worker to the segment's figures. Returns 0 or -errno with `fault`. */
int outcomes_start(struct worker *worker, struct fault *fault);

/* Releases what the pool keeps. */
void outcomes_finish(struct worker *worker);

/* Whether this page's client is one of those held out. */
bool outcome_holds_out(const struct page *page);

/* Makes the page's outcome, once. Returns false when memory runs out. */
bool outcome_begin(struct page *page);

/* Candidate `i` was promised: `entry` settles it. */
void outcome_promised(struct page *page, unsigned i, struct ledger_entry *entry);

/* Candidate `i` was accepted, and left for the client to ask for. */
void outcome_awaits(struct page *page, unsigned i);

/* The client asks for `resource` itself. A page that waits for it, or NULL. */
struct outcome *outcome_of_request(struct conn *conn, uint64_t resource);

/* Its answer is `bytes` long; `entry` settles it. NULL: it was answered 304, and the outcome may be
 * gone. */
void outcome_asked(struct conn *conn, struct outcome *outcome, struct ledger_entry *entry,
                   uint64_t bytes);

/* The client's own request was answered in full although it was believed to hold the resource
 * (TALLY_REREQUESTED), or while it was being pushed (TALLY_REDUNDANT). */
void outcome_wasted(struct stream *stream, uint64_t resource, enum tally_kind kind,
                    uint64_t bytes);

/* The entry's books were closed. */
void outcome_settled(struct conn *conn, struct ledger_entry *entry, enum push_result result);

/* The page's own response has ended. */
void outcome_page_over(struct page *page);

/* The connection ends, and with it every waiting. Nothing of its ledger is open any more. */
void outcomes_abandon(struct conn *conn);

/* For struct policy_host. */
bool outcome_figures(void *worker, const struct request *request, struct span path,
                     struct tally_figures *figures);

/* Whether something of the experiment is under way, so that acknowledgements are to be noticed
 * soon. */
bool outcomes_are_timed(const struct conn *conn);

#endif

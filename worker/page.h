/* A page and what goes with it: policies decide, C resolves the candidates, push.c carries it out.
 *
 *   ask -> resolve -> on_push -> claim -> promise -> (ledger) settle
 *
 * Of a page whose response is there at once, a file's, both on_request and on_response are asked
 * before anything is resolved. Of one that an origin makes, what on_request proposes goes out while
 * the origin thinks; what on_response adds is a second round, before the page's HEADERS.
 *
 * A page belongs to its stream; a push whose result a policy wants to know keeps it alive longer.
 */
#ifndef HERALD_PAGE_H
#define HERALD_PAGE_H

#include "policy/decision.h"
#include "policy/policy_vm.h"
#include "worker/budget.h"
#include "worker/cache.h"
#include "worker/client.h"
#include "worker/content.h"
#include "worker/hints.h"
#include "worker/list.h"
#include "worker/stream.h"
#include "worker/timer.h"

#include <stdbool.h>

struct stream;

#define PAGE_TIMING_MAX 96

struct page_lookup {
    struct content_lookup lookup;
    struct cache_lookup cached;    /* the same for what an origin has */
    struct growth_reader *growing; /* that waits for the content to be whole; or NULL */
    struct page *page;
    unsigned candidate;
    bool begun;          /* else nothing above means anything */
    uint64_t resource;   /* the candidate's, as shared memory knows it; once it was found */
    struct push_key key; /* where the push table keeps it; likewise */
};

struct page {
    struct page *next_free;
    struct worker *worker;
    struct stream *stream; /* NULL once it has ended */
    const struct config_site *site;
    struct policy_version *version; /* whose hooks see it, from the first to the last; NULL: none,
                                     * or there is nothing left to ask */
    const struct policy_list *policies; /* of that version */
    struct request request;             /* the stream's; its texts are kept while the page lives */
    struct header_list *headers; /* taken over from a stream that ended first, as is the text */
    char *long_text;
    char text[STREAM_TEXT_MAX];
    bool held_out;           /* the client is, for comparison: nothing is sent */
    struct outcome *outcome; /* once something was accepted, while the stream lives */
    struct page *shadow;     /* decides by another version, for comparison; owned */
    bool is_shadow;          /* nothing of it is carried out */
    bool unasked;            /* none of its version's policies wants the page */
    unsigned references;     /* the stream's, and one for each push whose result is wanted */
    unsigned resolving;      /* look-ups under way, of this round */
    unsigned judged;         /* candidates that have had their round: the first ones */
    unsigned first;          /* what the first round is about (worker/page_parts.h) */
    bool responded;          /* the response is built, */
    bool told;               /* and the policies were asked about it */
    bool carried_out;        /* the last round is over */
    bool failed;             /* a hook failed */
    bool informed;           /* a 103 was sent */
    bool holdout_counted;
    struct field coding; /* the one field of promised requests; empty: they have none */
    uint32_t version_number;  /* for the log; 0: none */
    struct timer deadline;    /* candidates not resolved by then are left out */
    uint64_t asked_at_wakeup; /* worker->wakeups when the look-ups began */
    bool measured;            /* the next two are set, and what the request tells of the path */
    struct path path;         /* as it is in this round */
    struct budget budget;     /* in bytes */
    struct priority priority; /* the page's own, as its client asked for it when that was decided */
    struct link turn; /* that it waits for (worker/page_queue.h), in its connection's line */
    enum reason no_push;    /* why nothing could be pushed at all; REASON_PENDING: it could */
    unsigned hinted;        /* candidates */
    unsigned hints_through; /* the candidates that `hints` tells of: the first ones */
    size_t hints_length;
    struct interim *interim;  /* the first of the stream's that policies were not told of, */
    struct interim *passing;  /* and the one that this round is about */
    struct decision decision; /* from here on nothing is zeroed at first */
    struct page_lookup lookups[DECISION_CANDIDATES_MAX];
    char cookie[CLIENT_COOKIE_MAX]; /* the Set-Cookie field's value */
    char cache_control[256];        /* the Cache-Control field's, when it had to become private */
    char hints[2 * HINTS_MAX];      /* Link values, of the 103 and of the response */
    char timing[PAGE_TIMING_MAX];   /* the Server-Timing field's, where the site has debug_header */
};

/* Begins the decision for a page of an identified client whose response is built: true when one is
 * under way, and stream_answer will be called (perhaps before this returns); false when memory runs
 * out. */
bool page_decide(struct stream *stream);

/* The same for a page whose response is not known yet: what on_request proposes goes out now. True
 * when it is under way; page_respond is then called once, unless the stream ends first. */
bool page_begin(struct stream *stream);

/* The same for a page whose response will not come, for an explanation: stream_answer is called
 * once what on_request proposes was judged (perhaps before this returns). */
bool page_foresee(struct stream *stream);

/* The origin of a request sent a 103 (RFC 8297), of which these are the fields. Its links go to the
 * policies, of a page that was begun, and on to the client; see hints_pass. Not after page_respond.
 */
void page_interim(struct stream *stream, const struct field *fields, size_t count);

/* The response of a page that was begun is built; stream_answer will be called (perhaps before this
 * returns). For one that is neither 200 nor 304 the policies are not asked, and what has not gone
 * out yet is left out. */
void page_respond(struct stream *stream);

/* Looks at the connection's path, and sets what may be pushed in this round: when something is first held
 * against it, which for most pages of a returning client nothing is. */
void page_measure(struct page *page);

/* Around calls of the hooks of the page's version, which there is. */
void page_enter(struct page *page);
void page_leave_hooks(struct page *page);

/* Asks the policies about a page that page_decide made, and goes on from there. */
void page_decide_now(struct page *page);

/* The stream has ended; the page goes when nothing refers to it any more. */
void page_leave(struct page *page);

struct page *page_hold(struct page *page);
void page_release(struct page *page);

/* What the stream's client holds of `path`, of the same authority. */
enum client_has page_client_has(struct stream *stream, struct span path);

/* The worker's side of the policy VM. */
void page_policy_host(struct worker *worker, struct policy_host *host);

/* Releases what the pool keeps. */
void pages_finish(struct worker *worker);

#endif

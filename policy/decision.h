/* What the policies proposed for one page, and the verdict on each candidate, with its reason.
 *
 * The policy VM adds candidates (only the name is judged then), the worker resolves them and
 * carries out what is left. A decision is one block of memory, bounded, reused from page to page.
 */
#ifndef HERALD_DECISION_H
#define HERALD_DECISION_H

#include "master/handoff/span.h"
#include "policy/request.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DECISION_CANDIDATES_MAX 128
#define DECISION_REFUSED_MAX 64 /* beyond those, in one hook call: then that ends */
#define DECISION_TEXT_MAX 16384 /* bytes of paths and reasons of one decision */
#define DECISION_PATH_MAX 1024

enum reason {
#define REASON(name, word, prose) REASON_##name,
#include "policy/reasons.def"
#undef REASON
    REASONS
};

/* "over_budget" for REASON_OVER_BUDGET, and its sentence. */
const char *reason_name(enum reason reason);
const char *reason_prose(enum reason reason);

enum candidate_kind { CANDIDATE_PUSH, CANDIDATE_HINT, CANDIDATE_PRECONNECT };

struct candidate {
    struct span
        path; /* with its query, if any; for PRECONNECT the origin. In the decision's text */
    bool plain; /* nothing in `path` is encoded, and it has no query */
    enum candidate_kind kind;
    enum asset_as as; /* by the path's type, unless the proposer says */
    bool crossorigin;
    uint8_t urgency;           /* RFC 9218 4.1: 0 first to 7; CANDIDATE_URGENCY_UNSET: C chooses */
    bool incremental;          /* RFC 9218 4.2 */
    const char *fetchpriority; /* "high" or "low", for hints; NULL: not said */
    bool fetch;           /* an origin may be asked for it, when no answer of it is stored */
    struct span why;           /* the policy's word for it, or of its veto; may be empty */
    const char *proposer;      /* the policy's name; lives as long as the VM */
    int proposed_line;         /* where it proposed it; 0 unless the VM traces */
    enum reason verdict;
    const char *judge; /* the policy that vetoed; NULL otherwise */
    int judge_line;    /* where: its hook's line, the very return's when the VM traces; 0: none */

    /* Known once the worker has resolved it. */
    bool resolved;
    enum client_has has;
    uint64_t size; /* of the representation that would be sent */
    struct span mime;
    struct span etag;
    bool cacheable;
    void *resource; /* the worker's */
};
#define CANDIDATE_URGENCY_UNSET 255

/* A hook that returned `false, "why"`: it proposes nothing for this page, on purpose. */
struct decision_note {
    const char *policy; /* lives as long as the VM */
    struct span why;    /* in the decision's text; may be empty */
};
#define DECISION_NOTES_MAX 16

struct decision {
    struct candidate items[DECISION_CANDIDATES_MAX];
    unsigned count;
    struct decision_note notes[DECISION_NOTES_MAX];
    unsigned notes_count;
    unsigned overflowed;   /* proposals beyond the limit: counted, not kept */
    unsigned accepted;     /* candidates that are still to be pushed: `push.count` */
    uint64_t bytes;        /* their sizes: `push.bytes` */
    uint64_t budget_bytes; /* what may be pushed with the page: `push.budget_bytes` */
    uint64_t marks[4];     /* a bit for each path here, by its span_mark */
    size_t text_used;
    char text[DECISION_TEXT_MAX];
};

void decision_reset(struct decision *decision);

/* Copies `text` into the decision. Returns the copy, or an empty span with NULL data when full. */
struct span decision_text(struct decision *decision, struct span text);

/* Proposes `path` for the page `request`. Judges only the name: absolute path of this authority
 * (an absolute URL of the same authority is cut to its path), percent-encoded where RFC 3986 3.3
 * wants it, no fragment, no dot segments, not a duplicate, not the page itself, not too many. For
 * CANDIDATE_PRECONNECT `path` is an origin, "https://host" with an optional port. The first
 * proposer's options stand. Returns REASON_PENDING when it was taken, else why not (REASON_SKIPPED
 * when decision_skip came first). `*taken` (may be NULL) is the candidate, or NULL. */
enum reason decision_add(struct decision *decision, const struct request *request,
                         enum candidate_kind kind, struct span path, const char *proposer,
                         struct candidate **taken);

/* Refuses `path` for this page: a candidate that is pending gets REASON_SKIPPED, one not proposed
 * yet is entered with it, so that later proposals are refused. Returns REASON_SKIPPED, or what
 * decision_add would say of the name. */
enum reason decision_skip(struct decision *decision, const struct request *request,
                          struct span path, const char *proposer, struct span why);

/* Takes back what `proposer` proposed from item `first` on, except what it skipped. */
void decision_take_back(struct decision *decision, unsigned first, const char *proposer);

/* The candidate for `path`, or NULL. Not for CANDIDATE_PRECONNECT. */
struct candidate *decision_find(struct decision *decision, struct span path);

#endif

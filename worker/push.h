/* Carries a decision out: each candidate is promised, hinted, or left out for a reason. */
#ifndef HERALD_PUSH_H
#define HERALD_PUSH_H

#include "policy/decision.h"
#include "worker/ledger.h"

struct page;
struct stream;

/* Why this stream's client can get no push at all, or REASON_PENDING when it can. */
enum reason push_refusal(const struct stream *stream);

/* Judges and promises the candidates of a round, in order: each has its verdict afterwards. The
 * promises are queued before the page's own HEADERS (RFC 9113 8.4.1). */
void push_execute(struct page *page);

/* The page's response turned out to be none: candidates that had no round yet are left out. */
void push_abandon(struct page *page);

/* A push has ended, which is counted and told to the policies that want to know; or an answer that
 * an outcome waits for. */
void push_result(void *context, struct ledger_entry *entry, enum push_result result);

/* A promise was written out: from now on its candidate is counted as pushed. */
void push_promised(struct stream *stream);

/* A promise that is `unwritten` will never be written: its page's log tells why. The stream ends. */
void push_not_promised(struct stream *stream);

/* Before the page's stream ends: no promise can be written on it any more (RFC 9113 8.4). */
void push_page_ends(struct stream *page);

#endif

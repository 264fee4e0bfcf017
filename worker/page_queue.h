/* Whose turn it is: a wake-up decides pages for a bounded time, so that a crowd of pages whose
 * policies are dear delays the connections that ask for something else by little. Pages that find
 * the time used up wait for the next wake-ups: those of a connection in order, the connections in
 * turn, a page each, so that nobody waits for more than one page of every other connection. */
#ifndef HERALD_PAGE_QUEUE_H
#define HERALD_PAGE_QUEUE_H

#include "worker/page.h"

#include <stdbool.h>

/* True when the page may be decided now; otherwise it waits, and page_decide_now is called. */
bool page_queue_enter(struct page *page);

/* The page has ended while it waited. Nothing for one that does not wait. */
void page_queue_leave(struct page *page);

/* Decides pages that wait. Once a wake-up. Returns true when some wait still: the loop must not
 * sleep. */
bool page_queue_run(struct worker *worker);

#endif

/* What the files of page.h share: a page's course (page.c), what its policies are told
 * (page_ask.c), and the resources of its candidates (page_resolve.c). */
#ifndef HERALD_PAGE_PARTS_H
#define HERALD_PAGE_PARTS_H

#include "worker/page.h"

/* The version, which is taken, is that of all the hooks that will see this page. */
void page_set_version(struct page *page, struct policy_version *version);

/* What a round asks the policies about: the request; an origin's 103 (page->passing); the response.
 */
enum page_about { PAGE_REQUEST = 1, PAGE_INTERIM = 2, PAGE_RESPONSE = 4 };

/* Calls the hooks of the page's version; they propose. about: of enum page_about. */
void page_ask(struct page *page, unsigned about);

/* Room for a page's deadline besides those that are set. Returns false when memory runs out. */
bool page_make_room_for_timer(struct worker *worker);

/* Looks up every candidate that has had no round; page_round_over is called, at once when all are
 * cached. */
void page_resolve(struct page *page);

/* Ends the round's look-ups: those under way find nothing. */
void page_stop_resolving(struct page *page);

/* A round's look-ups are done, or took too long: carries it out. */
void page_round_over(struct page *page);

#endif

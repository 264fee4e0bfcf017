/* The shadow of a page: another version of the policies decides it too, by the same code, and
 * nothing is carried out. Where it would have decided otherwise is counted, and the first of these
 * pages are told to the master.
 *
 * The shadow is asked before its page is answered, since it is to see what its page saw: what the
 * client holds, and nothing claimed yet. So its hooks cost pages time, and are held to a share of
 * the worker's: when that is used up, pages are decided without a shadow, and are not compared. */
#ifndef HERALD_SHADOW_H
#define HERALD_SHADOW_H

#include <stdbool.h>

#define SHADOW_SHARE 8        /* hooks of shadows run for an eighth of a worker's time, */
#define SHADOW_SAVED_US 20000 /* and for so long at once, when none ran before */

struct page;
struct worker;

/* Whether there is time for one more shadow. */
bool shadow_affordable(struct worker *worker);

/* Around the calls of a shadow's hooks. */
void shadow_hooks_begin(struct worker *worker);
void shadow_hooks_end(struct worker *worker);

/* Compares a page that was carried out with its shadow, if that is ready, and lets the shadow go. A
 * shadow whose files were not at hand in time says nothing: the page does not wait for it. */
void shadow_compare(struct page *page);

#endif

/* The shadow of a page: another version of the policies decides it too, by the same code, and
 * nothing is carried out. Where it would have decided otherwise is counted, and the first of these
 * pages are told to the master. */
#ifndef HERALD_SHADOW_H
#define HERALD_SHADOW_H

struct page;

/* Compares a page that was carried out with its shadow, if that is ready, and lets the shadow go. A
 * shadow whose files were not at hand in time says nothing: the page does not wait for it. */
void shadow_compare(struct page *page);

#endif

/* What a page's client is told to fetch, where it is not pushed: one 103 (RFC 8297), which browsers
 * follow while the page is made, and the Link field of the final response (RFC 8288). What an
 * origin says in its own 103 goes on, merged with that. */
#ifndef HERALD_HINTS_H
#define HERALD_HINTS_H

#include "master/handoff/span.h"
#include "policy/request.h"

#include <stdbool.h>
#include <stddef.h>

struct page;
struct stream;

#define HINTS_MAX 4096       /* bytes of a Link value */
#define HINTS_INTERIMS_MAX 4 /* 103s of one origin's response; what comes then is left out */

/* An origin's 103. It belongs to its stream, whose 103 reads from it until it was written out; or
 * to the fetch of a cache, for the streams that join it later. */
struct interim {
    struct interim *next;
    struct span links;  /* the values of its Link fields, joined */
    struct span passed; /* what of them went on to the client */
    char text[];
};

/* Whether a request is a navigation that hints are for (Sec-Fetch-Mode: navigate). Over HTTP/1.1
 * they are in the Link field alone: not every client of it takes interim responses (RFC 8297 3). */
bool hints_wanted(const struct stream *stream);

/* Keeps the Link fields of an origin's 103 at the end of the list. NULL when there are none, or
 * they are too many or too long. */
struct interim *hints_keep(struct interim **list, const struct field *fields, size_t count);

/* Frees what hints_keep kept; NULL is accepted. */
void hints_free(struct interim *interims);

/* A round's candidates, those from `first` on, are judged: where the client takes a 103 and none
 * was sent yet (browsers follow the first alone), those to be hinted go out in one. Those that do
 * not fit are left out. */
void hints_send(struct page *page, unsigned first);

/* The same after an origin's 103, which goes on to navigations over HTTP/2: what was not said
 * before, is not promised, and is not held, with what the round adds. Without a page only the
 * origin's. */
void hints_pass(struct stream *stream, struct interim *interim, unsigned first);

/* The Link value for the final response: all that is hinted and that the response itself does not
 * name; or an empty span. Called once, and the page borrows nothing. */
struct span hints_link(struct page *page, const struct field *fields, size_t count);

/* The Server-Timing value that tells what became of the page's candidates: `push;desc="5 sent, 7
 * held"`. It says nothing but what this client was sent, so that it may be shown to it. */
struct span hints_timing(struct page *page);

#endif

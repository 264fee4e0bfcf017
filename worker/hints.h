/* Link fields, in and out: those a response carries become facts for policies; candidates that are
 * hinted become one 103 (RFC 8297) and the Link field of the final response (RFC 8288). */
#ifndef HERALD_HINTS_H
#define HERALD_HINTS_H

#include "master/handoff/span.h"
#include "policy/request.h"

#include <stdbool.h>

struct page;
struct stream;

/* Whether a request is a navigation that hints are for (Sec-Fetch-Mode: navigate, over HTTP/2). */
bool hints_wanted(const struct stream *stream);

/* Adds the candidates from `first` on that were judged HINTED to the Link value, which is sent in a
 * 103 where the client takes one and none was sent yet: browsers follow the first one alone. Those
 * that do not fit are left out. */
void hints_send(struct page *page, unsigned first);

/* The Link value for the final response, or an empty span. */
struct span hints_link(const struct page *page);

/* The Server-Timing value that tells what became of the page's candidates: `push;desc="5 sent, 7
 * held"`. It says nothing but what this client was sent, so that it may be shown to it. */
struct span hints_timing(struct page *page);

/* Reads the links of a response's Link fields, every rel, at most `max`; targets are resolved
 * against the request when they are of its authority. `scratch` has room for PAGE_HINTS_MAX bytes
 * of resolved paths, which the links borrow. Returns their number. Malformed links are left out. */
size_t links_read(const struct response_facts *response, const struct request *request,
                  struct span authority, char *scratch, struct response_link *links, size_t max);

#endif

/* From a header list to the facts of a request, judged by RFC 9113 8.3 and RFC 9110 7.2. */
#ifndef HERALD_FACTS_H
#define HERALD_FACTS_H

struct stream;

/* Fills stream->request, authority, site and route from stream->headers. Returns 0, or the status
 * to answer with: 400, 405, 414, 421, 431, 500. With 405, 421 and later ones site may be NULL. */
int facts_read(struct stream *stream);

/* The same for a promised request, whose names C chose. Returns 0 or -ENOMEM. */
struct candidate;
int facts_promise(struct stream *stream, const struct stream *parent,
                  const struct candidate *candidate);

#endif

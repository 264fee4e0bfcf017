/* The access log: one JSON line a request, with the verdict on each candidate of its page. */
#ifndef HERALD_ACCESS_H
#define HERALD_ACCESS_H

struct stream;

/* Writes the stream's line, when the log is on. */
void access_log(struct stream *stream);

#endif

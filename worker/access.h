/* The access log: one JSON line a request, with the verdict on each candidate of its page. */
#ifndef HERALD_ACCESS_H
#define HERALD_ACCESS_H

struct log;
struct stream;

/* Writes the stream's line, when the log is on. */
void access_log(struct stream *stream);

/* Writes the line's members, between log_begin and log_end. */
void access_members(struct stream *stream, struct log *log);

#endif

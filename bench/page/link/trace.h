/* A text line for each packet that enters a link: when, what became of it, and its TCP header. */
#ifndef PAGE_LINK_TRACE_H
#define PAGE_LINK_TRACE_H

#include "bench/page/link/pipe.h"

#include <stdio.h>

/* Writes what the columns are. */
void trace_begin(FILE *out);

/* way: "down" or "up". due_ns: when it reaches the other end; PIPE_NEVER for a packet that does
 * not. Times are written in microseconds since began_ns. */
void trace_packet(FILE *out, const char *way, enum pipe_verdict verdict, uint64_t began_ns,
                  uint64_t now_ns, uint64_t due_ns, size_t queued, const uint8_t *bytes,
                  size_t length);

#endif

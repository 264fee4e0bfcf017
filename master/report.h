/* What the master says: its lines of the error log. Process-wide, since a process has one voice. */
#ifndef HERALD_REPORT_H
#define HERALD_REPORT_H

#include "master/handoff/fault.h"

/* Lines go to a duplicate of `fd` from now on. Until then, and with STDERR_FILENO, to the standard
 * error stream. */
void report_to(int fd);

/* One line "time level text". A line is dropped, and the next one says how many were, when the
 * reader of a pipe is behind: the master waits for nobody. */
void report_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void report_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void report_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "what: where:line: what". */
void report_fault(const char *what, const struct fault *fault);

#endif

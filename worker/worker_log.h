/* A worker's logs on their way to their files, through the ring: never blocking. */
#ifndef HERALD_WORKER_LOG_H
#define HERALD_WORKER_LOG_H

#include "worker/worker.h"

/* Returns 0 or -ENOMEM. `fd` -1: the log is off. */
int worker_log_open(struct worker_log *log, struct worker *worker, int fd, size_t size);

/* Begins to write what is due, or with `now` all that waits; called at the end of each wake-up. */
void worker_log_flush(struct worker_log *log, bool now);

/* From now on to `fd`, which the log owns. */
void worker_log_reopen(struct worker_log *log, int fd);

/* True when nothing waits and nothing is being written. */
bool worker_log_idle(const struct worker_log *log);

/* When there is something to write at the latest, in the loop's milliseconds; UINT64_MAX: never. */
uint64_t worker_log_due(const struct worker_log *log);

void worker_log_close(struct worker_log *log);

#endif

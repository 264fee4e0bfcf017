/* How the versions of the policies fare in the workers, and taking one out of use that does badly. */
#ifndef HERALD_POLICY_JUDGE_H
#define HERALD_POLICY_JUDGE_H

#include <stdint.h>

#define POLICY_JUDGE_MS 250 /* between two looks */

struct policy_desk;

/* Reads what the workers counted until now. */
void policy_judge_read(struct policy_desk *desk, int64_t now_ms);

/* A worker ended in this way: a strike for the version whose hook it was in (0: none). Without a
 * desk nothing happens. */
void policy_judge_worker_ended(struct policy_desk *desk, int slot, uint32_t in_policy,
                               const char *how);

/* Looks, and quarantines. Returns when it is to be called next. */
int64_t policy_judge_step(struct policy_desk *desk, int64_t now_ms);

#endif

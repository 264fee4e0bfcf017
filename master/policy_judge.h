/* How the versions of the policies fare in the workers, and taking one out of use that does badly.
 */
#ifndef HERALD_POLICY_JUDGE_H
#define HERALD_POLICY_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

#define POLICY_JUDGE_MS 250 /* between two looks */

struct policy_desk;

/* Reads what the workers counted until now. */
void policy_judge_read(struct policy_desk *desk, int64_t now_ms);

/* A worker ended in this way: a strike for the version whose hook it was in (0: none), or its
 * quarantine when it was killed because that hook did not end. Without a desk nothing happens. */
void policy_judge_worker_ended(struct policy_desk *desk, int slot, uint32_t in_policy, bool wedged,
                               const char *how);

/* Looks, and quarantines. Returns when it is to be called next. */
int64_t policy_judge_step(struct policy_desk *desk, int64_t now_ms);

#endif

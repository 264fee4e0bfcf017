/* Files that policies read below a site's root (policy.manifest), kept and read again on change. */
#ifndef HERALD_MANIFEST_H
#define HERALD_MANIFEST_H

#include "policy/policy_vm.h"

struct worker;

#define MANIFEST_BYTES_MAX (1024 * 1024)
#define MANIFESTS_MAX 64 /* of one worker */

/* For struct policy_host: `context` is the worker. Looks at the file at most once a second. */
int manifest_read(void *context, const struct request *request, struct span path,
                  struct span *content, uint64_t *version);
void manifests_finish(struct worker *worker);

#endif

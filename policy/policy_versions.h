/* The versions of the policies that one worker has: which of them decides a request, which is asked
 * beside it, and when each is freed.
 *
 * The master says in the segment's header which versions decide; one load of a word per decision
 * follows it. A version that the word names and that this worker does not have is passed over: the
 * one before goes on. While a hook of a version runs, the slot bears its number, so that the master
 * knows whom to blame when the worker hangs or dies. */
#ifndef HERALD_POLICY_VERSIONS_H
#define HERALD_POLICY_VERSIONS_H

#include "master/handoff/segment.h"
#include "policy/policy_lists.h"
#include "policy/policy_vm.h"

#include <stdbool.h>
#include <stdint.h>

#define POLICY_VERSIONS_LINGER_MAX 16 /* forgotten ones that requests still use */
#define POLICY_NAMES_MAX 4096         /* different names of policies in a worker's life */

struct policy_name;

struct policy_version {
    struct policy_version *next;
    struct policy_versions *owner;
    uint32_t number;
    unsigned references;            /* the owner's while it is kept, and one for each holder */
    bool kept;                      /* the master wants it here */
    struct policy_vm *vm;           /* NULL: no list has a policy, or it was cut off */
    struct policy_lists *lists;     /* the config with this version's lists */
    struct segment_version *health; /* NULL once it is forgotten */
};

struct policy_versions {
    const struct config *config;
    const struct policy_host *host;
    const struct segment_header *header;
    struct segment_slot *slot;
    struct policy_version *list; /* the newest first */
    uint64_t word;               /* of the header, as it was last followed; */
    uint32_t shadow_number;      /* likewise */
    bool stale;                  /* the list changed since */
    struct policy_version *active;
    struct policy_version *canary; /* NULL: there is none, or not here */
    struct policy_version *shadow;
    uint32_t permille; /* of clients that have the canary */
    struct policy_version *running;
    bool failed; /* a hook failed since policy_version_enter */
    struct policy_name *names;
    unsigned names_count;
};

/* All are borrowed until finish. */
void policy_versions_init(struct policy_versions *versions, const struct config *config,
                          const struct policy_host *host, const struct segment_header *header,
                          struct segment_slot *slot);

/* No version may be held any more. */
void policy_versions_finish(struct policy_versions *versions);

/* Makes a version ready to run: its state is made and its `init` hooks are run. The descriptor
 * stays the caller's. A version that is here already is left as it is. Returns 0, or -errno with
 * `fault`: -EBUSY when there are SEGMENT_VERSIONS_MAX of them. */
int policy_versions_load(struct policy_versions *versions, uint32_t number, int bundle_fd,
                         struct fault *fault);

/* Whether a stored version can run with this config: as policy_check, but with the lists that the
 * version brings. */
int policy_versions_check(const struct config *config, int bundle_fd, struct fault *fault);

/* Frees a version once nobody holds it. The one that decides stays until another one does. */
void policy_versions_forget(struct policy_versions *versions, uint32_t number);

/* Whether any version that decides, or is asked beside, has a policy that wants this request. */
bool policy_versions_apply(struct policy_versions *versions, const struct config_site *site,
                           const struct config_route *route, const struct request *request);

/* The version that decides for this client, which identity_client names, held for the caller; NULL:
 * there is none. */
struct policy_version *policy_versions_take(struct policy_versions *versions, uint64_t client);

/* The version that is asked beside `deciding`, held for the caller; NULL: none. */
struct policy_version *policy_versions_take_shadow(struct policy_versions *versions,
                                                   const struct policy_version *deciding);

void policy_version_release(struct policy_version *version);

/* Whether this client is among the `permille` of 1,000 that have the canary `number`: the same
 * clients for a larger share, others for another version. */
bool policy_canary_has(uint32_t number, uint32_t permille, uint64_t client);

/* Its policies for a route of the worker's own config; NULL: none. Lives as long as the version. */
const struct policy_list *policy_version_list(const struct policy_version *version,
                                              const struct config_site *site,
                                              const struct config_route *route);

/* Around calls of a version's hooks. `leave` tells whether one of them failed. */
void policy_version_enter(struct policy_version *version);
bool policy_version_leave(struct policy_version *version);

/* The host's `failed` was called: counted for the version that runs. */
void policy_versions_failed(struct policy_versions *versions, enum policy_event event);

/* Counts for the version's health; only its own worker calls this. */
static inline void policy_version_count(_Atomic uint64_t *counter)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

#endif

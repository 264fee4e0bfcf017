#include "policy/policy_versions.h"

#include "policy/bundle.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What candidates and log lines call a policy outlives its version. */
struct policy_name {
    struct policy_name *next;
    char text[];
};

void policy_versions_init(struct policy_versions *versions, const struct config *config,
                          const struct policy_host *host, const struct segment_header *header,
                          struct segment_slot *slot)
{
    *versions = (struct policy_versions){
        .config = config, .host = host, .header = header, .slot = slot, .stale = true};
    for (unsigned i = 0; i < SEGMENT_VERSIONS_MAX; i++)
        atomic_store(&slot->versions[i].number, 0);
}

static struct policy_version *find(const struct policy_versions *versions, uint32_t number)
{
    for (struct policy_version *version = versions->list; version; version = version->next)
        if (version->number == number && version->kept)
            return version;
    return NULL;
}

/* ---- making and freeing ---- */

static struct segment_version *health_take(struct segment_slot *slot, uint32_t number)
{
    for (unsigned i = 0; i < SEGMENT_VERSIONS_MAX; i++) {
        struct segment_version *health = &slot->versions[i];
        if (atomic_load_explicit(&health->number, memory_order_relaxed))
            continue;
        atomic_store_explicit(&health->pages, 0, memory_order_relaxed);
        atomic_store_explicit(&health->failures, 0, memory_order_relaxed);
        atomic_store_explicit(&health->soft, 0, memory_order_relaxed);
        atomic_store_explicit(&health->hard, 0, memory_order_relaxed);
        atomic_store_explicit(&health->compared, 0, memory_order_relaxed);
        atomic_store_explicit(&health->differing, 0, memory_order_relaxed);
        atomic_store_explicit(&health->number, number, memory_order_release);
        return health;
    }
    return NULL;
}

static void health_give(struct policy_version *version)
{
    if (version->health)
        atomic_store_explicit(&version->health->number, 0, memory_order_release);
    version->health = NULL;
}

/* Frees all but the few bytes that its holders know it by. */
static void cut_off(struct policy_version *version)
{
    policy_vm_destroy(version->vm);
    version->vm = NULL;
    policy_lists_free(version->lists);
    version->lists = NULL;
}

static void destroy(struct policy_version *version)
{
    struct policy_version **at = &version->owner->list;
    while (*at && *at != version)
        at = &(*at)->next;
    if (*at)
        *at = version->next;
    health_give(version);
    cut_off(version);
    free(version);
}

void policy_version_release(struct policy_version *version)
{
    if (version && --version->references == 0)
        destroy(version);
}

/* A client that takes its time with pushes whose result a policy wants must not keep every version
 * there ever was: past the limit the oldest goes without its last results. */
static void bound_lingering(struct policy_versions *versions)
{
    unsigned lingering = 0;
    for (struct policy_version *version = versions->list; version; version = version->next)
        if (!version->kept && version->vm && version != versions->running &&
            ++lingering > POLICY_VERSIONS_LINGER_MAX)
            cut_off(version);
}

static void let_go(struct policy_version *version)
{
    struct policy_versions *versions = version->owner;
    version->kept = false;
    health_give(version);
    policy_version_release(version);
    bound_lingering(versions);
}

/* The lasting copy of a policy's name, or NULL when there are too many. */
static char *lasting_name(struct policy_versions *versions, const char *text)
{
    for (struct policy_name *name = versions->names; name; name = name->next)
        if (strcmp(name->text, text) == 0)
            return name->text;
    size_t length = strlen(text);
    struct policy_name *name = versions->names_count < POLICY_NAMES_MAX
                                   ? malloc(sizeof(*name) + length + 1)
                                   : NULL;
    if (!name)
        return NULL;
    memcpy(name->text, text, length + 1);
    name->next = versions->names;
    versions->names = name;
    versions->names_count++;
    return name->text;
}

static int make_names_last(struct policy_versions *versions, struct policy_lists *lists)
{
    for (size_t s = 0; s < lists->config.sites_count; s++) {
        struct config_site *site = &lists->sites[s];
        for (size_t r = 0; r < site->routes_count; r++)
            for (size_t p = 0; p < site->routes[r].policies_count; p++) {
                struct config_policy *policy = &site->routes[r].policies[p];
                policy->name = lasting_name(versions, policy->name);
                if (!policy->name)
                    return -ENOMEM;
            }
    }
    return 0;
}

static int join_lists(struct policy_version *version, int bundle_fd, struct fault *fault)
{
    struct bundle *bundle;
    int rc = bundle_open(bundle_fd, &bundle, fault);
    if (rc < 0)
        return rc;
    rc = policy_lists_join(version->owner->config, bundle_lists(bundle), &version->lists, fault);
    bundle_close(bundle);
    if (rc == 0 && make_names_last(version->owner, version->lists) < 0)
        rc = fault_set(fault, -ENOMEM, NULL, 0, "no memory for the names of more policies");
    return rc;
}

static int fill(struct policy_version *version, int bundle_fd, struct fault *fault)
{
    struct policy_versions *versions = version->owner;
    version->health = health_take(versions->slot, version->number);
    if (!version->health)
        return fault_set(fault, -EBUSY, NULL, 0, "%d versions of the policies are loaded already",
                         SEGMENT_VERSIONS_MAX);
    int rc = join_lists(version, bundle_fd, fault);
    if (rc < 0 || !version->lists->any)
        return rc;
    policy_version_enter(version);
    rc = policy_vm_create(&version->lists->config, bundle_fd, versions->host, &version->vm, fault);
    policy_version_leave(version);
    return rc;
}

int policy_versions_load(struct policy_versions *versions, uint32_t number, int bundle_fd,
                         struct fault *fault)
{
    assert(number && number <= SEGMENT_VERSION_MOST);
    if (find(versions, number))
        return 0;
    struct policy_version *version = calloc(1, sizeof(*version));
    if (!version)
        return fault_set(fault, -ENOMEM, NULL, 0, "no memory for a version of the policies");
    version->owner = versions;
    version->number = number;
    version->references = 1;
    int rc = fill(version, bundle_fd, fault);
    if (rc < 0) {
        destroy(version);
        return rc;
    }
    version->kept = true;
    version->next = versions->list;
    versions->list = version;
    versions->stale = true;
    return 0;
}

int policy_versions_check(const struct config *config, int bundle_fd, struct fault *fault)
{
    struct bundle *bundle;
    struct policy_lists *lists;
    int rc = bundle_open(bundle_fd, &bundle, fault);
    if (rc < 0)
        return rc;
    rc = policy_lists_join(config, bundle_lists(bundle), &lists, fault);
    bundle_close(bundle);
    if (rc < 0)
        return rc;
    rc = lists->any ? policy_check(&lists->config, bundle_fd, fault) : 0;
    policy_lists_free(lists);
    return rc;
}

/* ---- who decides ---- */

static void adopt(struct policy_versions *versions, struct policy_version *active)
{
    struct policy_version *before = versions->active;
    if (active == before)
        return;
    active->references++;
    versions->active = active;
    policy_version_release(before);
}

/* Follows what the header says, if it says something new. */
static void follow(struct policy_versions *versions)
{
    uint64_t word = atomic_load_explicit(&versions->header->versions, memory_order_acquire);
    uint32_t shadow = atomic_load_explicit(&versions->header->shadow, memory_order_relaxed);
    if (word == versions->word && shadow == versions->shadow_number && !versions->stale)
        return;
    uint32_t number = (uint32_t)(word & SEGMENT_VERSION_MOST);
    uint32_t canary = (uint32_t)(word >> SEGMENT_VERSION_BITS & SEGMENT_VERSION_MOST);
    struct policy_version *active = find(versions, number);
    versions->word = word;
    versions->shadow_number = shadow;
    versions->stale = false;
    if (active)
        adopt(versions, active);
    versions->permille = (uint32_t)(word >> (2 * SEGMENT_VERSION_BITS));
    versions->canary = canary ? find(versions, canary) : NULL;
    versions->shadow = shadow ? find(versions, shadow) : NULL;
}

void policy_versions_forget(struct policy_versions *versions, uint32_t number)
{
    follow(versions); /* else what decides no more might still be taken for what does */
    struct policy_version *version = find(versions, number);
    if (!version)
        return;
    versions->stale = true;
    let_go(version);
    follow(versions);
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

bool policy_canary_has(uint32_t number, uint32_t permille, uint64_t client)
{
    /* The client is a keyed hash already; the number is the salt of this canary. */
    uint64_t hash = mix(client ^ mix(number * UINT64_C(0x9e3779b97f4a7c15)));
    return (uint32_t)((hash >> 32) * 1000 >> 32) < permille;
}

/* Nothing but the version that the master names first may decide where nothing does: without any
 * (number 0) there are no policies. */
static struct policy_version *deciding(struct policy_versions *versions)
{
    follow(versions);
    return versions->word & SEGMENT_VERSION_MOST ? versions->active : NULL;
}

struct policy_version *policy_versions_take(struct policy_versions *versions, uint64_t client)
{
    struct policy_version *version = deciding(versions);
    if (versions->canary && policy_canary_has(versions->canary->number, versions->permille, client))
        version = versions->canary;
    if (version)
        version->references++;
    return version;
}

struct policy_version *policy_versions_take_shadow(struct policy_versions *versions,
                                                   const struct policy_version *other)
{
    struct policy_version *shadow = versions->shadow;
    if (!shadow || shadow == other)
        return NULL;
    shadow->references++;
    return shadow;
}

const struct policy_list *policy_version_list(const struct policy_version *version,
                                              const struct config_site *site,
                                              const struct config_route *route)
{
    const struct config *config = version->owner->config;
    if (!version->vm)
        return NULL;
    const struct config_site *own = &version->lists->sites[site - config->sites];
    return policy_vm_list(version->vm, own, &own->routes[route - site->routes]);
}

static bool applies(const struct policy_version *version, const struct config_site *site,
                    const struct config_route *route, const struct request *request)
{
    return version && policy_applies(policy_version_list(version, site, route), request);
}

bool policy_versions_apply(struct policy_versions *versions, const struct config_site *site,
                           const struct config_route *route, const struct request *request)
{
    const struct policy_version *version = deciding(versions);
    return applies(version, site, route, request) ||
           applies(versions->canary, site, route, request) ||
           applies(versions->shadow, site, route, request);
}

/* ---- running ---- */

void policy_version_enter(struct policy_version *version)
{
    struct policy_versions *versions = version->owner;
    versions->running = version;
    versions->failed = false;
    atomic_store_explicit(&versions->slot->in_policy, version->number, memory_order_relaxed);
}

bool policy_version_leave(struct policy_version *version)
{
    struct policy_versions *versions = version->owner;
    versions->running = NULL;
    atomic_store_explicit(&versions->slot->in_policy, 0, memory_order_relaxed);
    return versions->failed;
}

void policy_versions_failed(struct policy_versions *versions, enum policy_event event)
{
    struct policy_version *version = versions->running;
    versions->failed = true;
    if (!version || !version->health)
        return;
    if (event == POLICY_SOFT_DEADLINE)
        policy_version_count(&version->health->soft);
    else if (event == POLICY_HARD_DEADLINE)
        policy_version_count(&version->health->hard);
}

void policy_versions_finish(struct policy_versions *versions)
{
    if (versions->active)
        policy_version_release(versions->active);
    versions->active = NULL;
    while (versions->list) {
        assert(versions->list->references == 1 || !versions->list->kept);
        destroy(versions->list);
    }
    while (versions->names) {
        struct policy_name *name = versions->names;
        versions->names = name->next;
        free(name);
    }
}

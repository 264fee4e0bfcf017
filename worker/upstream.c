#include "worker/upstream.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A route's origin, and which of the servers its own are. */
struct group {
    const struct config_origin *origin;
    unsigned next; /* the place whose turn it is */
    struct upstream *members[CONFIG_SERVERS_MAX];
};

struct upstreams {
    struct group *groups; /* in the order of their origins' addresses in memory */
    size_t groups_count;
    struct upstream **all;
    size_t count;
};

static_assert(CONFIG_SERVERS_MAX <= 32, "places are bits of 32");

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* Connections made for one may be used for the other. */
static bool is_same(const struct upstream *upstream, const struct config_server *server,
                    const struct config_origin *origin)
{
    return strcmp(upstream->server->text, server->text) == 0 &&
           upstream->origin->connect_timeout_ms == origin->connect_timeout_ms &&
           upstream->origin->verify == origin->verify &&
           same_text(upstream->origin->ca, origin->ca);
}

static struct upstream *enter(struct upstreams *upstreams, const struct config_server *server,
                              const struct config_origin *origin)
{
    for (size_t i = 0; i < upstreams->count; i++)
        if (is_same(upstreams->all[i], server, origin))
            return upstreams->all[i];
    struct upstream **all =
        reallocarray(upstreams->all, upstreams->count + 1, sizeof(struct upstream *));
    if (!all)
        return NULL;
    upstreams->all = all;
    struct upstream *upstream = calloc(1, sizeof(*upstream));
    if (!upstream)
        return NULL;
    upstreams->all[upstreams->count++] = upstream;
    upstream->server = server;
    upstream->origin = origin;
    upstream->addresses = strdup(server->addresses);
    return upstream->addresses ? upstream : NULL;
}

static int enter_origin(struct upstreams *upstreams, const struct config_origin *origin)
{
    struct group *groups =
        reallocarray(upstreams->groups, upstreams->groups_count + 1, sizeof(*groups));
    if (!groups)
        return -ENOMEM;
    upstreams->groups = groups;
    struct group *group = &groups[upstreams->groups_count++];
    *group = (struct group){.origin = origin};
    for (size_t i = 0; i < origin->servers_count; i++) {
        group->members[i] = enter(upstreams, &origin->servers[i], origin);
        if (!group->members[i])
            return -ENOMEM;
    }
    return 0;
}

static int by_origin(const void *left, const void *right)
{
    uintptr_t a = (uintptr_t)((const struct group *)left)->origin;
    uintptr_t b = (uintptr_t)((const struct group *)right)->origin;
    return a < b ? -1 : a > b;
}

struct upstreams *upstreams_create(const struct config *config)
{
    struct upstreams *upstreams = calloc(1, sizeof(*upstreams));
    int rc = upstreams ? 0 : -ENOMEM;
    for (size_t i = 0; i < config->sites_count; i++)
        for (size_t j = 0; rc == 0 && j < config->sites[i].routes_count; j++)
            if (config->sites[i].routes[j].origin.servers_count)
                rc = enter_origin(upstreams, &config->sites[i].routes[j].origin);
    if (rc < 0) {
        upstreams_destroy(upstreams);
        return NULL;
    }
    if (upstreams->groups_count)
        qsort(upstreams->groups, upstreams->groups_count, sizeof(struct group), by_origin);
    return upstreams;
}

void upstreams_destroy(struct upstreams *upstreams)
{
    if (!upstreams)
        return;
    for (size_t i = 0; i < upstreams->count; i++) {
        free(upstreams->all[i]->addresses);
        free(upstreams->all[i]);
    }
    free(upstreams->all);
    free(upstreams->groups);
    free(upstreams);
}

size_t upstreams_count(const struct upstreams *upstreams)
{
    return upstreams->count;
}

struct upstream *upstreams_at(struct upstreams *upstreams, size_t index)
{
    return upstreams->all[index];
}

static bool rests(const struct upstream *upstream, uint64_t now_ms)
{
    return upstream->rest_began_ms && now_ms < upstream->rest_until_ms;
}

static bool is_known(const struct upstream *upstream)
{
    return !upstream->server->named || upstream->addresses[0];
}

int upstreams_choose(struct upstreams *upstreams, const struct config_origin *origin,
                     uint32_t tried, uint64_t now_ms, struct upstream **upstream)
{
    struct group key = {.origin = origin};
    struct group *group =
        bsearch(&key, upstreams->groups, upstreams->groups_count, sizeof(struct group), by_origin);
    unsigned count = (unsigned)origin->servers_count;
    int why = -ENOENT, rested = -1;
    assert(group && count > 0);
    for (unsigned i = 0; i < count; i++) {
        unsigned place = (group->next + i) % count;
        struct upstream *one = group->members[place];
        if (tried & UINT32_C(1) << place)
            continue;
        if (!is_known(one)) {
            why = why == -EBUSY ? why : -EHOSTUNREACH;
        } else if (one->active >= origin->connections) {
            why = -EBUSY;
        } else if (!rests(one, now_ms)) {
            group->next = (place + 1) % count;
            *upstream = one;
            return (int)place;
        } else if (rested < 0 || one->rest_began_ms < group->members[rested]->rest_began_ms) {
            rested = (int)place;
        }
    }
    if (rested < 0)
        return why;
    *upstream = group->members[rested];
    return rested;
}

static void tell(const struct upstream *upstream)
{
    if (!upstream->told)
        return;
    atomic_store_explicit(&upstream->told->failures, upstream->failures, memory_order_relaxed);
    atomic_store_explicit(&upstream->told->until_ms,
                          upstream->rest_began_ms ? upstream->rest_until_ms : 0,
                          memory_order_relaxed);
}

void upstreams_tell(struct upstreams *upstreams, struct segment_server *told, size_t room)
{
    for (size_t i = 0; i < room; i++) {
        struct upstream *one = i < upstreams->count ? upstreams->all[i] : NULL;
        uint64_t key = one ? segment_key(one->server->text) : 0;
        atomic_store_explicit(&told[i].key, key, memory_order_relaxed);
        atomic_store_explicit(&told[i].failures, 0, memory_order_relaxed);
        atomic_store_explicit(&told[i].until_ms, 0, memory_order_relaxed);
        if (one)
            one->told = &told[i];
    }
}

void upstream_answered(struct upstream *upstream)
{
    if (!upstream->failures && !upstream->rest_began_ms)
        return;
    upstream->failures = 0;
    upstream->rest_began_ms = 0;
    tell(upstream);
}

bool upstream_failed(struct upstream *upstream, uint32_t rest_ms, uint64_t now_ms)
{
    bool began = !rests(upstream, now_ms);
    unsigned doublings = upstream->failures < 6 ? upstream->failures : 6;
    uint64_t factor = UINT64_C(1) << doublings;
    if (factor > UPSTREAM_REST_FACTOR_MAX)
        factor = UPSTREAM_REST_FACTOR_MAX;
    if (!rest_ms)
        return false;
    if (!began) { /* several fail together that were under way together: one rest */
        upstream->rest_until_ms =
            upstream->rest_until_ms > now_ms + rest_ms ? upstream->rest_until_ms : now_ms + rest_ms;
        tell(upstream);
        return false;
    }
    upstream->failures++;
    upstream->rest_began_ms = now_ms;
    upstream->rest_until_ms = now_ms + rest_ms * factor;
    tell(upstream);
    return true;
}

int upstreams_rename(struct upstreams *upstreams, struct span name, struct span addresses)
{
    for (size_t i = 0; i < upstreams->count; i++) {
        struct upstream *one = upstreams->all[i];
        if (!one->server->named || !span_equal(span_of(one->server->host), name))
            continue;
        char *copy = strndup(addresses.data, addresses.length);
        if (!copy)
            return -ENOMEM;
        free(one->addresses);
        one->addresses = copy;
        one->lookups++;
    }
    return 0;
}

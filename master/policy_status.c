#include "master/policy_status.h"

#include "master/supervisor.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static void put(json_t *object, const char *key, json_t *value)
{
    if (value)
        json_object_set_new(object, key, value);
}

static void put_number(json_t *object, const char *key, uint64_t value)
{
    put(object, key, json_integer((json_int_t)value));
}

static json_t *text(const char *value)
{
    json_t *string = json_string(value);
    return string ? string : json_string("?");
}

static json_t *when(int64_t at_s)
{
    char out[32];
    struct tm tm;
    time_t at = (time_t)at_s;
    gmtime_r(&at, &tm);
    strftime(out, sizeof(out), "%Y-%m-%dT%H:%M:%SZ", &tm);
    return json_string(out);
}

static const char *state_of(const struct policy_desk *desk, const struct stored_version *version)
{
    const struct policy_store *store = &desk->store;
    if (version->number == store->active)
        return "active";
    if (version->number == store->canary)
        return "canary";
    if (version->number == store->shadow)
        return "shadow";
    if (version->standing == STORED_QUARANTINED)
        return "quarantined";
    if (version->standing == STORED_ROLLED_BACK)
        return "rolled back";
    return desk_resident(desk, version->number) ? "loaded" : "cold";
}

static json_t *version_json(const struct policy_desk *desk, const struct stored_version *version)
{
    json_t *one = json_object();
    const struct desk_resident *resident = desk_resident(desk, version->number);
    const char *state = state_of(desk, version);
    put_number(one, "number", version->number);
    put(one, "state", json_string(state));
    put(one, "id", json_string(version->id));
    put(one, "author", text(version->author));
    put(one, "message", text(version->message));
    put(one, "made", when(version->made_s));
    put_number(one, "bytes", version->bytes);
    if (strcmp(state, "rolled back") == 0 || strcmp(state, "quarantined") == 0)
        put(one, "why", text(version->why));
    if (!resident)
        return one;
    put_number(one, "pages", resident->pages);
    put_number(one, "failures", resident->failures);
    put_number(one, "soft_deadlines", resident->soft);
    put_number(one, "hard_strikes", resident->hard);
    if (resident->compared) {
        put_number(one, "compared", resident->compared);
        put_number(one, "differing", resident->differing);
    }
    return one;
}

static json_t *versions_json(const struct policy_desk *desk)
{
    json_t *list = json_array();
    for (unsigned i = desk->store.count; i > 0; i--)
        json_array_append_new(list, version_json(desk, &desk->store.versions[i - 1]));
    return list;
}

static json_t *events_json(const struct policy_store *store)
{
    json_t *list = json_array();
    for (unsigned i = store->events_count; i > 0; i--) {
        const struct stored_event *event = &store->events[i - 1];
        json_t *one = json_object();
        put(one, "at", when(event->at_s));
        put(one, "by", text(event->author));
        put(one, "what", text(event->what));
        json_array_append_new(list, one);
    }
    return list;
}

/* Whether what lies in policy.dir is what runs. */
static json_t *files_json(const struct policy_desk *desk)
{
    const struct policy_store *store = &desk->store;
    const struct stored_version *active = policy_store_find(store, store->active);
    const struct stored_version *same =
        desk->files_id[0] ? policy_store_find_id(store, desk->files_id) : NULL;
    json_t *files = json_object();
    const char *state = "unknown";
    if (desk->files_fault[0])
        state = "bad";
    else if (active && same == active)
        state = "active";
    else if (desk->files_id[0])
        state = "differ";
    put(files, "state", json_string(state));
    if (desk->files_fault[0])
        put(files, "error", text(desk->files_fault));
    if (same)
        put_number(files, "version", same->number);
    const struct generation *serving = desk->supervisor->serving;
    if (serving && serving->config->policy.dir)
        put(files, "dir", text(serving->config->policy.dir));
    put(files, "watched",
        json_boolean(serving && serving->config->policy.dir && serving->config->policy.watch));
    return files;
}

static json_t *examples_json(const struct policy_desk *desk)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < desk->examples_count; i++)
        json_array_append_new(list, text(desk->examples[i]));
    return list;
}

static json_t *push_json(const struct policy_store *store)
{
    json_t *sites = json_array();
    for (unsigned i = 0; i < store->sites_off_count; i++)
        json_array_append_new(sites, text(store->sites_off[i]));
    json_t *push = json_object();
    put(push, "off", json_boolean(store->push_off));
    put(push, "off_sites", sites);
    return push;
}

json_t *policy_status(const struct policy_desk *desk)
{
    const struct policy_store *store = &desk->store;
    json_t *policy = json_object();
    if (!policy || !desk->is_open)
        return policy;
    put_number(policy, "active", store->active);
    put_number(policy, "previous", policy_store_previous(store));
    put_number(policy, "canary", store->canary);
    put_number(policy, "permille", store->permille);
    put_number(policy, "shadow", store->shadow);
    put(policy, "files", files_json(desk));
    put(policy, "push", push_json(store));
    put(policy, "store", text(store->path));
    put(policy, "versions", versions_json(desk));
    put(policy, "events", events_json(store));
    put(policy, "examples", examples_json(desk));
    return policy;
}

/* The store's state: which version runs, what each is good for, what was done. */
#include "master/policy_store.h"
#include "master/policy_store_file.h"
#include "master/report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STATE_FILE "state"

static const char *const STANDINGS[] = {[STORED_GOOD] = "good",
                                        [STORED_ROLLED_BACK] = "rolled back",
                                        [STORED_QUARANTINED] = "quarantined"};

static json_t *standings_json(const struct policy_store *store)
{
    json_t *list = json_array();
    for (unsigned i = 0; list && i < store->count; i++) {
        const struct stored_version *version = &store->versions[i];
        if (!version->used && version->standing == STORED_GOOD)
            continue;
        json_array_append_new(
            list, json_pack("{s:i, s:I, s:s, s:o}", "number", (int)version->number, "used",
                            (json_int_t)version->used, "standing", STANDINGS[version->standing],
                            "why", store_text(version->why)));
    }
    return list;
}

static json_t *events_json(const struct policy_store *store)
{
    json_t *list = json_array();
    for (unsigned i = 0; list && i < store->events_count; i++)
        json_array_append_new(list,
                              json_pack("{s:I, s:o, s:o}", "at", (json_int_t)store->events[i].at_s,
                                        "author", store_text(store->events[i].author), "what",
                                        store_text(store->events[i].what)));
    return list;
}

static json_t *sites_json(const struct policy_store *store)
{
    json_t *list = json_array();
    for (unsigned i = 0; list && i < store->sites_off_count; i++)
        json_array_append_new(list, store_text(store->sites_off[i]));
    return list;
}

int policy_store_save(struct policy_store *store, struct fault *fault)
{
    json_t *state = json_pack(
        "{s:i, s:I, s:i, s:i, s:i, s:i, s:s, s:b, s:o, s:o, s:o}", "next", (int)store->next, "uses",
        (json_int_t)store->uses, "active", (int)store->active, "canary", (int)store->canary,
        "permille", (int)store->permille, "shadow", (int)store->shadow, "seen", store->seen,
        "push_off", store->push_off, "push_off_sites", sites_json(store), "versions",
        standings_json(store), "events", events_json(store));
    int rc = state
                 ? store_file_write(store->directory_fd, STATE_FILE, state, (struct span){NULL, 0})
                 : -ENOMEM;
    json_decref(state);
    return rc == 0 ? 0
                   : fault_set(fault, rc, store->path, 0, "the state cannot be written: %s",
                               strerror(-rc));
}

static void take_standings(struct policy_store *store, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const char *word = json_string_value(json_object_get(one, "standing"));
        struct stored_version *version =
            policy_store_find(store, (uint32_t)store_number(one, "number"));
        if (!version)
            continue;
        version->used = (uint64_t)store_number(one, "used");
        for (unsigned s = 0; word && s < sizeof(STANDINGS) / sizeof(STANDINGS[0]); s++)
            if (strcmp(word, STANDINGS[s]) == 0)
                version->standing = (enum stored_standing)s;
        store_take_text(version->why, sizeof(version->why), one, "why");
    }
}

static void take_events(struct policy_store *store, const json_t *list)
{
    size_t count = json_array_size(list);
    for (size_t i = 0; i < count && i < STORE_EVENTS_MAX; i++) {
        struct stored_event *event = &store->events[store->events_count++];
        event->at_s = store_number(json_array_get(list, i), "at");
        store_take_text(event->author, sizeof(event->author), json_array_get(list, i), "author");
        store_take_text(event->what, sizeof(event->what), json_array_get(list, i), "what");
    }
}

static uint32_t stored_number(const struct policy_store *store, const json_t *state,
                              const char *key)
{
    uint32_t number = (uint32_t)store_number(state, key);
    if (number && !policy_store_find(store, number)) {
        report_warn("%s: the %s version v%u of the policies is missing", store->path, key, number);
        return 0;
    }
    return number;
}

void policy_store_read_state(struct policy_store *store)
{
    struct store_file file;
    struct fault bad;
    int rc = store_file_read(store->directory_fd, store->path, STATE_FILE, &file, &bad);
    if (rc == -ENOENT && store->count == 0)
        return;
    if (rc < 0) {
        report_fault("which version of the policies was active is not known", &bad);
        return;
    }
    if ((uint32_t)store_number(file.json, "next") > store->next)
        store->next = (uint32_t)store_number(file.json, "next");
    store->uses = (uint64_t)store_number(file.json, "uses");
    store->active = stored_number(store, file.json, "active");
    store->canary = stored_number(store, file.json, "canary");
    store->permille = store->canary ? (uint32_t)store_number(file.json, "permille") : 0;
    store->shadow = stored_number(store, file.json, "shadow");
    store_take_text(store->seen, sizeof(store->seen), file.json, "seen");
    store->push_off = json_is_true(json_object_get(file.json, "push_off"));
    const json_t *sites = json_object_get(file.json, "push_off_sites");
    for (size_t i = 0; i < json_array_size(sites) && i < STORE_SITES_MAX; i++)
        snprintf(store->sites_off[store->sites_off_count++], STORE_SITE_MAX, "%s",
                 json_string_value(json_array_get(sites, i)));
    take_standings(store, json_object_get(file.json, "versions"));
    take_events(store, json_object_get(file.json, "events"));
    json_decref(file.json);
    close(file.fd);
}

#include "master/status.h"

#include "master/policy_status.h"
#include "master/rests.h"
#include "master/waste.h"
#include "policy/decision.h"
#include "policy/shared_dict.h"
#include "worker/timer.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#define STATUS_WALK_MS 1000

/* A member that could not be made is left out; the whole is told apart by jansson's own NULL. */
static void put(json_t *object, const char *key, json_t *value)
{
    if (value)
        json_object_set_new(object, key, value);
}

static void put_number(json_t *object, const char *key, uint64_t value)
{
    put(object, key, json_integer((json_int_t)value));
}

/* Names come from configs, whose bytes need not be UTF-8. */
static json_t *text(const char *value)
{
    json_t *string = value ? json_string(value) : json_null();
    return string ? string : json_string("?");
}

/* What the workers of all slots counted. */
struct sums {
    uint64_t counters[COUNTERS];
    uint64_t verdicts[REASONS];
};

static void sum(struct sums *sums, const struct segment *segment)
{
    *sums = (struct sums){0};
    for (unsigned i = 0; i < SEGMENT_SLOTS_MAX; i++) {
        const struct segment_slot *slot = &segment->slots[i];
        if (!atomic_load(&slot->incarnation)) /* no worker ever had it */
            continue;
        for (unsigned c = 0; c < COUNTERS; c++)
            sums->counters[c] +=
                atomic_load_explicit(&slot->stats.counters[c], memory_order_relaxed);
        for (unsigned r = 0; r < REASONS; r++)
            sums->verdicts[r] +=
                atomic_load_explicit(&slot->stats.verdicts[r], memory_order_relaxed);
    }
}

static const char *state_name(const struct seat *seat)
{
    switch (seat->state) {
    case SEAT_STARTING:
        return "starting";
    case SEAT_READY:
        return "ready";
    case SEAT_LEAVING:
        return "draining";
    case SEAT_EMPTY:
        break;
    }
    return "down";
}

static json_t *worker_json(const struct generation *generation, const struct seat *seat,
                           int64_t now_ms)
{
    json_t *worker = json_object();
    put(worker, "state", json_string(state_name(seat)));
    put_number(worker, "generation", generation->number);
    put_number(worker, "share", seat->share);
    put_number(worker, "restarts", seat->restarts);
    if (seat->state == SEAT_EMPTY) {
        int64_t wait_ms = seat->restart_ms == LOOP_NEVER ? 0 : seat->restart_ms - now_ms;
        put_number(worker, "starts_in_ms", (uint64_t)(wait_ms > 0 ? wait_ms : 0));
        return worker;
    }
    const struct segment_slot *slot = &generation->segment->slots[seat->slot];
    put_number(worker, "slot", (uint64_t)seat->slot);
    put_number(worker, "pid", (uint64_t)seat->process.pid);
    put_number(worker, "connections", atomic_load(&slot->connections));
    put_number(worker, "requests",
               atomic_load(&slot->stats.counters[COUNTER_requests]) - seat->requests_before);
    put_number(worker, "uptime_s", (uint64_t)(now_ms - atomic_load(&slot->started_ms)) / 1000);
    return worker;
}

static void add_workers(json_t *list, const struct generation *generation, int64_t now_ms)
{
    if (!generation)
        return;
    for (unsigned i = 0; i < generation->seats_count; i++) {
        const struct seat *seat = &generation->seats[i];
        if (seat->state == SEAT_EMPTY && generation->state != GENERATION_SERVING)
            continue;
        json_array_append_new(list, worker_json(generation, seat, now_ms));
    }
}

static json_t *workers_json(const struct supervisor *s, int64_t now_ms)
{
    json_t *list = json_array();
    add_workers(list, s->serving, now_ms);
    add_workers(list, s->staged, now_ms);
    add_workers(list, s->leaving, now_ms);
    for (const struct generation *g = s->draining; g; g = g->next)
        add_workers(list, g, now_ms);
    return list;
}

static json_t *listens_json(const struct supervisor *s)
{
    const struct config *config = s->serving->config;
    json_t *list = json_array();
    for (size_t i = 0; i < config->listens_count; i++) {
        char url[SUPERVISOR_URL_MAX];
        json_t *one = json_object();
        put(one, "address", text(config->listens[i].text));
        put(one, "tls", json_boolean(config->listens[i].tls));
        put(one, "url", json_string(supervisor_url(s, i, url)));
        json_array_append_new(list, one);
    }
    return list;
}

static json_t *site_json(const struct config_site *site)
{
    json_t *one = json_object();
    json_t *names = json_array();
    json_t *policies = json_array();
    const struct config_route *whole = &site->routes[site->routes_count - 1];
    for (size_t i = 0; i < site->names_count; i++)
        json_array_append_new(names, text(site->names[i]));
    for (size_t i = 0; i < whole->policies_count; i++)
        json_array_append_new(policies, text(whole->policies[i].name));
    put(one, "names", names);
    put(one, "root", text(whole->root));
    put(one, "policies", policies);
    return one;
}

static json_t *sites_json(const struct config *config)
{
    json_t *list = json_array();
    for (size_t i = 0; i < config->sites_count; i++)
        json_array_append_new(list, site_json(&config->sites[i]));
    return list;
}

static json_t *push_json(const struct sums *sums)
{
    json_t *push = json_object();
    put_number(push, "promised", sums->counters[COUNTER_promises]);
    put_number(push, "delivered", sums->counters[COUNTER_pushes_delivered]);
    put_number(push, "cancelled", sums->counters[COUNTER_pushes_cancelled]);
    put_number(push, "refused", sums->counters[COUNTER_pushes_refused]);
    put_number(push, "lost", sums->counters[COUNTER_pushes_lost]);
    put_number(push, "hints", sums->counters[COUNTER_hints]);
    put_number(push, "bytes", sums->counters[COUNTER_pushed_bytes]);
    put_number(push, "wasted_bytes", sums->counters[COUNTER_wasted_bytes]);
    return push;
}

/* Candidates that went neither as a push nor as a hint, by reason; those with a count. */
static json_t *skips_json(const struct sums *sums)
{
    json_t *skips = json_object();
    for (unsigned reason = 0; reason < REASONS; reason++) {
        uint64_t count = sums->verdicts[reason];
        if (count && reason != REASON_PUSHED && reason != REASON_HINTED && reason != REASON_PENDING)
            put_number(skips, reason_name((enum reason)reason), count);
    }
    return skips;
}

static json_t *counters_json(const struct sums *sums)
{
    json_t *counters = json_object();
    for (unsigned i = 0; i < COUNTERS; i++)
        put_number(counters, stats_name((enum counter)i), sums->counters[i]);
    return counters;
}

static json_t *table_json(struct supervisor *s, const struct sums *sums, int64_t now_ms)
{
    json_t *table = json_object();
    slots_count(&s->slots, now_ms);
    const struct push_census *census = &s->slots.census;
    put_number(table, "bytes", s->segment.header->pushes_bytes);
    put_number(table, "entries_max", (s->slots.table.mask + 1) * 8);
    put_number(table, "evictions", sums->counters[COUNTER_table_evictions]);
    if (!s->slots.census_ms)
        return table;
    put_number(table, "held", census->held);
    put_number(table, "declined", census->declined);
    put_number(table, "claimed", census->claimed + census->tentative);
    put_number(table, "full_buckets", census->full_buckets);
    put_number(table, "buckets", s->slots.table.mask + 1);
    put_number(table, "counted_s_ago", (uint64_t)(now_ms - s->slots.census_ms) / 1000);
    return table;
}

/* Walks the other regions that all workers share: megabytes, so not more often than they change by
 * much, however often the status is asked for. */
static void walk(struct status_walks *walks, const struct segment *segment, int64_t now_ms)
{
    struct names names;
    struct learned learned;
    if (walks->at_ms && now_ms - walks->at_ms < STATUS_WALK_MS)
        return;
    *walks = (struct status_walks){.at_ms = now_ms};
    if (names_attach(&names, segment->names, segment->header->names_bytes) == 0)
        walks->names = names_walk(&names, NULL, NULL);
    if (learned_attach(&learned, segment->learned, SEGMENT_LEARNED_BYTES) == 0)
        walks->learned = learned_walk(&learned);
}

static json_t *names_json(const struct names_load *load)
{
    json_t *one = json_object();
    put_number(one, "public", load->names);
    put_number(one, "room", load->room);
    put_number(one, "pending_voters", load->pending);
    return one;
}

static json_t *learned_json(const struct learned_load *load)
{
    json_t *one = json_object();
    put_number(one, "pages", load->pages);
    put_number(one, "assets", load->assets);
    put_number(one, "room", load->room);
    return one;
}

/* How full the policies' dictionaries are, in the config's order. */
static json_t *shared_json(const struct segment *segment, const struct config *config)
{
    json_t *list = json_array();
    for (size_t i = 0; config && i < config->shared_count && segment->shared[i]; i++) {
        struct shared_dict dict;
        struct shared_load load;
        json_t *one = json_object();
        if (shared_dict_attach(&dict, segment->shared[i], segment->header->shared_bytes[i], 1,
                               segment->secrets->hash_key) == 0) {
            shared_dict_load(&dict, (uint32_t)(timer_clock_ms() / 1000) + 1, &load);
            put(one, "name", text(config->shared[i].name));
            put_number(one, "entries", load.entries);
            put_number(one, "bytes", load.bytes);
            put_number(one, "room", load.room);
            put_number(one, "evictions", load.evictions);
            put_number(one, "refusals", load.refusals);
        }
        json_array_append_new(list, one);
    }
    return list;
}

static json_t *reload_json(const struct supervisor_reload *reload)
{
    json_t *one;
    char when[32];
    struct tm tm;
    if (!reload->at)
        return json_null();
    one = json_object();
    gmtime_r(&reload->at, &tm);
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
    put(one, "at", json_string(when));
    put(one, "ok", json_boolean(reload->ok));
    if (!reload->ok)
        put(one, "error", text(reload->said));
    return one;
}

static void put_serving(json_t *status, struct supervisor *s)
{
    const struct config *config = s->serving->config;
    put_number(status, "generation", s->serving->number);
    put(status, "config", text(config->path));
    put(status, "user", s->serving->user.drop ? text(s->serving->user.name) : json_null());
    put(status, "listens", listens_json(s));
    put(status, "sites", sites_json(config));
    put(status, "origins", rests_json(s->serving));
}

json_t *status_make(struct supervisor *s, bool experiment)
{
    int64_t now_ms = loop_now_ms();
    json_t *status = json_object();
    struct sums sums;
    if (!status)
        return NULL;
    sum(&sums, &s->segment);
    walk(&s->status, &s->segment, now_ms);
    put(status, "ok", json_true());
    put(status, "version", json_string(HERALD_VERSION));
    put_number(status, "pid", (uint64_t)getpid());
    put_number(status, "uptime_s", (uint64_t)(now_ms - s->started_ms) / 1000);
    put(status, "state", json_string(s->ending ? "stopping" : s->serving ? "serving" : "starting"));
    if (s->serving)
        put_serving(status, s);
    put(status, "workers", workers_json(s, now_ms));
    put(status, "push", push_json(&sums));
    put(status, "skips", skips_json(&sums));
    put(status, "table", table_json(s, &sums, now_ms));
    put(status, "names", names_json(&s->status.names));
    put(status, "learned", learned_json(&s->status.learned));
    put(status, "shared", shared_json(&s->segment, s->serving ? s->serving->config : NULL));
    put(status, "policy", policy_status(&s->desk));
    put(status, "last_reload", reload_json(&s->last_reload));
    put(status, "waste", waste_json(&s->segment, s->serving ? s->serving->config : NULL));
    if (experiment)
        put(status, "experiment",
            experiment_json(&s->segment, s->serving ? s->serving->config : NULL));
    put(status, "counters", counters_json(&sums));
    return status;
}

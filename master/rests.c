#include "master/rests.h"

#include "worker/timer.h"

#include <string.h>

struct rest {
    unsigned resting, workers;
    uint64_t until_ms;
    uint32_t failures;
};

static void add_slot(struct rest *rest, const struct segment_slot *slot, uint64_t key,
                     uint64_t now_ms)
{
    bool rests = false;
    for (unsigned i = 0; i < SEGMENT_SERVERS_MAX; i++) {
        const struct segment_server *one = &slot->servers[i];
        if (atomic_load_explicit(&one->key, memory_order_relaxed) != key)
            continue;
        uint64_t until_ms = atomic_load_explicit(&one->until_ms, memory_order_relaxed);
        uint32_t failures = atomic_load_explicit(&one->failures, memory_order_relaxed);
        if (failures > rest->failures)
            rest->failures = failures;
        if (until_ms <= now_ms)
            continue;
        rests = true;
        if (until_ms > rest->until_ms)
            rest->until_ms = until_ms;
    }
    rest->resting += rests;
    rest->workers++;
}

static json_t *server_json(const struct generation *generation, const char *text, uint64_t now_ms)
{
    struct rest rest = {0};
    uint64_t key = segment_key(text);
    for (unsigned i = 0; i < generation->seats_count; i++)
        if (generation->seats[i].state != SEAT_EMPTY)
            add_slot(&rest, &generation->segment->slots[generation->seats[i].slot], key, now_ms);
    uint64_t left_ms = rest.until_ms > now_ms ? rest.until_ms - now_ms : 0;
    return json_pack("{s:s, s:i, s:i, s:I, s:i}", "server", text, "resting", (int)rest.resting,
                     "of", (int)rest.workers, "until_s", (json_int_t)((left_ms + 999) / 1000),
                     "failures", (int)rest.failures);
}

static bool has(const json_t *list, const char *text)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *server = json_object_get(json_array_get(list, i), "server");
        if (strcmp(json_string_value(server), text) == 0)
            return true;
    }
    return false;
}

static void add_origin(json_t *list, const struct generation *generation,
                       const struct config_origin *origin, uint64_t now_ms)
{
    for (size_t i = 0; i < origin->servers_count; i++)
        if (!has(list, origin->servers[i].text))
            json_array_append_new(list, server_json(generation, origin->servers[i].text, now_ms));
}

json_t *rests_json(const struct generation *generation)
{
    const struct config *config = generation->config;
    json_t *list = json_array();
    uint64_t now_ms = (uint64_t)timer_clock_ms();
    for (size_t i = 0; list && i < config->sites_count; i++)
        for (size_t j = 0; j < config->sites[i].routes_count; j++)
            add_origin(list, generation, &config->sites[i].routes[j].origin, now_ms);
    return list;
}

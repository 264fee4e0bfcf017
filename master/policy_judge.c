#include "master/policy_judge.h"

#include "master/policy_desk.h"
#include "master/report.h"
#include "master/supervisor.h"

#include <stdio.h>
#include <string.h>

/* ---- reading what the workers counted ---- */

static uint64_t since(uint64_t now, uint64_t *before)
{
    uint64_t more = now >= *before ? now - *before : now;
    *before = now;
    return more;
}

static uint64_t load(_Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void read_place(struct policy_desk *desk, struct segment_version *place,
                       struct desk_reading *reading, int64_t now_ms)
{
    uint32_t number = atomic_load_explicit(&place->number, memory_order_acquire);
    if (number != reading->number)
        *reading = (struct desk_reading){.number = number};
    struct desk_resident *one = number ? desk_resident(desk, number) : NULL;
    if (!one)
        return;
    struct health_counts more = {.pages = since(load(&place->pages), &reading->pages),
                                 .failures = since(load(&place->failures), &reading->failures),
                                 .soft = since(load(&place->soft), &reading->soft),
                                 .hard = since(load(&place->hard), &reading->hard)};
    one->pages += more.pages;
    one->failures += more.failures;
    one->soft += more.soft;
    one->hard += more.hard;
    one->compared += since(load(&place->compared), &reading->compared);
    one->differing += since(load(&place->differing), &reading->differing);
    if (more.pages | more.failures | more.soft | more.hard)
        health_add(&one->health, &desk->limits, now_ms, &more);
}

static void read_slot(struct policy_desk *desk, unsigned slot, int64_t now_ms)
{
    for (unsigned i = 0; i < SEGMENT_VERSIONS_MAX; i++)
        read_place(desk, &desk->supervisor->segment.slots[slot].versions[i],
                   &desk->readings[slot][i], now_ms);
}

void policy_judge_read(struct policy_desk *desk, int64_t now_ms)
{
    for (unsigned slot = 0; slot < SEGMENT_SLOTS_MAX; slot++)
        if (desk->supervisor->slots.uses[slot] == SLOT_USE_TAKEN)
            read_slot(desk, slot, now_ms);
}

/* ---- how they fare ---- */

/* Takes a version out of use that did badly. */
static void quarantine(struct policy_desk *desk, struct desk_resident *one, const char *why)
{
    struct policy_store *store = &desk->store;
    struct stored_version *version = policy_store_find(store, one->number);
    struct fault fault;
    char what[STORE_TEXT_MAX];
    uint32_t number = one->number;
    uint32_t previous = policy_store_previous(store);
    bool was_active = number == store->active;
    if (version) {
        version->standing = STORED_QUARANTINED;
        snprintf(version->why, sizeof(version->why), "%s", why);
    }
    if (number == store->canary)
        store->canary = store->permille = 0;
    if (number == store->shadow)
        store->shadow = 0;
    if (number == desk->loaded)
        desk->loaded = 0;
    if (was_active && previous)
        snprintf(what, sizeof(what), "v%u quarantined: %s; v%u active again", number, why,
                 previous);
    else
        snprintf(what, sizeof(what), "v%u quarantined: %s%s", number, why,
                 was_active ? "; no earlier version is good: no policies run" : "");
    one->health = (struct health){0};
    report_error("policies: %s", what);
    int rc = was_active ? desk_use(desk, previous, "herald", what, &fault) : 0;
    if (!was_active) {
        policy_store_note(store, "herald", "%s", what);
        rc = policy_store_save(store, &fault);
    }
    if (rc < 0) { /* a full disk does not keep a bad version active */
        report_fault("the quarantine is not kept over a restart", &fault);
        if (was_active)
            store->active = previous;
    }
    desk_publish(desk);
    desk_trim(desk);
}

static void judge(struct policy_desk *desk, struct desk_resident *one, int64_t now_ms)
{
    char why[HEALTH_TEXT_MAX];
    bool severe;
    struct health_counts counts = health_sum(&one->health, &desk->limits, now_ms);
    if (!health_is_bad(&counts, &desk->limits, &severe, why))
        return;
    bool in_use = one->number == desk->store.active || one->number == desk->store.canary ||
                  one->number == desk->store.shadow;
    const struct stored_version *version = policy_store_find(&desk->store, one->number);
    if (!in_use && version && version->standing == STORED_QUARANTINED)
        return;
    bool alone = one->number == desk->store.active && !policy_store_previous(&desk->store);
    if (severe || !alone) {
        quarantine(desk, one, why);
    } else if (!one->warned) {
        /* A policy that fails proposes nothing; those pages on which it does not are better off
         * with it. */
        one->warned = true;
        report_warn("policies: v%u does badly, and there is no earlier version: %s", one->number,
                    why);
    }
}

void policy_judge_worker_ended(struct policy_desk *desk, int slot, uint32_t in_policy, bool wedged,
                               const char *how)
{
    const struct health_counts strike = {.hard = 1, .wedged = wedged};
    int64_t now_ms = loop_now_ms();
    if (!desk || !desk->is_open)
        return;
    read_slot(desk, (unsigned)slot, now_ms);
    memset(desk->readings[slot], 0, sizeof(desk->readings[slot]));
    struct desk_resident *one = in_policy ? desk_resident(desk, in_policy) : NULL;
    if (!one)
        return;
    report_warn("policies: a worker %s inside a hook of v%u", how, in_policy);
    one->hard++;
    health_add(&one->health, &desk->limits, now_ms, &strike);
    judge(desk, one, now_ms);
}

int64_t policy_judge_step(struct policy_desk *desk, int64_t now_ms)
{
    if (!desk->is_open)
        return LOOP_NEVER;
    if (now_ms < desk->look_ms)
        return desk->look_ms;
    desk->look_ms = now_ms + POLICY_JUDGE_MS;
    policy_judge_read(desk, now_ms);
    for (unsigned i = 0; i < SEGMENT_VERSIONS_MAX; i++)
        if (desk->residents[i].number)
            judge(desk, &desk->residents[i], now_ms);
    return desk->look_ms;
}

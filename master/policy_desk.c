#include "master/policy_desk.h"

#include "master/policy_judge.h"
#include "master/report.h"
#include "master/supervisor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- every worker ---- */

typedef void seat_visit(struct policy_desk *desk, struct seat *seat, void *context);

static void visit_generation(struct policy_desk *desk, struct generation *generation,
                             seat_visit *visit, void *context)
{
    for (unsigned i = 0; generation && i < generation->seats_count; i++)
        if (generation->seats[i].state != SEAT_EMPTY)
            visit(desk, &generation->seats[i], context);
}

static void visit_seats(struct policy_desk *desk, seat_visit *visit, void *context)
{
    struct supervisor *s = desk->supervisor;
    visit_generation(desk, s->serving, visit, context);
    visit_generation(desk, s->staged, visit, context);
    visit_generation(desk, s->leaving, visit, context);
    for (struct generation *one = s->draining; one; one = one->next)
        visit_generation(desk, one, visit, context);
}

static struct seat_version *seat_version(struct seat *seat, uint32_t number)
{
    for (unsigned i = 0; i < SEGMENT_VERSIONS_MAX; i++)
        if (seat->versions[i].number == number)
            return &seat->versions[i];
    return NULL;
}

/* ---- what is resident ---- */

static struct desk_resident *resident(const struct policy_desk *desk, uint32_t number)
{
    for (unsigned i = 0; i < SEGMENT_VERSIONS_MAX; i++)
        if (desk->residents[i].number == number)
            return (struct desk_resident *)&desk->residents[i];
    return NULL;
}

struct desk_resident *desk_resident(const struct policy_desk *desk, uint32_t number)
{
    return number ? resident(desk, number) : NULL;
}

static bool is_wanted(const struct policy_desk *desk, uint32_t number)
{
    const struct policy_store *store = &desk->store;
    return number == store->active || number == store->canary || number == store->shadow ||
           number == desk->loaded || number == desk->shipping || number == desk->arriving ||
           number == policy_store_previous(store);
}

static void forget_at(struct policy_desk *desk, struct seat *seat, void *context)
{
    uint32_t number = *(const uint32_t *)context;
    struct seat_version *version = seat_version(seat, number);
    (void)desk;
    if (!version)
        return;
    seat_tell(seat, HANDOFF_FORGET, number);
    version->number = 0;
}

void desk_trim(struct policy_desk *desk)
{
    for (unsigned i = 0; i < SEGMENT_VERSIONS_MAX; i++) {
        struct desk_resident *one = &desk->residents[i];
        if (!one->number || is_wanted(desk, one->number))
            continue;
        visit_seats(desk, forget_at, &one->number);
        close(one->fd);
        *one = (struct desk_resident){.fd = -1};
    }
}

/* Makes `number` resident: its bundle is open. */
static struct desk_resident *settle_in(struct policy_desk *desk, uint32_t number,
                                       struct fault *fault)
{
    struct desk_resident *one = resident(desk, number);
    if (one)
        return one;
    desk_trim(desk);
    one = resident(desk, 0);
    if (!one) {
        fault_set(fault, -EBUSY, NULL, 0, "%d versions are in use already", SEGMENT_VERSIONS_MAX);
        return NULL;
    }
    int fd = policy_store_bundle(&desk->store, number, fault);
    if (fd < 0)
        return NULL;
    *one = (struct desk_resident){.number = number, .fd = fd};
    return one;
}

/* ---- what the segment says ---- */

void desk_publish(struct policy_desk *desk)
{
    const struct policy_store *store = &desk->store;
    struct segment_header *header = desk->supervisor->segment.header;
    uint64_t word = segment_versions_word(store->active, store->canary, store->permille);
    atomic_store_explicit(&header->shadow, store->shadow, memory_order_relaxed);
    atomic_store_explicit(&header->versions, word, memory_order_release);
}

static void publish_push(struct policy_desk *desk)
{
    const struct policy_store *store = &desk->store;
    struct segment_header *header = desk->supervisor->segment.header;
    for (unsigned i = 0; i < SEGMENT_PUSH_OFF_SITES_MAX; i++)
        atomic_store(&header->push_off_sites[i],
                     i < store->sites_off_count ? segment_key(store->sites_off[i]) : 0);
    atomic_store(&header->push_off, store->push_off          ? PUSH_OFF_EVERYWHERE
                                    : store->sites_off_count ? PUSH_OFF_SOME_SITES
                                                             : PUSH_OFF_NOWHERE);
}

/* ---- life ---- */

int desk_open(struct policy_desk *desk, struct supervisor *supervisor, const struct config *config,
              struct fault *fault)
{
    memset(desk, 0, sizeof(*desk));
    desk->supervisor = supervisor;
    for (unsigned i = 0; i < SEGMENT_VERSIONS_MAX; i++)
        desk->residents[i].fd = -1;
    int rc = policy_store_open(&desk->store, config->state_dir, config->policy.keep, fault);
    if (rc < 0)
        return rc;
    desk->is_open = true;
    desk_configure(desk, config);
    publish_push(desk);
    if (desk->store.push_off || desk->store.sites_off_count)
        report_warn("pushes are switched off%s; herald push on switches them on",
                    desk->store.push_off ? "" : " for some sites");
    return 0;
}

void desk_close(struct policy_desk *desk)
{
    if (!desk->is_open)
        return;
    for (unsigned i = 0; i < SEGMENT_VERSIONS_MAX; i++)
        if (desk->residents[i].number)
            close(desk->residents[i].fd);
    policy_store_close(&desk->store);
    desk->is_open = false;
}

void desk_configure(struct policy_desk *desk, const struct config *config)
{
    desk->store.keep = config->policy.keep;
    desk->limits = (struct health_limits){.window_ms = (int64_t)config->policy.window_s * 1000,
                                          .failures_percent = config->policy.failures,
                                          .soft = config->policy.soft_strikes,
                                          .hard = config->policy.hard_strikes};
}

int64_t desk_put(struct policy_desk *desk, int bundle_fd, const char *author, const char *message,
                 struct fault *fault)
{
    const uint32_t spare[STORE_SPARE] = {desk->loaded, desk->shipping, desk->arriving};
    return policy_store_put(&desk->store, bundle_fd, author, message, spare, fault);
}

/* ---- generations ---- */

/* Whether the content of the files, which may be that of a version that is stored, is to decide. */
static bool is_to_run(const struct policy_desk *desk, const struct stored_version *same)
{
    const struct policy_store *store = &desk->store;
    bool changed = strcmp(store->seen, desk->arriving_id) != 0;
    if (!store->active)
        return same ? same->standing == STORED_GOOD : changed;
    if (!changed || (same && same->number == store->active))
        return false;
    if (!same || same->standing == STORED_GOOD)
        return true;
    report_warn("the policy files are those of v%u, which was %s; v%u stays active (herald policy "
                "use v%u)",
                same->number,
                same->standing == STORED_QUARANTINED ? "quarantined" : "rolled back", store->active,
                same->number);
    return false;
}

int64_t desk_admit(struct policy_desk *desk, int bundle_fd, const char *author, const char *message,
                   struct fault *fault)
{
    struct policy_store *store = &desk->store;
    uint32_t number = store->active;
    desk->arriving_id[0] = '\0';
    if (bundle_fd >= 0) {
        int rc = policy_store_id(bundle_fd, desk->arriving_id);
        const struct stored_version *same =
            rc == 0 ? policy_store_find_id(store, desk->arriving_id) : NULL;
        int64_t made = rc;
        if (rc == 0 && is_to_run(desk, same))
            made = desk_put(desk, bundle_fd, author, message, fault);
        close(bundle_fd);
        if (made < 0)
            return rc < 0 ? fault_set(fault, rc, "policies", 0, "%s", strerror(-rc)) : made;
        if (made > 0)
            number = (uint32_t)made;
        memcpy(desk->files_id, desk->arriving_id, sizeof(desk->files_id));
        desk->files_fault[0] = '\0';
    }
    desk->arriving = number;
    if (!number)
        return 0;
    if (!settle_in(desk, number, fault)) {
        desk->arriving = 0;
        return -EIO;
    }
    if (!desk->supervisor->serving) { /* nothing else could decide */
        uint64_t word = segment_versions_word(number, store->canary, store->permille);
        atomic_store(&desk->supervisor->segment.header->shadow, store->shadow);
        atomic_store(&desk->supervisor->segment.header->versions, word);
    }
    return number;
}

void desk_promoted(struct policy_desk *desk, uint32_t number, const char *author)
{
    struct policy_store *store = &desk->store;
    struct fault fault;
    char what[STORE_TEXT_MAX];
    if (!desk->is_open)
        return;
    desk->arriving = 0;
    bool same_files = strcmp(store->seen, desk->arriving_id) == 0 || !desk->arriving_id[0];
    if (!same_files)
        memcpy(store->seen, desk->arriving_id, sizeof(store->seen));
    snprintf(what, sizeof(what), "v%u active with a new generation", number);
    if (number != store->active) {
        if (desk_use(desk, number, author, what, &fault) < 0)
            report_fault("the new version of the policies is not kept", &fault);
    } else if (!same_files && policy_store_save(store, &fault) < 0) {
        report_fault("the policies' state is not kept", &fault);
    }
    desk_publish(desk);
    desk_trim(desk);
}

void desk_abandoned(struct policy_desk *desk)
{
    if (!desk->is_open)
        return;
    desk->arriving = 0;
    desk_trim(desk);
}

const struct desk_resident *desk_make_resident(struct policy_desk *desk, uint32_t number)
{
    struct fault fault;
    const struct desk_resident *one = number ? settle_in(desk, number, &fault) : NULL;
    if (number && !one)
        report_fault("a version of the policies is missing", &fault);
    return one;
}

void desk_files_are_bad(struct policy_desk *desk, const char *why)
{
    snprintf(desk->files_fault, sizeof(desk->files_fault), "%s", why);
    desk->files_id[0] = '\0';
}

static void fill_one(struct policy_desk *desk, uint32_t number, struct handoff *handoff)
{
    for (unsigned i = 0; i < handoff->versions_count; i++)
        if (handoff->versions[i].number == number)
            return;
    const struct desk_resident *one = desk_make_resident(desk, number);
    if (one)
        handoff->versions[handoff->versions_count++] =
            (struct handoff_version){one->number, one->fd};
}

void desk_fill(struct policy_desk *desk, uint32_t first, struct handoff *handoff)
{
    const struct policy_store *store = &desk->store;
    /* A generation that drains has workers of an earlier version; new ones run what is active. */
    if (!desk->arriving || first != desk->arriving)
        first = store->active;
    fill_one(desk, first, handoff);
    fill_one(desk, store->active, handoff);
    fill_one(desk, store->canary, handoff);
    fill_one(desk, store->shadow, handoff);
    fill_one(desk, policy_store_previous(store), handoff);
    fill_one(desk, desk->loaded, handoff);
    fill_one(desk, desk->shipping, handoff);
}

/* ---- sending ---- */

static void ship_to(struct policy_desk *desk, struct seat *seat, void *context)
{
    const struct desk_resident *one = context;
    (void)desk;
    if (seat_version(seat, one->number))
        return;
    struct seat_version *place = seat_version(seat, 0);
    if (place && seat_tell_policy(seat, one->number, one->fd) == 0)
        *place = (struct seat_version){.number = one->number, .asked = true};
}

int desk_ship(struct policy_desk *desk, uint32_t number, struct fault *fault)
{
    if (!policy_store_find(&desk->store, number))
        return fault_set(fault, -ENOENT, NULL, 0, "there is no version v%u", number);
    desk->shipping = number;
    struct desk_resident *one = settle_in(desk, number, fault);
    if (!one) {
        desk->shipping = 0;
        return -EIO;
    }
    visit_seats(desk, ship_to, one);
    return 0;
}

int desk_shipped(const struct policy_desk *desk, uint32_t number, unsigned *have, unsigned *of,
                 struct fault *fault)
{
    struct generation *both[] = {desk->supervisor->serving, desk->supervisor->staged};
    bool waiting = false;
    *have = *of = 0;
    for (size_t g = 0; g < 2; g++)
        for (unsigned i = 0; both[g] && i < both[g]->seats_count; i++) {
            struct seat *seat = &both[g]->seats[i];
            const struct seat_version *version = seat_version(seat, number);
            if (seat->state == SEAT_EMPTY) {
                *of += g == 0;
                continue;
            }
            if (version && version->refused)
                return fault_set(fault, -EINVAL, NULL, 0, "worker %u: %s", seat->share,
                                 seat->said_of_policy);
            waiting |= !version || version->asked; /* none: its socket took no more */
            *of += g == 0;
            *have += g == 0 && version && !version->asked;
        }
    return !waiting;
}

void desk_word(struct policy_desk *desk, struct seat *seat, const char *message, size_t length)
{
    uint32_t number = 0;
    if (length < 1 + sizeof(number))
        return;
    memcpy(&number, message + 1, sizeof(number));
    const char *text = message + 1 + sizeof(number);
    int text_length = (int)(length - 1 - sizeof(number));
    struct seat_version *version = number ? seat_version(seat, number) : NULL;
    if (message[0] == HANDOFF_LOADED && version) {
        version->asked = false;
        version->refused = text_length > 0;
        snprintf(seat->said_of_policy, sizeof(seat->said_of_policy), "%.*s", text_length, text);
        if (version->refused)
            report_error("worker %u (pid %d) cannot run v%u of the policies: %s", seat->share,
                         (int)seat->process.pid, number, seat->said_of_policy);
    } else if (message[0] == HANDOFF_DIFFERS && desk && number == desk->store.shadow &&
               desk->examples_count < DESK_EXAMPLES_MAX) {
        snprintf(desk->examples[desk->examples_count++], DESK_EXAMPLE_MAX, "%.*s", text_length,
                 text);
    }
}

/* ---- using ---- */

int desk_use(struct policy_desk *desk, uint32_t number, const char *author, const char *what,
             struct fault *fault)
{
    struct policy_store *store = &desk->store;
    uint32_t before = store->active;
    int rc = policy_store_activate(store, number, author, what, fault);
    if (rc < 0)
        return rc;
    struct desk_resident *one = number ? resident(desk, number) : NULL;
    if (one && number != before) { /* it is judged by what it does from here on */
        one->health = (struct health){0};
        one->warned = false;
    }
    if (number == desk->loaded)
        desk->loaded = 0;
    if (store->canary == number)
        store->canary = store->permille = 0;
    desk_publish(desk);
    desk_trim(desk);
    report_info("policies: %s (by %s)", what, author);
    return 0;
}

int desk_canary(struct policy_desk *desk, uint32_t number, uint32_t permille, const char *author,
                struct fault *fault)
{
    struct policy_store *store = &desk->store;
    uint32_t before = store->canary, share = store->permille;
    if (number && number == store->active)
        return fault_set(fault, -EINVAL, NULL, 0, "v%u is active already", number);
    store->canary = number;
    store->permille = number ? permille : 0;
    if (number)
        policy_store_note(store, author, "v%u canary for %u.%u %% of clients", number,
                          permille / 10, permille % 10);
    else
        policy_store_note(store, author, "no canary");
    int rc = policy_store_save(store, fault);
    if (rc < 0) {
        store->canary = before;
        store->permille = share;
        return rc;
    }
    desk_publish(desk);
    desk_trim(desk);
    return 0;
}

int desk_shadow(struct policy_desk *desk, uint32_t number, const char *author, struct fault *fault)
{
    struct policy_store *store = &desk->store;
    uint32_t before = store->shadow;
    store->shadow = number;
    if (number)
        policy_store_note(store, author, "v%u shadow", number);
    else
        policy_store_note(store, author, "no shadow");
    int rc = policy_store_save(store, fault);
    if (rc < 0) {
        store->shadow = before;
        return rc;
    }
    struct desk_resident *one = number ? resident(desk, number) : NULL;
    policy_judge_read(desk, loop_now_ms()); /* what was counted until now is not counted again */
    if (one)
        one->compared = one->differing = 0;
    desk->examples_count = 0;
    desk_publish(desk);
    desk_trim(desk);
    return 0;
}

static void site_switch(struct policy_store *store, bool off, const char *site)
{
    unsigned i = 0;
    while (i < store->sites_off_count && strcmp(store->sites_off[i], site) != 0)
        i++;
    if (off && i == store->sites_off_count && i < STORE_SITES_MAX)
        snprintf(store->sites_off[store->sites_off_count++], STORE_SITE_MAX, "%s", site);
    if (!off && i < store->sites_off_count) {
        memmove(store->sites_off[i], store->sites_off[i + 1],
                (store->sites_off_count - i - 1) * sizeof(store->sites_off[0]));
        store->sites_off_count--;
    }
}

int desk_push(struct policy_desk *desk, bool off, const char *site, const char *author,
              struct fault *fault)
{
    struct policy_store *store = &desk->store;
    if (site && off && store->sites_off_count == STORE_SITES_MAX)
        return fault_set(fault, -E2BIG, NULL, 0, "pushes are off for %d sites already",
                         STORE_SITES_MAX);
    if (site)
        site_switch(store, off, site);
    else
        store->push_off = off;
    if (!site && !off)
        store->sites_off_count = 0;
    publish_push(desk); /* an emergency does not wait for the disk */
    policy_store_note(store, author, "push %s%s%s", off ? "off" : "on", site ? " for " : "",
                      site ? site : "");
    report_info("push %s%s%s (by %s)", off ? "off" : "on", site ? " for " : "", site ? site : "",
                author);
    return policy_store_save(store, fault);
}

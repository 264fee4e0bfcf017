#include "master/generation.h"

#include "master/config/config_names.h"
#include "master/policy_desk.h"
#include "master/report.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void close_if_open(int fd)
{
    if (fd >= 0)
        close(fd);
}

/* Room for every descriptor that a worker inherits. */
static size_t keep_max(const struct generation *generation)
{
    const struct config *config = generation->config;
    size_t count = 4 + SEGMENT_VERSIONS_MAX + (size_t)generation->shares * config->listens_count;
    for (size_t i = 0; i < config->sites_count; i++)
        count += config->sites[i].routes_count;
    return count;
}

struct generation *generation_create(unsigned number, const struct seat_tools *tools,
                                     struct segment *segment, const struct generation_parts *parts,
                                     struct fault *fault)
{
    struct generation *generation = calloc(1, sizeof(*generation));
    if (!generation)
        goto fail;
    generation->number = number;
    generation->state = GENERATION_STAGED;
    generation->tools = tools;
    generation->segment = segment;
    generation->config = parts->config;
    generation->user = parts->user;
    generation->version = parts->version;
    generation->access_fd = parts->access_fd;
    generation->error_fd = parts->error_fd;
    generation->seats_count = parts->config->workers;
    generation->shares = listen_open_shares(tools->listens);
    if (generation->shares < generation->seats_count)
        generation->shares = generation->seats_count;
    size_t listens = parts->config->listens_count;
    generation->seats = calloc(generation->seats_count, sizeof(*generation->seats));
    generation->listeners = calloc(generation->shares * listens + 1, sizeof(int));
    generation->adopters = calloc(generation->shares, sizeof(int));
    generation->keep = calloc(keep_max(generation), sizeof(int));
    if (!generation->seats || !generation->listeners || !generation->adopters || !generation->keep)
        goto fail;
    for (unsigned i = 0; i < generation->seats_count; i++)
        seat_init(&generation->seats[i], generation, i);
    for (unsigned i = 0; i < generation->shares; i++)
        generation->adopters[i] = -1;
    return generation;
fail:
    if (generation) {
        generation_destroy(generation);
    } else {
        config_destroy(parts->config);
        close_if_open(parts->access_fd);
        close_if_open(parts->error_fd);
    }
    fault_set(fault, -ENOMEM, "generation", 0, "out of memory");
    return NULL;
}

void generation_destroy(struct generation *generation)
{
    if (!generation)
        return;
    close_if_open(generation->access_fd);
    close_if_open(generation->error_fd);
    config_destroy(generation->config);
    free(generation->seats);
    free(generation->listeners);
    free(generation->adopters);
    free(generation->keep);
    free(generation);
}

size_t generation_handoff(struct generation *generation, const struct seat *seat,
                          struct handoff *handoff)
{
    const struct config *config = generation->config;
    size_t listeners = (size_t)generation->shares * config->listens_count;
    size_t count = 0;
    listen_fill(generation->tools->listens, config, generation->shares, generation->listeners);
    *handoff = (struct handoff){
        .config = config,
        .segment = generation->segment,
        .slot = (unsigned)seat->slot,
        .generation = generation->number,
        .listeners = generation->listeners,
        .shares = generation->shares,
        .share = seat->share,
        .control_fd = -1,
        .access_fd = generation->access_fd,
        .error_fd = generation->error_fd,
    };
    memcpy(generation->keep, generation->listeners, listeners * sizeof(int));
    count = listeners;
    if (generation->tools->desk)
        desk_fill(generation->tools->desk, generation->version, handoff);
    for (unsigned i = 0; i < handoff->versions_count; i++)
        generation->keep[count++] = handoff->versions[i].fd;
    generation->keep[count++] = generation->access_fd;
    generation->keep[count++] = generation->error_fd;
    generation->keep[count++] = config->policy.dir_fd;
    generation->keep[count++] = config->policy.stock_fd;
    for (size_t i = 0; i < config->sites_count; i++)
        for (size_t j = 0; j < config->sites[i].routes_count; j++)
            generation->keep[count++] = config->sites[i].routes[j].root_fd;
    return count;
}

static void fail(struct generation *generation, const struct fault *fault)
{
    if (generation->failed)
        return;
    generation->failed = true;
    generation->fault = *fault;
}

void generation_start(struct generation *generation, int64_t now_ms)
{
    struct fault fault;
    for (unsigned i = 0; i < generation->seats_count; i++) {
        if (seat_start(&generation->seats[i], now_ms, &fault) < 0) {
            fail(generation, &fault);
            return;
        }
    }
}

bool generation_ready(const struct generation *generation)
{
    for (unsigned i = 0; i < generation->seats_count; i++)
        if (generation->seats[i].state != SEAT_READY)
            return false;
    return true;
}

bool generation_empty(const struct generation *generation)
{
    for (unsigned i = 0; i < generation->seats_count; i++)
        if (generation->seats[i].state != SEAT_EMPTY)
            return false;
    return true;
}

void generation_promote(struct generation *generation, int64_t now_ms)
{
    assert(generation->state == GENERATION_STAGED);
    generation->state = GENERATION_SERVING;
    generation->pulse_ms = now_ms;
}

static void leave(struct generation *generation, enum handoff_word word, int64_t kill_ms)
{
    generation->state = GENERATION_DRAINING;
    for (unsigned i = 0; i < generation->seats_count; i++) {
        struct seat *seat = &generation->seats[i];
        seat->restart_ms = LOOP_NEVER;
        if (seat->state == SEAT_EMPTY)
            continue;
        seat_tell(seat, word, 0);
        seat->state = SEAT_LEAVING;
        seat->kill_ms = kill_ms;
        atomic_store(&generation->segment->slots[seat->slot].state, SLOT_DRAINING);
    }
}

void generation_drain(struct generation *generation, int64_t now_ms)
{
    leave(generation, HANDOFF_DRAIN,
          now_ms + (int64_t)generation->config->limits.drain + GENERATION_DRAIN_GRACE_MS);
}

void generation_stop(struct generation *generation, int64_t now_ms)
{
    leave(generation, HANDOFF_STOP, now_ms + SEAT_STOP_MS);
}

struct news {
    const char *name, *addresses;
    int rc;
};

static void take_addresses(struct config_server *server, void *context)
{
    struct news *news = context;
    if (!server->named || strcmp(server->host, news->name) != 0 ||
        strcmp(server->addresses, news->addresses) == 0)
        return;
    char *copy = strdup(news->addresses);
    if (copy) {
        free(server->addresses);
        server->addresses = copy;
    }
    if (news->rc >= 0)
        news->rc = copy ? 1 : -ENOMEM;
}

int generation_addresses(struct generation *generation, const char *name, const char *addresses)
{
    struct news news = {name, addresses, 0};
    config_names_each(generation->config, take_addresses, &news);
    for (unsigned i = 0; news.rc > 0 && i < generation->seats_count; i++)
        seat_tell_addresses(&generation->seats[i], name, addresses);
    return news.rc;
}

void generation_logs(struct generation *generation, int access_fd, int error_fd)
{
    for (unsigned i = 0; i < generation->seats_count; i++)
        seat_tell_logs(&generation->seats[i], access_fd, error_fd);
    if (access_fd >= 0) {
        close_if_open(generation->access_fd);
        generation->access_fd = access_fd;
    }
    if (error_fd >= 0) {
        close_if_open(generation->error_fd);
        generation->error_fd = error_fd;
    }
}

static void release(struct generation *generation, unsigned share)
{
    int adopter = generation->adopters[share];
    if (adopter >= 0)
        seat_tell(&generation->seats[adopter], HANDOFF_RELEASE, share);
    generation->adopters[share] = -1;
}

void generation_seat_ready(struct generation *generation, struct seat *seat, int64_t now_ms)
{
    (void)now_ms;
    release(generation, seat->share);
    if (generation->state == GENERATION_SERVING)
        report_info("worker %u (pid %d, generation %u) serves again", seat->share,
                    (int)seat->process.pid, generation->number);
}

/* What it accepted for others, somebody else has to accept now. */
static void forget_adoptions(struct generation *generation, unsigned seat)
{
    for (unsigned share = 0; share < generation->shares; share++)
        if (generation->adopters[share] == (int)seat)
            generation->adopters[share] = -1;
}

static void schedule_restart(struct generation *generation, struct seat *seat, const char *how,
                             int64_t now_ms)
{
    int64_t served_ms = seat->ready_ms ? now_ms - seat->ready_ms : 0;
    int64_t delay_ms = backoff_next(&seat->backoff, served_ms);
    seat->restart_ms = now_ms + delay_ms;
    if (seat->down_ms == 0)
        seat->down_ms = now_ms;
    seat->restarts++;
    report_error("worker %u (pid %d, generation %u) %s%s%s; the next one starts in %.1f s",
                 seat->share, (int)seat->process.pid, generation->number, how,
                 seat->said[0] ? ": " : "", seat->said, (double)delay_ms / 1000);
}

void generation_seat_left(struct generation *generation, struct seat *seat, const char *how,
                          int64_t now_ms)
{
    struct fault fault;
    enum seat_state was = seat->state;
    seat->state = SEAT_EMPTY;
    seat->slot = -1;
    seat->kill_ms = LOOP_NEVER;
    forget_adoptions(generation, seat->share);
    switch (generation->state) {
    case GENERATION_STAGED:
        if (seat->said[0])
            fault_set(&fault, -EINVAL, NULL, 0, "%s", seat->said);
        else
            fault_set(&fault, -EINVAL, "worker", 0, "a new worker (pid %d) %s before it was ready",
                      (int)seat->process.pid, how);
        fail(generation, &fault);
        break;
    case GENERATION_SERVING:
        schedule_restart(generation, seat, how, now_ms);
        break;
    case GENERATION_DRAINING:
        if (was == SEAT_LEAVING && strcmp(how, "exited with status 0") != 0)
            report_warn("worker %u (pid %d, generation %u) %s while it drained", seat->share,
                        (int)seat->process.pid, generation->number, how);
        break;
    }
}

/* Whether someone other than its own worker has to accept from `share` now. */
static bool wants_adopter(const struct generation *generation, unsigned share, int64_t now_ms)
{
    if (share < generation->seats_count) {
        const struct seat *seat = &generation->seats[share];
        return seat->down_ms && now_ms - seat->down_ms >= GENERATION_ADOPT_MS;
    }
    return share < listen_open_shares(generation->tools->listens) &&
           !(generation->released_ms && generation->released == share);
}

static void adopt(struct generation *generation, int64_t now_ms)
{
    for (unsigned share = 0; share < generation->shares; share++) {
        if (generation->adopters[share] >= 0 || !wants_adopter(generation, share, now_ms))
            continue;
        for (unsigned i = 1; i <= generation->seats_count; i++) {
            struct seat *seat = &generation->seats[(share + i) % generation->seats_count];
            if (seat->state != SEAT_READY || seat->share == share)
                continue;
            seat_tell(seat, HANDOFF_ADOPT, share);
            generation->adopters[share] = (int)seat->share;
            break;
        }
    }
}

/* Closes retired shares, the last one first: adopted until its queues are empty for good, released,
 * looked at once more, closed. */
static void retire(struct generation *generation, int64_t now_ms)
{
    struct listen_table *listens = generation->tools->listens;
    unsigned open = listen_open_shares(listens);
    unsigned last = open - 1;
    if (open <= generation->seats_count)
        return;
    if (!listen_share_idle(listens, last, now_ms)) {
        generation->released_ms = 0; /* it is adopted again */
    } else if (!generation->released_ms) {
        if (last < generation->shares)
            release(generation, last);
        generation->released = last;
        generation->released_ms = now_ms;
    } else if (now_ms - generation->released_ms >= GENERATION_RELEASE_MS) {
        listen_close_share(listens, last);
        generation->released_ms = 0;
    }
}

static void restart(struct seat *seat, int64_t now_ms)
{
    struct fault fault;
    if (seat_start(seat, now_ms, &fault) < 0) {
        report_fault("a worker cannot be started", &fault);
        seat->restart_ms = now_ms + SEAT_RETRY_MS;
    }
}

static void seat_step(struct seat *seat, int64_t now_ms)
{
    if (now_ms >= seat->kill_ms)
        seat_kill(seat, seat->state == SEAT_STARTING ? "it was not ready in time"
                                                     : "its time to finish is over");
    if (seat->state == SEAT_EMPTY && now_ms >= seat->restart_ms)
        restart(seat, now_ms);
}

static void pulse_step(struct generation *generation, int64_t now_ms)
{
    if (now_ms < generation->pulse_ms)
        return;
    generation->pulse_ms = now_ms + PULSE_EVERY_MS;
    for (unsigned i = 0; i < generation->seats_count; i++) {
        struct seat *seat = &generation->seats[i];
        if (seat->state != SEAT_READY && seat->state != SEAT_LEAVING)
            continue;
        enum pulse_state pulse =
            pulse_check(&seat->pulse, &generation->segment->slots[seat->slot], now_ms);
        if (pulse == PULSE_BEATS)
            continue;
        seat->wedged = pulse == PULSE_WEDGED;
        seat_kill(seat, pulse_state_text(pulse));
    }
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t seat_deadline(const struct seat *seat, int64_t now_ms)
{
    int64_t next = earlier(seat->kill_ms, seat->restart_ms);
    int64_t adopt_ms = seat->down_ms + GENERATION_ADOPT_MS;
    return seat->down_ms && adopt_ms > now_ms ? earlier(next, adopt_ms) : next;
}

int64_t generation_step(struct generation *generation, bool staging, int64_t now_ms)
{
    int64_t next = LOOP_NEVER;
    for (unsigned i = 0; i < generation->seats_count; i++)
        seat_step(&generation->seats[i], now_ms);
    if (generation->state != GENERATION_STAGED)
        pulse_step(generation, now_ms);
    if (generation->state == GENERATION_SERVING) {
        if (!staging)
            retire(generation, now_ms);
        adopt(generation, now_ms);
    }
    for (unsigned i = 0; i < generation->seats_count; i++)
        next = earlier(next, seat_deadline(&generation->seats[i], now_ms));
    if (generation->state == GENERATION_STAGED)
        return next;
    bool retiring = generation->state == GENERATION_SERVING && !staging &&
                    listen_open_shares(generation->tools->listens) > generation->seats_count;
    next = earlier(next, generation->pulse_ms);
    return retiring ? earlier(next, now_ms + GENERATION_RELEASE_MS / 2) : next;
}

#include "master/succession.h"

#include "master/command.h"
#include "master/report.h"
#include "master/resources.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* How long a cold start waits for a port which is being let go of. Nothing is served meanwhile. */
#define PORT_PATIENCE_MS 2000

#define LAST_CALL_STEP_MS 5 /* how often queues of given-up addresses are looked at */

bool succession_under_way(const struct supervisor *s)
{
    return stage_running(&s->stage) || s->staged;
}

static void drain(struct supervisor *s, struct generation *generation, int64_t now_ms)
{
    generation_drain(generation, now_ms);
    generation->next = s->draining;
    s->draining = generation;
}

void succession_answer(struct supervisor *s, bool ok, const char *said)
{
    for (unsigned i = 0; i < s->waiting.count; i++)
        control_answer(&s->control, s->waiting.clients[i],
                       ok ? json_pack("{s:b, s:i}", "ok", 1, "generation", (int)s->serving->number)
                          : control_error("%s", said));
    s->waiting.count = 0;
    if (!s->serving)
        return;
    s->last_reload.at = time(NULL);
    s->last_reload.ok = ok;
    snprintf(s->last_reload.said, sizeof(s->last_reload.said), "%s", said);
}

/* The generation that was to come does not; what serves goes on. */
static void failed(struct supervisor *s, const struct fault *fault)
{
    char text[FAULT_WHERE_MAX + FAULT_WHAT_MAX + 16];
    fault_text(fault, text, sizeof(text));
    if (!s->serving) {
        s->failed = true;
        s->fault = *fault;
    } else {
        report_error("reload failed, generation %u goes on: %s", s->serving->number, text);
    }
    succession_answer(s, false, text);
}

static int changed_fault(const struct config *config, const char *key, struct fault *fault)
{
    const char *file;
    int line;
    config_place(config, key, &file, &line);
    return fault_set(fault, -EINVAL, file ? file : config->path, line,
                     "%s can't change while herald runs; stop it and start it again", key);
}

static bool has_same_shared(const struct config *a, const struct config *b)
{
    if (a->shared_count != b->shared_count)
        return false;
    for (size_t i = 0; i < a->shared_count; i++)
        if (a->shared[i].bytes != b->shared[i].bytes ||
            strcmp(a->shared[i].name, b->shared[i].name) != 0)
            return false;
    return true;
}

static int make_segment(struct supervisor *s, const struct config *config, struct fault *fault)
{
    struct segment_sizes sizes = {.table = config->table_bytes};
    for (size_t i = 0; i < config->shared_count; i++)
        sizes.shared[i] = config->shared[i].bytes;
    return segment_create_sized(&s->segment, &sizes, fault);
}

static int admit_reload(const struct supervisor *s, const struct config *config,
                        struct fault *fault)
{
    const struct config *now = s->serving->config;
    unsigned available = slots_available(&s->slots);
    if (strcmp(config->state_dir, now->state_dir) != 0)
        return changed_fault(config, "state", fault);
    if (config->table_bytes != now->table_bytes)
        return changed_fault(config, "clients.table", fault);
    if (!has_same_shared(config, now))
        return changed_fault(config, "shared", fault);
    if (strcmp(config->admin.socket, now->admin.socket) != 0)
        return changed_fault(config, "admin.socket", fault);
    if (config->workers > available)
        return fault_set(fault, -EAGAIN, "workers", 0,
                         "%u workers need as many slots; earlier generations, which still drain, "
                         "leave %u",
                         config->workers, available);
    return 0;
}

/* What is made once, from the first config. */
static int admit_first(struct supervisor *s, const struct config *config, struct fault *fault)
{
    bool waited;
    int rc = listen_check(config, PORT_PATIENCE_MS, &waited, fault);
    if (waited)
        report_info("waited for the listeners of a server that was killed to go");
    if (rc < 0)
        return rc;
    int64_t now_ms = loop_now_ms();
    s->lock_fd = resources_lock_state(config, fault);
    if (s->lock_fd < 0)
        return s->lock_fd;
    rc = make_segment(s, config, fault);
    if (rc == 0)
        rc = desk_open(&s->desk, s, config, fault);
    if (rc == 0)
        rc = keeper_init(&s->keeper, &s->loop, &s->segment, config->state_dir, now_ms, fault);
    if (rc < 0)
        return rc;
    rc = slots_init(&s->slots, &s->segment, now_ms);
    if (rc < 0)
        return fault_set(fault, rc, "push table", 0, "%s", strerror(-rc));
    return control_open(&s->control, &s->loop, config->admin.socket, command_run, s, fault);
}

static int admit(void *context, const struct config *config, struct fault *fault)
{
    struct supervisor *s = context;
    int rc = 0;
    if (config->workers == 0 || config->workers > LISTEN_SHARES_MAX)
        rc = fault_set(fault, -ERANGE, "workers", 0, "must be 1 to %d", LISTEN_SHARES_MAX);
    if (rc == 0)
        rc = s->serving ? admit_reload(s, config, fault) : admit_first(s, config, fault);
    if (rc == 0)
        resources_raise_descriptors(config);
    return rc;
}

/* The demo's access log takes the place of the config's. */
static void use_own_access_log(const struct supervisor *s, struct generation_parts *parts)
{
    if (s->options->access_fd < 0)
        return;
    if (parts->access_fd >= 0)
        close(parts->access_fd);
    parts->access_fd = fcntl(s->options->access_fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
}

/* The first generation may serve with the policies that were active last. */
static int stored(void *context)
{
    struct supervisor *s = context;
    const struct desk_resident *active =
        s->serving ? NULL : desk_make_resident(&s->desk, s->desk.store.active);
    return active ? active->fd : -1;
}

/* Which version of the policies the generation is to run. */
static int choose_policies(struct supervisor *s, int bundle_fd, const struct fault *files,
                           struct generation_parts *parts, struct fault *fault)
{
    const char *author = s->serving ? "reload" : "start";
    const char *message = parts->config->path ? parts->config->path : "";
    if (bundle_fd < 0) {
        report_error("the policy files are bad, v%u is used in their place: %s",
                     s->desk.store.active, files->what);
        desk_files_are_bad(&s->desk, files->what);
    }
    int64_t number = desk_admit(&s->desk, bundle_fd, author, message, fault);
    parts->version = number > 0 ? (uint32_t)number : 0;
    return number < 0 ? (int)number : 0;
}

static void staged(void *context, int rc, const struct generation_parts *made, int bundle_fd,
                   const struct fault *stage_fault)
{
    struct supervisor *s = context;
    struct fault fault = *stage_fault;
    struct fault create_fault;
    if (rc < 0) {
        failed(s, &fault);
        return;
    }
    struct generation_parts parts = *made;
    use_own_access_log(s, &parts);
    rc = choose_policies(s, bundle_fd, stage_fault, &parts, &fault);
    if (rc == 0)
        rc = listen_stage(&s->listens, parts.config, parts.config->workers, &fault);
    struct generation *generation =
        generation_create(++s->numbers, &s->tools, &s->segment, &parts, &create_fault);
    if (rc < 0 || !generation) {
        listen_abandon(&s->listens);
        generation_destroy(generation);
        desk_abandoned(&s->desk);
        failed(s, rc < 0 ? &fault : &create_fault);
        return;
    }
    s->staged = generation;
    generation_start(generation, loop_now_ms());
}

void succession_shed(struct supervisor *s)
{
    struct generation *one[] = {s->serving, s->staged, s->leaving};
    segment_finish(&s->segment);
    for (size_t i = 0; i < sizeof(one) / sizeof(one[0]); i++)
        if (one[i])
            resources_forget_keys(one[i]->config);
    for (struct generation *g = s->draining; g; g = g->next)
        resources_forget_keys(g->config);
}

static void shed(void *context)
{
    succession_shed(context);
}

void succession_begin(struct supervisor *s)
{
    s->stage.context = s;
    s->stage.admit = admit;
    s->stage.shed = shed;
    s->stage.stored = stored;
    s->stage.done = staged;
    stage_begin(&s->stage, &s->loop, &s->options->source);
}

void succession_reload(struct supervisor *s)
{
    if (s->ending)
        return;
    s->reload_again = succession_under_way(s);
    if (s->reload_again)
        return;
    s->waiting = s->waiting_next;
    s->waiting_next.count = 0;
    s->stage.specs = true;
    stage_begin(&s->stage, &s->loop, &s->options->source);
}

/* Its ready workers may have accepted connections: it drains like one that served. */
static void abandon(struct supervisor *s, int64_t now_ms)
{
    struct generation *generation = s->staged;
    s->staged = NULL;
    drain(s, generation, now_ms);
    if (!s->serving)
        generation_stop(generation, now_ms);
    listen_abandon(&s->listens);
    desk_abandoned(&s->desk);
    failed(s, &generation->fault);
}

void succession_cancel(struct supervisor *s, int64_t now_ms)
{
    stage_cancel(&s->stage);
    if (s->staged) {
        drain(s, s->staged, now_ms);
        s->staged = NULL;
    }
    succession_answer(s, false, "herald is stopping");
}

void succession_leave(struct supervisor *s, struct generation *generation, int64_t now_ms)
{
    if (s->leaving) /* two reloads within half a second */
        drain(s, s->leaving, now_ms);
    s->leaving = generation;
    s->leaving_ms = now_ms + SUPERVISOR_LAST_CALL_MS;
}

static void promote(struct supervisor *s, int64_t now_ms)
{
    struct generation *generation = s->staged;
    struct generation *old = s->serving;
    listen_promote(&s->listens, generation->config, generation->seats_count, now_ms);
    generation_promote(generation, now_ms);
    atomic_store(&s->segment.header->generation, generation->number);
    s->serving = generation;
    s->staged = NULL;
    desk_configure(&s->desk, generation->config);
    policy_tasks_watch(&s->tasks, generation->config->policy.dir);
    desk_promoted(&s->desk, generation->version, old ? "reload" : "start");
    report_to(generation->error_fd);
    report_info("generation %u serves with %u workers", generation->number,
                generation->seats_count);
    if (old) {
        succession_leave(s, old, now_ms);
        succession_answer(s, true, "");
    } else if (s->options->ready) {
        s->options->ready(s, s->options->context);
    }
}

/* The generation that served until now drains as soon as nothing waits on given-up addresses. */
static int64_t leaving_step(struct supervisor *s, int64_t now_ms)
{
    if (!s->leaving)
        return LOOP_NEVER;
    if (listen_close_removed(&s->listens, now_ms >= s->leaving_ms) > 0)
        return now_ms + LAST_CALL_STEP_MS;
    drain(s, s->leaving, now_ms);
    s->leaving = NULL;
    return LOOP_NEVER;
}

int64_t succession_step(struct supervisor *s, int64_t now_ms)
{
    int64_t stage_ms = stage_step(&s->stage, now_ms);
    if (s->staged && s->staged->failed)
        abandon(s, now_ms);
    else if (s->staged && generation_ready(s->staged))
        promote(s, now_ms);
    if (s->reload_again && !succession_under_way(s))
        succession_reload(s);
    int64_t leaving_ms = leaving_step(s, now_ms);
    return stage_ms < leaving_ms ? stage_ms : leaving_ms;
}

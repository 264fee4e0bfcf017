#include "master/supervisor.h"

#include "master/report.h"
#include "master/resources.h"
#include "master/status.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

static bool staging(const struct supervisor *s)
{
    return s->stage.running || s->staged;
}

static void list_push(struct generation **list, struct generation *generation)
{
    generation->next = *list;
    *list = generation;
}

static void state_path(const struct supervisor *s, const char *name, char *path)
{
    snprintf(path, PATH_MAX, "%s/%s", s->state_dir, name);
}

const char *supervisor_url(const struct supervisor *s, size_t index, char *text)
{
    const struct config *config = s->serving->config;
    const struct sockaddr_storage *address = listen_address(&s->listens, config, index);
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;
    bool tls = config->listens[index].tls;
    char place[LISTEN_TEXT_MAX] = "?";
    unsigned port = 0;
    bool any = false;
    if (address && address->ss_family == AF_INET6) {
        any = IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr);
        port = ntohs(v6->sin6_port);
    } else if (address) {
        any = v4->sin_addr.s_addr == htonl(INADDR_ANY);
        port = ntohs(v4->sin_port);
    }
    if (address)
        listen_text(address, place);
    if (any)
        snprintf(place, sizeof(place), "localhost:%u", port);
    if (port == (tls ? 443u : 80u))
        *strrchr(place, ':') = '\0';
    snprintf(text, SUPERVISOR_URL_MAX, "%s://%s/", tls ? "https" : "http", place);
    return text;
}

/* ---- the saved table ---- */

static int save_body(int socket, void *context)
{
    const struct supervisor *s = context;
    char path[PATH_MAX];
    struct fault fault = {0};
    state_path(s, "push-table", path);
    if (segment_save(&s->segment, path, &fault) < 0)
        return helper_refuse(socket, &fault);
    return helper_answer(socket, (struct span){NULL, 0}, -1);
}

static void saved(struct helper *helper, int rc, struct span answer, int fd,
                  const struct fault *fault)
{
    (void)helper;
    (void)answer;
    if (fd >= 0)
        close(fd);
    if (rc < 0)
        report_fault("the push table is not saved", fault);
}

/* A large table takes a while to write; a child does it from its own view of the memory. */
static void save_begin(struct supervisor *s)
{
    static const struct spawn_user same = {.name = "herald"};
    struct fault fault;
    if (s->saver.running)
        return;
    s->saver.cpu_s = 120;
    s->saver.wall_ms = 240000;
    s->saver.done = saved;
    if (helper_start(&s->saver, &s->loop, "saving the push table", &same, &s->segment.fd, 1,
                     save_body, s, &fault) < 0)
        report_fault("the push table is not saved", &fault);
}

static void save_now(struct supervisor *s)
{
    char path[PATH_MAX];
    struct fault fault;
    helper_cancel(&s->saver);
    if (!s->state_dir || !s->segment.header)
        return;
    state_path(s, "push-table", path);
    if (segment_save(&s->segment, path, &fault) < 0)
        report_fault("the push table is not saved", &fault);
}

static void table_load(struct supervisor *s)
{
    char path[PATH_MAX];
    struct fault fault;
    uint64_t boottime_s;
    uint64_t age_s;
    state_path(s, "push-table", path);
    int rc = segment_load(&s->segment, path, &boottime_s, &age_s, &fault);
    if (rc < 0)
        report_fault("the push table starts empty", &fault);
    else if (rc == 1)
        report_info("loaded %llu entries of the push table, saved %llu s ago",
                    (unsigned long long)slots_rebase(&s->segment, boottime_s, age_s),
                    (unsigned long long)age_s);
}

/* ---- staging ---- */

static void answer_reload(struct supervisor *s, bool ok, const char *said)
{
    for (unsigned i = 0; i < s->waiting_count; i++)
        control_answer(&s->control, s->waiting[i],
                       ok ? json_pack("{s:b, s:i}", "ok", 1, "generation",
                                      (int)s->serving->number)
                          : control_error("%s", said));
    s->waiting_count = 0;
    if (!s->serving)
        return;
    s->last_reload.at = time(NULL);
    s->last_reload.ok = ok;
    snprintf(s->last_reload.said, sizeof(s->last_reload.said), "%s", said);
}

/* The generation that was to come does not; what serves goes on. */
static void staging_failed(struct supervisor *s, const struct fault *fault)
{
    char text[FAULT_WHERE_MAX + FAULT_WHAT_MAX + 16];
    fault_text(fault, text, sizeof(text));
    if (!s->serving) {
        s->failed = true;
        s->fault = *fault;
    } else {
        report_error("reload failed, generation %u goes on: %s", s->serving->number, text);
    }
    answer_reload(s, false, text);
}

static int changed_fault(const struct config *config, const char *key, struct fault *fault)
{
    const char *file;
    int line;
    config_place(config, key, &file, &line);
    return fault_set(fault, -EINVAL, file ? file : config->path, line,
                     "%s can't change while herald runs; stop it and start it again", key);
}

static int admit_reload(const struct supervisor *s, const struct config *config,
                        struct fault *fault)
{
    const struct config *now = s->serving->config;
    if (strcmp(config->state_dir, now->state_dir) != 0)
        return changed_fault(config, "state", fault);
    if (config->table_bytes != now->table_bytes)
        return changed_fault(config, "clients.table", fault);
    if (strcmp(config->admin.socket, now->admin.socket) != 0)
        return changed_fault(config, "admin.socket", fault);
    if (config->workers > slots_available(&s->slots))
        return fault_set(fault, -EAGAIN, "workers", 0,
                         "%u workers need as many slots, and earlier generations that still drain "
                         "leave %u",
                         config->workers, slots_available(&s->slots));
    return 0;
}

static void control_command_run(void *context, struct control_handle client, const char *author,
                                const char *verb, json_t *request);

/* What is made once, from the first config. */
static int admit_first(struct supervisor *s, const struct config *config, struct fault *fault)
{
    char path[PATH_MAX];
    int rc = listen_check(config, fault);
    if (rc < 0)
        return rc;
    s->lock_fd = resources_lock_state(config, fault);
    if (s->lock_fd < 0)
        return s->lock_fd;
    s->state_dir = strdup(config->state_dir);
    if (!s->state_dir)
        return fault_set(fault, -ENOMEM, "state", 0, "out of memory");
    rc = segment_create(&s->segment, config->table_bytes, fault);
    if (rc < 0)
        return rc;
    state_path(s, "keys", path);
    rc = segment_keep_secrets(&s->segment, path, fault);
    if (rc < 0)
        return rc;
    table_load(s);
    rc = slots_init(&s->slots, &s->segment, loop_now_ms());
    if (rc < 0)
        return fault_set(fault, rc, "push table", 0, "%s", strerror(-rc));
    return control_open(&s->control, &s->loop, config->admin.socket, control_command_run, s, fault);
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

/* A duplicate of the demo's access log for each generation. */
static void use_own_access_log(const struct supervisor *s, struct generation_parts *parts)
{
    if (s->options->access_fd < 0)
        return;
    if (parts->access_fd >= 0)
        close(parts->access_fd);
    parts->access_fd = fcntl(s->options->access_fd, F_DUPFD_CLOEXEC, 3);
}

static void staged(void *context, int rc, const struct generation_parts *made,
                   const struct fault *stage_fault)
{
    struct supervisor *s = context;
    struct fault fault = *stage_fault;
    int64_t now_ms = loop_now_ms();
    if (rc < 0) {
        staging_failed(s, &fault);
        return;
    }
    struct generation_parts parts = *made;
    use_own_access_log(s, &parts);
    rc = listen_stage(&s->listens, parts.config, parts.config->workers, &fault);
    struct generation *generation =
        generation_create(++s->numbers, &s->tools, &s->segment, &parts, &fault);
    if (rc < 0 || !generation) {
        listen_abandon(&s->listens);
        generation_destroy(generation);
        staging_failed(s, &fault);
        return;
    }
    s->staged = generation;
    generation_start(generation, now_ms);
}

static void reload(struct supervisor *s)
{
    if (s->ending)
        return;
    if (staging(s)) {
        s->reload_again = true;
        return;
    }
    s->reload_again = false;
    memcpy(s->waiting, s->waiting_next, sizeof(s->waiting));
    s->waiting_count = s->waiting_next_count;
    s->waiting_next_count = 0;
    stage_begin(&s->stage, &s->loop, &s->options->source);
}

/* Its ready workers may have accepted connections: it drains like one that served. */
static void abandon_staged(struct supervisor *s, int64_t now_ms)
{
    struct generation *generation = s->staged;
    s->staged = NULL;
    generation_drain(generation, now_ms);
    listen_abandon(&s->listens);
    list_push(&s->draining, generation);
    staging_failed(s, &generation->fault);
}

static void leave(struct supervisor *s, struct generation *generation, int64_t now_ms)
{
    if (s->leaving) { /* two reloads within half a second */
        generation_drain(s->leaving, now_ms);
        list_push(&s->draining, s->leaving);
    }
    s->leaving = generation;
    s->leaving_ms = now_ms + SUPERVISOR_LAST_CALL_MS;
}

static void promote_staged(struct supervisor *s, int64_t now_ms)
{
    struct generation *generation = s->staged;
    struct generation *old = s->serving;
    listen_promote(&s->listens, generation->config, generation->seats_count, now_ms);
    generation_promote(generation, now_ms);
    atomic_store(&s->segment.header->generation, generation->number);
    s->serving = generation;
    s->staged = NULL;
    report_to(generation->error_fd);
    report_info("generation %u serves with %u workers", generation->number,
                generation->seats_count);
    if (old) {
        leave(s, old, now_ms);
        answer_reload(s, true, "");
    } else if (s->options->ready) {
        s->options->ready(s, s->options->context);
    }
}

/* ---- ending ---- */

static void all_generations(struct supervisor *s,
                            void (*action)(struct generation *generation, int64_t now_ms),
                            int64_t now_ms)
{
    struct generation *one[] = {s->serving, s->staged, s->leaving};
    for (size_t i = 0; i < sizeof(one) / sizeof(one[0]); i++) {
        if (!one[i])
            continue;
        action(one[i], now_ms);
        list_push(&s->draining, one[i]);
    }
    s->serving = NULL;
    s->staged = NULL;
    s->leaving = NULL;
}

/* QUIT: what is queued is still accepted, then nothing more, and what is open is finished. */
static void end_gracefully(struct supervisor *s)
{
    int64_t now_ms = loop_now_ms();
    if (s->ending)
        return;
    s->ending = ENDING_DRAIN;
    report_info("stopping: no new connections, open ones are finished");
    stage_cancel(&s->stage);
    answer_reload(s, false, "herald is stopping");
    if (s->staged) {
        generation_drain(s->staged, now_ms);
        list_push(&s->draining, s->staged);
        s->staged = NULL;
    }
    listen_remove_all(&s->listens);
    if (s->serving)
        leave(s, s->serving, now_ms);
    s->serving = NULL;
}

static void end_at_once(struct supervisor *s)
{
    if (s->ending == ENDING_STOP)
        return;
    s->ending = ENDING_STOP;
    report_info("stopping at once");
    stage_cancel(&s->stage);
    answer_reload(s, false, "herald is stopping");
    listen_finish(&s->listens);
    all_generations(s, generation_stop, loop_now_ms());
    for (struct generation *g = s->draining; g; g = g->next)
        generation_stop(g, loop_now_ms());
}

/* ---- signals and commands ---- */

static void reopen_logs_of(const struct supervisor *s, struct generation *generation)
{
    const struct config *config = generation->config;
    struct fault fault;
    int access_fd = -1;
    int error_fd = -1;
    bool own = s->options->access_fd >= 0;
    const char *access = own ? NULL : config->log.access;
    const char *error = config->log.error;
    if (access && strcmp(access, "stderr") != 0 &&
        resources_open_log(config, "log.access", access, &access_fd, &fault) < 0)
        report_fault("the old access log stays open", &fault);
    if (error && strcmp(error, "stderr") != 0 &&
        resources_open_log(config, "log.error", error, &error_fd, &fault) < 0)
        report_fault("the old error log stays open", &fault);
    generation_logs(generation, access_fd, error_fd);
}

static void reopen_logs(struct supervisor *s)
{
    if (s->leaving)
        reopen_logs_of(s, s->leaving);
    for (struct generation *g = s->draining; g; g = g->next)
        reopen_logs_of(s, g);
    if (s->staged)
        reopen_logs_of(s, s->staged);
    if (s->serving) {
        reopen_logs_of(s, s->serving);
        report_to(s->serving->error_fd);
        report_info("logs reopened");
    }
}

static void signal_ready(struct watch *watch, uint32_t events)
{
    struct supervisor *s = OWNER_OF(watch, struct supervisor, signals);
    struct signalfd_siginfo info;
    (void)events;
    if (read(watch->fd, &info, sizeof(info)) != sizeof(info))
        return;
    switch (info.ssi_signo) {
    case SIGHUP:
        report_info("reload asked for by HUP from pid %u", info.ssi_pid);
        reload(s);
        break;
    case SIGUSR1:
        reopen_logs(s);
        break;
    case SIGUSR2:
        report_warn("USR2: replacing the running binary is not supported in this version");
        break;
    case SIGQUIT:
        end_gracefully(s);
        break;
    case SIGTERM:
    case SIGINT:
        end_at_once(s);
        break;
    default:
        break;
    }
}

static void command_reload(struct supervisor *s, struct control_handle client)
{
    if (!s->serving || s->waiting_next_count == CONTROL_CLIENTS_MAX) {
        control_answer(&s->control, client, control_error("herald is not serving"));
        return;
    }
    s->waiting_next[s->waiting_next_count++] = client;
    reload(s);
}

static void control_command_run(void *context, struct control_handle client, const char *author,
                                const char *verb, json_t *request)
{
    static const char *const verbs[] = {"status", "reload", "stop", NULL};
    struct supervisor *s = context;
    if (strcmp(verb, "status") == 0) {
        control_answer(&s->control, client, status_make(s));
        return;
    }
    report_info("%s asked for by %s", verb, author);
    if (strcmp(verb, "reload") == 0) {
        command_reload(s, client);
    } else if (strcmp(verb, "stop") == 0) {
        bool now = json_is_true(json_object_get(request, "now"));
        control_answer(&s->control, client,
                       json_pack("{s:b, s:i}", "ok", 1, "pid", (int)getpid()));
        if (now)
            end_at_once(s);
        else
            end_gracefully(s);
    } else {
        const char *nearest = fault_nearest(verb, verbs);
        control_answer(&s->control, client,
                       control_error("unknown verb \"%.40s\"%s%s%s", verb,
                                     nearest ? "; the nearest is \"" : "", nearest ? nearest : "",
                                     nearest ? "\"" : ""));
    }
}

/* ---- the loop ---- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void timers_step(struct supervisor *s, int64_t now_ms)
{
    if (s->serving && now_ms >= s->save_ms) {
        s->save_ms = now_ms + SUPERVISOR_SAVE_MS;
        save_begin(s);
    }
    if (s->serving && now_ms >= s->rotate_ms) {
        s->rotate_ms = now_ms + SUPERVISOR_ROTATE_MS;
        segment_rotate_tickets(&s->segment);
    }
    helper_tick(&s->saver, now_ms);
}

/* The generation that served until now drains as soon as nothing waits on given-up addresses. */
static void leaving_step(struct supervisor *s, int64_t now_ms)
{
    if (!s->leaving)
        return;
    if (listen_close_removed(&s->listens, false) > 0 && now_ms < s->leaving_ms)
        return;
    listen_close_removed(&s->listens, true);
    generation_drain(s->leaving, now_ms);
    list_push(&s->draining, s->leaving);
    s->leaving = NULL;
}

static int64_t draining_step(struct supervisor *s, int64_t now_ms)
{
    int64_t next = LOOP_NEVER;
    for (struct generation **at = &s->draining; *at;) {
        struct generation *generation = *at;
        next = earlier(next, generation_step(generation, true, now_ms));
        if (generation_empty(generation)) {
            *at = generation->next;
            report_info("generation %u has ended", generation->number);
            generation_destroy(generation);
        } else {
            at = &generation->next;
        }
    }
    return next;
}

/* Does what is due and returns when the next thing is. */
static int64_t step(struct supervisor *s)
{
    int64_t now_ms = loop_now_ms();
    int64_t next = stage_step(&s->stage, now_ms);
    if (s->staged && s->staged->failed)
        abandon_staged(s, now_ms);
    else if (s->staged && generation_ready(s->staged))
        promote_staged(s, now_ms);
    if (s->reload_again && !staging(s))
        reload(s);
    leaving_step(s, now_ms);
    timers_step(s, now_ms);
    if (s->staged)
        next = earlier(next, generation_step(s->staged, true, now_ms));
    if (s->serving)
        next = earlier(next, generation_step(s->serving, staging(s), now_ms));
    if (s->leaving)
        next = earlier(next, earlier(generation_step(s->leaving, true, now_ms), now_ms + 5));
    next = earlier(next, draining_step(s, now_ms));
    next = earlier(next, control_step(&s->control, now_ms));
    if (s->segment.header && s->slots.segment)
        next = earlier(next, slots_step(&s->slots, now_ms));
    if (s->serving)
        next = earlier(next, earlier(s->save_ms, s->rotate_ms));
    if (s->saver.running)
        next = earlier(next, s->saver.deadline_ms);
    return next;
}

static bool running(const struct supervisor *s)
{
    bool workers = s->serving || s->staged || s->leaving || s->draining;
    return s->ending || s->failed ? workers : true;
}

static int signals_open(struct supervisor *s)
{
    static const int numbers[] = {SIGHUP, SIGUSR1, SIGUSR2, SIGQUIT, SIGTERM, SIGINT};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        sigaddset(&set, numbers[i]);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL); /* ignored, children could not be reaped */
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return -errno;
    s->signals = (struct watch){.fd = fd, .ready = signal_ready};
    return loop_add(&s->loop, &s->signals, EPOLLIN);
}

static int supervisor_init(struct supervisor *s, const struct supervisor_options *options,
                           struct fault *fault)
{
    memset(s, 0, sizeof(*s));
    s->options = options;
    s->loop.epoll_fd = -1;
    s->signals.fd = -1;
    s->lock_fd = -1;
    s->started_ms = loop_now_ms();
    s->save_ms = s->started_ms + SUPERVISOR_SAVE_MS;
    s->rotate_ms = s->started_ms + SUPERVISOR_ROTATE_MS;
    s->tools = (struct seat_tools){&s->loop, &s->slots, &s->listens};
    s->stage.context = s;
    s->stage.admit = admit;
    s->stage.done = staged;
    int rc = loop_init(&s->loop);
    if (rc == 0)
        rc = signals_open(s);
    return rc == 0 ? 0 : fault_set(fault, rc, "start", 0, "%s", strerror(-rc));
}

/* The control socket goes last: a command that waits for its end knows then that all is done. */
static void supervisor_finish(struct supervisor *s)
{
    stage_cancel(&s->stage);
    listen_finish(&s->listens);
    if (!s->failed)
        save_now(s);
    segment_finish(&s->segment);
    if (s->signals.fd >= 0)
        close(s->signals.fd);
    if (s->ending)
        report_info("stopped");
    report_to(STDERR_FILENO);
    control_close(&s->control);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    loop_finish(&s->loop);
    free(s->state_dir);
}

int supervisor_run(const struct supervisor_options *options, struct fault *fault)
{
    static struct supervisor s;
    int rc = supervisor_init(&s, options, fault);
    if (rc == 0) {
        stage_begin(&s.stage, &s.loop, &s.options->source);
        for (int64_t next = step(&s); running(&s); next = step(&s))
            loop_wait(&s.loop, next);
    }
    if (s.failed) {
        *fault = s.fault;
        rc = -EINVAL;
    }
    supervisor_finish(&s);
    return rc < 0 ? 1 : 0;
}

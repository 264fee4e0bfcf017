#include "master/supervisor.h"

#include "master/policy_judge.h"
#include "master/report.h"
#include "master/resources.h"
#include "master/succession.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

const char *supervisor_url(const struct supervisor *s, size_t index, char *text)
{
    const struct config *config = s->serving->config;
    const struct sockaddr_storage *address = listen_address(&s->listens, config, index);
    bool tls = config->listens[index].tls;
    char place[LISTEN_TEXT_MAX] = "?:0";
    unsigned port = 0;
    bool any = false;
    if (address && address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;
        any = IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr);
        port = ntohs(v6->sin6_port);
    } else if (address) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;
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

static void end_gracefully(struct supervisor *s)
{
    int64_t now_ms = loop_now_ms();
    report_info("stopping: no new connections, open ones are finished");
    succession_cancel(s, now_ms);
    listen_remove_all(&s->listens);
    if (s->serving)
        succession_leave(s, s->serving, now_ms);
    s->serving = NULL;
}

static void end_at_once(struct supervisor *s)
{
    struct generation *other[] = {s->serving, s->leaving};
    int64_t now_ms = loop_now_ms();
    report_info("stopping at once");
    succession_cancel(s, now_ms);
    listen_finish(&s->listens);
    for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
        if (!other[i])
            continue;
        other[i]->next = s->draining;
        s->draining = other[i];
    }
    s->serving = NULL;
    s->leaving = NULL;
    for (struct generation *one = s->draining; one; one = one->next)
        generation_stop(one, now_ms);
}

void supervisor_end(struct supervisor *s, enum supervisor_ending ending)
{
    if (ending <= s->ending)
        return;
    s->ending = ending;
    if (ending == ENDING_STOP)
        end_at_once(s);
    else
        end_gracefully(s);
}

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
    struct generation *one[] = {s->serving, s->staged, s->leaving};
    for (struct generation *g = s->draining; g; g = g->next)
        reopen_logs_of(s, g);
    for (size_t i = 0; i < sizeof(one) / sizeof(one[0]); i++)
        if (one[i])
            reopen_logs_of(s, one[i]);
    if (s->serving)
        report_to(s->serving->error_fd);
    report_info("logs reopened");
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
        report_info("reload asked for by HUP from uid %u (pid %u)", info.ssi_uid, info.ssi_pid);
        succession_reload(s);
        break;
    case SIGUSR1:
        reopen_logs(s);
        break;
    case SIGUSR2:
        report_warn("USR2: replacing the running binary is not supported in this version");
        break;
    case SIGQUIT:
        supervisor_end(s, ENDING_DRAIN);
        break;
    case SIGTERM:
    case SIGINT:
        supervisor_end(s, ENDING_STOP);
        break;
    default:
        break;
    }
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t tickets_step(struct supervisor *s, int64_t now_ms)
{
    if (!s->segment.secrets)
        return LOOP_NEVER;
    if (now_ms >= s->rotate_ms) {
        s->rotate_ms = now_ms + SUPERVISOR_ROTATE_MS;
        segment_rotate_tickets(&s->segment);
    }
    return s->rotate_ms;
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
    int64_t next = succession_step(s, now_ms);
    if (s->staged)
        next = earlier(next, generation_step(s->staged, true, now_ms));
    if (s->serving)
        next = earlier(next, generation_step(s->serving, succession_under_way(s), now_ms));
    if (s->leaving)
        next = earlier(next, generation_step(s->leaving, true, now_ms));
    next = earlier(next, draining_step(s, now_ms));
    next = earlier(next, control_step(&s->control, now_ms));
    next = earlier(next, keeper_step(&s->keeper, now_ms));
    next = earlier(next, clients_step(&s->clients, now_ms));
    next = earlier(next, policy_judge_step(&s->desk, now_ms));
    next = earlier(next, policy_tasks_step(&s->tasks, now_ms));
    next = earlier(next, explain_step(&s->explain, now_ms));
    next = earlier(next, lookup_step(&s->lookup, &s->loop, s->serving, now_ms));
    next = earlier(next, tickets_step(s, now_ms));
    return s->slots.segment ? earlier(next, slots_step(&s->slots, now_ms)) : next;
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
    policy_tasks_init(&s->tasks, s);
    s->rotate_ms = s->started_ms + SUPERVISOR_ROTATE_MS;
    s->tools = (struct seat_tools){&s->loop, &s->slots, &s->listens, &s->desk};
    int rc = loop_init(&s->loop);
    if (rc == 0)
        rc = signals_open(s);
    return rc == 0 ? 0 : fault_set(fault, rc, "start", 0, "%s", strerror(-rc));
}

/* The control socket goes last: a command that waits for its end knows then that all is done. */
static void supervisor_finish(struct supervisor *s)
{
    stage_cancel(&s->stage);
    lookup_cancel(&s->lookup);
    clients_cancel(&s->clients);
    policy_tasks_cancel(&s->tasks);
    desk_close(&s->desk);
    explain_cancel(&s->explain);
    listen_finish(&s->listens);
    if (s->failed)
        keeper_abandon(&s->keeper);
    keeper_finish(&s->keeper);
    segment_finish(&s->segment);
    if (s->signals.fd >= 0)
        close(s->signals.fd);
    if (s->ending)
        report_info("stopped");
    report_to(STDERR_FILENO);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    control_close(&s->control);
    loop_finish(&s->loop);
}

int supervisor_run(const struct supervisor_options *options, struct fault *fault)
{
    static struct supervisor s;
    int rc = supervisor_init(&s, options, fault);
    if (rc == 0) {
        succession_begin(&s);
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

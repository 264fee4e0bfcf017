#include "master/seat.h"

#include "master/generation.h"
#include "master/policy_desk.h"
#include "master/policy_judge.h"
#include "master/report.h"
#include "worker/worker.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

void seat_init(struct seat *seat, struct generation *generation, unsigned share)
{
    *seat = (struct seat){
        .generation = generation,
        .share = share,
        .slot = -1,
        .kill_ms = LOOP_NEVER,
        .restart_ms = LOOP_NEVER,
        .exit_watch.fd = -1,
        .word_watch.fd = -1,
    };
}

static struct segment_slot *slot_of(const struct seat *seat)
{
    return &seat->generation->segment->slots[seat->slot];
}

static void stop_listening_to(struct seat *seat)
{
    loop_remove(seat->generation->tools->loop, &seat->word_watch);
    seat->word_watch.fd = -1;
}

/* Reads one word. Returns false when there is none. */
static bool word_take(struct seat *seat)
{
    char message[HANDOFF_MESSAGE_MAX];
    ssize_t n = recv(seat->process.socket, message, sizeof(message), MSG_DONTWAIT);
    if (n < 0)
        return false;
    if (n == 0) {
        stop_listening_to(seat); /* its exit is told by the pidfd */
        return false;
    }
    if (message[0] == HANDOFF_READY && seat->state == SEAT_STARTING) {
        int64_t now_ms = loop_now_ms();
        seat->state = SEAT_READY;
        seat->ready_ms = now_ms;
        seat->kill_ms = LOOP_NEVER;
        seat->down_ms = 0;
        atomic_store(&slot_of(seat)->state, SLOT_READY);
        generation_seat_ready(seat->generation, seat, now_ms);
    } else if (message[0] == HANDOFF_FAULT) {
        snprintf(seat->said, sizeof(seat->said), "%.*s", (int)n - 1, message + 1);
    } else if (seat->generation->tools->desk) {
        desk_word(seat->generation->tools->desk, seat, message, (size_t)n);
    }
    return true;
}

static void word_ready(struct watch *watch, uint32_t events)
{
    (void)events;
    word_take(OWNER_OF(watch, struct seat, word_watch));
}

static void exit_ready(struct watch *watch, uint32_t events)
{
    struct seat *seat = OWNER_OF(watch, struct seat, exit_watch);
    const struct seat_tools *tools = seat->generation->tools;
    char how[SPAWN_TEXT_MAX];
    (void)events;
    for (int i = 0; i < 16 && seat->word_watch.fd >= 0 && word_take(seat); i++)
        ; /* its last words */
    if (!spawn_reap(seat->process.pid, false, how))
        return;
    loop_remove(tools->loop, &seat->exit_watch);
    if (seat->word_watch.fd >= 0)
        stop_listening_to(seat);
    close(seat->process.socket);
    close(seat->process.pidfd);
    seat->process.socket = -1; /* what the judgement sends to all is not for it */
    seat->exit_watch.fd = -1;
    uint32_t in_policy = atomic_load(&slot_of(seat)->in_policy);
    policy_judge_worker_ended(tools->desk, seat->slot, in_policy, seat->wedged, how);
    slots_give_back(tools->slots, seat->slot);
    generation_seat_left(seat->generation, seat, how, loop_now_ms());
}

/* In the child. */
static int worker_body(int socket, void *context)
{
    struct handoff *handoff = context;
    handoff->control_fd = socket;
    handoff->segment->fd = -1; /* closed here; the mapping stays */
    handoff->segment->secrets_fd = -1;
    return worker_run(handoff);
}

static int watch_both(struct seat *seat)
{
    struct loop *loop = seat->generation->tools->loop;
    seat->exit_watch = (struct watch){.fd = seat->process.pidfd, .ready = exit_ready};
    seat->word_watch = (struct watch){.fd = seat->process.socket, .ready = word_ready};
    int rc = loop_add(loop, &seat->exit_watch, EPOLLIN);
    if (rc < 0)
        return rc;
    rc = loop_add(loop, &seat->word_watch, EPOLLIN);
    if (rc < 0)
        loop_remove(loop, &seat->exit_watch);
    return rc;
}

static void slot_begin(struct seat *seat, int64_t now_ms)
{
    struct segment_slot *slot = slot_of(seat);
    seat->requests_before = atomic_load(&slot->stats.counters[COUNTER_requests]);
    atomic_store(&slot->generation, seat->generation->number);
    atomic_store(&slot->started_ms, now_ms);
    atomic_store(&slot->state, SLOT_STARTING);
}

/* Gives up a process that can't be watched. */
static void unwatched_end(struct seat *seat)
{
    char how[SPAWN_TEXT_MAX];
    kill(seat->process.pid, SIGKILL);
    spawn_reap(seat->process.pid, true, how);
    close(seat->process.socket);
    close(seat->process.pidfd);
    seat->exit_watch.fd = -1;
    seat->word_watch.fd = -1;
}

int seat_start(struct seat *seat, int64_t now_ms, struct fault *fault)
{
    struct generation *generation = seat->generation;
    struct handoff handoff;
    struct spawn_plan plan = {.name = SPAWN_WORKER_NAME,
                              .user = &generation->user,
                              .socket_type = SOCK_SEQPACKET,
                              .keep = generation->keep,
                              .tidy = true,
                              .body = worker_body,
                              .context = &handoff};
    assert(seat->state == SEAT_EMPTY);
    seat->slot = slots_take(generation->tools->slots);
    if (seat->slot < 0)
        return fault_set(fault, seat->slot, "worker", 0,
                         "no free slot: %d workers are running or being swept", SEGMENT_SLOTS_MAX);
    slot_begin(seat, now_ms);
    plan.keep_count = generation_handoff(generation, seat, &handoff);
    int rc = spawn(&plan, &seat->process, fault);
    if (rc == 0 && (rc = watch_both(seat)) < 0) {
        unwatched_end(seat);
        fault_set(fault, rc, "worker", 0, "cannot be watched: %s", strerror(-rc));
    }
    if (rc < 0) {
        slots_give_back(generation->tools->slots, seat->slot);
        seat->slot = -1;
        return rc;
    }
    atomic_store(&slot_of(seat)->pid, seat->process.pid);
    seat->state = SEAT_STARTING;
    seat->ready_ms = 0;
    seat->kill_ms = now_ms + SEAT_READY_MS;
    seat->restart_ms = LOOP_NEVER;
    seat->said[0] = '\0';
    for (unsigned i = 0; i < SEGMENT_VERSIONS_MAX; i++)
        seat->versions[i] = (struct seat_version){
            .number = i < handoff.versions_count ? handoff.versions[i].number : 0};
    pulse_begin(&seat->pulse, seat->process.pid);
    seat->wedged = false;
    return 0;
}

static int send_message(struct seat *seat, const struct msghdr *message)
{
    if (seat->process.socket < 0)
        return -EPIPE;
    if (sendmsg(seat->process.socket, message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
        return 0;
    int rc = -errno;
    if (rc != -EPIPE && rc != -ECONNRESET)
        report_warn("worker %u (pid %d) cannot be told '%c': %s", seat->share,
                    (int)seat->process.pid, *(const char *)message->msg_iov[0].iov_base,
                    strerror(-rc));
    return rc;
}

/* Sends `length` bytes with descriptors, of which there are one or two, or none. */
static int send_descriptors(struct seat *seat, char *bytes, size_t length, const int *fds,
                            size_t count)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control = {0};
    struct iovec part = {bytes, length};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    assert(count <= 2);
    if (count) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(header), fds, count * sizeof(int));
    }
    return send_message(seat, &message);
}

void seat_tell(struct seat *seat, enum handoff_word word, uint32_t number)
{
    char bytes[1 + sizeof(number)] = {(char)word};
    bool numbered = word == HANDOFF_ADOPT || word == HANDOFF_RELEASE || word == HANDOFF_FORGET;
    memcpy(bytes + 1, &number, sizeof(number));
    if (seat->state != SEAT_EMPTY)
        send_descriptors(seat, bytes, numbered ? sizeof(bytes) : 1, NULL, 0);
}

int seat_tell_policy(struct seat *seat, uint32_t number, int fd)
{
    char bytes[1 + sizeof(number)] = {HANDOFF_POLICY};
    memcpy(bytes + 1, &number, sizeof(number));
    return send_descriptors(seat, bytes, sizeof(bytes), &fd, 1);
}

void seat_tell_addresses(struct seat *seat, const char *name, const char *addresses)
{
    char bytes[HANDOFF_MESSAGE_MAX];
    int length = snprintf(bytes, sizeof(bytes), "%c%s %s", HANDOFF_ADDRESSES, name, addresses);
    if (seat->state != SEAT_EMPTY && length < (int)sizeof(bytes))
        send_descriptors(seat, bytes, (size_t)length, NULL, 0);
}

void seat_tell_logs(struct seat *seat, int access_fd, int error_fd)
{
    int fds[2];
    size_t count = 0;
    char bytes[2] = {HANDOFF_LOGS, (char)((access_fd >= 0 ? 1 : 0) | (error_fd >= 0 ? 2 : 0))};
    if (access_fd >= 0)
        fds[count++] = access_fd;
    if (error_fd >= 0)
        fds[count++] = error_fd;
    if (seat->state != SEAT_EMPTY && count)
        send_descriptors(seat, bytes, sizeof(bytes), fds, count);
}

void seat_kill(struct seat *seat, const char *why)
{
    if (seat->state == SEAT_EMPTY)
        return;
    report_error("worker %u (pid %d, generation %u) is killed: %s", seat->share,
                 (int)seat->process.pid, seat->generation->number, why);
    kill(seat->process.pid, SIGKILL);
    seat->kill_ms = LOOP_NEVER;
    seat->pulse.usable = false; /* one kill is said once */
}

#include "master/helper.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES 65536

/* Lets go of the child and returns its answer's bytes, which become the caller's. */
static char *helper_end(struct helper *helper, char *how)
{
    char *answer = helper->answer;
    loop_remove(helper->loop, &helper->watch);
    /* A child that closed its socket is on its way out, and its status is already decided. */
    kill(helper->process.pid, SIGKILL);
    spawn_reap(helper->process.pid, true, how);
    close(helper->process.socket);
    close(helper->process.pidfd);
    helper->answer = NULL;
    helper->running = false;
    return answer;
}

static void helper_finish(struct helper *helper, int rc, const char *why)
{
    char how[SPAWN_TEXT_MAX];
    struct fault fault = {0};
    struct span payload = {NULL, 0};
    size_t length = helper->length;
    int fd = helper->passed_fd;
    char *answer = helper_end(helper, how);
    helper->passed_fd = -1;
    if (rc == 0 && length > 0 && answer[0] == 'o')
        payload = span_make(answer + 1, length - 1);
    else if (rc == 0 && length > 1 && answer[0] == 'f')
        rc = fault_set(&fault, -EINVAL, NULL, 0, "%.*s", (int)(length - 1), answer + 1);
    else
        rc = fault_set(&fault, rc ? rc : -EPROTO, helper->task, 0, "%s%s",
                       why ? why : "the process that does it ", why ? "" : how);
    if (rc < 0 && fd >= 0) {
        close(fd);
        fd = -1;
    }
    helper->done(helper, rc, payload, fd, &fault);
    free(answer);
}

/* Keeps the last one. More than one may come at once, for the control data is padded. */
static void take_descriptor(struct helper *helper, struct msghdr *message)
{
    int fd;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t at = CMSG_LEN(0); at + sizeof(fd) <= c->cmsg_len; at += sizeof(fd)) {
            memcpy(&fd, (const char *)c + at, sizeof(fd));
            if (helper->passed_fd >= 0)
                close(helper->passed_fd);
            helper->passed_fd = fd;
        }
    }
}

/* Makes room for READ_BYTES more. */
static int answer_grow(struct helper *helper)
{
    if (helper->size - helper->length >= READ_BYTES)
        return 0;
    if (helper->size >= HELPER_ANSWER_MAX)
        return -EFBIG;
    size_t size = helper->size ? helper->size * 2 : 4 * READ_BYTES;
    char *answer = realloc(helper->answer, size);
    if (!answer)
        return -ENOMEM;
    helper->answer = answer;
    helper->size = size;
    return 0;
}

static void helper_ready(struct watch *watch, uint32_t events)
{
    struct helper *helper = OWNER_OF(watch, struct helper, watch);
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    (void)events;
    int rc = answer_grow(helper);
    if (rc < 0) {
        helper_finish(helper, rc, strerror(-rc));
        return;
    }
    struct iovec room = {helper->answer + helper->length, READ_BYTES};
    struct msghdr message = {.msg_iov = &room,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(helper->process.socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        helper_finish(helper, 0, NULL);
        return;
    }
    take_descriptor(helper, &message);
    helper->length += (size_t)n;
}

int helper_start(struct helper *helper, struct loop *loop, const char *task,
                 const struct spawn_user *user, const int *keep, size_t keep_count,
                 int (*body)(int socket, void *context), void *context, struct fault *fault)
{
    struct spawn_plan plan = {
        .name = "herald-helper",
        .user = user,
        .socket_type = SOCK_STREAM,
        .keep = keep,
        .keep_count = keep_count,
        .cpu_limit_s = helper->cpu_s ? helper->cpu_s : HELPER_CPU_S,
        .body = body,
        .context = context,
    };
    assert(!helper->running);
    int rc = spawn(&plan, &helper->process, fault);
    if (rc < 0)
        return rc;
    helper->loop = loop;
    helper->task = task;
    helper->watch = (struct watch){.fd = helper->process.socket, .ready = helper_ready};
    helper->deadline_ms = loop_now_ms() + (helper->wall_ms ? helper->wall_ms : HELPER_WALL_MS);
    helper->answer = NULL;
    helper->length = 0;
    helper->size = 0;
    helper->passed_fd = -1;
    helper->running = true;
    rc = loop_add(loop, &helper->watch, EPOLLIN);
    if (rc < 0) {
        helper_cancel(helper);
        return fault_set(fault, rc, task, 0, "%s", strerror(-rc));
    }
    return 0;
}

void helper_tick(struct helper *helper, int64_t now_ms)
{
    if (helper->running && now_ms >= helper->deadline_ms)
        helper_finish(helper, -ETIMEDOUT, "took too long");
}

void helper_cancel(struct helper *helper)
{
    char how[SPAWN_TEXT_MAX];
    if (!helper->running)
        return;
    free(helper_end(helper, how));
    if (helper->passed_fd >= 0)
        close(helper->passed_fd);
    helper->passed_fd = -1;
}

static int send_all(int socket, const char *data, size_t length)
{
    while (length) {
        ssize_t n = send(socket, data, length, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            return 1;
        if (n > 0) {
            data += n;
            length -= (size_t)n;
        }
    }
    return 0;
}

int helper_answer(int socket, struct span payload, int fd)
{
    char first = 'o';
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec byte = {&first, 1};
    struct msghdr message = {.msg_iov = &byte, .msg_iovlen = 1};
    if (fd >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof(control);
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(fd));
        memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    }
    if (sendmsg(socket, &message, MSG_NOSIGNAL) != 1)
        return 1;
    return send_all(socket, payload.data, payload.length);
}

int helper_refuse(int socket, const struct fault *fault)
{
    char text[FAULT_WHERE_MAX + FAULT_WHAT_MAX + 32];
    text[0] = 'f';
    fault_text(fault, text + 1, sizeof(text) - 1);
    send_all(socket, text, strlen(text));
    return 1;
}

#include "worker/accept.h"

#include "worker/conn.h"
#include "worker/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#define RETRY_MS 100 /* after an accept that failed for want of descriptors or memory */

/* One listener of one share. */
struct gate {
    struct acceptor *acceptor;
    struct ring_op op;
    struct timer retry;
    int fd; /* -1: a retired share has no socket of a newer address */
    bool tls;
    unsigned https_port; /* that what is asked for is redirected to; 0: it is answered here */
    bool open;           /* this worker is to accept from it */
};

struct acceptor {
    struct worker *worker;
    int spare_fd; /* given up to turn one connection away when descriptors run out */
    unsigned listens;
    unsigned count;
    struct gate gates[]; /* [share * listens + listen] */
};

static void arm(struct gate *gate)
{
    if (gate->open && gate->fd >= 0 && !gate->op.armed)
        ring_accept(gate->acceptor->worker->ring, &gate->op, gate->fd);
}

static void on_retry(struct timer *timer)
{
    arm((struct gate *)((char *)timer - offsetof(struct gate, retry)));
}

/* Accepts what waits in the queue, if anything does. The listener is shared with other processes:
 * one of them may be quicker, so the wait has a limit, and its file flags stay as they are, since
 * O_NONBLOCK would end their io_uring accepts. Returns a descriptor or -1. */
static int accept_waiting(int listener)
{
    struct pollfd ready = {.fd = listener, .events = POLLIN};
    struct timeval limit = {.tv_usec = 1000};
    if (poll(&ready, 1, 0) != 1)
        return -1;
    setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    return accept4(listener, NULL, NULL, SOCK_CLOEXEC);
}

/* With no descriptor left the queue's head would wait for ever: it is accepted with the spare one
 * and closed, so that its client may try elsewhere. */
static void turn_one_away(struct acceptor *acceptor, int listener)
{
    if (acceptor->spare_fd < 0)
        return;
    close(acceptor->spare_fd);
    int fd = accept_waiting(listener);
    if (fd >= 0)
        close(fd);
    acceptor->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void failed(struct gate *gate, int error)
{
    struct worker *worker = gate->acceptor->worker;
    if (error == -ECANCELED)
        return;
    if (error == -ECONNABORTED || error == -EINTR || error == -EPROTO) {
        arm(gate);
        return;
    }
    stats_add(worker->stats, COUNTER_accept_failures, 1);
    if (error == -EMFILE || error == -ENFILE)
        turn_one_away(gate->acceptor, gate->fd);
    timer_set(&worker->timers, &gate->retry, worker->timers.now_ms + RETRY_MS);
}

/* The kernel wakes one waiter for each connection. One that was woken and then cancelled has left
 * its connection in the queue, where nobody would look for it until the next one comes. */
static void sweep(struct gate *gate)
{
    int fd;
    while ((fd = accept_waiting(gate->fd)) >= 0)
        conn_open(gate->acceptor->worker, fd, gate->tls, gate->https_port);
}

static void on_accept(struct ring_op *op, const struct ring_event *event)
{
    struct gate *gate = (struct gate *)((char *)op - offsetof(struct gate, op));
    if (event->result >= 0)
        conn_open(gate->acceptor->worker, event->result, gate->tls, gate->https_port);
    if (event->more)
        return;
    if (!gate->open)
        sweep(gate);
    else if (event->result < 0)
        failed(gate, event->result);
    else
        arm(gate);
}

/* Where the listener redirects to: the first one with TLS, of which there is one then. */
static unsigned https_port(const struct config *config, unsigned listen)
{
    size_t i = 0;
    if (!config->listens[listen].redirect)
        return 0;
    while (i + 1 < config->listens_count && !config->listens[i].tls)
        i++;
    const struct sockaddr_storage *address = &config->listens[i].address;
    if (address->ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)address)->sin6_port);
    return ntohs(((const struct sockaddr_in *)address)->sin_port);
}

struct acceptor *acceptor_create(struct worker *worker)
{
    const struct handoff *handoff = worker->handoff;
    unsigned listens = (unsigned)worker->config->listens_count;
    unsigned count = handoff->shares * listens;
    struct acceptor *acceptor = calloc(1, sizeof(*acceptor) + count * sizeof(struct gate));
    if (!acceptor || timers_reserve(&worker->timers, count + 16) < 0) {
        free(acceptor);
        return NULL;
    }
    acceptor->worker = worker;
    acceptor->listens = listens;
    acceptor->count = count;
    acceptor->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (unsigned i = 0; i < count; i++)
        acceptor->gates[i] = (struct gate){.acceptor = acceptor,
                                           .op.done = on_accept,
                                           .retry.fired = on_retry,
                                           .fd = handoff->listeners[i],
                                           .tls = worker->config->listens[i % listens].tls,
                                           .https_port = https_port(worker->config, i % listens)};
    acceptor_adopt(acceptor, handoff->share);
    return acceptor;
}

void acceptor_adopt(struct acceptor *acceptor, unsigned share)
{
    for (unsigned i = 0; i < acceptor->listens; i++) {
        struct gate *gate = &acceptor->gates[share * acceptor->listens + i];
        gate->open = true;
        arm(gate);
    }
}

void acceptor_release(struct acceptor *acceptor, unsigned share)
{
    struct worker *worker = acceptor->worker;
    for (unsigned i = 0; i < acceptor->listens; i++) {
        struct gate *gate = &acceptor->gates[share * acceptor->listens + i];
        gate->open = false;
        timer_stop(&worker->timers, &gate->retry);
        ring_cancel(worker->ring, &gate->op);
    }
}

void acceptor_stop(struct acceptor *acceptor)
{
    for (unsigned share = 0; share < acceptor->worker->handoff->shares; share++)
        acceptor_release(acceptor, share);
}

bool acceptor_idle(const struct acceptor *acceptor)
{
    for (unsigned i = 0; i < acceptor->count; i++)
        if (acceptor->gates[i].op.armed)
            return false;
    return true;
}

void acceptor_destroy(struct acceptor *acceptor)
{
    if (acceptor && acceptor->spare_fd >= 0)
        close(acceptor->spare_fd);
    free(acceptor);
}

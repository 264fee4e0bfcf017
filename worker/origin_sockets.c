#include "worker/origin_sockets.h"

#include "worker/blocks.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

struct origin_socket {
    struct ring_op op;
    struct origin_sockets *sockets;
    int fd;
    unsigned wanted; /* poll events; 0: none */
    unsigned armed;  /* those of the poll under way */
    bool busy;       /* its readiness is being told */
    bool closing;
};

static void arm(struct origin_socket *socket)
{
    socket->armed = socket->wanted;
    ring_poll(socket->sockets->ring, &socket->op, socket->fd, socket->wanted);
}

static void socket_close(struct origin_socket *socket)
{
    socket->sockets->all[socket->fd] = NULL;
    socket->sockets->count--;
    close(socket->fd);
    blocks_give(socket);
}

/* Once readiness was told, or the poll has ended. */
static void settle(struct origin_socket *socket)
{
    if (socket->busy || socket->op.armed)
        return;
    if (socket->closing)
        socket_close(socket);
    else if (socket->wanted)
        arm(socket);
}

static void on_poll(struct ring_op *op, const struct ring_event *event)
{
    struct origin_socket *socket = (struct origin_socket *)op;
    struct origin_sockets *sockets = socket->sockets;
    if (event->result > 0 && socket->wanted && !socket->closing) {
        socket->busy = true;
        sockets->ready(sockets->context, socket->fd, (unsigned)event->result);
        socket->busy = false;
    }
    settle(socket);
}

static struct origin_socket *known(const struct origin_sockets *sockets, int fd)
{
    return (size_t)fd < sockets->room ? sockets->all[fd] : NULL;
}

static void make_room(struct origin_sockets *sockets, int fd)
{
    size_t room = (size_t)fd * 2 + 64;
    if ((size_t)fd < sockets->room)
        return;
    sockets->all = blocks_resize_surely(sockets->all, room * sizeof(*sockets->all));
    memset(sockets->all + sockets->room, 0, (room - sockets->room) * sizeof(*sockets->all));
    sockets->room = room;
}

static struct origin_socket *enter(struct origin_sockets *sockets, int fd)
{
    make_room(sockets, fd);
    struct origin_socket *socket = blocks_take_surely(sizeof(*socket));
    *socket = (struct origin_socket){.op.done = on_poll, .sockets = sockets, .fd = fd};
    sockets->all[fd] = socket;
    sockets->count++;
    return socket;
}

void origin_sockets_want(struct origin_sockets *sockets, int fd, unsigned events)
{
    struct origin_socket *socket = known(sockets, fd);
    if (!socket)
        socket = enter(sockets, fd);
    socket->wanted = events;
    if (socket->op.armed && socket->armed != socket->wanted)
        ring_cancel(sockets->ring, &socket->op);
    settle(socket);
}

int origin_sockets_close(struct origin_sockets *sockets, int fd)
{
    struct origin_socket *socket = known(sockets, fd);
    if (!socket)
        return close(fd) < 0 ? -errno : 0;
    socket->wanted = 0;
    socket->closing = true;
    ring_cancel(sockets->ring, &socket->op);
    settle(socket);
    return 0;
}

void origin_sockets_finish(struct origin_sockets *sockets)
{
    assert(sockets->count == 0);
    blocks_give(sockets->all);
    *sockets = (struct origin_sockets){0};
}

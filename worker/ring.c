#include "worker/ring.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SUBMISSIONS 512
#define COMPLETIONS 4096
#define BUFFER_GROUP 0
#define COMPLETIONS_PER_WAKE 512 /* then what was made ready is sent before more is taken in */

struct ring {
    struct io_uring uring;
    struct io_uring_buf_ring *buffers;
    uint8_t *pool;     /* RING_BUFFERS of RING_BUFFER_BYTES */
    unsigned recycled; /* buffers given back since the tail was published */
    bool yielded;
};

static int queue_open(struct io_uring *uring, unsigned entries)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |
                 IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_TASKRUN_FLAG,
        .cq_entries = entries * (COMPLETIONS / SUBMISSIONS),
    };
    return io_uring_queue_init_params(entries, uring, &params);
}

static int read_number(const char *path, const char *label)
{
    char line[256];
    int value = -1;
    FILE *file = fopen(path, "re");
    if (!file)
        return -1;
    while (value < 0 && fgets(line, sizeof(line), file))
        if (strncmp(line, label, strlen(label)) == 0)
            value = atoi(line + strlen(label));
    fclose(file);
    return value;
}

/* Says which of the things that can forbid io_uring does so here, and how to allow it. */
static int explain_refusal(int rc, struct fault *fault)
{
    int disabled = read_number("/proc/sys/kernel/io_uring_disabled", "");
    bool filtered = read_number("/proc/self/status", "Seccomp:") == 2;
    if ((rc == -EPERM || rc == -EACCES) && disabled > 0)
        return fault_set(fault, rc, "io_uring", 0,
                         "forbidden by the sysctl kernel.io_uring_disabled = %d; allow it with: "
                         "sysctl -w kernel.io_uring_disabled=0",
                         disabled);
    if ((rc == -EPERM || rc == -EACCES || rc == -ENOSYS) && filtered)
        return fault_set(fault, rc, "io_uring", 0,
                         "forbidden by a seccomp filter (the default one of a container engine "
                         "does that); run the container with: --security-opt "
                         "seccomp=PROFILE.json, a profile that allows io_uring_setup, "
                         "io_uring_enter and io_uring_register, or seccomp=unconfined");
    if (rc == -ENOSYS)
        return fault_set(fault, rc, "io_uring", 0,
                         "this kernel has no io_uring; herald needs Linux 6.1 or later");
    if (rc == -EINVAL)
        return fault_set(fault, rc, "io_uring", 0,
                         "this kernel's io_uring lacks SINGLE_ISSUER or DEFER_TASKRUN; herald "
                         "needs Linux 6.1 or later");
    if (rc == -ENOMEM)
        return fault_set(fault, rc, "io_uring", 0,
                         "no memory for the ring; raise the locked memory limit (ulimit -l, or "
                         "LimitMEMLOCK= in the unit; --ulimit memlock=-1 for a container)");
    return fault_set(fault, rc, "io_uring", 0, "cannot be used here: %s", strerror(-rc));
}

int ring_probe(struct fault *fault)
{
    struct io_uring uring;
    int rc = queue_open(&uring, 8);
    if (rc < 0)
        return explain_refusal(rc, fault);
    io_uring_queue_exit(&uring);
    return 0;
}

static int pool_open(struct ring *ring)
{
    size_t ring_bytes = RING_BUFFERS * sizeof(struct io_uring_buf);
    struct io_uring_buf_reg registration = {.ring_entries = RING_BUFFERS, .bgid = BUFFER_GROUP};
    int mask = io_uring_buf_ring_mask(RING_BUFFERS);
    ring->buffers =
        mmap(NULL, ring_bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    if (ring->buffers == MAP_FAILED) {
        ring->buffers = NULL;
        return -ENOMEM;
    }
    ring->pool = mmap(NULL, (size_t)RING_BUFFERS * RING_BUFFER_BYTES, PROT_READ | PROT_WRITE,
                      MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    if (ring->pool == MAP_FAILED) {
        ring->pool = NULL;
        return -ENOMEM;
    }
    registration.ring_addr = (unsigned long)ring->buffers;
    int rc = io_uring_register_buf_ring(&ring->uring, &registration, 0);
    if (rc < 0)
        return rc;
    io_uring_buf_ring_init(ring->buffers);
    for (unsigned i = 0; i < RING_BUFFERS; i++)
        io_uring_buf_ring_add(ring->buffers, ring->pool + (size_t)i * RING_BUFFER_BYTES,
                              RING_BUFFER_BYTES, (unsigned short)i, mask, (int)i);
    io_uring_buf_ring_advance(ring->buffers, RING_BUFFERS);
    return 0;
}

static void pool_close(struct ring *ring)
{
    if (ring->buffers)
        munmap(ring->buffers, RING_BUFFERS * sizeof(struct io_uring_buf));
    if (ring->pool)
        munmap(ring->pool, (size_t)RING_BUFFERS * RING_BUFFER_BYTES);
}

int ring_create(struct ring **out, struct fault *fault)
{
    struct ring *ring = calloc(1, sizeof(*ring));
    if (!ring)
        return fault_set(fault, -ENOMEM, "io_uring", 0, "out of memory");
    int rc = queue_open(&ring->uring, SUBMISSIONS);
    if (rc < 0) {
        free(ring);
        return explain_refusal(rc, fault);
    }
    rc = pool_open(ring);
    if (rc < 0) {
        ring_destroy(ring);
        return explain_refusal(rc, fault);
    }
    *out = ring;
    return 0;
}

void ring_destroy(struct ring *ring)
{
    if (!ring)
        return;
    io_uring_queue_exit(&ring->uring);
    pool_close(ring);
    free(ring);
}

static struct io_uring_sqe *next_sqe(struct ring *ring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
    while (!sqe) {
        io_uring_submit(&ring->uring);
        sqe = io_uring_get_sqe(&ring->uring);
    }
    return sqe;
}

/* For one operation's submission: it must not be under way already. */
static struct io_uring_sqe *arm(struct ring *ring, struct ring_op *op)
{
    assert(!op->armed && op->done);
    op->armed = true;
    op->provided = false;
    return next_sqe(ring);
}

/* Gives one receive buffer back to the kernel; published by publish_buffers. */
static void recycle(struct ring *ring, unsigned id)
{
    io_uring_buf_ring_add(ring->buffers, ring->pool + (size_t)id * RING_BUFFER_BYTES,
                          RING_BUFFER_BYTES, (unsigned short)id,
                          io_uring_buf_ring_mask(RING_BUFFERS), (int)ring->recycled++);
}

static void publish_buffers(struct ring *ring)
{
    if (ring->recycled)
        io_uring_buf_ring_advance(ring->buffers, (int)ring->recycled);
    ring->recycled = 0;
}

static void complete(struct ring *ring, const struct io_uring_cqe *cqe)
{
    struct ring_op *op = io_uring_cqe_get_data(cqe);
    struct ring_event event = {.result = cqe->res, .more = cqe->flags & IORING_CQE_F_MORE};
    unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
    bool buffered = cqe->flags & IORING_CQE_F_BUFFER;
    if (buffered)
        event.data = ring->pool + (size_t)id * RING_BUFFER_BYTES;
    if (op) {
        assert(op->armed);
        op->armed = event.more;
        op->done(op, &event);
    }
    if (buffered)
        recycle(ring, id);
}

void ring_sleep(struct ring *ring, int64_t timeout_ns)
{
    struct io_uring_cqe *cqe;
    struct __kernel_timespec limit = {.tv_sec = timeout_ns / 1000000000,
                                      .tv_nsec = timeout_ns % 1000000000};
    /* Operations that had to wait complete only when the kernel is asked for events, which liburing does
     * not do while there are any: those of a peer that always has more, say, which complete as they are
     * submitted. */
    if (io_uring_cq_ready(&ring->uring)) {
        io_uring_submit_and_get_events(&ring->uring);
        return;
    }
    /* A time-out, a signal and a full completion queue all end the wait: the loop goes round. */
    io_uring_submit_and_wait_timeout(&ring->uring, &cqe, 1, timeout_ns < 0 ? NULL : &limit, NULL);
}

void ring_submit(struct ring *ring)
{
    if (io_uring_sq_ready(&ring->uring))
        io_uring_submit(&ring->uring);
}

bool ring_has_more(const struct ring *ring)
{
    const struct io_uring *uring = &ring->uring;
    return io_uring_cq_ready(uring) || IO_URING_READ_ONCE(*uring->sq.kflags) & IORING_SQ_TASKRUN;
}

/* No more than had completed by now: asking whether there is more lets the kernel complete more, and
 * peers that send as fast as that could go on so for as long as they like. */
int ring_run(struct ring *ring)
{
    struct io_uring_cqe *cqe;
    unsigned ready = io_uring_cq_ready(&ring->uring), count = 0;
    if (ready > COMPLETIONS_PER_WAKE)
        ready = COMPLETIONS_PER_WAKE;
    ring->yielded = false;
    while (count < ready && !ring->yielded && io_uring_peek_cqe(&ring->uring, &cqe) == 0) {
        struct io_uring_cqe seen = *cqe;
        io_uring_cqe_seen(&ring->uring, cqe);
        complete(ring, &seen);
        count++;
    }
    publish_buffers(ring);
    return (int)count;
}

void ring_yield(struct ring *ring)
{
    ring->yielded = true;
}

void ring_accept(struct ring *ring, struct ring_op *op, int fd)
{
    struct io_uring_sqe *sqe = arm(ring, op);
    io_uring_prep_multishot_accept(sqe, fd, NULL, NULL, SOCK_CLOEXEC);
    io_uring_sqe_set_data(sqe, op);
}

void ring_recv(struct ring *ring, struct ring_op *op, int fd, bool once)
{
    struct io_uring_sqe *sqe = arm(ring, op);
    op->provided = true;
    if (once)
        io_uring_prep_recv(sqe, fd, NULL, 0, 0);
    else
        io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
    io_uring_sqe_set_data(sqe, op);
}

void ring_recv_into(struct ring *ring, struct ring_op *op, int fd, void *data, size_t length)
{
    struct io_uring_sqe *sqe = arm(ring, op);
    io_uring_prep_recv(sqe, fd, data, length, 0);
    io_uring_sqe_set_data(sqe, op);
}

void ring_send(struct ring *ring, struct ring_op *op, int fd, const void *data, size_t length)
{
    struct io_uring_sqe *sqe = arm(ring, op);
    io_uring_prep_send(sqe, fd, data, length, MSG_WAITALL | MSG_NOSIGNAL);
    io_uring_sqe_set_data(sqe, op);
}

void ring_sendmsg(struct ring *ring, struct ring_op *op, int fd, const struct msghdr *message)
{
    struct io_uring_sqe *sqe = arm(ring, op);
    io_uring_prep_sendmsg(sqe, fd, message, MSG_WAITALL | MSG_NOSIGNAL);
    io_uring_sqe_set_data(sqe, op);
}

void ring_poll(struct ring *ring, struct ring_op *op, int fd, unsigned events)
{
    struct io_uring_sqe *sqe = arm(ring, op);
    io_uring_prep_poll_add(sqe, fd, events);
    io_uring_sqe_set_data(sqe, op);
}

void ring_openat2(struct ring *ring, struct ring_op *op, int dir_fd, const char *path,
                  struct open_how *how)
{
    struct io_uring_sqe *sqe = arm(ring, op);
    io_uring_prep_openat2(sqe, dir_fd, path, how);
    io_uring_sqe_set_data(sqe, op);
}

void ring_statx(struct ring *ring, struct ring_op *op, int fd, const char *path, int flags,
                unsigned mask, struct statx *stat)
{
    struct io_uring_sqe *sqe = arm(ring, op);
    io_uring_prep_statx(sqe, fd, path, flags, mask, stat);
    io_uring_sqe_set_data(sqe, op);
}

void ring_read(struct ring *ring, struct ring_op *op, int fd, void *data, size_t length,
               uint64_t offset)
{
    struct io_uring_sqe *sqe = arm(ring, op);
    io_uring_prep_read(sqe, fd, data, (unsigned)length, offset);
    io_uring_sqe_set_data(sqe, op);
}

void ring_write(struct ring *ring, struct ring_op *op, int fd, const void *data, size_t length)
{
    struct io_uring_sqe *sqe = arm(ring, op);
    io_uring_prep_write(sqe, fd, data, (unsigned)length, (uint64_t)-1);
    io_uring_sqe_set_data(sqe, op);
}

void ring_cancel(struct ring *ring, struct ring_op *target)
{
    if (!target->armed)
        return;
    struct io_uring_sqe *sqe = next_sqe(ring);
    io_uring_prep_cancel(sqe, target, 0);
    io_uring_sqe_set_data(sqe, NULL); /* its own completion says nothing that matters */
}

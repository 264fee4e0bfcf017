/* io_uring, and nothing but it: operations in, completions out. liburing is used here only.
 *
 * An operation is a struct ring_op inside its owner. It is armed by one of the calls below and
 * stays so until its last completion; its owner must outlive that. Submission happens in ring_wait,
 * in one system call with the wait. When the submission queue is full, an arming call submits
 * first: arming can't fail. Not thread-safe: one ring, one thread. */
#ifndef HERALD_RING_H
#define HERALD_RING_H

#include "master/handoff/fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>

struct ring;
struct ring_op;
struct open_how; /* <linux/openat2.h> */

struct ring_event {
    int result;       /* ≥ 0, or -errno */
    bool more;        /* multishot: further completions will come; else the op is not armed now */
    const void *data; /* recv: the received bytes, borrowed until the callback returns */
};

/* Called from ring_wait for every completion. The op may be armed again inside. */
typedef void ring_done(struct ring_op *op, const struct ring_event *event);

struct ring_op {
    ring_done *done;
    bool armed;
    bool provided; /* its completions carry buffers of the ring's pool */
};

#define RING_BUFFERS 512       /* provided receive buffers, a power of two */
#define RING_BUFFER_BYTES 8192 /* each */

/* Tells whether this process may make the ring herald needs. Returns 0, or -errno with `fault`
 * saying what forbids it and how to allow it. */
int ring_probe(struct fault *fault);

/* Makes the calling thread's ring with its receive buffers. Returns 0 and a ring owned by the
 * caller, or -errno with `fault`. */
int ring_create(struct ring **ring, struct fault *fault);

/* No operation may be armed. NULL is accepted. */
void ring_destroy(struct ring *ring);

/* Submits what was armed, and waits until something completed, `timeout_ns` from now (negative: for
 * ever; 0: does not wait), or a signal came. */
void ring_sleep(struct ring *ring, int64_t timeout_ns);

/* Submits what was armed, without waiting for the next ring_sleep. */
void ring_submit(struct ring *ring);

/* Whether there is something to run, or will be once the kernel is asked. No system call. */
bool ring_has_more(const struct ring *ring);

/* Runs the callbacks of what had completed when it was called, 512 at most. No system call. Returns their
 * number. */
int ring_run(struct ring *ring);

/* For callbacks: ring_run returns after this one, and leaves the rest to its next call. */
void ring_yield(struct ring *ring);

/* Both. */
static inline int ring_wait(struct ring *ring, int64_t timeout_ns)
{
    ring_sleep(ring, timeout_ns);
    return ring_run(ring);
}

/* Every new connection of a listening socket: result is the descriptor, CLOEXEC, the callback's to
 * own. It stays blocking, as io_uring wants it: on O_NONBLOCK sockets it reports -EAGAIN instead of
 * waiting. Ends without `more` on failure. */
void ring_accept(struct ring *ring, struct ring_op *op, int fd);

/* Everything that arrives on a socket, in provided buffers; with `once`, no more than one of them.
 * Result 0 is the end of the stream, -ENOBUFS that no buffer was free: arm again from a later wake-up,
 * never at once. */
void ring_recv(struct ring *ring, struct ring_op *op, int fd, bool once);

/* What has arrived, as much as there is room for, once and without a provided buffer: result is how many
 * bytes. `data` must live until then. */
void ring_recv_into(struct ring *ring, struct ring_op *op, int fd, void *data, size_t length);

/* Sends `length` bytes; the kernel retries until all are taken (MSG_WAITALL), so the result is
 * `length` or a failure, or less when the peer went away. The bytes must live until then. */
void ring_send(struct ring *ring, struct ring_op *op, int fd, const void *data, size_t length);

/* The same for bytes in several places. `message`, what it points to and the bytes must live until
 * then. */
void ring_sendmsg(struct ring *ring, struct ring_op *op, int fd, const struct msghdr *message);

/* Readiness once: result is the poll mask. */
void ring_poll(struct ring *ring, struct ring_op *op, int fd, unsigned events);

/* File operations; paths, `how`, buffers and results must live until completion. */
void ring_openat2(struct ring *ring, struct ring_op *op, int dir_fd, const char *path,
                  struct open_how *how);
void ring_statx(struct ring *ring, struct ring_op *op, int fd, const char *path, int flags,
                unsigned mask, struct statx *stat);
void ring_read(struct ring *ring, struct ring_op *op, int fd, void *data, size_t length,
               uint64_t offset);
void ring_write(struct ring *ring, struct ring_op *op, int fd, const void *data, size_t length);

/* Asks that `target` complete soon; it still completes through its own callback (-ECANCELED, or
 * whatever it had reached). Nothing happens when it isn't armed. */
void ring_cancel(struct ring *ring, struct ring_op *target);

#endif

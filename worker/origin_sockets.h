/* The sockets of connections to origins, polled on the worker's ring: whoever drives them says what
 * it waits for, and is told when that has come. A socket is closed here, once its poll has
 * completed: closing a descriptor does not end a poll of it. */
#ifndef HERALD_ORIGIN_SOCKETS_H
#define HERALD_ORIGIN_SOCKETS_H

#include "worker/ring.h"

#include <stddef.h>

struct origin_socket;

/* `events` of poll have come on `fd`; the functions below may be called from there. */
typedef void origin_socket_ready(void *context, int fd, unsigned events);

/* Zeroed but for the first three. */
struct origin_sockets {
    struct ring *ring;
    origin_socket_ready *ready;
    void *context;
    struct origin_socket **all; /* by descriptor */
    size_t room;
    unsigned count; /* those that are not closed yet */
};

/* From now on `events` of poll are waited for on `fd`; 0: nothing is. Its memory is the blocks',
 * and surely given: libcurl never works again once it was refused a socket. */
void origin_sockets_want(struct origin_sockets *sockets, int fd, unsigned events);

/* Takes `fd` and closes it, later if need be. Nothing is told of it any more. Returns 0 or -errno.
 */
int origin_sockets_close(struct origin_sockets *sockets, int fd);

/* None may be left. */
void origin_sockets_finish(struct origin_sockets *sockets);

#endif

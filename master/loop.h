/* The master's one loop: descriptors and who is told when they are ready. */
#ifndef HERALD_LOOP_H
#define HERALD_LOOP_H

#include <stdint.h>

/* Part of whatever owns the descriptor. `ready` gets epoll's event bits; it may remove its watch
 * and free its owner. */
struct watch {
    int fd; /* -1: not watched */
    void (*ready)(struct watch *watch, uint32_t events);
};

struct loop {
    int epoll_fd;
};

/* The struct that holds `member`. */
#define OWNER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#define LOOP_NEVER INT64_MAX

/* Each returns 0 or -errno. */
int loop_init(struct loop *loop);
void loop_finish(struct loop *loop);

/* Watches watch->fd for `events` (EPOLLIN, EPOLLOUT), level-triggered. */
int loop_add(struct loop *loop, struct watch *watch, uint32_t events);
int loop_change(struct loop *loop, struct watch *watch, uint32_t events);

/* Stops watching, before the descriptor is closed. A watch that is not watched is accepted. */
void loop_remove(struct loop *loop, struct watch *watch);

/* Waits until a descriptor is ready or the clock reaches `deadline_ms` (LOOP_NEVER: for ever), and
 * calls at most one watch, so that none is called after its removal. */
void loop_wait(struct loop *loop, int64_t deadline_ms);

/* Milliseconds of CLOCK_BOOTTIME, which deadlines are told in. */
int64_t loop_now_ms(void);

#endif

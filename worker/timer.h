/* Deadlines of one loop: a heap whose earliest entry is the wait's timeout. Moving a deadline
 * later, which nearly every event does, costs one store: the heap is put right when the old time
 * comes. */
#ifndef HERALD_TIMER_H
#define HERALD_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timer;
typedef void timer_fired(struct timer *timer);

/* Embedded in its owner, who stops it before going away. */
struct timer {
    timer_fired *fired;
    uint64_t deadline_ms; /* wanted; of the loop's clock */
    uint64_t queued_ms;   /* the heap's key, never later than deadline_ms */
    size_t place;         /* index in the heap + 1; 0: not queued */
};

struct timers {
    struct timer **heap;
    size_t count;
    size_t room;
    uint64_t now_ms; /* CLOCK_MONOTONIC, read once a wake-up by timers_update */
    uint64_t now_us; /* the same */
};

void timers_finish(struct timers *timers);

/* The loop's clock, CLOCK_MONOTONIC, read anew: for what is timed within a wake-up, or outside of a
 * worker. */
uint64_t timer_clock_ns(void);

static inline uint64_t timer_clock_us(void)
{
    return timer_clock_ns() / 1000;
}

static inline int64_t timer_clock_ms(void)
{
    return (int64_t)(timer_clock_ns() / 1000000);
}

/* The same clock as it was at the kernel's last tick: for what is coarse itself, and asked often. */
uint64_t timer_clock_coarse_ms(void);

/* Reads the clock. */
void timers_update(struct timers *timers);

/* Makes room for `count` entries, so that timer_set need not. Returns 0 or -ENOMEM. */
int timers_reserve(struct timers *timers, size_t count);

/* Sets or moves the deadline. Where no room was reserved (timers that are stopped and set again,
 * many owners' at once) it makes some, and a worker without memory for that ends. */
void timer_set(struct timers *timers, struct timer *timer, uint64_t deadline_ms);
void timer_stop(struct timers *timers, struct timer *timer);

static inline bool timer_is_set(const struct timer *timer)
{
    return timer->place != 0;
}

/* Nanoseconds until the earliest deadline, 0 when it has passed, -1 when there is none. */
int64_t timers_wait_ns(const struct timers *timers);

/* Runs what is due. A timer is stopped before its callback, which may set it again. */
void timers_run(struct timers *timers);

#endif

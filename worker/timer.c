#include "worker/timer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

void timers_finish(struct timers *timers)
{
    free(timers->heap);
    *timers = (struct timers){0};
}

uint64_t timer_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t timer_clock_coarse_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void timers_update(struct timers *timers)
{
    timers->now_us = timer_clock_us();
    timers->now_ms = timers->now_us / 1000;
}

int timers_reserve(struct timers *timers, size_t count)
{
    if (count <= timers->room)
        return 0;
    size_t room = timers->room ? timers->room : 64;
    while (room < count)
        room *= 2;
    struct timer **heap = realloc(timers->heap, room * sizeof(struct timer *));
    if (!heap)
        return -ENOMEM;
    timers->heap = heap;
    timers->room = room;
    return 0;
}

static void put(struct timers *timers, size_t place, struct timer *timer)
{
    timers->heap[place - 1] = timer;
    timer->place = place;
}

static void rise(struct timers *timers, struct timer *timer)
{
    size_t place = timer->place;
    while (place > 1 && timers->heap[place / 2 - 1]->queued_ms > timer->queued_ms) {
        put(timers, place, timers->heap[place / 2 - 1]);
        place /= 2;
    }
    put(timers, place, timer);
}

static void sink(struct timers *timers, struct timer *timer)
{
    size_t place = timer->place;
    for (;;) {
        size_t child = place * 2;
        if (child > timers->count)
            break;
        if (child < timers->count &&
            timers->heap[child]->queued_ms < timers->heap[child - 1]->queued_ms)
            child++;
        if (timers->heap[child - 1]->queued_ms >= timer->queued_ms)
            break;
        put(timers, place, timers->heap[child - 1]);
        place = child;
    }
    put(timers, place, timer);
}

void timer_set(struct timers *timers, struct timer *timer, uint64_t deadline_ms)
{
    timer->deadline_ms = deadline_ms;
    if (timer->place && deadline_ms >= timer->queued_ms)
        return;
    timer->queued_ms = deadline_ms;
    if (!timer->place) {
        if (timers->count == timers->room && timers_reserve(timers, timers->count + 1) < 0)
            abort();
        put(timers, ++timers->count, timer);
    }
    rise(timers, timer);
}

void timer_stop(struct timers *timers, struct timer *timer)
{
    if (!timer->place)
        return;
    struct timer *last = timers->heap[--timers->count];
    size_t place = timer->place;
    timer->place = 0;
    if (last == timer)
        return;
    put(timers, place, last);
    rise(timers, last);
    sink(timers, last);
}

int64_t timers_wait_ns(const struct timers *timers)
{
    if (timers->count == 0)
        return -1;
    uint64_t first = timers->heap[0]->queued_ms;
    return first <= timers->now_ms ? 0 : (int64_t)(first - timers->now_ms) * 1000000;
}

void timers_run(struct timers *timers)
{
    while (timers->count && timers->heap[0]->queued_ms <= timers->now_ms) {
        struct timer *timer = timers->heap[0];
        if (timer->deadline_ms > timers->now_ms) {
            timer->queued_ms = timer->deadline_ms;
            sink(timers, timer);
        } else {
            timer_stop(timers, timer);
            timer->fired(timer);
        }
    }
}

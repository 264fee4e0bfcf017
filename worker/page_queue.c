#include "worker/page_queue.h"

#include <assert.h>
#include <time.h>

#define SLICE_US 2000 /* of a wake-up, from the first page on */

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static bool time_is_left(struct worker *worker)
{
    struct page_queue *queue = &worker->pages_waiting;
    uint64_t now = now_us();
    if (queue->wakeup != worker->wakeups) {
        queue->wakeup = worker->wakeups;
        queue->began_us = now;
    }
    return now - queue->began_us < SLICE_US;
}

bool page_queue_enter(struct page *page)
{
    struct page_queue *queue = &page->worker->pages_waiting;
    assert(!page->waits);
    if (!queue->first && time_is_left(page->worker))
        return true;
    page->waits = true;
    page->waits_next = NULL;
    page->waits_previous = queue->last;
    if (queue->last)
        queue->last->waits_next = page;
    else
        queue->first = page;
    queue->last = page;
    return false;
}

void page_queue_leave(struct page *page)
{
    struct page_queue *queue = &page->worker->pages_waiting;
    if (!page->waits)
        return;
    page->waits = false;
    if (page->waits_previous)
        page->waits_previous->waits_next = page->waits_next;
    else
        queue->first = page->waits_next;
    if (page->waits_next)
        page->waits_next->waits_previous = page->waits_previous;
    else
        queue->last = page->waits_previous;
}

bool page_queue_run(struct worker *worker)
{
    struct page_queue *queue = &worker->pages_waiting;
    while (queue->first && time_is_left(worker)) {
        struct page *page = queue->first;
        page_queue_leave(page);
        page_decide_now(page);
    }
    return queue->first != NULL;
}

#include "worker/page_queue.h"

#include "worker/conn.h"

#include <assert.h>

#define SLICE_US 2000 /* of a wake-up, from the first page on */

static bool time_is_left(struct worker *worker)
{
    struct page_queue *queue = &worker->pages_waiting;
    uint64_t now = timer_clock_us();
    if (queue->wakeup != worker->wakeups) {
        queue->wakeup = worker->wakeups;
        queue->began_us = now;
    }
    return now - queue->began_us < SLICE_US;
}

static void line_stand(struct page_queue *queue, struct page_line *line)
{
    line->next = NULL;
    line->previous = queue->last;
    if (queue->last)
        queue->last->next = line;
    else
        queue->first = line;
    queue->last = line;
}

static void line_leave(struct page_queue *queue, struct page_line *line)
{
    if (line->previous)
        line->previous->next = line->next;
    else
        queue->first = line->next;
    if (line->next)
        line->next->previous = line->previous;
    else
        queue->last = line->previous;
}

bool page_queue_enter(struct page *page)
{
    struct page_queue *queue = &page->worker->pages_waiting;
    struct page_line *line = &page->stream->conn->pages_waiting;
    assert(!page->waits);
    if (!queue->first && time_is_left(page->worker))
        return true;
    page->waits = true;
    page->waits_next = NULL;
    page->waits_previous = line->last;
    if (line->last) {
        line->last->waits_next = page;
    } else {
        line->first = page;
        line_stand(queue, line);
    }
    line->last = page;
    return false;
}

void page_queue_leave(struct page *page)
{
    if (!page->waits)
        return;
    struct page_line *line = &page->stream->conn->pages_waiting;
    page->waits = false;
    if (page->waits_previous)
        page->waits_previous->waits_next = page->waits_next;
    else
        line->first = page->waits_next;
    if (page->waits_next)
        page->waits_next->waits_previous = page->waits_previous;
    else
        line->last = page->waits_previous;
    if (!line->first)
        line_leave(&page->worker->pages_waiting, line);
}

bool page_queue_run(struct worker *worker)
{
    struct page_queue *queue = &worker->pages_waiting;
    while (queue->first && time_is_left(worker)) {
        struct page_line *line = queue->first;
        struct page *page = line->first;
        assert(page);
        page_queue_leave(page);
        if (line->first) { /* its next page comes after one of every other connection's */
            line_leave(queue, line);
            line_stand(queue, line);
        }
        page_decide_now(page);
    }
    return queue->first != NULL;
}

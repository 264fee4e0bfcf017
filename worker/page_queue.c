#include "worker/page_queue.h"

#include "worker/conn.h"

#include <assert.h>

#define SLICE_US 100 /* of a wake-up, from the first page on */

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

bool page_queue_enter(struct page *page)
{
    struct page_queue *queue = &page->worker->pages_waiting;
    struct page_line *line = &page->stream->conn->pages_waiting;
    assert(!list_has(&page->turn));
    if (list_empty(&queue->lines) && time_is_left(page->worker))
        return true;
    if (list_empty(&line->pages))
        list_insert(&queue->lines, &line->turn);
    list_insert(&line->pages, &page->turn);
    return false;
}

void page_queue_leave(struct page *page)
{
    if (!list_has(&page->turn))
        return;
    struct page_line *line = &page->stream->conn->pages_waiting;
    list_remove(&page->turn);
    if (list_empty(&line->pages))
        list_remove(&line->turn);
}

bool page_queue_run(struct worker *worker)
{
    struct page_queue *queue = &worker->pages_waiting;
    if (list_empty(&queue->lines))
        return false;
    ring_submit(worker->ring); /* nobody's answer waits for what is decided now */
    while (!list_empty(&queue->lines) && time_is_left(worker)) {
        struct page_line *line = LIST_OWNER(queue->lines.next, struct page_line, turn);
        assert(!list_empty(&line->pages));
        struct page *page = LIST_OWNER(line->pages.next, struct page, turn);
        page_queue_leave(page);
        if (list_has(&line->turn)) { /* its next page comes after one of every other connection's */
            list_remove(&line->turn);
            list_insert(&queue->lines, &line->turn);
        }
        page_decide_now(page);
    }
    return !list_empty(&queue->lines);
}

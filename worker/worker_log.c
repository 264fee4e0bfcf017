#include "worker/worker_log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define DELAY_MS 50 /* lines are gathered for this long, so that a write carries many */

static void on_written(struct ring_op *op, const struct ring_event *event)
{
    struct worker_log *log = (struct worker_log *)((char *)op - offsetof(struct worker_log, op));
    struct worker *worker = log->worker;
    if (event->result > 0 && (size_t)event->result < log->writing.length) {
        log->writing = span_after(log->writing, (size_t)event->result);
        ring_write(worker->ring, op, log->fd, log->writing.data, log->writing.length);
        return;
    }
    if (event->result < 0) /* a full disk, say: what was gathered is lost, serving goes on */
        stats_add(worker->stats, COUNTER_log_dropped, log->writing_lines);
    else
        stats_add(worker->stats, COUNTER_log_lines, log->writing_lines);
    log->writing = (struct span){0};
    if (log->next_fd >= 0) {
        close(log->fd);
        log->fd = log->next_fd;
        log->next_fd = -1;
    }
}

int worker_log_open(struct worker_log *log, struct worker *worker, int fd, size_t size)
{
    *log = (struct worker_log){.worker = worker, .fd = fd, .next_fd = -1, .op.done = on_written};
    return fd < 0 ? 0 : log_init(&log->log, size);
}

void worker_log_reopen(struct worker_log *log, int fd)
{
    if (log->fd < 0) {
        close(fd); /* the log is off in this generation */
    } else if (log->op.armed) {
        if (log->next_fd >= 0)
            close(log->next_fd);
        log->next_fd = fd;
    } else {
        close(log->fd);
        log->fd = fd;
    }
}

static void count(struct worker_log *log)
{
    stats_add(log->worker->stats, COUNTER_log_dropped, log->log.dropped - log->counted_dropped);
    log->counted_dropped = log->log.dropped;
    log->writing_lines = log->log.lines - log->counted_lines;
    log->counted_lines = log->log.lines;
}

void worker_log_flush(struct worker_log *log, bool now)
{
    struct worker *worker = log->worker;
    if (log->fd < 0 || log->op.armed || log->log.used == 0)
        return;
    if (!log->due_ms)
        log->due_ms = worker->timers.now_ms + DELAY_MS;
    if (!now && worker->timers.now_ms < log->due_ms && log->log.used < log->log.size / 2)
        return;
    log->due_ms = 0;
    log->writing = log_take(&log->log);
    count(log);
    if (log->writing.length)
        ring_write(worker->ring, &log->op, log->fd, log->writing.data, log->writing.length);
}

bool worker_log_idle(const struct worker_log *log)
{
    return log->fd < 0 || (!log->op.armed && log->log.used == 0);
}

uint64_t worker_log_due(const struct worker_log *log)
{
    return log->fd >= 0 && !log->op.armed && log->due_ms ? log->due_ms : UINT64_MAX;
}

void worker_log_close(struct worker_log *log)
{
    log_finish(&log->log);
}

void worker_log_error(struct worker *worker, const char *level, const char *format, ...)
{
    char text[1200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (worker->errors.fd >= 0)
        log_text(&worker->errors.log, level, "%s", text);
}

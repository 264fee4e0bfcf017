#include "master/report.h"

#include "master/handoff/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

/* A pipe that is ready to be written takes this many bytes without making the writer wait. */
#define LINE_MAX_BYTES PIPE_BUF

static int destination = STDERR_FILENO;
static unsigned long dropped;

void report_to(int fd)
{
    int copy = fd == STDERR_FILENO ? fd : fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (copy < 0)
        return; /* the old one will do */
    if (destination != STDERR_FILENO)
        close(destination);
    destination = copy;
}

static bool write_line(const char *line, size_t length)
{
    struct pollfd ready = {.fd = destination, .events = POLLOUT};
    ssize_t n;
    if (poll(&ready, 1, 0) != 1 || !(ready.revents & POLLOUT))
        return false;
    do
        n = write(destination, line, length);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)length;
}

static void format_line(struct log *log, const char *level, const char *format, va_list arguments)
{
    char text[FAULT_WHERE_MAX + FAULT_WHAT_MAX + 256];
    vsnprintf(text, sizeof(text), format, arguments);
    log_text(log, level, "%s", text);
}

static void say(const char *level, const char *format, va_list arguments)
{
    static char halves[2][LINE_MAX_BYTES];
    struct log log = {.halves = {halves[0], halves[1]}, .size = LINE_MAX_BYTES};
    if (dropped) {
        log_text(&log, "warn", "%lu lines were dropped: the log's reader was behind", dropped);
        struct span note = log_take(&log);
        if (write_line(note.data, note.length))
            dropped = 0;
    }
    format_line(&log, level, format, arguments);
    struct span line = log_take(&log);
    if (!write_line(line.data, line.length))
        dropped++;
}

#define SAY(level)                     \
    do {                               \
        va_list arguments;             \
        va_start(arguments, format);   \
        say(level, format, arguments); \
        va_end(arguments);             \
    } while (0)

void report_info(const char *format, ...)
{
    SAY("info");
}

void report_warn(const char *format, ...)
{
    SAY("warn");
}

void report_error(const char *format, ...)
{
    SAY("error");
}

void report_fault(const char *what, const struct fault *fault)
{
    char text[FAULT_WHERE_MAX + FAULT_WHAT_MAX + 16];
    report_error("%s: %s", what, fault_text(fault, text, sizeof(text)));
}

/* Log lines gathered in memory and written by whoever owns the loop. Nothing here blocks: when the
 * writer is behind, lines are dropped and counted. */
#ifndef HERALD_LOG_H
#define HERALD_LOG_H

#include "master/handoff/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct log {
    char *halves[2]; /* one is filled while the other is being written */
    size_t size;     /* bytes of each half */
    size_t used;     /* of the half that is filled */
    size_t start;    /* where the line under way began */
    unsigned filling;
    bool open_line; /* a line is under way */
    bool overflow;  /* the line under way does not fit */
    bool first;     /* no member was written to the open object or array yet */
    uint64_t lines;
    uint64_t dropped;
};

/* `size`: bytes of each of the two halves. Returns 0 or -ENOMEM. */
int log_init(struct log *log, size_t size);
void log_finish(struct log *log);

/* What waits to be written: switches the halves, so that it stays unchanged until the next call.
 * Empty when nothing waits. Call again only after it was written. */
struct span log_take(struct log *log);

/* One plain line, "2026-11-22T12:00:00.123Z level text" with a line feed added; control characters
 * become '?'. `level`: "info", "warn", "error". */
void log_text(struct log *log, const char *level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* One JSON object a line: begin, members, end. A line that does not fit is dropped as a whole.
 * Values are escaped by RFC 8259, DEL and C1 controls too; bytes that are not UTF-8 become U+FFFD.
 * `key` is NULL for a bare element of an array. */
void log_begin(struct log *log);
void log_string_at(struct log *log, const char *key, size_t key_length, struct span value);
void log_number_at(struct log *log, const char *key, size_t key_length, int64_t value);
void log_word_at(struct log *log, const char *key, size_t key_length, struct span word);
void log_bool_at(struct log *log, const char *key, size_t key_length, bool value);
void log_open_array(struct log *log, const char *key);
void log_close_array(struct log *log);
void log_open_object(struct log *log); /* an element of an array */
void log_close_object(struct log *log);
void log_end(struct log *log);

/* Inline, so that the compiler counts the letters of a literal key. */
static inline void log_string(struct log *log, const char *key, struct span value)
{
    log_string_at(log, key, key ? strlen(key) : 0, value);
}

/* For words of ours, which need no escape. */
static inline void log_word(struct log *log, const char *key, struct span word)
{
    log_word_at(log, key, key ? strlen(key) : 0, word);
}

static inline void log_bool(struct log *log, const char *key, bool value)
{
    log_bool_at(log, key, strlen(key), value);
}

static inline void log_number(struct log *log, const char *key, int64_t value)
{
    log_number_at(log, key, key ? strlen(key) : 0, value);
}

/* RFC 3339 time with milliseconds (of the kernel's last tick), UTC, into `text` (LOG_TIME_MAX bytes). */
#define LOG_TIME_MAX 32
const char *log_time(char *text);

#endif

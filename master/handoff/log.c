#include "master/handoff/log.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

int log_init(struct log *log, size_t size)
{
    memset(log, 0, sizeof(*log));
    log->size = size;
    for (unsigned i = 0; i < 2; i++) {
        log->halves[i] = malloc(size);
        if (!log->halves[i]) {
            log_finish(log);
            return -ENOMEM;
        }
    }
    return 0;
}

void log_finish(struct log *log)
{
    free(log->halves[0]);
    free(log->halves[1]);
    memset(log, 0, sizeof(*log));
}

struct span log_take(struct log *log)
{
    assert(!log->open_line);
    struct span waiting = span_make(log->halves[log->filling], log->used);
    log->filling ^= 1;
    log->used = 0;
    return waiting;
}

static void put(struct log *log, const char *data, size_t length)
{
    if (log->overflow || length > log->size - log->used) {
        log->overflow = true;
        return;
    }
    memcpy(log->halves[log->filling] + log->used, data, length);
    log->used += length;
}

static void line_begin(struct log *log)
{
    assert(!log->open_line);
    log->open_line = true;
    log->overflow = false;
    log->start = log->used;
}

static void line_end(struct log *log)
{
    assert(log->open_line);
    put(log, "\n", 1);
    log->open_line = false;
    if (log->overflow) {
        log->used = log->start;
        log->dropped++;
    } else {
        log->lines++;
    }
}

/* A line of text must stay one line, and must not speak to the terminal that shows it. */
static void blank_controls(char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        bool c1 = c == 0xc2 && i + 1 < length && (unsigned char)text[i + 1] < 0xa0 &&
                  (unsigned char)text[i + 1] >= 0x80;
        if (c1)
            text[i + 1] = '?';
        if (c < 0x20 || c == 0x7f || c1)
            text[i] = '?';
    }
}

void log_text(struct log *log, const char *level, const char *format, ...)
{
    char time[LOG_TIME_MAX];
    va_list arguments;
    line_begin(log);
    log_time(time);
    put(log, time, strlen(time));
    put(log, " ", 1);
    put(log, level, strlen(level));
    put(log, " ", 1);
    if (!log->overflow) {
        char *at = log->halves[log->filling] + log->used;
        size_t room = log->size - log->used;
        va_start(arguments, format);
        int n = vsnprintf(at, room, format, arguments);
        va_end(arguments);
        if (n < 0 || (size_t)n >= room) {
            log->overflow = true;
        } else {
            blank_controls(at, (size_t)n);
            log->used += (size_t)n;
        }
    }
    line_end(log);
}

/* How many bytes the well-formed UTF-8 sequence at `s` takes (Unicode 3.9, table 3-7), or 0. */
static size_t utf8_length(const unsigned char *s, size_t left)
{
    size_t length;
    unsigned char least = 0x80;
    unsigned char most = 0xbf;
    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xc2 && s[0] <= 0xdf)
        length = 2;
    else if (s[0] >= 0xe0 && s[0] <= 0xef)
        length = 3;
    else if (s[0] >= 0xf0 && s[0] <= 0xf4)
        length = 4;
    else
        return 0;
    if (s[0] == 0xe0)
        least = 0xa0; /* shorter forms exist */
    else if (s[0] == 0xed)
        most = 0x9f; /* surrogates */
    else if (s[0] == 0xf0)
        least = 0x90;
    else if (s[0] == 0xf4)
        most = 0x8f; /* past U+10FFFF */
    if (left < length || s[1] < least || s[1] > most)
        return 0;
    for (size_t i = 2; i < length; i++)
        if (s[i] < 0x80 || s[i] > 0xbf)
            return 0;
    return length;
}

static void put_escape(struct log *log, unsigned code)
{
    char text[8];
    switch (code) {
    case '"':
        put(log, "\\\"", 2);
        return;
    case '\\':
        put(log, "\\\\", 2);
        return;
    case '\n':
        put(log, "\\n", 2);
        return;
    case '\t':
        put(log, "\\t", 2);
        return;
    default:
        snprintf(text, sizeof(text), "\\u%04x", code & 0xffffu);
        put(log, text, 6);
    }
}

/* ASCII that JSON takes as it is, and nearly all that is logged. */
static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* is_plain for eight bytes at once. Each term sets the high bit of a byte that is not plain; what
 * carries over to the next byte comes from one that is not plain itself. */
static bool are_plain(uint64_t bytes)
{
    uint64_t control = bytes - EACH(0x20);
    uint64_t quote = (bytes ^ EACH('"')) - EACH(1);
    uint64_t backslash = (bytes ^ EACH('\\')) - EACH(1);
    uint64_t delete = bytes + EACH(1);
    return ((bytes | control | quote | backslash | delete) & EACH(0x80)) == 0;
}

/* Copies four to seven bytes, as the first four and the last, if they are plain. */
static bool copy_short(char *out, const char *from, size_t length)
{
    uint32_t first, last;
    memcpy(&first, from, sizeof(first));
    memcpy(&last, from + length - sizeof(last), sizeof(last));
    if (!are_plain((uint64_t)first << 32 | last))
        return false;
    memcpy(out, &first, sizeof(first));
    memcpy(out + length - sizeof(last), &last, sizeof(last));
    return true;
}

/* Copies what is plain at the beginning of `value`, for which there is room. Returns its length: all
 * of it, or less, perhaps by up to seven bytes, where something is not plain. */
static size_t copy_plain(char *out, struct span value)
{
    const char *from = value.data;
    size_t length = value.length;
    uint64_t bytes;
    size_t i = 0;
    for (; i + sizeof(bytes) <= length; i += sizeof(bytes)) {
        memcpy(&bytes, from + i, sizeof(bytes));
        if (!are_plain(bytes))
            return i;
        memcpy(out + i, &bytes, sizeof(bytes));
    }
    if (i < length && i) { /* the last eight, some of them for the second time */
        memcpy(&bytes, from + length - sizeof(bytes), sizeof(bytes));
        if (!are_plain(bytes))
            return i;
        memcpy(out + length - sizeof(bytes), &bytes, sizeof(bytes));
        return length;
    }
    if (length >= 4 && length < 8 && copy_short(out, from, length))
        return length;
    for (; i < length && is_plain((unsigned char)from[i]); i++)
        out[i] = from[i];
    return i;
}

/* The rest of a value, from `plain` on. DEL and the C1 controls need no escape by RFC 8259, but a
 * terminal would obey them. */
static void put_escaped(struct log *log, struct span value, size_t plain)
{
    const unsigned char *s = (const unsigned char *)value.data;
    size_t i = plain; /* `plain`: start of the run that is copied as it is */
    for (;;) {
        while (i < value.length && is_plain(s[i]))
            i++;
        if (i == value.length)
            break;
        size_t n = utf8_length(s + i, value.length - i);
        bool c1 = n == 2 && s[i] == 0xc2 && s[i + 1] < 0xa0;
        bool escape = c1 || s[i] < 0x20 || s[i] == 0x7f || s[i] == '"' || s[i] == '\\';
        if (n && !escape) {
            i += n;
            continue;
        }
        put(log, value.data + plain, i - plain);
        if (!n)
            put(log, REPLACEMENT, sizeof(REPLACEMENT) - 1);
        else
            put_escape(log, c1 ? s[i + 1] : s[i]);
        i += n ? n : 1;
        plain = i;
    }
    if (value.length)
        put(log, value.data + plain, value.length - plain);
    put(log, "\"", 1);
}

/* For a few bytes, as keys and words are: a call of memcpy would cost more than the copy. Each half of
 * the two copies overlaps the other where they are more than the length. */
static inline char *copy_few(char *out, const char *from, size_t length)
{
    if (length >= 8 && length <= 16) {
        memcpy(out, from, 8);
        memcpy(out + (length - 8), from + (length - 8), 8);
    } else if (length >= 4 && length < 8) {
        memcpy(out, from, 4);
        memcpy(out + (length - 4), from + (length - 4), 4);
    } else if (length > 16) {
        memcpy(out, from, length);
    } else {
        for (size_t i = 0; i < length; i++)
            out[i] = from[i];
    }
    return out + length;
}

#define KEY_EXTRA 4 /* the comma, two quotation marks and the colon */

/* Where a member's value of up to `most` bytes begins, behind the key; NULL when the line does not
 * fit any more. Keys are ours: none needs an escape. The caller sets `used`. */
static inline char *begin_member(struct log *log, const char *key, size_t key_length, size_t most)
{
    assert(log->open_line);
    if (log->overflow || key_length + KEY_EXTRA + most > log->size - log->used) {
        log->overflow = true;
        return NULL;
    }
    char *at = log->halves[log->filling] + log->used;
    if (!log->first)
        *at++ = ',';
    log->first = false;
    if (key) {
        *at++ = '"';
        at = copy_few(at, key, key_length);
        *at++ = '"';
        *at++ = ':';
    }
    return at;
}

static void end_member(struct log *log, const char *at)
{
    log->used = (size_t)(at - log->halves[log->filling]);
}

static void open_member(struct log *log, const char *key, char bracket)
{
    char *at = begin_member(log, key, key ? strlen(key) : 0, 1);
    if (!at)
        return;
    *at++ = bracket;
    end_member(log, at);
    log->first = true;
}

void log_begin(struct log *log)
{
    line_begin(log);
    put(log, "{", 1);
    log->first = true;
}

void log_string_at(struct log *log, const char *key, size_t key_length, struct span value)
{
    char *at = begin_member(log, key, key_length, value.length + 2);
    if (!at)
        return;
    *at++ = '"';
    size_t plain = copy_plain(at, value);
    at += plain;
    if (plain == value.length)
        *at++ = '"';
    end_member(log, at);
    if (plain < value.length)
        put_escaped(log, value, plain);
}

void log_word_at(struct log *log, const char *key, size_t key_length, struct span word)
{
    char *at = begin_member(log, key, key_length, word.length + 2);
    if (!at)
        return;
    *at++ = '"';
    at = copy_few(at, word.data, word.length);
    *at++ = '"';
    end_member(log, at);
}

#define DIGITS_MAX 20

void log_number_at(struct log *log, const char *key, size_t key_length, int64_t value)
{
    char text[DIGITS_MAX];
    char *first = text + sizeof(text);
    uint64_t left = value < 0 ? -(uint64_t)value : (uint64_t)value;
    char *at = begin_member(log, key, key_length, sizeof(text));
    if (!at)
        return;
    if (value < 0)
        *at++ = '-';
    do
        *--first = (char)('0' + left % 10);
    while ((left /= 10) > 0);
    while (first < text + sizeof(text))
        *at++ = *first++;
    end_member(log, at);
}

void log_bool_at(struct log *log, const char *key, size_t key_length, bool value)
{
    char *at = begin_member(log, key, key_length, 5);
    if (at)
        end_member(log, value ? copy_few(at, "true", 4) : copy_few(at, "false", 5));
}

void log_open_array(struct log *log, const char *key)
{
    open_member(log, key, '[');
}

void log_close_array(struct log *log)
{
    put(log, "]", 1);
    log->first = false;
}

void log_open_object(struct log *log)
{
    open_member(log, NULL, '{');
}

void log_close_object(struct log *log)
{
    put(log, "}", 1);
    log->first = false;
}

void log_end(struct log *log)
{
    put(log, "}", 1);
    line_end(log);
}

/* The seconds are formatted when they change, the milliseconds each time. */
const char *log_time(char *text)
{
    static _Thread_local char last[LOG_TIME_MAX];
    static _Thread_local time_t last_second = -1;
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (now.tv_sec != last_second) {
        gmtime_r(&now.tv_sec, &tm);
        strftime(last, sizeof(last), "%Y-%m-%dT%H:%M:%S.000Z", &tm);
        last_second = now.tv_sec;
    }
    int ms = (int)(now.tv_nsec / 1000000);
    char *digits = last + sizeof("YYYY-MM-DDTHH:MM:SS.") - 1;
    digits[0] = (char)('0' + ms / 100);
    digits[1] = (char)('0' + ms / 10 % 10);
    digits[2] = (char)('0' + ms % 10);
    return strcpy(text, last);
}

/* A borrowed run of bytes: not NUL-terminated, never owned by the span itself. */
#ifndef HERALD_SPAN_H
#define HERALD_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

struct span {
    const char *data; /* may be NULL when length is 0 */
    size_t length;    /* bytes */
};

#define SPAN_LITERAL(text) ((struct span){(text), sizeof(text) - 1})

/* For printf's "%.*s". */
#define SPAN_PRINT(span) (int)(span).length, (span).length ? (span).data : ""

static inline struct span span_of(const char *text)
{
    return (struct span){text, text ? strlen(text) : 0};
}

static inline struct span span_make(const void *data, size_t length)
{
    return (struct span){data, length};
}

static inline bool span_equal(struct span a, struct span b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

/* ASCII case is ignored. */
static inline bool span_equal_nocase(struct span a, struct span b)
{
    return a.length == b.length && (a.length == 0 || strncasecmp(a.data, b.data, a.length) == 0);
}

/* A number that mostly differs between texts that do: by their lengths, ends and middles. For tables
 * that compare what they find, since whoever chooses texts can choose some that share it. */
static inline uint64_t span_mark(struct span text)
{
    uint64_t end = 0, middle = 0;
    if (text.length >= sizeof(end)) {
        memcpy(&end, text.data + text.length - sizeof(end), sizeof(end));
        memcpy(&middle, text.data + (text.length - sizeof(end)) / 2, sizeof(end));
    } else if (text.length) {
        memcpy(&end, text.data, text.length);
    }
    end ^= (middle + text.length) * UINT64_C(0x9e3779b97f4a7c15);
    return end * UINT64_C(0xd6e8feb86659fd93);
}

static inline bool span_starts(struct span text, struct span prefix)
{
    return text.length >= prefix.length &&
           (prefix.length == 0 || memcmp(text.data, prefix.data, prefix.length) == 0);
}

static inline bool span_ends(struct span text, struct span suffix)
{
    return text.length >= suffix.length &&
           (suffix.length == 0 ||
            memcmp(text.data + text.length - suffix.length, suffix.data, suffix.length) == 0);
}

/* The part of `text` after its first `n` bytes; n <= text.length. */
static inline struct span span_after(struct span text, size_t n)
{
    return (struct span){text.data ? text.data + n : NULL, text.length - n};
}

/* Where `byte` first stands in `text`, or text.length. */
static inline size_t span_find(struct span text, char byte)
{
    const char *at = text.length ? memchr(text.data, byte, text.length) : NULL;
    return at ? (size_t)(at - text.data) : text.length;
}

/* `text` without leading and trailing spaces and tabs. */
static inline struct span span_trim(struct span text)
{
    while (text.length && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = span_after(text, 1);
    while (text.length &&
           (text.data[text.length - 1] == ' ' || text.data[text.length - 1] == '\t'))
        text.length--;
    return text;
}

/* Cuts the next item off `*list` at `separator` and returns it, trimmed. The list is empty, with
 * NULL data, once its last item was taken. */
static inline struct span span_next(struct span *list, char separator)
{
    size_t at = span_find(*list, separator);
    struct span item = span_trim((struct span){list->data, at});
    *list = at < list->length ? span_after(*list, at + 1) : (struct span){NULL, 0};
    return item;
}

#endif

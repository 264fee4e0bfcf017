#include "master/handoff/fault.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define WORD_MAX 64

int fault_set(struct fault *fault, int rc, const char *where, int line, const char *format, ...)
{
    va_list arguments;
    if (!fault)
        return rc;
    snprintf(fault->where, sizeof(fault->where), "%s", where ? where : "");
    fault->line = line;
    va_start(arguments, format);
    vsnprintf(fault->what, sizeof(fault->what), format, arguments);
    va_end(arguments);
    return rc;
}

/* The bytes of the character that begins at `at` (RFC 3629), or 0 when none does. */
static size_t character(const unsigned char *at)
{
    static const uint32_t LEAST[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = at[0] < 0x80             ? 1
                    : (at[0] & 0xe0) == 0xc0 ? 2
                    : (at[0] & 0xf0) == 0xe0 ? 3
                    : (at[0] & 0xf8) == 0xf0 ? 4
                                             : 0;
    if (length < 2)
        return length;
    uint32_t code = at[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80) /* also the end of the text */
            return 0;
        code = code << 6 | (at[i] & 0x3f);
    }
    bool surrogate = code >= 0xd800 && code <= 0xdfff;
    return code < LEAST[length] || code > 0x10ffff || surrogate ? 0 : length;
}

void fault_make_utf8(char *text)
{
    while (*text) {
        size_t length = character((const unsigned char *)text);
        if (!length)
            *text = '?';
        text += length ? length : 1;
    }
}

const char *fault_text(const struct fault *fault, char *text, size_t size)
{
    if (!fault->where[0])
        snprintf(text, size, "%s", fault->what);
    else if (fault->line > 0)
        snprintf(text, size, "%s:%d: %s", fault->where, fault->line, fault->what);
    else
        snprintf(text, size, "%s: %s", fault->where, fault->what);
    fault_make_utf8(text);
    return text;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Levenshtein's distance; words longer than WORD_MAX are never near. */
static size_t distance(const char *a, const char *b)
{
    size_t row[WORD_MAX + 1];
    size_t a_length = strlen(a);
    size_t b_length = strlen(b);
    if (a_length > WORD_MAX || b_length > WORD_MAX)
        return WORD_MAX;
    for (size_t j = 0; j <= b_length; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            size_t above = row[j];
            size_t replace = diagonal + (a[i - 1] != b[j - 1]);
            row[j] = least(replace, least(above, row[j - 1]) + 1);
            diagonal = above;
        }
    }
    return row[b_length];
}

const char *fault_nearest(const char *word, const char *const *words)
{
    const char *nearest = NULL;
    size_t limit = strlen(word) / 3 + 1;
    for (size_t i = 0; words[i]; i++) {
        size_t d = distance(word, words[i]);
        if (d <= limit) {
            nearest = words[i];
            limit = d ? d - 1 : 0;
            if (d == 0)
                break;
        }
    }
    return nearest;
}

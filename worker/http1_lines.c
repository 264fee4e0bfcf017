#include "worker/http1_lines.h"

#include <assert.h>
#include <string.h>

#define DIGITS_MAX 15 /* hexadecimal, of a chunk's size */

void lines_begin(struct lines *lines, bool chunked)
{
    *lines = (struct lines){.state = chunked ? LINES_CHUNK_SIZE : LINES_BLOCK, .chunked = chunked};
}

static size_t fail(struct lines *lines, const char *fault)
{
    lines->fault = fault;
    return 0;
}

/* Looks at one line's bytes, its LF included if `whole`. Returns what is wrong with them, or NULL.
 */
static const char *check_line(const struct lines *lines, const uint8_t *data, size_t length,
                              bool whole)
{
    size_t text = whole ? length - 1 : length;
    const uint8_t *cr = text ? memchr(data, '\r', text) : NULL;
    if (lines->cr && text)
        return "a CR that no LF follows";
    if (cr && cr != data + text - 1)
        return "a CR that no LF follows";
    if (whole && !cr && !lines->cr)
        return "a LF without CR";
    if (text && memchr(data, 0, text))
        return "a NUL";
    return NULL;
}

/* RFC 9112 5.2: a line that begins with white space would go on with the one before; and before the
 * first field there is none (2.2). */
static bool is_folded(const struct lines *lines, const uint8_t *data)
{
    return lines->line == 0 && (data[0] == ' ' || data[0] == '\t');
}

/* The line that begins or goes on here, or what there is of it: its length, and whether it ends. */
static size_t take_line(struct lines *lines, const uint8_t *data, size_t length, bool *whole)
{
    const uint8_t *newline = memchr(data, '\n', length);
    size_t taken = newline ? (size_t)(newline - data) + 1 : length;
    *whole = newline != NULL;
    lines->fault = check_line(lines, data, taken, *whole);
    if (lines->fault)
        return 0;
    lines->line += taken;
    lines->cr = !*whole && data[taken - 1] == '\r';
    return taken;
}

static size_t next_of_block(struct lines *lines, const uint8_t *data, size_t length)
{
    bool whole;
    if (is_folded(lines, data))
        return fail(lines, "a line that begins with white space");
    size_t taken = take_line(lines, data, length, &whole);
    if (!whole || !taken)
        return taken;
    bool empty = lines->line == 2;
    lines->line = 0;
    /* Before a request an empty line is to be passed over (2.2), one. */
    if (empty && (lines->lines || lines->chunked))
        lines->state = LINES_DONE;
    else if (empty && lines->leading)
        return fail(lines, "empty lines before a request");
    else if (empty)
        lines->leading = true;
    else
        lines->lines++;
    return taken;
}

static int digit_of(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* chunk-size [ chunk-ext ] CRLF, no white space around the size (7.1). */
static const char *read_size(struct lines *lines, const uint8_t *data, size_t length)
{
    for (size_t i = 0; i < length && !lines->digits_end; i++) {
        int digit = digit_of(data[i]);
        if (digit < 0 && (!lines->digits || (data[i] != ';' && data[i] != '\r')))
            return "a chunk without a size";
        if (digit < 0)
            lines->digits_end = true;
        else if (++lines->digits > DIGITS_MAX)
            return "a chunk's size is too large";
        else
            lines->data = lines->data * 16 + (unsigned)digit;
    }
    return NULL;
}

static size_t next_of_size(struct lines *lines, const uint8_t *data, size_t length)
{
    bool whole;
    size_t taken = take_line(lines, data, length, &whole);
    if (!taken)
        return 0;
    lines->fault = read_size(lines, data, taken);
    if (lines->fault)
        return 0;
    if (lines->line > LINES_CHUNK_MAX)
        return fail(lines, "a chunk's line is too long");
    if (!whole)
        return taken;
    lines->line = 0;
    lines->digits = 0;
    lines->digits_end = false;
    lines->state = lines->data ? LINES_CHUNK_DATA : LINES_BLOCK;
    return taken;
}

static size_t next_of_data(struct lines *lines, size_t length)
{
    size_t taken = length < lines->data ? length : (size_t)lines->data;
    lines->data -= taken;
    if (!lines->data)
        lines->state = LINES_CHUNK_END;
    return taken;
}

static size_t next_of_end(struct lines *lines, const uint8_t *data)
{
    if (data[0] != (lines->cr ? '\n' : '\r'))
        return fail(lines, "a chunk is longer than its size");
    if (lines->cr)
        lines->state = LINES_CHUNK_SIZE;
    lines->cr = !lines->cr;
    return 1;
}

size_t lines_next(struct lines *lines, const uint8_t *data, size_t length)
{
    assert(length && !lines->fault);
    switch (lines->state) {
    case LINES_BLOCK:
        return next_of_block(lines, data, length);
    case LINES_CHUNK_SIZE:
        return next_of_size(lines, data, length);
    case LINES_CHUNK_DATA:
        return next_of_data(lines, length);
    case LINES_CHUNK_END:
        return next_of_end(lines, data);
    case LINES_DONE:
        break;
    }
    assert(false);
    return 0;
}

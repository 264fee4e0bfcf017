#include "worker/respond.h"

#include <errno.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Bytes that no part of a target may hold as they are. */
static bool is_bad(unsigned char byte)
{
    return byte <= 0x20 || byte == 0x7f || byte == '#';
}

/* What most paths are made of: needs no second look. */
static const bool ORDINARY[256] = {
    ['a' ... 'z'] = true, ['-' ... '9'] = true, ['A' ... 'Z'] = true};

/* Decodes the encoding at the start of `text`. Returns the byte or -EINVAL. */
static int decode(struct span text)
{
    if (text.length < 3)
        return -EINVAL;
    int high = hex_digit(text.data[1]);
    int low = hex_digit(text.data[2]);
    if (high < 0 || low < 0)
        return -EINVAL;
    int byte = high << 4 | low;
    return byte < 0x20 || byte == 0x7f || byte == '/' || byte == '\\' ? -EINVAL : byte;
}

/* True when a segment of the decoded path is "." or "..". */
static bool has_dots(struct span path)
{
    struct span rest = span_after(path, 1);
    for (;;) {
        struct span segment = span_make(rest.data, span_find(rest, '/'));
        if (span_equal(segment, SPAN_LITERAL(".")) || span_equal(segment, SPAN_LITERAL("..")))
            return true;
        if (segment.length == rest.length)
            return false;
        rest = span_after(rest, segment.length + 1);
    }
}

int respond_path(struct span target, char *out, struct span *path, struct span *query)
{
    size_t end = span_find(target, '?');
    size_t length = 0;
    bool dotted = false;
    if (target.length == 0 || target.data[0] != '/')
        return -EINVAL;
    for (size_t i = 0; i < end; i++) {
        int byte = (unsigned char)target.data[i];
        if (ORDINARY[byte]) {
            /* A segment that is "." or ".." begins with a dot. */
            dotted |= byte == '.' && length && out[length - 1] == '/';
            out[length++] = target.data[i];
            continue;
        }
        if (is_bad((unsigned char)byte) || byte == '\\')
            return -EINVAL;
        if (byte == '%') {
            byte = decode(span_make(target.data + i, end - i));
            if (byte < 0)
                return byte;
            i += 2;
        }
        dotted |= byte == '.';
        out[length++] = (char)byte;
    }
    for (size_t i = end; i < target.length; i++)
        if (is_bad((unsigned char)target.data[i]))
            return -EINVAL;
    *path = span_make(out, length);
    *query = end < target.length ? span_after(target, end + 1) : (struct span){NULL, 0};
    return dotted && has_dots(*path) ? -EINVAL : 0;
}

/* pchar and the slash: unreserved, sub-delims, ":" and "@". */
static bool is_plain(unsigned char byte)
{
    const struct span marks = SPAN_LITERAL("/-._~!$&'()*+,;=:@");
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= 'a' && byte <= 'z') || span_find(marks, (char)byte) < marks.length;
}

size_t respond_path_encode(struct span path, char *out, size_t room)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t length = 0;
    for (size_t i = 0; i < path.length; i++) {
        unsigned char byte = (unsigned char)path.data[i];
        bool plain = is_plain(byte);
        if (room - length < (plain ? 1U : 3U))
            return 0;
        if (plain) {
            out[length++] = (char)byte;
            continue;
        }
        out[length++] = '%';
        out[length++] = digits[byte >> 4];
        out[length++] = digits[byte & 15];
    }
    return length;
}

#include "policy/assets_url.h"

#include "policy/assets_ascii.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

/* A reference after the clean-up that every URL parser does first. */
struct cleaned {
    char text[ASSETS_PATH_MAX + ASSETS_AUTHORITY_MAX + 16];
    size_t length;
};

struct writer {
    char *data;
    size_t length;
    size_t capacity; /* without the final NUL */
    bool overflow;
};

static void put(struct writer *writer, char c)
{
    if (writer->length < writer->capacity)
        writer->data[writer->length++] = c;
    else
        writer->overflow = true;
}

static void put_encoded(struct writer *writer, unsigned char c)
{
    static const char hex[] = "0123456789ABCDEF";

    put(writer, '%');
    put(writer, hex[c >> 4]);
    put(writer, hex[c & 15]);
}

/* Strips what surrounds a URL, its tabs, newlines and fragment; refuses what is ambiguous. */
static int clean(struct span reference, bool utf8, struct cleaned *out)
{
    static const char replacement[] = "\xEF\xBF\xBD";

    while (reference.length && (unsigned char)reference.data[0] <= ' ')
        reference = span_after(reference, 1);
    while (reference.length && (unsigned char)reference.data[reference.length - 1] <= ' ')
        reference.length--;
    out->length = 0;
    for (size_t i = 0; i < reference.length && reference.data[i] != '#'; i++) {
        unsigned char c = (unsigned char)reference.data[i];
        if (c == '\t' || c == '\n' || c == '\r')
            continue;
        if (c < ' ' || c == 0x7f || c == '^' || c == '|' || (c >= 0x80 && !utf8))
            return -EINVAL;
        if (reference.length - i >= 3 && memcmp(reference.data + i, replacement, 3) == 0)
            return -EINVAL;
        if (out->length == sizeof(out->text))
            return -EINVAL;
        out->text[out->length++] = (char)c;
    }
    return out->length ? 0 : -EINVAL;
}

/* The length of "scheme:" at the start of `text`, without the colon; 0 when there is none. */
static size_t scheme_length(struct span text)
{
    size_t i = 0;

    if (text.length == 0 || !ascii_is_alpha(text.data[0]))
        return 0;
    while (i < text.length && (ascii_is_alpha(text.data[i]) || ascii_is_digit(text.data[i]) ||
                               text.data[i] == '+' || text.data[i] == '-' || text.data[i] == '.'))
        i++;
    return i < text.length && text.data[i] == ':' ? i : 0;
}

static bool is_slash(char c)
{
    return c == '/' || c == '\\';
}

static int scheme_set(struct assets_url *url, struct span scheme)
{
    if (span_equal_nocase(scheme, SPAN_LITERAL("https")))
        memcpy(url->scheme, "https", 6);
    else if (span_equal_nocase(scheme, SPAN_LITERAL("http")))
        memcpy(url->scheme, "http", 5);
    else
        return -EINVAL;
    return 0;
}

/* Only plain host names and addresses: no user, no escapes, no international names to convert. */
static int authority_set(struct assets_url *url, struct span authority)
{
    const char *own_port = strcmp(url->scheme, "https") == 0 ? ":443" : ":80";
    struct span suffix = span_of(own_port);

    if (span_ends(authority, suffix))
        authority.length -= suffix.length;
    else if (span_ends(authority, SPAN_LITERAL(":")))
        authority.length--;
    if (authority.length == 0 || authority.length >= sizeof(url->authority))
        return -EINVAL;
    for (size_t i = 0; i < authority.length; i++) {
        char c = authority.data[i];
        if (!ascii_is_alpha(c) && !ascii_is_digit(c) && !strchr(".-_:[]", c))
            return -EINVAL;
        url->authority[i] = ascii_lower(c);
    }
    url->authority[authority.length] = '\0';
    return 0;
}

static void put_path(struct writer *writer, struct span path)
{
    for (size_t i = 0; i < path.length; i++) {
        unsigned char c = (unsigned char)path.data[i];
        if (c == '\\')
            put(writer, '/');
        else if (c == ' ' || c == '"' || c == '<' || c == '>' || c == '`' || c == '{' || c == '}' ||
                 c >= 0x80)
            put_encoded(writer, c);
        else
            put(writer, (char)c);
    }
}

static void put_query(struct writer *writer, struct span query)
{
    for (size_t i = 0; i < query.length; i++) {
        unsigned char c = (unsigned char)query.data[i];
        if (c == ' ' || c == '"' || c == '<' || c == '>' || c == '\'' || c >= 0x80)
            put_encoded(writer, c);
        else
            put(writer, (char)c);
    }
}

/* How many dots the segment consists of, 1 or 2, %2e counting as one; 0: another segment. */
static int dots(struct span segment)
{
    int count = 0;

    while (segment.length) {
        if (segment.data[0] == '.')
            segment = span_after(segment, 1);
        else if (segment.length >= 3 && strncasecmp(segment.data, "%2e", 3) == 0)
            segment = span_after(segment, 3);
        else
            return 0;
        if (++count > 2)
            return 0;
    }
    return count;
}

/* RFC 3986 5.2.4, in place; `path` begins with a slash and has no query. */
static size_t remove_dot_segments(char *path, size_t length)
{
    size_t in = 0;
    size_t out = 0;

    while (in < length) {
        size_t end = in + 1;
        while (end < length && path[end] != '/')
            end++;
        int count = dots(span_make(path + in + 1, end - in - 1));
        if (count == 2)
            while (out > 0 && path[--out] != '/')
                ;
        if (count == 0) {
            memmove(path + out, path + in, end - in);
            out += end - in;
        } else if (end == length) {
            path[out++] = '/'; /* a final "." or ".." leaves a directory */
        }
        in = end;
    }
    return out;
}

/* Puts `directory` and `path` together, then the query with its "?". */
static int path_set(struct assets_url *url, struct span directory, struct span path,
                    struct span query)
{
    struct writer writer = {url->path, 0, ASSETS_PATH_MAX, false};

    put_path(&writer, directory);
    put_path(&writer, path);
    if (writer.overflow || writer.length == 0 || url->path[0] != '/')
        return -EINVAL;
    writer.length = remove_dot_segments(url->path, writer.length);
    put_query(&writer, query);
    url->path[writer.length] = '\0';
    return writer.overflow ? -EINVAL : 0;
}

static void cut_query(struct span text, struct span *path, struct span *query)
{
    size_t mark = span_find(text, '?');

    *path = span_make(text.data, mark);
    *query = span_after(text, mark);
}

int assets_url_init(struct assets_url *url, struct span scheme, struct span authority,
                    struct span path)
{
    struct cleaned text;
    struct span query;

    if (scheme_set(url, scheme) < 0 || authority_set(url, authority) < 0 ||
        clean(path, true, &text) < 0)
        return -EINVAL;
    cut_query(span_make(text.text, text.length), &path, &query);
    return path_set(url, span_make(NULL, 0), path, query);
}

/* "//authority/path?query", the scheme being known. */
static int resolve_authority(struct span text, struct assets_url *out)
{
    size_t end = 2;

    while (end < text.length && !is_slash(text.data[end]) && text.data[end] != '?')
        end++;
    if (authority_set(out, span_make(text.data + 2, end - 2)) < 0)
        return -EINVAL;
    struct span path;
    struct span query;
    cut_query(span_after(text, end), &path, &query);
    return path_set(out, path.length ? span_make(NULL, 0) : SPAN_LITERAL("/"), path, query);
}

static int resolve_relative(const struct assets_url *base, struct span text, struct assets_url *out)
{
    struct span path;
    struct span query;
    struct span base_path;
    struct span base_query;

    memcpy(out->authority, base->authority, sizeof(out->authority));
    cut_query(text, &path, &query);
    cut_query(span_of(base->path), &base_path, &base_query);
    if (path.length == 0)
        return path_set(out, base_path, path, query);
    if (is_slash(path.data[0]))
        return path_set(out, span_make(NULL, 0), path, query);
    while (base_path.length && base_path.data[base_path.length - 1] != '/')
        base_path.length--;
    return path_set(out, base_path, path, query);
}

int assets_url_resolve(const struct assets_url *base, struct span reference, bool utf8,
                       struct assets_url *out)
{
    struct cleaned cleaned;

    if (clean(reference, utf8, &cleaned) < 0)
        return -EINVAL;
    struct span text = span_make(cleaned.text, cleaned.length);
    size_t scheme = scheme_length(text);
    memcpy(out->scheme, base->scheme, sizeof(out->scheme));
    if (scheme) {
        if (scheme_set(out, span_make(text.data, scheme)) < 0)
            return -EINVAL;
        text = span_after(text, scheme + 1);
    }
    if (text.length >= 2 && is_slash(text.data[0]) && is_slash(text.data[1]))
        return resolve_authority(text, out);
    /* "https:path" means different things by the base's scheme; nobody writes it on purpose. */
    return scheme ? -EINVAL : resolve_relative(base, text, out);
}

bool assets_url_same_origin(const struct assets_url *a, const struct assets_url *b)
{
    return strcmp(a->scheme, b->scheme) == 0 && strcmp(a->authority, b->authority) == 0;
}

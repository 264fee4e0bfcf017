#include "policy/request.h"

static const char *const NAMES[AS_KINDS] = {
    [AS_UNKNOWN] = "",      [AS_DOCUMENT] = "document", [AS_STYLE] = "style",
    [AS_SCRIPT] = "script", [AS_FONT] = "font",         [AS_IMAGE] = "image",
    [AS_FETCH] = "fetch",   [AS_AUDIO] = "audio",       [AS_VIDEO] = "video",
    [AS_TRACK] = "track",   [AS_WORKER] = "worker",     [AS_MANIFEST] = "manifest",
};

const char *asset_as_name(enum asset_as as)
{
    return (unsigned)as < AS_KINDS ? NAMES[as] : "";
}

enum asset_as asset_as_of(struct span name)
{
    for (unsigned as = AS_UNKNOWN + 1; as < AS_KINDS; as++) {
        if (span_equal_nocase(name, span_of(NAMES[as])))
            return (enum asset_as)as;
    }
    return AS_UNKNOWN;
}

/* What follows the last dot of the path's last segment; empty without one, or when it is last. */
static struct span extension_of(struct span path)
{
    const char *query = path.length ? memchr(path.data, '?', path.length) : NULL;
    size_t end = query ? (size_t)(query - path.data) : path.length;
    for (size_t i = end; i > 0 && path.data[i - 1] != '/'; i--) {
        if (path.data[i - 1] == '.')
            return (struct span){path.data + i, end - i};
    }
    return (struct span){NULL, 0};
}

#define EXTENSION_MAX 5
#define WORD(a, b, c, d, e)                                                           \
    ((uint64_t)(a) | (uint64_t)(b) << 8 | (uint64_t)(c) << 16 | (uint64_t)(d) << 24 | \
     (uint64_t)(e) << 32)

/* An extension in lower case, its first character lowest: the compiler makes a search tree of them.
 */
static enum asset_as as_of_word(uint64_t word)
{
    switch (word) {
    case WORD('c', 's', 's', 0, 0):
        return AS_STYLE;
    case WORD('j', 's', 0, 0, 0):
    case WORD('m', 'j', 's', 0, 0):
        return AS_SCRIPT;
    case WORD('w', 'o', 'f', 'f', '2'):
    case WORD('w', 'o', 'f', 'f', 0):
    case WORD('t', 't', 'f', 0, 0):
    case WORD('o', 't', 'f', 0, 0):
        return AS_FONT;
    case WORD('p', 'n', 'g', 0, 0):
    case WORD('s', 'v', 'g', 0, 0):
    case WORD('j', 'p', 'g', 0, 0):
    case WORD('w', 'e', 'b', 'p', 0):
    case WORD('a', 'v', 'i', 'f', 0):
    case WORD('g', 'i', 'f', 0, 0):
    case WORD('i', 'c', 'o', 0, 0):
    case WORD('j', 'p', 'e', 'g', 0):
    case WORD('b', 'm', 'p', 0, 0):
        return AS_IMAGE;
    case WORD('h', 't', 'm', 'l', 0):
    case WORD('h', 't', 'm', 0, 0):
    case WORD('p', 'h', 'p', 0, 0):
    case WORD('x', 'h', 't', 'm', 'l'):
        return AS_DOCUMENT;
    case WORD('j', 's', 'o', 'n', 0):
    case WORD('w', 'a', 's', 'm', 0):
        return AS_FETCH;
    case WORD('m', 'p', '4', 0, 0):
    case WORD('w', 'e', 'b', 'm', 0):
    case WORD('o', 'g', 'v', 0, 0):
    case WORD('m', 'o', 'v', 0, 0):
        return AS_VIDEO;
    case WORD('m', 'p', '3', 0, 0):
    case WORD('o', 'g', 'g', 0, 0):
    case WORD('o', 'p', 'u', 's', 0):
    case WORD('w', 'a', 'v', 0, 0):
    case WORD('f', 'l', 'a', 'c', 0):
    case WORD('m', '4', 'a', 0, 0):
        return AS_AUDIO;
    case WORD('v', 't', 't', 0, 0):
        return AS_TRACK;
    default:
        return AS_UNKNOWN;
    }
}

enum asset_as asset_as_of_path(struct span path)
{
    struct span extension = extension_of(path);
    uint64_t word = 0;
    if (extension.length == 0)
        return AS_DOCUMENT;
    if (extension.length > EXTENSION_MAX)
        return span_equal_nocase(extension, SPAN_LITERAL("webmanifest")) ? AS_MANIFEST : AS_UNKNOWN;
    for (size_t i = extension.length; i-- > 0;) {
        char c = extension.data[i];
        word = word << 8 | (unsigned char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
    return as_of_word(word);
}

struct span field_find(const struct field *fields, size_t count, struct span name)
{
    for (size_t i = 0; i < count; i++) {
        if (span_equal(fields[i].name, name))
            return fields[i].value;
    }
    return (struct span){NULL, 0};
}

static struct span same_site_path(struct span referer, struct span scheme, struct span authority)
{
    struct span rest = referer;
    if (!span_starts(rest, scheme))
        return (struct span){0};
    rest = span_after(rest, scheme.length);
    if (!span_starts(rest, SPAN_LITERAL("://")))
        return (struct span){0};
    rest = span_after(rest, 3);
    if (!span_starts(rest, authority))
        return (struct span){0};
    rest = span_after(rest, authority.length);
    if (!rest.length || rest.data[0] != '/')
        return (struct span){0};
    rest.length = span_find(rest, '?');
    return rest;
}

static bool is_reload(struct span cache_control)
{
    while (cache_control.length) {
        struct span directive = span_next(&cache_control, ',');
        if (span_equal_nocase(directive, SPAN_LITERAL("no-cache")) ||
            span_equal_nocase(directive, SPAN_LITERAL("max-age=0")))
            return true;
    }
    return false;
}

static enum asset_as destination(struct span value)
{
    return span_equal(value, SPAN_LITERAL("empty")) ? AS_FETCH : asset_as_of(value);
}

void request_read_field(struct request *request, struct span authority, const struct field *field)
{
    switch (field->name.length) {
    case 7:
        if (span_equal(field->name, SPAN_LITERAL("referer")))
            request->referer_path = same_site_path(field->value, request->scheme, authority);
        break;
    case 9:
        if (span_equal(field->name, SPAN_LITERAL("save-data")))
            request->save_data = span_equal_nocase(field->value, SPAN_LITERAL("on"));
        break;
    case 13:
        if (span_equal(field->name, SPAN_LITERAL("cache-control")))
            request->revalidate = is_reload(field->value);
        break;
    case 14:
        if (span_equal(field->name, SPAN_LITERAL("sec-fetch-dest")))
            request->dest = destination(field->value);
        else if (span_equal(field->name, SPAN_LITERAL("sec-fetch-mode")))
            request->mode = field->value;
        break;
    default:
        break;
    }
}

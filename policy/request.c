#include "policy/request.h"

static const char *const NAMES[AS_KINDS] = {
    [AS_UNKNOWN] = "",      [AS_DOCUMENT] = "document", [AS_STYLE] = "style",
    [AS_SCRIPT] = "script", [AS_FONT] = "font",         [AS_IMAGE] = "image",
    [AS_FETCH] = "fetch",   [AS_AUDIO] = "audio",       [AS_VIDEO] = "video",
    [AS_TRACK] = "track",   [AS_WORKER] = "worker",     [AS_MANIFEST] = "manifest",
};

/* The commonest first. Compared eight bytes at once, in lower case. */
static const struct {
    char extension[8];
    enum asset_as as;
} TYPES[] = {
    {"css", AS_STYLE},    {"js", AS_SCRIPT},  {"woff2", AS_FONT},     {"png", AS_IMAGE},
    {"svg", AS_IMAGE},    {"jpg", AS_IMAGE},  {"webp", AS_IMAGE},     {"html", AS_DOCUMENT},
    {"mjs", AS_SCRIPT},   {"avif", AS_IMAGE}, {"gif", AS_IMAGE},      {"ico", AS_IMAGE},
    {"json", AS_FETCH},   {"jpeg", AS_IMAGE}, {"woff", AS_FONT},      {"htm", AS_DOCUMENT},
    {"php", AS_DOCUMENT}, {"ttf", AS_FONT},   {"otf", AS_FONT},       {"wasm", AS_FETCH},
    {"bmp", AS_IMAGE},    {"mp4", AS_VIDEO},  {"webm", AS_VIDEO},     {"mp3", AS_AUDIO},
    {"ogg", AS_AUDIO},    {"opus", AS_AUDIO}, {"xhtml", AS_DOCUMENT}, {"vtt", AS_TRACK},
    {"wav", AS_AUDIO},    {"flac", AS_AUDIO}, {"m4a", AS_AUDIO},      {"ogv", AS_VIDEO},
    {"mov", AS_VIDEO},
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

enum asset_as asset_as_of_path(struct span path)
{
    struct span extension = extension_of(path);
    char lower[8] = "";
    if (extension.length == 0)
        return AS_DOCUMENT;
    if (span_equal_nocase(extension, SPAN_LITERAL("webmanifest")))
        return AS_MANIFEST;
    if (extension.length > sizeof(lower))
        return AS_UNKNOWN;
    for (size_t i = 0; i < extension.length; i++) {
        char c = extension.data[i];
        lower[i] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
    for (size_t i = 0; i < sizeof(TYPES) / sizeof(TYPES[0]); i++) {
        if (memcmp(lower, TYPES[i].extension, sizeof(lower)) == 0)
            return TYPES[i].as;
    }
    return AS_UNKNOWN;
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

#include "worker/links.h"

#include <ctype.h>

/* Cuts up to `separator`, outside <> and "". */
static struct span cut(struct span *list, char separator)
{
    bool target = false, quoted = false;
    size_t i;
    for (i = 0; i < list->length; i++) {
        char c = list->data[i];
        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
        } else if (target) {
            target = c != '>';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '<') {
            target = true;
        } else if (c == separator) {
            break;
        }
    }
    if (i > list->length)
        i = list->length;
    struct span part = span_trim(span_make(list->data, i));
    *list = i < list->length ? span_after(*list, i + 1) : (struct span){0};
    return part;
}

struct span links_cut(struct span *list)
{
    return cut(list, ',');
}

static struct span unquoted(struct span value)
{
    if (value.length >= 2 && value.data[0] == '"' && value.data[value.length - 1] == '"')
        return span_make(value.data + 1, value.length - 2);
    return value;
}

/* A link-value, before it is one link for each relation. */
struct parsed {
    struct response_link link; /* `rel` is the whole list */
    bool has_rel, has_anchor;
};

/* Of parameters that are there twice the first one counts. */
static void read_parameter(struct parsed *parsed, struct span parameter)
{
    struct response_link *link = &parsed->link;
    size_t equals = span_find(parameter, '=');
    struct span name = span_trim(span_make(parameter.data, equals));
    struct span value = equals < parameter.length
                            ? unquoted(span_trim(span_after(parameter, equals + 1)))
                            : (struct span){0};
    if (span_equal_nocase(name, SPAN_LITERAL("rel")) && !parsed->has_rel) {
        link->rel = value;
        parsed->has_rel = true;
    } else if (span_equal_nocase(name, SPAN_LITERAL("anchor"))) {
        parsed->has_anchor = true;
    } else if (span_equal_nocase(name, SPAN_LITERAL("as")) && link->as == AS_UNKNOWN) {
        link->as = asset_as_of(value);
    } else if (span_equal_nocase(name, SPAN_LITERAL("fetchpriority")) &&
               !link->fetchpriority.length) {
        link->fetchpriority = value;
    } else if (span_equal_nocase(name, SPAN_LITERAL("nopush"))) {
        link->nopush = true;
    } else if (span_equal_nocase(name, SPAN_LITERAL("crossorigin"))) {
        link->crossorigin = true;
    }
}

static struct span keep(struct link_base *base, struct span directory, struct span rest)
{
    size_t length = directory.length + rest.length;
    if (length > LINKS_SCRATCH_MAX - base->used)
        return (struct span){0};
    char *out = base->scratch + base->used;
    if (directory.length)
        memcpy(out, directory.data, directory.length);
    if (rest.length)
        memcpy(out + directory.length, rest.data, rest.length);
    base->used += length;
    return span_make(out, length);
}

static struct span keep_lower(struct link_base *base, struct span text)
{
    struct span copy = keep(base, (struct span){0}, text);
    char *out = base->scratch + base->used - copy.length;
    for (size_t i = 0; i < copy.length; i++)
        out[i] = (char)tolower((unsigned char)out[i]);
    return copy;
}

/* The path of a target at the request's own origin, or an empty span (RFC 3986 5.2; targets with
 * dot segments are left to the policies' own judgement of names, which refuses them). */
static struct span own_path(struct link_base *base, struct span target)
{
    struct span scheme = base->request->scheme;
    target.length = span_find(target, '#');
    if (span_starts(target, scheme) &&
        span_starts(span_after(target, scheme.length), SPAN_LITERAL("://")))
        target = span_after(target, scheme.length + 1);
    if (span_starts(target, SPAN_LITERAL("//"))) {
        target = span_after(target, 2);
        if (!span_starts(target, base->authority))
            return (struct span){0};
        target = span_after(target, base->authority.length);
        return target.length && target.data[0] == '/' ? keep(base, (struct span){0}, target)
                                                      : (struct span){0};
    }
    if (!target.length || span_find(target, ':') < span_find(target, '/'))
        return (struct span){0}; /* empty, or of another scheme */
    if (target.data[0] == '/')
        return keep(base, (struct span){0}, target);
    struct span directory = base->request->path;
    while (directory.length && directory.data[directory.length - 1] != '/')
        directory.length--;
    if (span_starts(target, SPAN_LITERAL("./")))
        target = span_after(target, 2);
    return keep(base, directory, target);
}

/* The next of the relations, which spaces part. */
static struct span cut_relation(struct span *list)
{
    *list = span_trim(*list);
    struct span relation = span_make(list->data, span_find(*list, ' '));
    *list = span_after(*list, relation.length);
    return relation;
}

size_t links_read_one(struct link_base *base, struct span text, struct response_link *links,
                      size_t max)
{
    struct parsed parsed = {0};
    size_t end = span_find(text, '>');
    size_t count = 0;
    if (!text.length || text.data[0] != '<' || end == text.length)
        return 0;
    struct span target = span_make(text.data + 1, end - 1);
    struct span parameters = span_after(text, end + 1);
    while (parameters.length)
        read_parameter(&parsed, cut(&parameters, ';'));
    struct span relations = parsed.link.rel;
    if (parsed.has_anchor || !span_trim(relations).length)
        return 0;
    struct span path = own_path(base, target);
    parsed.link.same_origin = path.length > 0;
    parsed.link.path = path.length ? path : target;
    while (count < max && relations.length) {
        struct span relation = keep_lower(base, cut_relation(&relations));
        if (!relation.length)
            break;
        links[count] = parsed.link;
        links[count++].rel = relation;
    }
    return count;
}

size_t links_read(struct link_base *base, const struct field *fields, size_t count,
                  struct response_link *links, size_t max)
{
    size_t read = 0;
    for (size_t i = 0; i < count; i++) {
        struct span list = fields[i].value;
        if (!span_equal(fields[i].name, SPAN_LITERAL("link")))
            continue;
        while (list.length && read < max)
            read += links_read_one(base, links_cut(&list), links + read, max - read);
    }
    return read;
}

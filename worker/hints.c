#include "worker/hints.h"

#include "worker/page.h"
#include "worker/stream.h"

#include <stdio.h>

bool hints_wanted(const struct stream *stream)
{
    return span_equal(stream->request.mode, SPAN_LITERAL("navigate")) && !stream->head;
}

/* ---- out ---- */

static void add_link(struct page *page, const struct candidate *candidate)
{
    char *at = page->hints + page->hints_length;
    size_t room = PAGE_HINTS_MAX - page->hints_length;
    const char *separator = page->hints_length ? ", " : "";
    int length;
    if (candidate->kind == CANDIDATE_PRECONNECT)
        length =
            snprintf(at, room, "%s<%.*s>; rel=preconnect", separator, SPAN_PRINT(candidate->path));
    else
        length = snprintf(
            at, room, "%s<%.*s>; rel=preload%s%s%s", separator, SPAN_PRINT(candidate->path),
            candidate->as != AS_UNKNOWN ? "; as=" : "", asset_as_name(candidate->as),
            candidate->crossorigin || candidate->as == AS_FONT ? "; crossorigin" : "");
    if (length > 0 && (size_t)length < room)
        page->hints_length += (size_t)length;
}

void hints_send(struct page *page, unsigned first)
{
    struct stream *stream = page->stream;
    for (unsigned i = first; i < page->decision.count; i++)
        if (page->decision.items[i].verdict == REASON_HINTED)
            add_link(page, &page->decision.items[i]);
    struct field link = {SPAN_LITERAL("link"), hints_link(page)};
    if (page->request.client.can_hints && link.value.length && !page->informed)
        page->informed = session_inform(&stream->conn->session, stream->id, 103, &link, 1) == 0;
}

struct span hints_link(const struct page *page)
{
    return span_make(page->hints, page->hints_length);
}

/* Parts that are 0 are left out, but for the first. */
struct span hints_timing(struct page *page)
{
    static const char *const WORDS[] = {"sent", "hinted", "held", "left out"};
    unsigned counts[4] = {0};
    int used = snprintf(page->timing, PAGE_TIMING_MAX, "push;desc=\"");
    for (unsigned i = 0; i < page->decision.count; i++) {
        enum reason verdict = page->decision.items[i].verdict;
        counts[verdict == REASON_PUSHED   ? 0
               : verdict == REASON_HINTED ? 1
               : verdict == REASON_HELD   ? 2
                                          : 3]++;
    }
    for (unsigned i = 0; i < 4; i++)
        if (i == 0 || counts[i])
            used += snprintf(page->timing + used, PAGE_TIMING_MAX - (size_t)used, "%s%u %s",
                             i ? ", " : "", counts[i], WORDS[i]);
    used += snprintf(page->timing + used, PAGE_TIMING_MAX - (size_t)used, "\"");
    return span_make(page->timing, (size_t)used);
}

/* ---- in ---- */

/* Cuts the next link-value off a Link field: up to a comma outside <> and "". */
static struct span next_link(struct span *list)
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
        } else if (c == ',') {
            break;
        }
    }
    if (i > list->length)
        i = list->length;
    struct span link = span_trim(span_make(list->data, i));
    *list = i < list->length ? span_after(*list, i + 1) : (struct span){0};
    return link;
}

static struct span unquoted(struct span value)
{
    if (value.length >= 2 && value.data[0] == '"' && value.data[value.length - 1] == '"')
        return span_make(value.data + 1, value.length - 2);
    return value;
}

static void read_parameter(struct response_link *link, struct span parameter)
{
    size_t equals = span_find(parameter, '=');
    struct span name = span_trim(span_make(parameter.data, equals));
    struct span value = equals < parameter.length
                            ? unquoted(span_trim(span_after(parameter, equals + 1)))
                            : (struct span){0};
    if (span_equal_nocase(name, SPAN_LITERAL("rel")) && !link->rel.length)
        link->rel = value;
    else if (span_equal_nocase(name, SPAN_LITERAL("as")))
        link->as = asset_as_of(value);
    else if (span_equal_nocase(name, SPAN_LITERAL("fetchpriority")))
        link->fetchpriority = value;
    else if (span_equal_nocase(name, SPAN_LITERAL("nopush")))
        link->nopush = true;
    else if (span_equal_nocase(name, SPAN_LITERAL("crossorigin")))
        link->crossorigin = true;
}

struct link_base {
    const struct request *request;
    struct span authority;
    char *scratch;
    size_t used;
};

static struct span keep(struct link_base *base, struct span directory, struct span rest)
{
    size_t length = directory.length + rest.length;
    if (length > PAGE_HINTS_MAX - base->used)
        return (struct span){0};
    char *out = base->scratch + base->used;
    if (directory.length)
        memcpy(out, directory.data, directory.length);
    if (rest.length)
        memcpy(out + directory.length, rest.data, rest.length);
    base->used += length;
    return span_make(out, length);
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

static bool read_link(struct link_base *base, struct span text, struct response_link *link)
{
    *link = (struct response_link){0};
    size_t end = span_find(text, '>');
    if (!text.length || text.data[0] != '<' || end == text.length)
        return false;
    struct span target = span_make(text.data + 1, end - 1);
    struct span parameters = span_after(text, end + 1);
    while (parameters.length)
        read_parameter(link, span_next(&parameters, ';'));
    struct span path = own_path(base, target);
    link->same_origin = path.length > 0;
    link->path = link->same_origin ? path : target;
    return link->rel.length > 0;
}

size_t links_read(const struct response_facts *response, const struct request *request,
                  struct span authority, char *scratch, struct response_link *links, size_t max)
{
    struct link_base base = {request, authority, scratch, 0};
    size_t count = 0;
    for (size_t i = 0; i < response->fields_count; i++) {
        struct span list = response->fields[i].value;
        if (!span_equal(response->fields[i].name, SPAN_LITERAL("link")))
            continue;
        while (list.length && count < max)
            count += read_link(&base, next_link(&list), &links[count]);
    }
    return count;
}

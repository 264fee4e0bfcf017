#include "worker/hints.h"

#include "worker/links.h"
#include "worker/page.h"
#include "worker/stream.h"

#include <stdio.h>
#include <stdlib.h>

bool hints_wanted(const struct stream *stream)
{
    return span_equal(stream->request.mode, SPAN_LITERAL("navigate")) && !stream->head;
}

/* ---- an origin's 103 ---- */

static size_t length_of_links(const struct field *fields, size_t count)
{
    size_t length = 0;
    for (size_t i = 0; i < count; i++)
        if (span_equal(fields[i].name, SPAN_LITERAL("link")))
            length += fields[i].value.length + 1;
    return length;
}

/* Room for the text twice: what is passed on is at most as long, but for a space behind each comma.
 */
struct interim *hints_keep(struct interim **list, const struct field *fields, size_t count)
{
    struct interim **at = list;
    size_t length = length_of_links(fields, count);
    unsigned kept = 0;
    for (; *at; at = &(*at)->next)
        kept++;
    if (!length || length > HINTS_MAX || kept == HINTS_INTERIMS_MAX)
        return NULL;
    struct interim *interim = malloc(sizeof(*interim) + 3 * length);
    if (!interim)
        return NULL;
    *interim = (struct interim){.links.data = interim->text, .passed.data = interim->text + length};
    for (size_t i = 0; i < count; i++) {
        if (!span_equal(fields[i].name, SPAN_LITERAL("link")))
            continue;
        if (interim->links.length)
            interim->text[interim->links.length++] = ',';
        memcpy(interim->text + interim->links.length, fields[i].value.data, fields[i].value.length);
        interim->links.length += fields[i].value.length;
    }
    *at = interim;
    return interim;
}

void hints_free(struct interim *interims)
{
    while (interims) {
        struct interim *next = interims->next;
        free(interims);
        interims = next;
    }
}

/* ---- texts ---- */

static bool is_rel(const struct response_link *link, const char *rel)
{
    return span_equal(link->rel, span_of(rel));
}

static bool hints_the_same(const struct response_link *link, const struct candidate *candidate)
{
    if (candidate->kind == CANDIDATE_PRECONNECT)
        return is_rel(link, "preconnect") && span_equal(link->path, candidate->path);
    return (is_rel(link, "preload") || is_rel(link, "modulepreload")) && link->same_origin &&
           span_equal(link->path, candidate->path);
}

static bool names(const struct response_link *links, size_t count,
                  const struct candidate *candidate)
{
    for (size_t i = 0; i < count; i++)
        if (hints_the_same(&links[i], candidate))
            return true;
    return false;
}

/* Appends the candidate's link to the text at `from`. */
static void add_link(struct page *page, size_t from, const struct candidate *candidate)
{
    char *at = page->hints + page->hints_length;
    size_t most = from + HINTS_MAX - page->hints_length;
    size_t rest = sizeof(page->hints) - page->hints_length;
    size_t room = most < rest ? most : rest;
    const char *separator = page->hints_length > from ? ", " : "";
    int length;
    if (candidate->kind == CANDIDATE_PRECONNECT)
        length =
            snprintf(at, room, "%s<%.*s>; rel=preconnect", separator, SPAN_PRINT(candidate->path));
    else
        length = snprintf(at, room, "%s<%.*s>; rel=preload%s%s%s%s%s", separator,
                          SPAN_PRINT(candidate->path), candidate->as != AS_UNKNOWN ? "; as=" : "",
                          asset_as_name(candidate->as),
                          candidate->crossorigin || candidate->as == AS_FONT ? "; crossorigin" : "",
                          candidate->fetchpriority ? "; fetchpriority=" : "",
                          candidate->fetchpriority ? candidate->fetchpriority : "");
    if (length > 0 && (size_t)length < room)
        page->hints_length += (size_t)length;
}

/* The candidates from `first` on that are hinted and that `links` does not name. */
static struct span add_links(struct page *page, unsigned first, const struct response_link *links,
                             size_t count)
{
    size_t from = page->hints_length;
    for (unsigned i = first; i < page->decision.count; i++) {
        const struct candidate *candidate = &page->decision.items[i];
        if (candidate->verdict == REASON_HINTED && !names(links, count, candidate))
            add_link(page, from, candidate);
    }
    return span_make(page->hints + from, page->hints_length - from);
}

/* ---- 103 ---- */

/* The links of 103s before this one, and the round's own, were said already. */
static bool was_said(const struct stream *stream, const struct interim *interim, unsigned first,
                     const struct response_link *link)
{
    const struct page *page = stream->page;
    for (unsigned i = 0; page && page->informed && i < first; i++)
        if (page->decision.items[i].verdict == REASON_HINTED &&
            hints_the_same(link, &page->decision.items[i]))
            return true;
    for (const struct interim *one = stream->interims; one != interim; one = one->next) {
        struct response_link links[LINKS_MAX];
        struct link_base base;
        link_base_init(&base, &stream->request, stream->authority);
        struct field field = {SPAN_LITERAL("link"), one->passed};
        size_t count = links_read(&base, &field, 1, links, LINKS_MAX);
        for (size_t i = 0; i < count; i++)
            if (span_equal(links[i].path, link->path) && span_equal(links[i].rel, link->rel))
                return true;
    }
    return false;
}

/* Whether the client has, or gets, what the link is to make it fetch. */
static bool is_needless(struct stream *stream, const struct response_link *link)
{
    struct page *page = stream->page;
    if (!link->same_origin || (!is_rel(link, "preload") && !is_rel(link, "modulepreload")))
        return false;
    for (unsigned i = 0; page && i < page->judged; i++)
        if (page->decision.items[i].verdict == REASON_PUSHED &&
            hints_the_same(link, &page->decision.items[i]))
            return true;
    return !stream->route->push.hint_held && page_client_has(stream, link->path) == CLIENT_HOLDS;
}

static bool is_of_use(struct stream *stream, const struct interim *interim, unsigned first,
                      const struct response_link *links, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!was_said(stream, interim, first, &links[i]) && !is_needless(stream, &links[i]))
            return true;
    return false;
}

/* Fills interim->passed. Returns what it names, in `links`. */
static size_t pass_links(struct stream *stream, struct interim *interim, unsigned first,
                         struct link_base *base, struct response_link *links)
{
    char *out = interim->text + interim->links.length + 1;
    struct span list = interim->links;
    size_t passed = 0;
    while (list.length && passed < LINKS_MAX) {
        struct span text = links_cut(&list);
        size_t count = links_read_one(base, text, links + passed, LINKS_MAX - passed);
        if (!is_of_use(stream, interim, first, links + passed, count))
            continue;
        if (interim->passed.length) {
            memcpy(out + interim->passed.length, ", ", 2);
            interim->passed.length += 2;
        }
        memcpy(out + interim->passed.length, text.data, text.length);
        interim->passed.length += text.length;
        passed += count;
    }
    interim->passed.data = out;
    return passed;
}

static void inform(struct stream *stream, const struct field *fields, size_t count)
{
    if (!count)
        return;
    if (session_inform(&stream->conn->session, stream->id, 103, fields, count) == 0 && stream->page)
        stream->page->informed = true;
    conn_dirty(stream->conn);
}

void hints_send(struct page *page, unsigned first)
{
    struct field link = {SPAN_LITERAL("link"), {0}};
    if (page->informed || !page->request.client.can_hints)
        return;
    link.value = add_links(page, first, NULL, 0);
    page->hints_through = first ? 0 : page->decision.count;
    inform(page->stream, &link, link.value.length > 0);
}

void hints_pass(struct stream *stream, struct interim *interim, unsigned first)
{
    struct page *page = stream->page;
    struct response_link links[LINKS_MAX];
    struct link_base base;
    struct field fields[2];
    size_t count = 0;
    if (!hints_wanted(stream))
        return;
    link_base_init(&base, &stream->request, stream->authority);
    size_t named = pass_links(stream, interim, first, &base, links);
    if (interim->passed.length)
        fields[count++] = (struct field){SPAN_LITERAL("link"), interim->passed};
    if (page && page->request.client.can_hints) {
        struct span own = add_links(page, first, links, named);
        if (own.length)
            fields[count++] = (struct field){SPAN_LITERAL("link"), own};
    }
    inform(stream, fields, count);
}

/* ---- the final response ---- */

/* What the one 103 said already is said again as it stands, where that is all and the response
 * names nothing itself. */
struct span hints_link(struct page *page, const struct field *fields, size_t count)
{
    struct response_link links[LINKS_MAX];
    struct link_base base;
    if (!page->hinted)
        return (struct span){0};
    if (page->hints_through == page->decision.count && !length_of_links(fields, count))
        return span_make(page->hints, page->hints_length);
    link_base_init(&base, &page->request, page->stream->authority);
    return add_links(page, 0, links, links_read(&base, fields, count, links, LINKS_MAX));
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

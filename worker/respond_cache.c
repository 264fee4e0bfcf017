#include "worker/respond_parts.h"

#define AGE_MAX 2147483648U /* what a number too large stands for (RFC 9111 1.2.2) */

/* Cuts the next member off a list whose members may hold quoted commas; trimmed. */
static struct span next_member(struct span *list)
{
    size_t end = 0;
    bool quoted = false;
    for (; end < list->length && (quoted || list->data[end] != ','); end++) {
        if (list->data[end] == '"')
            quoted = !quoted;
        else if (quoted && list->data[end] == '\\' && end + 1 < list->length)
            end++;
    }
    struct span member = span_trim(span_make(list->data, end));
    *list = span_after(*list, end < list->length ? end + 1 : end);
    return member;
}

/* Both forms of the argument are read, the token and the quoted string (RFC 9111 5.2). */
static bool parse_seconds(struct span text, uint32_t *seconds)
{
    uint64_t value = 0;
    if (text.length >= 2 && text.data[0] == '"' && text.data[text.length - 1] == '"')
        text = span_make(text.data + 1, text.length - 2);
    if (text.length == 0)
        return false;
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        if (value < AGE_MAX)
            value = value * 10 + (uint64_t)(text.data[i] - '0');
    }
    *seconds = value < AGE_MAX ? (uint32_t)value : AGE_MAX;
    return true;
}

/* Of two max-age the first counts; one that can't be read makes the response stale (4.2.1). */
static void take_directive(struct cache_directives *directives, struct span name,
                           struct span argument)
{
    if (span_equal_nocase(name, SPAN_LITERAL("no-store")))
        directives->no_store = true;
    else if (span_equal_nocase(name, SPAN_LITERAL("no-cache")))
        directives->no_cache = true; /* with field names, too: as caches treat it (5.2.2.4) */
    else if (span_equal_nocase(name, SPAN_LITERAL("private")))
        directives->is_private = true;
    else if (span_equal_nocase(name, SPAN_LITERAL("max-age")) && !directives->has_max_age) {
        directives->has_max_age = true;
        if (!parse_seconds(argument, &directives->max_age_s))
            directives->max_age_s = 0;
    }
}

static struct cache_directives parse(struct span cache_control)
{
    struct cache_directives directives = {0};
    while (cache_control.length) {
        struct span member = next_member(&cache_control);
        size_t equals = span_find(member, '=');
        struct span argument =
            equals < member.length ? span_after(member, equals + 1) : (struct span){NULL, 0};
        take_directive(&directives, span_make(member.data, equals), argument);
    }
    return directives;
}

/* The routes of a site say few different things: what was read is kept, a text for each place. */
struct cache_directives cache_directives_parse(struct span cache_control)
{
    static struct {
        size_t length;
        char text[96];
        struct cache_directives directives;
    } places[8], *place;
    place = &places[cache_control.length % 8];
    if (cache_control.length == 0 || cache_control.length > sizeof(place->text))
        return parse(cache_control);
    if (place->length != cache_control.length ||
        memcmp(place->text, cache_control.data, place->length) != 0) {
        place->directives = parse(cache_control);
        place->length = cache_control.length;
        memcpy(place->text, cache_control.data, place->length);
    }
    return place->directives;
}

static uint32_t freshness(const struct cache_directives *directives, uint32_t heuristic_s)
{
    if (directives->no_store || directives->no_cache)
        return 0;
    return directives->has_max_age ? directives->max_age_s : heuristic_s;
}

uint32_t respond_freshness(struct span cache_control, uint32_t heuristic_s, bool *storable)
{
    struct cache_directives directives = cache_directives_parse(cache_control);
    if (storable)
        *storable = !directives.no_store;
    return freshness(&directives, heuristic_s);
}

enum reason respond_pushable(const struct resource *resource, const struct config_site *site,
                             const struct config_route *route, struct span accept_encoding,
                             const struct representation **representation)
{
    struct cache_directives directives = cache_directives_parse(span_of(route->cache_control));
    struct field field = {SPAN_LITERAL("accept-encoding"), accept_encoding};
    struct asked_lines lines = {0, accept_encoding.data ? 1 : 0};
    enum content_coding coding = choose_coding(resource, &field, &lines);
    if (coding == CODINGS)
        return REASON_NOT_FOUND;
    if (representation)
        *representation = &resource->codings[coding];
    if (directives.no_store || directives.is_private ||
        freshness(&directives, site->heuristic_s) == 0)
        return REASON_NOT_CACHEABLE;
    return REASON_PENDING;
}

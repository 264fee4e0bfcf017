#include "worker/http_date.h"
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

/* Of two the first counts; what can't be read gives no leave. */
static void read_grace(struct span argument, uint32_t *seconds)
{
    uint32_t value;
    if (*seconds == 0 && parse_seconds(argument, &value))
        *seconds = value;
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
    else if (span_equal_nocase(name, SPAN_LITERAL("public")))
        directives->is_public = true;
    else if (span_equal_nocase(name, SPAN_LITERAL("must-revalidate")) ||
             span_equal_nocase(name, SPAN_LITERAL("proxy-revalidate")))
        directives->must_revalidate = true;
    else if (span_equal_nocase(name, SPAN_LITERAL("stale-while-revalidate")))
        read_grace(argument, &directives->while_revalidating_s);
    else if (span_equal_nocase(name, SPAN_LITERAL("stale-if-error")))
        read_grace(argument, &directives->if_error_s);
    else if (span_equal_nocase(name, SPAN_LITERAL("s-maxage")) && !directives->has_s_maxage) {
        directives->has_s_maxage = true;
        if (!parse_seconds(argument, &directives->s_maxage_s))
            directives->s_maxage_s = 0;
    }
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

static void add_directives(struct cache_directives *all, struct span line)
{
    struct cache_directives one = cache_directives_parse(line);
    all->no_store |= one.no_store;
    all->no_cache |= one.no_cache;
    all->is_private |= one.is_private;
    all->is_public |= one.is_public;
    all->must_revalidate |= one.must_revalidate;
    if (!all->while_revalidating_s)
        all->while_revalidating_s = one.while_revalidating_s;
    if (!all->if_error_s)
        all->if_error_s = one.if_error_s;
    if (one.has_s_maxage && !all->has_s_maxage) {
        all->has_s_maxage = true;
        all->s_maxage_s = one.s_maxage_s;
    }
    if (!one.has_max_age || all->has_max_age)
        return;
    all->has_max_age = true;
    all->max_age_s = one.max_age_s;
}

static void take_first(struct span *said, struct span value)
{
    if (!said->data)
        *said = value;
}

struct freshness_fields freshness_collect(const struct field *fields, size_t count)
{
    struct freshness_fields said = {0};
    for (size_t i = 0; i < count; i++) {
        if (span_equal(fields[i].name, SPAN_LITERAL("cache-control")))
            add_directives(&said.directives, fields[i].value);
        else if (span_equal(fields[i].name, SPAN_LITERAL("expires")))
            take_first(&said.expires, fields[i].value);
        else if (span_equal(fields[i].name, SPAN_LITERAL("date")))
            take_first(&said.date, fields[i].value);
        else if (span_equal(fields[i].name, SPAN_LITERAL("age")))
            take_first(&said.age, fields[i].value);
    }
    return said;
}

/* An Expires that is no date, "0" above all, lies in the past (RFC 9111 5.3). Without a Date the
 * response is of now (RFC 9110 6.6.1). */
uint32_t freshness_until_expires(const struct freshness_fields *said)
{
    time_t expires, date;
    if (!http_date_parse(span_trim(said->expires), &expires))
        return 0;
    if (!said->date.data || !http_date_parse(span_trim(said->date), &date))
        date = http_date_seconds();
    if (expires <= date)
        return 0;
    return expires - date < (time_t)AGE_MAX ? (uint32_t)(expires - date) : AGE_MAX;
}

/* One that can't be read is as if it were not there (RFC 9111 5.1). */
uint32_t freshness_age(const struct freshness_fields *said)
{
    uint32_t age_s = 0;
    struct span list = said->age;
    return parse_seconds(span_next(&list, ','), &age_s) ? age_s : 0;
}

uint32_t freshness_lifetime(const struct freshness_fields *said, uint32_t heuristic_s)
{
    const struct cache_directives *directives = &said->directives;
    if (directives->no_store || directives->no_cache)
        return 0;
    if (directives->has_max_age)
        return directives->max_age_s;
    return said->expires.data ? freshness_until_expires(said) : heuristic_s;
}

static uint32_t freshness_left(const struct freshness_fields *said, uint32_t heuristic_s)
{
    uint32_t lifetime_s = freshness_lifetime(said, heuristic_s), age_s = freshness_age(said);
    return age_s < lifetime_s ? lifetime_s - age_s : 0;
}

uint32_t respond_freshness(const struct field *fields, size_t count, uint32_t heuristic_s,
                           bool *storable)
{
    struct freshness_fields said = freshness_collect(fields, count);
    if (storable)
        *storable = !said.directives.no_store;
    return freshness_left(&said, heuristic_s);
}

uint32_t respond_file_freshness(const struct config_site *site, const struct config_route *route,
                                struct cache_directives *directives)
{
    *directives = cache_directives_parse(span_of(route->cache_control));
    if (directives->no_store || directives->no_cache)
        return 0;
    return directives->has_max_age ? directives->max_age_s : site->heuristic_s;
}

uint32_t respond_ttl(struct resource *resource, const struct config_site *site)
{
    if (resource->origin)
        return origin_client_ttl(resource->origin);
    if (resource->ttl_site != site) {
        struct cache_directives directives;
        const struct config_route *route = config_route(site, resource->path);
        resource->ttl_s = respond_file_freshness(site, route, &directives);
        resource->ttl_site = site;
    }
    return resource->ttl_s;
}

bool vary_is_more_than_coding(struct span vary)
{
    while (vary.length)
        if (!span_equal_nocase(span_next(&vary, ','), SPAN_LITERAL("accept-encoding")))
            return true;
    return false;
}

/* For a shared cache, too, what is stale at once is nothing to keep; s-maxage outranks the rest of
 * what says how long (RFC 9111 4.2.1). */
bool respond_is_public(const struct response *response, bool with_cookies)
{
    bool says_so = false, shared_stale = false, shared_fresh = false;
    for (unsigned i = 0; i < response->fields_count; i++) {
        const struct field *field = &response->fields[i];
        if (span_equal(field->name, SPAN_LITERAL("set-cookie")) ||
            (span_equal(field->name, SPAN_LITERAL("vary")) &&
             vary_is_more_than_coding(field->value)))
            return false;
        if (!span_equal(field->name, SPAN_LITERAL("cache-control")))
            continue;
        struct cache_directives line = cache_directives_parse(field->value);
        if (line.no_store || line.no_cache || line.is_private)
            return false;
        says_so |= line.is_public || line.has_s_maxage;
        shared_stale |= line.has_s_maxage && line.s_maxage_s == 0;
        shared_fresh |= line.has_s_maxage && line.s_maxage_s > 0;
    }
    if (shared_stale || (with_cookies && !says_so))
        return false;
    return shared_fresh || (response->cacheable && response->ttl_s > 0);
}

/* What a shared cache keeps is nobody's own; a request that is promised has nothing but a coding that
 * an answer could vary on. */
static enum reason origin_pushable(const struct resource *resource)
{
    const struct origin_answer *origin = resource->origin;
    if (origin->status != 200)
        return REASON_NOT_FOUND;
    return origin->varies || origin_client_ttl(origin) == 0 ? REASON_NOT_CACHEABLE : REASON_PENDING;
}

enum reason respond_pushable(const struct resource *resource, const struct config_site *site,
                             const struct config_route *route, struct span accept_encoding,
                             const struct representation **representation)
{
    struct field field = {SPAN_LITERAL("accept-encoding"), accept_encoding};
    struct asked_lines lines = {0, accept_encoding.data ? 1 : 0};
    enum content_coding coding =
        resource->origin ? CODING_IDENTITY : choose_coding(resource, &field, &lines);
    if (coding == CODINGS)
        return REASON_NOT_FOUND;
    if (representation)
        *representation = &resource->codings[coding];
    if (resource->origin)
        return origin_pushable(resource);
    struct cache_directives directives;
    if (respond_file_freshness(site, route, &directives) == 0 || directives.is_private)
        return REASON_NOT_CACHEABLE;
    return REASON_PENDING;
}

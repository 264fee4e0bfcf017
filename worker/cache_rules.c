/* What a response allows a shared cache to do: pure. (RFC 9111 3, 4.2; RFC 5861) */
#include "worker/cache_parts.h"

#include "worker/http_date.h"
#include "worker/respond_parts.h"

/* Statuses that are understood here, and whether such a response may be fresh without saying so
 * (RFC 9110 15.1). */
static bool is_understood(int status, bool *heuristic)
{
    static const struct {
        int status;
        bool heuristic;
    } KNOWN[] = {{200, true},  {203, true},  {204, true},  {300, true}, {301, true},
                 {302, false}, {303, false}, {307, false}, {308, true}, {404, true},
                 {405, true},  {410, true},  {414, true},  {501, true}};
    for (size_t i = 0; i < sizeof(KNOWN) / sizeof(KNOWN[0]); i++)
        if (KNOWN[i].status == status) {
            *heuristic = KNOWN[i].heuristic;
            return true;
        }
    return false;
}

/* A tenth of how long it had not changed by then, as caches do (RFC 9111 4.2.2); nothing for URLs
 * with a query, whose answers are made for them. */
static uint32_t heuristic_life(const struct field *fields, size_t count, struct span date_text,
                               const struct cache_request *request, time_t now_s)
{
    time_t date, modified;
    struct span text = field_find(fields, count, SPAN_LITERAL("last-modified"));
    if (!text.data || !http_date_parse(span_trim(text), &modified) ||
        span_find(request->target, '?') < request->target.length)
        return 0;
    if (!date_text.data || !http_date_parse(span_trim(date_text), &date))
        date = now_s;
    if (modified >= date)
        return 0;
    uint64_t life_s = (uint64_t)(date - modified) / 10;
    return life_s < request->heuristic_s ? (uint32_t)life_s : request->heuristic_s;
}

/* RFC 9111 4.2.3. */
static uint32_t initial_age(const struct freshness_fields *said, time_t now_s, uint32_t delay_s)
{
    time_t date;
    uint64_t corrected = (uint64_t)freshness_age(said) + delay_s;
    if (said->date.data && http_date_parse(span_trim(said->date), &date) && now_s > date &&
        (uint64_t)(now_s - date) > corrected)
        corrected = (uint64_t)(now_s - date);
    return corrected < UINT32_MAX ? (uint32_t)corrected : UINT32_MAX;
}

static bool sets_cookie(const struct field *fields, size_t count)
{
    return field_find(fields, count, SPAN_LITERAL("set-cookie")).data != NULL;
}

static bool has_validator(int status, const struct field *fields, size_t count)
{
    return status == 200 && (field_find(fields, count, SPAN_LITERAL("etag")).data ||
                             field_find(fields, count, SPAN_LITERAL("last-modified")).data);
}

static void read_life(struct cache_terms *terms, const struct freshness_fields *said,
                      uint32_t guessed_s)
{
    const struct cache_directives *directives = &said->directives;
    terms->life_said = true;
    if (directives->has_s_maxage) {
        terms->life_s = directives->s_maxage_s;
    } else if (directives->has_max_age) {
        terms->life_s = directives->max_age_s;
    } else if (said->expires.data) {
        terms->life_s = freshness_until_expires(said);
    } else {
        terms->life_s = guessed_s;
        terms->life_said = false;
    }
    if (directives->no_cache)
        terms->life_s = 0;
    terms->always_validates = directives->no_cache || terms->life_s == 0;
    if (directives->no_cache || directives->must_revalidate)
        return;
    terms->while_revalidating_s = directives->while_revalidating_s;
    terms->if_error_s = directives->if_error_s;
}

struct cache_terms cache_judge(int status, const struct field *fields, size_t count,
                               const struct cache_request *request, bool credentialed, time_t now_s,
                               uint32_t delay_s)
{
    struct cache_terms terms = {0};
    struct freshness_fields said = freshness_collect(fields, count);
    const struct cache_directives *directives = &said.directives;
    bool heuristic = false;
    bool understood = is_understood(status, &heuristic);
    uint32_t guessed_s = heuristic ? heuristic_life(fields, count, said.date, request, now_s) : 0;
    read_life(&terms, &said, guessed_s);
    terms.initial_age_s = initial_age(&said, now_s, delay_s);
    terms.client_life_s = freshness_lifetime(&said, guessed_s);
    bool worth_it = terms.life_s > terms.initial_age_s || has_validator(status, fields, count);
    terms.storable = understood && worth_it && !directives->no_store && !directives->is_private &&
                     !sets_cookie(fields, count) &&
                     (!credentialed || directives->is_public || directives->has_s_maxage);
    return terms;
}

bool cache_leaves_out(struct span name)
{
    static const struct span NAMES[] = {SPAN_LITERAL("age"),
                                        SPAN_LITERAL("connection"),
                                        SPAN_LITERAL("content-length"),
                                        SPAN_LITERAL("keep-alive"),
                                        SPAN_LITERAL("proxy-authenticate"),
                                        SPAN_LITERAL("proxy-connection"),
                                        SPAN_LITERAL("set-cookie"),
                                        SPAN_LITERAL("te"),
                                        SPAN_LITERAL("trailer"),
                                        SPAN_LITERAL("transfer-encoding"),
                                        SPAN_LITERAL("upgrade")};
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++)
        if (span_equal(name, NAMES[i]))
            return true;
    return false;
}

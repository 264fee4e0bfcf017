/* Which representation, whether at all, and which part of it. */
#include "worker/respond_parts.h"

#include "worker/http_date.h"

static void once(struct asked_once *asked, struct span value)
{
    if (asked->count++ == 0)
        asked->value = span_trim(value);
}

static void line(struct asked_lines *asked, size_t i)
{
    if (asked->count++ == 0)
        asked->first = i;
}

void asked_collect(struct asked *asked, const struct request *request)
{
    *asked = (struct asked){0};
    for (size_t i = 0; i < request->fields_count; i++) {
        const struct field *field = &request->fields[i];
        const struct span name = field->name;
        if (name.length < 5 || (name.data[0] != 'i' && name.data[0] != 'a' && name.data[0] != 'r'))
            continue;
        if (span_equal(name, SPAN_LITERAL("accept-encoding")))
            line(&asked->accept_encoding, i);
        else if (span_equal(name, SPAN_LITERAL("if-none-match")))
            line(&asked->if_none_match, i);
        else if (span_equal(name, SPAN_LITERAL("if-modified-since")))
            once(&asked->if_modified_since, field->value);
        else if (span_equal(name, SPAN_LITERAL("range")))
            once(&asked->range, field->value);
        else if (span_equal(name, SPAN_LITERAL("if-range")))
            once(&asked->if_range, field->value);
        else if (span_equal(name, SPAN_LITERAL("if-match")))
            line(&asked->if_match, i);
        else if (span_equal(name, SPAN_LITERAL("if-unmodified-since")))
            once(&asked->if_unmodified_since, field->value);
    }
}

#define QUALITY_UNSAID (-1)
#define QUALITY_MAX 1000

/* A weight (RFC 9110 12.4.2) in thousandths: "0", "0.5", "1.000". Returns -1 for anything else. */
static int parse_quality(struct span text)
{
    int value = 0;
    if (text.length == 0 || text.length > 5 || (text.data[0] != '0' && text.data[0] != '1') ||
        (text.length > 1 && text.data[1] != '.'))
        return -1;
    for (size_t i = 0; i < 5; i++) {
        if (i == 1)
            continue;
        int digit = i < text.length ? text.data[i] - '0' : 0;
        if (digit < 0 || digit > 9)
            return -1;
        value = value * 10 + digit;
    }
    return value <= QUALITY_MAX ? value : -1;
}

struct qualities {
    int codings[CODINGS];
    int other; /* "*" */
};

static void take_coding(struct qualities *qualities, struct span name, int quality)
{
    static const struct {
        struct span name;
        enum content_coding coding;
    } known[] = {
        {SPAN_LITERAL("br"), CODING_BROTLI},         {SPAN_LITERAL("zstd"), CODING_ZSTD},
        {SPAN_LITERAL("gzip"), CODING_GZIP},         {SPAN_LITERAL("x-gzip"), CODING_GZIP},
        {SPAN_LITERAL("identity"), CODING_IDENTITY},
    };
    if (span_equal(name, SPAN_LITERAL("*")))
        qualities->other = quality;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (span_equal_nocase(name, known[i].name))
            qualities->codings[known[i].coding] = quality;
}

/* One line's members, "gzip;q=0.5"; one with a weight that can't be read is left out. */
static void take_codings(struct qualities *qualities, struct span line)
{
    while (line.length) {
        struct span weight = span_next(&line, ',');
        struct span name = span_next(&weight, ';');
        int quality = QUALITY_MAX;
        weight = span_trim(weight);
        if (weight.length) {
            if (weight.length < 2 || (weight.data[0] | 0x20) != 'q' || weight.data[1] != '=')
                continue;
            quality = parse_quality(span_after(weight, 2));
        }
        if (quality >= 0)
            take_coding(qualities, name, quality);
    }
}

/* What isn't listed is as "*" says, or else not acceptable; but identity is unless it is refused,
 * only less wanted than all that is listed. */
static int quality_of(const struct qualities *qualities, unsigned coding)
{
    if (qualities->codings[coding] != QUALITY_UNSAID)
        return qualities->codings[coding];
    if (qualities->other != QUALITY_UNSAID)
        return qualities->other;
    return coding == CODING_IDENTITY ? 1 : 0;
}

static void read_codings(struct qualities *qualities, const struct field *fields,
                         const struct asked_lines *lines)
{
    const struct span name = fields[lines->first].name;
    unsigned left = lines->count;
    for (unsigned i = 0; i < CODINGS; i++)
        qualities->codings[i] = QUALITY_UNSAID;
    qualities->other = QUALITY_UNSAID;
    for (size_t at = lines->first; left > 0; at++)
        if (span_equal(fields[at].name, name)) {
            take_codings(qualities, fields[at].value);
            left--;
        }
}

/* One after the other, requests mostly say the same: what was read last is kept. */
static const struct qualities *qualities_of(const struct field *fields,
                                            const struct asked_lines *lines)
{
    static struct qualities known;
    static char text[64];
    static size_t length = SIZE_MAX;
    struct span value = fields[lines->first].value;
    if (lines->count == 1 && value.length > 0 && value.length == length &&
        memcmp(value.data, text, length) == 0)
        return &known;
    read_codings(&known, fields, lines);
    length = SIZE_MAX;
    if (lines->count == 1 && value.length > 0 && value.length <= sizeof(text)) {
        memcpy(text, value.data, value.length);
        length = value.length;
    }
    return &known;
}

enum content_coding choose_coding(const struct resource *resource, const struct field *fields,
                                  const struct asked_lines *lines)
{
    enum content_coding best = CODINGS;
    int best_quality = 0;
    if (lines->count == 0)
        return CODING_IDENTITY;
    const struct qualities *qualities = qualities_of(fields, lines);
    for (unsigned i = 0; i < CODINGS; i++) {
        if (!resource->codings[i].exists)
            continue;
        int quality = quality_of(qualities, i);
        if (quality > best_quality) {
            best = (enum content_coding)i;
            best_quality = quality;
        }
    }
    return best;
}

/* Cuts the next entity tag, [W/]"...", off a list; a quoted comma is part of it. Returns false at
 * the end, and at what is no tag: no more is read then. */
static bool next_tag(struct span *list, struct span *opaque, bool *weak)
{
    while (list->length && (list->data[0] == ',' || list->data[0] == ' ' || list->data[0] == '\t'))
        *list = span_after(*list, 1);
    *weak = span_starts(*list, SPAN_LITERAL("W/"));
    struct span tag = *weak ? span_after(*list, 2) : *list;
    if (tag.length < 2 || tag.data[0] != '"')
        return false;
    size_t end = span_find(span_after(tag, 1), '"') + 2;
    if (end > tag.length)
        return false;
    *opaque = span_make(tag.data, end);
    *list = span_after(tag, end);
    return true;
}

static bool line_matches(struct span line, struct span etag, bool strong)
{
    struct span opaque;
    bool weak;
    if (span_equal(span_trim(line), SPAN_LITERAL("*")))
        return true;
    while (next_tag(&line, &opaque, &weak))
        if (!(strong && weak) && span_equal(opaque, etag))
            return true;
    return false;
}

/* True when the tag is in one of the field's lines. Herald's own tags are strong, an origin's may be
 * weak: then nothing matches it in the strong comparison (8.8.3.2). */
static bool any_matches(const struct request *request, const struct asked_lines *lines,
                        struct span etag, bool strong)
{
    const struct span name = request->fields[lines->first].name;
    if (span_starts(etag, SPAN_LITERAL("W/")))
        etag = strong ? (struct span){0} : span_after(etag, 2);
    for (size_t at = lines->first; at < request->fields_count; at++)
        if (span_equal(request->fields[at].name, name) &&
            line_matches(request->fields[at].value, etag, strong))
            return true;
    return false;
}

/* A date that isn't one, or comes twice, says nothing (13.1.3, 13.1.4). */
static bool has_date(const struct asked_once *asked, time_t *date)
{
    return asked->count == 1 && http_date_parse(asked->value, date);
}

enum precondition evaluate_preconditions(const struct request *request, const struct asked *asked,
                                         const struct representation *representation,
                                         time_t modified)
{
    time_t date;
    if (asked->if_match.count) {
        if (!any_matches(request, &asked->if_match, representation->etag, true))
            return PRECONDITION_FAILED;
    } else if (modified >= 0 && has_date(&asked->if_unmodified_since, &date) && modified > date) {
        return PRECONDITION_FAILED;
    }
    if (asked->if_none_match.count) {
        if (any_matches(request, &asked->if_none_match, representation->etag, false))
            return PRECONDITION_NOT_MODIFIED;
    } else if (modified >= 0 && has_date(&asked->if_modified_since, &date) && modified <= date) {
        return PRECONDITION_NOT_MODIFIED;
    }
    return PRECONDITION_TRUE;
}

/* A date is a strong validator only when the file can't change any more within the second that it
 * names (RFC 9110 8.8.2.2). */
static bool range_still_applies(const struct asked *asked,
                                const struct representation *representation, time_t modified)
{
    struct span value = span_trim(asked->if_range.value);
    struct span opaque;
    bool weak;
    time_t date;
    if (asked->if_range.count == 0)
        return true;
    if (asked->if_range.count > 1)
        return false;
    if (next_tag(&value, &opaque, &weak))
        return !weak && value.length == 0 && span_equal(opaque, representation->etag);
    return http_date_parse(value, &date) && date == modified && modified + 1 < http_date_seconds();
}

/* Digits up to the end of the text; a number too large is the largest. */
static bool parse_position(struct span text, uint64_t *position)
{
    *position = 0;
    for (size_t i = 0; i < text.length; i++) {
        uint64_t digit = (uint64_t)(text.data[i] - '0');
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        *position = *position > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *position * 10 + digit;
    }
    return text.length > 0;
}

/* The last `count` bytes. Of no bytes there is no part to name in Content-Range. */
static enum byte_range suffix_range(uint64_t size, uint64_t count, uint64_t *offset,
                                    uint64_t *length)
{
    if (count == 0)
        return RANGE_UNSATISFIABLE;
    if (size == 0)
        return RANGE_WHOLE;
    *length = count < size ? count : size;
    *offset = size - *length;
    return RANGE_PART;
}

enum byte_range evaluate_range(const struct asked *asked,
                               const struct representation *representation, time_t modified,
                               uint64_t *offset, uint64_t *length)
{
    const struct span unit = SPAN_LITERAL("bytes=");
    const uint64_t size = representation->size;
    uint64_t from, to;
    if (asked->range.count != 1 || asked->range.value.length <= unit.length ||
        !span_equal_nocase(span_make(asked->range.value.data, unit.length), unit))
        return RANGE_WHOLE;
    struct span range = span_trim(span_after(asked->range.value, unit.length));
    size_t dash = span_find(range, '-');
    if (dash == range.length || !range_still_applies(asked, representation, modified))
        return RANGE_WHOLE;
    struct span first_text = span_make(range.data, dash);
    struct span last_text = span_after(range, dash + 1);
    if (dash == 0)
        return parse_position(last_text, &to) ? suffix_range(size, to, offset, length)
                                              : RANGE_WHOLE;
    if (!parse_position(first_text, &from))
        return RANGE_WHOLE;
    if (last_text.length == 0)
        to = UINT64_MAX;
    else if (!parse_position(last_text, &to) || to < from)
        return RANGE_WHOLE;
    if (from >= size)
        return RANGE_UNSATISFIABLE;
    *offset = from;
    *length = (to < size ? to + 1 : size) - from;
    return RANGE_PART;
}

/* Which requests a response that varies answers: pure. (RFC 9111 4.1) */
#include "worker/cache_parts.h"

#include "policy/identity.h"

struct writer {
    char *at;
    size_t used, room;
    bool full;
};

static void put(struct writer *out, struct span text)
{
    if (text.length > out->room - out->used) {
        out->full = true;
        return;
    }
    if (text.length)
        memcpy(out->at + out->used, text.data, text.length);
    out->used += text.length;
}

static size_t written(const struct writer *out)
{
    return out->full ? SIZE_MAX : out->used;
}

size_t cache_vary(const struct field *fields, size_t count, char out[CACHE_VARY_BYTES])
{
    struct writer list = {out, 0, CACHE_VARY_BYTES, false};
    unsigned names = 0;
    for (size_t i = 0; i < count; i++) {
        struct span line = fields[i].value;
        if (!span_equal(fields[i].name, SPAN_LITERAL("vary")))
            continue;
        while (line.length) {
            struct span name = span_next(&line, ',');
            if (!name.length)
                continue;
            if (span_equal(name, SPAN_LITERAL("*")) || ++names > CACHE_VARY_MAX)
                return SIZE_MAX;
            if (list.used)
                put(&list, SPAN_LITERAL(","));
            put(&list, name);
        }
    }
    return written(&list);
}

/* A weight of 0: "q=0", "q=0.000" (RFC 9110 12.4.2). */
static bool is_refused(struct span weight)
{
    if (!span_starts(weight, SPAN_LITERAL("q=0")))
        return false;
    for (size_t i = 3; i < weight.length; i++)
        if (weight.data[i] != '0' && weight.data[i] != '.')
            return false;
    return true;
}

/* The codings that a request takes, whatever it prefers, in one order: those that take the same
 * ones get the same response. "*" and refusals are kept as they are. */
static void put_codings(struct writer *out, const struct cache_request *request)
{
    static const struct span CODINGS_KNOWN[] = {SPAN_LITERAL("br"), SPAN_LITERAL("deflate"),
                                                SPAN_LITERAL("gzip"), SPAN_LITERAL("zstd")};
    bool taken[4] = {false};
    for (size_t i = 0; i < request->fields_count; i++) {
        struct span line = request->fields[i].value;
        if (!span_equal(request->fields[i].name, SPAN_LITERAL("accept-encoding")))
            continue;
        while (line.length) {
            struct span member = span_next(&line, ',');
            struct span name = span_next(&member, ';');
            bool refused = is_refused(member);
            bool known = false;
            for (unsigned k = 0; k < 4; k++)
                if (span_equal_nocase(name, CODINGS_KNOWN[k]))
                    taken[k] = known = !refused;
            if (known || !name.length ||
                (refused && !span_equal(name, SPAN_LITERAL("*")) &&
                 !span_equal_nocase(name, SPAN_LITERAL("identity"))))
                continue;
            put(out, refused ? SPAN_LITERAL("-") : SPAN_LITERAL("+"));
            put(out, name);
        }
    }
    for (unsigned k = 0; k < 4; k++)
        if (taken[k]) {
            put(out, SPAN_LITERAL("+"));
            put(out, CODINGS_KNOWN[k]);
        }
}

/* The lines are one list, cookies' own separator apart; this server's cookie is not the origin's to
 * see. */
static void put_values(struct writer *out, struct span name, const struct cache_request *request)
{
    bool cookie = span_equal_nocase(name, SPAN_LITERAL("cookie"));
    size_t begun = out->used;
    for (size_t i = 0; i < request->fields_count && !out->full; i++) {
        const struct field *field = &request->fields[i];
        size_t before = out->used;
        if (!span_equal_nocase(field->name, name))
            continue;
        put(out, out->used == begun ? SPAN_LITERAL("=")
                 : cookie           ? SPAN_LITERAL(";")
                                    : SPAN_LITERAL(","));
        if (!cookie)
            put(out, span_trim(field->value));
        else if (field->value.length > out->room - out->used)
            out->full = true;
        else {
            size_t length = identity_cookie_strip(field->value, out->at + out->used);
            out->used = length ? out->used + length : before;
        }
    }
}

size_t cache_selecting(struct span vary, const struct cache_request *request,
                       char out[CACHE_VARY_BYTES])
{
    struct writer text = {out, 0, CACHE_VARY_BYTES, false};
    while (vary.length && !text.full) {
        struct span name = span_next(&vary, ',');
        if (span_equal_nocase(name, SPAN_LITERAL("accept-encoding")))
            put_codings(&text, request);
        else
            put_values(&text, name, request);
        put(&text, SPAN_LITERAL("\n"));
    }
    return written(&text);
}

bool cache_selects(struct span vary, struct span selecting, const struct cache_request *request)
{
    char text[CACHE_VARY_BYTES];
    if (vary.length == 0)
        return true;
    size_t length = cache_selecting(vary, request, text);
    return length != SIZE_MAX && span_equal(span_make(text, length), selecting);
}

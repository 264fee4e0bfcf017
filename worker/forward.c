#include "worker/forward.h"

#include "policy/identity.h"
#include "worker/blocks.h"
#include "worker/http_date.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define OWN_FIELDS 8 /* that are added to a request at most */
#define TOKENS_MAX                                                                \
    32 /* names in Connection that are looked at; a list with more names them all \
        */

/* Those that concern one hop whether Connection names them or not, and those that are made anew. */
static const struct span HOP[] = {
#define NAME(text)             \
    {                          \
        text, sizeof(text) - 1 \
    }
    NAME("connection"),
    NAME("keep-alive"),
    NAME("proxy-connection"),
    NAME("proxy-authenticate"),
    NAME("proxy-authorization"),
    NAME("te"),
    NAME("trailer"),
    NAME("transfer-encoding"),
    NAME("upgrade"),
    NAME("http2-settings"),
    NAME("content-length"),
};
static const struct span REQUEST_OWN[] = {NAME("host"), NAME("expect"), NAME("via"),
                                          NAME("cookie")};
static const struct span WAY[] = {NAME("forwarded"), NAME("x-forwarded-for"),
                                  NAME("x-forwarded-proto"), NAME("x-forwarded-host")};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool is_among(struct span name, const struct span *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (span_equal(name, names[i]))
            return true;
    return false;
}

/* The names that the list's Connection fields give. */
struct tokens {
    struct span names[TOKENS_MAX];
    unsigned count;
    bool overflowed;
};

static void read_connection(const struct field *fields, size_t count, struct tokens *tokens)
{
    tokens->count = 0;
    tokens->overflowed = false;
    for (size_t i = 0; i < count; i++) {
        struct span rest = fields[i].value;
        if (!span_equal(fields[i].name, SPAN_LITERAL("connection")))
            continue;
        while (rest.length && tokens->count < TOKENS_MAX) {
            struct span token = span_trim(span_next(&rest, ','));
            if (token.length)
                tokens->names[tokens->count++] = token;
        }
        tokens->overflowed = tokens->overflowed || rest.length;
    }
}

static bool is_hop(struct span name, const struct tokens *tokens)
{
    if (is_among(name, HOP, COUNT(HOP)))
        return true;
    for (unsigned i = 0; i < tokens->count; i++)
        if (span_equal_nocase(name, tokens->names[i]))
            return true;
    return false;
}

static void add(struct forward_list *list, struct span name, struct span value)
{
    assert(list->count < list->room);
    list->fields[list->count++] = (struct field){name, value};
}

/* Memory for `fields` fields and `bytes` of text behind them; *text is where that begins. */
static int make(struct forward_list *list, size_t fields, size_t bytes, char **text)
{
    *list = (struct forward_list){.room = (unsigned)fields};
    list->fields = blocks_take(fields * sizeof(struct field) + bytes);
    if (!list->fields)
        return -ENOMEM;
    *text = (char *)(list->fields + fields);
    return 0;
}

static struct span put(char **at, struct span text)
{
    char *start = *at;
    if (text.length)
        memcpy(start, text.data, text.length);
    *at += text.length;
    return span_make(start, text.length);
}

/* All values of `name` as one list, then `last` (RFC 9110 5.3). */
static struct span join(const struct forward_request *request, struct span name, bool kept,
                        const char *separator, struct span last, char **at)
{
    char *start = *at;
    for (size_t i = 0; kept && i < request->fields_count; i++) {
        struct span value = span_trim(request->fields[i].value);
        if (!span_equal(request->fields[i].name, name) || !value.length)
            continue;
        if (*at > start)
            put(at, span_of(separator));
        put(at, value);
    }
    if (*at > start && last.length)
        put(at, span_of(separator));
    put(at, last);
    return span_make(start, (size_t)(*at - start));
}

/* RFC 9113 8.2.3: crumbs are one field again. */
static void add_cookie(const struct forward_request *request, struct forward_list *list, char **at)
{
    struct span all = join(request, SPAN_LITERAL("cookie"), true, "; ", (struct span){NULL, 0}, at);
    size_t left = all.length ? identity_cookie_strip(all, *at) : 0;
    if (!left)
        return;
    add(list, SPAN_LITERAL("cookie"), span_make(*at, left));
    *at += left;
}

/* All values of Forwarded, then what this hop saw. */
static struct span join_node(const struct forward_request *request, struct span peer, char **at)
{
    bool v6 = span_find(peer, ':') < peer.length;
    struct span kept = join(request, SPAN_LITERAL("forwarded"), request->trusted, ", ",
                            (struct span){NULL, 0}, at);
    char *start = *at - kept.length;
    if (kept.length)
        put(at, SPAN_LITERAL(", "));
    put(at, v6 ? SPAN_LITERAL("for=\"[") : SPAN_LITERAL("for="));
    put(at, peer);
    put(at, v6 ? SPAN_LITERAL("]\";proto=") : SPAN_LITERAL(";proto="));
    put(at, request->scheme);
    put(at, SPAN_LITERAL(";host=\""));
    put(at, request->authority);
    put(at, SPAN_LITERAL("\""));
    return span_make(start, (size_t)(*at - start));
}

/* RFC 7239, and what everybody reads in its place. A client's own words on that are kept only from
 * whom the config trusts. */
static void add_way(const struct forward_request *request, struct forward_list *list, char **at)
{
    bool kept = request->trusted;
    struct span peer = span_of(request->peer);
    add(list, SPAN_LITERAL("x-forwarded-for"),
        join(request, SPAN_LITERAL("x-forwarded-for"), kept, ", ", peer, at));
    struct span proto = field_find(request->fields, request->fields_count, WAY[2]);
    struct span host = field_find(request->fields, request->fields_count, WAY[3]);
    add(list, SPAN_LITERAL("x-forwarded-proto"), kept && proto.length ? proto : request->scheme);
    add(list, SPAN_LITERAL("x-forwarded-host"), kept && host.length ? host : request->authority);
    add(list, SPAN_LITERAL("forwarded"), join_node(request, peer, at));
}

static void add_via(const struct forward_request *request, struct forward_list *list, char **at)
{
    struct span kept = join(request, SPAN_LITERAL("via"), true, ", ", (struct span){NULL, 0}, at);
    char *start = *at - kept.length;
    if (kept.length)
        put(at, SPAN_LITERAL(", "));
    put(at, request->protocol);
    put(at, SPAN_LITERAL(" "));
    put(at, span_of(request->name));
    add(list, SPAN_LITERAL("via"), span_make(start, (size_t)(*at - start)));
}

/* In decimal. */
static struct span put_number(char **at, int64_t number)
{
    char digits[20];
    size_t first = sizeof(digits);
    do
        digits[--first] = (char)('0' + number % 10);
    while (number /= 10);
    return put(at, span_make(digits + first, sizeof(digits) - first));
}

int forward_request(const struct forward_request *request, struct forward_list *list)
{
    struct tokens tokens;
    char *at;
    size_t bytes = request->authority.length + 1024;
    for (size_t i = 0; i < request->fields_count; i++) /* joined, and stripped from that */
        bytes += 4 * (request->fields[i].value.length + 2);
    if (make(list, request->fields_count + OWN_FIELDS, bytes, &at) < 0)
        return -ENOMEM;
    read_connection(request->fields, request->fields_count, &tokens);
    for (size_t i = 0; i < request->fields_count; i++) {
        struct span name = request->fields[i].name;
        if (tokens.overflowed || is_hop(name, &tokens) ||
            is_among(name, REQUEST_OWN, COUNT(REQUEST_OWN)) || is_among(name, WAY, COUNT(WAY)))
            continue;
        add(list, name, span_trim(request->fields[i].value));
    }
    add_cookie(request, list, &at);
    add_way(request, list, &at);
    add_via(request, list, &at);
    if (request->empty_content)
        add(list, SPAN_LITERAL("content-length"), SPAN_LITERAL("0"));
    return 0;
}

int forward_response(const struct field *fields, size_t count, int64_t length, unsigned spare,
                     struct forward_list *list)
{
    struct tokens tokens;
    char *at;
    bool dated = false;
    size_t bytes = 96;
    for (size_t i = 0; i < count; i++)
        bytes += fields[i].name.length + fields[i].value.length;
    if (make(list, count + 2 + spare, bytes, &at) < 0)
        return -ENOMEM;
    read_connection(fields, count, &tokens);
    for (size_t i = 0; i < count; i++) {
        if (tokens.overflowed || is_hop(fields[i].name, &tokens))
            continue;
        dated = dated || span_equal(fields[i].name, SPAN_LITERAL("date"));
        struct span name = put(&at, fields[i].name);
        add(list, name, put(&at, fields[i].value));
    }
    if (length >= 0)
        add(list, SPAN_LITERAL("content-length"), put_number(&at, length));
    if (!dated)
        add(list, SPAN_LITERAL("date"), put(&at, http_date_now()));
    return 0;
}

int64_t forward_length(const struct field *fields, size_t count)
{
    struct span value = field_find(fields, count, SPAN_LITERAL("content-length"));
    int64_t length = 0;
    if (!value.length || value.length > 18)
        return -1;
    for (size_t i = 0; i < value.length; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return -1;
        length = length * 10 + value.data[i] - '0';
    }
    return length;
}

unsigned forward_passages(const struct field *fields, size_t count, const char *name)
{
    unsigned passages = 0;
    for (size_t i = 0; i < count; i++) {
        struct span rest = fields[i].value;
        if (!span_equal(fields[i].name, SPAN_LITERAL("via")))
            continue;
        while (rest.length) {
            struct span passage = span_next(&rest, ',');
            size_t space = span_find(passage, ' ');
            passages +=
                space < passage.length && span_equal(span_after(passage, space + 1), span_of(name));
        }
    }
    return passages;
}

void forward_list_finish(struct forward_list *list)
{
    blocks_give(list->fields);
    *list = (struct forward_list){0};
}

#include "policy/decision.h"

#include <assert.h>

static const char *const NAMES[] = {
#define REASON(name, word, prose) word,
#include "policy/reasons.def"
#undef REASON
};

static const char *const PROSE[] = {
#define REASON(name, word, prose) prose,
#include "policy/reasons.def"
#undef REASON
};

const char *reason_name(enum reason reason)
{
    assert((unsigned)reason < REASONS);
    return NAMES[reason];
}

const char *reason_prose(enum reason reason)
{
    assert((unsigned)reason < REASONS);
    return PROSE[reason];
}

void decision_reset(struct decision *decision)
{
    decision->count = 0;
    decision->notes_count = 0;
    decision->overflowed = 0;
    decision->accepted = 0;
    decision->bytes = 0;
    decision->budget_bytes = 0;
    memset(decision->marks, 0, sizeof(decision->marks));
    decision->text_used = 0;
}

struct span decision_text(struct decision *decision, struct span text)
{
    if (text.length > DECISION_TEXT_MAX - decision->text_used)
        return (struct span){NULL, 0};
    char *copy = decision->text + decision->text_used;
    if (text.length)
        memcpy(copy, text.data, text.length);
    decision->text_used += text.length;
    return (struct span){copy, text.length};
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that a "%xx" at the start of `text` stands for, or -1. */
static int decoded(struct span text)
{
    if (text.length < 3 || hex(text.data[1]) < 0 || hex(text.data[2]) < 0)
        return -1;
    return hex(text.data[1]) << 4 | hex(text.data[2]);
}

/* Bytes that may stand in a path or query unencoded, RFC 3986's and those that browsers leave as
 * they are besides: 1. The ones that mean something there: 2. All others: 0. */
static const unsigned char CLASSES[256] = {
    ['!'] = 1,         ['$'] = 1, ['&' ... '.'] = 1, ['0' ... ';'] = 1, ['='] = 1,
    ['@' ... '['] = 1, [']'] = 1, ['^'] = 1,         ['_'] = 1,         ['`' ... '~'] = 1,
    ['%'] = 2,         ['/'] = 2, ['?'] = 2,
};

static bool is_plain(char c)
{
    return CLASSES[(unsigned char)c];
}

/* True when `text` begins with a segment of "." or "..", either dot written as "%2e" or not. */
static bool is_dots(struct span text)
{
    size_t dots = 0;
    while (text.length && text.data[0] != '/' && text.data[0] != '?') {
        bool encoded = text.data[0] == '%' && decoded(text) == '.';
        if (text.data[0] != '.' && !encoded)
            return false;
        text = span_after(text, encoded ? 3 : 1);
        dots++;
    }
    return dots == 1 || dots == 2;
}

/* What the server itself would answer 400 to is not proposed: a NUL or a slash that is encoded, a
 * dot segment, a byte that has no place in a URL. `*plain`: nothing is encoded, and there is no
 * query. */
static bool is_path(struct span path, bool *plain)
{
    bool in_query = false;
    if (path.length == 0 || path.length > DECISION_PATH_MAX || path.data[0] != '/')
        return false;
    for (size_t i = 0;; i++) {
        while (i < path.length && CLASSES[(unsigned char)path.data[i]] == 1)
            i++;
        if (i == path.length)
            return true;
        char c = path.data[i];
        if (!is_plain(c) || (c == '/' && !in_query && is_dots(span_after(path, i + 1))))
            return false;
        *plain &= c == '/';
        in_query = in_query || c == '?';
        if (c != '%')
            continue;
        int byte = decoded(span_after(path, i));
        if (byte <= 0 || (byte == '/' && !in_query))
            return false;
    }
}

/* Cuts "scheme://authority" or "//authority" off `*path`. Returns whether there was any; the
 * authority is then in `*authority`, and its scheme in `*scheme` (empty: the page's). */
static bool cut_authority(struct span *path, struct span *scheme, struct span *authority)
{
    size_t colon = span_find(*path, ':');
    struct span rest = *path;
    *scheme = (struct span){NULL, 0};
    if (colon < span_find(*path, '/')) {
        *scheme = (struct span){path->data, colon};
        rest = span_after(*path, colon + 1);
    }
    if (!span_starts(rest, SPAN_LITERAL("//")))
        return false;
    rest = span_after(rest, 2);
    authority->data = rest.data;
    authority->length = 0;
    while (authority->length < rest.length && !strchr("/?#", rest.data[authority->length]))
        authority->length++;
    *path = span_after(rest, authority->length);
    return true;
}

/* True when the default port, or none, follows the page's host. */
static bool is_own(const struct request *request, struct span scheme, struct span authority)
{
    bool https = span_equal(request->scheme, SPAN_LITERAL("https"));
    struct span port = https ? SPAN_LITERAL(":443") : SPAN_LITERAL(":80");
    if (scheme.length && !span_equal_nocase(scheme, request->scheme))
        return false;
    if (span_ends(authority, port))
        authority.length -= port.length;
    return span_equal_nocase(authority, request->host);
}

/* Whether `path`, as a browser would send it, is the page's own: its path is kept decoded. */
static bool is_self(const struct request *request, struct span path)
{
    struct span page = request->path;
    size_t at = 0, i = 0;
    for (; i < path.length && path.data[i] != '?'; i++, at++) {
        unsigned char byte = (unsigned char)path.data[i];
        if (byte == '%') {
            byte = (unsigned char)decoded(span_after(path, i));
            i += 2;
        }
        if (at >= page.length || (unsigned char)page.data[at] != byte)
            return false;
    }
    struct span query = span_after(path, i < path.length ? i + 1 : i);
    return at == page.length && span_equal(query, request->query);
}

/* An origin as in RFC 6454 7: scheme, host, optional port. */
static enum reason judge_origin(struct span *origin)
{
    struct span rest = *origin;
    struct span scheme, authority;
    if (origin->length > DECISION_PATH_MAX || !cut_authority(&rest, &scheme, &authority) ||
        authority.length == 0 || (rest.length && !span_equal(rest, SPAN_LITERAL("/"))))
        return REASON_BAD_PATH;
    if (!span_equal_nocase(scheme, SPAN_LITERAL("https")) &&
        !span_equal_nocase(scheme, SPAN_LITERAL("http")))
        return REASON_BAD_PATH;
    for (size_t i = 0; i < authority.length; i++) {
        if (!is_plain(authority.data[i]) || strchr("@,;%", authority.data[i]))
            return REASON_BAD_PATH;
    }
    origin->length -= rest.length;
    return REASON_PENDING;
}

/* What is plain stands for itself: only an equal path can be the page's. */
static bool is_page(const struct request *request, struct span path, bool plain)
{
    return plain ? span_equal(path, request->path) && !request->query.length
                 : is_self(request, path);
}

/* What is found out about a name, whatever its page. */
struct judged {
    uint64_t mark; /* span_mark of the path */
    bool plain;
    enum asset_as as;
};

#define REMEMBERED 256 /* a power of two */
#define REMEMBERED_LENGTH_MAX 94

/* Policies propose the same names for page after page. The plain ones that were judged good lately
 * are kept, each where its mark puts it; a length of 0: none. */
static struct remembered {
    uint8_t length;
    uint8_t as;
    char text[REMEMBERED_LENGTH_MAX];
} remembered[REMEMBERED];

static struct remembered *place_of(uint64_t mark)
{
    return &remembered[mark >> 32 & (REMEMBERED - 1)];
}

static bool recall(struct span path, struct judged *judged)
{
    const struct remembered *place = place_of(judged->mark);
    if (!place->length || !span_equal(span_make(place->text, place->length), path))
        return false;
    judged->plain = true;
    judged->as = (enum asset_as)place->as;
    return true;
}

static void remember(struct span path, const struct judged *judged)
{
    struct remembered *place = place_of(judged->mark);
    if (!judged->plain || path.length > REMEMBERED_LENGTH_MAX)
        return;
    place->length = (uint8_t)path.length;
    place->as = (uint8_t)judged->as;
    memcpy(place->text, path.data, path.length);
}

/* What stands for a path of this authority becomes the path. */
static enum reason judge_authority(const struct request *request, struct span *path)
{
    struct span scheme, authority;
    if (path->length == 0 || (path->data[0] == '/' && !span_starts(*path, SPAN_LITERAL("//"))))
        return REASON_PENDING;
    if (!cut_authority(path, &scheme, &authority))
        return REASON_BAD_PATH;
    if (!is_own(request, scheme, authority))
        return REASON_OTHER_AUTHORITY;
    if (path->length == 0)
        *path = SPAN_LITERAL("/");
    return REASON_PENDING;
}

static enum reason judge_path(const struct request *request, struct span *path,
                              struct judged *judged)
{
    enum reason verdict = judge_authority(request, path);
    if (verdict != REASON_PENDING)
        return verdict;
    judged->mark = span_mark(*path);
    if (!recall(*path, judged)) {
        if (!is_path(*path, &judged->plain))
            return REASON_BAD_PATH;
        judged->as = asset_as_of_path(*path);
        remember(*path, judged);
    }
    return is_page(request, *path, judged->plain) ? REASON_SELF : REASON_PENDING;
}

static enum reason judge_name(const struct request *request, enum candidate_kind kind,
                              struct span *path, struct judged *judged)
{
    *judged = (struct judged){.plain = true, .as = AS_UNKNOWN};
    if (kind != CANDIDATE_PRECONNECT)
        return judge_path(request, path, judged);
    enum reason verdict = judge_origin(path);
    judged->mark = span_mark(*path);
    return verdict;
}

/* Paths of one page tend to be equally long and to begin alike: their ends differ. */
static bool is_equal(struct span a, struct span b)
{
    uint64_t a_end, b_end;
    if (a.length != b.length)
        return false;
    if (a.length >= sizeof(a_end)) {
        memcpy(&a_end, a.data + a.length - sizeof(a_end), sizeof(a_end));
        memcpy(&b_end, b.data + b.length - sizeof(b_end), sizeof(b_end));
        if (a_end != b_end)
            return false;
    }
    return memcmp(a.data, b.data, a.length) == 0;
}

static uint64_t bit_of(uint64_t mark)
{
    return UINT64_C(1) << (mark >> 56 & 63);
}

static uint64_t *word_of(struct decision *decision, uint64_t mark)
{
    return &decision->marks[mark >> 62];
}

static struct candidate *find(struct decision *decision, struct span path, uint64_t mark,
                              bool preconnect)
{
    if (!(*word_of(decision, mark) & bit_of(mark)))
        return NULL;
    for (unsigned i = 0; i < decision->count; i++) {
        struct candidate *item = &decision->items[i];
        if (is_equal(item->path, path) && (item->kind == CANDIDATE_PRECONNECT) == preconnect)
            return item;
    }
    return NULL;
}

struct candidate *decision_find(struct decision *decision, struct span path)
{
    return find(decision, path, span_mark(path), false);
}

static const struct candidate BLANK = {.urgency = CANDIDATE_URGENCY_UNSET,
                                       .verdict = REASON_PENDING};

/* Adds what is in none yet. Returns NULL when the decision is full. */
static struct candidate *append(struct decision *decision, struct span path, uint64_t mark)
{
    struct span copy = {NULL, 0};
    if (decision->count < DECISION_CANDIDATES_MAX)
        copy = decision_text(decision, path);
    if (!copy.data) {
        decision->overflowed++;
        return NULL;
    }
    *word_of(decision, mark) |= bit_of(mark);
    struct candidate *item = &decision->items[decision->count++];
    *item = BLANK;
    item->path = copy;
    return item;
}

enum reason decision_add(struct decision *decision, const struct request *request,
                         enum candidate_kind kind, struct span path, const char *proposer,
                         struct candidate **taken)
{
    if (taken)
        *taken = NULL;
    struct judged judged;
    enum reason verdict = judge_name(request, kind, &path, &judged);
    if (verdict != REASON_PENDING)
        return verdict;
    struct candidate *item = find(decision, path, judged.mark, kind == CANDIDATE_PRECONNECT);
    if (item)
        return item->verdict == REASON_SKIPPED ? REASON_SKIPPED : REASON_DUPLICATE;
    item = append(decision, path, judged.mark);
    if (!item)
        return REASON_TOO_MANY;
    item->plain = judged.plain;
    item->as = judged.as;
    item->kind = kind;
    item->proposer = proposer;
    if (taken)
        *taken = item;
    return REASON_PENDING;
}

enum reason decision_skip(struct decision *decision, const struct request *request,
                          struct span path, const char *proposer, struct span why)
{
    struct candidate *item = NULL;
    struct judged judged;
    enum reason verdict = judge_name(request, CANDIDATE_PUSH, &path, &judged);
    if (verdict != REASON_PENDING)
        return verdict;
    item = find(decision, path, judged.mark, false);
    if (!item) {
        verdict = decision_add(decision, request, CANDIDATE_PUSH, path, proposer, &item);
        if (verdict != REASON_PENDING)
            return verdict;
    }
    if (item->verdict != REASON_PENDING)
        return item->verdict;
    item->verdict = REASON_SKIPPED;
    item->judge = proposer;
    item->why = decision_text(decision, why);
    return REASON_SKIPPED;
}

void decision_take_back(struct decision *decision, unsigned first, const char *proposer)
{
    unsigned kept = first;
    for (unsigned i = first; i < decision->count; i++) {
        const struct candidate *item = &decision->items[i];
        if (item->proposer == proposer && item->verdict != REASON_SKIPPED)
            continue;
        if (kept != i)
            decision->items[kept] = *item;
        kept++;
    }
    decision->count = kept;
}

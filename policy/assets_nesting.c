#include "policy/assets_nesting.h"

#include <string.h>

/* What the rules tell apart. An element of several kinds has the one that decides most. */
enum kind {
    OTHER,      /* spans and unknown elements: only their own end tag closes them */
    FORMATTING, /* reopened by browsers when something else closes them */
    BLOCK,      /* closes a paragraph */
    HEADING,
    PARAGRAPH,
    ITEM, /* <li> */
    TERM, /* <dt>, <dd> */
    LIST, /* what items and terms belong to */
    TABLE,
    TABLE_GROUP,
    ROW,
    CELL,
    CAPTION,
    COLUMNS,
    BUTTON,
    FORM,
    ANCHOR,
    RAW, /* only its own end tag follows */
    HEAD_VOID,
    VOID,
    HEAD,
    BODY,
    ROOT
};

static const struct {
    const char *name;
    uint8_t kind;
} elements[] = {
    {"a", ANCHOR},
    {"address", BLOCK},
    {"area", VOID},
    {"article", BLOCK},
    {"aside", BLOCK},
    {"b", FORMATTING},
    {"base", HEAD_VOID},
    {"basefont", HEAD_VOID},
    {"bgsound", HEAD_VOID},
    {"big", FORMATTING},
    {"blockquote", BLOCK},
    {"body", BODY},
    {"br", VOID},
    {"button", BUTTON},
    {"caption", CAPTION},
    {"center", BLOCK},
    {"code", FORMATTING},
    {"col", COLUMNS},
    {"colgroup", COLUMNS},
    {"dd", TERM},
    {"details", BLOCK},
    {"dialog", BLOCK},
    {"dir", LIST},
    {"div", BLOCK},
    {"dl", LIST},
    {"dt", TERM},
    {"em", FORMATTING},
    {"embed", VOID},
    {"fieldset", BLOCK},
    {"figcaption", BLOCK},
    {"figure", BLOCK},
    {"font", FORMATTING},
    {"footer", BLOCK},
    {"form", FORM},
    {"frame", VOID},
    {"h1", HEADING},
    {"h2", HEADING},
    {"h3", HEADING},
    {"h4", HEADING},
    {"h5", HEADING},
    {"h6", HEADING},
    {"head", HEAD},
    {"header", BLOCK},
    {"hgroup", BLOCK},
    {"hr", VOID},
    {"html", ROOT},
    {"i", FORMATTING},
    {"iframe", RAW},
    {"img", VOID},
    {"input", VOID},
    {"keygen", VOID},
    {"li", ITEM},
    {"link", HEAD_VOID},
    {"listing", BLOCK},
    {"main", BLOCK},
    {"menu", LIST},
    {"meta", HEAD_VOID},
    {"nav", BLOCK},
    {"nobr", FORMATTING},
    {"noembed", RAW},
    {"noframes", RAW},
    {"noscript", RAW},
    {"ol", LIST},
    {"p", PARAGRAPH},
    {"param", VOID},
    {"pre", BLOCK},
    {"s", FORMATTING},
    {"script", RAW},
    {"search", BLOCK},
    {"section", BLOCK},
    {"small", FORMATTING},
    {"source", VOID},
    {"strike", FORMATTING},
    {"strong", FORMATTING},
    {"style", RAW},
    {"summary", BLOCK},
    {"table", TABLE},
    {"tbody", TABLE_GROUP},
    {"td", CELL},
    {"textarea", RAW},
    {"tfoot", TABLE_GROUP},
    {"th", CELL},
    {"thead", TABLE_GROUP},
    {"title", RAW},
    {"tr", ROW},
    {"track", VOID},
    {"tt", FORMATTING},
    {"u", FORMATTING},
    {"ul", LIST},
    {"wbr", VOID},
    {"xmp", RAW},
};

/* Binary search: the table is in alphabetical order. */
static enum kind kind_of(struct span name)
{
    size_t low = 0;
    size_t high = sizeof(elements) / sizeof(*elements);

    while (low < high) {
        size_t middle = (low + high) / 2;
        const char *known = elements[middle].name;
        int order = strncmp(name.data, known, name.length);
        if (order == 0 && known[name.length])
            order = -1;
        if (order == 0)
            return (enum kind)elements[middle].kind;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return OTHER;
}

static bool is_void(enum kind kind, struct span name)
{
    return kind == VOID || kind == HEAD_VOID ||
           (kind == COLUMNS && span_equal(name, SPAN_LITERAL("col")));
}

bool assets_nesting_is_void(struct span name)
{
    return is_void(kind_of(name), name);
}

void assets_nesting_init(struct assets_nesting *nesting, struct assets_outline *outline)
{
    memset(nesting, 0, sizeof(*nesting));
    nesting->outline = outline;
}

static uint32_t hash_of(struct span name)
{
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < name.length; i++)
        hash = (hash ^ (unsigned char)name.data[i]) * 16777619u;
    return hash;
}

static enum kind innermost(const struct assets_nesting *nesting)
{
    return nesting->depth ? (enum kind)nesting->open[nesting->depth - 1] : ROOT;
}

static void pop(struct assets_nesting *nesting)
{
    if (nesting->depth) {
        nesting->depth--;
        assets_outline_close(nesting->outline);
    }
}

static void push(struct assets_nesting *nesting, enum kind kind,
                 const struct assets_opening *opening)
{
    if (nesting->depth == ASSETS_NESTING_MAX) {
        nesting->tangled = true;
        return;
    }
    nesting->open[nesting->depth] = (uint8_t)kind;
    nesting->names[nesting->depth] = hash_of(opening->tag);
    nesting->depth++;
    assets_outline_open(nesting->outline, opening);
}

/* Opens an element that the page leaves out. */
static void push_implied(struct assets_nesting *nesting, enum kind kind, struct span tag)
{
    const struct assets_opening opening = {.tag = tag};

    push(nesting, kind, &opening);
}

/* ---- what a start tag closes or needs ---- */

static void open_root(struct assets_nesting *nesting)
{
    if (!nesting->html)
        push_implied(nesting, ROOT, SPAN_LITERAL("html"));
    nesting->html = true;
}

static void open_body(struct assets_nesting *nesting)
{
    if (nesting->body)
        return;
    open_root(nesting);
    if (innermost(nesting) == HEAD)
        pop(nesting);
    nesting->body = true;
    push_implied(nesting, BODY, SPAN_LITERAL("body"));
}

/* <html>, <head> and <body> open what isn't open yet; later ones only add attributes. */
static void start_frame(struct assets_nesting *nesting, enum kind kind,
                        const struct assets_opening *opening)
{
    bool again = (kind == ROOT && nesting->html) || (kind == BODY && nesting->body);

    if (again) {
        nesting->tangled = true;
    } else if (kind == ROOT) {
        nesting->html = true;
        push(nesting, ROOT, opening);
    } else if (kind == BODY) {
        open_root(nesting);
        if (innermost(nesting) == HEAD)
            pop(nesting);
        nesting->body = true;
        push(nesting, BODY, opening);
    } else if (!nesting->body && innermost(nesting) != HEAD) {
        open_root(nesting);
        push(nesting, HEAD, opening);
    }
}

/* Is an element of this kind open within the scope that a paragraph's end looks at? */
static bool in_scope(const struct assets_nesting *nesting, enum kind wanted)
{
    for (unsigned i = nesting->depth; i-- > 0;) {
        enum kind kind = (enum kind)nesting->open[i];
        if (kind == wanted)
            return true;
        if (kind == BUTTON || kind == CELL || kind == CAPTION || kind == TABLE)
            return false;
    }
    return false;
}

static void close_paragraph(struct assets_nesting *nesting)
{
    if (innermost(nesting) == PARAGRAPH)
        pop(nesting);
    else if (in_scope(nesting, PARAGRAPH))
        nesting->tangled = true; /* formatting that is open in it goes on behind it */
}

/* An item closes the one before it, unless a list has been opened in between. */
static void close_item(struct assets_nesting *nesting, enum kind kind)
{
    if (innermost(nesting) == kind) {
        pop(nesting);
        return;
    }
    for (unsigned i = nesting->depth; i-- > 0 && nesting->open[i] != LIST;)
        if (nesting->open[i] == kind)
            nesting->tangled = true;
}

static bool in_table(enum kind kind)
{
    return kind == TABLE || kind == TABLE_GROUP || kind == ROW || kind == COLUMNS;
}

static bool is_table_part(enum kind kind)
{
    return kind == TABLE_GROUP || kind == ROW || kind == CELL || kind == CAPTION || kind == COLUMNS;
}

/* Closes cells, rows and groups as the part of a table that begins demands, and opens those that
 * are left out above it. */
static void start_table_part(struct assets_nesting *nesting, enum kind kind)
{
    if (innermost(nesting) == PARAGRAPH || innermost(nesting) == ITEM)
        pop(nesting);
    enum kind before = innermost(nesting);
    if (before == CELL || before == CAPTION || before == COLUMNS)
        pop(nesting);
    if (kind != CELL && innermost(nesting) == ROW)
        pop(nesting);
    if (kind != CELL && kind != ROW && innermost(nesting) == TABLE_GROUP)
        pop(nesting);
    if ((kind == CELL || kind == ROW) && innermost(nesting) == TABLE)
        push_implied(nesting, TABLE_GROUP, SPAN_LITERAL("tbody"));
    if (kind == CELL && innermost(nesting) == TABLE_GROUP)
        push_implied(nesting, ROW, SPAN_LITERAL("tr"));
    enum kind around = innermost(nesting);
    if (kind == CELL ? around != ROW : kind == ROW ? around != TABLE_GROUP : around != TABLE)
        nesting->tangled = true;
}

static void start_block(struct assets_nesting *nesting, enum kind kind)
{
    close_paragraph(nesting);
    if (kind == ITEM || kind == TERM)
        close_item(nesting, kind);
    if (kind == HEADING && innermost(nesting) == HEADING)
        nesting->tangled = true;
    if (kind == FORM && in_scope(nesting, FORM))
        nesting->tangled = true;
}

/* What must happen before an element of `kind` is opened where others than its own parts are. */
static void make_room(struct assets_nesting *nesting, enum kind kind, struct span name)
{
    if (is_table_part(kind)) {
        start_table_part(nesting, kind);
        return;
    }
    if (in_table(innermost(nesting)) && kind != RAW && kind != HEAD_VOID)
        nesting->tangled = true; /* it is moved before the table */
    switch (kind) {
    case BLOCK:
    case HEADING:
    case PARAGRAPH:
    case ITEM:
    case TERM:
    case LIST:
    case TABLE:
    case FORM:
        start_block(nesting, kind);
        break;
    case BUTTON:
    case ANCHOR:
        for (unsigned i = 0; i < nesting->depth; i++)
            if (nesting->open[i] == kind)
                nesting->tangled = true;
        break;
    default:
        if (span_equal(name, SPAN_LITERAL("hr")) || span_equal(name, SPAN_LITERAL("xmp")))
            close_paragraph(nesting);
        if (span_equal(name, SPAN_LITERAL("nobr")))
            nesting->tangled = true;
    }
}

static bool stays_in_head(enum kind kind, struct span name)
{
    return kind == HEAD_VOID ||
           (kind == RAW && !span_equal(name, SPAN_LITERAL("textarea")) &&
            !span_equal(name, SPAN_LITERAL("xmp")) && !span_equal(name, SPAN_LITERAL("iframe")) &&
            !span_equal(name, SPAN_LITERAL("noembed")));
}

void assets_nesting_start(struct assets_nesting *nesting, const struct assets_opening *opening)
{
    enum kind kind = kind_of(opening->tag);

    if (kind == ROOT || kind == HEAD || kind == BODY) {
        start_frame(nesting, kind, opening);
        return;
    }
    if (!nesting->body && !stays_in_head(kind, opening->tag))
        open_body(nesting);
    open_root(nesting);
    if (nesting->body)
        make_room(nesting, kind, opening->tag);
    if (!is_void(kind, opening->tag))
        push(nesting, kind, opening);
}

/* ---- end tags ---- */

/* Elements that an end tag of something around them closes too. */
static bool is_implied(enum kind kind)
{
    return kind == PARAGRAPH || kind == ITEM || kind == TERM || is_table_part(kind);
}

static bool closes_implied(enum kind kind)
{
    return kind != OTHER && kind != FORMATTING && kind != ANCHOR && kind != HEADING;
}

void assets_nesting_end(struct assets_nesting *nesting, struct span name)
{
    enum kind kind = kind_of(name);
    uint32_t hash = hash_of(name);
    bool open = false;

    if (kind == ROOT || kind == BODY || is_void(kind, name)) {
        nesting->tangled = nesting->tangled || span_equal(name, SPAN_LITERAL("br"));
        return;
    }
    for (unsigned i = nesting->depth; i-- > 0;) {
        if (nesting->names[i] == hash) {
            while (nesting->depth > i)
                pop(nesting);
            return;
        }
        if (!closes_implied(kind) || !is_implied((enum kind)nesting->open[i]))
            break;
    }
    for (unsigned i = 0; i < nesting->depth; i++)
        open = open || nesting->names[i] == hash;
    if (open || kind == PARAGRAPH)
        nesting->tangled = true; /* another end tag that closes nothing is ignored */
}

void assets_nesting_text(struct assets_nesting *nesting)
{
    open_body(nesting);
    if (in_table(innermost(nesting)))
        nesting->tangled = true;
    if (!nesting->tangled)
        assets_outline_text(nesting->outline);
}

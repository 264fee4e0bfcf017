#include "policy/assets_html.h"

#include "policy/assets_csp.h"
#include "policy/assets_elements.h"
#include "policy/assets_markup.h"

#include <errno.h>
#include <libxml/HTMLparser.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 200 /* open elements; deeper, only what names an asset is parsed */
#define REFRESH_LEAVES_S 2 /* a page that refreshes sooner is left before it is seen */

struct assets_html {
    const struct assets_url *page;
    struct assets_outline *outline;
    struct assets_html_visitor visitor;
    struct assets_markup markup;
    htmlParserCtxtPtr parser;
    int rc;

    unsigned char lead[3]; /* the first bytes, where a byte order mark may be */
    size_t lead_length;
    bool hopeless;
    bool utf8;     /* the page says so */
    bool in_head;
    bool based;    /* the first <base href> was read */
    struct assets_url base;
    bool denied[AS_KINDS]; /* by the policies in the page */
    char title_set[64];

    unsigned picture_depth; /* of an open <picture>; 0: none */
    struct assets_picture picture;

    bool in_style;
    enum assets_certainty style_applies;
    char *style;
    size_t style_length;
    size_t style_capacity;
};

static bool is(const char *name, const char *wanted)
{
    return strcmp(name, wanted) == 0;
}

/* ---- references ---- */

/* The names of references that count without a semicolon are among those libxml2 knows. */
static bool is_reference_name(struct span name)
{
    char text[12];

    if (name.length == 0 || name.length >= sizeof(text))
        return false;
    memcpy(text, name.data, name.length);
    text[name.length] = '\0';
    if (htmlEntityLookup((const xmlChar *)text))
        return true;
    static const char *const capitals[] = {"AMP", "LT", "GT", "QUOT", "COPY", "REG"};
    for (size_t i = 0; i < sizeof(capitals) / sizeof(*capitals); i++)
        if (is(text, capitals[i]))
            return true;
    return false;
}

static bool is_alphanumeric(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* Might browsers have decoded a reference here that libxml2 left alone? HTML 5 knows names that it
 * doesn't ("&sol;"), and takes some without a semicolon unless a letter, digit or "=" follows. */
static bool is_undecoded(struct span value)
{
    for (size_t i = 0; i < value.length; i++) {
        size_t end = i + 1;
        if (value.data[i] != '&')
            continue;
        while (end < value.length && is_alphanumeric(value.data[end]))
            end++;
        char next = end < value.length ? value.data[end] : '\0';
        if (end > i + 1 && next == ';')
            return true;
        if (next != '=' && is_reference_name(span_make(value.data + i + 1, end - i - 1)))
            return true;
    }
    return false;
}

static void refer(struct assets_html *html, const struct assets_reference *reference,
                  struct span written)
{
    struct assets_url url;
    bool known = !is_undecoded(written) &&
                 assets_url_resolve(&html->base, written, html->utf8, &url) == 0;

    if (html->denied[reference->as] || (!known && !reference->stylesheet))
        return;
    html->visitor.reference(html->visitor.context, reference, known ? &url : NULL);
}

/* ---- elements that rule the page ---- */

static void base_read(struct assets_html *html, assets_attributes attributes)
{
    struct assets_url url;
    struct span href = assets_attribute(attributes, "href");

    if (html->based || !href.data)
        return;
    html->based = true;
    if (href.length == 0)
        return;
    if (!is_undecoded(href) && assets_url_resolve(html->page, href, html->utf8, &url) == 0)
        html->base = url;
    else
        html->hopeless = true; /* where relative references lead isn't known */
}

static void refresh_read(struct assets_html *html, struct span content)
{
    unsigned seconds = 0;

    while (content.length && (content.data[0] == ' ' || content.data[0] == '\t' ||
                              content.data[0] == '\n'))
        content = span_after(content, 1);
    if (content.length == 0 || content.data[0] < '0' || content.data[0] > '9')
        return;
    for (; content.length && content.data[0] >= '0' && content.data[0] <= '9';
         content = span_after(content, 1))
        if (seconds < 1000)
            seconds = seconds * 10 + (unsigned)(content.data[0] - '0');
    if (seconds < REFRESH_LEAVES_S)
        html->hopeless = true;
}

static void meta_read(struct assets_html *html, assets_attributes attributes)
{
    struct span charset = assets_attribute(attributes, "charset");
    struct span equivalent = assets_attribute(attributes, "http-equiv");
    struct span content = assets_attribute(attributes, "content");

    if (span_equal_nocase(charset, SPAN_LITERAL("utf-8")))
        html->utf8 = true;
    if (span_equal_nocase(equivalent, SPAN_LITERAL("content-type")) && content.data &&
        strcasestr(content.data, "charset=utf-8"))
        html->utf8 = true;
    if (span_equal_nocase(equivalent, SPAN_LITERAL("refresh")))
        refresh_read(html, content);
    if (html->in_head &&
        span_equal_nocase(equivalent, SPAN_LITERAL("content-security-policy")))
        for (unsigned as = 0; as < AS_KINDS; as++)
            if (!assets_csp_allows(content, (enum asset_as)as))
                html->denied[as] = true;
}

/* ---- the parser's events ---- */

static void outline_open(struct assets_html *html, const char *name, assets_attributes attributes)
{
    struct assets_opening opening = {
        .tag = span_of(name),
        .id = assets_attribute(attributes, "id"),
        .classes = assets_attribute(attributes, "class"),
        .style = assets_attribute(attributes, "style"),
        .hidden = assets_attribute(attributes, "hidden").data ||
                  assets_attribute(attributes, "popover").data || strchr(name, '-'),
    };

    assets_outline_open(html->outline, &opening);
    html->markup.flat = html->markup.flat || html->outline->depth > DEPTH_MAX;
}

static bool stays_in_head(const char *name)
{
    static const char *const names[] = {"html", "head",   "base",  "basefont", "bgsound",  "link",
                                        "meta", "script", "style", "title",    "noscript", "noframes"};

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (is(name, names[i]))
            return true;
    return false;
}

static void image_read(struct assets_html *html, assets_attributes attributes)
{
    struct assets_reference reference;
    struct span url;
    bool direct = html->picture_depth && html->outline->depth == html->picture_depth;

    if (html->picture_depth && !direct)
        return; /* which sources count for it is not clear */
    if (assets_element_image(attributes, direct ? &html->picture : NULL, &reference, &url))
        refer(html, &reference, url);
}

static void picture_open(struct assets_html *html)
{
    html->picture_depth = html->outline->depth + 1;
    html->picture = (struct assets_picture){0};
}

static void source_read(struct assets_html *html, assets_attributes attributes)
{
    if (html->picture_depth && html->outline->depth == html->picture_depth)
        assets_element_source(attributes, &html->picture);
    else if (html->picture_depth)
        html->picture.choice = PICTURE_OPEN;
}

static void element_read(struct assets_html *html, const char *name, assets_attributes attributes)
{
    struct assets_reference reference;
    struct span url;

    if (is(name, "link")) {
        if (assets_element_link(attributes, html->in_head, html->title_set, &reference, &url))
            refer(html, &reference, url);
    } else if (is(name, "script")) {
        if (assets_element_script(attributes, html->in_head, &reference, &url))
            refer(html, &reference, url);
    } else if (is(name, "input")) {
        if (assets_element_input(attributes, &reference, &url))
            refer(html, &reference, url);
    } else if (is(name, "style")) {
        html->style_applies = assets_element_style(attributes, html->title_set);
        html->in_style = html->style_applies != ASSETS_NO;
        html->style_length = 0;
    } else if (is(name, "img")) {
        image_read(html, attributes);
    } else if (is(name, "source")) {
        source_read(html, attributes);
    } else if (is(name, "picture")) {
        picture_open(html);
    } else if (is(name, "base")) {
        base_read(html, attributes);
    } else if (is(name, "meta")) {
        meta_read(html, attributes);
    } else if (is(name, "frameset")) {
        html->hopeless = true;
    }
}

static void on_start(void *context, const xmlChar *name, const xmlChar **attributes)
{
    struct assets_html *html = context;
    assets_attributes pairs = (assets_attributes)attributes;

    if (html->in_head && !stays_in_head((const char *)name))
        html->in_head = false;
    element_read(html, (const char *)name, pairs);
    outline_open(html, (const char *)name, pairs);
}

static void on_end(void *context, const xmlChar *name)
{
    struct assets_html *html = context;

    assets_outline_close(html->outline);
    if (html->picture_depth > html->outline->depth)
        html->picture_depth = 0;
    if (html->in_style && is((const char *)name, "style")) {
        html->in_style = false;
        html->visitor.style(html->visitor.context, span_make(html->style, html->style_length),
                            html->style_applies, html->in_head, &html->base);
    }
}

static void on_text(void *context, const xmlChar *text, int length)
{
    struct assets_html *html = context;

    if (length <= 0 || !memchr(text, 'x', (size_t)length))
        return;
    html->in_head = false;
    assets_outline_text(html->outline);
}

/* The text of a <style>. */
static void on_cdata(void *context, const xmlChar *text, int length)
{
    struct assets_html *html = context;
    size_t room = ASSETS_CSS_MAX + 1 - html->style_length;
    size_t take = length > 0 ? (size_t)length : 0;

    if (!html->in_style)
        return;
    if (take > room)
        take = room;
    if (html->style_capacity - html->style_length < take) {
        size_t capacity = 2 * html->style_capacity + take + 1024;
        char *style = realloc(html->style, capacity);
        if (!style) {
            html->rc = -ENOMEM;
            return;
        }
        html->style = style;
        html->style_capacity = capacity;
    }
    if (take)
        memcpy(html->style + html->style_length, text, take);
    html->style_length += take;
}

/* Without one libxml2 would print its complaints. */
static void on_error(void *context, xmlErrorPtr error)
{
    struct assets_html *html = context;

    if (error && error->code == XML_ERR_NO_MEMORY)
        html->rc = -ENOMEM;
}

static void on_markup(void *context, struct span markup)
{
    struct assets_html *html = context;

    if (html->rc == 0)
        htmlParseChunk(html->parser, markup.data, (int)markup.length, 0);
}

/* ---- the module ---- */

int assets_html_create(const struct assets_url *page, struct assets_outline *outline,
                       const struct assets_html_visitor *visitor, struct assets_html **created)
{
    xmlSAXHandler handler = {
        .startElement = on_start,
        .endElement = on_end,
        .characters = on_text,
        .ignorableWhitespace = on_text,
        .cdataBlock = on_cdata,
        .serror = on_error,
        .initialized = XML_SAX2_MAGIC,
    };
    struct assets_html *html = calloc(1, sizeof(*html));

    if (!html)
        return -ENOMEM;
    html->page = page;
    html->base = *page;
    html->outline = outline;
    html->visitor = *visitor;
    html->in_head = true;
    assets_markup_init(&html->markup, on_markup, html);
    xmlInitParser();
    html->parser =
        htmlCreatePushParserCtxt(&handler, html, NULL, 0, NULL, XML_CHAR_ENCODING_UTF8);
    if (!html->parser) {
        free(html);
        return -ENOMEM;
    }
    htmlCtxtUseOptions(html->parser, HTML_PARSE_RECOVER | HTML_PARSE_NOERROR |
                                         HTML_PARSE_NOWARNING | HTML_PARSE_NONET |
                                         HTML_PARSE_IGNORE_ENC | HTML_PARSE_NOIMPLIED |
                                         HTML_PARSE_NODEFDTD);
    *created = html;
    return 0;
}

void assets_html_destroy(struct assets_html *html)
{
    if (!html)
        return;
    htmlFreeParserCtxt(html->parser);
    free(html->style);
    free(html);
}

static int outcome(const struct assets_html *html)
{
    return html->rc < 0 ? html->rc : html->hopeless;
}

/* Waits for the first three bytes, then passes them on without a byte order mark. */
static void lead_feed(struct assets_html *html, bool complete)
{
    struct span lead = span_make(html->lead, html->lead_length);

    if (html->lead_length >= 2 && (memcmp(html->lead, "\xFE\xFF", 2) == 0 ||
                                   memcmp(html->lead, "\xFF\xFE", 2) == 0))
        html->hopeless = true; /* UTF-16 */
    if (span_equal(lead, SPAN_LITERAL("\xEF\xBB\xBF"))) {
        html->utf8 = true;
        lead.length = 0;
    }
    if (complete || html->lead_length == sizeof(html->lead))
        assets_markup_feed(&html->markup, lead);
}

int assets_html_feed(struct assets_html *html, struct span text)
{
    if (html->lead_length < sizeof(html->lead)) {
        while (html->lead_length < sizeof(html->lead) && text.length) {
            html->lead[html->lead_length++] = (unsigned char)text.data[0];
            text = span_after(text, 1);
        }
        lead_feed(html, false);
    }
    if (outcome(html) == 0)
        assets_markup_feed(&html->markup, text);
    return outcome(html);
}

int assets_html_end(struct assets_html *html)
{
    if (html->lead_length < sizeof(html->lead))
        lead_feed(html, true);
    if (html->rc == 0)
        htmlParseChunk(html->parser, NULL, 0, 1);
    return outcome(html);
}

bool assets_html_hopeless(const struct assets_html *html)
{
    return html->hopeless;
}

bool assets_html_standard(const struct assets_html *html)
{
    return html->markup.html_doctype;
}

bool assets_html_allows(const struct assets_html *html, enum asset_as as)
{
    return !html->denied[as];
}

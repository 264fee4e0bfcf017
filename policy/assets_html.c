#include "policy/assets_html.h"

#include "policy/assets_csp.h"
#include "policy/assets_elements.h"
#include "policy/assets_markup.h"
#include "policy/assets_nesting.h"
#include "policy/reserve.h"

#include <errno.h>
#include <libxml/HTMLparser.h>
#include <stdlib.h>
#include <string.h>

#define REFRESH_LEAVES_S 2 /* a page that refreshes sooner is left before it is seen */

struct assets_html {
    const struct assets_url *page;
    struct assets_html_visitor visitor;
    struct assets_markup markup;
    struct assets_nesting nesting;
    htmlParserCtxtPtr parser;
    char element[ASSETS_TAG_MAX + 6]; /* the start tag as libxml2 gets it */
    const char *name;                 /* its name; NULL once libxml2 has taken it apart */
    int rc;

    unsigned char lead[3]; /* the first bytes, where a byte order mark may be */
    size_t lead_length;
    bool hopeless;
    bool utf8;  /* the page says so */
    bool based; /* the first <base href> was read */
    struct assets_url base;
    bool denied[AS_KINDS]; /* by the policies in the page */
    char title_set[64];

    bool in_picture;
    unsigned picture_depth; /* elements open in it */
    struct assets_picture picture;

    enum assets_certainty style_applies;
    char *style;
    size_t style_length;
    size_t style_capacity;
};

static bool is(const char *name, const char *wanted)
{
    return name[0] == wanted[0] && strcmp(name, wanted) == 0;
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
    bool known =
        !is_undecoded(written) && assets_url_resolve(&html->base, written, html->utf8, &url) == 0;

    if (html->denied[reference->as] || (!known && !reference->stylesheet))
        return;
    html->visitor.reference(html->visitor.context, reference, known ? &url : NULL);
}

/* ---- elements that rule the page ---- */

static bool in_head(const struct assets_html *html)
{
    return !html->nesting.body;
}

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

    while (content.length &&
           (content.data[0] == ' ' || content.data[0] == '\t' || content.data[0] == '\n'))
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
    if (in_head(html) && span_equal_nocase(equivalent, SPAN_LITERAL("content-security-policy")))
        for (unsigned as = 0; as < AS_KINDS; as++)
            if (!assets_csp_allows(content, (enum asset_as)as))
                html->denied[as] = true;
}

/* ---- elements ---- */

static void image_read(struct assets_html *html, assets_attributes attributes)
{
    struct assets_reference reference;
    struct span url;
    bool direct = html->in_picture && html->picture_depth == 0;

    if (html->in_picture && !direct)
        return; /* which sources count for it is not clear */
    if (assets_element_image(attributes, direct ? &html->picture : NULL, &reference, &url))
        refer(html, &reference, url);
}

static void source_read(struct assets_html *html, assets_attributes attributes)
{
    if (html->in_picture && html->picture_depth == 0)
        assets_element_source(attributes, &html->picture);
    else if (html->in_picture)
        html->picture.choice = PICTURE_OPEN;
}

static void picture_start(struct assets_html *html, struct span name)
{
    if (span_equal(name, SPAN_LITERAL("picture"))) {
        html->in_picture = true;
        html->picture_depth = 0;
        html->picture = (struct assets_picture){0};
    } else if (html->in_picture && !assets_nesting_is_void(name)) {
        html->picture_depth++;
    }
}

/* Its own end tag ends it, or one of an element around it. */
static void picture_end(struct assets_html *html, struct span name)
{
    if (html->picture_depth == 0 || span_equal(name, SPAN_LITERAL("picture")))
        html->in_picture = false;
    else if (!assets_nesting_is_void(name))
        html->picture_depth--;
}

static void element_read(struct assets_html *html, const char *name, assets_attributes attributes)
{
    struct assets_reference reference;
    struct span url;

    if (is(name, "link")) {
        if (assets_element_link(attributes, in_head(html), html->title_set, &reference, &url))
            refer(html, &reference, url);
    } else if (is(name, "script")) {
        if (assets_element_script(attributes, in_head(html), &reference, &url))
            refer(html, &reference, url);
    } else if (is(name, "input")) {
        if (assets_element_input(attributes, &reference, &url))
            refer(html, &reference, url);
    } else if (is(name, "style")) {
        html->style_applies = assets_element_style(attributes, html->title_set);
    } else if (is(name, "img")) {
        image_read(html, attributes);
    } else if (is(name, "source")) {
        source_read(html, attributes);
    } else if (is(name, "base")) {
        base_read(html, attributes);
    } else if (is(name, "meta")) {
        meta_read(html, attributes);
    } else if (is(name, "frameset")) {
        html->hopeless = true;
    }
}

static void start_read(struct assets_html *html, const char *name, assets_attributes attributes)
{
    struct assets_opening opening = {.tag = span_of(name), .hidden = strchr(name, '-')};

    if (attributes) {
        opening.id = assets_attribute(attributes, "id");
        opening.classes = assets_attribute(attributes, "class");
        opening.style = assets_attribute(attributes, "style");
        opening.hidden = opening.hidden || assets_attribute(attributes, "hidden").data ||
                         assets_attribute(attributes, "popover").data;
    }
    assets_nesting_start(&html->nesting, &opening);
    element_read(html, name, attributes);
    picture_start(html, opening.tag);
}

/* ---- libxml2's memory ---- */

/* libxml2 sees no allocation fail: it would look for the end of a tag for ever then. What it is given
 * of the reserve goes back with the parser, which reads nothing more. */
static struct reserve reserve;

static void *on_malloc(size_t size)
{
    return size ? reserve_take(&reserve, size) : NULL;
}

static void *on_realloc(void *data, size_t size)
{
    return reserve_resize(&reserve, data, size);
}

static void on_free(void *data)
{
    reserve_give(&reserve, data);
}

static char *on_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(on_malloc(size), text, size);
}

static int library_init(void)
{
    if (!reserve.bytes) {
        int rc = reserve_init(&reserve);
        if (rc < 0)
            return rc;
        xmlMemSetup(on_free, on_malloc, on_realloc, on_strdup);
    }
    xmlInitParser();
    return 0;
}

/* ---- markup and libxml2 ---- */

/* libxml2 has taken the tag apart. It knows every element as <br>, which leaves no trace in it. */
static void on_element(void *context, const xmlChar *name, const xmlChar **attributes)
{
    struct assets_html *html = context;

    if (html->name && is((const char *)name, "br"))
        start_read(html, html->name, (assets_attributes)attributes);
    html->name = NULL;
}

static void on_start(void *context, const struct assets_tag *tag)
{
    struct assets_html *html = context;

    if (html->rc < 0 || html->hopeless)
        return;
    if (tag->length == 0 || tag->oversize) {
        html->nesting.tangled = html->nesting.tangled || tag->oversize;
        start_read(html, tag->name, NULL);
        return;
    }
    char *text = html->element;
    memcpy(text, "<br", 3);
    memcpy(text + 3, tag->text, tag->length);
    memcpy(text + 3 + tag->length, " />", 3);
    html->name = tag->name;
    htmlParseChunk(html->parser, text, (int)tag->length + 6, 0);
    if (reserve_lacked(&reserve))
        html->rc = -ENOMEM;
    if (html->name)
        html->hopeless = true; /* it wasn't told: nothing that follows could be trusted */
}

static void on_end(void *context, const char *name)
{
    struct assets_html *html = context;

    assets_nesting_end(&html->nesting, span_of(name));
    if (html->in_picture)
        picture_end(html, span_of(name));
    if (!is(name, "style"))
        return;
    if (html->style_applies != ASSETS_NO)
        html->visitor.style(html->visitor.context, span_make(html->style, html->style_length),
                            html->style_applies, in_head(html), &html->base);
    html->style_length = 0;
    html->style_applies = ASSETS_NO;
}

static void on_text(void *context)
{
    struct assets_html *html = context;

    assets_nesting_text(&html->nesting);
}

/* The text of a <style>, which libxml2 doesn't see. */
static void on_style_text(void *context, struct span text)
{
    struct assets_html *html = context;
    size_t room = ASSETS_CSS_MAX + 1 - html->style_length;

    if (text.length > room)
        text.length = room;
    if (html->style_capacity - html->style_length < text.length) {
        size_t capacity = 2 * html->style_capacity + text.length + 1024;
        char *style = realloc(html->style, capacity);
        if (!style) {
            html->rc = -ENOMEM;
            return;
        }
        html->style = style;
        html->style_capacity = capacity;
    }
    if (text.length)
        memcpy(html->style + html->style_length, text.data, text.length);
    html->style_length += text.length;
}

/* Without one libxml2 would print its complaints. */
static void on_error(void *context, xmlErrorPtr error)
{
    struct assets_html *html = context;

    if (error && error->code == XML_ERR_NO_MEMORY)
        html->rc = -ENOMEM;
}

/* ---- the module ---- */

int assets_html_create(const struct assets_url *page, struct assets_outline *outline,
                       const struct assets_html_visitor *visitor, struct assets_html **created)
{
    xmlSAXHandler handler = {
        .startElement = on_element,
        .serror = on_error,
        .initialized = XML_SAX2_MAGIC,
    };
    struct assets_html *html = library_init() == 0 ? calloc(1, sizeof(*html)) : NULL;

    if (!html)
        return -ENOMEM;
    html->page = page;
    html->base = *page;
    html->visitor = *visitor;
    assets_nesting_init(&html->nesting, outline);
    assets_markup_init(&html->markup, &(struct assets_markup_visitor){html, on_start, on_end,
                                                                      on_text, on_style_text});
    html->parser = htmlCreatePushParserCtxt(&handler, html, NULL, 0, NULL, XML_CHAR_ENCODING_UTF8);
    if (!html->parser) {
        free(html);
        return -ENOMEM;
    }
    htmlCtxtUseOptions(html->parser, HTML_PARSE_RECOVER | HTML_PARSE_NOERROR |
                                         HTML_PARSE_NOWARNING | HTML_PARSE_NONET |
                                         HTML_PARSE_IGNORE_ENC | HTML_PARSE_NOIMPLIED |
                                         HTML_PARSE_NODEFDTD);
    htmlParseChunk(html->parser, "<body>", 6, 0);
    if (reserve_lacked(&reserve)) {
        assets_html_destroy(html);
        return -ENOMEM;
    }
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

    if (html->lead_length >= 2 &&
        (memcmp(html->lead, "\xFE\xFF", 2) == 0 || memcmp(html->lead, "\xFF\xFE", 2) == 0))
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
    if (html->style_length) /* a <style> that is not ended ends here */
        on_end(html, "style");
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

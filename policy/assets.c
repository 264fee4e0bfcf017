#include "policy/assets.h"

#include "policy/assets_css.h"
#include "policy/assets_fonts.h"
#include "policy/assets_html.h"
#include "policy/assets_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define IMPORT_DEPTH_MAX 8
#define NO_SHEET 0xffff

/* A stylesheet that applies to the page, or may: linked, imported or written in it. */
struct sheet {
    char *path;      /* owned; NULL: a <style> */
    uint16_t parent; /* the sheet that imports it, or NO_SHEET */
    uint16_t depth;  /* of imports */
    bool blocking;
    bool read;
    enum assets_certainty applies;
    uint32_t position;
};

struct assets_scan {
    struct assets_url page;
    struct assets_html *html;
    struct assets_strings strings;
    struct assets_outline outline;
    struct assets_fonts fonts;
    struct assets_list list;
    struct sheet sheets[ASSETS_STYLESHEETS_MAX];
    uint16_t sheets_count;
    uint16_t wanted[ASSETS_STYLESHEETS_MAX]; /* the sheets to be read from files */
    uint16_t wanted_count;
    size_t html_bytes;
    uint32_t position; /* counts references */
    bool ended;
    bool chosen;
    bool unsure; /* a stylesheet or a part of the page wasn't seen: no fonts */
    int rc;
};

/* The stylesheet that is being walked. */
struct reading {
    struct assets_scan *scan;
    uint16_t sheet;
    const struct assets_url *base;
};

static void fail(struct assets_scan *scan, int rc)
{
    if (rc < 0 && scan->rc == 0)
        scan->rc = rc;
}

/* ---- stylesheets ---- */

/* Notes a sheet; NO_SHEET when there is no room. */
static uint16_t sheet_add(struct assets_scan *scan, const char *path, const struct sheet *sheet)
{
    uint16_t index = scan->sheets_count;

    if (index == ASSETS_STYLESHEETS_MAX) {
        scan->unsure = true;
        return NO_SHEET;
    }
    scan->sheets[index] = *sheet;
    scan->sheets[index].path = NULL;
    if (path) {
        scan->sheets[index].path = strdup(path);
        if (!scan->sheets[index].path) {
            fail(scan, -ENOMEM);
            return NO_SHEET;
        }
        scan->wanted[scan->wanted_count++] = index;
    }
    scan->sheets_count++;
    return index;
}

static bool imports_itself(const struct assets_scan *scan, uint16_t sheet, const char *path)
{
    for (; sheet != NO_SHEET; sheet = scan->sheets[sheet].parent)
        if (scan->sheets[sheet].path && strcmp(scan->sheets[sheet].path, path) == 0)
            return true;
    return false;
}

/* Browsers fetch an import, and wait for it, whatever its media are; only its rules hang on them.
 */
static void import_add(struct reading *reading, const struct assets_url *url, bool requested,
                       enum assets_certainty applies)
{
    struct assets_scan *scan = reading->scan;
    const struct sheet *parent = &scan->sheets[reading->sheet];
    struct sheet sheet = {.parent = reading->sheet,
                          .depth = (uint16_t)(parent->depth + 1),
                          .blocking = parent->blocking,
                          .applies = applies,
                          .position = parent->position};
    struct assets_found found = {
        .as = AS_STYLE, .blocking = parent->blocking, .position = parent->position};

    if (!assets_url_same_origin(&scan->page, url) || sheet.depth > IMPORT_DEPTH_MAX) {
        scan->unsure = scan->unsure || applies != ASSETS_NO;
        return;
    }
    if (imports_itself(scan, reading->sheet, url->path))
        return;
    if (applies != ASSETS_NO)
        sheet_add(scan, url->path, &sheet);
    if (requested && assets_html_allows(scan->html, AS_STYLE))
        fail(scan, assets_list_add(&scan->list, url->path, &found));
}

static bool prefixed(struct span text, const char *word)
{
    size_t length = strlen(word);

    return text.length >= length && strncasecmp(text.data, word, length) == 0;
}

/* Cuts "name(...)" off the start of `*text`; `name` is given with its bracket. */
static bool cut_function(struct span *text, const char *name)
{
    char stop;

    assets_css_skip_space(text);
    if (!prefixed(*text, name))
        return false;
    *text = span_after(*text, strlen(name));
    assets_css_cut(text, ")", &stop);
    assets_css_skip_space(text);
    return true;
}

/* @import <url> [layer | layer(...)] [supports(...)] <media>? */
static void on_import(void *context, struct span prelude, enum assets_certainty applies)
{
    struct reading *reading = context;
    char buffer[ASSETS_PATH_MAX + 1];
    struct assets_url url;
    bool requested = applies == ASSETS_YES;
    size_t length = assets_css_url(&prelude, true, buffer, sizeof(buffer));

    assets_css_skip_space(&prelude);
    if (prefixed(prelude, "layer")) {
        applies = ASSETS_MAYBE; /* any rule outside the layer prevails over its rules */
        if (!cut_function(&prelude, "layer("))
            prelude = span_after(prelude, 5);
    }
    if (cut_function(&prelude, "supports(")) {
        requested = false;
        applies = ASSETS_MAYBE;
    }
    enum assets_certainty media = assets_media_match(prelude);
    if (media < applies)
        applies = media;
    if (length && assets_url_resolve(reading->base, span_make(buffer, length), false, &url) == 0)
        import_add(reading, &url, requested, applies);
    else if (applies != ASSETS_NO)
        reading->scan->unsure = true;
}

static void on_font_face(void *context, struct span block, enum assets_certainty applies)
{
    struct reading *reading = context;
    struct assets_scan *scan = reading->scan;

    fail(scan, assets_fonts_add_face(&scan->fonts, block, applies, reading->sheet, &scan->page,
                                     reading->base));
}

static void on_rule(void *context, struct span selectors, struct span block,
                    enum assets_certainty applies)
{
    struct reading *reading = context;

    if (!reading->scan->unsure && !reading->scan->fonts.unsure)
        fail(reading->scan, assets_fonts_add_rule(&reading->scan->fonts, selectors, block, applies,
                                                  reading->sheet));
}

static void sheet_read(struct assets_scan *scan, uint16_t index, struct span css,
                       const struct assets_url *base)
{
    struct reading reading = {scan, index, base};
    const struct assets_css_visitor visitor = {&reading, on_import, on_font_face, on_rule};

    scan->sheets[index].read = true;
    if (css.length > ASSETS_CSS_MAX) {
        css.length = ASSETS_CSS_MAX;
        scan->unsure = true;
    }
    assets_css_walk(css, scan->sheets[index].applies, &visitor);
}

/* ---- what the HTML says ---- */

static void on_reference(void *context, const struct assets_reference *reference,
                         const struct assets_url *url)
{
    struct assets_scan *scan = context;
    struct assets_found found = {
        .as = reference->as,
        .priority = reference->priority,
        .blocking = reference->blocking,
        .crossorigin = reference->crossorigin,
        .module = reference->module,
        .position = scan->position++,
    };

    if (!url || !assets_url_same_origin(&scan->page, url)) {
        scan->unsure = scan->unsure || reference->stylesheet;
        return;
    }
    if (strcmp(url->path, scan->page.path) == 0)
        return;
    fail(scan, assets_list_add(&scan->list, url->path, &found));
    if (!reference->stylesheet)
        return;
    struct sheet sheet = {.parent = NO_SHEET,
                          .blocking = reference->blocking,
                          .applies = reference->applies,
                          .position = found.position};
    sheet_add(scan, url->path, &sheet);
}

static void on_style(void *context, struct span css, enum assets_certainty applies, bool blocking,
                     const struct assets_url *base)
{
    struct assets_scan *scan = context;
    struct sheet sheet = {
        .parent = NO_SHEET, .blocking = blocking, .applies = applies, .position = scan->position++};
    uint16_t index = sheet_add(scan, NULL, &sheet);

    if (index != NO_SHEET)
        sheet_read(scan, index, css, base);
}

/* ---- the scan ---- */

int assets_scan_create(const struct assets_page *page, struct assets_scan **created)
{
    struct assets_scan *scan = calloc(1, sizeof(*scan));
    const struct assets_html_visitor visitor = {scan, on_reference, on_style};
    int rc;

    if (!scan)
        return -ENOMEM;
    rc = assets_url_init(&scan->page, page->scheme, page->authority, page->path);
    if (rc < 0)
        goto fail;
    rc = assets_strings_init(&scan->strings);
    if (rc < 0)
        goto fail;
    rc = assets_fonts_init(&scan->fonts, &scan->strings);
    if (rc < 0)
        goto fail;
    assets_outline_init(&scan->outline, &scan->strings);
    rc = assets_html_create(&scan->page, &scan->outline, &visitor, &scan->html);
    if (rc < 0)
        goto fail;
    *created = scan;
    return 0;
fail:
    assets_scan_destroy(scan);
    return rc;
}

void assets_scan_destroy(struct assets_scan *scan)
{
    if (!scan)
        return;
    assets_html_destroy(scan->html);
    assets_fonts_finish(&scan->fonts);
    assets_strings_finish(&scan->strings);
    assets_list_finish(&scan->list);
    for (uint16_t i = 0; i < scan->sheets_count; i++)
        free(scan->sheets[i].path);
    free(scan);
}

/* Nothing more is to be read: what was not seen may choose other fonts. */
static bool is_full(const struct assets_scan *scan)
{
    return scan->html_bytes == ASSETS_HTML_MAX || scan->list.turned_away;
}

int assets_scan_feed(struct assets_scan *scan, struct span html)
{
    size_t room = ASSETS_HTML_MAX - scan->html_bytes;

    if (scan->rc < 0)
        return scan->rc;
    if (scan->ended || is_full(scan) || assets_html_hopeless(scan->html))
        return 1;
    if (html.length > room)
        html.length = room;
    scan->html_bytes += html.length;
    int rc = assets_html_feed(scan->html, html);
    fail(scan, rc);
    return rc == 0 ? is_full(scan) : rc;
}

int assets_scan_end(struct assets_scan *scan)
{
    if (scan->ended || scan->rc < 0)
        return scan->rc;
    scan->ended = true;
    scan->unsure = scan->unsure || is_full(scan);
    fail(scan, assets_html_end(scan->html));
    return scan->rc;
}

size_t assets_scan_stylesheets(const struct assets_scan *scan)
{
    return assets_html_hopeless(scan->html) ? 0 : scan->wanted_count;
}

struct span assets_scan_stylesheet(const struct assets_scan *scan, size_t i)
{
    if (i >= assets_scan_stylesheets(scan))
        return span_make(NULL, 0);
    return span_of(scan->sheets[scan->wanted[i]].path);
}

int assets_scan_css(struct assets_scan *scan, size_t i, struct span css)
{
    struct assets_url base = scan->page;

    if (!scan->ended || scan->chosen || i >= assets_scan_stylesheets(scan) ||
        scan->sheets[scan->wanted[i]].read)
        return -EINVAL;
    if (scan->rc < 0)
        return scan->rc;
    uint16_t index = scan->wanted[i];
    memcpy(base.path, scan->sheets[index].path, strlen(scan->sheets[index].path) + 1);
    sheet_read(scan, index, css, &base);
    return scan->rc;
}

/* Numbers the stylesheets below `parent` in the order of the cascade: imports before importers. */
static uint16_t rank(const struct assets_scan *scan, uint16_t parent, uint16_t next,
                     uint16_t ranks[ASSETS_STYLESHEETS_MAX])
{
    for (uint16_t i = 0; i < scan->sheets_count; i++) {
        if (scan->sheets[i].parent != parent)
            continue;
        next = rank(scan, i, next, ranks);
        ranks[i] = next++;
    }
    return next;
}

static bool all_read(const struct assets_scan *scan)
{
    for (uint16_t i = 0; i < scan->sheets_count; i++)
        if (!scan->sheets[i].read)
            return false;
    return true;
}

static void fonts_add(struct assets_scan *scan)
{
    uint16_t ranks[ASSETS_STYLESHEETS_MAX];

    if (scan->unsure || !all_read(scan) || !assets_html_standard(scan->html) ||
        !assets_html_allows(scan->html, AS_FONT))
        return;
    rank(scan, NO_SHEET, 0, ranks);
    assets_fonts_choose(&scan->fonts, &scan->outline, ranks);
    for (size_t i = 0; i < scan->fonts.faces_count; i++) {
        const struct assets_font_face *face = &scan->fonts.faces[i];
        struct assets_found found = {
            .as = AS_FONT, .crossorigin = true, .position = scan->sheets[face->sheet].position};
        if (face->needed)
            fail(scan, assets_list_add(&scan->list, face->path, &found));
    }
}

struct assets *assets_scan_result(struct assets_scan *scan)
{
    if (assets_html_hopeless(scan->html))
        assets_list_finish(&scan->list);
    else if (!scan->chosen)
        fonts_add(scan);
    scan->chosen = true;
    return scan->rc < 0 ? NULL : assets_list_result(&scan->list);
}

/* Reads a page's HTML, in slices, and tells what it refers to.
 *
 * libxml2 is used here only. Its HTML push parser takes each tag's attributes and the references in
 * them apart, as it would in any page; where tags begin and end (assets_markup.h) and how elements
 * nest (assets_nesting.h) follows today's HTML, which it doesn't know. No tree is built, nothing is
 * fetched, nothing printed. */
#ifndef HERALD_ASSETS_HTML_H
#define HERALD_ASSETS_HTML_H

#include "master/handoff/span.h"
#include "policy/assets.h"
#include "policy/assets_media.h"
#include "policy/assets_outline.h"
#include "policy/assets_url.h"

#include <stdbool.h>

struct assets_reference {
    enum asset_as as;
    enum assets_priority priority;
    enum assets_certainty applies; /* of a stylesheet: by its media */
    bool stylesheet;               /* applied to the page: not a preload of one */
    bool blocking;
    bool crossorigin;
    bool module;
};

/* What is told while the page is read, in document order. */
struct assets_html_visitor {
    void *context;
    /* A browser would surely request `url`; for a stylesheet also one of another origin, and NULL
     * when it can't be told where it is. */
    void (*reference)(void *context, const struct assets_reference *reference,
                      const struct assets_url *url);
    /* The text of a <style>, more than ASSETS_CSS_MAX bytes if it was cut; its URLs are relative
     * to `base`. `blocking`: what it imports is waited for. */
    void (*style)(void *context, struct span css, enum assets_certainty applies, bool blocking,
                  const struct assets_url *base);
};

struct assets_html;

/* `visitor` is copied; `page` and `outline` are borrowed until destroy. Returns 0 or -ENOMEM. */
int assets_html_create(const struct assets_url *page, struct assets_outline *outline,
                       const struct assets_html_visitor *visitor, struct assets_html **html);
void assets_html_destroy(struct assets_html *html);

/* Reads more of the page. Returns 0, 1 when it is no HTML that can be read (UTF-16) or a page that
 * a browser leaves at once (a refresh, frames): nothing is to be proposed then; or -ENOMEM. */
int assets_html_feed(struct assets_html *html, struct span text);
int assets_html_end(struct assets_html *html);

/* Was the page one of those? */
bool assets_html_hopeless(const struct assets_html *html);

/* Did the page ask for no-quirks mode with <!doctype html>? */
bool assets_html_standard(const struct assets_html *html);

/* May the page fetch this kind from its own origin, by the policies in it? */
bool assets_html_allows(const struct assets_html *html, enum asset_as as);

#endif

/* Cuts HTML into tags exactly as browsers do (HTML, "Tokenization").
 *
 * libxml2 parses HTML 4: it takes what stands in <title>, <textarea>, <noscript> or <iframe> for
 * markup, ends comments elsewhere, and knows no <template>. So this stage decides where tags begin
 * and end, and leaves their attributes and character references to it. Told are
 *  - every tag, whole;
 *  - once for a run of text, that there is an ASCII letter or digit in it;
 *  - the text of <style>.
 * Comments, declarations, other raw text, what lies inside <template>, <svg>, <math> and <select>,
 * and a tag that is cut off are dropped; the last three elements are told as empty ones. All that
 * is told is UTF-8; a byte that isn't becomes U+FFFD. */
#ifndef HERALD_ASSETS_MARKUP_H
#define HERALD_ASSETS_MARKUP_H

#include "master/handoff/span.h"
#include "policy/assets_tag.h"
#include "policy/assets_utf8.h"

#include <stdbool.h>
#include <stddef.h>

enum assets_markup_inert { MARKUP_LIVE, MARKUP_TEMPLATE, MARKUP_FOREIGN, MARKUP_SELECT };

struct assets_markup_visitor {
    void *context;
    void (*start)(void *context, const struct assets_tag *tag);
    void (*end)(void *context, const char *name);
    void (*text)(void *context);
    /* In pieces, between the start and the end of a <style>. */
    void (*style)(void *context, struct span text);
};

struct assets_markup {
    struct assets_markup_visitor visitor;

    bool html_doctype; /* the page began with <!doctype html>: it is read in no-quirks mode */
    bool in_content;   /* a tag or text came already, so a doctype counts no more */

    int state;
    struct assets_tag tag;
    bool end_tag;
    bool self_closing;

    char word[16]; /* what follows "<!" or, in raw text, "<" */
    size_t word_length;
    char raw[ASSETS_TAG_NAME_MAX + 1]; /* the element whose text is raw, "" outside one */
    bool raw_kept;
    int script_mode; /* 0 plain, 1 escaped, 2 double escaped */
    unsigned dashes;

    enum assets_markup_inert inert;
    char inert_name[ASSETS_TAG_NAME_MAX + 1];
    unsigned inert_depth;

    bool text_told; /* since the last tag */
    bool in_reference;

    struct assets_utf8 utf8;

    char style[4096]; /* text of a <style> not told yet */
    size_t style_length;
};

/* `visitor` is copied. */
void assets_markup_init(struct assets_markup *markup, const struct assets_markup_visitor *visitor);

/* Reads bytes and tells what they end. */
void assets_markup_feed(struct assets_markup *markup, struct span html);

#endif

/* Cuts HTML into tags exactly as browsers do, so that the parser behind it sees only markup.
 *
 * libxml2 parses HTML 4: it takes what stands in <title>, <textarea>, <noscript> or <iframe> for
 * markup, ends comments elsewhere, and knows no <template>. This stage is the WHATWG tokenizer
 * (HTML, "Tokenization") for all that decides where a tag begins and ends. It passes on
 *  - every tag, whole, with quoted values, names that libxml2 can read, and void elements closed;
 *  - one "x" for a run of text that has an ASCII letter or digit;
 *  - the text of <style>;
 * and drops comments, other raw text, declarations, what lies inside <template>, <svg>, <math> and
 * <select>, a tag that is cut off, and the attributes of a tag that is larger than the limits.
 * Everything passed on is UTF-8; a byte that isn't becomes U+FFFD. */
#ifndef HERALD_ASSETS_MARKUP_H
#define HERALD_ASSETS_MARKUP_H

#include "master/handoff/span.h"
#include "policy/assets_tag.h"
#include "policy/assets_utf8.h"

#include <stdbool.h>
#include <stddef.h>

enum assets_markup_inert { MARKUP_LIVE, MARKUP_TEMPLATE, MARKUP_FOREIGN, MARKUP_SELECT };

struct assets_markup {
    void (*pass)(void *context, struct span markup);
    void *context;

    bool flat; /* set by the caller: pass only elements that may name an asset */
    bool html_doctype; /* the page began with <!doctype html>: it is read in no-quirks mode */
    bool in_content; /* a tag or text came already, so a doctype counts no more */

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

    bool text_passed;
    bool in_reference;

    struct assets_utf8 utf8;

    char out[4096];
    size_t out_length;
};

void assets_markup_init(struct assets_markup *markup,
                        void (*pass)(void *context, struct span markup), void *context);

/* Reads bytes; calls pass() with what results, any number of times. */
void assets_markup_feed(struct assets_markup *markup, struct span html);

#endif

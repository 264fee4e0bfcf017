/* Walks a stylesheet, tolerant as CSS Syntax 3 asks: comments, strings, escapes and nested blocks
 * are understood, the rest is passed over. Finds imports, font faces and style rules, and says how
 * certain it is that each applies to a screen. */
#ifndef HERALD_ASSETS_CSS_H
#define HERALD_ASSETS_CSS_H

#include "master/handoff/span.h"
#include "policy/assets_media.h"

#include <stdbool.h>
#include <stddef.h>

#define ASSETS_CSS_DEPTH_MAX 8 /* nested blocks; deeper ones are passed over */

/* Spans are borrowed for the call, and still escaped. Nothing is told that surely doesn't apply. */
struct assets_css_visitor {
    void *context;
    /* `prelude` is what follows "@import". */
    void (*import)(void *context, struct span prelude, enum assets_certainty applies);
    /* The block of a @font-face. */
    void (*font_face)(void *context, struct span block, enum assets_certainty applies);
    /* A style rule. A nested one is told with the selector "*" and as uncertain. */
    void (*rule)(void *context, struct span selectors, struct span block,
                 enum assets_certainty applies);
};

void assets_css_walk(struct span sheet, enum assets_certainty applies,
                     const struct assets_css_visitor *visitor);

/* Cuts what stands before the first of the characters `stops` off `*text`, with that character,
 * and returns it without surrounding white space. Strings, comments, escaped characters and what
 * stands in brackets are passed over. `*stop` is the character found, or NUL at the end. */
struct span assets_css_cut(struct span *text, const char *stops, char *stop);

struct assets_css_declaration {
    struct span name;
    struct span value; /* without "!important" */
    bool important;
};

/* Cuts the next declaration off `*block`, passing over nested rules. False at the end. */
bool assets_css_declaration(struct span *block, struct assets_css_declaration *declaration);

/* Skips white space and comments at the start of `*text`. */
void assets_css_skip_space(struct span *text);

/* Reads an identifier or a quoted string at the start of `*text` into `buffer`, unescaped. Returns
 * its length; 0 if there is none, it is empty or it doesn't fit. Moves `*text` behind it. */
size_t assets_css_word(struct span *text, char *buffer, size_t capacity);

/* The same for url(...), quoted or not, and where `strings` is true for a bare string. */
size_t assets_css_url(struct span *text, bool strings, char *buffer, size_t capacity);

#endif

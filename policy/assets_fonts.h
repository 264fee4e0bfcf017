/* Which declared fonts the text of a page surely needs: the cascade over the page's outline, for
 * the few properties that matter, with everything in doubt kept in doubt. */
#ifndef HERALD_ASSETS_FONTS_H
#define HERALD_ASSETS_FONTS_H

#include "master/handoff/span.h"
#include "policy/assets_font_face.h"
#include "policy/assets_outline.h"
#include "policy/assets_selector.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ASSETS_FACES_MAX 128
#define ASSETS_RULES_MAX 1024 /* selectors of rules that say anything of fonts */

struct assets_font_rule {
    struct assets_selector selector;
    struct assets_font_style style;
    enum assets_certainty applies;
    bool important;
    uint16_t sheet;
    uint32_t order; /* within all sheets, once they are ranked */
};

struct assets_fonts {
    struct assets_strings *strings; /* borrowed */
    struct assets_font_face *faces;
    size_t faces_count;
    struct assets_font_rule *rules;
    size_t rules_count;
    size_t rules_capacity;
    bool unsure; /* a limit was reached: no font is known to be needed */
};

/* Returns 0 or -ENOMEM. */
int assets_fonts_init(struct assets_fonts *fonts, struct assets_strings *strings);
void assets_fonts_finish(struct assets_fonts *fonts);

/* Adds a @font-face block, or a style rule, of stylesheet `sheet`; in the order of that sheet.
 * Return 0 or -ENOMEM. */
int assets_fonts_add_face(struct assets_fonts *fonts, struct span block,
                          enum assets_certainty applies, uint16_t sheet,
                          const struct assets_url *page, const struct assets_url *base);
int assets_fonts_add_rule(struct assets_fonts *fonts, struct span selectors, struct span block,
                          enum assets_certainty applies, uint16_t sheet);

/* Marks the faces that the outline's text needs; to be called once. ranks[sheet] orders the
 * stylesheets as the cascade does. */
void assets_fonts_choose(struct assets_fonts *fonts, const struct assets_outline *outline,
                         const uint16_t *ranks);

#endif

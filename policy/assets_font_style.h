/* What a block of declarations says of the font of the elements it applies to. */
#ifndef HERALD_ASSETS_FONT_STYLE_H
#define HERALD_ASSETS_FONT_STYLE_H

#include "master/handoff/span.h"
#include "policy/assets_strings.h"

#include <stdbool.h>
#include <stdint.h>

/* Families are numbers of an assets_strings, the first of the list only, or one of these. */
enum {
    FAMILY_UNSET = 0,
    FAMILY_SYSTEM = 0xfffd, /* none that a page can declare: a generic one, the initial value */
    FAMILY_INHERIT,
    FAMILY_UNKNOWN /* a variable, `revert`, rules in doubt */
};

/* 1 to 1000, or one of these. */
enum { WEIGHT_UNSET = 0, WEIGHT_LIGHTER = 0xfffc, WEIGHT_BOLDER, WEIGHT_INHERIT, WEIGHT_UNKNOWN };

enum assets_slope {
    SLOPE_UNSET,
    SLOPE_NORMAL,
    SLOPE_OBLIQUE,
    SLOPE_ITALIC,
    SLOPE_INHERIT,
    SLOPE_UNKNOWN
};

struct assets_font_style {
    uint16_t family;
    uint16_t weight;
    uint8_t slope;
    bool hidden; /* not shown, or perhaps not: display: none, content-visibility, font-size: 0 */
};

/* Reads a block of declarations; the important ones into `important`, which may be `normal` too.
 * Both are only added to. Returns true when anything was said. */
bool assets_font_style_read(struct span block, struct assets_strings *strings,
                            struct assets_font_style *normal, struct assets_font_style *important);

/* The first family of a font-family value. */
uint16_t assets_font_family(struct span value, struct assets_strings *strings);

/* "bold", "450", "inherit"...; WEIGHT_UNKNOWN for anything else. */
uint16_t assets_font_weight(struct span value);

#endif

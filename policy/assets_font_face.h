/* Font faces that a page's stylesheets declare, and which of them a text needs (CSS Fonts 4, "Font
 * matching"). */
#ifndef HERALD_ASSETS_FONT_FACE_H
#define HERALD_ASSETS_FONT_FACE_H

#include "master/handoff/span.h"
#include "policy/assets_font_style.h"
#include "policy/assets_media.h"
#include "policy/assets_url.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum assets_font_source {
    SOURCE_NONE,      /* nothing that a browser can use */
    SOURCE_PATH,      /* a file of the page's own origin */
    SOURCE_ELSEWHERE, /* another origin, or within the stylesheet */
    SOURCE_UNKNOWN    /* hangs on the fonts installed or on the browser */
};

struct assets_font_face {
    uint16_t family;
    uint16_t weight_least;
    uint16_t weight_most;
    uint8_t slope;                /* SLOPE_NORMAL, OBLIQUE or ITALIC */
    enum assets_certainty covers; /* ASCII letters and digits: none, some, all */
    bool unsure;                  /* whether it applies, or what it is, isn't known */
    bool needed;                  /* set by the caller */
    enum assets_font_source source;
    char *path;     /* of SOURCE_PATH, owned */
    uint32_t order; /* of declaration; set by the caller */
    uint16_t sheet; /* the stylesheet that declares it; set by the caller */
};

/* Reads the block of a @font-face in the stylesheet at `base`. Returns 0 (a face without a family
 * or source has the source SOURCE_NONE) or -ENOMEM. */
int assets_font_face_read(struct span block, struct assets_strings *strings,
                          const struct assets_url *page, const struct assets_url *base,
                          struct assets_font_face *face);

/* The face that a text with ASCII letters needs, of those in order of declaration. NULL when it
 * needs none of them or that can't be known. weight: 1 to 1000; slope: as a face's. */
struct assets_font_face *assets_font_face_choose(struct assets_font_face *faces, size_t count,
                                                 uint16_t family, uint16_t weight, uint8_t slope);

#endif

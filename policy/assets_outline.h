/* The page's elements as far as style rules tell them apart: one entry for all elements of the same
 * tag, id and classes below the same parent entry, and whether text stands in them. It is what
 * remains of the page when its stylesheets arrive, and it is bounded: elements beyond it are not
 * noted, so that nothing is inferred from their text. */
#ifndef HERALD_ASSETS_OUTLINE_H
#define HERALD_ASSETS_OUTLINE_H

#include "master/handoff/span.h"
#include "policy/assets_font_style.h"
#include "policy/assets_strings.h"

#include <stdbool.h>
#include <stdint.h>

#define ASSETS_OUTLINE_MAX 512   /* entries */
#define ASSETS_CLASSES_MAX 2048  /* class names of all entries together */
#define ASSETS_OUTLINE_DEPTH 256 /* open elements */
#define ASSETS_NO_ELEMENT 0xffff

struct assets_element {
    uint16_t parent; /* its entry, which comes before; ASSETS_NO_ELEMENT: the root */
    uint16_t tag;    /* numbers of an assets_strings; 0: none */
    uint16_t id;
    uint16_t classes_at;
    uint16_t classes;
    bool text;       /* a letter or digit stands right in it */
    bool hidden;     /* it is, or may be, not shown, whatever the stylesheets say */
    bool styled;     /* `style` comes from its style attribute; such an entry is one element */
    uint64_t filter; /* assets_strings_bit() of tag, id and classes */
    struct assets_font_style style;
};

struct assets_outline {
    struct assets_strings *strings; /* borrowed */
    struct assets_element elements[ASSETS_OUTLINE_MAX];
    uint16_t count;
    uint16_t slots[2 * ASSETS_OUTLINE_MAX]; /* entry + 1 by its hash */
    uint16_t classes[ASSETS_CLASSES_MAX];
    uint16_t classes_count;
    uint16_t open[ASSETS_OUTLINE_DEPTH];
    unsigned depth; /* open elements, those beyond ASSETS_OUTLINE_DEPTH too */
};

void assets_outline_init(struct assets_outline *outline, struct assets_strings *strings);

/* What the outline keeps of a start tag. */
struct assets_opening {
    struct span tag;
    struct span id;
    struct span classes; /* the class attribute */
    struct span style;   /* the style attribute */
    bool hidden;
};

/* An element begins and ends. */
void assets_outline_open(struct assets_outline *outline, const struct assets_opening *opening);
void assets_outline_close(struct assets_outline *outline);

/* Text stands in the element that is open. */
void assets_outline_text(struct assets_outline *outline);

#endif

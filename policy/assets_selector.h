/* Does a selector (Selectors 4) match an element of the outline? Tags, ids, classes, :root and the
 * combinators for descendants and children are decided; whatever else it asks leaves it open. */
#ifndef HERALD_ASSETS_SELECTOR_H
#define HERALD_ASSETS_SELECTOR_H

#include "master/handoff/span.h"
#include "policy/assets_media.h"
#include "policy/assets_outline.h"

#include <stdbool.h>
#include <stdint.h>

#define ASSETS_COMPOUNDS_MAX 6 /* of one selector; more to the left are not looked at */
#define ASSETS_COMPOUND_CLASSES_MAX 3

/* How a compound is bound to the one on its left. */
enum assets_combinator {
    COMBINATOR_NONE,
    COMBINATOR_DESCENDANT,
    COMBINATOR_CHILD,
    COMBINATOR_OPEN
};

struct assets_compound {
    uint64_t filter; /* an element without these bits doesn't match */
    uint16_t tag;    /* 0: any */
    uint16_t id;
    uint16_t classes[ASSETS_COMPOUND_CLASSES_MAX];
    uint8_t classes_count;
    uint8_t combinator;
    bool root;
    bool open; /* asks more than is known here */
};

struct assets_selector {
    struct assets_compound compounds[ASSETS_COMPOUNDS_MAX]; /* the subject first, then leftwards */
    uint8_t count;
    uint32_t specificity; /* the greatest possible when parts are not understood */
};

#define ASSETS_SPECIFICITY_MAX 0xffffffu

/* Reads one selector of a list. False when it can't match an element: a pseudo-element, nothing. */
bool assets_selector_read(struct span text, struct assets_strings *strings,
                          struct assets_selector *selector);

/* Adds the number of comparisons to `*steps`. */
enum assets_certainty assets_selector_match(const struct assets_selector *selector,
                                            const struct assets_outline *outline, uint16_t entry,
                                            unsigned *steps);

#endif

/* Which elements are open while a page is read (HTML, "Tree construction"): end tags that authors
 * leave out, and the elements that browsers put in, for all pages that are nested properly. Where
 * one isn't, browsers mend it in ways that are not followed here: it is then tangled, from there
 * on. */
#ifndef HERALD_ASSETS_NESTING_H
#define HERALD_ASSETS_NESTING_H

#include "policy/assets_outline.h"

#include <stdbool.h>
#include <stdint.h>

#define ASSETS_NESTING_MAX 200 /* open elements; a deeper page is tangled */

struct assets_nesting {
    struct assets_outline *outline;     /* borrowed */
    uint8_t open[ASSETS_NESTING_MAX];   /* the elements' kinds */
    uint32_t names[ASSETS_NESTING_MAX]; /* hashes of their names */
    unsigned depth;
    bool html;    /* the root was opened */
    bool body;    /* the body was opened: what comes is no longer in the head */
    bool tangled; /* the outline no longer says where text stands */
};

/* `outline` is borrowed as long as the nesting is used. */
void assets_nesting_init(struct assets_nesting *nesting, struct assets_outline *outline);

/* A start tag, an end tag, and text come. `opening->tag` is the element's name, in lower case. */
void assets_nesting_start(struct assets_nesting *nesting, const struct assets_opening *opening);
void assets_nesting_end(struct assets_nesting *nesting, struct span name);
void assets_nesting_text(struct assets_nesting *nesting);

/* Is `name` an element without content? */
bool assets_nesting_is_void(struct span name);

#endif

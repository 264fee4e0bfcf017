/* Does a media query list (Media Queries 4) match the screen that a page is opened on? Only what
 * holds for every screen is certain: "print" never matches; a width may or may not. */
#ifndef HERALD_ASSETS_MEDIA_H
#define HERALD_ASSETS_MEDIA_H

#include "master/handoff/span.h"

/* Ordered: of two alternatives the greater counts, of two conditions the lesser. */
enum assets_certainty { ASSETS_NO, ASSETS_MAYBE, ASSETS_YES };

/* The value of a `media` attribute, or what follows "@media". Empty matches. */
enum assets_certainty assets_media_match(struct span list);

#endif

/* Which image of several alternatives a browser takes, where that doesn't hang on the screen
 * (HTML, "Images", "srcset attributes" and "Updating the image data"). */
#ifndef HERALD_ASSETS_IMAGE_H
#define HERALD_ASSETS_IMAGE_H

#include "master/handoff/span.h"
#include "policy/assets_media.h"

/* Are images of the media type `type` (a <source>'s or a preload's) shown? Empty: yes. */
enum assets_certainty assets_image_type(struct span type);

/* Chooses among the candidates of `srcset` and `src` (either may be empty). Returns ASSETS_YES with
 * the URL as written in `*choice`, ASSETS_NO when there is none, or ASSETS_MAYBE when the choice is
 * the browser's: candidates for several widths or densities that lead to different images. */
enum assets_certainty assets_image_choose(struct span srcset, struct span src, struct span *choice);

#endif

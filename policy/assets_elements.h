/* What one HTML element requests, by its attributes: <link>, <script>, <img>, <source>, <input>. */
#ifndef HERALD_ASSETS_ELEMENTS_H
#define HERALD_ASSETS_ELEMENTS_H

#include "master/handoff/span.h"
#include "policy/assets_html.h"

#include <stdbool.h>

/* The attributes of a start tag: name, value, name, value, ..., NULL. Names are lower case; a value
 * may be NULL. NULL itself: none. */
typedef const char *const *assets_attributes;

/* The value, references decoded; NULL data when the attribute is absent. */
struct span assets_attribute(assets_attributes attributes, const char *name);

/* What an element leads to. Each call returns true if something is surely requested, then with
 * `reference` and the URL as written. */

/* `title_set`: the name of the page's preferred stylesheets, empty until one has a title; kept by
 * the caller. `in_head`: stylesheets there block. */
bool assets_element_link(assets_attributes attributes, bool in_head, char title_set[64],
                         struct assets_reference *reference, struct span *url);
bool assets_element_script(assets_attributes attributes, bool in_head,
                           struct assets_reference *reference, struct span *url);
bool assets_element_input(assets_attributes attributes, struct assets_reference *reference,
                          struct span *url);

/* The <source> elements of a <picture> so far. All zero at its start. */
struct assets_picture {
    enum { PICTURE_NONE, PICTURE_CHOSEN, PICTURE_OPEN } choice;
    char url[ASSETS_PATH_MAX + 1]; /* of PICTURE_CHOSEN */
};

void assets_element_source(assets_attributes attributes, struct assets_picture *picture);

/* An <img>, in `picture` unless NULL. */
bool assets_element_image(assets_attributes attributes, const struct assets_picture *picture,
                          struct assets_reference *reference, struct span *url);

/* How a <style> applies; ASSETS_NO if it isn't CSS. */
enum assets_certainty assets_element_style(assets_attributes attributes, char title_set[64]);

#endif

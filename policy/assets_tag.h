/* A tag under construction, rewritten so that libxml2 reads it as browsers do: every value in
 * double quotes, names of letters that it knows, no reference that it decodes otherwise. */
#ifndef HERALD_ASSETS_TAG_H
#define HERALD_ASSETS_TAG_H

#include <stdbool.h>
#include <stddef.h>

#define ASSETS_TAG_NAME_MAX 47
#define ASSETS_TAG_MAX (16 * 1024)  /* bytes of one tag's attributes as passed on */
#define ASSETS_VALUE_MAX (8 * 1024) /* bytes of one value; a longer one is cut and gets a U+FFFD \
                                     */
#define ASSETS_ATTRIBUTES_MAX 64    /* attributes of one tag */

struct assets_tag {
    char name[ASSETS_TAG_NAME_MAX + 1]; /* lower case, NUL-terminated; a longer one is cut */
    size_t name_length;
    char text[ASSETS_TAG_MAX]; /* ' name="value"' for each attribute */
    size_t length;
    unsigned attributes;
    bool oversize; /* over the limits: the text is incomplete and not to be used */
    size_t value_start;
    bool value_cut;
};

void assets_tag_begin(struct assets_tag *tag);

/* Adds a character of the tag's name. */
void assets_tag_name(struct assets_tag *tag, char c);

/* Opens an attribute whose name begins with `c`; adds a character to the name. */
void assets_tag_attribute_begin(struct assets_tag *tag, char c);
void assets_tag_attribute(struct assets_tag *tag, char c);

/* Opens the attribute's value; adds a character to it, references not decoded; closes it. */
void assets_tag_value_begin(struct assets_tag *tag);
void assets_tag_value(struct assets_tag *tag, char c);
void assets_tag_value_end(struct assets_tag *tag);

#endif

#include "policy/assets_image.h"

#include "policy/assets_ascii.h"

#include <stdbool.h>
#include <stddef.h>

enum descriptor { DESCRIPTOR_NONE, DESCRIPTOR_DENSITY, DESCRIPTOR_WIDTH, DESCRIPTOR_BAD };

struct candidate_url {
    struct span url;
    enum descriptor descriptor;
    bool one; /* density 1, said or implied */
};

enum assets_certainty assets_image_type(struct span type)
{
    static const char *const shown[] = {
        "image/jpeg", "image/jpg",  "image/pjpeg", "image/png",     "image/apng", "image/x-png",
        "image/gif",  "image/webp", "image/avif",  "image/svg+xml", "image/bmp",  "image/x-icon"};

    type = ascii_trim(span_make(type.data, span_find(type, ';')));
    if (type.length == 0)
        return ASSETS_YES;
    for (size_t i = 0; i < sizeof(shown) / sizeof(*shown); i++)
        if (span_equal_nocase(type, span_of(shown[i])))
            return ASSETS_YES;
    return ASSETS_MAYBE; /* image/jxl, image/heic: some browsers do */
}

/* "640w", "2x", "1.5x"; anything else, two descriptors included, is bad. */
static enum descriptor descriptor_read(struct span text, bool *one)
{
    char unit;
    bool positive = false;

    text = ascii_trim(text);
    *one = text.length == 0;
    if (text.length == 0)
        return DESCRIPTOR_NONE;
    unit = text.data[--text.length];
    if (text.length == 0 || (unit != 'w' && unit != 'x'))
        return DESCRIPTOR_BAD;
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        if (!(c >= '0' && c <= '9') && !(unit == 'x' && c == '.' && i > 0))
            return DESCRIPTOR_BAD;
        positive = positive || (c >= '1' && c <= '9');
    }
    if (!positive)
        return DESCRIPTOR_BAD;
    *one = unit == 'x' && text.length == 1 && text.data[0] == '1';
    return unit == 'w' ? DESCRIPTOR_WIDTH : DESCRIPTOR_DENSITY;
}

/* Cuts the next candidate off `*list`; false at its end. */
static bool candidate_next(struct span *list, struct candidate_url *candidate)
{
    size_t length = 0;

    while (list->length && (ascii_is_space(list->data[0]) || list->data[0] == ','))
        *list = span_after(*list, 1);
    if (list->length == 0)
        return false;
    while (length < list->length && !ascii_is_space(list->data[length]))
        length++;
    candidate->url = span_make(list->data, length);
    *list = span_after(*list, length);
    candidate->descriptor = DESCRIPTOR_NONE;
    candidate->one = true;
    if (candidate->url.data[length - 1] == ',') {
        while (candidate->url.length && candidate->url.data[candidate->url.length - 1] == ',')
            candidate->url.length--;
        return true;
    }
    length = span_find(*list, ',');
    candidate->descriptor = descriptor_read(span_make(list->data, length), &candidate->one);
    *list = span_after(*list, length < list->length ? length + 1 : length);
    return true;
}

enum assets_certainty assets_image_choose(struct span srcset, struct span src, struct span *choice)
{
    struct candidate_url candidate;
    bool any = false;
    bool source_joins = true; /* `src` counts as density 1 unless the set says better */

    src = ascii_trim(src);
    while (candidate_next(&srcset, &candidate)) {
        if (candidate.descriptor == DESCRIPTOR_BAD || (any && !span_equal(candidate.url, *choice)))
            return ASSETS_MAYBE;
        if (candidate.descriptor == DESCRIPTOR_WIDTH || candidate.one)
            source_joins = false;
        *choice = candidate.url;
        any = true;
    }
    if (!any)
        *choice = src;
    else if (source_joins && src.length && !span_equal(src, *choice))
        return ASSETS_MAYBE;
    return choice->length ? ASSETS_YES : ASSETS_NO;
}

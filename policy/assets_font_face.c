#include "policy/assets_font_face.h"

#include "policy/assets_ascii.h"
#include "policy/assets_css.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define RANGE_MAX 128 /* only ASCII is looked at */

static bool is(struct span text, const char *word)
{
    return span_equal_nocase(text, span_of(word));
}

static bool begins(struct span text, const char *word)
{
    size_t length = strlen(word);

    return text.length >= length && strncasecmp(text.data, word, length) == 0;
}

/* ---- unicode-range ---- */

/* Cuts a hexadecimal number off; "?" stands for the digit `wild`. */
static uint32_t read_code_point(struct span *text, int wild)
{
    uint32_t value = 0;

    while (text->length && (ascii_hex(text->data[0]) >= 0 || text->data[0] == '?')) {
        int digit = text->data[0] == '?' ? wild : ascii_hex(text->data[0]);
        if (value < 0x1000000)
            value = value * 16 + (uint32_t)digit;
        *text = span_after(*text, 1);
    }
    return value;
}

static void range_add(struct span item, bool covered[RANGE_MAX])
{
    if (!begins(item, "U+"))
        return;
    struct span text = span_after(item, 2);
    struct span again = text;
    uint32_t least = read_code_point(&text, 0);
    uint32_t most = read_code_point(&again, 15);
    if (text.length && text.data[0] == '-') {
        text = span_after(text, 1);
        most = read_code_point(&text, 0);
    }
    for (uint32_t c = least; c <= most && c < RANGE_MAX; c++)
        covered[c] = true;
}

static enum assets_certainty read_range(struct span value)
{
    bool covered[RANGE_MAX] = {false};
    unsigned have = 0;
    unsigned want = 0;
    char stop;

    while (value.length)
        range_add(assets_css_cut(&value, ",", &stop), covered);
    for (int c = '0'; c <= 'z'; c++) {
        if ((c > '9' && c < 'A') || (c > 'Z' && c < 'a'))
            continue;
        want++;
        have += covered[c];
    }
    return have == want ? ASSETS_YES : have ? ASSETS_MAYBE : ASSETS_NO;
}

/* ---- src ---- */

/* Can every browser of today use the format that `rest`, what follows a url(), gives? */
static enum assets_certainty read_format(struct span rest)
{
    static const char *const usable[] = {"woff2",
                                         "woff",
                                         "truetype",
                                         "opentype",
                                         "woff2-variations",
                                         "woff-variations",
                                         "truetype-variations",
                                         "opentype-variations"};
    char buffer[32];
    char stop;

    assets_css_skip_space(&rest);
    if (rest.length == 0)
        return ASSETS_YES;
    if (!begins(rest, "format("))
        return ASSETS_MAYBE;
    rest = span_after(rest, 7);
    struct span argument = assets_css_cut(&rest, ")", &stop);
    assets_css_skip_space(&rest);
    struct span format = span_make(buffer, assets_css_word(&argument, buffer, sizeof(buffer)));
    if (rest.length || argument.length)
        return ASSETS_MAYBE;
    for (size_t i = 0; i < sizeof(usable) / sizeof(*usable); i++)
        if (is(format, usable[i]))
            return ASSETS_YES;
    return is(format, "embedded-opentype") || is(format, "svg") ? ASSETS_NO : ASSETS_MAYBE;
}

struct source_reader {
    const struct assets_url *page;
    const struct assets_url *base;
    struct assets_url url;
};

/* One item of a `src` list; SOURCE_NONE: the next one counts. */
static enum assets_font_source read_item(struct span item, struct source_reader *reader)
{
    char buffer[ASSETS_PATH_MAX + 1];
    struct span data = item;

    if (!begins(item, "url("))
        return SOURCE_UNKNOWN; /* local() above all */
    data = span_after(data, 4);
    while (data.length && (data.data[0] == ' ' || data.data[0] == '"' || data.data[0] == '\''))
        data = span_after(data, 1);
    bool within = begins(data, "data:");
    size_t length = assets_css_url(&item, false, buffer, sizeof(buffer));
    enum assets_certainty usable = read_format(item);
    if (usable != ASSETS_YES)
        return usable == ASSETS_NO ? SOURCE_NONE : SOURCE_UNKNOWN;
    if (within)
        return SOURCE_ELSEWHERE;
    if (length == 0 ||
        assets_url_resolve(reader->base, span_make(buffer, length), false, &reader->url) < 0)
        return SOURCE_UNKNOWN;
    return assets_url_same_origin(reader->page, &reader->url) ? SOURCE_PATH : SOURCE_ELSEWHERE;
}

static int read_source(struct span value, struct source_reader *reader,
                       struct assets_font_face *face)
{
    char stop;

    free(face->path);
    face->path = NULL;
    face->source = SOURCE_NONE;
    while (value.length && face->source == SOURCE_NONE)
        face->source = read_item(assets_css_cut(&value, ",", &stop), reader);
    if (face->source != SOURCE_PATH)
        return 0;
    face->path = strdup(reader->url.path);
    return face->path ? 0 : -ENOMEM;
}

/* ---- the other descriptors ---- */

static void read_weight(struct span value, struct assets_font_face *face)
{
    char stop;
    struct span first = assets_css_cut(&value, " \t\r\n\f", &stop);
    struct span second = assets_css_cut(&value, "", &stop);

    face->weight_least = assets_font_weight(first);
    face->weight_most = second.length ? assets_font_weight(second) : face->weight_least;
    if (face->weight_least > 1000 || face->weight_most > 1000 ||
        face->weight_least > face->weight_most)
        face->unsure = true;
}

static void read_slope(struct span value, struct assets_font_face *face)
{
    if (is(value, "normal"))
        face->slope = SLOPE_NORMAL;
    else if (is(value, "italic"))
        face->slope = SLOPE_ITALIC;
    else if (is(value, "oblique"))
        face->slope = SLOPE_OBLIQUE;
    else
        face->unsure = true; /* a range of angles */
}

static int read_descriptor(const struct assets_css_declaration *declaration,
                           struct assets_strings *strings, struct source_reader *reader,
                           struct assets_font_face *face)
{
    struct span name = declaration->name;
    struct span value = declaration->value;

    if (is(name, "font-family"))
        face->family = assets_font_family(value, strings);
    else if (is(name, "font-weight"))
        read_weight(value, face);
    else if (is(name, "font-style"))
        read_slope(value, face);
    else if (is(name, "unicode-range"))
        face->covers = read_range(value);
    else if ((is(name, "font-stretch") || is(name, "font-width")) && !is(value, "normal") &&
             !is(value, "100%"))
        face->unsure = true;
    else if (is(name, "src"))
        return read_source(value, reader, face);
    return 0;
}

int assets_font_face_read(struct span block, struct assets_strings *strings,
                          const struct assets_url *page, const struct assets_url *base,
                          struct assets_font_face *face)
{
    struct source_reader reader = {.page = page, .base = base};
    struct assets_css_declaration declaration;

    *face = (struct assets_font_face){
        .weight_least = 400, .weight_most = 400, .slope = SLOPE_NORMAL, .covers = ASSETS_YES};
    while (assets_css_declaration(&block, &declaration))
        if (read_descriptor(&declaration, strings, &reader, face) < 0)
            return -ENOMEM;
    if (face->family == FAMILY_UNSET || face->family >= FAMILY_SYSTEM)
        face->source = SOURCE_NONE;
    return 0;
}

/* ---- matching ---- */

/* How far a face is from the weight wanted; 0 is a match, less is better. */
static uint32_t weight_distance(const struct assets_font_face *face, uint16_t weight)
{
    bool lighter = face->weight_most < weight;
    uint32_t distance =
        lighter ? (uint32_t)weight - face->weight_most : (uint32_t)face->weight_least - weight;

    if (face->weight_least <= weight && weight <= face->weight_most)
        return 0;
    if (weight >= 400 && weight <= 500 && !lighter && face->weight_least <= 500)
        return 1000 + distance;
    bool lighter_first = weight <= 500;
    return (lighter == lighter_first ? 10000 : 100000) + distance;
}

/* 0 for the slope wanted; italic and oblique stand in for each other before upright does. */
static uint32_t slope_distance(uint8_t slope, uint8_t wanted)
{
    if (slope == wanted)
        return 0;
    if (wanted == SLOPE_NORMAL)
        return slope == SLOPE_OBLIQUE ? 1 : 2;
    return slope == SLOPE_NORMAL ? 2 : 1;
}

static uint64_t face_distance(const struct assets_font_face *face, uint16_t weight, uint8_t slope)
{
    return (uint64_t)slope_distance(face->slope, slope) << 32 | weight_distance(face, weight);
}

/* The nearest face of the family. NULL when there is none, or browsers may not agree: a face is
 * unsure, two weight ranges are as near, or italic and oblique faces stand in for each other. */
static const struct assets_font_face *nearest(const struct assets_font_face *faces, size_t count,
                                              uint16_t family, uint16_t weight, uint8_t slope)
{
    const struct assets_font_face *best = NULL;
    uint64_t least = UINT64_MAX;
    bool tie = false;
    bool slopes[SLOPE_UNKNOWN] = {false};

    for (size_t i = 0; i < count; i++) {
        const struct assets_font_face *face = &faces[i];
        if (face->family != family)
            continue;
        if (face->unsure)
            return NULL;
        slopes[face->slope] = true;
        uint64_t distance = face_distance(face, weight, slope);
        if (distance > least)
            continue;
        bool same_range = best && best->weight_least == face->weight_least &&
                          best->weight_most == face->weight_most;
        tie = distance == least && (tie || !same_range);
        best = face;
        least = distance;
    }
    if (best && best->slope != SLOPE_NORMAL && slopes[SLOPE_ITALIC] && slopes[SLOPE_OBLIQUE])
        return NULL;
    return tie ? NULL : best;
}

struct assets_font_face *assets_font_face_choose(struct assets_font_face *faces, size_t count,
                                                 uint16_t family, uint16_t weight, uint8_t slope)
{
    const struct assets_font_face *best = nearest(faces, count, family, weight, slope);

    if (!best)
        return NULL;
    uint64_t least = face_distance(best, weight, slope);
    for (size_t i = count; i-- > 0;) { /* of faces that differ in range only, the last counts */
        struct assets_font_face *face = &faces[i];
        if (face->family != family || face_distance(face, weight, slope) != least ||
            face->covers == ASSETS_NO)
            continue;
        return face->covers == ASSETS_YES && face->source == SOURCE_PATH ? face : NULL;
    }
    return NULL;
}

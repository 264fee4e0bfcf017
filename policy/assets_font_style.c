#include "policy/assets_font_style.h"

#include "policy/assets_ascii.h"
#include "policy/assets_css.h"

#include <stddef.h>
#include <string.h>

#define FAMILY_BYTES_MAX 128

static bool is(struct span text, const char *word)
{
    return span_equal_nocase(text, span_of(word));
}

static bool is_generic(struct span name)
{
    static const char *const generic[] = {
        "serif",     "sans-serif", "monospace",     "cursive",      "fantasy",
        "system-ui", "ui-serif",   "ui-sans-serif", "ui-monospace", "ui-rounded",
        "math",      "fangsong",   "emoji",         "initial"};

    for (size_t i = 0; i < sizeof(generic) / sizeof(*generic); i++)
        if (is(name, generic[i]))
            return true;
    return false;
}

/* Reads a family's name: a string, or words that one space joins. */
static size_t read_name(struct span *value, char *buffer)
{
    size_t length = assets_css_word(value, buffer, FAMILY_BYTES_MAX);

    for (;;) {
        assets_css_skip_space(value);
        if (length == 0 || value->length == 0 || value->data[0] == ',')
            return length;
        if (length + 1 >= FAMILY_BYTES_MAX)
            return 0;
        buffer[length++] = ' ';
        size_t more = assets_css_word(value, buffer + length, FAMILY_BYTES_MAX - length);
        if (more == 0)
            return 0;
        length += more;
    }
}

uint16_t assets_font_family(struct span value, struct assets_strings *strings)
{
    char buffer[FAMILY_BYTES_MAX];

    assets_css_skip_space(&value);
    if (value.length == 0 || span_find(value, '(') < value.length)
        return FAMILY_UNKNOWN;
    bool quoted = value.data[0] == '"' || value.data[0] == '\'';
    struct span name = span_make(buffer, read_name(&value, buffer));
    if (name.length == 0)
        return FAMILY_UNKNOWN;
    if (!quoted && is_generic(name))
        return FAMILY_SYSTEM;
    if (!quoted && (is(name, "inherit") || is(name, "unset")))
        return FAMILY_INHERIT;
    if (!quoted && (is(name, "revert") || is(name, "revert-layer")))
        return FAMILY_UNKNOWN;
    uint16_t number = assets_strings_number(strings, ASSETS_NAME_FAMILY, name);
    return number ? number : FAMILY_UNKNOWN;
}

uint16_t assets_font_weight(struct span value)
{
    unsigned number = 0;

    if (is(value, "normal") || is(value, "initial"))
        return 400;
    if (is(value, "bold"))
        return 700;
    if (is(value, "bolder"))
        return WEIGHT_BOLDER;
    if (is(value, "lighter"))
        return WEIGHT_LIGHTER;
    if (is(value, "inherit") || is(value, "unset"))
        return WEIGHT_INHERIT;
    for (size_t i = 0; i < value.length; i++) {
        if (!ascii_is_digit(value.data[i]) || number > 1000)
            return WEIGHT_UNKNOWN;
        number = number * 10 + (unsigned)(value.data[i] - '0');
    }
    return number >= 1 && number <= 1000 ? (uint16_t)number : WEIGHT_UNKNOWN;
}

static enum assets_slope read_slope(struct span value)
{
    if (is(value, "normal") || is(value, "initial"))
        return SLOPE_NORMAL;
    if (is(value, "italic"))
        return SLOPE_ITALIC;
    if (is(value, "oblique"))
        return SLOPE_OBLIQUE;
    return is(value, "inherit") || is(value, "unset") ? SLOPE_INHERIT : SLOPE_UNKNOWN;
}

/* Cuts the next word of a `font` value off; a function with its arguments is one word. */
static struct span next_word(struct span *value)
{
    char stop;

    assets_css_skip_space(value);
    return assets_css_cut(value, " \t\r\n\f", &stop);
}

/* Does a word of a `font` value give the size? The family follows it. */
static bool is_size(struct span word)
{
    static const char *const sizes[] = {"xx-small", "x-small", "small",    "medium",
                                        "large",    "x-large", "xx-large", "xxx-large",
                                        "smaller",  "larger",  "math"};
    struct span size = span_make(word.data, span_find(word, '/'));

    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
        if (is(size, sizes[i]))
            return true;
    return size.length && (ascii_is_digit(size.data[0]) || size.data[0] == '.') &&
           !ascii_is_digit(size.data[size.length - 1]);
}

static void set_unknown(struct assets_font_style *style)
{
    style->family = FAMILY_UNKNOWN;
    style->weight = WEIGHT_UNKNOWN;
    style->slope = SLOPE_UNKNOWN;
}

static bool word_set(struct assets_font_style *style, struct span word)
{
    if (is(word, "normal") || is(word, "small-caps"))
        return true;
    if (is(word, "italic") || is(word, "oblique")) {
        style->slope = (uint8_t)read_slope(word);
        return true;
    }
    style->weight = assets_font_weight(word);
    return style->weight != WEIGHT_UNKNOWN && style->weight != WEIGHT_INHERIT;
}

/* The `font` shorthand: [style | variant | weight]* size[/line-height] family#. */
static void read_shorthand(struct span value, struct assets_strings *strings,
                           struct assets_font_style *style)
{
    if (is(value, "inherit") || is(value, "unset")) {
        style->family = FAMILY_INHERIT;
        style->weight = WEIGHT_INHERIT;
        style->slope = SLOPE_INHERIT;
        return;
    }
    struct assets_font_style read = {.weight = 400, .slope = SLOPE_NORMAL};
    struct span word = next_word(&value);
    while (word.length && !is_size(word) && word_set(&read, word))
        word = next_word(&value);
    set_unknown(style);
    if (!is_size(word))
        return;
    assets_css_skip_space(&value);
    if (span_find(word, '/') == word.length && value.length && value.data[0] == '/') {
        value = span_after(value, 1);
        next_word(&value);
    } else if (span_ends(word, SPAN_LITERAL("/"))) {
        next_word(&value);
    }
    read.family = assets_font_family(value, strings);
    style->family = read.family;
    style->weight = read.weight;
    style->slope = read.slope;
}

/* "0", "0px", "0.0em". */
static bool is_zero(struct span value)
{
    size_t i = 0;

    while (i < value.length && (value.data[i] == '0' || value.data[i] == '.'))
        i++;
    return i > 0 && (i == value.length || !ascii_is_digit(value.data[i]));
}

/* Values of display and others with which the text may not be laid out. */
static bool hides(struct span name, struct span value)
{
    if (is(name, "display"))
        return is(value, "none") || span_find(value, '(') < value.length;
    if (is(name, "content-visibility"))
        return !is(value, "visible");
    if (is(name, "font-size"))
        return is_zero(value);
    return false;
}

static bool apply(const struct assets_css_declaration *declaration, struct assets_strings *strings,
                  struct assets_font_style *style)
{
    struct span name = declaration->name;
    struct span value = declaration->value;

    if (is(name, "font-family"))
        style->family = assets_font_family(value, strings);
    else if (is(name, "font-weight"))
        style->weight = assets_font_weight(value);
    else if (is(name, "font-style"))
        style->slope = (uint8_t)read_slope(value);
    else if (is(name, "font"))
        read_shorthand(value, strings, style);
    else if (is(name, "all") || (is(name, "font-stretch") && !is(value, "normal")) ||
             (is(name, "font-width") && !is(value, "normal")))
        set_unknown(style);
    else if (hides(name, value))
        style->hidden = true;
    else
        return false;
    return true;
}

bool assets_font_style_read(struct span block, struct assets_strings *strings,
                            struct assets_font_style *normal, struct assets_font_style *important)
{
    struct assets_css_declaration declaration;
    bool any = false;

    while (assets_css_declaration(&block, &declaration))
        any = apply(&declaration, strings, declaration.important ? important : normal) || any;
    return any;
}

#include "policy/assets_tag.h"

#include "policy/assets_ascii.h"

#include <stdint.h>
#include <string.h>

static const char replacement[] = "\xEF\xBF\xBD";

/* A character as libxml2 takes it in a name; two names that differ only in others become one. */
static char name_character(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c) || c == '-' || c == ':' ? ascii_lower(c) : '_';
}

void assets_tag_begin(struct assets_tag *tag)
{
    tag->name_length = 0;
    tag->name[0] = '\0';
    tag->length = 0;
    tag->attributes = 0;
    tag->oversize = false;
}

void assets_tag_name(struct assets_tag *tag, char c)
{
    if (tag->name_length == ASSETS_TAG_NAME_MAX)
        return;
    tag->name[tag->name_length++] = name_character(c);
    tag->name[tag->name_length] = '\0';
}

static void put(struct assets_tag *tag, char c)
{
    if (tag->length < sizeof(tag->text))
        tag->text[tag->length++] = c;
    else
        tag->oversize = true;
}

static void put_text(struct assets_tag *tag, const char *text)
{
    for (; *text; text++)
        put(tag, *text);
}

void assets_tag_attribute_begin(struct assets_tag *tag, char c)
{
    if (++tag->attributes > ASSETS_ATTRIBUTES_MAX)
        tag->oversize = true;
    put_text(tag, ascii_is_alpha(c) ? " " : " _");
    put(tag, name_character(c));
}

void assets_tag_attribute(struct assets_tag *tag, char c)
{
    put(tag, name_character(c));
}

void assets_tag_value_begin(struct assets_tag *tag)
{
    put_text(tag, "=\"");
    tag->value_start = tag->length;
    tag->value_cut = false;
}

void assets_tag_value(struct assets_tag *tag, char c)
{
    if (tag->value_cut)
        return;
    if (tag->length - tag->value_start >= ASSETS_VALUE_MAX) {
        tag->value_cut = true;
        put_text(tag, replacement);
    } else if (c == '"') {
        put_text(tag, "&quot;");
    } else {
        put(tag, c);
    }
}

static int digit_value(char c, unsigned base)
{
    if (ascii_is_digit(c))
        return c - '0';
    return base == 16 && ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f' ? ascii_lower(c) - 'a' + 10
                                                                        : -1;
}

/* Is the reference "&#..." one that libxml2 and browsers decode alike? A NUL would cut the value.
 */
static bool reference_agreed(const char *text, size_t length)
{
    uint32_t value = 0;
    unsigned base = length > 2 && ascii_lower(text[2]) == 'x' ? 16 : 10;

    for (size_t i = base == 16 ? 3 : 2; i < length && digit_value(text[i], base) >= 0; i++)
        if (value < 0x110000)
            value = value * base + (uint32_t)digit_value(text[i], base);
    return (value >= ' ' && value < 0x7f) || (value >= 0xa0 && value < 0xd800) ||
           (value >= 0xe000 && value < 0xfffd);
}

void assets_tag_value_end(struct assets_tag *tag)
{
    char *value = tag->text + tag->value_start;
    size_t length = tag->length - tag->value_start;

    for (size_t i = 0; i + 3 <= length; i++)
        if (value[i] == '&' && value[i + 1] == '#' && !reference_agreed(value + i, length - i))
            memcpy(value + i, replacement, 3);
    put(tag, '"');
}

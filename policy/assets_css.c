#include "policy/assets_css.h"

#include "policy/assets_ascii.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || (unsigned char)c >= 0x80;
}

static bool at_comment(struct span text)
{
    return text.length >= 2 && text.data[0] == '/' && text.data[1] == '*';
}

static size_t comment_length(struct span text)
{
    const char *end = memmem(text.data + 2, text.length - 2, "*/", 2);

    return end ? (size_t)(end + 2 - text.data) : text.length;
}

/* The length of `text` without a comment at its end. */
static size_t before_comment(struct span text)
{
    for (size_t i = text.length - 2; i-- > 0;)
        if (text.data[i] == '/' && text.data[i + 1] == '*')
            return i;
    return text.length;
}

/* `text` without white space and comments around it. */
static struct span trim(struct span text)
{
    for (;;) {
        while (text.length && ascii_is_space(text.data[text.length - 1]))
            text.length--;
        size_t length = text.length;
        if (span_ends(text, SPAN_LITERAL("*/")))
            length = before_comment(text);
        if (length == text.length)
            break;
        text.length = length;
    }
    assets_css_skip_space(&text);
    return text;
}

/* The length of the string at the start of `text`; one that a newline breaks off ends there. */
static size_t string_length(struct span text)
{
    size_t i = 1;

    while (i < text.length && text.data[i] != text.data[0] && text.data[i] != '\n')
        i += text.data[i] == '\\' && i + 1 < text.length ? 2 : 1;
    return i < text.length ? i + 1 : text.length;
}

/* "url(" with no quote after it: its brackets and quotes mean nothing. */
static bool at_plain_url(struct span text)
{
    if ((text.data[0] != 'u' && text.data[0] != 'U') || text.length < 5 ||
        strncasecmp(text.data, "url(", 4) != 0)
        return false;
    text = span_after(text, 4);
    while (text.length && ascii_is_space(text.data[0]))
        text = span_after(text, 1);
    return text.length && text.data[0] != '"' && text.data[0] != '\'';
}

static size_t plain_url_length(struct span text)
{
    size_t i = 4;

    while (i < text.length && text.data[i] != ')')
        i += text.data[i] == '\\' && i + 1 < text.length ? 2 : 1;
    return i < text.length ? i + 1 : text.length;
}

/* The length of the token at the start of `text`, as far as it matters here. */
static size_t token_length(struct span text, bool after_word)
{
    char c = text.data[0];

    if (at_comment(text))
        return comment_length(text);
    if (c == '"' || c == '\'')
        return string_length(text);
    if (c == '\\')
        return text.length > 1 ? 2 : 1;
    if (!after_word && at_plain_url(text))
        return plain_url_length(text);
    return 1;
}

struct span assets_css_cut(struct span *text, const char *stops, char *stop)
{
    size_t i = 0;
    size_t depth = 0;
    bool after_word = false;

    *stop = '\0';
    while (i < text->length) {
        char c = text->data[i];
        if (is_word(c) && (after_word || (c != 'u' && c != 'U'))) {
            after_word = true; /* nothing begins or ends here; most of a stylesheet */
            i++;
            continue;
        }
        if (depth == 0 && c && strchr(stops, c)) {
            *stop = c;
            break;
        }
        if (c == '(' || c == '[' || c == '{')
            depth++;
        else if ((c == ')' || c == ']' || c == '}') && depth)
            depth--;
        size_t length = token_length(span_after(*text, i), after_word);
        after_word = length == 1 && is_word(c);
        i += length;
    }
    if (i > text->length)
        i = text->length;
    struct span item = span_make(text->data, i);
    *text = span_after(*text, *stop ? i + 1 : i);
    return trim(item);
}

void assets_css_skip_space(struct span *text)
{
    while (text->length) {
        if (ascii_is_space(text->data[0]))
            *text = span_after(*text, 1);
        else if (at_comment(*text))
            *text = span_after(*text, comment_length(*text));
        else
            return;
    }
}

static void important_cut(struct assets_css_declaration *declaration)
{
    struct span value = declaration->value;
    static const struct span word = SPAN_LITERAL("important");

    declaration->important = false;
    if (value.length <= word.length ||
        !span_equal_nocase(span_after(value, value.length - word.length), word))
        return;
    value = trim(span_make(value.data, value.length - word.length));
    if (value.length == 0 || value.data[value.length - 1] != '!')
        return;
    declaration->value = trim(span_make(value.data, value.length - 1));
    declaration->important = true;
}

bool assets_css_declaration(struct span *block, struct assets_css_declaration *declaration)
{
    while (block->length) {
        char stop;
        struct span item = assets_css_cut(block, ";{", &stop);
        if (stop == '{') {
            assets_css_cut(block, "}", &stop); /* a nested rule */
            continue;
        }
        size_t colon = span_find(item, ':');
        if (colon == item.length)
            continue;
        declaration->name = trim(span_make(item.data, colon));
        declaration->value = trim(span_after(item, colon + 1));
        important_cut(declaration);
        return true;
    }
    return false;
}

static size_t put_character(char *buffer, size_t length, size_t capacity, uint32_t c)
{
    unsigned char bytes[4];
    size_t count = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

    if (length + count > capacity)
        return capacity + 1;
    if (count == 1) {
        bytes[0] = (unsigned char)c;
    } else {
        for (size_t i = count - 1; i > 0; i--, c >>= 6)
            bytes[i] = (unsigned char)(0x80 | (c & 0x3f));
        bytes[0] = (unsigned char)((0xf00u >> count) | c);
    }
    memcpy(buffer + length, bytes, count);
    return length + count;
}

/* Reads the escape at the start of `*text`, which begins with a backslash. */
static size_t put_escape(struct span *text, char *buffer, size_t length, size_t capacity)
{
    uint32_t value = 0;
    size_t digits = 0;

    *text = span_after(*text, 1);
    while (digits < 6 && digits < text->length && ascii_hex(text->data[digits]) >= 0)
        value = value * 16 + (uint32_t)ascii_hex(text->data[digits++]);
    if (digits) {
        *text = span_after(*text, digits);
        if (text->length && ascii_is_space(text->data[0]))
            *text = span_after(*text, 1);
        bool none = value == 0 || value > 0x10ffff || (value >= 0xd800 && value < 0xe000);
        return put_character(buffer, length, capacity, none ? 0xfffd : value);
    }
    if (text->length == 0 || length >= capacity)
        return text->length == 0 ? length : capacity + 1;
    char c = text->data[0];
    *text = span_after(*text, 1);
    if (c == '\n')
        return length; /* a line continued */
    buffer[length] = c;
    return length + 1;
}

static size_t put_byte(struct span *text, char *buffer, size_t length, size_t capacity)
{
    if (length < capacity)
        buffer[length] = text->data[0];
    *text = span_after(*text, 1);
    return length < capacity ? length + 1 : capacity + 1;
}

static size_t read_string(struct span *text, char *buffer, size_t capacity)
{
    char quote = text->data[0];
    size_t length = 0;

    *text = span_after(*text, 1);
    while (text->length && text->data[0] != quote && text->data[0] != '\n')
        length = text->data[0] == '\\' ? put_escape(text, buffer, length, capacity)
                                       : put_byte(text, buffer, length, capacity);
    if (text->length)
        *text = span_after(*text, 1);
    return length <= capacity ? length : 0;
}

size_t assets_css_word(struct span *text, char *buffer, size_t capacity)
{
    size_t length = 0;

    if (text->length && (text->data[0] == '"' || text->data[0] == '\''))
        return read_string(text, buffer, capacity);
    while (text->length && (is_word(text->data[0]) || text->data[0] == '\\'))
        length = text->data[0] == '\\' ? put_escape(text, buffer, length, capacity)
                                       : put_byte(text, buffer, length, capacity);
    return length <= capacity ? length : 0;
}

static size_t read_plain_url(struct span *text, char *buffer, size_t capacity)
{
    size_t length = 0;

    while (text->length && text->data[0] != ')' && !ascii_is_space(text->data[0]))
        length = text->data[0] == '\\' ? put_escape(text, buffer, length, capacity)
                                       : put_byte(text, buffer, length, capacity);
    return length <= capacity ? length : 0;
}

size_t assets_css_url(struct span *text, bool strings, char *buffer, size_t capacity)
{
    char stop;

    assets_css_skip_space(text);
    if (text->length && (text->data[0] == '"' || text->data[0] == '\''))
        return strings ? read_string(text, buffer, capacity) : 0;
    if (text->length < 5 || strncasecmp(text->data, "url(", 4) != 0)
        return 0;
    bool plain = at_plain_url(*text);
    *text = span_after(*text, 4);
    while (text->length && ascii_is_space(text->data[0]))
        *text = span_after(*text, 1);
    size_t length = plain          ? read_plain_url(text, buffer, capacity)
                    : text->length ? read_string(text, buffer, capacity)
                                   : 0;
    struct span rest = assets_css_cut(text, ")", &stop);
    return rest.length == 0 && stop ? length : 0;
}

/* ---- rules ---- */

struct walk {
    const struct assets_css_visitor *visitor;
    bool imports; /* still allowed: nothing but imports, a charset and layer names came yet */
};

static enum assets_certainty least(enum assets_certainty a, enum assets_certainty b)
{
    return a < b ? a : b;
}

static void walk_rules(struct walk *walk, struct span text, enum assets_certainty applies,
                       unsigned depth);

static bool is_name(struct span name, const char *wanted)
{
    return span_equal_nocase(name, span_of(wanted));
}

/* Does the block at rule `name` with `prelude` hold rules, and do they apply? NO: pass over it. */
static enum assets_certainty group_applies(struct span name, struct span prelude)
{
    static const char *const conditional[] = {"supports", "layer",          "container",
                                              "scope",    "starting-style", "-moz-document"};

    if (is_name(name, "media"))
        return assets_media_match(prelude);
    for (size_t i = 0; i < sizeof(conditional) / sizeof(*conditional); i++)
        if (is_name(name, conditional[i]))
            return ASSETS_MAYBE;
    return ASSETS_NO;
}

/* Whatever is nested in a style rule, by selector or condition, may apply to any element. */
static void walk_nested(struct walk *walk, struct span block, unsigned depth)
{
    while (block.length && depth < ASSETS_CSS_DEPTH_MAX) {
        char stop;
        struct span prelude = assets_css_cut(&block, ";{", &stop);
        if (stop != '{')
            continue;
        struct span inner = assets_css_cut(&block, "}", &stop);
        if (span_starts(prelude, SPAN_LITERAL("--")))
            continue; /* a custom property's value */
        walk->visitor->rule(walk->visitor->context, SPAN_LITERAL("*"), inner, ASSETS_MAYBE);
        walk_nested(walk, inner, depth + 1);
    }
}

static void walk_statement(struct walk *walk, struct span name, struct span prelude,
                           enum assets_certainty applies)
{
    if (is_name(name, "import") && walk->imports)
        walk->visitor->import(walk->visitor->context, prelude, applies);
    else if (!is_name(name, "charset") && !is_name(name, "layer"))
        walk->imports = false;
}

static void walk_at_rule(struct walk *walk, struct span *text, enum assets_certainty applies,
                         unsigned depth)
{
    char stop;
    size_t length = 0;

    *text = span_after(*text, 1);
    while (length < text->length && is_word(text->data[length]))
        length++;
    struct span name = span_make(text->data, length);
    *text = span_after(*text, length);
    struct span prelude = assets_css_cut(text, ";{", &stop);
    if (stop != '{') {
        walk_statement(walk, name, prelude, applies);
        return;
    }
    struct span block = assets_css_cut(text, "}", &stop);
    walk->imports = false;
    if (is_name(name, "font-face"))
        walk->visitor->font_face(walk->visitor->context, block, applies);
    else
        walk_rules(walk, block, least(applies, group_applies(name, prelude)), depth + 1);
}

static void walk_style_rule(struct walk *walk, struct span *text, enum assets_certainty applies,
                            unsigned depth)
{
    char stop;
    struct span selectors = assets_css_cut(text, "{", &stop);

    walk->imports = false;
    if (!stop)
        return;
    struct span block = assets_css_cut(text, "}", &stop);
    walk->visitor->rule(walk->visitor->context, selectors, block, applies);
    if (span_find(block, '{') < block.length)
        walk_nested(walk, block, depth + 1);
}

static void walk_rules(struct walk *walk, struct span text, enum assets_certainty applies,
                       unsigned depth)
{
    if (applies == ASSETS_NO || depth > ASSETS_CSS_DEPTH_MAX)
        return;
    for (;;) {
        assets_css_skip_space(&text);
        if (text.length == 0)
            return;
        if (span_starts(text, SPAN_LITERAL("<!--")))
            text = span_after(text, 4);
        else if (span_starts(text, SPAN_LITERAL("-->")))
            text = span_after(text, 3);
        else if (text.data[0] == '@')
            walk_at_rule(walk, &text, applies, depth);
        else
            walk_style_rule(walk, &text, applies, depth);
    }
}

void assets_css_walk(struct span sheet, enum assets_certainty applies,
                     const struct assets_css_visitor *visitor)
{
    struct walk walk = {visitor, true};

    if (span_starts(sheet, SPAN_LITERAL("\xEF\xBB\xBF")))
        sheet = span_after(sheet, 3);
    walk_rules(&walk, sheet, applies, 0);
}

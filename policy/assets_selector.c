#include "policy/assets_selector.h"

#include "policy/assets_ascii.h"
#include "policy/assets_css.h"

#include <stddef.h>
#include <string.h>

#define NAME_BYTES_MAX 128
#define STEPS_MAX 1024 /* comparisons for one match; a longer search leaves it open */

struct reader {
    struct span text;
    struct assets_strings *strings;
    struct assets_selector *selector;
    uint32_t ids;
    uint32_t classes;
    uint32_t tags;
    bool open; /* a part that was not understood may count more than is known */
};

static uint16_t read_name(struct reader *reader, enum assets_name kind)
{
    char buffer[NAME_BYTES_MAX];
    size_t length = assets_css_word(&reader->text, buffer, sizeof(buffer));

    return assets_strings_number(reader->strings, kind, span_make(buffer, length));
}

/* A compound all of whose demands are too many to keep stays right, but open. */
static void add_name(struct reader *reader, struct assets_compound *compound, enum assets_name kind)
{
    uint16_t name = read_name(reader, kind);

    if (name == 0)
        compound->open = true;
    compound->filter |= assets_strings_bit(name);
    if (kind == ASSETS_NAME_TAG) {
        compound->tag = name;
        reader->tags++;
    } else if (kind == ASSETS_NAME_ID) {
        compound->open = compound->open || compound->id;
        compound->id = name;
        reader->ids++;
    } else {
        reader->classes++;
        if (compound->classes_count < ASSETS_COMPOUND_CLASSES_MAX)
            compound->classes[compound->classes_count++] = name;
        else
            compound->open = true;
    }
}

/* Those that the first levels of CSS wrote with one colon. */
static bool is_pseudo_element(struct span name)
{
    static const char *const names[] = {"before", "after", "first-line", "first-letter"};

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (span_equal_nocase(name, span_of(names[i])))
            return true;
    return false;
}

/* ":name" or ":name(...)". False for a pseudo-element. */
static bool add_pseudo(struct reader *reader, struct assets_compound *compound)
{
    char buffer[NAME_BYTES_MAX];
    char stop;

    reader->text = span_after(reader->text, 1);
    if (reader->text.length && reader->text.data[0] == ':')
        return false;
    struct span name = span_make(buffer, assets_css_word(&reader->text, buffer, sizeof(buffer)));
    if (is_pseudo_element(name))
        return false;
    reader->classes++;
    if (span_equal_nocase(name, SPAN_LITERAL("root"))) {
        compound->root = true;
        return true;
    }
    compound->open = true;
    if (reader->text.length && reader->text.data[0] == '(') {
        reader->text = span_after(reader->text, 1);
        assets_css_cut(&reader->text, ")", &stop);
        reader->open = true; /* its arguments' specificity is added */
    }
    return true;
}

/* A part that is not decided here; its first character is taken at least. */
static void add_open(struct reader *reader, struct assets_compound *compound)
{
    char stop;
    bool attribute = reader->text.data[0] == '[';

    reader->text = span_after(reader->text, 1);
    compound->open = true;
    if (attribute) {
        assets_css_cut(&reader->text, "]", &stop);
        reader->classes++;
    } else {
        reader->open = true;
        compound->tag = 0; /* "ns|name": the name that follows is read, the prefix is no tag */
        compound->filter = 0;
    }
}

static bool is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-' || c == '\\' ||
           (unsigned char)c >= 0x80;
}

static bool at_combinator(struct span text)
{
    return text.length == 0 || ascii_is_space(text.data[0]) || strchr(">+~", text.data[0]);
}

/* Reads a compound up to a combinator. False for a pseudo-element. */
static bool read_compound(struct reader *reader, struct assets_compound *compound)
{
    while (!at_combinator(reader->text)) {
        char c = reader->text.data[0];
        if (c == ':') {
            if (!add_pseudo(reader, compound))
                return false;
        } else if (c == '.' || c == '#') {
            reader->text = span_after(reader->text, 1);
            add_name(reader, compound, c == '.' ? ASSETS_NAME_CLASS : ASSETS_NAME_ID);
        } else if (c == '*') {
            reader->text = span_after(reader->text, 1);
        } else if (is_name_start(c)) {
            add_name(reader, compound, ASSETS_NAME_TAG);
        } else if (c == '/') {
            *compound = (struct assets_compound){.combinator = compound->combinator, .open = true};
            assets_css_skip_space(&reader->text); /* a comment, and perhaps a combinator */
            if (reader->text.length && reader->text.data[0] == '/')
                add_open(reader, compound);
        } else {
            add_open(reader, compound);
        }
    }
    return true;
}

/* Reads the white space and sign between two compounds; NONE at the end of the selector. */
static enum assets_combinator read_combinator(struct reader *reader)
{
    assets_css_skip_space(&reader->text);
    if (reader->text.length == 0)
        return COMBINATOR_NONE;
    char c = reader->text.data[0];
    if (!strchr(">+~", c))
        return COMBINATOR_DESCENDANT;
    reader->text = span_after(reader->text, 1);
    assets_css_skip_space(&reader->text);
    return c == '>' ? COMBINATOR_CHILD : COMBINATOR_OPEN;
}

/* Puts a compound in front as the new subject; the leftmost one makes room. */
static struct assets_compound *push_compound(struct assets_selector *selector,
                                             enum assets_combinator combinator)
{
    size_t kept = selector->count;

    if (kept == ASSETS_COMPOUNDS_MAX) {
        kept--;
        selector->compounds[kept - 1].combinator = COMBINATOR_OPEN;
    }
    memmove(selector->compounds + 1, selector->compounds, kept * sizeof(*selector->compounds));
    selector->compounds[0] = (struct assets_compound){.combinator = (uint8_t)combinator};
    selector->count = (uint8_t)(kept + 1);
    return &selector->compounds[0];
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

bool assets_selector_read(struct span text, struct assets_strings *strings,
                          struct assets_selector *selector)
{
    struct reader reader = {.text = text, .strings = strings, .selector = selector};
    enum assets_combinator combinator = COMBINATOR_NONE;

    *selector = (struct assets_selector){0};
    assets_css_skip_space(&reader.text);
    if (reader.text.length == 0)
        return false;
    do {
        struct assets_compound *compound = push_compound(selector, combinator);
        if (!read_compound(&reader, compound))
            return false;
        combinator = read_combinator(&reader);
    } while (combinator != COMBINATOR_NONE);
    selector->specificity = reader.open
                                ? ASSETS_SPECIFICITY_MAX
                                : least(reader.ids, 255) << 16 | least(reader.classes, 255) << 8 |
                                      least(reader.tags, 255);
    return true;
}

/* ---- matching ---- */

static bool has_class(const struct assets_outline *outline, const struct assets_element *element,
                      uint16_t name)
{
    for (uint16_t i = 0; i < element->classes; i++)
        if (outline->classes[element->classes_at + i] == name)
            return true;
    return false;
}

static enum assets_certainty match_compound(const struct assets_compound *compound,
                                            const struct assets_outline *outline,
                                            const struct assets_element *element)
{
    if ((compound->filter & ~element->filter) || (compound->tag && compound->tag != element->tag) ||
        (compound->id && compound->id != element->id) ||
        (compound->root && element->parent != ASSETS_NO_ELEMENT))
        return ASSETS_NO;
    for (uint8_t i = 0; i < compound->classes_count; i++)
        if (compound->classes[i] && !has_class(outline, element, compound->classes[i]))
            return ASSETS_NO;
    return compound->open ? ASSETS_MAYBE : ASSETS_YES;
}

struct search {
    const struct assets_selector *selector;
    const struct assets_outline *outline;
    unsigned steps;
};

static enum assets_certainty match_from(struct search *search, size_t index, uint16_t entry);

/* The best match of the compound at `index` among the ancestors of an element. */
static enum assets_certainty match_ancestors(struct search *search, size_t index, uint16_t parent,
                                             bool only_parent)
{
    enum assets_certainty best = ASSETS_NO;

    while (parent != ASSETS_NO_ELEMENT && best != ASSETS_YES) {
        enum assets_certainty match = match_from(search, index, parent);
        if (match > best)
            best = match;
        if (only_parent)
            break;
        parent = search->outline->elements[parent].parent;
    }
    return best;
}

static enum assets_certainty match_from(struct search *search, size_t index, uint16_t entry)
{
    const struct assets_compound *compound = &search->selector->compounds[index];
    const struct assets_element *element = &search->outline->elements[entry];

    if (++search->steps > STEPS_MAX)
        return ASSETS_MAYBE;
    enum assets_certainty match = match_compound(compound, search->outline, element);
    if (match == ASSETS_NO || compound->combinator == COMBINATOR_NONE)
        return match;
    if (compound->combinator == COMBINATOR_OPEN)
        return ASSETS_MAYBE;
    enum assets_certainty left = match_ancestors(search, index + 1, element->parent,
                                                 compound->combinator == COMBINATOR_CHILD);
    return left < match ? left : match;
}

enum assets_certainty assets_selector_match(const struct assets_selector *selector,
                                            const struct assets_outline *outline, uint16_t entry,
                                            unsigned *steps)
{
    struct search search = {selector, outline, 0};
    enum assets_certainty match = match_from(&search, 0, entry);

    *steps += search.steps;
    return match;
}

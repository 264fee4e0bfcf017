#include "policy/assets_outline.h"

#include "policy/assets_ascii.h"

#include <string.h>

#define SLOTS (2 * ASSETS_OUTLINE_MAX)

void assets_outline_init(struct assets_outline *outline, struct assets_strings *strings)
{
    memset(outline, 0, sizeof(*outline));
    outline->strings = strings;
}

/* Puts the class names behind those in use; they are taken over only with a new entry. */
static bool classes_read(struct assets_outline *outline, struct span list,
                         struct assets_element *element)
{
    element->classes_at = outline->classes_count;
    while (list.length) {
        size_t length = 0;
        while (length < list.length && !ascii_is_space(list.data[length]))
            length++;
        if (length) {
            size_t at = (size_t)element->classes_at + element->classes;
            if (at == ASSETS_CLASSES_MAX)
                return false;
            uint16_t name = assets_strings_number(outline->strings, ASSETS_NAME_CLASS,
                                                  span_make(list.data, length));
            outline->classes[at] = name;
            element->classes++;
            element->filter |= assets_strings_bit(name);
        }
        list = span_after(list, length < list.length ? length + 1 : length);
    }
    return true;
}

static bool same(const struct assets_outline *outline, const struct assets_element *a,
                 const struct assets_element *b)
{
    return a->parent == b->parent && a->tag == b->tag && a->id == b->id && a->hidden == b->hidden &&
           a->classes == b->classes && !a->styled && !b->styled &&
           memcmp(outline->classes + a->classes_at, outline->classes + b->classes_at,
                  a->classes * sizeof(*outline->classes)) == 0;
}

static uint32_t hash_of(const struct assets_outline *outline, const struct assets_element *element)
{
    uint32_t hash = 2166136261u;

    hash = (hash ^ element->parent) * 16777619u;
    hash = (hash ^ element->tag) * 16777619u;
    hash = (hash ^ element->id) * 16777619u;
    for (uint16_t i = 0; i < element->classes; i++)
        hash = (hash ^ outline->classes[element->classes_at + i]) * 16777619u;
    return hash;
}

/* The entry that equals `element`, a new one for it, or none when there is no room. */
static uint16_t entry_for(struct assets_outline *outline, const struct assets_element *element)
{
    uint32_t slot = hash_of(outline, element) % SLOTS;

    for (; outline->slots[slot]; slot = (slot + 1) % SLOTS) {
        uint16_t entry = (uint16_t)(outline->slots[slot] - 1);
        if (same(outline, &outline->elements[entry], element))
            return entry;
    }
    if (outline->count == ASSETS_OUTLINE_MAX)
        return ASSETS_NO_ELEMENT;
    uint16_t entry = outline->count++;
    outline->elements[entry] = *element;
    outline->classes_count = (uint16_t)(outline->classes_count + element->classes);
    outline->slots[slot] = (uint16_t)(entry + 1);
    return entry;
}

static uint16_t innermost(const struct assets_outline *outline)
{
    if (outline->depth == 0 || outline->depth > ASSETS_OUTLINE_DEPTH)
        return ASSETS_NO_ELEMENT;
    return outline->open[outline->depth - 1];
}

static uint16_t find_entry(struct assets_outline *outline, const struct assets_opening *opening)
{
    struct assets_element element = {.parent = innermost(outline), .hidden = opening->hidden};

    if (outline->depth > 0 && element.parent == ASSETS_NO_ELEMENT)
        return ASSETS_NO_ELEMENT; /* its ancestors aren't known */
    element.tag = assets_strings_number(outline->strings, ASSETS_NAME_TAG, opening->tag);
    element.id = assets_strings_number(outline->strings, ASSETS_NAME_ID, opening->id);
    element.filter = assets_strings_bit(element.tag) | assets_strings_bit(element.id);
    if (!classes_read(outline, opening->classes, &element))
        return ASSETS_NO_ELEMENT;
    if (opening->style.length) {
        element.styled = true;
        assets_font_style_read(opening->style, outline->strings, &element.style, &element.style);
    }
    return entry_for(outline, &element);
}

void assets_outline_open(struct assets_outline *outline, const struct assets_opening *opening)
{
    uint16_t entry = find_entry(outline, opening);

    if (outline->depth < ASSETS_OUTLINE_DEPTH)
        outline->open[outline->depth] = entry;
    outline->depth++;
}

void assets_outline_close(struct assets_outline *outline)
{
    if (outline->depth)
        outline->depth--;
}

void assets_outline_text(struct assets_outline *outline)
{
    uint16_t entry = innermost(outline);

    if (entry != ASSETS_NO_ELEMENT)
        outline->elements[entry].text = true;
}

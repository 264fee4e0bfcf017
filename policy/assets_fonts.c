#include "policy/assets_fonts.h"

#include "policy/assets_css.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Comparisons of elements with selectors; past it the elements that are left need no font. */
#define STEPS_MAX 500000

/* What browsers' own stylesheets say. Elements whose content is replaced, closed or their own are
 * hidden: whether their text is laid out isn't known here. */
static const struct {
    const char *tags;
    struct assets_font_style style;
} defaults[] = {
    {"b strong", {.weight = WEIGHT_BOLDER}},
    {"h1 h2 h3 h4 h5 h6 th", {.weight = 700}},
    {"i em cite var dfn address", {.slope = SLOPE_ITALIC}},
    {"font", {.family = FAMILY_UNKNOWN}},
    {"code pre kbd samp tt listing", {.family = FAMILY_SYSTEM}},
    {"input button textarea", {.family = FAMILY_SYSTEM, .weight = 400, .slope = SLOPE_NORMAL}},
    {"head title script style noscript datalist dialog details rp noframes noembed iframe video "
     "audio canvas object embed meter progress optgroup option param frameset",
     {.hidden = true}},
};

int assets_fonts_init(struct assets_fonts *fonts, struct assets_strings *strings)
{
    *fonts = (struct assets_fonts){.strings = strings};
    fonts->faces = calloc(ASSETS_FACES_MAX, sizeof(*fonts->faces));
    return fonts->faces ? 0 : -ENOMEM;
}

void assets_fonts_finish(struct assets_fonts *fonts)
{
    for (size_t i = 0; i < fonts->faces_count; i++)
        free(fonts->faces[i].path);
    free(fonts->faces);
    free(fonts->rules);
    *fonts = (struct assets_fonts){0};
}

int assets_fonts_add_face(struct assets_fonts *fonts, struct span block,
                          enum assets_certainty applies, uint16_t sheet,
                          const struct assets_url *page, const struct assets_url *base)
{
    if (fonts->faces_count == ASSETS_FACES_MAX) {
        fonts->unsure = true;
        return 0;
    }
    struct assets_font_face *face = &fonts->faces[fonts->faces_count];
    int rc = assets_font_face_read(block, fonts->strings, page, base, face);
    if (rc < 0) {
        free(face->path);
        return rc;
    }
    face->unsure = face->unsure || applies != ASSETS_YES;
    face->sheet = sheet;
    face->order = (uint32_t)fonts->faces_count++;
    return 0;
}

static int rule_add(struct assets_fonts *fonts, const struct assets_font_rule *rule)
{
    if (fonts->rules_count == ASSETS_RULES_MAX) {
        fonts->unsure = true;
        return 0;
    }
    if (fonts->rules_count == fonts->rules_capacity) {
        size_t capacity = fonts->rules_capacity ? 2 * fonts->rules_capacity : 64;
        void *rules = realloc(fonts->rules, capacity * sizeof(*fonts->rules));
        if (!rules)
            return -ENOMEM;
        fonts->rules = rules;
        fonts->rules_capacity = capacity;
    }
    fonts->rules[fonts->rules_count++] = *rule;
    return 0;
}

static bool says_nothing(const struct assets_font_style *style)
{
    return !style->family && !style->weight && !style->slope && !style->hidden;
}

int assets_fonts_add_rule(struct assets_fonts *fonts, struct span selectors, struct span block,
                          enum assets_certainty applies, uint16_t sheet)
{
    struct assets_font_style styles[2] = {{0}, {0}};
    int rc = 0;

    if (!assets_font_style_read(block, fonts->strings, &styles[0], &styles[1]))
        return 0;
    while (selectors.length && rc == 0) {
        char stop;
        struct assets_font_rule rule = {.applies = applies, .sheet = sheet};
        struct span selector = assets_css_cut(&selectors, ",", &stop);
        if (!assets_selector_read(selector, fonts->strings, &rule.selector))
            continue;
        if (applies == ASSETS_MAYBE)
            rule.selector.specificity = ASSETS_SPECIFICITY_MAX; /* in a layer, or nested */
        for (int important = 0; important < 2 && rc == 0; important++) {
            rule.style = styles[important];
            rule.important = important;
            rule.order = (uint32_t)fonts->rules_count;
            if (!says_nothing(&rule.style))
                rc = rule_add(fonts, &rule);
        }
    }
    return rc;
}

/* ---- the cascade ---- */

static int compare_rules(const void *left, const void *right)
{
    const struct assets_font_rule *a = left;
    const struct assets_font_rule *b = right;

    if (a->important != b->important)
        return a->important ? 1 : -1;
    if (a->selector.specificity != b->selector.specificity)
        return a->selector.specificity > b->selector.specificity ? 1 : -1;
    return (a->order > b->order) - (a->order < b->order);
}

static int compare_faces(const void *left, const void *right)
{
    const struct assets_font_face *a = left;
    const struct assets_font_face *b = right;

    return (a->order > b->order) - (a->order < b->order);
}

static void sort(struct assets_fonts *fonts, const uint16_t *ranks)
{
    for (size_t i = 0; i < fonts->rules_count; i++)
        fonts->rules[i].order |= (uint32_t)ranks[fonts->rules[i].sheet] << 16;
    for (size_t i = 0; i < fonts->faces_count; i++)
        fonts->faces[i].order |= (uint32_t)ranks[fonts->faces[i].sheet] << 16;
    if (fonts->rules_count)
        qsort(fonts->rules, fonts->rules_count, sizeof(*fonts->rules), compare_rules);
    qsort(fonts->faces, fonts->faces_count, sizeof(*fonts->faces), compare_faces);
}

/* A certain rule sets the value; one in doubt leaves it unknown unless it says the same. */
#define FOLD(property, unknown)                                      \
    do {                                                             \
        if (says->property && certainty == ASSETS_YES)               \
            into->property = says->property;                         \
        else if (says->property && says->property != into->property) \
            into->property = (unknown);                              \
    } while (0)

static void fold(struct assets_font_style *into, const struct assets_font_style *says,
                 enum assets_certainty certainty)
{
    FOLD(family, FAMILY_UNKNOWN);
    FOLD(weight, WEIGHT_UNKNOWN);
    FOLD(slope, SLOPE_UNKNOWN);
    into->hidden = into->hidden || says->hidden;
}

/* Which of `defaults` applies to a tag, plus one; by the tag's number. */
struct default_table {
    uint8_t by_tag[ASSETS_STRINGS_MAX + 1];
    uint16_t html;
    uint16_t body;
};

static uint16_t tag_number(const struct assets_fonts *fonts, struct span tag)
{
    return assets_strings_number(fonts->strings, ASSETS_NAME_TAG, tag);
}

static void default_table_init(struct default_table *table, const struct assets_fonts *fonts)
{
    memset(table, 0, sizeof(*table));
    for (size_t i = 0; i < sizeof(defaults) / sizeof(*defaults); i++) {
        struct span tags = span_of(defaults[i].tags);
        while (tags.length)
            table->by_tag[tag_number(fonts, span_next(&tags, ' '))] = (uint8_t)(i + 1);
    }
    table->html = tag_number(fonts, SPAN_LITERAL("html"));
    table->body = tag_number(fonts, SPAN_LITERAL("body"));
}

static uint16_t bolder(uint16_t weight)
{
    return weight < 350 ? 400 : weight < 550 ? 700 : 900;
}

static uint16_t lighter(uint16_t weight)
{
    return weight < 550 ? 100 : weight < 750 ? 400 : 700;
}

/* Turns what was said of an element into values, by those of its parent. */
static void inherit(struct assets_font_style *style, const struct assets_font_style *parent)
{
    if (style->family == FAMILY_UNSET || style->family == FAMILY_INHERIT)
        style->family = parent->family;
    if (style->slope == SLOPE_UNSET || style->slope == SLOPE_INHERIT)
        style->slope = parent->slope;
    if (style->weight == WEIGHT_UNSET || style->weight == WEIGHT_INHERIT)
        style->weight = parent->weight;
    else if (style->weight == WEIGHT_BOLDER || style->weight == WEIGHT_LIGHTER)
        style->weight = parent->weight > 1000            ? WEIGHT_UNKNOWN
                        : style->weight == WEIGHT_BOLDER ? bolder(parent->weight)
                                                         : lighter(parent->weight);
    style->hidden = style->hidden || parent->hidden;
}

/* The browsers' own rule for a tag. They differ on <b> unless it comes to 700. */
static struct assets_font_style default_style(const struct default_table *table, uint16_t tag,
                                              const struct assets_font_style *parent)
{
    uint8_t which = table->by_tag[tag];

    if (which == 0)
        return (struct assets_font_style){0};
    struct assets_font_style style = defaults[which - 1].style;
    if (style.weight == WEIGHT_BOLDER)
        style.weight = parent->weight >= 350 && parent->weight < 550 ? 700 : WEIGHT_UNKNOWN;
    return style;
}

struct cascade {
    const struct assets_fonts *fonts;
    const struct assets_outline *outline;
    unsigned steps; /* comparisons made */
};

/* Folds the rules from `first` on that are important, or those that aren't; returns the next. */
static size_t fold_rules(struct cascade *cascade, size_t first, bool important, uint16_t entry,
                         struct assets_font_style *style)
{
    const struct assets_fonts *fonts = cascade->fonts;
    bool styled = cascade->outline->elements[entry].styled;
    size_t i = first;

    for (; i < fonts->rules_count && fonts->rules[i].important == important; i++) {
        const struct assets_font_rule *rule = &fonts->rules[i];
        enum assets_certainty match =
            assets_selector_match(&rule->selector, cascade->outline, entry, &cascade->steps);
        if (match == ASSETS_NO)
            continue;
        if (important && styled)
            match = ASSETS_MAYBE; /* the style attribute may be important as well */
        fold(style, &rule->style, match < rule->applies ? match : rule->applies);
    }
    return i;
}

static void fold_all(struct cascade *cascade, uint16_t entry, struct assets_font_style *style)
{
    const struct assets_element *element = &cascade->outline->elements[entry];
    size_t important = fold_rules(cascade, 0, false, entry, style);

    if (element->styled)
        fold(style, &element->style, ASSETS_YES);
    fold_rules(cascade, important, true, entry, style);
}

/* Only what is written in the body of a complete document is where libxml2 says it is. */
static bool in_body(const struct default_table *table, const struct assets_outline *outline,
                    uint16_t entry)
{
    uint16_t below = ASSETS_NO_ELEMENT;

    while (outline->elements[entry].parent != ASSETS_NO_ELEMENT) {
        below = entry;
        entry = outline->elements[entry].parent;
    }
    return below != ASSETS_NO_ELEMENT && outline->elements[entry].tag == table->html &&
           outline->elements[below].tag == table->body;
}

/* The face that a text in this style needs, or NULL. */
static struct assets_font_face *face_for(struct assets_fonts *fonts,
                                         const struct assets_font_style *style)
{
    if (style->hidden || style->family == FAMILY_UNSET || style->family >= FAMILY_SYSTEM ||
        style->weight == 0 || style->weight > 1000 || style->slope > SLOPE_ITALIC)
        return NULL;
    return assets_font_face_choose(fonts->faces, fonts->faces_count, style->family, style->weight,
                                   style->slope);
}

void assets_fonts_choose(struct assets_fonts *fonts, const struct assets_outline *outline,
                         const uint16_t *ranks)
{
    static const struct assets_font_style initial = {
        .family = FAMILY_SYSTEM, .weight = 400, .slope = SLOPE_NORMAL};
    struct assets_font_style computed[ASSETS_OUTLINE_MAX];
    struct cascade cascade = {fonts, outline, 0};
    struct default_table table;

    default_table_init(&table, fonts);
    if (fonts->unsure || fonts->strings->full || fonts->faces_count == 0)
        return;
    sort(fonts, ranks);
    for (uint16_t entry = 0; entry < outline->count && cascade.steps < STEPS_MAX; entry++) {
        const struct assets_element *element = &outline->elements[entry];
        const struct assets_font_style *parent =
            element->parent == ASSETS_NO_ELEMENT ? &initial : &computed[element->parent];
        computed[entry] = default_style(&table, element->tag, parent);
        computed[entry].hidden = computed[entry].hidden || element->hidden;
        fold_all(&cascade, entry, &computed[entry]);
        inherit(&computed[entry], parent);
        struct assets_font_face *face = element->text && in_body(&table, outline, entry)
                                            ? face_for(fonts, &computed[entry])
                                            : NULL;
        if (face)
            face->needed = true;
    }
}

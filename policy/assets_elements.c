#include "policy/assets_elements.h"

#include "policy/assets_ascii.h"
#include "policy/assets_image.h"

#include <string.h>

#define TITLE_MAX 64

enum { REL_STYLESHEET = 1, REL_ALTERNATE = 2, REL_PRELOAD = 4, REL_MODULEPRELOAD = 8 };

static bool is(struct span text, const char *word)
{
    return span_equal_nocase(text, span_of(word));
}

struct span assets_attribute(assets_attributes attributes, const char *name)
{
    for (; attributes && attributes[0]; attributes += 2)
        if (strcmp(attributes[0], name) == 0)
            return span_of(attributes[1] ? attributes[1] : "");
    return span_make(NULL, 0);
}

static bool has(assets_attributes attributes, const char *name)
{
    return assets_attribute(attributes, name).data != NULL;
}

static bool has_word(assets_attributes attributes, const char *name, const char *wanted)
{
    struct span list = assets_attribute(attributes, name);

    while (list.length)
        if (is(ascii_word(&list), wanted))
            return true;
    return false;
}

/* The type of a "type" attribute, without its parameters. */
static struct span essence(struct span type)
{
    return ascii_trim(span_make(type.data, span_find(type, ';')));
}

static enum assets_priority priority_of(assets_attributes attributes)
{
    struct span value = assets_attribute(attributes, "fetchpriority");

    return is(value, "high")  ? ASSETS_PRIORITY_HIGH
           : is(value, "low") ? ASSETS_PRIORITY_LOW
                              : ASSETS_PRIORITY_AUTO;
}

static void reference_init(struct assets_reference *reference, enum asset_as as,
                           assets_attributes attributes)
{
    *reference = (struct assets_reference){
        .as = as,
        .priority = priority_of(attributes),
        .applies = ASSETS_YES,
        .crossorigin = has(attributes, "crossorigin"),
    };
}

/* Stylesheets with a title belong to sets; only the set of the first title is preferred. */
static bool title_preferred(struct span title, char title_set[TITLE_MAX])
{
    if (title.length == 0)
        return true;
    if (title_set[0])
        return span_equal(title, span_of(title_set));
    size_t length = title.length < TITLE_MAX ? title.length : TITLE_MAX - 1;
    memcpy(title_set, title.data, length);
    title_set[length] = '\0';
    return true;
}

static bool type_is_css(assets_attributes attributes)
{
    struct span type = essence(assets_attribute(attributes, "type"));

    return type.length == 0 || is(type, "text/css");
}

static bool link_stylesheet(assets_attributes attributes, bool in_head, char title_set[TITLE_MAX],
                            struct assets_reference *reference)
{
    enum assets_certainty applies = assets_media_match(assets_attribute(attributes, "media"));

    if (!type_is_css(attributes) || has(attributes, "disabled") ||
        !title_preferred(assets_attribute(attributes, "title"), title_set) || applies == ASSETS_NO)
        return false;
    reference_init(reference, AS_STYLE, attributes);
    reference->stylesheet = true;
    reference->applies = applies;
    reference->blocking = in_head && applies == ASSETS_YES;
    return true;
}

static bool is_script_type(struct span type)
{
    static const char *const types[] = {
        "text/javascript",          "application/javascript",   "application/ecmascript",
        "application/x-ecmascript", "application/x-javascript", "text/ecmascript",
        "text/x-ecmascript",        "text/x-javascript",        "text/jscript",
        "text/livescript",          "text/javascript1.0",       "text/javascript1.1",
        "text/javascript1.2",       "text/javascript1.3",       "text/javascript1.4",
        "text/javascript1.5"};

    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
        if (is(type, types[i]))
            return true;
    return false;
}

static bool is_font_type(struct span type)
{
    static const char *const types[] = {"font/woff2",
                                        "font/woff",
                                        "font/ttf",
                                        "font/otf",
                                        "application/font-woff",
                                        "application/font-woff2"};

    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
        if (is(type, types[i]))
            return true;
    return false;
}

/* Does a preload's `type` name something that every browser loads for this destination? */
static bool preload_type_usable(enum asset_as as, struct span type)
{
    type = essence(type);
    if (type.length == 0)
        return true;
    switch (as) {
    case AS_STYLE:
        return is(type, "text/css");
    case AS_SCRIPT:
        return is_script_type(type);
    case AS_FONT:
        return is_font_type(type);
    case AS_IMAGE:
        return assets_image_type(type) == ASSETS_YES;
    default:
        return false;
    }
}

static enum asset_as preload_destination(struct span as)
{
    static const struct {
        const char *name;
        enum asset_as as;
    } destinations[] = {{"style", AS_STYLE},
                        {"script", AS_SCRIPT},
                        {"font", AS_FONT},
                        {"image", AS_IMAGE},
                        {"fetch", AS_FETCH}};

    for (size_t i = 0; i < sizeof(destinations) / sizeof(*destinations); i++)
        if (is(as, destinations[i].name))
            return destinations[i].as;
    return AS_UNKNOWN;
}

static bool link_preload(assets_attributes attributes, struct assets_reference *reference,
                         struct span *url)
{
    enum asset_as as = preload_destination(assets_attribute(attributes, "as"));
    struct span srcset = assets_attribute(attributes, "imagesrcset");

    if (as == AS_UNKNOWN || !preload_type_usable(as, assets_attribute(attributes, "type")) ||
        assets_media_match(assets_attribute(attributes, "media")) != ASSETS_YES)
        return false;
    reference_init(reference, as, attributes);
    if (as == AS_IMAGE && srcset.length)
        return assets_image_choose(srcset, *url, url) == ASSETS_YES;
    return true;
}

static bool link_modulepreload(assets_attributes attributes, struct assets_reference *reference)
{
    struct span as = assets_attribute(attributes, "as");

    if ((as.length && !is(as, "script")) ||
        assets_media_match(assets_attribute(attributes, "media")) != ASSETS_YES)
        return false;
    reference_init(reference, AS_SCRIPT, attributes);
    reference->crossorigin = true;
    reference->module = true;
    return true;
}

static unsigned rel_of(struct span list)
{
    unsigned rel = 0;

    while (list.length) {
        struct span word = ascii_word(&list);
        rel |= is(word, "stylesheet")      ? REL_STYLESHEET
               : is(word, "alternate")     ? REL_ALTERNATE
               : is(word, "preload")       ? REL_PRELOAD
               : is(word, "modulepreload") ? REL_MODULEPRELOAD
                                           : 0u;
    }
    return rel;
}

bool assets_element_link(assets_attributes attributes, bool in_head, char title_set[TITLE_MAX],
                         struct assets_reference *reference, struct span *url)
{
    unsigned rel = rel_of(assets_attribute(attributes, "rel"));

    *url = assets_attribute(attributes, "href");
    if (rel & REL_STYLESHEET)
        return !(rel & REL_ALTERNATE) && link_stylesheet(attributes, in_head, title_set, reference);
    if (rel & REL_PRELOAD)
        return link_preload(attributes, reference, url);
    return rel & REL_MODULEPRELOAD && link_modulepreload(attributes, reference);
}

/* The old way to write a script for an event, which browsers still honour by not running others. */
static bool is_for_event(assets_attributes attributes)
{
    return has(attributes, "for") && has(attributes, "event");
}

bool assets_element_script(assets_attributes attributes, bool in_head,
                           struct assets_reference *reference, struct span *url)
{
    struct span type = assets_attribute(attributes, "type");
    struct span language = assets_attribute(attributes, "language");
    bool module = is(ascii_trim(type), "module");

    *url = assets_attribute(attributes, "src");
    if (url->length == 0)
        return false;
    if (!module && (has(attributes, "nomodule") || is_for_event(attributes)))
        return false;
    if (!module && type.data && type.length && !is_script_type(ascii_trim(type)))
        return false;
    if (!type.data && language.length && !is(language, "javascript"))
        return false;
    reference_init(reference, AS_SCRIPT, attributes);
    reference->module = module;
    reference->crossorigin = reference->crossorigin || module;
    reference->blocking =
        (in_head && !module && !has(attributes, "async") && !has(attributes, "defer")) ||
        (in_head && has_word(attributes, "blocking", "render"));
    return true;
}

bool assets_element_input(assets_attributes attributes, struct assets_reference *reference,
                          struct span *url)
{
    *url = assets_attribute(attributes, "src");
    if (!is(assets_attribute(attributes, "type"), "image"))
        return false;
    reference_init(reference, AS_IMAGE, attributes);
    reference->crossorigin = false;
    return true;
}

void assets_element_source(assets_attributes attributes, struct assets_picture *picture)
{
    struct span srcset = assets_attribute(attributes, "srcset");
    enum assets_certainty media = assets_media_match(assets_attribute(attributes, "media"));
    enum assets_certainty type = assets_image_type(assets_attribute(attributes, "type"));
    struct span url = {NULL, 0};

    if (picture->choice != PICTURE_NONE || media == ASSETS_NO || type == ASSETS_NO)
        return;
    enum assets_certainty choice = assets_image_choose(srcset, span_make(NULL, 0), &url);
    if (choice == ASSETS_NO)
        return; /* without candidates a source is passed over */
    picture->choice = PICTURE_OPEN;
    if (media != ASSETS_YES || type != ASSETS_YES || choice != ASSETS_YES ||
        url.length >= sizeof(picture->url))
        return;
    memcpy(picture->url, url.data, url.length);
    picture->url[url.length] = '\0';
    picture->choice = PICTURE_CHOSEN;
}

bool assets_element_image(assets_attributes attributes, const struct assets_picture *picture,
                          struct assets_reference *reference, struct span *url)
{
    if (is(assets_attribute(attributes, "loading"), "lazy") ||
        (picture && picture->choice == PICTURE_OPEN))
        return false;
    reference_init(reference, AS_IMAGE, attributes);
    if (picture && picture->choice == PICTURE_CHOSEN) {
        *url = span_of(picture->url);
        return true;
    }
    return assets_image_choose(assets_attribute(attributes, "srcset"),
                               assets_attribute(attributes, "src"), url) == ASSETS_YES;
}

enum assets_certainty assets_element_style(assets_attributes attributes, char title_set[TITLE_MAX])
{
    struct span type = assets_attribute(attributes, "type");

    if ((type.length && !is(type, "text/css")) ||
        !title_preferred(assets_attribute(attributes, "title"), title_set))
        return ASSETS_NO;
    return assets_media_match(assets_attribute(attributes, "media"));
}

#include "policy/assets_markup.h"

#include "policy/assets_ascii.h"

#include <string.h>

enum {
    DATA,
    TAG_OPEN,
    END_TAG_OPEN,
    TAG_NAME,
    BEFORE_ATTRIBUTE,
    ATTRIBUTE_NAME,
    AFTER_ATTRIBUTE_NAME,
    BEFORE_VALUE,
    VALUE_DOUBLE,
    VALUE_SINGLE,
    VALUE_UNQUOTED,
    AFTER_VALUE,
    SELF_CLOSING,
    DECLARATION,
    BOGUS_COMMENT,
    DOCTYPE,
    COMMENT_START,
    COMMENT_START_DASH,
    COMMENT,
    COMMENT_END_DASH,
    COMMENT_END,
    COMMENT_END_BANG,
    CDATA,
    RAW,
    RAW_WORD,
    PLAINTEXT
};

static const char *const raw_elements[] = {"script", "style",   "title",    "textarea", "xmp",
                                           "iframe", "noembed", "noframes", "noscript", NULL};

static bool listed(const char *const *list, const char *name)
{
    for (; *list; list++)
        if ((*list)[0] == name[0] && strcmp(*list, name) == 0)
            return true;
    return false;
}

void assets_markup_init(struct assets_markup *markup, const struct assets_markup_visitor *visitor)
{
    memset(markup, 0, sizeof(*markup));
    markup->visitor = *visitor;
    markup->state = DATA;
}

static void style_flush(struct assets_markup *markup)
{
    if (markup->style_length)
        markup->visitor.style(markup->visitor.context,
                              span_make(markup->style, markup->style_length));
    markup->style_length = 0;
}

static void style_put(struct assets_markup *markup, char c)
{
    if (markup->style_length == sizeof(markup->style))
        style_flush(markup);
    markup->style[markup->style_length++] = c;
}

/* ---- tags ---- */

static void tag_begin(struct assets_markup *markup, bool end_tag)
{
    assets_tag_begin(&markup->tag);
    markup->end_tag = end_tag;
    markup->self_closing = false;
    markup->state = TAG_NAME;
}

static void value_begin(struct assets_markup *markup, int state)
{
    assets_tag_value_begin(&markup->tag);
    markup->state = state;
}

static void tell_start(struct assets_markup *markup)
{
    markup->text_told = false;
    markup->visitor.start(markup->visitor.context, &markup->tag);
}

static void tell_end(struct assets_markup *markup)
{
    markup->text_told = false;
    markup->visitor.end(markup->visitor.context, markup->tag.name);
}

/* An element whose content is dropped is told as an empty one; a template isn't told at all. */
static void inert_begin(struct assets_markup *markup, enum assets_markup_inert inert)
{
    if (inert != MARKUP_TEMPLATE) {
        tell_start(markup);
        tell_end(markup);
    }
    if (inert == MARKUP_FOREIGN && markup->self_closing)
        return;
    markup->inert = inert;
    markup->inert_depth = 1;
    memcpy(markup->inert_name, markup->tag.name, sizeof(markup->inert_name));
}

/* A tag within something inert: only the one that ends it counts. */
static void inert_tag(struct assets_markup *markup)
{
    const char *name = markup->tag.name;
    bool same = strcmp(name, markup->inert_name) == 0;

    if (markup->inert == MARKUP_SELECT) {
        if (same ||
            (!markup->end_tag && (strcmp(name, "input") == 0 || strcmp(name, "textarea") == 0)))
            markup->inert = MARKUP_LIVE;
    } else if (same && markup->end_tag) {
        if (--markup->inert_depth == 0)
            markup->inert = MARKUP_LIVE;
    } else if (same && !(markup->inert == MARKUP_FOREIGN && markup->self_closing)) {
        markup->inert_depth++;
    }
}

static enum assets_markup_inert inert_of(const struct assets_markup *markup)
{
    if (strcmp(markup->tag.name, "template") == 0)
        return MARKUP_TEMPLATE;
    if (strcmp(markup->tag.name, "select") == 0)
        return MARKUP_SELECT;
    if (strcmp(markup->tag.name, "svg") == 0 || strcmp(markup->tag.name, "math") == 0)
        return MARKUP_FOREIGN;
    return MARKUP_LIVE;
}

static void raw_begin(struct assets_markup *markup)
{
    memcpy(markup->raw, markup->tag.name, sizeof(markup->raw));
    markup->raw_kept = markup->inert == MARKUP_LIVE && strcmp(markup->tag.name, "style") == 0;
    markup->script_mode = 0;
    markup->dashes = 0;
    markup->state = RAW;
}

static void start_tag(struct assets_markup *markup)
{
    enum assets_markup_inert inert = inert_of(markup);

    if (markup->inert != MARKUP_LIVE)
        inert_tag(markup);
    else if (inert != MARKUP_LIVE)
        inert_begin(markup, inert);
    else
        tell_start(markup);
    if (markup->inert == MARKUP_FOREIGN)
        return;
    if (strcmp(markup->tag.name, "plaintext") == 0)
        markup->state = PLAINTEXT;
    else if (listed(raw_elements, markup->tag.name))
        raw_begin(markup);
}

static void tag_end(struct assets_markup *markup)
{
    markup->state = DATA;
    markup->in_content = true;
    if (!markup->end_tag)
        start_tag(markup);
    else if (markup->inert != MARKUP_LIVE)
        inert_tag(markup);
    else if (strcmp(markup->tag.name, "body") != 0 && strcmp(markup->tag.name, "html") != 0)
        tell_end(markup); /* what follows </body> is in the body all the same */
}

static void step(struct assets_markup *markup, char c);

static void again(struct assets_markup *markup, int state, char c)
{
    markup->state = state;
    step(markup, c);
}

/* The states between a tag's name and its end where no name or value is open. */
static void tag_step(struct assets_markup *markup, char c)
{
    if (c == '>')
        tag_end(markup);
    else if (c == '/')
        markup->state = SELF_CLOSING;
    else if (ascii_is_space(c))
        markup->state = markup->state == ATTRIBUTE_NAME || markup->state == AFTER_ATTRIBUTE_NAME
                            ? AFTER_ATTRIBUTE_NAME
                            : BEFORE_ATTRIBUTE;
    else if (c == '=' && (markup->state == ATTRIBUTE_NAME || markup->state == AFTER_ATTRIBUTE_NAME))
        markup->state = BEFORE_VALUE;
    else if (markup->state == TAG_NAME)
        assets_tag_name(&markup->tag, c);
    else if (markup->state == ATTRIBUTE_NAME)
        assets_tag_attribute(&markup->tag, c);
    else {
        assets_tag_attribute_begin(&markup->tag, c);
        markup->state = ATTRIBUTE_NAME;
    }
}

static void self_closing_step(struct assets_markup *markup, char c)
{
    if (c == '>') {
        markup->self_closing = true;
        tag_end(markup);
    } else {
        again(markup, BEFORE_ATTRIBUTE, c);
    }
}

static void before_value_step(struct assets_markup *markup, char c)
{
    if (ascii_is_space(c))
        return;
    if (c == '>') {
        tag_end(markup);
    } else if (c == '"') {
        value_begin(markup, VALUE_DOUBLE);
    } else if (c == '\'') {
        value_begin(markup, VALUE_SINGLE);
    } else {
        value_begin(markup, VALUE_UNQUOTED);
        step(markup, c);
    }
}

static void value_step(struct assets_markup *markup, char c)
{
    bool unquoted = markup->state == VALUE_UNQUOTED;

    if (unquoted && (ascii_is_space(c) || c == '>')) {
        assets_tag_value_end(&markup->tag);
        again(markup, BEFORE_ATTRIBUTE, c);
    } else if (!unquoted && c == (markup->state == VALUE_DOUBLE ? '"' : '\'')) {
        assets_tag_value_end(&markup->tag);
        markup->state = AFTER_VALUE;
    } else {
        assets_tag_value(&markup->tag, c);
    }
}

/* ---- text ---- */

/* Letters of a character reference ("&nbsp;") are not taken for text. */
static void data_step(struct assets_markup *markup, char c)
{
    bool word = ascii_is_alpha(c) || ascii_is_digit(c);

    if (c == '<') {
        markup->in_reference = false;
        markup->state = TAG_OPEN;
        return;
    }
    if (!ascii_is_space(c))
        markup->in_content = true;
    if (c == '&' || (markup->in_reference && (word || c == '#'))) {
        markup->in_reference = true;
        return;
    }
    markup->in_reference = false;
    if (word && !markup->text_told && markup->inert == MARKUP_LIVE) {
        markup->text_told = true;
        markup->visitor.text(markup->visitor.context);
    }
}

static void tag_open_step(struct assets_markup *markup, char c)
{
    if (c == '!') {
        markup->word_length = 0;
        markup->state = DECLARATION;
    } else if (c == '/') {
        markup->state = END_TAG_OPEN;
    } else if (c == '?') {
        markup->state = BOGUS_COMMENT;
    } else if (ascii_is_alpha(c)) {
        tag_begin(markup, false);
        assets_tag_name(&markup->tag, c);
    } else {
        again(markup, DATA, c);
    }
}

static void end_tag_open_step(struct assets_markup *markup, char c)
{
    if (ascii_is_alpha(c)) {
        tag_begin(markup, true);
        assets_tag_name(&markup->tag, c);
    } else if (c == '>') {
        markup->state = DATA;
    } else {
        markup->state = BOGUS_COMMENT;
    }
}

static bool word_is(const struct assets_markup *markup, struct span text)
{
    return span_equal_nocase(span_make(markup->word, markup->word_length), text);
}

static bool word_begins(const struct assets_markup *markup, struct span text)
{
    return span_starts(text, span_make(markup->word, markup->word_length));
}

static void declaration_step(struct assets_markup *markup, char c)
{
    static const struct span comment = SPAN_LITERAL("--");
    static const struct span doctype = SPAN_LITERAL("doctype");
    static const struct span cdata = SPAN_LITERAL("[cdata[");

    if (c == '>') {
        markup->state = DATA;
        return;
    }
    markup->word[markup->word_length++] = ascii_lower(c);
    if (word_is(markup, comment)) {
        markup->state = COMMENT_START;
    } else if (word_is(markup, doctype)) {
        markup->word_length = 0;
        markup->state = DOCTYPE;
    } else if (word_is(markup, cdata) && markup->inert == MARKUP_FOREIGN) {
        markup->dashes = 0;
        markup->state = CDATA;
    } else if (word_is(markup, cdata) ||
               (!word_begins(markup, comment) && !word_begins(markup, doctype) &&
                !word_begins(markup, cdata))) {
        markup->state = BOGUS_COMMENT;
    }
}

static void doctype_step(struct assets_markup *markup, char c)
{
    if (c != '>') {
        if (!ascii_is_space(c) && markup->word_length < sizeof(markup->word))
            markup->word[markup->word_length++] = ascii_lower(c);
        return;
    }
    if (!markup->in_content)
        markup->html_doctype = word_is(markup, SPAN_LITERAL("html"));
    markup->in_content = true;
    markup->state = DATA;
}

/* Where the states of a comment lead on "-", ">", "!" and anything else. */
static const int comment_next[][4] = {
    [COMMENT_START] = {COMMENT_START_DASH, DATA, COMMENT, COMMENT},
    [COMMENT_START_DASH] = {COMMENT_END, DATA, COMMENT, COMMENT},
    [COMMENT] = {COMMENT_END_DASH, COMMENT, COMMENT, COMMENT},
    [COMMENT_END_DASH] = {COMMENT_END, COMMENT, COMMENT, COMMENT},
    [COMMENT_END] = {COMMENT_END, DATA, COMMENT_END_BANG, COMMENT},
    [COMMENT_END_BANG] = {COMMENT_END_DASH, DATA, COMMENT, COMMENT},
};

static void comment_step(struct assets_markup *markup, char c)
{
    int column = c == '-' ? 0 : c == '>' ? 1 : c == '!' ? 2 : 3;

    markup->state = comment_next[markup->state][column];
}

/* "]]>" ends it; `dashes` counts the brackets. */
static void cdata_step(struct assets_markup *markup, char c)
{
    if (c == '>' && markup->dashes >= 2)
        markup->state = DATA;
    markup->dashes = c == ']' ? markup->dashes + 1 : 0;
}

/* ---- raw text ---- */

static void raw_step(struct assets_markup *markup, char c)
{
    if (c == '<') {
        markup->word_length = 0;
        markup->dashes = 0;
        markup->state = RAW_WORD;
        return;
    }
    if (c == '>' && markup->dashes >= 2)
        markup->script_mode = 0; /* "-->" */
    markup->dashes = c == '-' ? markup->dashes + 1 : 0;
    if (markup->raw_kept)
        style_put(markup, c);
}

/* The word was not the end of the element. */
static void raw_word_keep(struct assets_markup *markup)
{
    if (!markup->raw_kept)
        return;
    style_put(markup, '<');
    for (size_t i = 0; i < markup->word_length; i++)
        style_put(markup, markup->word[i]);
}

static bool raw_word_ends_element(const struct assets_markup *markup)
{
    return markup->word_length > 0 && markup->word[0] == '/' &&
           span_equal_nocase(span_make(markup->word + 1, markup->word_length - 1),
                             span_of(markup->raw));
}

/* Collects what follows "<" in raw text: "/name", "!--" or, in a script, "script". */
static void raw_word_step(struct assets_markup *markup, char c)
{
    bool first = markup->word_length == 0;
    bool script = strcmp(markup->raw, "script") == 0;
    bool boundary = ascii_is_space(c) || c == '/' || c == '>';

    if (markup->word_length < sizeof(markup->word) &&
        (ascii_is_alpha(c) || (first && (c == '/' || c == '!')) ||
         (!first && markup->word[0] == '!' && c == '-'))) {
        markup->word[markup->word_length++] = c;
        if (!word_is(markup, SPAN_LITERAL("!--")))
            return;
        if (script && markup->script_mode == 0)
            markup->script_mode = 1;
        raw_word_keep(markup);
        markup->dashes = 2;
        markup->state = RAW;
        return;
    }
    if (boundary && raw_word_ends_element(markup) && markup->script_mode != 2) {
        style_flush(markup);
        tag_begin(markup, true);
        for (const char *name = markup->raw; *name; name++)
            assets_tag_name(&markup->tag, *name);
        tag_step(markup, c);
        return;
    }
    if (boundary && markup->script_mode == 2 && raw_word_ends_element(markup))
        markup->script_mode = 1;
    else if (boundary && markup->script_mode == 1 && word_is(markup, SPAN_LITERAL("script")))
        markup->script_mode = 2;
    raw_word_keep(markup);
    again(markup, RAW, c);
}

static void step(struct assets_markup *markup, char c)
{
    switch (markup->state) {
    case DATA:
        data_step(markup, c);
        break;
    case TAG_OPEN:
        tag_open_step(markup, c);
        break;
    case END_TAG_OPEN:
        end_tag_open_step(markup, c);
        break;
    case SELF_CLOSING:
        self_closing_step(markup, c);
        break;
    case BEFORE_VALUE:
        before_value_step(markup, c);
        break;
    case VALUE_DOUBLE:
    case VALUE_SINGLE:
    case VALUE_UNQUOTED:
        value_step(markup, c);
        break;
    case DECLARATION:
        declaration_step(markup, c);
        break;
    case DOCTYPE:
        doctype_step(markup, c);
        break;
    case BOGUS_COMMENT:
        markup->state = c == '>' ? DATA : BOGUS_COMMENT;
        break;
    case CDATA:
        cdata_step(markup, c);
        break;
    case RAW:
        raw_step(markup, c);
        break;
    case RAW_WORD:
        raw_word_step(markup, c);
        break;
    case PLAINTEXT:
        break;
    default:
        if (markup->state >= COMMENT_START && markup->state <= COMMENT_END_BANG)
            comment_step(markup, c);
        else
            tag_step(markup, c);
    }
}

static void step_byte(void *context, char c)
{
    step(context, c);
}

void assets_markup_feed(struct assets_markup *markup, struct span html)
{
    assets_utf8_feed(&markup->utf8, html, step_byte, markup);
    style_flush(markup);
}

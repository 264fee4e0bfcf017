#include "policy/assets_media.h"

#include "policy/assets_ascii.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Cuts the next word off `*text`; a word ends at a space or a parenthesis. */
static struct span next_word(struct span *text)
{
    size_t length = 0;

    *text = ascii_trim(*text);
    while (length < text->length && !ascii_is_space(text->data[length]) &&
           text->data[length] != '(')
        length++;
    struct span word = span_make(text->data, length);
    *text = ascii_trim(span_after(*text, length));
    return word;
}

/* The length of the first item of a list: commas within parentheses don't count. */
static size_t item_length(struct span list)
{
    int depth = 0;
    size_t i = 0;

    for (; i < list.length; i++) {
        if (list.data[i] == '(')
            depth++;
        else if (list.data[i] == ')')
            depth--;
        else if (list.data[i] == ',' && depth <= 0)
            break;
    }
    return i;
}

static enum assets_certainty match_type(struct span type)
{
    if (span_equal_nocase(type, SPAN_LITERAL("all")) ||
        span_equal_nocase(type, SPAN_LITERAL("screen")))
        return ASSETS_YES;
    return ASSETS_NO;
}

/* One query: [only | not] type [and (feature)]... | a condition, which is never certain. */
static enum assets_certainty match_query(struct span query)
{
    bool negated = false;
    struct span rest = ascii_trim(query);

    if (rest.length == 0 || rest.data[0] == '(')
        return ASSETS_MAYBE;
    struct span word = next_word(&rest);
    if (span_equal_nocase(word, SPAN_LITERAL("not"))) {
        negated = true;
        word = next_word(&rest);
    } else if (span_equal_nocase(word, SPAN_LITERAL("only"))) {
        word = next_word(&rest);
    }
    if (word.length == 0)
        return ASSETS_MAYBE; /* "not (feature)" */
    enum assets_certainty match = match_type(word);
    if (rest.length && match == ASSETS_YES)
        match = ASSETS_MAYBE;
    if (!negated)
        return match;
    return match == ASSETS_NO ? ASSETS_YES : match == ASSETS_YES ? ASSETS_NO : ASSETS_MAYBE;
}

enum assets_certainty assets_media_match(struct span list)
{
    enum assets_certainty best = ASSETS_NO;

    list = ascii_trim(list);
    if (list.length == 0)
        return ASSETS_YES;
    if (memmem(list.data, list.length, "/*", 2))
        return ASSETS_MAYBE;
    while (list.length) {
        size_t length = item_length(list);
        enum assets_certainty match = match_query(span_make(list.data, length));
        if (match > best)
            best = match;
        list = span_after(list, length < list.length ? length + 1 : length);
    }
    return best;
}

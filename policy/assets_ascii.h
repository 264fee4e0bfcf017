/* ASCII as HTML and CSS see it: form feed is white space, vertical tab isn't; no locale. */
#ifndef HERALD_ASSETS_ASCII_H
#define HERALD_ASSETS_ASCII_H

#include "master/handoff/span.h"

#include <stdbool.h>

static inline bool ascii_is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

static inline bool ascii_is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline bool ascii_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* The value of a hexadecimal digit, or -1. */
static inline int ascii_hex(char c)
{
    return ascii_is_digit(c)      ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static inline struct span ascii_trim(struct span text)
{
    while (text.length && ascii_is_space(text.data[0]))
        text = span_after(text, 1);
    while (text.length && ascii_is_space(text.data[text.length - 1]))
        text.length--;
    return text;
}

/* Cuts the next word off `*text`: what stands before white space. Empty at the end. */
static inline struct span ascii_word(struct span *text)
{
    size_t length = 0;

    while (text->length && ascii_is_space(text->data[0]))
        *text = span_after(*text, 1);
    while (length < text->length && !ascii_is_space(text->data[length]))
        length++;
    struct span word = span_make(text->data, length);
    *text = span_after(*text, length);
    return word;
}

#endif

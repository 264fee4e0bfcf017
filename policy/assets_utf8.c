#include "policy/assets_utf8.h"

#include <stdbool.h>

struct taker {
    void (*take)(void *context, char c);
    void *context;
};

static void take_replacement(const struct taker *taker)
{
    taker->take(taker->context, '\xEF');
    taker->take(taker->context, '\xBF');
    taker->take(taker->context, '\xBD');
}

static size_t length_of(unsigned char first)
{
    return first >= 0xc2 && first <= 0xdf   ? 2
           : first >= 0xe0 && first <= 0xef ? 3
           : first >= 0xf0 && first <= 0xf4 ? 4
                                            : 0;
}

/* May `c` continue the sequence begun? Overlong forms, surrogates and what lies above 10FFFF don't
 * exist (RFC 3629 section 4). */
static bool continues(const struct assets_utf8 *utf8, unsigned char c)
{
    unsigned char first = utf8->sequence[0];
    unsigned char least = 0x80;
    unsigned char most = 0xbf;

    if (utf8->length == 1) {
        least = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
        most = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    }
    return c >= least && c <= most;
}

static void feed_high(struct assets_utf8 *utf8, unsigned char c, const struct taker *taker)
{
    if (utf8->wanted && continues(utf8, c)) {
        utf8->sequence[utf8->length++] = c;
        if (utf8->length < utf8->wanted)
            return;
        for (size_t i = 0; i < utf8->length; i++)
            taker->take(taker->context, (char)utf8->sequence[i]);
        utf8->wanted = 0;
        return;
    }
    if (utf8->wanted)
        take_replacement(taker);
    utf8->wanted = length_of(c);
    utf8->sequence[0] = c;
    utf8->length = 1;
    if (!utf8->wanted)
        take_replacement(taker);
}

void assets_utf8_feed(struct assets_utf8 *utf8, struct span text,
                      void (*take)(void *context, char c), void *context)
{
    struct taker taker = {take, context};

    for (size_t i = 0; i < text.length; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c >= 0x80) {
            feed_high(utf8, c, &taker);
            continue;
        }
        if (utf8->wanted)
            take_replacement(&taker);
        utf8->wanted = 0;
        if (c)
            take(context, (char)c);
        else
            take_replacement(&taker);
    }
}

#include "worker/authority.h"

#include <ctype.h>

/* Those that may not be in it, besides blanks, control bytes and what is not ASCII. */
static const bool FORBIDDEN[128] = {['@'] = true, ['/'] = true, ['\\'] = true, ['?'] = true,
                                    ['#'] = true, ['<'] = true, ['>'] = true,  ['"'] = true,
                                    ['{'] = true, ['}'] = true, ['|'] = true,  ['^'] = true,
                                    ['`'] = true, ['%'] = true};

bool authority_is_sound(struct span text)
{
    for (size_t i = 0; i < text.length; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c <= 0x20 || c >= 0x7f || FORBIDDEN[c])
            return false;
    }
    return text.length > 0;
}

struct span authority_host(struct span text, char *out)
{
    size_t end = text.length && text.data[0] == '[' ? span_find(text, ']') + 1
                                                    : span_find(text, ':');
    size_t length = end < text.length ? end : text.length;
    for (size_t i = 0; i < length; i++)
        out[i] = (char)tolower((unsigned char)text.data[i]);
    return span_make(out, length);
}

/* The last bytes, the port's among them, differ most. */
static size_t place_of(struct span text)
{
    size_t hash = text.length;
    for (size_t i = text.length < 8 ? 0 : text.length - 8; i < text.length; i++)
        hash = hash * 31 + (unsigned char)text.data[i];
    return hash % AUTHORITIES;
}

const struct authority *authority_find(struct authorities *authorities,
                                       const struct config *config, struct span text)
{
    if (text.length == 0 || text.length > AUTHORITY_MAX)
        return NULL;
    struct authority *authority = &authorities->places[place_of(text)];
    if (span_equal(text, span_make(authority->text, authority->length)))
        return authority;
    if (!authority_is_sound(text))
        return NULL;
    struct span host = authority_host(text, authority->host);
    memcpy(authority->text, text.data, text.length);
    authority->length = (unsigned)text.length;
    authority->host_length = (unsigned)host.length;
    authority->site = config_site(config, host);
    return authority;
}

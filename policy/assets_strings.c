#include "policy/assets_strings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS (2 * ASSETS_STRINGS_MAX)

struct assets_string {
    uint32_t offset;
    uint32_t length;
    uint32_t hash;
    enum assets_name kind;
};

int assets_strings_init(struct assets_strings *strings)
{
    *strings = (struct assets_strings){
        .slots = calloc(SLOTS, sizeof(*strings->slots)),
        .entries = malloc((ASSETS_STRINGS_MAX + 1) * sizeof(*strings->entries)),
        .bytes = malloc(ASSETS_STRINGS_BYTES_MAX),
    };
    if (strings->slots && strings->entries && strings->bytes)
        return 0;
    assets_strings_finish(strings);
    return -ENOMEM;
}

void assets_strings_finish(struct assets_strings *strings)
{
    free(strings->slots);
    free(strings->entries);
    free(strings->bytes);
    *strings = (struct assets_strings){0};
}

static char fold(enum assets_name kind, char c)
{
    bool ignored = kind == ASSETS_NAME_TAG || kind == ASSETS_NAME_FAMILY;

    return ignored && c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* FNV-1a: the text is the site's own, and the table is bounded, so no keyed hash is needed. */
static uint32_t hash_of(enum assets_name kind, struct span text)
{
    uint32_t hash = 2166136261u ^ (uint32_t)kind;

    for (size_t i = 0; i < text.length; i++)
        hash = (hash ^ (unsigned char)fold(kind, text.data[i])) * 16777619u;
    return hash;
}

static bool same(const struct assets_strings *strings, const struct assets_string *entry,
                 enum assets_name kind, struct span text)
{
    if (entry->kind != kind || entry->length != text.length)
        return false;
    for (size_t i = 0; i < text.length; i++)
        if (strings->bytes[entry->offset + i] != fold(kind, text.data[i]))
            return false;
    return true;
}

uint16_t assets_strings_number(struct assets_strings *strings, enum assets_name kind,
                               struct span text)
{
    uint32_t hash = hash_of(kind, text);
    uint32_t slot = hash % SLOTS;

    if (text.length == 0)
        return 0;
    for (; strings->slots[slot]; slot = (slot + 1) % SLOTS) {
        const struct assets_string *entry = &strings->entries[strings->slots[slot]];
        if (entry->hash == hash && same(strings, entry, kind, text))
            return strings->slots[slot];
    }
    if (strings->count == ASSETS_STRINGS_MAX ||
        text.length > ASSETS_STRINGS_BYTES_MAX - strings->used) {
        strings->full = true;
        return 0;
    }
    uint16_t number = (uint16_t)++strings->count;
    strings->entries[number] =
        (struct assets_string){strings->used, (uint32_t)text.length, hash, kind};
    for (size_t i = 0; i < text.length; i++)
        strings->bytes[strings->used++] = fold(kind, text.data[i]);
    strings->slots[slot] = number;
    return number;
}

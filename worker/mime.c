#include "worker/mime.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define FILE_MAX (1024 * 1024)
#define BUCKETS 2048 /* a power of two; Debian's file has about 1,600 extensions */
#define EXTENSION_MAX 31
#define CHARSET "; charset=utf-8"

struct rule {
    struct rule *next;
    const char *type;
    char extension[EXTENSION_MAX + 1];
};

/* Types and rules are kept until the table goes: one list of blocks owns them all. */
struct block {
    struct block *next;
    _Alignas(16) char bytes[];
};

struct mime {
    struct rule *buckets[BUCKETS];
    struct block *blocks;
};

/* Wrong or missing here, pages break: scripts and styles are refused under a wrong type. */
static const char built_in[] = "text/html html htm\n"
                               "text/css css\n"
                               "text/javascript js mjs\n"
                               "text/plain txt\n"
                               "application/json json map\n"
                               "application/manifest+json webmanifest\n"
                               "application/xml xml\n"
                               "application/wasm wasm\n"
                               "application/pdf pdf\n"
                               "font/woff2 woff2\n"
                               "font/woff woff\n"
                               "font/ttf ttf\n"
                               "font/otf otf\n"
                               "image/svg+xml svg\n"
                               "image/png png\n"
                               "image/jpeg jpg jpeg\n"
                               "image/gif gif\n"
                               "image/webp webp\n"
                               "image/avif avif\n"
                               "image/vnd.microsoft.icon ico\n"
                               "audio/mpeg mp3\n"
                               "video/mp4 mp4\n"
                               "video/webm webm\n";

static void *keep(struct mime *mime, size_t bytes)
{
    struct block *block = calloc(1, sizeof(*block) + bytes);
    if (!block)
        return NULL;
    block->next = mime->blocks;
    mime->blocks = block;
    return block->bytes;
}

/* FNV-1a: the names come from the operator and, at look-up, never enter the table. */
static unsigned bucket_of(struct span extension)
{
    uint32_t hash = 2166136261U;
    for (size_t i = 0; i < extension.length; i++)
        hash = (hash ^ (uint8_t)tolower((unsigned char)extension.data[i])) * 16777619U;
    return hash & (BUCKETS - 1);
}

static const struct rule *find(const struct mime *mime, struct span extension)
{
    for (const struct rule *rule = mime->buckets[bucket_of(extension)]; rule; rule = rule->next)
        if (span_equal_nocase(span_of(rule->extension), extension))
            return rule;
    return NULL;
}

static int add_rule(struct mime *mime, struct span extension, const char *type)
{
    if (extension.length > EXTENSION_MAX || find(mime, extension))
        return 0;
    struct rule *rule = keep(mime, sizeof(*rule));
    if (!rule)
        return -1;
    struct rule **bucket = &mime->buckets[bucket_of(extension)];
    memcpy(rule->extension, extension.data, extension.length);
    rule->type = type;
    rule->next = *bucket;
    *bucket = rule;
    return 0;
}

static struct span next_word(struct span *line)
{
    size_t start = 0;
    while (start < line->length && isspace((unsigned char)line->data[start]))
        start++;
    size_t end = start;
    while (end < line->length && !isspace((unsigned char)line->data[end]))
        end++;
    struct span word = span_make(line->data + start, end - start);
    *line = span_after(*line, end);
    return word;
}

/* A type becomes a field value, so only what RFC 6838 4.2 lets a type name have is taken. */
static bool is_type(struct span type)
{
    const struct span marks = SPAN_LITERAL("/!#$&-^_.+");
    if (span_find(type, '/') == type.length)
        return false;
    for (size_t i = 0; i < type.length; i++)
        if (!isalnum((unsigned char)type.data[i]) && span_find(marks, type.data[i]) == marks.length)
            return false;
    return true;
}

static int add_line(struct mime *mime, struct span line)
{
    line.length = span_find(line, '#');
    struct span type = next_word(&line);
    struct span extension = next_word(&line);
    if (extension.length == 0 || !is_type(type))
        return 0;
    bool text = span_starts(type, SPAN_LITERAL("text/"));
    char *value = keep(mime, type.length + sizeof(CHARSET));
    if (!value)
        return -1;
    memcpy(value, type.data, type.length);
    if (text)
        memcpy(value + type.length, CHARSET, sizeof(CHARSET));
    for (; extension.length; extension = next_word(&line))
        if (add_rule(mime, extension, value) < 0)
            return -1;
    return 0;
}

static int add_text(struct mime *mime, struct span text)
{
    while (text.length) {
        size_t end = span_find(text, '\n');
        if (add_line(mime, span_make(text.data, end)) < 0)
            return -1;
        text = span_after(text, end < text.length ? end + 1 : end);
    }
    return 0;
}

static int add_file(struct mime *mime, const char *path)
{
    int rc = -1;
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    char *text = malloc(FILE_MAX);
    if (text)
        rc = add_text(mime, span_make(text, fread(text, 1, FILE_MAX, file)));
    free(text);
    fclose(file);
    return rc;
}

struct mime *mime_create(const char *path)
{
    struct mime *mime = calloc(1, sizeof(*mime));
    if (!mime)
        return NULL;
    if (add_text(mime, SPAN_LITERAL(built_in)) < 0 || add_file(mime, path) < 0) {
        mime_destroy(mime);
        return NULL;
    }
    return mime;
}

void mime_destroy(struct mime *mime)
{
    if (!mime)
        return;
    while (mime->blocks) {
        struct block *next = mime->blocks->next;
        free(mime->blocks);
        mime->blocks = next;
    }
    free(mime);
}

const char *mime_of(const struct mime *mime, struct span path)
{
    size_t dot = path.length;
    while (dot > 0 && path.data[dot - 1] != '.' && path.data[dot - 1] != '/')
        dot--;
    if (dot == 0 || path.data[dot - 1] == '/')
        return MIME_UNKNOWN;
    const struct rule *rule = find(mime, span_after(path, dot));
    return rule ? rule->type : MIME_UNKNOWN;
}

#include "bench/page/visit/scan.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- paths ---- */

enum kind scan_kind_of(const char *path)
{
    static const struct {
        const char *ending;
        enum kind kind;
    } endings[] = {{".css", KIND_STYLE},    {".js", KIND_SCRIPT}, {".mjs", KIND_SCRIPT},
                   {".woff2", KIND_FONT},   {".woff", KIND_FONT}, {".ttf", KIND_FONT},
                   {".png", KIND_IMAGE},    {".jpg", KIND_IMAGE}, {".webp", KIND_IMAGE},
                   {".svg", KIND_IMAGE},    {".gif", KIND_IMAGE}, {".avif", KIND_IMAGE},
                   {".html", KIND_DOCUMENT}};
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof(endings) / sizeof(endings[0]); i++)
        if (strcmp(dot, endings[i].ending) == 0)
            return endings[i].kind;
    return KIND_OTHER;
}

static void directory_of(const char *path, char *out)
{
    size_t length = strcspn(path, "?");
    while (length && path[length - 1] != '/')
        length--;
    snprintf(out, SCAN_PATH_MAX, "%.*s", (int)length, path);
}

/* Makes `out` the path of a reference, or returns false when it leads to another origin. */
static bool resolve(const char *directory, const char *reference, size_t length, char *out)
{
    length = (size_t)(memchr(reference, '#', length)
                          ? (const char *)memchr(reference, '#', length) - reference
                          : (ptrdiff_t)length);
    if (length == 0 || memchr(reference, ':', length) ||
        (length > 1 && reference[0] == '/' && reference[1] == '/'))
        return false;
    while (length > 2 && reference[0] == '.' && reference[1] == '/')
        reference += 2, length -= 2;
    int n = snprintf(out, SCAN_PATH_MAX, "%s%.*s", reference[0] == '/' ? "" : directory,
                     (int)length, reference);
    return n > 0 && n < SCAN_PATH_MAX;
}

/* ---- HTML ---- */

void scan_html_init(struct scan_html *scan, const char *path, scan_found *found, void *context)
{
    *scan = (struct scan_html){.found = found, .context = context};
    directory_of(path, scan->base);
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '/';
}

/* The value of an attribute of the tag, "" for one without; NULL when it is not there. */
static const char *attribute(const char *tag, const char *name, size_t *length)
{
    const char *at = tag + strcspn(tag, " \t\r\n\f/");
    while (*at) {
        while (blank(*at))
            at++;
        size_t n = strcspn(at, "= \t\r\n\f");
        bool same = n == strlen(name) && strncasecmp(at, name, n) == 0;
        if (n == 0)
            break;
        at += n;
        const char *value = "";
        *length = 0;
        if (*at == '=') {
            at++;
            const char quote = *at == '"' || *at == '\'' ? *at++ : '\0';
            const char ends[] = {quote, '\0'};
            value = at;
            *length = strcspn(at, quote ? ends : " \t\r\n\f");
            at += *length + (quote && at[*length] ? 1 : 0);
        }
        if (same)
            return value;
    }
    return NULL;
}

static bool attribute_has(const char *tag, const char *name, const char *word)
{
    size_t length, wanted = strlen(word);
    const char *value = attribute(tag, name, &length);
    for (size_t i = 0; value && i + wanted <= length; i++)
        if (strncasecmp(value + i, word, wanted) == 0 && (i == 0 || blank(value[i - 1])) &&
            (i + wanted == length || blank(value[i + wanted])))
            return true;
    return false;
}

static enum kind kind_of_as(const char *as, size_t length)
{
    static const char *const names[] = {[KIND_STYLE] = "style",
                                        [KIND_SCRIPT] = "script",
                                        [KIND_FONT] = "font",
                                        [KIND_IMAGE] = "image"};
    for (enum kind kind = KIND_STYLE; kind <= KIND_IMAGE; kind++)
        if (length == strlen(names[kind]) && strncasecmp(as, names[kind], length) == 0)
            return kind;
    return KIND_OTHER;
}

static void report(struct scan_html *scan, const char *attribute_name, struct scan_find *find)
{
    size_t length;
    const char *value = attribute(scan->tag, attribute_name, &length);
    if (value && resolve(scan->base, value, length, find->path))
        scan->found(scan->context, find);
}

static void on_link(struct scan_html *scan)
{
    size_t length;
    struct scan_find find = {.kind = KIND_STYLE};
    if (attribute_has(scan->tag, "rel", "stylesheet")) {
        find.blocking = true;
        report(scan, "href", &find);
    } else if (attribute_has(scan->tag, "rel", "preload")) {
        const char *as = attribute(scan->tag, "as", &length);
        find.kind = as ? kind_of_as(as, length) : KIND_OTHER;
        report(scan, "href", &find);
    }
}

static void on_script(struct scan_html *scan)
{
    size_t length;
    struct scan_find find = {.kind = KIND_SCRIPT};
    if (!attribute(scan->tag, "src", &length)) {
        scan->state = SCAN_RAW;
        scan->raw_end = "</script";
        return;
    }
    bool parallel =
        attribute(scan->tag, "async", &length) || attribute(scan->tag, "defer", &length);
    find.ordered = !parallel;
    find.blocking = !parallel && !scan->body;
    report(scan, "src", &find);
}

static bool tag_is(const char *tag, const char *name)
{
    size_t n = strlen(name);
    return strncasecmp(tag, name, n) == 0 && (tag[n] == '\0' || blank(tag[n]));
}

static void on_tag(struct scan_html *scan)
{
    size_t length;
    struct scan_find image = {.kind = KIND_IMAGE};
    scan->state = SCAN_TEXT;
    if (tag_is(scan->tag, "link")) {
        on_link(scan);
    } else if (tag_is(scan->tag, "script")) {
        on_script(scan);
    } else if (tag_is(scan->tag, "img")) {
        if (!attribute_has(scan->tag, "loading", "lazy") && attribute(scan->tag, "src", &length))
            report(scan, "src", &image);
    } else if (tag_is(scan->tag, "style")) {
        scan->state = SCAN_RAW;
        scan->raw_end = "</style";
    } else if (tag_is(scan->tag, "body")) {
        scan->body = true;
    }
}

/* Whether `tag`, which keeps the last bytes that went by, ends with `end`. */
static bool passed(struct scan_html *scan, char c, const char *end)
{
    size_t n = strlen(end);
    if (scan->length == n) {
        memmove(scan->tag, scan->tag + 1, n - 1);
        scan->length--;
    }
    scan->tag[scan->length++] = c;
    return scan->length == n && strncasecmp(scan->tag, end, n) == 0;
}

static void on_byte(struct scan_html *scan, char c)
{
    switch (scan->state) {
    case SCAN_TEXT:
        if (c == '<')
            scan->state = SCAN_TAG;
        scan->length = 0;
        break;
    case SCAN_TAG:
        if (c == '>') {
            scan->tag[scan->length] = '\0';
            on_tag(scan);
            scan->length = 0;
        } else {
            scan->tag[scan->length] = c;
            scan->length += scan->length < SCAN_TAG_MAX - 1;
            if (scan->length == 3 && memcmp(scan->tag, "!--", 3) == 0) {
                scan->state = SCAN_COMMENT;
                scan->length = 0;
            }
        }
        break;
    case SCAN_COMMENT:
        if (passed(scan, c, "-->"))
            scan->state = SCAN_TEXT;
        break;
    case SCAN_RAW:
        if (passed(scan, c, scan->raw_end)) {
            scan->state = SCAN_TAG;
            scan->length = 0;
        }
        break;
    }
}

void scan_html_feed(struct scan_html *scan, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        on_byte(scan, (char)bytes[i]);
}

/* ---- the others ---- */

/* The next place after `at` where `word` begins, or NULL. */
static const char *find_word(const char *at, const char *end, const char *word)
{
    return at < end ? memmem(at, (size_t)(end - at), word, strlen(word)) : NULL;
}

/* Cuts the text between quotes, or up to `closing`, that begins at `at`. Returns its length. */
static size_t quoted(const char **at, const char *end, char closing)
{
    while (*at < end && blank(**at) && **at != '/')
        (*at)++;
    if (*at < end && (**at == '"' || **at == '\''))
        closing = *(*at)++;
    const char *stop = *at < end ? memchr(*at, closing, (size_t)(end - *at)) : NULL;
    return stop ? (size_t)(stop - *at) : 0;
}

void scan_style(const char *path, const char *text, size_t length, scan_found *found, void *context)
{
    const char *end = text + length;
    char base[SCAN_PATH_MAX];
    directory_of(path, base);
    for (const char *at = text; (at = find_word(at, end, "@import \"")) != NULL;) {
        struct scan_find find = {.kind = KIND_STYLE, .blocking = true};
        at += strlen("@import ");
        size_t n = quoted(&at, end, '"');
        if (n && resolve(base, at, n, find.path))
            found(context, &find);
    }
    for (const char *at = text; (at = find_word(at, end, "url(")) != NULL;) {
        struct scan_find find = {0};
        at += strlen("url(");
        size_t n = quoted(&at, end, ')');
        if (!n || !resolve(base, at, n, find.path))
            continue;
        find.kind = scan_kind_of(find.path);
        find.blocking = find.kind == KIND_STYLE;
        found(context, &find);
    }
}

void scan_script(const char *path, const char *text, size_t length, scan_found *found,
                 void *context)
{
    const char *end = text + length;
    char base[SCAN_PATH_MAX];
    directory_of(path, base);
    for (const char *at = text; (at = find_word(at, end, "load(\"")) != NULL;) {
        struct scan_find find = {0};
        at += strlen("load(");
        size_t n = quoted(&at, end, '"');
        if (!n || !resolve(base, at, n, find.path))
            continue;
        find.kind = scan_kind_of(find.path);
        found(context, &find);
    }
}

static void on_link_value(const char *base, const char *text, size_t length, scan_found *found,
                          void *context)
{
    const char *end = text + length;
    const char *close = memchr(text, '>', length);
    struct scan_find find = {.kind = KIND_OTHER};
    if (text[0] != '<' || !close || !find_word(close, end, "rel=preload") ||
        !resolve(base, text + 1, (size_t)(close - text - 1), find.path))
        return;
    const char *as = find_word(close, end, "as=");
    if (as) {
        as += strlen("as=");
        size_t n = 0;
        while (as + n < end && isalpha((unsigned char)as[n]))
            n++;
        find.kind = kind_of_as(as, n);
    }
    found(context, &find);
}

void scan_link_field(const char *path, const char *value, size_t length, scan_found *found,
                     void *context)
{
    char base[SCAN_PATH_MAX];
    directory_of(path, base);
    while (length) {
        const char *comma = memchr(value, ',', length);
        size_t n = comma ? (size_t)(comma - value) : length;
        if (n)
            on_link_value(base, value, n, found, context);
        n += comma ? 1 : 0;
        while (n < length && value[n] == ' ')
            n++;
        value += n;
        length -= n;
    }
}

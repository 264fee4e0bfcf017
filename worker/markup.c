#include "worker/markup.h"

#include "worker/content_parts.h"
#include "worker/inflate.h"
#include "worker/list.h"
#include "worker/respond.h"
#include "worker/respond_parts.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

/* One page, and what it referenced. */
struct known_page {
    uint64_t hash;    /* of its URL; 0: free */
    uint64_t content; /* of the HTML that was read */
    uint64_t read_ms; /* when that was noted */
    uint64_t used;    /* when it was last asked for: the count of uses then */
    struct assets *assets;
};

struct markup_note {
    struct link link; /* in markup->ready, once it is whole */
    struct markup *markup;
    struct known_page *page; /* while it is read; may have been given to another meanwhile: */
    uint64_t hash;
    bool failed;
    enum inflate_coding coding;
    uint8_t *bytes;
    size_t filled, room;
    struct inflate *inflate;
    size_t offset, read; /* of `bytes` when they are not coded; of what was decoded */
    bool html_read;
    struct assets_scan *scan;
    size_t sheet;
    struct field accepted; /* the page's Accept-Encoding: stylesheets are found in the cache by it */
    struct span scheme, authority, target;
    char text[];
};

struct markup {
    struct cache *cache;
    struct stats *stats;
    uint8_t key[IDENTITY_HASH_KEY_BYTES];
    uint64_t uses;
    unsigned notes_count;
    struct link ready;
    struct known_page pages[MARKUP_PAGES_MAX];
};

struct markup *markup_create(struct cache *cache, struct stats *stats)
{
    struct markup *markup = calloc(1, sizeof(*markup));
    if (!markup)
        return NULL;
    markup->cache = cache;
    markup->stats = stats;
    list_init(&markup->ready);
    if (getrandom(markup->key, sizeof(markup->key), 0) == sizeof(markup->key))
        return markup;
    free(markup);
    return NULL;
}

void markup_destroy(struct markup *markup)
{
    if (!markup)
        return;
    while (!list_empty(&markup->ready))
        markup_drop(LIST_OWNER(markup->ready.next, struct markup_note, link));
    assert(markup->notes_count == 0);
    for (unsigned i = 0; i < MARKUP_PAGES_MAX; i++)
        assets_destroy(markup->pages[i].assets);
    free(markup);
}

/* ---- pages ---- */

static uint64_t hash_of(const struct markup *markup, struct span scheme, struct span authority,
                        struct span path)
{
    uint64_t hash = identity_hash(markup->key, scheme);
    hash = hash * 31 + identity_hash(markup->key, authority);
    hash = hash * 31 + identity_hash(markup->key, path);
    return hash ? hash : 1;
}

static struct known_page *find_page(struct markup *markup, uint64_t hash)
{
    for (unsigned i = 0; i < MARKUP_PAGES_MAX; i++)
        if (markup->pages[i].hash == hash)
            return &markup->pages[i];
    return NULL;
}

/* The page's place, or that of the one which was asked for longest ago. */
static struct known_page *place_for(struct markup *markup, uint64_t hash)
{
    struct known_page *place = find_page(markup, hash);
    for (unsigned i = 0; !place && i < MARKUP_PAGES_MAX; i++)
        if (!markup->pages[i].hash)
            place = &markup->pages[i];
    if (!place) {
        place = &markup->pages[0];
        for (unsigned i = 1; i < MARKUP_PAGES_MAX; i++)
            if (markup->pages[i].used < place->used)
                place = &markup->pages[i];
    }
    if (place->hash != hash) {
        assets_destroy(place->assets);
        *place = (struct known_page){.hash = hash};
    }
    place->used = ++markup->uses;
    return place;
}

const struct assets *markup_assets(struct markup *markup, struct span scheme, struct span authority,
                                   struct span path)
{
    struct known_page *page = find_page(markup, hash_of(markup, scheme, authority, path));
    if (!page)
        return NULL;
    page->used = ++markup->uses;
    return page->assets;
}

/* ---- taking notes ---- */

/* For everyone, by the rules of a cache, though it need not be one that may be stored. */
static bool is_public(const struct cache_request *request, const struct field *fields, size_t count)
{
    struct cache_directives said = freshness_collect(fields, count).directives;
    bool credentials =
        request->cookies ||
        field_find(request->fields, request->fields_count, SPAN_LITERAL("authorization")).data;
    return !said.is_private && !said.no_store &&
           !field_find(fields, count, SPAN_LITERAL("set-cookie")).data &&
           (!credentials || said.is_public || said.has_s_maxage);
}

static bool is_readable(const struct field *fields, size_t count, enum inflate_coding *coding)
{
    struct span type = field_find(fields, count, SPAN_LITERAL("content-type"));
    const struct span html = SPAN_LITERAL("text/html");
    return type.length >= html.length &&
           span_equal_nocase(span_make(type.data, html.length), html) &&
           inflate_knows(field_find(fields, count, SPAN_LITERAL("content-encoding")), coding);
}

static struct span keep(char **at, struct span text)
{
    char *copy = *at;
    if (text.length)
        memcpy(copy, text.data, text.length);
    *at += text.length;
    return span_make(copy, text.length);
}

static struct markup_note *note_create(struct markup *markup, const struct cache_request *request)
{
    struct span accepted =
        field_find(request->fields, request->fields_count, SPAN_LITERAL("accept-encoding"));
    struct markup_note *note =
        calloc(1, sizeof(*note) + request->scheme.length + request->authority.length +
                      request->target.length + accepted.length);
    if (!note)
        return NULL;
    char *text = note->text;
    note->markup = markup;
    note->scheme = keep(&text, request->scheme);
    note->authority = keep(&text, request->authority);
    note->target = keep(&text, request->target);
    note->accepted.name = SPAN_LITERAL("accept-encoding");
    if (accepted.data)
        note->accepted.value = keep(&text, accepted);
    markup->notes_count++;
    return note;
}

struct markup_note *markup_begin(struct markup *markup, const struct cache_request *request,
                                 int status, const struct field *fields, size_t count,
                                 uint64_t length, uint64_t now_ms)
{
    char decoded[ASSETS_PATH_MAX];
    struct span path, query;
    enum inflate_coding coding;
    if (status != 200 || request->head || request->partial ||
        (length != GROWTH_UNKNOWN && length > MARKUP_BYTES_MAX) ||
        !is_readable(fields, count, &coding) || !is_public(request, fields, count) ||
        markup->notes_count >= MARKUP_NOTES_MAX || request->target.length > sizeof(decoded) ||
        respond_path(request->target, decoded, &path, &query) < 0)
        return NULL;
    uint64_t hash = hash_of(markup, request->scheme, request->authority, path);
    struct known_page *page = place_for(markup, hash);
    if (page->read_ms && now_ms - page->read_ms < MARKUP_AGAIN_MS)
        return NULL;
    struct markup_note *note = note_create(markup, request);
    if (!note)
        return NULL;
    page->read_ms = now_ms;
    note->hash = hash;
    note->coding = coding;
    return note;
}

void markup_add(struct markup_note *note, const void *data, size_t length)
{
    if (!note || note->failed)
        return;
    note->failed = length > MARKUP_BYTES_MAX - note->filled;
    if (!note->failed && note->room - note->filled < length) {
        size_t room = note->room ? note->room : ASSETS_SLICE_MAX;
        while (room - note->filled < length)
            room *= 2;
        uint8_t *bytes = realloc(note->bytes, room);
        note->failed = !bytes;
        note->bytes = bytes ? bytes : note->bytes;
        note->room = bytes ? room : note->room;
    }
    if (note->failed)
        return;
    memcpy(note->bytes + note->filled, data, length);
    note->filled += length;
}

void markup_drop(struct markup_note *note)
{
    if (!note)
        return;
    list_remove(&note->link);
    note->markup->notes_count--;
    inflate_destroy(note->inflate);
    assets_scan_destroy(note->scan);
    free(note->bytes);
    free(note);
}

/* The same content again has been read already. */
void markup_done(struct markup_note *note)
{
    if (!note)
        return;
    struct known_page *page = find_page(note->markup, note->hash);
    uint64_t content = note->filled ? content_hash(note->bytes, note->filled) : 0;
    struct assets_page where = {note->scheme, note->authority, note->target};
    if (note->failed || !note->filled || !page || page->content == content ||
        assets_scan_create(&where, &note->scan) < 0 ||
        (note->coding &&
         !(note->inflate = inflate_create(note->coding, note->bytes, note->filled)))) {
        markup_drop(note);
        return;
    }
    page->content = content;
    list_insert(&note->markup->ready, &note->link);
}

/* ---- reading ---- */

/* The next slice of the HTML; 0 at its end, negative when it can't be read. */
static ptrdiff_t next_slice(struct markup_note *note, uint8_t *room, const uint8_t **slice)
{
    *slice = room;
    if (note->coding) {
        ptrdiff_t n = note->read < MARKUP_BYTES_MAX
                          ? inflate_next(note->inflate, room, ASSETS_SLICE_MAX)
                          : -1;
        note->read += n > 0 ? (size_t)n : 0;
        return n;
    }
    size_t left = note->filled - note->offset;
    size_t n = left < ASSETS_SLICE_MAX ? left : ASSETS_SLICE_MAX;
    *slice = note->bytes + note->offset;
    note->offset += n;
    return (ptrdiff_t)n;
}

/* Returns false when it can't be read. */
static bool read_html(struct markup_note *note)
{
    uint8_t room[ASSETS_SLICE_MAX];
    const uint8_t *slice;
    ptrdiff_t n = next_slice(note, room, &slice);
    if (n < 0)
        return false;
    int rc = n > 0 ? assets_scan_feed(note->scan, span_make(slice, (size_t)n)) : 1;
    note->html_read = rc != 0;
    return rc >= 0 && (!note->html_read || assets_scan_end(note->scan) == 0);
}

/* The sheet in `text`, decoded: owned by the caller, `length` its bytes; NULL when it can't be. */
static uint8_t *decode(enum inflate_coding coding, struct span text, size_t *length)
{
    uint8_t *out = malloc(MARKUP_BYTES_MAX);
    struct inflate *inflate = out ? inflate_create(coding, text.data, text.length) : NULL;
    ptrdiff_t n = inflate ? 1 : -ENOMEM;
    *length = 0;
    while (n > 0 && *length < MARKUP_BYTES_MAX) {
        n = inflate_next(inflate, out + *length, MARKUP_BYTES_MAX - *length);
        if (n > 0)
            *length += (size_t)n;
    }
    inflate_destroy(inflate);
    if (n == 0)
        return out;
    free(out);
    return NULL;
}

/* Returns false when memory runs out. */
static bool scan_sheet(struct markup_note *note, size_t sheet, const struct representation *css)
{
    enum inflate_coding coding;
    struct span text = span_make(css->body, css->size);
    uint8_t *decoded = NULL;
    size_t length;
    if (!inflate_knows(field_find(css->fields, css->fields_count, SPAN_LITERAL("content-encoding")),
                       &coding))
        return true;
    if (coding) {
        decoded = decode(coding, text, &length);
        if (!decoded)
            return true;
        text = span_make(decoded, length);
    }
    int rc = assets_scan_css(note->scan, sheet, text);
    free(decoded);
    return rc != -ENOMEM;
}

/* A stylesheet that isn't in the cache is left out. */
static bool read_sheet(struct markup_note *note)
{
    struct cache_request request = {
        .scheme = note->scheme,
        .authority = note->authority,
        .target = assets_scan_stylesheet(note->scan, note->sheet),
        .fields = &note->accepted,
        .fields_count = note->accepted.value.data ? 1 : 0,
        .background = true,
    };
    struct resource *resource =
        note->markup->cache ? cache_peek(note->markup->cache, &request) : NULL;
    size_t sheet = note->sheet++;
    if (!resource || resource->origin->status != 200)
        return true;
    return scan_sheet(note, sheet, &resource->codings[CODING_IDENTITY]);
}

static void finish(struct markup_note *note, bool good)
{
    struct markup *markup = note->markup;
    struct known_page *page = find_page(markup, note->hash);
    struct assets *assets = good ? assets_scan_result(note->scan) : NULL;
    if (page && assets) {
        assets_destroy(page->assets);
        page->assets = assets;
        stats_add(markup->stats, COUNTER_pages_read, 1);
    } else {
        assets_destroy(assets);
    }
    markup_drop(note);
}

bool markup_work(struct markup *markup)
{
    if (!markup || list_empty(&markup->ready))
        return false;
    struct markup_note *note = LIST_OWNER(markup->ready.next, struct markup_note, link);
    bool good = note->html_read ? read_sheet(note) : read_html(note);
    if (!good || (note->html_read && note->sheet >= assets_scan_stylesheets(note->scan)))
        finish(note, good);
    return !list_empty(&markup->ready);
}

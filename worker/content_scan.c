/* Pages are scanned for their assets when a look-up first asks for them, a slice in each wake-up:
 * the HTML, then each stylesheet that it names, found like any other file of the site. */
#include "worker/content_parts.h"

#include "worker/respond.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* The scan of one version of a page as seen at one authority: absolute references are the page's
 * own or another's by that. A version has a few of these, the most recently asked for first. */
struct page_scan {
    struct page_scan *next;
    struct scan *running;  /* NULL: it is over */
    struct assets *assets; /* NULL: nothing was found out */
    uint64_t began_ms;
    size_t scheme_length, authority_length;
    char text[]; /* scheme, authority */
};

/* A scan under way. In neither list only while content_scans_work has it. */
struct scan {
    struct link link;
    struct content *content;
    const struct config_site *site;
    struct resource *resource; /* a reference, which keeps `page` */
    struct page_scan *page;
    struct assets_scan *parser;
    struct link waiters;
    uint64_t deadline_ms;
    bool late;      /* the deadline has passed: nobody waits any more */
    bool html_read; /* the stylesheets are next */
    bool failed;
    uint64_t offset; /* of the HTML read so far */

    struct content_reader reader; /* of a page too large to be cached */
    bool reading;
    uint8_t *piece;
    size_t piece_length; /* bytes in it that were not fed yet */

    size_t sheet; /* the stylesheet that is looked for or read */
    struct content_lookup lookup;
    bool sheet_found; /* the look-up was answered: */
    enum content_outcome sheet_outcome;
    struct resource *sheet_resource; /* a reference, or NULL */
};

void content_scans_free(struct page_scan *scans)
{
    while (scans) {
        struct page_scan *next = scans->next;
        assert(!scans->running);
        assets_destroy(scans->assets);
        free(scans);
        scans = next;
    }
}

static bool is_of(const struct page_scan *page, struct span scheme, struct span authority)
{
    return span_equal(span_make(page->text, page->scheme_length), scheme) &&
           span_equal(span_make(page->text + page->scheme_length, page->authority_length),
                      authority);
}

const struct assets *content_assets(const struct resource *resource, struct span scheme,
                                    struct span authority)
{
    for (const struct page_scan *page = resource->scans; page; page = page->next)
        if (is_of(page, scheme, authority))
            return page->assets;
    return NULL;
}

/* Finds the page's scan for the look-up's authority, and makes it the first. */
static struct page_scan *find_page(struct resource *resource, const struct content_lookup *lookup)
{
    for (struct page_scan **at = &resource->scans; *at; at = &(*at)->next) {
        struct page_scan *page = *at;
        if (!is_of(page, lookup->scheme, lookup->authority))
            continue;
        *at = page->next;
        page->next = resource->scans;
        resource->scans = page;
        return page;
    }
    return NULL;
}

/* Whether there is room for one more scan of the page, made by dropping the oldest result. The first
 * few are free; a client that makes authorities up gets no more than one scan a second beyond. */
static bool make_room(struct resource *resource, uint64_t now_ms)
{
    unsigned count = 0;
    bool lately = false;
    struct page_scan **last = NULL;
    for (struct page_scan **at = &resource->scans; *at; at = &(*at)->next) {
        count++;
        lately = lately || now_ms - (*at)->began_ms < CONTENT_SCAN_AGAIN_MS;
        if (!(*at)->running)
            last = at;
    }
    if (count < CONTENT_SCAN_AUTHORITIES)
        return true;
    if (lately || !last)
        return false;
    struct page_scan *dropped = *last;
    *last = dropped->next;
    dropped->next = NULL;
    content_scans_free(dropped);
    return true;
}

static struct page_scan *add_page(struct resource *resource, const struct content_lookup *lookup,
                                  uint64_t now_ms)
{
    struct page_scan *page =
        calloc(1, sizeof(*page) + lookup->scheme.length + lookup->authority.length);
    if (!page)
        return NULL;
    page->began_ms = now_ms;
    page->scheme_length = lookup->scheme.length;
    page->authority_length = lookup->authority.length;
    if (lookup->scheme.length)
        memcpy(page->text, lookup->scheme.data, lookup->scheme.length);
    if (lookup->authority.length)
        memcpy(page->text + lookup->scheme.length, lookup->authority.data,
               lookup->authority.length);
    page->next = resource->scans;
    resource->scans = page;
    return page;
}

static struct assets_scan *open_parser(const struct resource *resource,
                                       const struct content_lookup *lookup)
{
    char path[ASSETS_PATH_MAX];
    struct assets_scan *parser = NULL;
    struct assets_page page = {.scheme = lookup->scheme, .authority = lookup->authority};
    size_t length = respond_path_encode(resource->path, path, sizeof(path));
    page.path = span_make(path, length);
    return length > 0 && assets_scan_create(&page, &parser) == 0 ? parser : NULL;
}

/* Sets the timer to the first deadline that somebody waits for. */
static void set_timer(struct content *content)
{
    uint64_t first = UINT64_MAX;
    struct link *lists[] = {&content->scans_ready, &content->scans_waiting};
    for (unsigned i = 0; i < 2; i++)
        for (struct link *at = lists[i]->next; at != lists[i]; at = at->next) {
            struct scan *scan = LIST_OWNER(at, struct scan, link);
            if (!scan->late && scan->deadline_ms < first)
                first = scan->deadline_ms;
        }
    if (first == UINT64_MAX)
        timer_stop(content->timers, &content->scan_timer);
    else
        timer_set(content->timers, &content->scan_timer, first);
}

static void answer_waiters(struct scan *scan)
{
    struct link waiters;
    struct resource *resource = resource_hold(scan->resource);
    list_take_all(&scan->waiters, &waiters);
    while (!list_empty(&waiters)) {
        struct content_lookup *lookup = LIST_OWNER(waiters.next, struct content_lookup, link);
        list_remove(&lookup->link);
        lookup->found(lookup, CONTENT_FOUND, resource);
    }
    resource_release(resource);
}

/* The scan is over, with what it found. */
static void finish(struct scan *scan)
{
    struct content *content = scan->content;
    scan->page->running = NULL;
    scan->page->assets = scan->failed || !scan->parser ? NULL : assets_scan_result(scan->parser);
    assets_scan_destroy(scan->parser);
    content_cancel(&scan->lookup);
    resource_release(scan->sheet_resource);
    free(scan->piece);
    list_remove(&scan->link);
    content->scans_count--;
    answer_waiters(scan);
    resource_release(scan->resource);
    free(scan);
    set_timer(content);
}

static struct scan *start(struct content *content, struct resource *resource,
                          const struct content_lookup *lookup)
{
    uint64_t now_ms = timer_clock_coarse_ms();
    if (content->ending || content->scans_count >= CONTENT_SCANS_MAX ||
        timers_reserve(content->timers, content->timers->count + 1) < 0 ||
        !make_room(resource, now_ms))
        return NULL;
    struct scan *scan = calloc(1, sizeof(*scan));
    if (!scan)
        return NULL;
    scan->page = add_page(resource, lookup, now_ms);
    scan->parser = scan->page ? open_parser(resource, lookup) : NULL;
    if (!scan->parser) { /* a page that was added stays, to say that nothing can be found out */
        free(scan);
        return NULL;
    }
    scan->page->running = scan;
    scan->content = content;
    scan->site = lookup->site;
    scan->resource = resource_hold(resource);
    scan->deadline_ms = now_ms + CONTENT_SCAN_WAIT_MS;
    list_init(&scan->waiters);
    list_insert(&content->scans_ready, &scan->link);
    content->scans_count++;
    set_timer(content);
    return scan;
}

bool content_scan_wait(struct content *content, struct content_lookup *lookup,
                       struct resource *resource)
{
    if (!span_starts(span_of(resource->mime), SPAN_LITERAL("text/html")))
        return false;
    struct page_scan *page = find_page(resource, lookup);
    struct scan *scan = page ? page->running : start(content, resource, lookup);
    if (!scan || scan->late)
        return false;
    list_insert(&scan->waiters, &lookup->link);
    return true;
}

/* A scan that is late and still waited for, or NULL. */
static struct scan *find_overdue(struct content *content)
{
    struct link *lists[] = {&content->scans_ready, &content->scans_waiting};
    for (unsigned i = 0; i < 2; i++)
        for (struct link *at = lists[i]->next; at != lists[i]; at = at->next) {
            struct scan *scan = LIST_OWNER(at, struct scan, link);
            scan->late |= scan->deadline_ms <= content->timers->now_ms;
            if (scan->late && !list_empty(&scan->waiters))
                return scan;
        }
    return NULL;
}

/* Those who wait are answered without the scan, which goes on for who comes later. */
void content_scan_timer_fired(struct timer *timer)
{
    struct content *content = LIST_OWNER(timer, struct content, scan_timer);
    struct scan *scan;
    while ((scan = find_overdue(content)))
        answer_waiters(scan);
    set_timer(content);
}

/* What was waited for has come. While content_scans_work has the scan it sees that by itself. */
static void make_ready(struct scan *scan)
{
    if (!scan->link.next)
        return;
    list_remove(&scan->link);
    list_insert(&scan->content->scans_ready, &scan->link);
}

static void piece_read(struct content_reader *reader, int result)
{
    struct scan *scan = LIST_OWNER(reader, struct scan, reader);
    scan->reading = false;
    scan->failed |= result < 0;
    scan->piece_length = result > 0 ? (size_t)result : 0;
    if (scan->content->ending)
        finish(scan);
    else
        make_ready(scan);
}

/* Feeds the next slice of the page, or has it read first. */
static void scan_html(struct scan *scan)
{
    const struct representation *html = &scan->resource->codings[CODING_IDENTITY];
    uint64_t left = html->size - scan->offset;
    size_t length = left < ASSETS_SLICE_MAX ? (size_t)left : ASSETS_SLICE_MAX;
    const uint8_t *slice = html->body ? html->body + scan->offset : scan->piece;
    if (!html->body && !scan->piece_length && length > 0) {
        if (!scan->piece)
            scan->piece = malloc(ASSETS_SLICE_MAX);
        scan->failed = !scan->piece;
        if (scan->failed)
            return;
        scan->reading = true;
        scan->reader.done = piece_read;
        content_read_at(scan->content, &scan->reader, html, scan->offset, scan->piece, length,
                        false);
        return;
    }
    int rc = length ? assets_scan_feed(scan->parser, span_make(slice, length)) : 1;
    scan->piece_length = 0;
    scan->offset += length;
    scan->html_read = rc != 0 || scan->offset == html->size;
    scan->failed = rc < 0 || (scan->html_read && assets_scan_end(scan->parser) < 0);
}

static void sheet_found(struct content_lookup *lookup, enum content_outcome outcome,
                        struct resource *resource)
{
    struct scan *scan = LIST_OWNER(lookup, struct scan, lookup);
    scan->sheet_found = true;
    scan->sheet_outcome = outcome;
    scan->sheet_resource = resource ? resource_hold(resource) : NULL;
    make_ready(scan);
}

static void find_sheet(struct scan *scan)
{
    char decoded[ASSETS_PATH_MAX];
    struct span path, query;
    struct span target = assets_scan_stylesheet(scan->parser, scan->sheet);
    scan->lookup.found = sheet_found;
    if (target.length > sizeof(decoded) || respond_path(target, decoded, &path, &query) < 0)
        sheet_found(&scan->lookup, CONTENT_MISSING, NULL);
    else
        content_find(scan->content, scan->site, config_route(scan->site, path), path,
                     &scan->lookup);
}

/* A stylesheet that can't be had says nothing; of one that is there but can't be read here, the
 * parser learns by its being left out. */
static void read_sheet(struct scan *scan)
{
    const struct representation *css =
        scan->sheet_resource ? &scan->sheet_resource->codings[CODING_IDENTITY] : NULL;
    int rc = 0;
    if (css && css->body)
        rc = assets_scan_css(scan->parser, scan->sheet, span_make(css->body, css->size));
    else if (scan->sheet_outcome == CONTENT_MISSING || scan->sheet_outcome == CONTENT_FORBIDDEN)
        rc = assets_scan_css(scan->parser, scan->sheet, SPAN_LITERAL(""));
    scan->failed = rc == -ENOMEM;
    resource_release(scan->sheet_resource);
    scan->sheet_resource = NULL;
    scan->sheet_found = false;
    scan->sheet++;
}

/* One step of one scan. Returns true when it is over. */
static bool scan_step(struct scan *scan)
{
    if (scan->failed)
        return true;
    if (!scan->html_read)
        scan_html(scan);
    else if (scan->sheet_found)
        read_sheet(scan);
    else if (scan->sheet < assets_scan_stylesheets(scan->parser))
        find_sheet(scan);
    return scan->failed || (scan->html_read && !scan->sheet_found &&
                            scan->sheet >= assets_scan_stylesheets(scan->parser));
}

bool content_scans_work(struct content *content)
{
    if (list_empty(&content->scans_ready))
        return false;
    struct scan *scan = LIST_OWNER(content->scans_ready.next, struct scan, link);
    list_remove(&scan->link);
    if (scan_step(scan))
        finish(scan);
    else if (scan->reading || content_waiting(&scan->lookup))
        list_insert(&content->scans_waiting, &scan->link);
    else
        list_insert(&content->scans_ready, &scan->link);
    return !list_empty(&content->scans_ready);
}

/* Reads under way end by themselves, and their scans with them. */
void content_scans_end(struct content *content)
{
    struct link *lists[] = {&content->scans_ready, &content->scans_waiting};
    for (unsigned i = 0; i < 2; i++)
        for (struct link *at = lists[i]->next, *next; at != lists[i]; at = next) {
            struct scan *scan = LIST_OWNER(at, struct scan, link);
            next = at->next;
            if (!scan->reading)
                finish(scan);
        }
}

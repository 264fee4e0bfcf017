#include "bench/page/visit/browser.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int browser_init(struct browser *browser, uint64_t (*now_us)(void),
                 void (*ask)(void *context, struct resource *resource), void *context)
{
    *browser = (struct browser){.ask = ask, .context = context, .now_us = now_us};
    browser->resources = calloc(BROWSER_RESOURCES_MAX, sizeof(*browser->resources));
    return browser->resources ? 0 : -ENOMEM;
}

void browser_finish(struct browser *browser)
{
    for (unsigned i = 0; i < browser->count; i++) {
        free(browser->resources[i].text);
        free(browser->resources[i].file);
    }
    free(browser->resources);
    browser->resources = NULL;
}

struct resource *browser_resource(struct browser *browser, const char *path)
{
    for (unsigned i = 0; i < browser->count; i++)
        if (strcmp(browser->resources[i].path, path) == 0)
            return &browser->resources[i];
    if (browser->count == BROWSER_RESOURCES_MAX || strlen(path) >= SCAN_PATH_MAX)
        return NULL;
    struct resource *resource = &browser->resources[browser->count++];
    strcpy(resource->path, path);
    resource->kind = scan_kind_of(path);
    return resource;
}

/* ---- what is needed ---- */

static void look(struct browser *browser);
static void found(void *context, const struct scan_find *find);

static void ask(struct browser *browser, struct resource *resource)
{
    resource->coming = true;
    resource->via = VIA_REQUEST;
    resource->asked_us = browser->now_us();
    browser->ask(browser->context, resource);
}

static void need(struct browser *browser, struct resource *resource)
{
    resource->found = true;
    resource->found_us = browser->now_us();
    browser->order[browser->order_count++] = (unsigned)(resource - browser->resources);
    if (resource->whole && resource->via == VIA_NOTHING)
        resource->via = VIA_CACHE;
    else if (!resource->whole && !resource->coming)
        ask(browser, resource);
}

static void found(void *context, const struct scan_find *find)
{
    struct browser *browser = context;
    struct resource *resource = browser_resource(browser, find->path);
    if (!resource)
        return;
    resource->blocking |= find->blocking;
    resource->ordered |= find->ordered;
    if (resource->kind == KIND_OTHER)
        resource->kind = find->kind;
    if (!resource->found)
        need(browser, resource);
}

static void hint_found(void *context, const struct scan_find *find)
{
    struct browser *browser = context;
    struct resource *resource = browser_resource(browser, find->path);
    if (!resource)
        return;
    resource->hinted = true;
    if (resource->kind == KIND_OTHER)
        resource->kind = find->kind;
    if (!resource->whole && !resource->coming)
        ask(browser, resource);
}

void browser_hinted(struct browser *browser, const char *value, size_t length)
{
    scan_link_field(browser->document->path, value, length, hint_found, browser);
}

/* ---- what is run, and when ---- */

static void process(struct browser *browser, struct resource *resource)
{
    resource->processed = true;
    if (resource->kind == KIND_STYLE)
        scan_style(resource->path, resource->text, resource->text_length, found, browser);
    else if (resource->kind == KIND_SCRIPT)
        scan_script(resource->path, resource->text, resource->text_length, found, browser);
}

/* Runs what may run: a sheet as soon as it is whole; an ordered script after the sheets and the
 * ordered scripts before it. Returns whether anything did, which may have found more. */
static bool process_some(struct browser *browser)
{
    bool waits = false, any = false;
    for (unsigned i = 0; i < browser->order_count; i++) {
        struct resource *resource = &browser->resources[browser->order[i]];
        bool in_line = resource->ordered || (resource->blocking && resource->kind == KIND_STYLE);
        if (!resource->processed && (resource->whole || resource->failed) &&
            !(resource->ordered && waits)) {
            process(browser, resource);
            any = true;
        }
        waits |= in_line && !resource->processed;
    }
    return any;
}

/* Notes what is now true of the page as a whole. */
static void look(struct browser *browser)
{
    bool painted = browser->body_us != 0, complete = browser->document->last_us != 0;
    while (process_some(browser))
        ;
    for (unsigned i = 0; i < browser->order_count; i++) {
        const struct resource *resource = &browser->resources[browser->order[i]];
        painted &= !resource->blocking || resource->processed;
        complete &= resource->processed;
    }
    if (painted && !browser->painted_us)
        browser->painted_us = browser->now_us();
    if (complete && !browser->complete_us)
        browser->complete_us = browser->now_us();
}

/* ---- what comes ---- */

void browser_begin(struct browser *browser, const char *path)
{
    for (unsigned i = 0; i < browser->count; i++) {
        struct resource *resource = &browser->resources[i];
        resource->found = resource->blocking = resource->ordered = resource->processed = false;
        resource->hinted = resource->promised = resource->coming = false;
        resource->via = VIA_NOTHING;
        resource->found_us = resource->promised_us = resource->asked_us = 0;
        resource->first_us = resource->last_us = 0;
        resource->failed = false;
        resource->whole &= resource->kind != KIND_DOCUMENT;
    }
    browser->order_count = 0;
    browser->body_us = browser->painted_us = browser->complete_us = 0;
    browser->document = browser_resource(browser, path);
    browser->document->kind = KIND_DOCUMENT;
    browser->document->whole = false;
    browser->began_us = browser->now_us();
    scan_html_init(&browser->html, path, found, browser);
}

void browser_ask_page(struct browser *browser)
{
    browser->document->processed = true;
    ask(browser, browser->document);
}

bool browser_promised(struct browser *browser, struct resource *resource)
{
    bool redundant = resource->whole || resource->coming;
    resource->promised = true;
    if (!resource->promised_us)
        resource->promised_us = browser->now_us();
    if (!redundant) {
        resource->coming = true;
        resource->via = VIA_PUSH;
    }
    return redundant;
}

void browser_promise_over(struct browser *browser, struct resource *resource)
{
    if (resource->whole || resource->via != VIA_PUSH)
        return;
    resource->coming = false;
    resource->via = VIA_NOTHING;
    if (resource->found)
        ask(browser, resource);
}

static bool from_elsewhere(const struct resource *resource, bool from_push)
{
    return (resource->via == VIA_PUSH) != from_push || resource->whole;
}

/* Keeps a sheet's or script's text; without memory it is as if the text had ended there. */
static void keep_text(struct resource *resource, const uint8_t *bytes, size_t length)
{
    if (resource->kind != KIND_STYLE && resource->kind != KIND_SCRIPT)
        return;
    if (resource->text_length + length > BROWSER_TEXT_MAX)
        return;
    char *text = realloc(resource->text, resource->text_length + length);
    if (!text)
        return;
    memcpy(text + resource->text_length, bytes, length);
    resource->text = text;
    resource->text_length += length;
}

void browser_bytes(struct browser *browser, struct resource *resource, bool from_push,
                   const uint8_t *bytes, size_t length)
{
    if (from_elsewhere(resource, from_push))
        return;
    if (!resource->first_us)
        resource->first_us = browser->now_us();
    keep_text(resource, bytes, length);
    if (resource != browser->document)
        return;
    scan_html_feed(&browser->html, bytes, length);
    if (browser->html.body && !browser->body_us)
        browser->body_us = browser->now_us();
    look(browser);
}

void browser_ended(struct browser *browser, struct resource *resource, bool from_push, bool whole)
{
    if (from_elsewhere(resource, from_push))
        return;
    resource->coming = false;
    if (!whole && from_push) {
        browser_promise_over(browser, resource);
        return;
    }
    resource->whole = whole;
    resource->failed = !whole;
    resource->last_us = browser->now_us();
    look(browser);
}

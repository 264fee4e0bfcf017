/* What a browser makes of a page: what it knows, what it needs, when it runs what. It asks through
 * `ask` and never twice; what was promised it does not ask for. All times are in microseconds of
 * one clock. */
#ifndef PAGE_VISIT_BROWSER_H
#define PAGE_VISIT_BROWSER_H

#include "bench/page/visit/scan.h"

#define BROWSER_RESOURCES_MAX 512
#define BROWSER_TEXT_MAX (4 << 20) /* of a style sheet or script; the rest is not read */

enum via { VIA_NOTHING, VIA_REQUEST, VIA_PUSH, VIA_CACHE };

struct resource {
    char path[SCAN_PATH_MAX];
    enum kind kind;
    bool whole, failed; /* of the cache: they last */
    char *text;         /* of a sheet or script; owned */
    size_t text_length;
    char *file; /* what the body must be; owned; NULL: not known */
    size_t file_length;
    /* of this page */
    bool found, blocking, ordered, processed;
    bool hinted, promised, coming;
    enum via via;
    uint64_t found_us, promised_us, asked_us, first_us, last_us; /* 0: it did not happen */
};

struct browser {
    void (*ask)(void *context, struct resource *resource);
    void *context;
    uint64_t (*now_us)(void);
    struct resource *resources; /* owned: BROWSER_RESOURCES_MAX of them */
    unsigned count;
    unsigned order[BROWSER_RESOURCES_MAX]; /* what this page needs, as it was found */
    unsigned order_count;
    struct resource *document;
    struct scan_html html;
    uint64_t began_us;
    uint64_t body_us, painted_us, complete_us; /* 0: not yet */
};

/* Returns 0 or -ENOMEM. */
int browser_init(struct browser *browser, uint64_t (*now_us)(void),
                 void (*ask)(void *context, struct resource *resource), void *context);
void browser_finish(struct browser *browser);

/* Begins a page that is asked for later (browser_ask_page); what is held is kept. */
void browser_begin(struct browser *browser, const char *path);
void browser_ask_page(struct browser *browser);

/* The resource of that path, made if need be; NULL when there are too many. */
struct resource *browser_resource(struct browser *browser, const char *path);

/* A promise came. Returns whether it is redundant: held, or on its way already. */
bool browser_promised(struct browser *browser, struct resource *resource);

/* The promise's stream will bring nothing: what is needed is asked for. */
void browser_promise_over(struct browser *browser, struct resource *resource);

/* A Link field of the page's 103. */
void browser_hinted(struct browser *browser, const char *value, size_t length);

/* Bytes of a body, in order; `from_push` says by which way. */
void browser_bytes(struct browser *browser, struct resource *resource, bool from_push,
                   const uint8_t *bytes, size_t length);

/* A body has ended, whole or not. */
void browser_ended(struct browser *browser, struct resource *resource, bool from_push, bool whole);

#endif

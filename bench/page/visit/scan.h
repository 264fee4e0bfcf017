/* Finds in HTML, style sheets and scripts what a browser would ask for next. */
#ifndef PAGE_VISIT_SCAN_H
#define PAGE_VISIT_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCAN_TAG_MAX 2048 /* bytes of a tag; a longer one is passed over */
#define SCAN_PATH_MAX 256

enum kind { KIND_DOCUMENT, KIND_STYLE, KIND_SCRIPT, KIND_FONT, KIND_IMAGE, KIND_OTHER };

struct scan_find {
    char path[SCAN_PATH_MAX]; /* absolute, of the page's own origin */
    enum kind kind;
    bool blocking; /* nothing is painted before it is there */
    bool ordered;  /* a script that runs only after the ordered scripts and the sheets before it */
};

typedef void scan_found(void *context, const struct scan_find *find);

struct scan_html {
    scan_found *found;
    void *context;
    char base[SCAN_PATH_MAX]; /* the document's directory, with its last slash */
    bool body;                /* the body has begun */
    enum { SCAN_TEXT, SCAN_TAG, SCAN_COMMENT, SCAN_RAW } state;
    const char *raw_end; /* what ends a raw element's text */
    size_t length;       /* of `tag`, or of what may be the end of a comment or raw text */
    char tag[SCAN_TAG_MAX];
};

/* path: the document's own. */
void scan_html_init(struct scan_html *scan, const char *path, scan_found *found, void *context);

/* Takes the next bytes of the document; calls `found` for each tag that is complete. */
void scan_html_feed(struct scan_html *scan, const uint8_t *bytes, size_t length);

/* A whole style sheet: @import, and url() of fonts and images. path: the sheet's own. */
void scan_style(const char *path, const char *text, size_t length, scan_found *found,
                void *context);

/* A whole script: what load("/path") in it names. */
void scan_script(const char *path, const char *text, size_t length, scan_found *found,
                 void *context);

/* A Link field: each target of rel=preload (RFC 8297). */
void scan_link_field(const char *path, const char *value, size_t length, scan_found *found,
                     void *context);

/* The kind that a path's ending says. */
enum kind scan_kind_of(const char *path);

#endif

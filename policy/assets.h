/* What a page needs, read off its HTML: the requests that a browser would surely make for it.
 *
 * A scan belongs to one version of one page. The worker feeds it the page's HTML in slices, then
 * the text of each stylesheet it asks for, and takes the result, which never changes afterwards;
 * policies only read results. Nothing is proposed on a guess: where the choice is the browser's (a
 * srcset of several sizes, a media query on the width, a font that may already be installed)
 * nothing is said.
 *
 *     assets_scan_create(&page, &scan);
 *     while (more && assets_scan_feed(scan, slice) == 0)
 *         ;
 *     assets_scan_end(scan);
 *     for (size_t i = 0; i < assets_scan_stylesheets(scan); i++)
 *         assets_scan_css(scan, i, text of assets_scan_stylesheet(scan, i));
 *     assets = assets_scan_result(scan);
 *     assets_scan_destroy(scan);
 *
 * One thread at a time may use a scan; a result may be read by several. */
#ifndef HERALD_ASSETS_H
#define HERALD_ASSETS_H

#include "master/handoff/span.h"
#include "policy/request.h"

#include <stdbool.h>
#include <stddef.h>

#define ASSETS_MAX 256                /* assets of one page; the scan stops there */
#define ASSETS_HTML_MAX (1024 * 1024) /* bytes of HTML that are looked at */
#define ASSETS_SLICE_MAX (16 * 1024)  /* bytes to feed in one wake-up, so that no client waits */
#define ASSETS_STYLESHEETS_MAX 64     /* stylesheets that are read, imported ones included */
#define ASSETS_CSS_MAX (256 * 1024)   /* bytes of one stylesheet that are looked at */
#define ASSETS_PATH_MAX 1024          /* bytes of a path with its query; longer ones are left out */

/* The `fetchpriority` attribute (HTML, "fetch priority attributes"). */
enum assets_priority { ASSETS_PRIORITY_AUTO, ASSETS_PRIORITY_HIGH, ASSETS_PRIORITY_LOW };

struct asset {
    struct span path; /* absolute path and query as a browser sends them, NUL-terminated */
    enum asset_as as; /* AS_STYLE, AS_SCRIPT, AS_FONT, AS_IMAGE or AS_FETCH */
    enum assets_priority priority;
    bool blocking;    /* nothing is painted before it is here */
    bool crossorigin; /* fetched in CORS mode: fonts, module scripts, `crossorigin` */
    bool module;      /* a module script: hinted as modulepreload rather than preload */
};

/* Render-blocking assets first, each part in document order; no path twice. */
struct assets {
    size_t count;
    struct asset items[];
};

/* Where the page was found. A browser at this URL makes the requests; only those to the same scheme
 * and authority are proposed. */
struct assets_page {
    struct span scheme;    /* "https" or "http" */
    struct span authority; /* host, and the port unless it is the scheme's own */
    struct span path;      /* absolute; a query may follow */
};

struct assets_scan;

/* Makes a scan, owned by the caller. `page` is copied. Returns 0, -EINVAL for a page that is no
 * absolute http(s) URL or is too long, or -ENOMEM. */
int assets_scan_create(const struct assets_page *page, struct assets_scan **scan);
void assets_scan_destroy(struct assets_scan *scan);

/* Reads the next bytes of the page, any number of them; results do not depend on how it is cut.
 * Returns 0, 1 when no more is needed (a limit was reached, or a browser wouldn't stay on the
 * page), or -ENOMEM, after which the result is NULL. */
int assets_scan_feed(struct assets_scan *scan, struct span html);

/* The page is complete, or no more of it will come. Returns 0 or -ENOMEM. */
int assets_scan_end(struct assets_scan *scan);

/* How many stylesheets are to be read, now. Reading one may add those that it imports. */
size_t assets_scan_stylesheets(const struct assets_scan *scan);

/* The path of stylesheet `i` < assets_scan_stylesheets(), borrowed until destroy. */
struct span assets_scan_stylesheet(const struct assets_scan *scan, size_t i);

/* Hands over stylesheet `i`, whole, after assets_scan_end(): its imports and fonts. Of one that
 * does not exist give an empty text. Any sheet that is left out, fed twice or longer than
 * ASSETS_CSS_MAX might have chosen other fonts, so no font is then inferred. Returns 0, -EINVAL for
 * an `i` that is not to be read (any more), or -ENOMEM. */
int assets_scan_css(struct assets_scan *scan, size_t i, struct span css);

/* The assets found; owned by the caller, one block, readable after the scan is gone. NULL when out
 * of memory. */
struct assets *assets_scan_result(struct assets_scan *scan);
void assets_destroy(struct assets *assets);

#endif

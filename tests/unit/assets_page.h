/* Scans a page from memory and writes what was found in one line, for the tests of policy/assets.
 *
 * An asset is its path, less a "/p/" that it begins with, with a sign for each of its marks: "!"
 * blocks rendering, "^" is fetched in CORS mode, "*" is a module, "+" and "-" its fetchpriority. */
#ifndef HERALD_TESTS_ASSETS_PAGE_H
#define HERALD_TESTS_ASSETS_PAGE_H

#include "policy/assets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FOUND_MAX 65536

/* A stylesheet that the page's scan may ask for. */
struct sheet_text {
    const char *path;
    const char *css;
};

static struct assets_scan *scan_open(void)
{
    const struct assets_page page = {SPAN_LITERAL("https"), SPAN_LITERAL("a.test"),
                                     SPAN_LITERAL("/p/page.html?x=1")};
    struct assets_scan *scan = NULL;

    assert_int_equal(assets_scan_create(&page, &scan), 0);
    return scan;
}

/* Feeds from blocks of the exact size, so that a read beyond one is noticed. */
static int feed_exact(struct assets_scan *scan, const char *html, size_t length)
{
    char *copy = malloc(length ? length : 1);

    assert_non_null(copy);
    if (length)
        memcpy(copy, html, length);
    int rc = assets_scan_feed(scan, span_make(copy, length));
    free(copy);
    return rc;
}

static void feed_sliced(struct assets_scan *scan, const char *html, size_t length, size_t slice)
{
    for (size_t at = 0; at < length; at += slice)
        if (feed_exact(scan, html + at, length - at < slice ? length - at : slice) != 0)
            break;
    assert_int_equal(assets_scan_end(scan), 0);
}

/* Answers what the scan asks for; a sheet that isn't listed is left out. */
static void feed_sheets(struct assets_scan *scan, const struct sheet_text *sheets)
{
    for (size_t i = 0; i < assets_scan_stylesheets(scan); i++)
        for (const struct sheet_text *sheet = sheets; sheet && sheet->path; sheet++)
            if (span_equal(assets_scan_stylesheet(scan, i), span_of(sheet->path)))
                assert_int_equal(assets_scan_css(scan, i, span_of(sheet->css)), 0);
}

static void write_asset(char *line, const struct asset *asset)
{
    const char *path = asset->path.data;
    size_t length = strlen(line);

    assert_int_equal(strlen(path), asset->path.length);
    if (strncmp(path, "/p/", 3) == 0 && path[3])
        path += 3;
    snprintf(line + length, FOUND_MAX - length, "%s%s%s%s%s%s", length ? " " : "", path,
             asset->blocking ? "!" : "", asset->crossorigin ? "^" : "", asset->module ? "*" : "",
             asset->priority == ASSETS_PRIORITY_HIGH  ? "+"
             : asset->priority == ASSETS_PRIORITY_LOW ? "-"
                                                      : "");
}

static const char *found_bytes(const char *html, size_t length, size_t slice,
                               const struct sheet_text *sheets)
{
    static char line[FOUND_MAX];
    struct assets_scan *scan = scan_open();

    feed_sliced(scan, html, length, slice);
    feed_sheets(scan, sheets);
    struct assets *assets = assets_scan_result(scan);
    assets_scan_destroy(scan);
    assert_non_null(assets);
    line[0] = '\0';
    for (size_t i = 0; i < assets->count; i++)
        write_asset(line, &assets->items[i]);
    assets_destroy(assets);
    return line;
}

/* What is found in `html`, which must not depend on how it is cut. */
static const char *found_with(const char *html, const struct sheet_text *sheets)
{
    char *whole = strdup(found_bytes(html, strlen(html), ASSETS_SLICE_MAX, sheets));

    assert_non_null(whole);
    for (size_t slice = 1; slice < 8; slice += 3)
        assert_string_equal(found_bytes(html, strlen(html), slice, sheets), whole);
    free(whole);
    return found_bytes(html, strlen(html), ASSETS_SLICE_MAX, sheets);
}

static inline const char *found(const char *html)
{
    return found_with(html, NULL);
}

#endif

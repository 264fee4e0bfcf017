/* A page in slices, and its stylesheets. The first byte tells how the page is cut; after a NUL each
 * comes a stylesheet. The assets must not depend on the cut. */
#include "tests/fuzz/input.h"

#include "policy/assets.h"

static struct assets *scan_page(struct span html, size_t slice, struct span sheets)
{
    static const struct assets_page page = {SPAN_LITERAL("https"), SPAN_LITERAL("a.test"),
                                            SPAN_LITERAL("/shop/index.html")};
    struct assets_scan *scan;
    MUST(assets_scan_create(&page, &scan) == 0);
    while (html.length) {
        size_t length = html.length < slice ? html.length : slice;
        if (assets_scan_feed(scan, span_make(html.data, length)) != 0)
            break;
        html = span_after(html, length);
    }
    MUST(assets_scan_end(scan) == 0);
    for (size_t i = 0; i < assets_scan_stylesheets(scan); i++) {
        struct span path = assets_scan_stylesheet(scan, i);
        size_t length = span_find(sheets, 0);
        MUST(path.length && path.data[0] == '/' && i < ASSETS_STYLESHEETS_MAX);
        MUST(assets_scan_css(scan, i, span_make(sheets.data, length)) == 0);
        sheets = span_after(sheets, length + (length < sheets.length));
    }
    struct assets *assets = assets_scan_result(scan);
    MUST(assets && assets->count <= ASSETS_MAX);
    assets_scan_destroy(scan);
    return assets;
}

static void check(const struct assets *assets)
{
    for (size_t i = 0; i < assets->count; i++) {
        struct span path = assets->items[i].path;
        MUST(path.length && path.length <= ASSETS_PATH_MAX && path.data[0] == '/');
        MUST(path.data[path.length] == 0 && span_find(path, '#') == path.length);
        for (size_t at = 0; at < path.length; at++)
            MUST(path.data[at] > ' ' && path.data[at] < 0x7f);
        for (size_t other = 0; other < i; other++)
            MUST(!span_equal(path, assets->items[other].path));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = input_make(data, size);
    size_t slice = 1 + (size_t)input_byte(&input) % 64;
    struct span html = input_take(&input, span_find(input.rest, 0));
    input_byte(&input);
    struct span sheets = input_take(&input, input.rest.length);
    struct assets *whole = scan_page(html, html.length + 1, sheets);
    struct assets *cut = scan_page(html, slice, sheets);
    check(whole);
    MUST(whole->count == cut->count);
    for (size_t i = 0; i < whole->count; i++)
        MUST(span_equal(whole->items[i].path, cut->items[i].path) &&
             whole->items[i].as == cut->items[i].as);
    assets_destroy(whole);
    assets_destroy(cut);
    input_finish(&input);
    return 0;
}

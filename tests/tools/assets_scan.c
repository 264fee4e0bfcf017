/* Scans a page below a folder as a worker would, and prints its assets: one line each of
 * path, as, blocking, crossorigin, module and fetchpriority, separated by tabs.
 *
 *   assets_scan SCHEME AUTHORITY PATH ROOT [SLICE]
 *
 * PATH is the page's ("/" at its end stands for index.html); SLICE the bytes fed at once. */
#include "policy/assets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_BYTES_MAX (4 * 1024 * 1024)

/* Reads the file that `path` names below `root`, at most `max` bytes. Returns its length or -errno.
 */
static ssize_t file_read(const char *root, struct span path, char *buffer, size_t max)
{
    char name[4096];
    size_t length = span_find(path, '?');
    size_t got = 0;
    ssize_t n = 0;
    bool folder = length == 0 || path.data[length - 1] == '/';

    snprintf(name, sizeof(name), "%s%.*s%s", root, (int)length, path.data,
             folder ? "index.html" : "");
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    while (got < max && (n = read(fd, buffer + got, max - got)) > 0)
        got += (size_t)n;
    close(fd);
    return n < 0 ? -EIO : (ssize_t)got;
}

static void feed_page(struct assets_scan *scan, struct span html, size_t slice)
{
    while (html.length) {
        size_t length = html.length < slice ? html.length : slice;
        if (assets_scan_feed(scan, span_make(html.data, length)) != 0)
            break;
        html = span_after(html, length);
    }
    assets_scan_end(scan);
}

static void feed_stylesheets(struct assets_scan *scan, const char *root, char *buffer)
{
    for (size_t i = 0; i < assets_scan_stylesheets(scan); i++) {
        struct span path = assets_scan_stylesheet(scan, i);
        ssize_t length = file_read(root, path, buffer, FILE_BYTES_MAX);
        assets_scan_css(scan, i, span_make(buffer, length < 0 ? 0 : (size_t)length));
    }
}

static void print(const struct assets *assets)
{
    static const char *const kinds[AS_KINDS] = {[AS_STYLE] = "style",
                                                [AS_SCRIPT] = "script",
                                                [AS_FONT] = "font",
                                                [AS_IMAGE] = "image",
                                                [AS_FETCH] = "fetch"};
    static const char *const priorities[] = {"auto", "high", "low"};

    for (size_t i = 0; i < assets->count; i++) {
        const struct asset *asset = &assets->items[i];
        printf("%s\t%s\t%d\t%d\t%d\t%s\n", asset->path.data,
               kinds[asset->as] ? kinds[asset->as] : "?", asset->blocking, asset->crossorigin,
               asset->module, priorities[asset->priority]);
    }
}

int main(int argc, char **argv)
{
    struct assets_scan *scan;

    if (argc < 5 || argc > 6) {
        fputs("usage: assets_scan SCHEME AUTHORITY PATH ROOT [SLICE]\n", stderr);
        return 2;
    }
    struct assets_page page = {span_of(argv[1]), span_of(argv[2]), span_of(argv[3])};
    size_t slice = argc > 5 ? strtoul(argv[5], NULL, 10) : ASSETS_SLICE_MAX;
    char *buffer = malloc(FILE_BYTES_MAX);
    if (!buffer)
        return 1;
    ssize_t length = file_read(argv[4], page.path, buffer, FILE_BYTES_MAX);
    if (length < 0 || slice == 0 || assets_scan_create(&page, &scan) < 0) {
        fprintf(stderr, "assets_scan: can't scan %s below %s\n", argv[3], argv[4]);
        return 1;
    }
    feed_page(scan, span_make(buffer, (size_t)length), slice);
    feed_stylesheets(scan, argv[4], buffer);
    struct assets *assets = assets_scan_result(scan);
    assets_scan_destroy(scan);
    free(buffer);
    if (!assets)
        return 1;
    print(assets);
    assets_destroy(assets);
    return 0;
}

/* What the page client finds in what it receives, and how it counts frames. */
#include "bench/page/visit/frames.c"
#include "bench/page/visit/scan.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define FINDS_MAX 16

struct finds {
    struct scan_find items[FINDS_MAX];
    size_t count;
};

static void note(void *context, const struct scan_find *find)
{
    struct finds *finds = context;
    assert_true(finds->count < FINDS_MAX);
    finds->items[finds->count++] = *find;
}

static const char page[] =
    "<!doctype html><html><head><title>a > b</title>\n"
    "<!-- <img src=/commented.png> -- > still -->"
    "<link rel='stylesheet' href=\"/a.css\"><LINK REL=preload as=font HREF=/f.woff2 crossorigin>\n"
    "<script src=/sync.js></script><script>var s = '<img src=/inline.png>';</script>\n"
    "<script async src=\"/async.js\"></script><link rel=icon href=/icon.svg>\n"
    "</head><body class=x><img src=\"pictures/p.jpg\" alt='>'><img loading=lazy src=/lazy.png>\n"
    "<img src=https://elsewhere.test/x.png><script src=/late.js></script></body></html>";

static void check_page(const struct finds *finds)
{
    static const struct scan_find wanted[] = {{"/a.css", KIND_STYLE, true, false},
                                              {"/f.woff2", KIND_FONT, false, false},
                                              {"/sync.js", KIND_SCRIPT, true, true},
                                              {"/async.js", KIND_SCRIPT, false, false},
                                              {"/dir/pictures/p.jpg", KIND_IMAGE, false, false},
                                              {"/late.js", KIND_SCRIPT, false, true}};
    assert_int_equal(finds->count, sizeof(wanted) / sizeof(wanted[0]));
    for (size_t i = 0; i < finds->count; i++) {
        assert_string_equal(finds->items[i].path, wanted[i].path);
        assert_int_equal(finds->items[i].kind, wanted[i].kind);
        assert_int_equal(finds->items[i].blocking, wanted[i].blocking);
        assert_int_equal(finds->items[i].ordered, wanted[i].ordered);
    }
}

static void html_is_understood_however_it_is_cut(void **state)
{
    (void)state;
    size_t length = sizeof(page) - 1;
    for (size_t cut = 1; cut < length; cut++) {
        struct scan_html scan;
        struct finds finds = {0};
        scan_html_init(&scan, "/dir/page.html", note, &finds);
        for (size_t at = 0; at < length; at += cut)
            scan_html_feed(&scan, (const uint8_t *)page + at,
                           cut < length - at ? cut : length - at);
        check_page(&finds);
        assert_true(scan.body);
    }
}

static void a_tag_is_reported_as_soon_as_it_is_complete(void **state)
{
    (void)state;
    struct scan_html scan;
    struct finds finds = {0};
    static const uint8_t text[] = "<link rel=stylesheet href=/a.css>";
    scan_html_init(&scan, "/", note, &finds);
    scan_html_feed(&scan, text, sizeof(text) - 2);
    assert_int_equal(finds.count, 0);
    scan_html_feed(&scan, text + sizeof(text) - 2, 1);
    assert_int_equal(finds.count, 1);
}

static void sheets_and_scripts_name_what_they_need(void **state)
{
    (void)state;
    struct finds finds = {0};
    static const char sheet[] = "@import \"/base.css\";@font-face{src:url(/f.woff2) format(\"x\")}"
                                ".a{background:url( 'dot.png' )}.b{background:url(data:image/x)}";
    static const char script[] = "load(\"/more.js\"); load (\"/no.js\"); load(\"/dot.png\")";
    scan_style("/assets/a.css", sheet, sizeof(sheet) - 1, note, &finds);
    scan_script("/assets/a.js", script, sizeof(script) - 1, note, &finds);
    static const char *const wanted[] = {"/base.css", "/f.woff2", "/assets/dot.png", "/more.js",
                                         "/dot.png"};
    assert_int_equal(finds.count, 5);
    for (size_t i = 0; i < finds.count; i++)
        assert_string_equal(finds.items[i].path, wanted[i]);
    assert_true(finds.items[0].blocking);
    assert_int_equal(finds.items[1].kind, KIND_FONT);
}

static void preloads_of_a_link_field_are_found(void **state)
{
    (void)state;
    struct finds finds = {0};
    static const char field[] = "</a.css>; rel=preload; as=style, <//cdn.test>; rel=preconnect, "
                                "</f>; rel=preload; as=font; crossorigin";
    scan_link_field("/", field, sizeof(field) - 1, note, &finds);
    assert_int_equal(finds.count, 2);
    assert_string_equal(finds.items[0].path, "/a.css");
    assert_int_equal(finds.items[1].kind, KIND_FONT);
}

static struct frame seen[4];
static size_t seen_count;

static void see(void *context, const struct frame *frame)
{
    (void)context;
    seen[seen_count++] = *frame;
}

static void frames_are_seen_however_they_are_cut(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0, 0, 3, 0, 1, 0, 0, 0, 2, 'a', 'b', 'c', 0, 0, 0, 4, 1,
                                    0, 0, 0, 0, 0, 0, 4, 3, 0, 0,   0,   1,   4, 0, 0, 0, 8};
    for (size_t cut = 1; cut <= sizeof(bytes); cut++) {
        struct frames frames = {.began = see};
        seen_count = 0;
        for (size_t at = 0; at < sizeof(bytes); at += cut)
            frames_feed(&frames, bytes + at, cut < sizeof(bytes) - at ? cut : sizeof(bytes) - at);
        assert_int_equal(seen_count, 3);
        assert_int_equal(seen[0].length, 3);
        assert_int_equal(seen[0].stream, 2);
        assert_int_equal(seen[1].type, 4);
        assert_int_equal(seen[2].stream, 260);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(html_is_understood_however_it_is_cut),
        cmocka_unit_test(a_tag_is_reported_as_soon_as_it_is_complete),
        cmocka_unit_test(sheets_and_scripts_name_what_they_need),
        cmocka_unit_test(preloads_of_a_link_field_are_found),
        cmocka_unit_test(frames_are_seen_however_they_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

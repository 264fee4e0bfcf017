/* policy/assets: its limits, and input of any kind. */
#include "tests/unit/assets_page.h"

/* ---- limits ---- */

static char *repeat(const char *unit, size_t count)
{
    size_t length = strlen(unit);
    char *text = malloc(length * count + 1);

    assert_non_null(text);
    for (size_t i = 0; i < count; i++)
        memcpy(text + i * length, unit, length);
    text[length * count] = '\0';
    return text;
}

static void the_scan_stops_at_its_limit_of_assets(void **state)
{
    struct assets_scan *scan = scan_open();
    char image[64];
    int fed = 0;
    int rc = 0;

    (void)state;
    while (rc == 0 && fed < 1000) {
        snprintf(image, sizeof(image), "<img src=%d><img src=%d>", fed, fed);
        rc = assets_scan_feed(scan, span_of(image));
        fed++;
    }
    assert_int_equal(rc, 1);
    assert_int_equal(fed, ASSETS_MAX + 1);
    assert_int_equal(assets_scan_feed(scan, SPAN_LITERAL("<img src=x>")), 1);
    assert_int_equal(assets_scan_end(scan), 0);
    struct assets *assets = assets_scan_result(scan);
    assert_int_equal(assets->count, ASSETS_MAX);
    assets_destroy(assets);
    assets_scan_destroy(scan);
}

static void the_scan_stops_at_its_limit_of_bytes(void **state)
{
    char *text = repeat("0123456789abcdef", ASSETS_HTML_MAX / 16);
    struct assets_scan *scan = scan_open();

    (void)state;
    assert_int_equal(assets_scan_feed(scan, SPAN_LITERAL("<img src=a>")), 0);
    assert_int_equal(assets_scan_feed(scan, span_of(text)), 1);
    assert_int_equal(assets_scan_feed(scan, SPAN_LITERAL("<img src=b>")), 1);
    assert_int_equal(assets_scan_end(scan), 0);
    struct assets *assets = assets_scan_result(scan);
    assert_int_equal(assets->count, 1);
    assets_destroy(assets);
    assets_scan_destroy(scan);
    free(text);
}

static void a_path_or_tag_beyond_the_limits_is_left_out(void **state)
{
    char *text = repeat("x", 200000);
    char *page = malloc(700000);

    (void)state;
    assert_non_null(page);
    snprintf(page, 700000,
             "<img src=%.*s><img src=%.*s><img src='data:,%s'><img src=a alt='%s'>"
             "<img src=b %s><img src=c>",
             ASSETS_PATH_MAX - 3, text, ASSETS_PATH_MAX - 2, text, text, text, text);
    const char *line = found_bytes(page, strlen(page), 4096, NULL);
    assert_int_equal(strspn(line, "x"), ASSETS_PATH_MAX - 3);
    assert_string_equal(line + strspn(line, "x"), " a c");
    free(page);
    free(text);
}

static void a_tag_with_too_many_attributes_loses_them(void **state)
{
    char *attributes = repeat(" a=b", 64);
    char page[1024];

    (void)state;
    snprintf(page, sizeof(page), "<img src=a%.*s><img src=b%s><img src=c>", 63 * 4, attributes,
             attributes);
    assert_string_equal(found(page), "a c");
    free(attributes);
}

static void deep_nesting_costs_nothing_and_hides_nothing(void **state)
{
    char *open = repeat("<b>", 20000);
    char *page = malloc(70000);

    (void)state;
    assert_non_null(page);
    snprintf(page, 70000, "%s<picture><source srcset=a><img src=b></picture><img src=c>", open);
    assert_string_equal(found_bytes(page, strlen(page), ASSETS_SLICE_MAX, NULL), "a c");
    free(page);
    free(open);
}

/* ---- any input ---- */

static uint64_t random_state;

static unsigned random_below(unsigned limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)((random_state >> 11) % limit);
}

/* Overwrites, removes or repeats parts of a page, or puts a piece of markup in. */
static size_t mutate(char *page, size_t length, size_t max)
{
    static const char *const pieces[] = {
        "<",        ">",    "\"",        "'",          "<!--",    "-->",
        "<script>", "</",   "<style>",   "<template>", "&#0;",    "&amp;",
        "<svg>",    "\\",   "@import '", "url(",       "{",       "}",
        "/*",       "\xC3", "<select>",  "<picture>",  "<title>", "<base href=//x>"};
    size_t at = random_below((unsigned)length);
    const char *piece = pieces[random_below(sizeof(pieces) / sizeof(*pieces))];
    size_t span = random_below(30);

    if (span > length - at)
        span = length - at;
    switch (random_below(3)) {
    case 0:
        page[at] = (char)random_below(256);
        return length;
    case 1:
        memmove(page + at, page + at + span, length - at - span);
        return length - span ? length - span : 1;
    default:
        if (length + strlen(piece) > max)
            return length;
        memmove(page + at + strlen(piece), page + at, length - at);
        memcpy(page + at, piece, strlen(piece));
        return length + strlen(piece);
    }
}

static void any_bytes_are_read_without_harm_and_alike_in_any_slices(void **state)
{
    static const char seed[] =
        "<!doctype html><html class=a><head><meta charset=utf-8><title>t</title><base href=/p/>"
        "<link rel=stylesheet href=a.css><style>@font-face{font-family:F;src:url(f.woff2)}"
        "body>p.x{font:bold 1em F}@media screen{b{font-family:F}}</style><script src=b.js></script>"
        "</head><body><p class=x>text <b>bold</b><img srcset='c.png 1x' src='&#x63;.png'>"
        "<picture><source srcset=d.png><img src=e.png></picture><svg><path/></svg><ul><li>i</ul>"
        "<template><img></template><!-- c --><textarea></textarea><table><tr><td>x</table>";
    static const struct sheet_text sheets[] = {
        {"/p/a.css", "@import url(g.css) screen;p{font-weight:bolder!important}"}, {NULL, NULL}};
    const char *soak = getenv("HERALD_SOAK");
    int rounds = soak ? 100000 : 3000;
    char page[4096];

    (void)state;
    random_state = 0x2545F4914F6CDD1DULL;
    for (int round = 0; round < rounds; round++) {
        size_t length = sizeof(seed) - 1;
        memcpy(page, seed, length);
        for (unsigned i = random_below(8) + 1; i > 0; i--)
            length = mutate(page, length, sizeof(page));
        char *whole = strdup(found_bytes(page, length, sizeof(page), sheets));
        assert_non_null(whole);
        assert_string_equal(found_bytes(page, length, random_below(20) + 1, sheets), whole);
        free(whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_scan_stops_at_its_limit_of_assets),
        cmocka_unit_test(the_scan_stops_at_its_limit_of_bytes),
        cmocka_unit_test(a_path_or_tag_beyond_the_limits_is_left_out),
        cmocka_unit_test(a_tag_with_too_many_attributes_loses_them),
        cmocka_unit_test(deep_nesting_costs_nothing_and_hides_nothing),
        cmocka_unit_test(any_bytes_are_read_without_harm_and_alike_in_any_slices),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

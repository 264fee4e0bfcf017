/* policy/assets: what stylesheets import, and which of their fonts the page's text needs. */
#include "tests/unit/assets_page.h"

#include <errno.h>

/* A page with a font F in four faces, the given rules, and the given body. */
static const char *fonts_of(const char *rules, const char *body)
{
    static char page[16384];
    static char line[1024];

    snprintf(page, sizeof(page),
             "<!doctype html><html><head><style>"
             "@font-face{font-family:F;src:url(f400)}"
             "@font-face{font-family:F;font-weight:bold;src:url(f700)}"
             "@font-face{font-family:F;font-style:italic;src:url(f400i)}"
             "@font-face{font-family:G;src:url(g)} %s</style></head><body>%s</body></html>",
             rules, body);
    snprintf(line, sizeof(line), "%s", found(page));
    return line;
}

/* The page's text is in F400; the given block is what @font-face says of it. */
static const char *face_of(const char *block)
{
    static char page[4096];

    snprintf(page, sizeof(page),
             "<!doctype html><html><head><style>@font-face{font-family:F;%s}body{font-family:F}"
             "</style></head><body>text</body></html>",
             block);
    return found(page);
}

/* ---- imports ---- */

static void imports_block_as_their_stylesheet_does_and_follow_it(void **state)
{
    static const struct sheet_text sheets[] = {
        {"/p/css/a.css",
         "@charset 'utf-8';/* @import 'x'; */@import url(b.css);@import \"../c.css\" "
         "screen; @import url( '/d.css' );p{}@import 'late.css';"},
        {"/p/css/b.css", "@import 'e.css';"},
        {NULL, NULL}};

    (void)state;
    assert_string_equal(
        found_with("<link rel=stylesheet href=css/a.css><script src=z.js></script>", sheets),
        "css/a.css! css/b.css! c.css! /d.css! css/e.css! z.js!");
    assert_string_equal(found_with("<body><link rel=stylesheet href=css/b.css><img src=y>", sheets),
                        "css/b.css css/e.css y");
}

static void an_import_is_fetched_for_any_media_but_not_on_a_condition(void **state)
{
    (void)state;
    assert_string_equal(found("<style>@import 'a' print;@import 'b' layer(x) screen;@import 'c' "
                              "layer;@import 'd' supports(display: grid);@import 'e' (hover);"
                              "</style>"),
                        "a! b! c! e!");
    assert_string_equal(found("<style media=print>@import 'a';</style><style media='(hover)'>"
                              "@import 'b';</style><style type=x>@import 'c';</style>"),
                        "");
}

static void an_import_elsewhere_or_of_itself_is_left_out(void **state)
{
    static const struct sheet_text sheets[] = {
        {"/p/a.css", "@import 'a.css';@import '//b.test/c.css';@import 'd.css';@import 'data:x';"},
        {"/p/d.css", "@import 'a.css';@import 'e.css';"},
        {NULL, NULL}};

    (void)state;
    assert_string_equal(found_with("<link rel=stylesheet href=a.css>", sheets),
                        "a.css! d.css! e.css!");
}

static void escapes_and_comments_in_css_are_understood(void **state)
{
    (void)state;
    assert_string_equal(found("<style><!-- @import 'a\\62 c';@import url(d\\).css);@import"
                              "/**/url(e)/**/;@IMPORT \"f\" ;@import url(g h);@import '\nx';"
                              "</style>"),
                        "abc! d).css! e! f!");
}

/* ---- which fonts the text needs ---- */

static void a_font_is_proposed_when_text_is_set_in_it(void **state)
{
    (void)state;
    assert_string_equal(fonts_of("", "<p>text"), "");
    assert_string_equal(fonts_of("p{font-family:F,serif}", "<p>text"), "f400^");
    assert_string_equal(fonts_of("p{font-family:F}", "<p> \n&nbsp;...<img src=a>"), "a");
    assert_string_equal(fonts_of("p{font-family:F}", "<div>text"), "");
    assert_string_equal(fonts_of("p{font-family:serif,F}", "<p>text"), "");
    assert_string_equal(fonts_of("p{font-family:Arial,F}", "<p>text"), "");
    assert_string_equal(fonts_of("p{font-family:'f'}", "<p>7"), "f400^");
}

static void weight_and_slope_choose_the_face(void **state)
{
    (void)state;
    assert_string_equal(fonts_of("body{font-family:F}", "<b>bold</b>"), "f700^");
    assert_string_equal(fonts_of("body{font-family:F}", "<h2>bold</h2>a<em>x</em>"),
                        "f400^ f700^ f400i^");
    assert_string_equal(fonts_of("body{font:italic 1em/2 F}", "text"), "f400i^");
    assert_string_equal(fonts_of("body{font:600 12px F}", "text"), "f700^");
    assert_string_equal(fonts_of("body{font:bold 12px F;font-weight:300}", "text"), "f400^");
    assert_string_equal(fonts_of("body{font-family:G}", "<b>one face only</b>"), "g^");
    assert_string_equal(fonts_of("body{font:700 1em F}i{font:inherit}", "<i>text</i>"), "f700^");
}

static void the_cascade_decides(void **state)
{
    (void)state;
    assert_string_equal(fonts_of("p{font-family:F}p{font-family:G}", "<p>text"), "g^");
    assert_string_equal(fonts_of(".c{font-family:F}p{font-family:G}", "<p class='b c'>text"),
                        "f400^");
    assert_string_equal(fonts_of("#i{font-family:F}.c.c{font-family:G}", "<p id=i class=c>text"),
                        "f400^");
    assert_string_equal(fonts_of("p{font-family:G!important}#i{font-family:F}", "<p id=i>text"),
                        "g^");
    assert_string_equal(fonts_of("#i{font-family:F}", "<p id=i style='font-family: G'>text"), "g^");
    assert_string_equal(fonts_of("body{font-family:F}p{font-family:G}", "<div><p>text</div>"),
                        "g^");
    assert_string_equal(fonts_of("*{font-family:F}:root{font-family:G}", "<p>text"), "f400^");
}

static void selectors_are_matched_along_the_ancestors(void **state)
{
    (void)state;
    assert_string_equal(fonts_of("div p{font-family:F}", "<div><ul><li><p>text</div>"), "f400^");
    assert_string_equal(fonts_of("div>p{font-family:F}", "<div><ul><li><p>text</div>"), "");
    assert_string_equal(fonts_of("div > ul li>p{font-family:F}", "<div><ul><li><p>text"), "f400^");
    assert_string_equal(fonts_of("h1,\np , b{font-family:F}", "<p>text"), "f400^");
    assert_string_equal(fonts_of("td{font-family:F}", "<table><tr><td>text</table>"), "f400^");
    assert_string_equal(
        fonts_of("table > tbody > tr > td{font-family:F}", "<table><tr><td>text</table>"), "f400^");
}

static void a_rule_in_doubt_takes_the_fonts_with_it(void **state)
{
    static const char *const rules[] = {"p:first-child{font-family:G}",
                                        "p:not(.x){font-family:G}",
                                        "[id]{font-family:G}",
                                        "b + p{font-family:G}",
                                        "@media (min-width:9em){p{font-family:G}}",
                                        "@supports (a:b){p{font-family:G}}",
                                        "@layer x{p{font-family:G}}",
                                        "div{p{font-family:G}}",
                                        "p{font-family:var(--f)}",
                                        "p:hover{display:none}",
                                        "@media (hover){p{font-weight:bold}}",
                                        "p{all:unset}",
                                        "p{font:caption}",
                                        "p{content-visibility:auto}",
                                        "p{font-size:0}",
                                        "p{font-stretch:condensed}"};
    char both[256];

    (void)state;
    assert_string_equal(fonts_of("body p{font-family:F}", "<p>text"), "f400^");
    for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
        snprintf(both, sizeof(both), "p{font-family:F}%s", rules[i]);
        assert_string_equal(fonts_of(both, "<p>text"), "");
    }
}

static void rules_that_cannot_matter_do_not(void **state)
{
    static const char *const rules[] = {"p::before{font-family:G}",
                                        "p:after{font-family:G}",
                                        "@media print{p{font-family:G}}",
                                        "@media speech{@font-face{font-family:F;src:url(x)}}",
                                        "/* p{font-family:G} */",
                                        "p{background:url(a;}b{font-family:G})}",
                                        "@keyframes k{p{font-family:G}}",
                                        ".x p:hover{font-family:G}",
                                        "@page{font-family:G}",
                                        "p{--x:{font-family:G}}",
                                        "p[a='}p{font-family:G}']{color:red}",
                                        "p{content:'\\'}'}"};
    char both[256];

    (void)state;
    for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
        snprintf(both, sizeof(both), "%s p{font-family:F}", rules[i]);
        assert_string_equal(fonts_of(both, "<p>text"), "f400^");
    }
}

static void hidden_text_needs_no_font(void **state)
{
    static const char *const bodies[] = {"<p hidden>text",
                                         "<div style='display:none'><p>text</div>",
                                         "<div class=h><p>text</div>",
                                         "<details><p>text</details>",
                                         "<dialog><p>text</dialog>",
                                         "<p popover>text",
                                         "<my-element><p>text</my-element>",
                                         "<video><p>text</video>",
                                         "<textarea>text</textarea>",
                                         "<select><option>text</select>",
                                         "<template><p>text</template>",
                                         "<svg><text>text</svg>",
                                         "<noscript>text</noscript>",
                                         "<button>text</button>",
                                         "<code>text</code>",
                                         "<font face=x>text</font>",
                                         "<script>text</script>",
                                         "<!-- text -->",
                                         "<title>text</title>"};

    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++)
        assert_string_equal(fonts_of("body{font-family:F}.h{display:none}", bodies[i]), "");
}

static void text_whose_place_is_unclear_needs_no_font(void **state)
{
    static const char *const bodies[] = {"<b><div></b>text</div>",
                                         "<p><b>one</p>two",
                                         "<table>text</table>",
                                         "<table><div>text</div></table>",
                                         "<td>text</td>",
                                         "<a><div><a>text</a></div></a>",
                                         "<div><span></div>text</span>",
                                         "</p>text",
                                         "<p><i><ul>text</ul>",
                                         "<li><b><li>text"};

    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++)
        assert_string_equal(
            fonts_of("*{font-family:F;font-weight:400;font-style:normal}", bodies[i]),
            strstr(bodies[i], "one") ? "f400^" : "");
    assert_string_equal(found("<html><style>@font-face{font-family:F;src:url(f)}body{font-family:F}"
                              "</style><body>a page without a doctype"),
                        "");
}

static void end_tags_that_authors_leave_out_are_known(void **state)
{
    (void)state;
    assert_string_equal(fonts_of("p{font-family:F}", "<p><img src=a><div>text</div>"), "a");
    assert_string_equal(fonts_of("p{font-family:F}", "<p><section>text</section>"), "");
    assert_string_equal(fonts_of("li>li{font-family:F}", "<ul><li>a<li>b</ul>"), "");
    assert_string_equal(fonts_of("dt{font-family:F}", "<dl><dt><dd>b</dl>"), "");
    assert_string_equal(fonts_of("tr>td{font-family:F}", "<table><tr><th><td>b<tr></table>c"),
                        "f400^");
    assert_string_equal(found("<!doctype html><style>@font-face{font-family:F;src:url(f)}"
                              "html>body>p{font-family:F}</style><p>no html, head or body tag"),
                        "f^");
}

/* ---- font faces ---- */

static void the_first_source_that_every_browser_can_use_counts(void **state)
{
    (void)state;
    assert_string_equal(face_of("src:url(a) format('woff2'),url(b) format('woff')"), "a^");
    assert_string_equal(face_of("src:url(a.eot);src:url('a.eot?#iefix') "
                                "format('embedded-opentype'),url( \"b\" ) format(woff)"),
                        "b^");
    assert_string_equal(face_of("src:url(a.svg#f) format('svg'),url(b.ttf) format('truetype')"),
                        "b.ttf^");
    assert_string_equal(face_of("src:local('F'),url(a)"), "");
    assert_string_equal(face_of("src:url(data:font/woff2,x),url(a)"), "");
    assert_string_equal(face_of("src:url(https://b.test/a),url(b)"), "");
    assert_string_equal(face_of("src:url(a) format('collection'),url(b)"), "");
    assert_string_equal(face_of("src:url(a) format(woff2) tech(color-COLRv1),url(b)"), "");
    assert_string_equal(face_of("font-style:normal"), "");
}

static void a_range_must_have_all_letters_and_digits(void **state)
{
    (void)state;
    assert_string_equal(face_of("src:url(a);unicode-range:U+0000-00FF,U+131"), "a^");
    assert_string_equal(face_of("src:url(a);unicode-range:u+0??"), "a^");
    assert_string_equal(face_of("src:url(a);unicode-range:U+370-3FF"), "");
    assert_string_equal(face_of("src:url(a);unicode-range:U+41-5A"), "");
    assert_string_equal(face_of("src:url(a)}@font-face{font-family:F;src:url(b);"
                                "unicode-range:U+400-4FF"),
                        "a^");
    assert_string_equal(face_of("src:url(a)}@font-face{font-family:F;src:url(b)"), "b^");
    assert_string_equal(face_of("src:url(a)}@font-face{font-family:F;src:url(b);"
                                "unicode-range:U+61"),
                        "");
}

static void faces_that_browsers_rank_differently_are_left_out(void **state)
{
    (void)state;
    assert_string_equal(face_of("src:url(a);font-weight:100 900"), "a^");
    assert_string_equal(
        face_of("src:url(a);font-weight:100 900}@font-face{font-family:F;src:url(b)"), "");
    assert_string_equal(face_of("src:url(a);font-style:italic}@font-face{font-family:F;src:url(b);"
                                "font-style:oblique"),
                        "");
    assert_string_equal(face_of("src:url(a);font-style:oblique 10deg 20deg"), "");
    assert_string_equal(face_of("src:url(a);font-stretch:50%"), "");
    assert_string_equal(face_of("src:url(a);font-weight:300}@font-face{font-family:F;src:url(b);"
                                "font-weight:500"),
                        "b^");
}

/* ---- several stylesheets ---- */

static const char page_of_two[] = "<!doctype html><html><head><link rel=stylesheet "
                                  "href=css/a.css><link rel=stylesheet href=b.css>"
                                  "</head><body>text</body></html>";

static void later_sheets_prevail_and_imports_come_before_their_importer(void **state)
{
    static const struct sheet_text sheets[] = {
        {"/p/css/a.css", "@import 'c.css';body{font-family:F}"},
        {"/p/css/c.css", "@font-face{font-family:F;src:url(../f)}@font-face{font-family:G;"
                         "src:url(g)}html body{font-family:G}body{font-family:G}"},
        {"/p/b.css", "html body{font-family:F}"},
        {NULL, NULL}};

    (void)state;
    assert_string_equal(found_with(page_of_two, sheets), "css/a.css! css/c.css! b.css! f^");
}

static void no_font_is_inferred_unless_every_sheet_was_read(void **state)
{
    static const struct sheet_text sheets[] = {
        {"/p/css/a.css", "@font-face{font-family:F;src:url(f)}body{font-family:F}"},
        {"/p/b.css", ""},
        {NULL, NULL}};
    static const struct sheet_text only[] = {sheets[0], {NULL, NULL}};
    static const struct sheet_text elsewhere[] = {
        sheets[0], {"/p/b.css", "@import '//b.test/c.css';"}, {NULL, NULL}};

    (void)state;
    assert_string_equal(found_with(page_of_two, sheets), "css/a.css! b.css! css/f^");
    assert_string_equal(found_with(page_of_two, only), "css/a.css! b.css!");
    assert_string_equal(found_with(page_of_two, elsewhere), "css/a.css! b.css!");
    assert_string_equal(found("<!doctype html><style>@font-face{font-family:F;src:url(f)}"
                              "body{font-family:F}</style>"
                              "<link rel=stylesheet href=//b.test/a.css><body>text"),
                        "");
}

static void a_sheet_is_read_once_and_only_after_the_page(void **state)
{
    struct assets_scan *scan = scan_open();
    static char large[ASSETS_CSS_MAX + 1];

    (void)state;
    memset(large, ' ', sizeof(large));
    memcpy(large, "@import 'c';", 12);
    assert_int_equal(assets_scan_feed(scan, span_of(page_of_two)), 0);
    assert_int_equal(assets_scan_css(scan, 0, SPAN_LITERAL("")), -EINVAL);
    assert_int_equal(assets_scan_end(scan), 0);
    assert_int_equal(assets_scan_stylesheets(scan), 2);
    assert_true(span_equal(assets_scan_stylesheet(scan, 1), SPAN_LITERAL("/p/b.css")));
    assert_null(assets_scan_stylesheet(scan, 2).data);
    assert_int_equal(assets_scan_css(scan, 2, SPAN_LITERAL("")), -EINVAL);
    assert_int_equal(assets_scan_css(scan, 0, span_make(large, sizeof(large))), 0);
    assert_int_equal(assets_scan_css(scan, 0, SPAN_LITERAL("")), -EINVAL);
    assert_int_equal(assets_scan_stylesheets(scan), 3);
    struct assets *assets = assets_scan_result(scan);
    assert_int_equal(assets->count, 3);
    assert_int_equal(assets_scan_css(scan, 1, SPAN_LITERAL("")), -EINVAL);
    assets_destroy(assets);
    assets_scan_destroy(scan);
}

static void the_number_of_stylesheets_is_bounded(void **state)
{
    struct assets_scan *scan = scan_open();
    size_t i = 0;

    (void)state;
    assert_int_equal(assets_scan_feed(scan, SPAN_LITERAL("<link rel=stylesheet href=0>")), 0);
    assert_int_equal(assets_scan_end(scan), 0);
    for (; i < assets_scan_stylesheets(scan) && i < 1000; i++) {
        char css[64];
        snprintf(css, sizeof(css), "@import '%zu';@import '%zua';", i + 1, i + 1);
        assert_int_equal(assets_scan_css(scan, i, span_of(css)), 0);
    }
    assert_in_range(i, 8, ASSETS_STYLESHEETS_MAX);
    assets_scan_destroy(scan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(imports_block_as_their_stylesheet_does_and_follow_it),
        cmocka_unit_test(an_import_is_fetched_for_any_media_but_not_on_a_condition),
        cmocka_unit_test(an_import_elsewhere_or_of_itself_is_left_out),
        cmocka_unit_test(escapes_and_comments_in_css_are_understood),
        cmocka_unit_test(a_font_is_proposed_when_text_is_set_in_it),
        cmocka_unit_test(weight_and_slope_choose_the_face),
        cmocka_unit_test(the_cascade_decides),
        cmocka_unit_test(selectors_are_matched_along_the_ancestors),
        cmocka_unit_test(a_rule_in_doubt_takes_the_fonts_with_it),
        cmocka_unit_test(rules_that_cannot_matter_do_not),
        cmocka_unit_test(hidden_text_needs_no_font),
        cmocka_unit_test(text_whose_place_is_unclear_needs_no_font),
        cmocka_unit_test(end_tags_that_authors_leave_out_are_known),
        cmocka_unit_test(the_first_source_that_every_browser_can_use_counts),
        cmocka_unit_test(a_range_must_have_all_letters_and_digits),
        cmocka_unit_test(faces_that_browsers_rank_differently_are_left_out),
        cmocka_unit_test(later_sheets_prevail_and_imports_come_before_their_importer),
        cmocka_unit_test(no_font_is_inferred_unless_every_sheet_was_read),
        cmocka_unit_test(a_sheet_is_read_once_and_only_after_the_page),
        cmocka_unit_test(the_number_of_stylesheets_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

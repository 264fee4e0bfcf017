/* policy/assets: what is read off the HTML. Stylesheets and fonts are in policy_assets_css.c,
 * limits and broken input in policy_assets_limits.c. */
#include "tests/unit/assets_page.h"

#include <errno.h>

/* ---- links ---- */

static void stylesheets_in_the_head_block_and_come_first(void **state)
{
    (void)state;
    assert_string_equal(
        found("<head><script src=a.js async></script><link rel=stylesheet href=b.css>"
              "<script src=c.js></script></head><body><img src=d.png>"),
        "b.css! c.js! a.js d.png");
}

static void a_stylesheet_for_other_media_is_left_out(void **state)
{
    (void)state;
    assert_string_equal(found("<link rel=stylesheet href=a media=print>"
                              "<link rel=stylesheet href=b media='print, speech'>"
                              "<link rel=stylesheet href=c media='not screen'>"
                              "<link rel=stylesheet href=d media='not all'>"),
                        "");
}

static void a_stylesheet_that_may_not_match_is_proposed_but_does_not_block(void **state)
{
    (void)state;
    assert_string_equal(found("<link rel=stylesheet href=a media='(min-width: 40em)'>"
                              "<link rel=stylesheet href=b media='screen and (color)'>"
                              "<link rel=stylesheet href=c media='print, (hover)'>"
                              "<link rel=stylesheet href=d media='only screen'>"
                              "<link rel=stylesheet href=e media='not print'>"
                              "<link rel=stylesheet href=f media=' ALL '>"),
                        "d! e! f! a b c");
}

static void alternate_disabled_and_foreign_types_of_stylesheets_are_left_out(void **state)
{
    (void)state;
    assert_string_equal(found("<link rel='alternate stylesheet' href=a title=x>"
                              "<link rel=stylesheet href=b disabled>"
                              "<link rel=stylesheet href=c type=text/less>"
                              "<link rel=stylesheet href=d title=One>"
                              "<link rel=stylesheet href=e title=Two>"
                              "<link rel=stylesheet href=f title=One type='TEXT/CSS; charset=x'>"
                              "<link rel=StyleSheet href=g title=''>"
                              "<link rel=stylesheet href=''><link rel=stylesheet>"),
                        "d! f! g!");
}

static void a_stylesheet_in_the_body_does_not_block(void **state)
{
    (void)state;
    assert_string_equal(found("<body><link rel=stylesheet href=a.css><script src=b.js></script>"),
                        "a.css b.js");
    assert_string_equal(
        found("<head></head><script src=a.js></script>text<script src=b.js></script>"),
        "a.js! b.js");
    assert_string_equal(found("<svg></svg><link rel=stylesheet href=a.css>"), "a.css");
}

static void preloads_are_proposed_when_every_browser_takes_them(void **state)
{
    (void)state;
    assert_string_equal(
        found("<link rel=preload as=style href=a><link rel=preload as=script href=b>"
              "<link rel=preload as=font href=c crossorigin type=font/woff2>"
              "<link rel=preload as=image href=d type=image/webp fetchpriority=high>"
              "<link rel=preload as=fetch href=e crossorigin>"),
        "a b c^ d+ e^");
    assert_string_equal(
        found("<link rel=preload href=a><link rel=preload as=video href=b>"
              "<link rel=preload as=worker href=c><link rel=preload as=style href=d "
              "media=print><link rel=preload as=style href=e media='(hover)'>"
              "<link rel=preload as=image href=f type=image/jxl>"
              "<link rel=preload as=font href=g type=font/eot>"
              "<link rel=preload as=script href=h type=text/plain>"
              "<link rel=prefetch href=i><link rel=icon href=j>"
              "<link rel=manifest href=k><link rel=preconnect href=/l>"),
        "");
}

static void a_preloaded_stylesheet_that_is_also_applied_is_one_blocking_asset(void **state)
{
    (void)state;
    assert_string_equal(found("<link rel=preload as=style href=a.css fetchpriority=high>"
                              "<script src=b.js></script><link rel=stylesheet href=./a.css>"),
                        "a.css!+ b.js!");
}

static void modulepreloads_and_module_scripts_are_modules_in_cors_mode(void **state)
{
    (void)state;
    assert_string_equal(found("<link rel=modulepreload href=a.js><script type=module src=b.js>"
                              "</script><link rel=modulepreload as=style href=c.css>"
                              "<script type=Module src=d.js async></script>"),
                        "a.js^* b.js^* d.js^*");
}

/* ---- scripts ---- */

static void only_scripts_that_run_are_proposed(void **state)
{
    (void)state;
    assert_string_equal(
        found("<script type=text/template src=a></script><script type=application/json src=b>"
              "</script><script type=importmap src=c></script><script nomodule src=d></script>"
              "<script language=vbscript src=e></script><script for=window event=onload src=f>"
              "</script><script>g</script><script src></script><script src=''></script>"),
        "");
    assert_string_equal(
        found("<script type='' src=a></script><script type=text/javascript src=b></script>"
              "<script language=JavaScript src=c></script><script type=' TEXT/ECMAScript ' src=d>"
              "</script><script type=module nomodule src=e></script>"),
        "a! b! c! d! e^*");
}

static void async_and_deferred_scripts_do_not_block_unless_they_say_so(void **state)
{
    (void)state;
    assert_string_equal(found("<script src=a async></script><script src=b defer></script>"
                              "<script src=c async blocking='x render'></script>"
                              "<script src=d fetchpriority=low></script>"),
                        "c! d!- a b");
}

/* ---- images ---- */

static void an_image_is_proposed_unless_it_is_lazy(void **state)
{
    (void)state;
    assert_string_equal(found("<img src=a><img src=b loading=lazy><img src=c loading=LAZY>"
                              "<img src=d loading=eager crossorigin><img src=e loading=later>"
                              "<img data-src=f><input type=image src=g><input type=text src=h>"),
                        "a d^ e g");
}

static void a_srcset_is_decided_only_if_all_of_it_leads_to_one_image(void **state)
{
    (void)state;
    assert_string_equal(found("<img srcset='a.png 640w' src=never>"), "a.png");
    assert_string_equal(found("<img srcset='a.png, a.png 2x' src=never>"), "a.png");
    assert_string_equal(found("<img srcset='a.png 2x' src=a.png>"), "a.png");
    assert_string_equal(found("<img srcset=' , ' src=a.png>"), "a.png");
    assert_string_equal(found("<img srcset='a,b.png' src=never>"), "a,b.png");
    assert_string_equal(found("<img srcset='a.png 640w, b.png 1280w' sizes=100vw src=a.png>"), "");
    assert_string_equal(found("<img srcset='a.png 2x' src=b.png>"), "");
    assert_string_equal(found("<img srcset='a.png 1x, b.png 2x'>"), "");
    assert_string_equal(found("<img srcset='a.png 0w' src=b.png>"), "");
    assert_string_equal(found("<img srcset='a.png 3q'>"), "");
}

static void a_picture_takes_its_first_source_that_is_sure_to_match(void **state)
{
    (void)state;
    assert_string_equal(
        found("<picture><source srcset=a media=print><source srcset=b type=image/png>"
              "<source srcset=c><img src=d></picture><img src=e>"),
        "b e");
    assert_string_equal(found("<picture><source srcset=''><source media=print srcset=a><img src=b>"
                              "</picture>"),
                        "b");
    assert_string_equal(found("<picture><source srcset='a 1x, a 2x'><img src=b loading=lazy>"), "");
}

static void a_picture_in_doubt_proposes_nothing(void **state)
{
    (void)state;
    assert_string_equal(
        found("<picture><source srcset=a media='(min-width:9em)'><img src=b></picture>"
              "<picture><source srcset=c type=image/jxl><img src=d></picture>"
              "<picture><source srcset='e 1x, f 2x'><img src=g></picture>"
              "<picture><div><source srcset=h></div><img src=i></picture>"
              "<picture><source srcset=j><p><img src=k></p></picture><img src=l>"),
        "l");
    assert_string_equal(found("<div><picture><source srcset=a media='(hover)'></div><img src=b>"),
                        "b");
}

/* ---- what is no markup ---- */

static void comments_are_left_out_however_they_end(void **state)
{
    (void)state;
    assert_string_equal(found("<!-- <img src=x> --><img src=a><!--> <img src=b><!---><img src=c>"
                              "<!-- --!><img src=d><!-- -- > <img src=x> --><!x <img src=e>"
                              "<? <img src=f></ <img src=g><!--[if IE]><img src=x><![endif]-->"
                              "<!--[if !IE]><!--><img src=h><!--<![endif]--><!-- <img src=x>"),
                        "a b c d h");
}

static void raw_text_is_left_out(void **state)
{
    (void)state;
    assert_string_equal(
        found("<title><img src=x></title><textarea></b><img src=x></textarea><noscript></body>"
              "<link rel=stylesheet href=x></noscript><iframe srcdoc='<img src=x>'><img src=x>"
              "</iframe><noembed><img src=x></noembed><noframes><img src=x></noframes>"
              "<xmp><img src=x></xmp><script>'<img src=x>'</script ><img src=a>"
              "<plaintext><img src=x></plaintext><img src=x>"),
        "a");
}

static void a_script_that_hides_a_script_ends_where_browsers_end_it(void **state)
{
    (void)state;
    assert_string_equal(found("<script><!-- <script> </script><img src=x> --></script><img src=a>"
                              "<script><!-- <script> --></script><img src=b>"
                              "<script><!--</script><img src=c><script>'</scripts>'</SCRIPT/><img "
                              "src=d><script><!-- <script> </script> </script><img src=e>"),
                        "a b c d e");
}

static void templates_foreign_content_and_selects_are_left_out(void **state)
{
    (void)state;
    assert_string_equal(
        found("<template><template></template></div><img src=x></template><img src=a>"
              "<svg><image href=x /><style>@import 'x'</style><svg/><![CDATA[</svg>]]></svg>"
              "<img src=b><math><img src=x></math><svg/><img src=c>"
              "<select><img src=x><option></select><img src=d><select><img src=x><input type=image "
              "src=x><img src=e>"),
        "a b c d e");
}

/* ---- broken markup ---- */

static void attributes_are_read_as_browsers_read_them(void **state)
{
    (void)state;
    assert_string_equal(
        found("<img/src=a/alt><IMG SRC='b'ALT=x><img src = c src=x><img alt='>' src=d>"
              "<img @click=\"a > b\" src=e><img alt=\"<img src=x>\" src=\"f\"/ ><img src=g/>"
              "<img alt=a\"b src=h><img =x src=i><img src\n=\tj>"),
        "a/alt b c d e f g/ h i j");
}

static void references_in_attributes_are_decoded(void **state)
{
    (void)state;
    assert_string_equal(
        found("<img src='a?b&amp;c=1'><img src='&#x62;'><img src=&#99><img src='d?x=1&copy=2'>"
              "<img src='e?f&lt=3&amp;g=4'><img src=&quot;h>"),
        "a?b&c=1 b c d?x=1&copy=2 e?f&lt=3&g=4 %22h");
}

static void a_reference_that_parsers_disagree_on_is_left_out(void **state)
{
    (void)state;
    assert_string_equal(found("<img src='a&sol;b'><img src='a&copy'><img src='a&#0;b'>"
                              "<img src='a&#x110000;'><img src='a&#150;'><img src='a&amp'>"),
                        "");
}

static void a_tag_that_is_cut_off_is_nothing(void **state)
{
    (void)state;
    assert_string_equal(found("<img src=a><img src=b"), "a");
    assert_string_equal(found("<img src=a><link rel=stylesheet href='b"), "a");
    assert_string_equal(found("<"), "");
    assert_string_equal(found(""), "");
}

/* ---- URLs ---- */

static void urls_are_resolved_and_cleaned(void **state)
{
    (void)state;
    assert_string_equal(
        found("<img src=' a '><img src=./b><img src=../c><img src=/d><img src=../../../../e>"
              "<img src=f/./g/../h><img src='i j'><img src=k#frag><img src='?q'><img src=%2e%2E/l>"
              "<img src='m\\n'><img src='o\n\tp'><img src='q?r=<s>'><img src=%74%2F>"
              "<img src=u/..><img src=v//w><img src='x?y=\\..\\z'>"),
        "a b /c /d /e f/h i%20j k page.html?q /l m/n op q?r=%3Cs%3E %74%2F /p/ v//w x?y=\\..\\z");
}

static void only_the_pages_own_origin_is_proposed(void **state)
{
    (void)state;
    assert_string_equal(
        found("<img src=https://a.test/p/a><img src=//A.TEST:443/p/b><img src=HTTPS://a.test?c>"
              "<img src=http://a.test/x><img src=https://b.test/x><img src=//a.test:444/x>"
              "<img src=https://u@a.test/x><img src=data:image/png,x><img src=javascript:x>"
              "<img src=https:x><img src=//><img src=about:blank><img src=#x>"),
        "a b /?c");
}

static void a_base_moves_relative_references(void **state)
{
    (void)state;
    assert_string_equal(found("<base target=x><base href=/q/r?s><base href=/never/><img src=a>"
                              "<img src=/p/b><img src='?c'>"),
                        "/q/a b /q/r?c");
    assert_string_equal(found("<img src=a><base href=//cdn.test/x/><img src=b><img src=/p/c>"
                              "<img src=https://a.test/p/d>"),
                        "a d");
    assert_string_equal(found("<base href='&sol;x'><img src=a>"), "");
}

static void bytes_above_ascii_count_only_in_a_page_that_says_it_is_utf8(void **state)
{
    (void)state;
    assert_string_equal(found("<img src='\xC3\xA9.png'>"), "");
    assert_string_equal(found("<meta charset=UTF-8><img src='\xC3\xA9.png?\xC3\xA9'>"),
                        "%C3%A9.png?%C3%A9");
    assert_string_equal(found("<meta http-equiv=content-type content='text/html; charset=utf-8'>"
                              "<img src='\xC3\xA9'>"),
                        "%C3%A9");
    assert_string_equal(found("\xEF\xBB\xBF<img src='\xC3\xA9'>"), "%C3%A9");
    assert_string_equal(found("<meta charset=utf-8><img src='\xE9.png'><img src='\xED\xA0\x80'>"),
                        "");
}

static void the_page_itself_is_no_asset_of_it(void **state)
{
    (void)state;
    assert_string_equal(found("<img src=page.html?x=1><img src=page.html>"), "page.html");
}

/* ---- what rules the whole page ---- */

static void a_page_that_a_browser_leaves_at_once_has_no_assets(void **state)
{
    (void)state;
    assert_string_equal(found("<img src=a><meta http-equiv=refresh content='0; url=/'>"), "");
    assert_string_equal(found("<link rel=stylesheet href=a><frameset><frame src=b>"), "");
    assert_string_equal(found("<meta http-equiv=Refresh content='30'><img src=a>"), "a");
}

static void utf16_is_not_read(void **state)
{
    static const char page[] = "\xFF\xFE<\0i\0m\0g\0 \0s\0r\0c\0=\0a\0>\0";

    (void)state;
    assert_string_equal(found_bytes(page, sizeof(page) - 1, 4, NULL), "");
}

static void a_content_security_policy_in_the_page_is_obeyed(void **state)
{
    (void)state;
    assert_string_equal(
        found("<link rel=preload as=image href=a>"
              "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; "
              "style-src 'self'; script-src 'self' 'strict-dynamic'; font-src *\"><img src=b>"
              "<link rel=stylesheet href=c><script src=d></script><link rel=preload as=font href=e>"
              "<link rel=preload as=fetch href=f>"),
        "a c e");
    assert_string_equal(found("<meta http-equiv=content-security-policy content='img-src x.test'>"
                              "<script src=a></script><img src=b>"),
                        "a!");
    assert_string_equal(found("<body><meta http-equiv=content-security-policy content='img-src x'>"
                              "<img src=a>"),
                        "a");
}

/* ---- use ---- */

static void a_page_that_is_no_absolute_http_url_is_refused(void **state)
{
    static const struct assets_page pages[] = {
        {SPAN_LITERAL("ftp"), SPAN_LITERAL("a.test"), SPAN_LITERAL("/")},
        {SPAN_LITERAL("https"), SPAN_LITERAL(""), SPAN_LITERAL("/")},
        {SPAN_LITERAL("https"), SPAN_LITERAL("a.test"), SPAN_LITERAL("page")},
        {SPAN_LITERAL("https"), SPAN_LITERAL("u@a.test"), SPAN_LITERAL("/")},
        {SPAN_LITERAL("https"), SPAN_LITERAL("a.test"), SPAN_LITERAL("")},
    };
    struct assets_scan *scan;

    (void)state;
    for (size_t i = 0; i < sizeof(pages) / sizeof(*pages); i++)
        assert_int_equal(assets_scan_create(&pages[i], &scan), -EINVAL);
    assets_scan_destroy(NULL);
    assets_destroy(NULL);
}

static void kinds_and_paths_outlive_the_scan(void **state)
{
    static const char page[] =
        "<link rel=stylesheet href=a><script src=b></script><img src=c>"
        "<link rel=preload as=font href=d><link rel=preload as=fetch href=e>";
    static const enum asset_as kinds[] = {AS_STYLE, AS_SCRIPT, AS_IMAGE, AS_FONT, AS_FETCH};
    struct assets_scan *scan = scan_open();

    (void)state;
    feed_sliced(scan, page, sizeof(page) - 1, 10);
    struct assets *assets = assets_scan_result(scan);
    assets_scan_destroy(scan);
    assert_int_equal(assets->count, 5);
    for (size_t i = 0; i < assets->count; i++) {
        assert_int_equal(assets->items[i].as, kinds[i]);
        assert_int_equal(assets->items[i].path.data[3], "abcde"[i]);
    }
    assets_destroy(assets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stylesheets_in_the_head_block_and_come_first),
        cmocka_unit_test(a_stylesheet_for_other_media_is_left_out),
        cmocka_unit_test(a_stylesheet_that_may_not_match_is_proposed_but_does_not_block),
        cmocka_unit_test(alternate_disabled_and_foreign_types_of_stylesheets_are_left_out),
        cmocka_unit_test(a_stylesheet_in_the_body_does_not_block),
        cmocka_unit_test(preloads_are_proposed_when_every_browser_takes_them),
        cmocka_unit_test(a_preloaded_stylesheet_that_is_also_applied_is_one_blocking_asset),
        cmocka_unit_test(modulepreloads_and_module_scripts_are_modules_in_cors_mode),
        cmocka_unit_test(only_scripts_that_run_are_proposed),
        cmocka_unit_test(async_and_deferred_scripts_do_not_block_unless_they_say_so),
        cmocka_unit_test(an_image_is_proposed_unless_it_is_lazy),
        cmocka_unit_test(a_srcset_is_decided_only_if_all_of_it_leads_to_one_image),
        cmocka_unit_test(a_picture_takes_its_first_source_that_is_sure_to_match),
        cmocka_unit_test(a_picture_in_doubt_proposes_nothing),
        cmocka_unit_test(comments_are_left_out_however_they_end),
        cmocka_unit_test(raw_text_is_left_out),
        cmocka_unit_test(a_script_that_hides_a_script_ends_where_browsers_end_it),
        cmocka_unit_test(templates_foreign_content_and_selects_are_left_out),
        cmocka_unit_test(attributes_are_read_as_browsers_read_them),
        cmocka_unit_test(references_in_attributes_are_decoded),
        cmocka_unit_test(a_reference_that_parsers_disagree_on_is_left_out),
        cmocka_unit_test(a_tag_that_is_cut_off_is_nothing),
        cmocka_unit_test(urls_are_resolved_and_cleaned),
        cmocka_unit_test(only_the_pages_own_origin_is_proposed),
        cmocka_unit_test(a_base_moves_relative_references),
        cmocka_unit_test(bytes_above_ascii_count_only_in_a_page_that_says_it_is_utf8),
        cmocka_unit_test(the_page_itself_is_no_asset_of_it),
        cmocka_unit_test(a_page_that_a_browser_leaves_at_once_has_no_assets),
        cmocka_unit_test(utf16_is_not_read),
        cmocka_unit_test(a_content_security_policy_in_the_page_is_obeyed),
        cmocka_unit_test(a_page_that_is_no_absolute_http_url_is_refused),
        cmocka_unit_test(kinds_and_paths_outlive_the_scan),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

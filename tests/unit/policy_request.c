#include "policy/glob.h"
#include "policy/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void every_destination_is_found_by_its_own_name(void **state)
{
    (void)state;
    for (unsigned as = AS_UNKNOWN + 1; as < AS_KINDS; as++) {
        const char *name = asset_as_name((enum asset_as)as);
        assert_true(name[0]);
        assert_int_equal(asset_as_of(span_of(name)), as);
    }
    assert_string_equal(asset_as_name(AS_UNKNOWN), "");
    assert_string_equal(asset_as_name(AS_KINDS), "");
    assert_int_equal(asset_as_of(SPAN_LITERAL("STYLE")), AS_STYLE);
    assert_int_equal(asset_as_of(SPAN_LITERAL("styles")), AS_UNKNOWN);
    assert_int_equal(asset_as_of(SPAN_LITERAL("")), AS_UNKNOWN);
}

static void a_path_tells_its_destination_by_its_type(void **state)
{
    static const struct {
        const char *path;
        enum asset_as as;
    } CASES[] = {
        {"/", AS_DOCUMENT},
        {"", AS_DOCUMENT},
        {"/shop", AS_DOCUMENT},
        {"/shop/", AS_DOCUMENT},
        {"/index.html", AS_DOCUMENT},
        {"/page.XHTML", AS_DOCUMENT},
        {"/v1.2/", AS_DOCUMENT},
        {"/v1.2/page", AS_DOCUMENT},
        {"/end.", AS_DOCUMENT},
        {"/a.css", AS_STYLE},
        {"/a.min.CSS?v=1.js", AS_STYLE},
        {"/a.css?next=/b", AS_STYLE},
        {"/a.js", AS_SCRIPT},
        {"/a.mjs", AS_SCRIPT},
        {"/f.woff2", AS_FONT},
        {"/i.jpeg", AS_IMAGE},
        {"/d.json", AS_FETCH},
        {"/m.webmanifest", AS_MANIFEST},
        {"/m.WebManifest?1", AS_MANIFEST},
        {"/s.vtt", AS_TRACK},
        {"/v.mp4", AS_VIDEO},
        {"/m.mp3", AS_AUDIO},
        {"/x.unknown", AS_UNKNOWN},
        {"/x.averylongextension", AS_UNKNOWN},
        {"/.css", AS_STYLE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        if (asset_as_of_path(span_of(CASES[i].path)) != CASES[i].as)
            fail_msg("%s is not %s", CASES[i].path, asset_as_name(CASES[i].as));
    }
}

static void the_first_field_of_a_name_is_found(void **state)
{
    struct field fields[] = {
        {SPAN_LITERAL("accept"), SPAN_LITERAL("a")},
        {SPAN_LITERAL("x-empty"), SPAN_LITERAL("")},
        {SPAN_LITERAL("accept"), SPAN_LITERAL("b")},
    };
    (void)state;
    assert_true(span_equal(field_find(fields, 3, SPAN_LITERAL("accept")), SPAN_LITERAL("a")));
    assert_non_null(field_find(fields, 3, SPAN_LITERAL("x-empty")).data);
    assert_null(field_find(fields, 3, SPAN_LITERAL("acc")).data);
    assert_null(field_find(NULL, 0, SPAN_LITERAL("accept")).data);
}

static bool glob(const char *pattern, const char *text)
{
    uint32_t steps = 100000;
    bool matches = glob_match(span_of(pattern), span_of(text), &steps);
    assert_true(steps > 0);
    return matches;
}

static void a_pattern_matches_the_whole_text(void **state)
{
    (void)state;
    assert_true(glob("/a", "/a"));
    assert_false(glob("/a", "/ab"));
    assert_false(glob("/ab", "/a"));
    assert_true(glob("", ""));
    assert_false(glob("", "a"));
    assert_true(glob("/*", "/"));
    assert_true(glob("/*", "/a/b/c"));
    assert_true(glob("*.css", "/a/b.css"));
    assert_false(glob("*.css", "/a/b.css.map"));
    assert_true(glob("/*/img/*.png", "/x/y/img/z.png"));
    assert_true(glob("/?", "/a"));
    assert_false(glob("/?", "/"));
    assert_true(glob("*a*b", "xaxxabxxb"));
    assert_false(glob("*a*b", "xaxxabxxc"));
    assert_true(glob("**", ""));
    assert_true(glob("/a*", "/a"));
    assert_false(glob("/a*?", "/a"));
}

static void a_pattern_takes_no_more_steps_than_it_is_given(void **state)
{
    char text[2000];
    uint32_t steps = 1000;
    (void)state;
    memset(text, 'a', sizeof(text));
    assert_false(glob_match(SPAN_LITERAL("*a*a*a*a*a*b"), span_make(text, sizeof(text)), &steps));
    assert_int_equal(steps, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_destination_is_found_by_its_own_name),
        cmocka_unit_test(a_path_tells_its_destination_by_its_type),
        cmocka_unit_test(the_first_field_of_a_name_is_found),
        cmocka_unit_test(a_pattern_matches_the_whole_text),
        cmocka_unit_test(a_pattern_takes_no_more_steps_than_it_is_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

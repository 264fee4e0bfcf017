#include "worker/links.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct link_base base;
static struct response_link links[LINKS_MAX];

static const struct request PAGE = {.scheme = SPAN_LITERAL("https"),
                                    .host = SPAN_LITERAL("www.example.com"),
                                    .path = SPAN_LITERAL("/shop/index.html")};

/* Reads one Link field of the page. */
static size_t read_field(const char *value)
{
    struct field field = {SPAN_LITERAL("link"), span_of(value)};
    link_base_init(&base, &PAGE, SPAN_LITERAL("www.example.com:8443"));
    return links_read(&base, &field, 1, links, LINKS_MAX);
}

static void is_path(size_t i, const char *path)
{
    assert_true(span_equal(links[i].path, span_of(path)));
}

static void is_rel(size_t i, const char *rel)
{
    assert_true(span_equal(links[i].rel, span_of(rel)));
}

static void a_preload_is_read_with_all_that_it_says(void **state)
{
    (void)state;
    assert_int_equal(read_field("</a.woff2>; rel=preload; as=\"font\"; crossorigin; nopush; "
                                "fetchpriority=low"),
                     1);
    is_path(0, "/a.woff2");
    is_rel(0, "preload");
    assert_int_equal(links[0].as, AS_FONT);
    assert_true(links[0].crossorigin && links[0].nopush && links[0].same_origin);
    assert_true(span_equal(links[0].fetchpriority, SPAN_LITERAL("low")));
}

static void a_field_may_be_a_list_and_there_may_be_several(void **state)
{
    const struct field fields[] = {
        {SPAN_LITERAL("link"), SPAN_LITERAL("</a.css>; rel=preload, </b,c.js>; rel=preload ,")},
        {SPAN_LITERAL("content-type"), SPAN_LITERAL("</no.css>; rel=preload")},
        {SPAN_LITERAL("link"), SPAN_LITERAL("</d.js>; rel=modulepreload")},
    };
    (void)state;
    link_base_init(&base, &PAGE, SPAN_LITERAL("www.example.com"));
    assert_int_equal(links_read(&base, fields, 3, links, LINKS_MAX), 3);
    is_path(0, "/a.css");
    is_path(1, "/b,c.js");
    is_path(2, "/d.js");
    is_rel(2, "modulepreload");
}

static void each_relation_of_a_link_is_one_of_its_own_in_lower_case(void **state)
{
    (void)state;
    assert_int_equal(read_field("</a.css>; rel=\"Preload  stylesheet\"; as=style"), 2);
    is_rel(0, "preload");
    is_rel(1, "stylesheet");
    is_path(1, "/a.css");
    assert_int_equal(links[1].as, AS_STYLE);
}

static void quotes_hide_what_would_part_links_and_parameters(void **state)
{
    (void)state;
    assert_int_equal(read_field("</a.css>; title=\"x, </evil>; rel=\\\"next\\\"; y\"; rel=preload, "
                                "</b.css>; rel=preload"),
                     2);
    is_path(0, "/a.css");
    is_rel(0, "preload");
    is_path(1, "/b.css");
}

static void of_parameters_said_twice_the_first_counts(void **state)
{
    (void)state;
    assert_int_equal(read_field("</a>; rel=preload; rel=next; as=style; as=script"), 1);
    is_rel(0, "preload");
    assert_int_equal(links[0].as, AS_STYLE);
}

static void another_resources_link_is_left_out(void **state)
{
    (void)state;
    assert_int_equal(read_field("</a.css>; rel=preload; anchor=\"/other\", </b.css>; rel=preload"),
                     1);
    is_path(0, "/b.css");
}

static void a_target_is_resolved_when_it_is_of_the_authority(void **state)
{
    (void)state;
    assert_int_equal(read_field("<a.css>; rel=preload, <./b.css>; rel=preload, "
                                "<https://www.example.com:8443/c.css>; rel=preload, "
                                "<//www.example.com:8443/d.css?v=1#x>; rel=preload"),
                     4);
    is_path(0, "/shop/a.css");
    is_path(1, "/shop/b.css");
    is_path(2, "/c.css");
    is_path(3, "/d.css?v=1");
    for (size_t i = 0; i < 4; i++)
        assert_true(links[i].same_origin);
}

static void anothers_target_stays_as_it_is_written(void **state)
{
    static const char *const TARGETS[] = {"https://cdn.example.net/x.css",
                                          "http://www.example.com:8443/x.css",
                                          "https://www.example.com:8443.evil.test/x.css",
                                          "https://www.example.com:8443",
                                          "data:text/css,a",
                                          "//a"};
    char field[128];
    (void)state;
    for (size_t i = 0; i < sizeof(TARGETS) / sizeof(TARGETS[0]); i++) {
        snprintf(field, sizeof(field), "<%s>; rel=preload", TARGETS[i]);
        assert_int_equal(read_field(field), 1);
        is_path(0, TARGETS[i]);
        assert_false(links[0].same_origin);
    }
}

static void what_is_malformed_is_left_out(void **state)
{
    static const char *const FIELDS[] = {"",
                                         ",,,",
                                         "/a.css; rel=preload",
                                         "</a.css; rel=preload",
                                         "</a.css>",
                                         "</a.css>; as=style",
                                         "</a.css>; rel=",
                                         "</a.css>; rel=\"  \"",
                                         "\"</a.css>; rel=preload"};
    (void)state;
    for (size_t i = 0; i < sizeof(FIELDS) / sizeof(FIELDS[0]); i++)
        assert_int_equal(read_field(FIELDS[i]), 0);
}

static void no_more_are_read_than_there_is_room_for(void **state)
{
    char many[4096] = "";
    (void)state;
    for (unsigned i = 0; i < LINKS_MAX + 5; i++)
        snprintf(many + strlen(many), sizeof(many) - strlen(many), "</%u>; rel=\"a b\",", i);
    assert_int_equal(read_field(many), LINKS_MAX);
    struct field field = {SPAN_LITERAL("link"), SPAN_LITERAL("</a>; rel=x")};
    assert_int_equal(links_read(&base, &field, 1, links, 0), 0);
}

static void paths_for_which_there_is_no_room_are_another_origins(void **state)
{
    static char field[LINKS_SCRATCH_MAX + 64];
    (void)state;
    snprintf(field, sizeof(field), "</%0*d>; rel=x", LINKS_SCRATCH_MAX, 0);
    assert_int_equal(read_field(field), 1);
    assert_false(links[0].same_origin);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_preload_is_read_with_all_that_it_says),
        cmocka_unit_test(a_field_may_be_a_list_and_there_may_be_several),
        cmocka_unit_test(each_relation_of_a_link_is_one_of_its_own_in_lower_case),
        cmocka_unit_test(quotes_hide_what_would_part_links_and_parameters),
        cmocka_unit_test(of_parameters_said_twice_the_first_counts),
        cmocka_unit_test(another_resources_link_is_left_out),
        cmocka_unit_test(a_target_is_resolved_when_it_is_of_the_authority),
        cmocka_unit_test(anothers_target_stays_as_it_is_written),
        cmocka_unit_test(what_is_malformed_is_left_out),
        cmocka_unit_test(no_more_are_read_than_there_is_room_for),
        cmocka_unit_test(paths_for_which_there_is_no_room_are_another_origins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

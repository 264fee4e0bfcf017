#include "master/cmd/echo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *echo(const char *line, char *text)
{
    return echo_line(span_of(line), text);
}

static void a_page_with_pushes_says_how_many_and_how_much(void **state)
{
    char text[ECHO_TEXT_MAX];
    (void)state;
    assert_string_equal(echo("{\"method\":\"GET\",\"path\":\"/\",\"status\":200,\"push\":["
                             "{\"path\":\"/a\",\"verdict\":\"pushed\",\"size\":1024},"
                             "{\"path\":\"/b\",\"verdict\":\"pushed\",\"size\":2048}]}",
                             text),
                        "GET / 200: 2 pushed, 3.0 KiB");
}

static void a_page_that_held_everything_says_so(void **state)
{
    char text[ECHO_TEXT_MAX];
    (void)state;
    assert_string_equal(echo("{\"method\":\"GET\",\"path\":\"/\",\"status\":200,\"push\":["
                             "{\"path\":\"/a\",\"verdict\":\"held\"},"
                             "{\"path\":\"/b\",\"verdict\":\"held\"}]}",
                             text),
                        "GET / 200: nothing pushed; 2 not: the client holds it");
}

static void a_client_that_takes_no_pushes_is_the_reason(void **state)
{
    char text[ECHO_TEXT_MAX];
    (void)state;
    assert_string_equal(echo("{\"method\":\"GET\",\"path\":\"/\",\"status\":200,\"push_off\":"
                             "\"the client sent SETTINGS_ENABLE_PUSH=0\",\"push\":[]}",
                             text),
                        "GET / 200: nothing pushed: the client sent SETTINGS_ENABLE_PUSH=0");
}

static void the_most_frequent_reason_comes_first(void **state)
{
    char text[ECHO_TEXT_MAX];
    (void)state;
    assert_string_equal(echo("{\"method\":\"GET\",\"path\":\"/p\",\"status\":200,\"push\":["
                             "{\"verdict\":\"max_bytes\"},{\"verdict\":\"held\"},"
                             "{\"verdict\":\"held\"},{\"verdict\":\"pushed\",\"size\":0},"
                             "{\"verdict\":\"hinted\"}]}",
                             text),
                        "GET /p 200: 1 pushed, 0.0 KiB; 1 hinted; 2 not: the client holds it; "
                        "1 not: push.max_bytes would be passed before the page is done");
}

static void a_page_without_candidates_is_said_and_an_asset_is_not(void **state)
{
    char text[ECHO_TEXT_MAX];
    (void)state;
    assert_string_equal(
        echo("{\"method\":\"GET\",\"path\":\"/x/?q\",\"status\":200,\"push\":[]}", text),
        "GET /x/?q 200: nothing pushed: no policy proposed anything");
    assert_null(echo("{\"method\":\"GET\",\"path\":\"/a.css\",\"status\":200,\"push\":[]}", text));
    assert_null(echo("{\"method\":\"GET\",\"path\":\"/a.css\",\"status\":200}", text));
    assert_string_equal(echo("{\"method\":\"GET\",\"path\":\"/no\",\"status\":404}", text),
                        "GET /no 404");
}

static void what_a_terminal_would_obey_is_not_shown(void **state)
{
    char text[ECHO_TEXT_MAX];
    (void)state;
    assert_string_equal(
        echo("{\"method\":\"GET\",\"path\":\"/\\u001b[2J\\u009b\",\"status\":404}", text),
        "GET /?[2J?? 404");
}

static void senseless_lines_are_passed_over(void **state)
{
    static const char *const lines[] = {
        "",
        "{",
        "[]",
        "null",
        "{\"method\":1}",
        "{\"path\":\"/\"}",
        "{\"method\":\"GET\",\"path\":3,\"status\":500}",
    };
    char text[ECHO_TEXT_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        assert_null(echo(lines[i], text));
}

static void a_long_path_and_many_reasons_stay_within_the_line(void **state)
{
    static char line[100000];
    char text[ECHO_TEXT_MAX];
    size_t used;
    (void)state;
    memset(line, 0, sizeof(line));
    used = (size_t)sprintf(line, "{\"method\":\"GET\",\"path\":\"/");
    memset(line + used, 'x', 50000);
    strcpy(line + used + 50000,
           "\",\"status\":200,\"push\":[{\"verdict\":\"varies\"},{\"verdict\":\"too_large\"},"
           "{\"verdict\":\"push_off\"},{\"verdict\":\"client_limit\"},{\"verdict\":\"self\"},"
           "{\"verdict\":\"duplicate\"},{\"verdict\":\"bad_path\"},{\"verdict\":\"table_full\"}]}");
    assert_non_null(echo(line, text));
    assert_true(strlen(text) < ECHO_TEXT_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_with_pushes_says_how_many_and_how_much),
        cmocka_unit_test(a_page_that_held_everything_says_so),
        cmocka_unit_test(a_client_that_takes_no_pushes_is_the_reason),
        cmocka_unit_test(the_most_frequent_reason_comes_first),
        cmocka_unit_test(a_page_without_candidates_is_said_and_an_asset_is_not),
        cmocka_unit_test(what_a_terminal_would_obey_is_not_shown),
        cmocka_unit_test(senseless_lines_are_passed_over),
        cmocka_unit_test(a_long_path_and_many_reasons_stay_within_the_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

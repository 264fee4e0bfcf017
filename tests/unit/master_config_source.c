#include "master/config/config_source.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct source source;

static int teardown(void **state)
{
    (void)state;
    source_finish(&source);
    return 0;
}

static const char *rewritten(const char *lua)
{
    source_finish(&source);
    assert_int_equal(source_scan(span_of(lua), 0, &source), 0);
    return source.text;
}

static int key_line(size_t table, const char *key)
{
    int again;
    int line = source_key_line(&source, table, key, &again);
    assert_int_equal(again, 0);
    return line;
}

/* An empty span may have no data; the sanitizers' build would object to arithmetic on it. */
static void an_empty_text_is_a_text(void **state)
{
    (void)state;
    assert_int_equal(source_scan((struct span){NULL, 0}, 0, &source), 0);
    assert_string_equal(source.text, "local __at=...;");
    assert_string_equal(rewritten(""), "local __at=...;");
}

static void a_constructor_is_marked_where_it_stands(void **state)
{
    (void)state;
    assert_string_equal(rewritten("x = {}"), "local __at=...;x = __at(0,{})");
    assert_string_equal(rewritten("x = { {}, {} }"),
                        "local __at=...;x = __at(0,{ __at(1,{}), __at(2,{}) })");
}

static void a_call_without_parentheses_gets_them_on_its_own_line(void **state)
{
    (void)state;
    assert_string_equal(rewritten("site {}"), "local __at=...;site( __at(0,{}))");
    assert_string_equal(rewritten("site -- why\n{}"), "local __at=...;site( -- why\n__at(0,{}))");
    assert_string_equal(rewritten("a.b:c{}"), "local __at=...;a.b:c(__at(0,{}))");
    assert_string_equal(rewritten("f(){}"), "local __at=...;f()(__at(0,{}))");
    assert_string_equal(rewritten("t[1]{}"), "local __at=...;t[1](__at(0,{}))");
    assert_string_equal(rewritten("f{}{}"), "local __at=...;f(__at(0,{}))(__at(1,{}))");
    assert_string_equal(rewritten("f\"x\"{}"), "local __at=...;f\"x\"(__at(0,{}))");
    assert_string_equal(rewritten("return {}"), "local __at=...;return __at(0,{})");
    assert_string_equal(rewritten("f({})"), "local __at=...;f(__at(0,{}))");
}

static void braces_in_strings_and_comments_are_left_alone(void **state)
{
    (void)state;
    assert_string_equal(rewritten("x = '{' .. \"\\\"{\" .. [[{]] .. [=[ ]] {]=]"),
                        "local __at=...;x = '{' .. \"\\\"{\" .. [[{]] .. [=[ ]] {]=]");
    assert_string_equal(rewritten("-- {\n--[[ {\n{ ]] x = 1 --[==[ { ]==]"),
                        "local __at=...;-- {\n--[[ {\n{ ]] x = 1 --[==[ { ]==]");
    assert_string_equal(rewritten("x = '\\\\' y = {}"), "local __at=...;x = '\\\\' y = __at(0,{})");
}

static void a_first_line_for_the_shell_and_a_byte_order_mark_are_dropped(void **state)
{
    (void)state;
    assert_string_equal(rewritten("#!/usr/bin/herald\nx = {}"), "local __at=...;\nx = __at(0,{})");
    assert_string_equal(rewritten("\xef\xbb\xbfx = {}"), "local __at=...;x = __at(0,{})");
    assert_int_equal(source_set_line(&source, "x", 1, INT_MAX), 1);
}

static void each_key_has_its_line(void **state)
{
    (void)state;
    rewritten("site {\n"
              "  names = { 'a',\n"
              "            'b' },\n"
              "  root = '/srv', [\"push\"] = {\n"
              "    max = 1 },\n"
              "  [ 'routes' ] = { ['/a'] = {\n"
              "       root = 'x' } },\n"
              "}");
    assert_int_equal(key_line(0, "names"), 2);
    assert_int_equal(key_line(0, "root"), 4);
    assert_int_equal(key_line(0, "push"), 4);
    assert_int_equal(key_line(0, "routes"), 6);
    assert_int_equal(source_item_line(&source, 1, 0), 2);
    assert_int_equal(source_item_line(&source, 1, 1), 3);
    assert_int_equal(source_item_line(&source, 1, 9), 3);
    assert_int_equal(key_line(2, "max"), 5);
    assert_int_equal(key_line(3, "/a"), 6);
    assert_int_equal(key_line(4, "root"), 7);
}

static void functions_and_brackets_within_a_table_do_not_make_items(void **state)
{
    (void)state;
    rewritten("t = {\n"
              "  f = function(a, b)\n"
              "    local x, y = 1, 2\n"
              "    if x then for i = 1, 2 do y = 3 end elseif b then x = 4 else end\n"
              "    while x do repeat y = g(1, 2) until y end\n"
              "  end,\n"
              "  a = g(1,\n"
              "        2),\n"
              "  b = h[g(3, 4)],\n"
              "  5 }");
    assert_int_equal(source.tables[0].items_count, 4);
    assert_int_equal(key_line(0, "f"), 2);
    assert_int_equal(key_line(0, "a"), 7);
    assert_int_equal(key_line(0, "b"), 9);
    assert_int_equal(source_item_line(&source, 0, 0), 10);
}

static void a_comparison_is_no_key(void **state)
{
    (void)state;
    rewritten("t = { a == 1, b\n= 2, c ~= 3 }");
    assert_int_equal(source.tables[0].items_count, 3);
    assert_int_equal(source.tables[0].items[0].kind, SOURCE_LISTED);
    assert_int_equal(source.tables[0].items[1].kind, SOURCE_NAMED);
    assert_int_equal(source.tables[0].items[2].kind, SOURCE_LISTED);
}

static void a_key_that_is_there_twice_is_told(void **state)
{
    int again;
    (void)state;
    rewritten("t = {\n root = 1,\n other = 2,\n ['root'] = 3 }");
    assert_int_equal(source_key_line(&source, 0, "root", &again), 2);
    assert_int_equal(again, 4);
}

static void a_key_set_later_has_the_line_of_that_assignment(void **state)
{
    (void)state;
    rewritten("x.late = 0\nlocal t = { a = 1 }\nt.late = 2\nt['other'] = 3\nt[k] = 4");
    assert_int_equal(key_line(0, "late"), 3);
    assert_int_equal(key_line(0, "other"), 4);
    assert_int_equal(key_line(0, "unknown"), 2);
}

static void a_computed_key_has_the_line_of_its_bracket(void **state)
{
    (void)state;
    rewritten("t = {\n a = 1,\n [f(1)] = 2,\n}");
    assert_int_equal(key_line(0, "anything"), 3);
}

static void an_assignment_is_found_between_two_lines(void **state)
{
    (void)state;
    rewritten("x = 1\nx = 2\nlocal y\nx = 3");
    assert_int_equal(source_set_line(&source, "x", 1, 3), 2);
    assert_int_equal(source_set_line(&source, "x", 1, 4), 4);
    assert_int_equal(source_set_line(&source, "x", 3, 3), 0);
    assert_int_equal(source_set_line(&source, "y", 1, 4), 0);
}

static void lines_end_as_lua_counts_them(void **state)
{
    (void)state;
    rewritten("a = 1\r\nb = [[\r\n\r\n]] c = {\n\rd = 1,\re = 'x\\\r\ny', f = 2 }");
    assert_int_equal(source_set_line(&source, "b", 1, 99), 2);
    assert_int_equal(source_set_line(&source, "c", 1, 99), 4);
    assert_int_equal(key_line(0, "d"), 5);
    assert_int_equal(key_line(0, "e"), 6);
    assert_int_equal(key_line(0, "f"), 7);
}

static void numbers_with_signs_and_dots_are_one_token(void **state)
{
    (void)state;
    assert_string_equal(rewritten("x = { 1e+5, 0x1p-2, .5, 3..'a', 0xA.8, 1LL }"),
                        "local __at=...;x = __at(0,{ 1e+5, 0x1p-2, .5, 3..'a', 0xA.8, 1LL })");
    assert_int_equal(source.tables[0].items_count, 6);
}

static void what_cannot_be_followed_is_said(void **state)
{
    static const char *const BAD[] = {
        "x = {", "x = }", "f(", "end", "x = { ) }", "__at(1, {})", "local __at = 1", "if x then"};
    (void)state;
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        source_finish(&source);
        if (source_scan(span_of(BAD[i]), 0, &source) != -EINVAL)
            fail_msg("'%s' was followed", BAD[i]);
    }
}

static void any_bytes_at_all_are_scanned_without_harm(void **state)
{
    static const char ALPHABET[] = "{}[]()=,;.'\"-\\\n\r# a0_\xc3\xa9"
                                   "end if do ";
    unsigned long long seed = 88172645463325252ULL;
    (void)state;
    for (int round = 0; round < 20000; round++) {
        char *text = malloc(40); /* of its own size, so that a sanitizer sees a read past it */
        size_t length = 0;
        for (; length < 40; length++) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            text[length] = ALPHABET[seed % (sizeof(ALPHABET) - 1)];
        }
        source_finish(&source);
        int rc = source_scan(span_make(text, length), 0, &source);
        assert_true(rc == 0 || rc == -EINVAL);
        source_finish(&source);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_text_is_a_text),
        cmocka_unit_test(a_constructor_is_marked_where_it_stands),
        cmocka_unit_test(a_call_without_parentheses_gets_them_on_its_own_line),
        cmocka_unit_test(braces_in_strings_and_comments_are_left_alone),
        cmocka_unit_test(a_first_line_for_the_shell_and_a_byte_order_mark_are_dropped),
        cmocka_unit_test(each_key_has_its_line),
        cmocka_unit_test(functions_and_brackets_within_a_table_do_not_make_items),
        cmocka_unit_test(a_comparison_is_no_key),
        cmocka_unit_test(a_key_that_is_there_twice_is_told),
        cmocka_unit_test(a_key_set_later_has_the_line_of_that_assignment),
        cmocka_unit_test(a_computed_key_has_the_line_of_its_bracket),
        cmocka_unit_test(an_assignment_is_found_between_two_lines),
        cmocka_unit_test(lines_end_as_lua_counts_them),
        cmocka_unit_test(numbers_with_signs_and_dots_are_one_token),
        cmocka_unit_test(what_cannot_be_followed_is_said),
        cmocka_unit_test(any_bytes_at_all_are_scanned_without_harm),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}

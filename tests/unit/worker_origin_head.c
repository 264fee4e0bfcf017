/* An origin's response head, line by line. */
#include "worker/origin_head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct origin_heads heads;
static struct origin_head *head;

static int set_up(void **state)
{
    (void)state;
    head = origin_head_take(&heads);
    return head ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    origin_head_give(&heads, head);
    origin_heads_finish(&heads);
    return 0;
}

static const char *line(const char *text)
{
    return origin_head_line(head, span_of(text));
}

static void a_head_is_read(void **state)
{
    (void)state;
    assert_null(line("HTTP/1.1 200 OK\r\n"));
    assert_null(line("Content-Length: 12\r\n"));
    assert_null(line("X-Mixed-Case:\t a b \t\r\n"));
    assert_null(line("Empty:\n"));
    assert_false(head->complete);
    assert_null(line("\r\n"));
    assert_true(head->complete);
    assert_int_equal(head->status, 200);
    assert_int_equal(head->length, 12);
    assert_int_equal(head->fields_count, 3);
    assert_true(span_equal(head->fields[1].name, SPAN_LITERAL("x-mixed-case")));
    assert_true(span_equal(head->fields[1].value, SPAN_LITERAL("a b")));
    assert_int_equal(head->fields[2].value.length, 0);
}

static void status_lines_that_are_none_are_refused(void **state)
{
    static const char *const BAD[] = {"HTTP/1.1",
                                      "HTTP/1.1 20 OK",
                                      "HTTP/1.1 2000 OK",
                                      "HTTP/1.1 600 X",
                                      "HTTP/1.1 000 X",
                                      "FTP/1.1 200 OK",
                                      "",
                                      "HTTP/1.1 101 Switching"};
    (void)state;
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        head->status = 0;
        assert_non_null(line(BAD[i]));
    }
    head->status = 0;
    assert_null(line("HTTP/2 204 \r\n"));
    assert_int_equal(head->status, 204);
}

static void fields_that_two_readers_could_take_for_two_things_are_refused(void **state)
{
    static const char *const BAD[] = {"no colon",
                                      ": no name",
                                      "a b: 1",
                                      "a : 1",
                                      " folded",
                                      "\tfolded",
                                      "x: a\x01"
                                      "b",
                                      "x: a\x7f",
                                      "Content-Length: 1,1",
                                      "Content-Length: +1",
                                      "Content-Length:",
                                      "Content-Length: 1234567890123456789"};
    (void)state;
    assert_null(line("HTTP/1.1 200 OK"));
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
        if (!line(BAD[i]))
            fail_msg("\"%s\" was taken", BAD[i]);
    assert_non_null(origin_head_line(head, span_make("x: a\0b\r\n", 8)));
}

static void there_is_one_length_or_a_coding(void **state)
{
    (void)state;
    assert_null(line("HTTP/1.1 200 OK"));
    assert_null(line("Content-Length: 5"));
    assert_null(line("Content-Length: 5"));
    assert_non_null(line("Content-Length: 6"));
    assert_non_null(line("Transfer-Encoding: chunked"));
}

static void a_hundred_fields_and_64_kib_are_the_most(void **state)
{
    static char large[70000];
    (void)state;
    assert_null(line("HTTP/1.1 200 OK"));
    for (int i = 0; i < ORIGIN_HEAD_FIELDS_MAX; i++)
        assert_null(line("X: y"));
    assert_non_null(line("X: y"));
    head->fields_count = head->used = 0;
    memset(large, 'v', sizeof(large) - 1);
    memcpy(large, "x: ", 3);
    assert_non_null(line(large));
    large[65000] = 0;
    assert_null(line("first: one"));
    assert_null(line(large));
    assert_true(
        span_equal(head->fields[0].value, SPAN_LITERAL("one"))); /* it moved with the text */
    assert_non_null(line(large));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_head_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(status_lines_that_are_none_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            fields_that_two_readers_could_take_for_two_things_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(there_is_one_length_or_a_coding, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_hundred_fields_and_64_kib_are_the_most, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

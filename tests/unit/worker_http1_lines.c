/* The lines of a message are told apart the same, however they are cut into pieces. */
#include "worker/http1_lines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Feeds `text` in pieces of `piece` bytes. Returns how many bytes were taken until the end; -1 for
 * a fault, -2 when it does not end. */
static long feed(const char *text, size_t length, size_t piece, bool chunked, const char **fault)
{
    struct lines lines;
    size_t at = 0;
    lines_begin(&lines, chunked);
    while (at < length && lines.state != LINES_DONE) {
        size_t most = length - at < piece ? length - at : piece;
        size_t n = lines_next(&lines, (const uint8_t *)text + at, most);
        if (!n) {
            *fault = lines.fault;
            return -1;
        }
        assert_true(n <= most);
        at += n;
    }
    return lines.state == LINES_DONE ? (long)at : -2;
}

static void check(const char *text, size_t length, bool chunked, long expected)
{
    const char *whole_fault = NULL;
    long whole = feed(text, length, length, chunked, &whole_fault);
    assert_int_equal(whole, expected);
    for (size_t piece = 1; piece < length; piece++) {
        const char *fault = NULL;
        assert_int_equal(feed(text, length, piece, chunked, &fault), expected);
        if (whole_fault)
            assert_string_equal(fault, whole_fault);
    }
}

#define BLOCK(text, expected) check(text, sizeof(text) - 1, false, expected)
#define CHUNKS(text, expected) check(text, sizeof(text) - 1, true, expected)

static void a_block_ends_with_its_empty_line(void **state)
{
    (void)state;
    BLOCK("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET", 27);
    BLOCK("\r\nGET / HTTP/1.1\r\n\r\n", 20);
    BLOCK("GET / HTTP/1.1\r\nHost: a\r\n", -2);
}

static void an_end_of_line_that_is_none_is_a_fault(void **state)
{
    (void)state;
    BLOCK("GET / HTTP/1.1\nHost: a\r\n\r\n", -1);
    BLOCK("GET / HTTP/1.1\r\nHost: a\n\r\n", -1);
    BLOCK("GET / HTTP/1.1\r\nHost: a\r\n\n", -1);
    BLOCK("GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", -1);
    BLOCK("GET / HTTP/1.1\r\nA: b\r\r\n\r\n", -1);
    BLOCK("GET / HTTP/1.1\r\nA: b\0c\r\n\r\n", -1);
    BLOCK("\r\n\r\nGET / HTTP/1.1\r\n\r\n", -1);
}

static void a_folded_line_is_a_fault(void **state)
{
    (void)state;
    BLOCK("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", -1);
    BLOCK("GET / HTTP/1.1\r\n\tA: b\r\n\r\n", -1);
    BLOCK(" GET / HTTP/1.1\r\n\r\n", -1);
}

static void chunks_end_behind_their_trailers(void **state)
{
    (void)state;
    CHUNKS("0\r\n\r\nGET", 5);
    CHUNKS("5\r\nhello\r\n0\r\n\r\n", 15);
    CHUNKS("5;a=b\r\nhe\r\no\r\n00\r\nA: b\r\n\r\nX", 26);
    CHUNKS("A\r\n0123456789\r\n", -2);
}

static void a_chunk_is_just_as_long_as_its_size(void **state)
{
    (void)state;
    CHUNKS("4\r\nhello\r\n0\r\n\r\n", -1);
    CHUNKS("6\r\nhello\r\n0\r\n\r\n", -1);
    CHUNKS("5\r\nhello\n0\r\n\r\n", -1);
    CHUNKS("\r\nhello\r\n", -1);
    CHUNKS("5 \r\nhello\r\n", -1);
    CHUNKS("-5\r\nhello\r\n", -1);
    CHUNKS("0x5\r\nhello\r\n", -1);
    CHUNKS("1000000000000000\r\n", -1);
    CHUNKS("5\nhello\r\n", -1);
    CHUNKS("0\r\nA: b\n\r\n", -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_ends_with_its_empty_line),
        cmocka_unit_test(an_end_of_line_that_is_none_is_a_fault),
        cmocka_unit_test(a_folded_line_is_a_fault),
        cmocka_unit_test(chunks_end_behind_their_trailers),
        cmocka_unit_test(a_chunk_is_just_as_long_as_its_size),
    };
    return cmocka_run_group_tests_name("worker_http1_lines", tests, NULL, NULL);
}

#include "master/handoff/log.h"

#include <jansson.h>
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int setup(void **state)
{
    struct log *log = calloc(1, sizeof(*log));
    *state = log;
    return log ? log_init(log, 4096) : -1;
}

static int teardown(void **state)
{
    log_finish(*state);
    free(*state);
    return 0;
}

/* What waits, as a string owned by the caller. */
static char *take(struct log *log)
{
    struct span waiting = log_take(log);
    return strndup(waiting.data, waiting.length);
}

static json_t *value_of(struct log *log, struct span value)
{
    json_error_t error;
    log_begin(log);
    log_string(log, "v", value);
    log_end(log);
    struct span waiting = log_take(log);
    json_t *line = json_loadb(waiting.data, waiting.length, 0, &error);
    assert_non_null(line);
    json_t *v = json_incref(json_object_get(line, "v"));
    json_decref(line);
    return v;
}

static void check_value(struct log *log, struct span value, const char *expected)
{
    json_t *v = value_of(log, value);
    assert_string_equal(json_string_value(v), expected);
    json_decref(v);
}

static void a_line_of_every_kind_of_member_is_valid_json(void **state)
{
    struct log *log = *state;
    log_begin(log);
    log_string(log, "path", SPAN_LITERAL("/a\"b\\c"));
    log_number(log, "status", -7);
    log_open_array(log, "push");
    log_open_object(log);
    log_string(log, "path", SPAN_LITERAL("/x"));
    log_close_object(log);
    log_open_object(log);
    log_close_object(log);
    log_string(log, NULL, SPAN_LITERAL("bare"));
    log_close_array(log);
    log_bool(log, "done", true);
    log_end(log);
    char *line = take(log);
    assert_string_equal(line, "{\"path\":\"/a\\\"b\\\\c\",\"status\":-7,"
                              "\"push\":[{\"path\":\"/x\"},{},\"bare\"],\"done\":true}\n");
    free(line);
    assert_int_equal(log->lines, 1);
}

static void values_survive_the_round_trip_through_a_json_parser(void **state)
{
    struct log *log = *state;
    check_value(log, SPAN_LITERAL("quote \" back \\ tab \t line \n bell \a"),
                "quote \" back \\ tab \t line \n bell \a");
    check_value(log, SPAN_LITERAL("h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"),
                "h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
    check_value(log, (struct span){NULL, 0}, "");
}

static void keys_and_words_of_every_length_are_whole(void **state)
{
    static const char TEXT[] = "abcdefghijklmnopqrstuvwxyz";
    struct log *log = *state;
    char key[sizeof(TEXT)], expected[4 * sizeof(TEXT) + 16];
    for (size_t length = 0; length < sizeof(TEXT); length++) {
        memcpy(key, TEXT, length);
        key[length] = '\0';
        log_begin(log);
        log_word(log, key, span_make(TEXT, length));
        log_bool(log, key, length % 2);
        log_end(log);
        snprintf(expected, sizeof(expected), "{\"%s\":\"%s\",\"%s\":%s}\n", key, key, key,
                 length % 2 ? "true" : "false");
        char *line = take(log);
        assert_string_equal(line, expected);
        free(line);
    }
}

static void bytes_that_are_not_utf8_become_replacement_characters(void **state)
{
    struct log *log = *state;
    check_value(log, SPAN_LITERAL("a\xffz"), "a\xef\xbf\xbdz");
    /* An overlong slash, a surrogate, a code point past the end, a sequence cut short. */
    check_value(log, SPAN_LITERAL("\xc0\xaf"), "\xef\xbf\xbd\xef\xbf\xbd");
    check_value(log, SPAN_LITERAL("\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    check_value(log, SPAN_LITERAL("\xf4\x90\x80\x80"),
                "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    check_value(log, SPAN_LITERAL("x\xe2\x82"), "x\xef\xbf\xbd\xef\xbf\xbd");
}

/* Values are looked through eight bytes at a time. */
static void each_byte_is_escaped_wherever_it_stands(void **state)
{
    struct log *log = *state;
    for (size_t length = 1; length <= 20; length++) {
        for (size_t at = 0; at < length; at++) {
            for (int byte = 0; byte < 256; byte++) {
                char text[20];
                size_t width = byte < 0x80 ? 1 : 3;
                memset(text, 'x', sizeof(text));
                text[at] = (char)byte;
                log_begin(log);
                log_string(log, "v", span_make(text, length));
                log_end(log);
                struct span line = log_take(log);
                json_t *parsed = json_loadb(line.data, line.length, JSON_ALLOW_NUL, NULL);
                json_t *v = json_object_get(parsed, "v");
                assert_int_equal(json_string_length(v), length - 1 + width);
                const char *value = json_string_value(v);
                for (size_t i = 0; i < at; i++)
                    assert_int_equal(value[i], 'x');
                assert_memory_equal(value + at, width == 1 ? text + at : "\xef\xbf\xbd", width);
                for (size_t i = at + width; i < length - 1 + width; i++)
                    assert_int_equal(value[i], 'x');
                assert_null(memchr(line.data, 0x7f, line.length));
                json_decref(parsed);
            }
        }
    }
}

static void a_line_may_fill_the_half_to_its_last_byte(void **state)
{
    struct log *log = *state;
    char text[4096];
    size_t most = sizeof(text) - strlen("{\"v\":\"\"}\n");
    memset(text, 'x', sizeof(text));
    for (size_t length = most - 9; length <= most + 9; length++) {
        uint64_t lines = log->lines;
        log_begin(log);
        log_string(log, "v", span_make(text, length));
        log_end(log);
        assert_int_equal(log_take(log).length, length <= most ? length + sizeof(text) - most : 0);
        assert_int_equal(log->lines - lines, length <= most);
    }
}

static void every_byte_makes_a_line_without_control_bytes(void **state)
{
    struct log *log = *state;
    for (int first = 0; first < 256; first++) {
        for (int second = 0; second < 256; second += 5) {
            char bytes[2] = {(char)first, (char)second};
            log_begin(log);
            log_string(log, "v", span_make(bytes, 2));
            log_end(log);
            struct span line = log_take(log);
            json_t *parsed = json_loadb(line.data, line.length, JSON_ALLOW_NUL, NULL);
            assert_non_null(parsed);
            json_decref(parsed);
            for (size_t i = 0; i + 1 < line.length; i++) {
                unsigned char c = (unsigned char)line.data[i];
                assert_true(c >= 0x20 && c != 0x7f);
                assert_false(c == 0xc2 && (unsigned char)line.data[i + 1] < 0xa0);
            }
        }
    }
}

static void a_line_that_does_not_fit_is_dropped_whole_and_counted(void **state)
{
    struct log *log = *state;
    char big[5000];
    memset(big, 'x', sizeof(big));
    log_text(log, "info", "before");
    log_begin(log);
    log_number(log, "n", 1);
    log_string(log, "v", span_make(big, sizeof(big)));
    log_string(log, "w", SPAN_LITERAL("small again"));
    log_end(log);
    log_text(log, "info", "%.*s", 4990, big);
    log_text(log, "info", "after");
    char *lines = take(log);
    assert_null(strstr(lines, "xx"));
    assert_null(strstr(lines, "small"));
    assert_non_null(strstr(lines, "before\n"));
    assert_non_null(strstr(lines, "after\n"));
    free(lines);
    assert_int_equal(log->lines, 2);
    assert_int_equal(log->dropped, 2);
}

static void what_was_taken_stays_unchanged_while_new_lines_gather(void **state)
{
    struct log *log = *state;
    log_text(log, "info", "one");
    struct span taken = log_take(log);
    char before[128];
    assert_true(taken.length < sizeof(before));
    memcpy(before, taken.data, taken.length);
    for (int i = 0; i < 1000; i++)
        log_text(log, "warn", "line %d", i);
    assert_memory_equal(before, taken.data, taken.length);
    assert_true(log->dropped > 0);
    assert_true(log_take(log).length > 0);
    assert_int_equal(log_take(log).length, 0);
}

static void a_text_line_stays_one_line_and_never_speaks_to_a_terminal(void **state)
{
    struct log *log = *state;
    log_text(log, "error",
             "a\nb\x1b[2Jc\x7f\xc2\x9b"
             "d h\xc3\xa9");
    char *line = take(log);
    assert_non_null(strstr(line, " error a?b?[2Jc???d h\xc3\xa9\n"));
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    free(line);
}

static void the_time_is_rfc_3339_with_milliseconds(void **state)
{
    char text[LOG_TIME_MAX];
    regex_t pattern;
    (void)state;
    assert_int_equal(regcomp(&pattern,
                             "^20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]"
                             "\\.[0-9]{3}Z$",
                             REG_EXTENDED | REG_NOSUB),
                     0);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(regexec(&pattern, log_time(text), 0, NULL, 0), 0);
    regfree(&pattern);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_line_of_every_kind_of_member_is_valid_json, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(values_survive_the_round_trip_through_a_json_parser, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(keys_and_words_of_every_length_are_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(bytes_that_are_not_utf8_become_replacement_characters,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(each_byte_is_escaped_wherever_it_stands, setup, teardown),
        cmocka_unit_test_setup_teardown(a_line_may_fill_the_half_to_its_last_byte, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(every_byte_makes_a_line_without_control_bytes, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_line_that_does_not_fit_is_dropped_whole_and_counted,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_taken_stays_unchanged_while_new_lines_gather,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_text_line_stays_one_line_and_never_speaks_to_a_terminal,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(the_time_is_rfc_3339_with_milliseconds, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

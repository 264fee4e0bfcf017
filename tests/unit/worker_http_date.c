#include "worker/http_date.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define EXAMPLE 784111777 /* RFC 9110 5.6.7's, in seconds */

static time_t parsed(const char *text)
{
    time_t time = -1;
    assert_true(http_date_parse(span_of(text), &time));
    return time;
}

static void the_three_forms_of_the_rfc_name_one_time(void **state)
{
    (void)state;
    assert_int_equal(parsed("Sun, 06 Nov 1994 08:49:37 GMT"), EXAMPLE);
    assert_int_equal(parsed("Sunday, 06-Nov-94 08:49:37 GMT"), EXAMPLE);
    assert_int_equal(parsed("Sun Nov  6 08:49:37 1994"), EXAMPLE);
}

static void a_time_is_written_as_a_fixdate_and_read_back(void **state)
{
    static const time_t times[] = {0, 1, EXAMPLE, 951782400, 1709164800, 2147483648, 253402300799};
    char text[HTTP_DATE_LENGTH + 1];
    (void)state;
    http_date_format(EXAMPLE, text);
    assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT");
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        http_date_format(times[i], text);
        assert_int_equal(strlen(text), HTTP_DATE_LENGTH);
        assert_int_equal(parsed(text), times[i]);
    }
}

static void a_year_out_of_range_is_written_as_a_date_all_the_same(void **state)
{
    char text[HTTP_DATE_LENGTH + 1];
    (void)state;
    http_date_format((time_t)1 << 60, text);
    assert_string_equal(text, "Thu, 01 Jan 1970 00:00:00 GMT");
}

static void a_two_digit_year_is_never_far_in_the_future(void **state)
{
    char text[] = "Monday, 06-Nov-00 08:49:37 GMT";
    time_t now = http_date_seconds();
    (void)state;
    for (int year = 0; year < 100; year++) {
        text[15] = (char)('0' + year / 10);
        text[16] = (char)('0' + year % 10);
        assert_true(parsed(text) < now + (time_t)51 * 366 * 86400);
        assert_true(parsed(text) > now - (time_t)101 * 366 * 86400);
    }
}

static void a_leap_second_is_read_as_the_one_before_it(void **state)
{
    (void)state;
    assert_int_equal(parsed("Sat, 31 Dec 2016 23:59:60 GMT"),
                     parsed("Sat, 31 Dec 2016 23:59:59 GMT"));
}

static void what_is_no_date_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "now",
        "0",
        "Sun",
        "Sun,",
        "Sun, ",
        "Sunday",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 29 Feb 2023 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Xun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov +994 08:49:37 GMT",
        "Sunday, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06-Nov-94 08:49:37 GMT",
        "Sunday Nov  6 08:49:37 1994",
        "Sun Nov 6 08:49:37 1994",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        time_t time = 0;
        if (http_date_parse(span_of(texts[i]), &time))
            fail_msg("taken for a date: '%s'", texts[i]);
    }
}

static void every_cut_of_a_date_is_refused_without_reading_past_it(void **state)
{
    static const char *const texts[] = {"Sun, 06 Nov 1994 08:49:37 GMT",
                                        "Sunday, 06-Nov-94 08:49:37 GMT",
                                        "Sun Nov  6 08:49:37 1994"};
    (void)state;
    for (size_t i = 0; i < 3; i++)
        for (size_t cut = 0; cut < strlen(texts[i]); cut++) {
            time_t time;
            char *copy = malloc(cut ? cut : 1); /* so that a sanitizer sees a byte too many */
            memcpy(copy, texts[i], cut);
            assert_false(http_date_parse(span_make(copy, cut), &time));
            free(copy);
        }
}

static void now_is_now(void **state)
{
    time_t time = 0;
    (void)state;
    assert_true(http_date_parse(http_date_now(), &time));
    assert_in_range(time, http_date_seconds() - 1, http_date_seconds());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_three_forms_of_the_rfc_name_one_time),
        cmocka_unit_test(a_time_is_written_as_a_fixdate_and_read_back),
        cmocka_unit_test(a_year_out_of_range_is_written_as_a_date_all_the_same),
        cmocka_unit_test(a_two_digit_year_is_never_far_in_the_future),
        cmocka_unit_test(a_leap_second_is_read_as_the_one_before_it),
        cmocka_unit_test(what_is_no_date_is_refused),
        cmocka_unit_test(every_cut_of_a_date_is_refused_without_reading_past_it),
        cmocka_unit_test(now_is_now),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

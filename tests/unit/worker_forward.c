/* Header lists on their way through the proxy. */
#include "worker/forward.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define FIELD(name, value)           \
    {                                \
        {name, sizeof(name) - 1},    \
        {                            \
            value, sizeof(value) - 1 \
        }                            \
    }
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct forward_list list;

/* The values of the list's fields of that name, with "|" between; "" when there is none. */
static const char *values(const char *name)
{
    static char text[4096];
    size_t length = 0;
    text[0] = 0;
    for (unsigned i = 0; i < list.count; i++)
        if (span_equal(list.fields[i].name, span_of(name)))
            length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%.*s",
                                       length ? "|" : "", SPAN_PRINT(list.fields[i].value));
    return text;
}

static struct forward_request request_of(const struct field *fields, size_t count)
{
    return (struct forward_request){.fields = fields,
                                    .fields_count = count,
                                    .authority = SPAN_LITERAL("www.test:8443"),
                                    .scheme = SPAN_LITERAL("https"),
                                    .protocol = SPAN_LITERAL("2"),
                                    .name = "herald-1",
                                    .peer = "192.0.2.1"};
}

static void forward(const struct field *fields, size_t count)
{
    struct forward_request request = request_of(fields, count);
    forward_list_finish(&list);
    assert_int_equal(forward_request(&request, &list), 0);
}

static int clean(void **state)
{
    (void)state;
    forward_list_finish(&list);
    return 0;
}

static void what_concerns_one_hop_stays_here(void **state)
{
    static const struct field FIELDS[] = {FIELD("connection", "X-One , close,,x-two"),
                                          FIELD("x-one", "1"),
                                          FIELD("x-two", "2"),
                                          FIELD("x-three", " 3 "),
                                          FIELD("keep-alive", "5"),
                                          FIELD("te", "trailers"),
                                          FIELD("transfer-encoding", "chunked"),
                                          FIELD("content-length", "5"),
                                          FIELD("upgrade", "x"),
                                          FIELD("host", "other"),
                                          FIELD("expect", "100-continue"),
                                          FIELD("trailer", "x"),
                                          FIELD("proxy-connection", "close"),
                                          FIELD("http2-settings", "x"),
                                          FIELD("empty", "")};
    (void)state;
    forward(FIELDS, COUNT(FIELDS));
    assert_string_equal(values("x-three"), "3");
    for (size_t i = 0; i < COUNT(FIELDS); i++)
        if (!span_equal(FIELDS[i].name, SPAN_LITERAL("x-three")) &&
            !span_equal(FIELDS[i].name, SPAN_LITERAL("empty")))
            assert_string_equal(values(FIELDS[i].name.data), "");
    assert_int_equal(list.count, 2 + 5); /* and the five that name the way */
}

static void more_names_in_connection_than_are_read_take_every_field_with_them(void **state)
{
    char names[40 * 4];
    size_t length = 0;
    (void)state;
    for (int i = 0; i < 40; i++)
        length +=
            (size_t)snprintf(names + length, sizeof(names) - length, "%sx%d", i ? "," : "", i);
    struct field fields[] = {{SPAN_LITERAL("connection"), span_make(names, length)},
                             FIELD("x39", "1"),
                             FIELD("accept", "*/*")};
    forward(fields, COUNT(fields));
    assert_string_equal(values("x39"), "");
    assert_string_equal(values("accept"), "");
}

static void crumbs_become_one_cookie_without_ours(void **state)
{
    static const struct field FIELDS[] = {FIELD("cookie", "a=1"), FIELD("cookie", "herald=zzz"),
                                          FIELD("cookie", "b=2; __Host-herald=y"),
                                          FIELD("cookie", "")};
    (void)state;
    forward(FIELDS, COUNT(FIELDS));
    assert_string_equal(values("cookie"), "a=1; b=2");
    forward(FIELDS + 1, 1);
    assert_string_equal(values("cookie"), "");
}

static void the_way_is_named_anew_unless_it_is_trusted(void **state)
{
    static const struct field FIELDS[] = {FIELD("x-forwarded-for", "6.6.6.6"),
                                          FIELD("x-forwarded-for", "7.7.7.7"),
                                          FIELD("x-forwarded-proto", "gopher"),
                                          FIELD("x-forwarded-host", "evil"),
                                          FIELD("forwarded", "for=6.6.6.6"),
                                          FIELD("via", "1.0 a"),
                                          FIELD("via", "1.1 b")};
    (void)state;
    forward(FIELDS, COUNT(FIELDS));
    assert_string_equal(values("x-forwarded-for"), "192.0.2.1");
    assert_string_equal(values("x-forwarded-proto"), "https");
    assert_string_equal(values("x-forwarded-host"), "www.test:8443");
    assert_string_equal(values("forwarded"), "for=192.0.2.1;proto=https;host=\"www.test:8443\"");
    assert_string_equal(values("via"), "1.0 a, 1.1 b, 2 herald-1");
    struct forward_request request = request_of(FIELDS, COUNT(FIELDS));
    request.trusted = true;
    request.peer = "2001:db8::1";
    forward_list_finish(&list);
    assert_int_equal(forward_request(&request, &list), 0);
    assert_string_equal(values("x-forwarded-for"), "6.6.6.6, 7.7.7.7, 2001:db8::1");
    assert_string_equal(values("x-forwarded-proto"), "gopher");
    assert_string_equal(values("x-forwarded-host"), "evil");
    assert_string_equal(values("forwarded"),
                        "for=6.6.6.6, for=\"[2001:db8::1]\";proto=https;host=\"www.test:8443\"");
}

static void a_response_has_the_length_that_its_content_has(void **state)
{
    static const struct field FIELDS[] = {
        FIELD("connection", "x-hop"), FIELD("x-hop", "1"),
        FIELD("content-length", "7"), FIELD("transfer-encoding", "chunked"),
        FIELD("set-cookie", "a"),     FIELD("set-cookie", "b"),
        FIELD("date", "then")};
    (void)state;
    assert_int_equal(forward_response(FIELDS, COUNT(FIELDS), -1, 0, &list), 0);
    assert_string_equal(values("content-length"), "");
    assert_string_equal(values("set-cookie"), "a|b");
    assert_string_equal(values("date"), "then");
    assert_int_equal(list.count, 3);
    forward_list_finish(&list);
    assert_int_equal(forward_response(FIELDS, 2, 1234567890123, 4, &list), 0);
    assert_string_equal(values("content-length"), "1234567890123");
    assert_int_equal(strlen(values("date")), 29);
    assert_true(list.room - list.count >= 4);
}

static void a_length_is_digits_alone(void **state)
{
    static const struct field GOOD[] = {FIELD("content-length", "0012")};
    static const struct field BAD[] = {FIELD("content-length", "+1"),
                                       FIELD("content-length", "1,1"), FIELD("content-length", ""),
                                       FIELD("content-length", "1234567890123456789")};
    (void)state;
    assert_int_equal(forward_length(GOOD, 1), 12);
    for (size_t i = 0; i < COUNT(BAD); i++)
        assert_int_equal(forward_length(&BAD[i], 1), -1);
    assert_int_equal(forward_length(GOOD, 0), -1);
}

static void passages_through_here_are_counted(void **state)
{
    static const struct field FIELDS[] = {FIELD("via", "2 herald-1, 1.1 x"),
                                          FIELD("via", "1.1 herald-1"),
                                          FIELD("via", "1.1 herald-12, herald-1")};
    (void)state;
    assert_int_equal(forward_passages(FIELDS, 3, "herald-1"), 2);
    assert_int_equal(forward_passages(FIELDS, 0, "herald-1"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_concerns_one_hop_stays_here, clean),
        cmocka_unit_test_teardown(more_names_in_connection_than_are_read_take_every_field_with_them,
                                  clean),
        cmocka_unit_test_teardown(crumbs_become_one_cookie_without_ours, clean),
        cmocka_unit_test_teardown(the_way_is_named_anew_unless_it_is_trusted, clean),
        cmocka_unit_test_teardown(a_response_has_the_length_that_its_content_has, clean),
        cmocka_unit_test(a_length_is_digits_alone),
        cmocka_unit_test(passages_through_here_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Priority field values (RFC 9218 4). */
#include "worker/priority.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *value;
    unsigned urgency;
    bool incremental;
} VALUES[] = {
    {"", 3, false},
    {"u=0", 0, false},
    {"u=7, i", 7, true},
    {"i", 3, true},
    {"i=?1", 3, true},
    {"i, i=?0", 3, false},
    {"u=1,u=5", 5, false},
    {" u=2 ,\t i ", 2, true},
    {"i;x=1, u=7;y", 7, true},
    {"u=8", 3, false},
    {"u=-1", 3, false},
    {"u=10", 3, false},
    {"u", 3, false},
    {"u=", 3, false},
    {"U=1, I", 3, false},
    {"i=1", 3, false},
    {",,,", 3, false},
    {";;;,u=4", 4, false},
    {"x=unknown, u=6, y", 6, false},
};

static void a_value_says_urgency_and_whether_it_is_incremental(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(VALUES) / sizeof(VALUES[0]); i++) {
        struct priority priority =
            priority_read(span_make(VALUES[i].value, strlen(VALUES[i].value)));
        if (priority.urgency != VALUES[i].urgency ||
            priority.incremental != VALUES[i].incremental || !priority.said)
            fail_msg("\"%s\" is urgency %u, incremental %d", VALUES[i].value, priority.urgency,
                     priority.incremental);
    }
}

static void nothing_is_read_beyond_the_value(void **state)
{
    (void)state;
    assert_int_equal(priority_read(span_make("u=12", 3)).urgency, 1);
    assert_false(priority_read(span_make("u=1, i", 5)).incremental);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_says_urgency_and_whether_it_is_incremental),
        cmocka_unit_test(nothing_is_read_beyond_the_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

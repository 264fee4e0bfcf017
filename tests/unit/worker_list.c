#include "worker/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct member {
    int number;
    struct link link;
};

static void a_list_is_kept_in_order_and_anyone_may_leave_it(void **state)
{
    struct link list;
    struct member members[4] = {{0}};
    (void)state;
    list_init(&list);
    assert_true(list_empty(&list));
    for (int i = 0; i < 4; i++) {
        members[i].number = i;
        assert_false(list_has(&members[i].link));
        list_insert(&list, &members[i].link);
        assert_true(list_has(&members[i].link));
    }
    list_remove(&members[2].link);
    list_remove(&members[2].link);
    list_remove(&members[0].link);
    list_insert(&list, &members[0].link);
    list_insert(list.next, &members[2].link); /* before the first */
    static const int EXPECTED[] = {2, 1, 3, 0};
    size_t count = 0;
    for (struct link *at = list.next; at != &list; at = at->next)
        assert_int_equal(LIST_OWNER(at, struct member, link)->number, EXPECTED[count++]);
    assert_int_equal(count, 4);
    for (struct link *at = list.previous; at != &list; at = at->previous)
        assert_int_equal(LIST_OWNER(at, struct member, link)->number, EXPECTED[--count]);
    for (int i = 0; i < 4; i++)
        list_remove(&members[i].link);
    assert_true(list_empty(&list));
}

static void all_of_a_list_can_be_taken_and_the_list_goes_on(void **state)
{
    struct link list, taken;
    struct member members[3] = {{0}};
    (void)state;
    list_init(&list);
    list_take_all(&list, &taken);
    assert_true(list_empty(&taken));
    for (int i = 0; i < 2; i++)
        list_insert(&list, &members[i].link);
    list_take_all(&list, &taken);
    assert_true(list_empty(&list));
    list_insert(&list, &members[2].link);
    list_remove(&members[0].link);
    assert_ptr_equal(taken.next, &members[1].link);
    assert_ptr_equal(taken.previous, &members[1].link);
    assert_ptr_equal(list.next, &members[2].link);
    list_remove(&members[1].link);
    assert_true(list_empty(&taken));
    assert_false(list_empty(&list));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_is_kept_in_order_and_anyone_may_leave_it),
        cmocka_unit_test(all_of_a_list_can_be_taken_and_the_list_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

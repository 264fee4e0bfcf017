/* What waits of a connection's input, and the line of those that wait. */
#include "worker/input.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void a_little_passes_and_what_is_more_waits(void **state)
{
    struct input input;
    (void)state;
    input_init(&input);
    assert_true(input_passes(&input, 1, INPUT_SLICE));
    assert_false(input_passes(&input, 1, 1)); /* a slice has passed in this wake-up */
    assert_true(input_passes(&input, 2, INPUT_SLICE - 1));
    assert_true(input_passes(&input, 2, 1));
    assert_false(input_passes(&input, 3, INPUT_SLICE + 1));
}

static void nothing_passes_what_waits(void **state)
{
    struct input input;
    struct link line;
    (void)state;
    list_init(&line);
    input_init(&input);
    assert_int_equal(input_keep(&input, "abc", 3), 0);
    assert_false(input_passes(&input, 1, 1));
    input_taken(&input, 3);
    assert_true(input_passes(&input, 1, 1));
    list_insert(&line, &input.turn); /* something of it waits elsewhere: decrypted, say */
    assert_false(input_passes(&input, 2, 1));
    list_remove(&input.turn);
    assert_true(input_passes(&input, 3, 1));
}

static void what_waits_comes_in_its_order_whatever_it_was_cut_to(void **state)
{
    struct input input;
    uint32_t written = 0, read = 0;
    (void)state;
    input_init(&input);
    for (int round = 0; round < 3000; round++) {
        uint8_t piece[300];
        size_t length = 1 + (size_t)(round * 37 % 300);
        for (size_t i = 0; i < length; i++)
            piece[i] = (uint8_t)(written++ * 7);
        assert_int_equal(input_keep(&input, piece, length), 0);
        struct span next = input_next(&input);
        size_t taken = (next.length + 1) / 2;
        for (size_t i = 0; i < taken; i++)
            assert_int_equal((uint8_t)next.data[i], (uint8_t)(read++ * 7));
        input_taken(&input, taken);
    }
    while (input_length(&input)) {
        struct span next = input_next(&input);
        assert_in_range(next.length, 1, INPUT_SLICE);
        for (size_t i = 0; i < next.length; i++)
            assert_int_equal((uint8_t)next.data[i], (uint8_t)(read++ * 7));
        input_taken(&input, next.length);
    }
    assert_int_equal(read, written);
    assert_null(input.bytes); /* and nothing is kept */
}

static void dear_input_comes_in_small_slices_and_cheap_input_in_large_ones(void **state)
{
    struct input input;
    (void)state;
    input_init(&input);
    input_took(&input, 100000, INPUT_SLICE_NS); /* as it is to be */
    assert_int_equal(input.slice, INPUT_SLICE);
    input_took(&input, 100000, 4 * INPUT_SLICE_NS);
    assert_int_equal(input.slice, INPUT_SLICE / 4);
    input_took(&input, 100000, 1000000000);
    assert_int_equal(input.slice, INPUT_SLICE_MIN);
    input_took(&input, INPUT_SLICE_MIN - 1, 1); /* less than a slice says little */
    assert_int_equal(input.slice, INPUT_SLICE_MIN);
    for (int i = 0; i < 20; i++)
        input_took(&input, 100000, 1);
    assert_int_equal(input.slice, INPUT_SLICE_MAX);
}

static void a_peer_is_stopped_while_much_waits_and_goes_on_when_little_does(void **state)
{
    static const uint8_t BYTES[INPUT_WAITING_MAX + 1];
    struct input input;
    (void)state;
    input_init(&input);
    assert_int_equal(input_keep(&input, BYTES, INPUT_WAITING_MAX), 0);
    assert_false(input_is_full(&input, false));
    assert_int_equal(input_keep(&input, BYTES, 1), 0);
    assert_true(input_is_full(&input, false));
    input_taken(&input, INPUT_WAITING_MAX - INPUT_WAITING_LOW);
    assert_true(input_is_full(&input, true));
    input_taken(&input, 1);
    assert_false(input_is_full(&input, true));
    input_clear(&input);
    assert_int_equal(input_length(&input), 0);
}

static void a_peer_is_received_from_in_portions_until_it_has_sent_little_for_long(void **state)
{
    struct input input;
    (void)state;
    input_init(&input);
    assert_true(input.bulk); /* nothing is known of it */
    input_came_short(&input, 1);
    assert_false(input.bulk);
    input_came_in_bulk(&input, 1000);
    input_came_short(&input, 1000 + INPUT_BULK_MS - 1);
    assert_true(input.bulk);
    input_came_short(&input, 1000 + INPUT_BULK_MS);
    assert_false(input.bulk);
}

static void what_is_received_behind_what_waits_keeps_its_order_and_its_place(void **state)
{
    struct input input;
    (void)state;
    input_init(&input);
    assert_int_equal(input_keep(&input, "ab", 2), 0);
    char *room = input_receive(&input);
    assert_non_null(room);
    input_taken(&input, 2); /* nothing waits, and what is being received stays where it is */
    assert_true(input_passes(&input, 1, 1));
    memset(room, 'c', INPUT_PORTION);
    input_received(&input, INPUT_PORTION);
    assert_int_equal(input_length(&input), INPUT_PORTION);
    assert_int_equal(input_next(&input).data[0], 'c');
    input_receive(&input);
    input_clear(&input); /* the connection ends, and the kernel still writes */
    assert_non_null(input.bytes);
    input_received(&input, 0);
    assert_null(input.bytes);
    input_receive(&input);
    input_finish(&input);
    assert_null(input.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_little_passes_and_what_is_more_waits),
        cmocka_unit_test(nothing_passes_what_waits),
        cmocka_unit_test(what_waits_comes_in_its_order_whatever_it_was_cut_to),
        cmocka_unit_test(dear_input_comes_in_small_slices_and_cheap_input_in_large_ones),
        cmocka_unit_test(a_peer_is_stopped_while_much_waits_and_goes_on_when_little_does),
        cmocka_unit_test(a_peer_is_received_from_in_portions_until_it_has_sent_little_for_long),
        cmocka_unit_test(what_is_received_behind_what_waits_keeps_its_order_and_its_place),
    };
    return cmocka_run_group_tests_name("worker_input", tests, NULL, NULL);
}

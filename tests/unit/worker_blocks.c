/* Memory that is taken and given back again and again. */
#include "worker/blocks.h"

#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const size_t SIZES[] = {0,     1,     63,    64,    65,    79,    80,    81,     96,
                               112,   128,   129,   1000,  4096,  4097,  5120,  5121,   16385,
                               32769, 40000, 57345, 65535, 65536, 65537, 70000, 1 << 20};
#define COUNT (sizeof(SIZES) / sizeof(SIZES[0]))

static void blocks_of_every_size_are_whole_and_apart(void **state)
{
    (void)state;
    uint8_t *taken[COUNT];
    for (unsigned round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            taken[i] = blocks_take(SIZES[i]);
            assert_non_null(taken[i]);
            assert_int_equal((uintptr_t)taken[i] % alignof(max_align_t), 0);
            memset(taken[i], (int)i, SIZES[i]);
        }
        for (size_t i = 0; i < COUNT; i++)
            for (size_t at = 0; at < SIZES[i]; at++)
                assert_int_equal(taken[i][at], i);
        for (size_t i = 0; i < COUNT; i++)
            blocks_give(taken[(i * 7 + round) % COUNT]);
    }
    blocks_finish();
}

static void a_block_that_was_given_back_is_taken_again(void **state)
{
    (void)state;
    void *first = blocks_take(1000);
    void *beside = blocks_take(1000); /* between it and the next, for the C library */
    blocks_give(first);
    uint8_t *other = blocks_take(2000);
    void *again = blocks_take(900);
    assert_true(other != first);
#if !defined(__SANITIZE_ADDRESS__)
    assert_true(again == first);
#endif
    blocks_give(again);
    blocks_give(other);
    blocks_give(beside);
    blocks_give(NULL);
    blocks_finish();
}

static void a_block_that_is_resized_keeps_its_bytes(void **state)
{
    (void)state;
    uint8_t *block = blocks_resize(NULL, 10);
    size_t held = 10;
    memset(block, 'x', held);
    for (size_t i = 0; i < COUNT; i++) {
        size_t bytes = SIZES[i] > 10 ? SIZES[i] : 10;
        block = blocks_resize(block, bytes);
        for (size_t at = 0; at < held; at++)
            assert_int_equal(block[at], 'x');
        memset(block, 'x', bytes);
        held = bytes;
    }
    block = blocks_resize(block, 20);
    for (size_t at = 0; at < 20; at++)
        assert_int_equal(block[at], 'x');
    blocks_give(block);
    blocks_finish();
}

static void zeroed_blocks_are_zero_though_they_were_used(void **state)
{
    (void)state;
    uint8_t *used = blocks_take(500);
    memset(used, 0xff, 500);
    blocks_give(used);
    uint8_t *zeroed = blocks_take_zeroed(5, 100);
    for (size_t at = 0; at < 500; at++)
        assert_int_equal(zeroed[at], 0);
    blocks_give(zeroed);
    volatile size_t half = SIZE_MAX / 2;
    assert_null(blocks_take_zeroed(half, 3));
    assert_null(blocks_take(SIZE_MAX - (half > 0)));
    char *text = blocks_copy_text("a text");
    assert_string_equal(text, "a text");
    blocks_give(text);
    blocks_finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_of_every_size_are_whole_and_apart),
        cmocka_unit_test(a_block_that_was_given_back_is_taken_again),
        cmocka_unit_test(a_block_that_is_resized_keeps_its_bytes),
        cmocka_unit_test(zeroed_blocks_are_zero_though_they_were_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

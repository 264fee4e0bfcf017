#include "policy/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BYTES (1024 * 1024)
#define BLOCKS 512

static int setup(void **state)
{
    struct arena *arena = calloc(1, sizeof(*arena));
    *state = arena;
    return arena_open(arena, BYTES);
}

static int teardown(void **state)
{
    arena_close(*state);
    free(*state);
    return 0;
}

static void sizes_out_of_range_are_refused(void **state)
{
    struct arena arena;
    (void)state;
    assert_int_equal(arena_open(&arena, ARENA_BYTES_MIN - 1), -22);
    assert_int_equal(arena_open(&arena, (size_t)ARENA_BYTES_MAX + 1), -22);
    assert_int_equal(arena_open(&arena, ARENA_BYTES_MAX), 0);
    assert_non_null(arena_realloc(&arena, NULL, ARENA_BYTES_MAX / 2));
    assert_true(arena_sound(&arena));
    arena_close(&arena);
    arena_close(&arena);
}

static void blocks_are_aligned_and_apart(void **state)
{
    struct arena *arena = *state;
    char *blocks[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = arena_realloc(arena, NULL, i + 1);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % 16, 0);
        memset(blocks[i], (int)(i & 255), i + 1);
    }
    assert_true(arena_sound(arena));
    for (size_t i = 0; i < BLOCKS; i++) {
        for (size_t b = 0; b <= i; b++)
            assert_int_equal((unsigned char)blocks[i][b], i & 255);
    }
}

static void a_full_arena_refuses_and_freeing_all_makes_it_whole_again(void **state)
{
    struct arena *arena = *state;
    void *blocks[BYTES / 1000];
    size_t count = 0;
    while ((blocks[count] = arena_realloc(arena, NULL, 1000)))
        count++;
    assert_true(count > BYTES / 1024);
    assert_null(arena_realloc(arena, NULL, 1000));
    assert_true(arena_sound(arena));
    for (size_t i = 0; i < count; i += 2)
        arena_realloc(arena, blocks[i], 0);
    assert_null(arena_realloc(arena, NULL, 3000));
    for (size_t i = 1; i < count; i += 2)
        arena_realloc(arena, blocks[i], 0);
    assert_int_equal(arena->used, 0);
    assert_true(arena_sound(arena));
    assert_non_null(arena_realloc(arena, NULL, BYTES - BYTES / 8));
}

static void small_blocks_kept_for_reuse_are_given_up_when_a_large_one_is_wanted(void **state)
{
    struct arena *arena = *state;
    void *blocks[4 * ARENA_BIN_MAX];
    for (size_t i = 0; i < 4 * ARENA_BIN_MAX; i++)
        blocks[i] = arena_realloc(arena, NULL, 64);
    void *rest = NULL;
    for (size_t size = BYTES; !rest; size -= 1024)
        rest = arena_realloc(arena, NULL, size);
    for (size_t i = 0; i < 4 * ARENA_BIN_MAX; i++)
        arena_realloc(arena, blocks[i], 0);
    assert_true(arena_sound(arena));
    assert_non_null(arena_realloc(arena, NULL, (size_t)4 * ARENA_BIN_MAX * 64));
    assert_true(arena_sound(arena));
}

static void growing_and_shrinking_keep_the_content(void **state)
{
    struct arena *arena = *state;
    char *block = NULL;
    for (size_t size = 1; size < 100000; size = size * 3 / 2 + 1) {
        char *grown = arena_realloc(arena, block, size);
        assert_non_null(grown);
        for (size_t i = 0; block && i < size * 2 / 3 - 1; i++)
            assert_int_equal(grown[i], (char)i);
        for (size_t i = 0; i < size; i++)
            grown[i] = (char)i;
        /* What lies behind it makes some growth move. */
        assert_non_null(arena_realloc(arena, NULL, 24));
        block = grown;
    }
    for (size_t size = 90000; size > 1; size /= 2) {
        block = arena_realloc(arena, block, size);
        assert_non_null(block);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(block[i], (char)i);
        assert_true(arena_sound(arena));
    }
}

static void a_block_that_cannot_grow_stays_as_it_was(void **state)
{
    struct arena *arena = *state;
    char *block = arena_realloc(arena, NULL, 100);
    memset(block, 7, 100);
    assert_null(arena_realloc(arena, block, BYTES));
    assert_null(arena_realloc(arena, block, SIZE_MAX));
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(block[i], 7);
    assert_true(arena_sound(arena));
}

static unsigned next_random(unsigned *seed)
{
    *seed = *seed * 1103515245 + 12345;
    return *seed >> 8;
}

static void random_use_never_breaks_it(void **state)
{
    struct arena *arena = *state;
    unsigned char *blocks[BLOCKS] = {NULL};
    size_t sizes[BLOCKS] = {0};
    unsigned seed = 42;
    for (unsigned step = 0; step < 200000; step++) {
        size_t i = next_random(&seed) % BLOCKS;
        size_t size = next_random(&seed) % (next_random(&seed) % 8 ? 200 : 20000);
        if (sizes[i])
            assert_int_equal(blocks[i][sizes[i] - 1], i & 255);
        unsigned char *block = arena_realloc(arena, blocks[i], size);
        if (!block && size)
            continue;
        blocks[i] = block;
        sizes[i] = size;
        if (size)
            blocks[i][size - 1] = (unsigned char)i;
        if (step % 1000 == 0)
            assert_true(arena_sound(arena));
    }
    for (size_t i = 0; i < BLOCKS; i++)
        arena_realloc(arena, blocks[i], 0);
    assert_int_equal(arena->used, 0);
    assert_true(arena_sound(arena));
}

static void a_reset_forgets_everything(void **state)
{
    struct arena *arena = *state;
    for (size_t i = 0; i < 100; i++)
        arena_realloc(arena, NULL, 5000);
    arena_reset(arena);
    assert_int_equal(arena->used, 0);
    assert_true(arena_sound(arena));
    assert_non_null(arena_realloc(arena, NULL, BYTES - BYTES / 8));
}

static void a_test_can_have_allocations_refused(void **state)
{
    struct arena *arena = *state;
    arena->refuse_at = 2;
    assert_non_null(arena_realloc(arena, NULL, 10));
    assert_null(arena_realloc(arena, NULL, 10));
    void *block = arena_realloc(arena, NULL, 100);
    assert_non_null(block);
    arena->refuse_at = arena->allocations + 1;
    arena->refuse_on = true;
    assert_null(arena_realloc(arena, block, 1000));
    assert_null(arena_realloc(arena, NULL, 10));
    assert_ptr_equal(arena_realloc(arena, block, 50), block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_out_of_range_are_refused),
        cmocka_unit_test_setup_teardown(blocks_are_aligned_and_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_arena_refuses_and_freeing_all_makes_it_whole_again,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            small_blocks_kept_for_reuse_are_given_up_when_a_large_one_is_wanted, setup, teardown),
        cmocka_unit_test_setup_teardown(growing_and_shrinking_keep_the_content, setup, teardown),
        cmocka_unit_test_setup_teardown(a_block_that_cannot_grow_stays_as_it_was, setup, teardown),
        cmocka_unit_test_setup_teardown(random_use_never_breaks_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reset_forgets_everything, setup, teardown),
        cmocka_unit_test_setup_teardown(a_test_can_have_allocations_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

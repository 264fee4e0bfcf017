/* What nghttp2's allocations leave behind. */
#include "worker/http2_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct http2_memory memory;
static nghttp2_mem *heap;

static int setup(void **state)
{
    (void)state;
    if (http2_memory_init(&memory) < 0)
        return -1;
    heap = http2_memory_functions(&memory);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    http2_memory_finish(&memory);
    return 0;
}

/* The sanitizers' build keeps nothing. */
static void skip_without_chunks(void)
{
    if (!heap)
        skip();
}

static void buffers_that_grow_and_go_leave_no_more_each_time(void **state)
{
    static const size_t SIZES[] = {60, 61, 200, 1000, 1024, 1025, 5000, 300};
    size_t kept = 0;
    (void)state;
    skip_without_chunks();
    for (int round = 0; round < 100; round++) {
        void *buffers[2] = {NULL, NULL};
        for (size_t i = 0; i < sizeof(SIZES) / sizeof(SIZES[0]); i++)
            for (int j = 0; j < 2; j++)
                buffers[j] = heap->realloc(buffers[j], SIZES[i], &memory);
        void *chunk = heap->malloc(100, &memory);
        heap->free(chunk, &memory);
        heap->free(buffers[0], &memory);
        heap->free(buffers[1], &memory);
        if (round == 0)
            kept = memory.kept_bytes;
        assert_int_equal(memory.kept_bytes, kept);
    }
}

static void what_was_in_a_buffer_is_in_it_when_it_has_grown_or_shrunk(void **state)
{
    uint8_t expected[5000];
    (void)state;
    skip_without_chunks();
    for (size_t i = 0; i < sizeof(expected); i++)
        expected[i] = (uint8_t)(i * 7);
    static const size_t SIZES[] = {1, 16, 17, 500, 1024, 3000, 5000, 700, 20};
    uint8_t *data = NULL;
    size_t had = 0;
    for (size_t i = 0; i < sizeof(SIZES) / sizeof(SIZES[0]); i++) {
        data = heap->realloc(data, SIZES[i], &memory);
        assert_memory_equal(data, expected, had < SIZES[i] ? had : SIZES[i]);
        had = SIZES[i];
        memcpy(data, expected, had);
    }
    heap->free(data, &memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(buffers_that_grow_and_go_leave_no_more_each_time, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_was_in_a_buffer_is_in_it_when_it_has_grown_or_shrunk,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

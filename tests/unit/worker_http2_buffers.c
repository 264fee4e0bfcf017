#include "worker/http2_buffers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define MANY 300

static unsigned resident_pages(const struct http2_buffers *buffers)
{
    size_t pages = (size_t)MANY * HTTP2_BUFFER_BYTES / 4096;
    unsigned char *seen = malloc(pages);
    unsigned count = 0;
    assert_int_equal(mincore(buffers->base, pages * 4096, seen), 0);
    for (size_t i = 0; i < pages; i++)
        count += seen[i] & 1;
    free(seen);
    return count;
}

static void take_many(struct http2_buffers *buffers, void **taken)
{
    for (unsigned i = 0; i < MANY; i++) {
        taken[i] = http2_buffers_take(buffers);
        assert_non_null(taken[i]);
    }
}

static void give_many(struct http2_buffers *buffers, void **taken)
{
    for (unsigned i = 0; i < MANY; i++)
        http2_buffers_give(buffers, taken[i]);
}

static void each_buffer_is_its_users_alone(void **state)
{
    struct http2_buffers buffers = {0};
    void *taken[MANY];
    (void)state;
    take_many(&buffers, taken);
    for (unsigned i = 0; i < MANY; i++)
        memset(taken[i], (int)(i & 0xff), HTTP2_BUFFER_BYTES);
    for (unsigned i = 0; i < MANY; i++) {
        const unsigned char *bytes = taken[i];
        assert_int_equal(bytes[0], i & 0xff);
        assert_memory_equal(bytes, bytes + 1, HTTP2_BUFFER_BYTES - 1);
    }
    give_many(&buffers, taken);
    http2_buffers_finish(&buffers);
}

static void one_that_was_given_back_is_used_again(void **state)
{
    struct http2_buffers buffers = {0};
    (void)state;
    void *kept = http2_buffers_take(&buffers);
    void *first = http2_buffers_take(&buffers);
    http2_buffers_give(&buffers, first);
    assert_ptr_equal(http2_buffers_take(&buffers), first);
    http2_buffers_give(&buffers, first);
    http2_buffers_give(&buffers, kept);
    http2_buffers_finish(&buffers);
}

static void only_what_is_written_takes_memory(void **state)
{
    struct http2_buffers buffers = {0};
    void *taken[MANY];
    (void)state;
    take_many(&buffers, taken);
    for (unsigned i = 0; i < MANY; i++)
        memset(taken[i], 1, 300);
    assert_in_range(resident_pages(&buffers), MANY, MANY * 5 / 4);
    give_many(&buffers, taken);
    http2_buffers_finish(&buffers);
}

static void when_all_are_back_the_system_has_their_memory(void **state)
{
    struct http2_buffers buffers = {0};
    void *taken[MANY];
    (void)state;
    take_many(&buffers, taken);
    for (unsigned i = 0; i < MANY; i++)
        memset(taken[i], 1, HTTP2_BUFFER_BYTES);
    give_many(&buffers, taken);
    assert_int_equal(resident_pages(&buffers), 0);
    take_many(&buffers, taken);
    memset(taken[MANY - 1], 1, HTTP2_BUFFER_BYTES);
    give_many(&buffers, taken);
    http2_buffers_finish(&buffers);
}

static void what_is_the_heaps_is_not_held(void **state)
{
    struct http2_buffers buffers = {0};
    void *heap = malloc(HTTP2_BUFFER_BYTES);
    (void)state;
    assert_false(http2_buffers_hold(&buffers, NULL));
    assert_false(http2_buffers_hold(&buffers, heap));
    void *buffer = http2_buffers_take(&buffers);
    assert_true(http2_buffers_hold(&buffers, buffer));
    assert_false(http2_buffers_hold(&buffers, NULL));
    assert_false(http2_buffers_hold(&buffers, heap));
    http2_buffers_give(&buffers, buffer);
    http2_buffers_finish(&buffers);
    free(heap);
}

static void past_the_most_there_is_the_heap(void **state)
{
    struct http2_buffers buffers = {0};
    (void)state;
    void **taken = malloc(HTTP2_BUFFERS_MAX * sizeof(*taken));
    for (unsigned i = 0; i < HTTP2_BUFFERS_MAX; i++)
        assert_non_null(taken[i] = http2_buffers_take(&buffers));
    assert_null(http2_buffers_take(&buffers));
    buffers.live = 0; /* unwritten all of them: giving them back would write to each */
    http2_buffers_finish(&buffers);
    free(taken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_buffer_is_its_users_alone),
        cmocka_unit_test(one_that_was_given_back_is_used_again),
        cmocka_unit_test(only_what_is_written_takes_memory),
        cmocka_unit_test(when_all_are_back_the_system_has_their_memory),
        cmocka_unit_test(what_is_the_heaps_is_not_held),
        cmocka_unit_test(past_the_most_there_is_the_heap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The emulated link's own arithmetic, by a clock of the test's. */
#include "bench/page/link/pipe.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MS 1000000ULL

static const uint8_t packet[1500];

static struct pipe made(struct pipe_settings settings)
{
    struct pipe pipe;
    assert_int_equal(pipe_init(&pipe, &settings), 0);
    return pipe;
}

static void a_packet_arrives_after_its_serialisation_and_the_delay(void **state)
{
    (void)state;
    struct pipe pipe = made((struct pipe_settings){.rate_bps = 1000000, .delay_ns = 20 * MS});
    assert_int_equal(pipe_put(&pipe, 5 * MS, packet, 1250), PIPE_TAKEN); /* 10 ms of 1 Mbit/s */
    assert_int_equal(pipe_next(&pipe), 35 * MS);
    assert_null(pipe_take(&pipe, 35 * MS - 1));
    assert_non_null(pipe_take(&pipe, 35 * MS));
    assert_int_equal(pipe_next(&pipe), PIPE_NEVER);
    pipe_finish(&pipe);
}

static void packets_wait_for_those_before_them(void **state)
{
    (void)state;
    struct pipe pipe = made((struct pipe_settings){.rate_bps = 1000000});
    pipe_put(&pipe, 0, packet, 1250);
    pipe_put(&pipe, 1 * MS, packet, 125);
    pipe_put(&pipe, 50 * MS, packet, 125);
    assert_int_equal(pipe_next(&pipe), 10 * MS);
    pipe_take(&pipe, 10 * MS);
    assert_int_equal(pipe_next(&pipe), 11 * MS);
    pipe_take(&pipe, 11 * MS);
    assert_int_equal(pipe_next(&pipe), 51 * MS); /* the link was idle meanwhile */
    pipe_finish(&pipe);
}

static void a_full_queue_drops_the_tail_until_it_has_drained(void **state)
{
    (void)state;
    struct pipe pipe = made((struct pipe_settings){.rate_bps = 1000000, .queue_bytes = 2500});
    assert_int_equal(pipe_put(&pipe, 0, packet, 1250), PIPE_TAKEN);
    assert_int_equal(pipe_put(&pipe, 0, packet, 1250), PIPE_TAKEN);
    assert_int_equal(pipe_put(&pipe, 9 * MS, packet, 1), PIPE_DROPPED);
    assert_int_equal(pipe_put(&pipe, 10 * MS, packet, 1250), PIPE_TAKEN);
    assert_int_equal(pipe.counts.dropped, 1);
    assert_int_equal(pipe.counts.queue_max, 2500);
    pipe_finish(&pipe);
}

static size_t losses(uint64_t seed, uint8_t *lost)
{
    struct pipe pipe = made((struct pipe_settings){.loss = 0.1, .seed = seed});
    for (size_t i = 0; i < 4000; i++) {
        lost[i] = pipe_put(&pipe, i, packet, 100) == PIPE_LOST;
        pipe_take(&pipe, i);
    }
    size_t count = pipe.counts.lost;
    assert_int_equal(pipe.counts.packets, 4000 - count);
    pipe_finish(&pipe);
    return count;
}

static void losses_follow_their_share_and_their_seed(void **state)
{
    (void)state;
    static uint8_t one[4000], same[4000], other[4000];
    size_t count = losses(7, one);
    assert_in_range(count, 320, 480);
    assert_int_equal(losses(7, same), count);
    assert_memory_equal(one, same, sizeof(one));
    losses(8, other);
    assert_memory_not_equal(one, other, sizeof(one));
}

static void a_packet_that_left_late_is_counted(void **state)
{
    (void)state;
    struct pipe pipe = made((struct pipe_settings){.delay_ns = 10 * MS});
    pipe_put(&pipe, 0, packet, 100);
    pipe_put(&pipe, 0, packet, 100);
    pipe_take(&pipe, 10 * MS + 100);
    assert_int_equal(pipe.counts.late_packets, 0);
    pipe_take(&pipe, 14 * MS);
    assert_int_equal(pipe.counts.late_packets, 1);
    assert_int_equal(pipe.counts.late_max_ns, 4 * MS);
    pipe_finish(&pipe);
}

static void too_many_packets_under_way_are_an_overrun(void **state)
{
    (void)state;
    struct pipe pipe = made((struct pipe_settings){.delay_ns = 10 * MS});
    for (unsigned i = 0; i < PIPE_PACKETS_MAX; i++)
        assert_int_equal(pipe_put(&pipe, i, packet, 40), PIPE_TAKEN);
    assert_int_equal(pipe_put(&pipe, PIPE_PACKETS_MAX, packet, 40), PIPE_OVERRUN);
    assert_int_equal(pipe.counts.overruns, 1);
    pipe_finish(&pipe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_packet_arrives_after_its_serialisation_and_the_delay),
        cmocka_unit_test(packets_wait_for_those_before_them),
        cmocka_unit_test(a_full_queue_drops_the_tail_until_it_has_drained),
        cmocka_unit_test(losses_follow_their_share_and_their_seed),
        cmocka_unit_test(a_packet_that_left_late_is_counted),
        cmocka_unit_test(too_many_packets_under_way_are_an_overrun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

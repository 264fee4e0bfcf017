/* One send of bytes from several places, through a socket. */
#include "worker/outbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PIECE_BYTES 5000

static struct {
    struct ring *ring;
    struct outbox_pool pool;
    struct ring_op op;
    struct resource resource;
    int sockets[2];
    int sent;
    bool done;
} at;

static void on_sent(struct ring_op *op, const struct ring_event *event)
{
    assert_ptr_equal(op, &at.op);
    at.sent = event->result;
    at.done = true;
}

static int setup(void **state)
{
    struct fault fault;
    (void)state;
    memset(&at, 0, sizeof(at));
    at.op.done = on_sent;
    at.resource.references = 1;
    if (ring_create(&at.ring, &fault) < 0)
        return -1;
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, at.sockets);
}

static int teardown(void **state)
{
    (void)state;
    outbox_pool_finish(&at.pool);
    close(at.sockets[0]);
    close(at.sockets[1]);
    ring_destroy(at.ring);
    return 0;
}

static void send_whole(struct outbox *outbox, size_t written)
{
    outbox_send(outbox, written, at.ring, &at.op, at.sockets[0]);
    while (!at.done)
        ring_wait(at.ring, 1000000000);
}

static void receive(uint8_t *bytes, size_t length)
{
    while (length) {
        ssize_t n = read(at.sockets[1], bytes, length);
        assert_true(n > 0);
        bytes += n;
        length -= (size_t)n;
    }
}

static void what_was_only_written_is_sent_as_it_is(void **state)
{
    uint8_t got[6];
    (void)state;
    struct outbox *outbox = outbox_take(&at.pool);
    memcpy(outbox->bytes, "abcdef", 6);
    send_whole(outbox, 6);
    receive(got, 6);
    assert_memory_equal(got, "abcdef", 6);
    outbox_give(&at.pool, outbox);
}

static void what_is_lent_is_sent_between_what_was_written(void **state)
{
    static uint8_t lent[PIECE_BYTES], got[4 + 2 * PIECE_BYTES];
    (void)state;
    memset(lent, 'x', sizeof(lent));
    struct outbox *outbox = outbox_take(&at.pool);
    memcpy(outbox->bytes, "abcd", 4);
    outbox_borrow(outbox, 1, &at.resource, lent, PIECE_BYTES);
    outbox_borrow(outbox, 3, &at.resource, lent, PIECE_BYTES);
    assert_int_equal(outbox->lent_bytes, 2 * PIECE_BYTES);
    send_whole(outbox, 4);
    assert_int_equal(at.sent, sizeof(got));
    receive(got, sizeof(got));
    assert_int_equal(got[0], 'a');
    assert_memory_equal(got + 1, lent, PIECE_BYTES);
    assert_memory_equal(got + 1 + PIECE_BYTES, "bc", 2);
    assert_memory_equal(got + 3 + PIECE_BYTES, lent, PIECE_BYTES);
    assert_int_equal(got[sizeof(got) - 1], 'd');
    outbox_give(&at.pool, outbox);
}

static void a_resource_is_held_until_the_send_is_over(void **state)
{
    static const uint8_t lent[PIECE_BYTES];
    (void)state;
    struct outbox *outbox = outbox_take(&at.pool);
    outbox_borrow(outbox, 0, &at.resource, lent, 1);
    outbox_borrow(outbox, 0, &at.resource, lent, 1);
    assert_int_equal(at.resource.references, 3);
    outbox_give(&at.pool, outbox);
    assert_int_equal(at.resource.references, 1);
}

static void an_outbox_that_comes_from_the_pool_is_empty(void **state)
{
    static const uint8_t lent[PIECE_BYTES];
    (void)state;
    struct outbox *outbox = outbox_take(&at.pool);
    outbox_borrow(outbox, 0, &at.resource, lent, 1);
    outbox_give(&at.pool, outbox);
    assert_ptr_equal(outbox_take(&at.pool), outbox);
    assert_int_equal(outbox->lent_count, 0);
    assert_int_equal(outbox->lent_bytes, 0);
    assert_int_equal(outbox->parts_count, 0);
    outbox_give(&at.pool, outbox);
}

static void it_borrows_as_many_pieces_as_it_has_places_for(void **state)
{
    static const uint8_t lent[PIECE_BYTES];
    (void)state;
    struct outbox *outbox = outbox_take(&at.pool);
    size_t written = 0;
    while (outbox_borrows(outbox))
        outbox_borrow(outbox, ++written, &at.resource, lent, 1);
    assert_int_equal(written, OUTBOX_LENT_MAX);
    send_whole(outbox, written + 1);
    assert_int_equal(at.sent, 2 * OUTBOX_LENT_MAX + 1);
    outbox_give(&at.pool, outbox);
}

#define OUTBOX_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OUTBOX_TEST(what_was_only_written_is_sent_as_it_is),
        OUTBOX_TEST(what_is_lent_is_sent_between_what_was_written),
        OUTBOX_TEST(a_resource_is_held_until_the_send_is_over),
        OUTBOX_TEST(an_outbox_that_comes_from_the_pool_is_empty),
        OUTBOX_TEST(it_borrows_as_many_pieces_as_it_has_places_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

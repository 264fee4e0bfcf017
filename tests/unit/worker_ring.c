/* The ring, with real descriptors. */
#include "worker/ring.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define TURNS_MAX 3

static struct ring *ring;

/* A peer that always has more: what is received from it completes as it is submitted. */
struct torrent {
    struct ring_op op;
    int fds[2];
    unsigned received;
};

static void torrent_came(struct ring_op *op, const struct ring_event *event)
{
    struct torrent *torrent = (struct torrent *)op;
    assert_int_equal(event->result, 1);
    torrent->received++;
    ring_yield(ring);
}

static void torrent_flows(struct torrent *torrent)
{
    assert_int_equal(write(torrent->fds[1], "x", 1), 1);
    ring_recv(ring, &torrent->op, torrent->fds[0], true);
}

struct guest {
    struct ring_op op;
    bool came;
};

static void guest_came(struct ring_op *op, const struct ring_event *event)
{
    struct guest *guest = (struct guest *)op;
    assert_true(event->result & POLLIN);
    guest->came = true;
}

/* Two torrents, of which each turn takes one, so that something has always completed before a wait. */
static void who_had_to_wait_is_seen_beside_one_who_always_has_more(void **state)
{
    struct torrent torrents[2] = {{.op.done = torrent_came}, {.op.done = torrent_came}};
    struct guest guest = {.op.done = guest_came};
    int fds[2];
    unsigned turns = 0;
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    ring_poll(ring, &guest.op, fds[0], POLLIN);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, torrents[i].fds), 0);
        torrent_flows(&torrents[i]);
    }
    ring_submit(ring);
    assert_int_equal(write(fds[1], "x", 1), 1);
    while (!guest.came && turns++ < 1000) {
        ring_sleep(ring, 0);
        ring_run(ring);
        for (unsigned i = 0; i < 2; i++)
            if (!torrents[i].op.armed)
                torrent_flows(&torrents[i]);
    }
    assert_true(guest.came);
    assert_in_range(turns, 0, TURNS_MAX);
    for (turns = 0; (torrents[0].op.armed || torrents[1].op.armed) && turns < 10; turns++)
        ring_wait(ring, 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_false(torrents[i].op.armed);
        close(fds[i]);
        close(torrents[i].fds[0]);
        close(torrents[i].fds[1]);
    }
}

/* A peer that has sent the next before the first is looked at. */
static void echo_came(struct ring_op *op, const struct ring_event *event)
{
    struct torrent *torrent = (struct torrent *)op;
    if (event->result > 0 && torrent->received++ == 0)
        assert_int_equal(write(torrent->fds[1], "x", 1), 1);
}

static void what_comes_while_completions_run_is_for_the_next_turn(void **state)
{
    struct torrent echo = {.op.done = echo_came};
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, echo.fds), 0);
    ring_recv(ring, &echo.op, echo.fds[0], false);
    assert_int_equal(write(echo.fds[1], "x", 1), 1);
    ring_sleep(ring, 1000000000);
    assert_int_equal(ring_run(ring), 1);
    assert_int_equal(echo.received, 1);
    assert_true(ring_has_more(ring));
    close(echo.fds[1]);
    for (unsigned turns = 0; echo.op.armed && turns < 10; turns++)
        ring_wait(ring, 1000000000);
    assert_false(echo.op.armed);
    assert_int_equal(echo.received, 2);
    close(echo.fds[0]);
}

static int set_up(void **state)
{
    struct fault fault;
    (void)state;
    return ring_create(&ring, &fault);
}

static int tear_down(void **state)
{
    (void)state;
    ring_destroy(ring);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_had_to_wait_is_seen_beside_one_who_always_has_more),
        cmocka_unit_test(what_comes_while_completions_run_is_for_the_next_turn),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

#include "master/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define LATER_MS (LISTEN_RETIRE_MS + 1)

static struct listen_table table;
static struct config_listen listens[4];
static struct config config;

/* A port that nobody has now. */
static in_port_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    close(fd);
    return address.sin_port;
}

static void listen_at_v4(struct config_listen *one, uint32_t host, in_port_t port)
{
    struct sockaddr_in *address = (struct sockaddr_in *)(void *)&one->address;
    memset(one, 0, sizeof(*one));
    *address = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(host), .sin_port = port};
    one->address_length = sizeof(*address);
    one->text = (char *)(uintptr_t) "127.0.0.1:x";
    one->file = "herald.lua";
    one->line = 7;
}

static void listen_at_v6_any(struct config_listen *one, in_port_t port)
{
    struct sockaddr_in6 *address = (struct sockaddr_in6 *)(void *)&one->address;
    memset(one, 0, sizeof(*one));
    *address = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = port};
    one->address_length = sizeof(*address);
    one->text = (char *)(uintptr_t) "[::]:x";
}

static int setup(void **state)
{
    (void)state;
    memset(&table, 0, sizeof(table));
    config = (struct config){.listens = listens, .listens_count = 1};
    listen_at_v4(&listens[0], INADDR_LOOPBACK, free_port());
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    listen_finish(&table);
    return 0;
}

static void stage(unsigned shares)
{
    struct fault fault = {0};
    if (listen_stage(&table, &config, shares, &fault) < 0)
        fail_msg("%s", fault.what);
}

/* Connects and waits until the kernel has put the connection into a queue. */
static int connect_once(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(
        connect(fd, (struct sockaddr *)&listens[0].address, sizeof(struct sockaddr_in)), 0);
    return fd;
}

static void connect_many(int *clients, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        clients[i] = connect_once();
}

static void close_many(int *clients, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        close(clients[i]);
}

/* The last ACK of a handshake may still be on its way when connect() returns. */
static unsigned queued_in_all(unsigned wanted)
{
    unsigned sum = 0;
    for (int tries = 0; tries < 500; tries++) {
        sum = 0;
        for (unsigned share = 0; share < table.points[0].open; share++)
            sum += listen_queued(table.points[0].fds[share]);
        if (sum == wanted)
            break;
        poll(NULL, 0, 2);
    }
    return sum;
}

static unsigned queued(unsigned share)
{
    return listen_queued(table.points[0].fds[share]);
}

static void accept_all(unsigned share)
{
    while (queued(share)) {
        int fd = accept4(table.points[0].fds[share], NULL, NULL, SOCK_CLOEXEC);
        assert_true(fd >= 0);
        close(fd);
    }
}

static void all_shares_of_a_promoted_generation_get_connections(void **state)
{
    int clients[64];
    (void)state;
    stage(4);
    listen_promote(&table, &config, 4, 0);
    connect_many(clients, 64);
    assert_int_equal(queued_in_all(64), 64);
    for (unsigned share = 0; share < 4; share++)
        assert_true(queued(share) > 0);
    close_many(clients, 64);
}

static void staged_shares_get_no_connection_before_they_are_promoted(void **state)
{
    int clients[64];
    (void)state;
    stage(2);
    listen_promote(&table, &config, 2, 0);
    stage(4);
    assert_int_equal(listen_open_shares(&table), 4);
    connect_many(clients, 64);
    assert_int_equal(queued_in_all(64), 64);
    assert_int_equal(queued(2) + queued(3), 0);
    assert_true(queued(0) > 0 && queued(1) > 0);
    close_many(clients, 64);
    accept_all(0);
    accept_all(1);
    listen_promote(&table, &config, 4, 0);
    connect_many(clients, 64);
    assert_int_equal(queued_in_all(64), 64);
    for (unsigned share = 0; share < 4; share++)
        assert_true(queued(share) > 0);
    close_many(clients, 64);
}

static void an_abandoned_stage_leaves_the_sockets_as_they_were(void **state)
{
    int clients[32];
    (void)state;
    stage(2);
    listen_promote(&table, &config, 2, 0);
    config.listens_count = 2;
    listen_at_v4(&listens[1], INADDR_LOOPBACK, free_port());
    stage(3);
    assert_int_equal(table.count, 2);
    listen_abandon(&table);
    assert_int_equal(table.count, 1);
    assert_int_equal(table.points[0].open, 2);
    connect_many(clients, 32);
    assert_int_equal(queued_in_all(32), 32);
    assert_true(queued(0) > 0 && queued(1) > 0);
    close_many(clients, 32);
}

static void a_stage_that_fails_half_way_leaves_the_sockets_as_they_were(void **state)
{
    struct fault fault = {0};
    int squatter = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)state;
    stage(1);
    listen_promote(&table, &config, 1, 0);
    config.listens_count = 2;
    listen_at_v4(&listens[1], INADDR_LOOPBACK, free_port());
    assert_int_equal(
        bind(squatter, (struct sockaddr *)&listens[1].address, sizeof(struct sockaddr_in)), 0);
    assert_int_equal(listen(squatter, 1), 0);
    assert_int_equal(listen_stage(&table, &config, 3, &fault), -EADDRINUSE);
    assert_int_equal(table.count, 1);
    assert_int_equal(table.points[0].open, 1);
    close(squatter);
}

static void a_retired_share_keeps_its_queue_and_gets_nothing_new(void **state)
{
    int before[64];
    int after[64];
    (void)state;
    stage(4);
    listen_promote(&table, &config, 4, 0);
    connect_many(before, 64);
    assert_int_equal(queued_in_all(64), 64);
    unsigned kept = queued(2) + queued(3);
    assert_true(kept > 0);
    stage(2);
    listen_promote(&table, &config, 2, 1000);
    connect_many(after, 64);
    assert_int_equal(queued_in_all(128), 128);
    assert_int_equal(queued(2) + queued(3), kept);
    assert_int_equal(listen_open_shares(&table), 4);
    close_many(before, 64);
    close_many(after, 64);
}

static void a_retired_share_is_idle_once_its_time_is_over_and_its_queue_is_empty(void **state)
{
    int clients[64];
    (void)state;
    stage(2);
    listen_promote(&table, &config, 2, 0);
    connect_many(clients, 64);
    assert_int_equal(queued_in_all(64), 64);
    listen_promote(&table, &config, 1, 1000);
    assert_false(listen_share_idle(&table, 1, 1000 + LATER_MS));
    accept_all(1);
    assert_false(listen_share_idle(&table, 1, 1000 + LISTEN_RETIRE_MS - 1));
    assert_true(listen_share_idle(&table, 1, 1000 + LATER_MS));
    listen_close_share(&table, 1);
    assert_int_equal(listen_open_shares(&table), 1);
    close_many(clients, 64);
}

static void no_connect_is_refused_while_shares_come_and_go(void **state)
{
    static const unsigned counts[] = {1, 4, 2, 6, 1, 3};
    int64_t now_ms = 0;
    (void)state;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        int clients[16];
        stage(counts[i]);
        connect_many(clients, 8);
        listen_promote(&table, &config, counts[i], now_ms);
        connect_many(clients + 8, 8);
        assert_int_equal(queued_in_all(16), 16);
        for (unsigned share = 0; share < table.points[0].open; share++)
            accept_all(share);
        close_many(clients, 16);
        now_ms += LATER_MS;
        while (listen_open_shares(&table) > counts[i]) {
            unsigned last = listen_open_shares(&table) - 1;
            assert_true(listen_share_idle(&table, last, now_ms));
            listen_close_share(&table, last);
        }
    }
}

static void a_closed_share_stops_listening_in_every_process_that_has_it(void **state)
{
    int ends[2];
    char byte = 0;
    (void)state;
    stage(2);
    listen_promote(&table, &config, 2, 0);
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) { /* holds the sockets until it is told to end */
        close(ends[1]);
        (void)!read(ends[0], &byte, 1);
        _exit(0);
    }
    close(ends[0]);
    listen_promote(&table, &config, 1, 0);
    listen_close_share(&table, 1);
    for (int i = 0; i < 32; i++) { /* none of them may wait in the closed socket's queue */
        int client = connect_once();
        assert_int_equal(queued_in_all(1), 1);
        accept_all(0);
        close(client);
    }
    close(ends[1]);
    waitpid(pid, NULL, 0);
}

static void a_removed_address_is_closed_when_its_queue_is_empty(void **state)
{
    (void)state;
    stage(1);
    listen_promote(&table, &config, 1, 0);
    int client = connect_once();
    assert_int_equal(queued_in_all(1), 1);
    in_port_t old = ((struct sockaddr_in *)(void *)&listens[0].address)->sin_port;
    listen_at_v4(&listens[0], INADDR_LOOPBACK, free_port());
    stage(1);
    listen_promote(&table, &config, 1, 0);
    assert_int_equal(listen_close_removed(&table, false), 1);
    accept_all(0);
    assert_int_equal(listen_close_removed(&table, false), 0);
    assert_int_equal(table.count, 1);
    close(client);
    listen_at_v4(&listens[0], INADDR_LOOPBACK, old);
    int refused = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(
        connect(refused, (struct sockaddr *)&listens[0].address, sizeof(struct sockaddr_in)), -1);
    assert_int_equal(errno, ECONNREFUSED);
    close(refused);
}

static void a_port_that_another_server_shares_is_still_in_use(void **state)
{
    struct fault fault = {0};
    int one = 1;
    int other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)state;
    setsockopt(other, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
    setsockopt(other, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    assert_int_equal(
        bind(other, (struct sockaddr *)&listens[0].address, sizeof(struct sockaddr_in)), 0);
    assert_int_equal(listen(other, 1), 0);
    bool waited;
    assert_int_equal(listen_check(&config, 60000, &waited, &fault), -EADDRINUSE);
    assert_false(waited);
    assert_string_equal(fault.where, "herald.lua");
    assert_int_equal(fault.line, 7);
    assert_non_null(strstr(fault.what, "is in use by"));
    char pid[32];
    snprintf(pid, sizeof(pid), "(pid %d)", (int)getpid());
    assert_non_null(strstr(fault.what, pid));
    close(other);
    assert_int_equal(listen_check(&config, 60000, &waited, &fault), 0);
}

/* Listens where herald is to, and leaves the socket to nobody but a message that nobody has
 * received: then no process has it, as when it is a dead process's ring that the kernel still has
 * to take apart. */
static void leave_listener_in_flight(const int pair[2])
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {.header = {.cmsg_level = SOL_SOCKET,
                            .cmsg_type = SCM_RIGHTS,
                            .cmsg_len = CMSG_LEN(sizeof(int))}};
    struct iovec byte = {.iov_base = (char[]){0}, .iov_len = 1};
    struct msghdr message = {.msg_iov = &byte,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control.room)};
    int one = 1;
    int other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(other, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    assert_int_equal(
        bind(other, (struct sockaddr *)&listens[0].address, sizeof(struct sockaddr_in)), 0);
    assert_int_equal(listen(other, 1), 0);
    memcpy(CMSG_DATA(&control.header), &other, sizeof(other));
    assert_int_equal(sendmsg(pair[0], &message, 0), 1);
    close(other);
}

/* Closes both ends in a while, and with them what is under way between them. */
static pid_t close_later(const int pair[2])
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        poll(NULL, 0, 100);
        _exit(0);
    }
    close(pair[0]);
    close(pair[1]);
    return pid;
}

static void a_port_that_no_process_has_any_more_is_waited_for(void **state)
{
    struct fault fault = {0};
    bool waited;
    int pair[2];
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    leave_listener_in_flight(pair);
    assert_int_equal(listen_check(&config, 50, &waited, &fault), -EADDRINUSE);
    assert_true(waited);
    assert_non_null(strstr(fault.what, "is in use by a process of user"));
    pid_t pid = close_later(pair);
    assert_int_equal(listen_check(&config, 60000, &waited, &fault), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void an_address_of_another_machine_is_refused(void **state)
{
    struct fault fault = {0};
    bool waited;
    (void)state;
    listen_at_v4(&listens[0], 0xc0000201u /* 192.0.2.1 */, free_port());
    assert_int_equal(listen_check(&config, 60000, &waited, &fault), -EADDRNOTAVAIL);
    assert_non_null(strstr(fault.what, "no such address"));
}

static void the_ipv6_wildcard_and_an_ipv4_address_share_a_port(void **state)
{
    struct fault fault = {0};
    in_port_t port = free_port();
    (void)state;
    listen_at_v6_any(&listens[0], port);
    listen_at_v4(&listens[1], INADDR_LOOPBACK, port);
    config.listens_count = 2;
    int rc = listen_stage(&table, &config, 2, &fault);
    if (rc == -EAFNOSUPPORT)
        skip(); /* a machine without IPv6 */
    assert_int_equal(rc, 0);
    assert_int_equal(table.count, 2);
}

static void port_0_becomes_one_port_for_all_shares(void **state)
{
    char text[LISTEN_TEXT_MAX];
    struct sockaddr_in bound;
    socklen_t length = sizeof(bound);
    (void)state;
    listen_at_v4(&listens[0], INADDR_LOOPBACK, 0);
    stage(3);
    const struct sockaddr_storage *actual = listen_address(&table, &config, 0);
    listen_text(actual, text);
    assert_null(strstr(text, ":0"));
    for (unsigned share = 0; share < 3; share++) {
        assert_int_equal(
            getsockname(table.points[0].fds[share], (struct sockaddr *)&bound, &length), 0);
        assert_int_equal(bound.sin_port,
                         ((const struct sockaddr_in *)(const void *)actual)->sin_port);
    }
}

static void a_handoff_gets_a_socket_for_each_share_and_address(void **state)
{
    int fds[6];
    (void)state;
    config.listens_count = 2;
    listen_at_v4(&listens[1], INADDR_LOOPBACK, free_port());
    stage(2);
    listen_fill(&table, &config, 3, fds);
    for (int i = 0; i < 4; i++) {
        assert_true(fds[i] >= 0);
        for (int j = 0; j < i; j++)
            assert_int_not_equal(fds[i], fds[j]);
    }
    assert_int_equal(fds[4], -1);
    assert_int_equal(fds[5], -1);
}

int main(void)
{
#define WITH_TABLE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_TABLE(all_shares_of_a_promoted_generation_get_connections),
        WITH_TABLE(staged_shares_get_no_connection_before_they_are_promoted),
        WITH_TABLE(an_abandoned_stage_leaves_the_sockets_as_they_were),
        WITH_TABLE(a_stage_that_fails_half_way_leaves_the_sockets_as_they_were),
        WITH_TABLE(a_retired_share_keeps_its_queue_and_gets_nothing_new),
        WITH_TABLE(a_retired_share_is_idle_once_its_time_is_over_and_its_queue_is_empty),
        WITH_TABLE(no_connect_is_refused_while_shares_come_and_go),
        WITH_TABLE(a_closed_share_stops_listening_in_every_process_that_has_it),
        WITH_TABLE(a_removed_address_is_closed_when_its_queue_is_empty),
        WITH_TABLE(a_port_that_another_server_shares_is_still_in_use),
        WITH_TABLE(a_port_that_no_process_has_any_more_is_waited_for),
        WITH_TABLE(an_address_of_another_machine_is_refused),
        WITH_TABLE(the_ipv6_wildcard_and_an_ipv4_address_share_a_port),
        WITH_TABLE(port_0_becomes_one_port_for_all_shares),
        WITH_TABLE(a_handoff_gets_a_socket_for_each_share_and_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "worker/addresses.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static uint64_t now_ms;
static struct config_limits limits;
static struct addresses *addresses;

static int setup(void **state)
{
    (void)state;
    now_ms = 1000000;
    limits = (struct config_limits){.address_connections = 3, .address_rate = 0};
    return addresses_create(&limits, &now_ms, &addresses);
}

static int teardown(void **state)
{
    (void)state;
    addresses_destroy(addresses);
    addresses = NULL;
    return 0;
}

static struct sockaddr_storage address(const char *text)
{
    struct sockaddr_storage made = {0};
    struct sockaddr_in *four = (struct sockaddr_in *)&made;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&made;
    if (inet_pton(AF_INET, text, &four->sin_addr) == 1)
        four->sin_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &six->sin6_addr) == 1)
        six->sin6_family = AF_INET6;
    return made;
}

static int enter(const char *text)
{
    struct sockaddr_storage peer = address(text);
    return addresses_enter(addresses, &peer);
}

static void without_a_limit_nothing_is_kept(void **state)
{
    (void)state;
    struct config_limits none = {0};
    struct addresses *made = addresses;
    assert_int_equal(addresses_create(&none, &now_ms, &made), 0);
    assert_null(made);
}

static void an_address_has_as_many_connections_as_allowed_and_no_more(void **state)
{
    (void)state;
    int places[3];
    for (int i = 0; i < 3; i++)
        assert_true((places[i] = enter("192.0.2.1")) >= 0);
    assert_int_equal(enter("192.0.2.1"), -EBUSY);
    addresses_leave(addresses, places[1]);
    assert_true(enter("192.0.2.1") >= 0);
    assert_int_equal(enter("192.0.2.1"), -EBUSY);
}

static void addresses_do_not_count_for_one_another(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_true(enter("192.0.2.1") >= 0);
    for (int i = 0; i < 3; i++)
        assert_true(enter("192.0.2.2") >= 0);
}

static void a_64_counts_as_one_and_a_mapped_address_as_what_it_is(void **state)
{
    (void)state;
    assert_true(enter("2001:db8::1") >= 0);
    assert_true(enter("2001:db8::2:3") >= 0);
    assert_true(enter("2001:db8::ffff:1:2") >= 0);
    assert_int_equal(enter("2001:db8::9"), -EBUSY);
    assert_true(enter("2001:db8:0:1::1") >= 0);
    for (int i = 0; i < 3; i++)
        assert_true(enter(i ? "::ffff:192.0.2.7" : "192.0.2.7") >= 0);
    assert_int_equal(enter("::ffff:192.0.2.7"), -EBUSY);
    assert_true(enter("::ffff:192.0.2.8") >= 0);
}

static void new_connections_are_limited_by_the_second(void **state)
{
    (void)state;
    limits.address_connections = 0;
    limits.address_rate = 10;
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 10; i++) {
            int place = enter("192.0.2.1");
            assert_true(place >= 0);
            addresses_leave(addresses, place);
        }
        assert_int_equal(enter("192.0.2.1"), -EBUSY);
        assert_true(enter("192.0.2.9") >= 0);
        now_ms += 1000;
    }
}

static void more_addresses_than_are_kept_are_let_in(void **state)
{
    (void)state;
    unsigned uncounted = 0;
    for (unsigned i = 0; i < 100000; i++) {
        struct sockaddr_storage peer = {.ss_family = AF_INET};
        ((struct sockaddr_in *)&peer)->sin_addr.s_addr = htonl(0x0a000000 + i);
        int place = addresses_enter(addresses, &peer);
        assert_true(place >= 0 || place == ADDRESS_UNCOUNTED);
        uncounted += place == ADDRESS_UNCOUNTED;
        addresses_leave(addresses, place == ADDRESS_UNCOUNTED ? place : ADDRESS_UNCOUNTED);
    }
    assert_in_range(uncounted, 100000 - 2048 * 8, 99999);
}

static void what_is_no_internet_address_is_let_in(void **state)
{
    (void)state;
    struct sockaddr_storage peer = {.ss_family = AF_UNIX};
    for (int i = 0; i < 10; i++)
        assert_int_equal(addresses_enter(addresses, &peer), ADDRESS_UNCOUNTED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_a_limit_nothing_is_kept),
        TEST(an_address_has_as_many_connections_as_allowed_and_no_more),
        TEST(addresses_do_not_count_for_one_another),
        TEST(a_64_counts_as_one_and_a_mapped_address_as_what_it_is),
        TEST(new_connections_are_limited_by_the_second),
        TEST(more_addresses_than_are_kept_are_let_in),
        TEST(what_is_no_internet_address_is_let_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

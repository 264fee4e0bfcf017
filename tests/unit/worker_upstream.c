/* Whose turn it is among an origin's servers, and who rests. */
#include "worker/upstream.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct config_server servers[3];
static struct config_route routes[2];
static struct config_site site = {.routes = routes, .routes_count = 2};
static struct config config = {.sites = &site, .sites_count = 1};
static struct upstreams *upstreams;
static struct config_origin *origin = &routes[0].origin;

static int set_up(void **state)
{
    char text[64];
    (void)state;
    for (int i = 0; i < 3; i++) {
        snprintf(text, sizeof(text), i < 2 ? "http://10.0.0.%d" : "http://name.test", i);
        assert_int_equal(config_parse_server(text, &servers[i]), 0);
    }
    *origin = (struct config_origin){.servers = servers, .servers_count = 2, .connections = 2};
    routes[1].origin = *origin;
    routes[1].origin.servers = servers + 1;
    upstreams = upstreams_create(&config);
    assert_non_null(upstreams);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    upstreams_destroy(upstreams);
    for (int i = 0; i < 3; i++)
        config_server_finish(&servers[i]);
    return 0;
}

static struct upstream *chosen;

static int choose(uint32_t tried, uint64_t now_ms)
{
    return upstreams_choose(upstreams, origin, tried, now_ms, &chosen);
}

static void servers_take_turns(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++)
        assert_int_equal(choose(0, 1), i % 2);
}

static void routes_share_the_servers_that_they_both_name(void **state)
{
    (void)state;
    assert_int_equal(upstreams_count(upstreams), 3);
    assert_int_equal(choose(1, 1), 1);
    struct upstream *shared = chosen;
    assert_int_equal(upstreams_choose(upstreams, &routes[1].origin, 0, 1, &chosen), 0);
    assert_ptr_equal(chosen, shared);
}

static void who_failed_rests_twice_as_long_each_time(void **state)
{
    (void)state;
    uint64_t now_ms = 1000;
    struct upstream *first = upstreams_at(upstreams, 0);
    for (unsigned factor = 1; factor <= 64; factor *= 2) {
        unsigned rest = factor > 60 ? 60 : factor;
        assert_true(upstream_failed(first, 100, now_ms));
        for (int i = 0; i < 3; i++)
            assert_int_equal(choose(0, now_ms + rest * 100 - 1), 1);
        bool seen = false;
        for (int i = 0; i < 2; i++)
            seen = choose(0, now_ms + rest * 100) == 0 || seen;
        assert_true(seen);
        now_ms += rest * 100;
    }
    upstream_answered(first);
    assert_true(upstream_failed(first, 100, now_ms));
    assert_int_equal(first->rest_until_ms, now_ms + 100);
}

static void failures_of_one_moment_are_one_rest(void **state)
{
    (void)state;
    struct upstream *first = upstreams_at(upstreams, 0);
    assert_true(upstream_failed(first, 100, 1000));
    assert_false(upstream_failed(first, 100, 1001));
    assert_false(upstream_failed(first, 100, 1002));
    assert_int_equal(first->failures, 1);
    assert_in_range(first->rest_until_ms, 1100, 1102);
}

static void no_rest_is_given_where_none_is_wanted(void **state)
{
    (void)state;
    assert_false(upstream_failed(upstreams_at(upstreams, 0), 0, 1000));
    assert_int_equal(choose(2, 1000), 0);
}

static void when_all_rest_the_first_that_began_is_tried(void **state)
{
    (void)state;
    upstream_failed(upstreams_at(upstreams, 1), 1000, 1000);
    upstream_failed(upstreams_at(upstreams, 0), 1000, 1100);
    assert_int_equal(choose(0, 1200), 1);
    assert_int_equal(choose(2, 1200), 0);
}

static void who_has_as_many_as_allowed_is_passed_over(void **state)
{
    (void)state;
    upstreams_at(upstreams, 0)->active = 2;
    assert_int_equal(choose(0, 1), 1);
    upstreams_at(upstreams, 1)->active = 2;
    assert_int_equal(choose(0, 1), -EBUSY);
    assert_int_equal(choose(3, 1), -ENOENT);
}

static void a_name_without_an_address_is_not_asked(void **state)
{
    (void)state;
    const struct config_origin *other = &routes[1].origin;
    assert_int_equal(upstreams_choose(upstreams, other, 1, 1, &chosen), -EHOSTUNREACH);
    assert_int_equal(
        upstreams_rename(upstreams, SPAN_LITERAL("name.test"), SPAN_LITERAL("10.1.1.1")), 0);
    assert_int_equal(upstreams_choose(upstreams, other, 1, 1, &chosen), 1);
    assert_string_equal(chosen->addresses, "10.1.1.1");
    assert_int_equal(chosen->lookups, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(servers_take_turns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(routes_share_the_servers_that_they_both_name, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(who_failed_rests_twice_as_long_each_time, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(failures_of_one_moment_are_one_rest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_rest_is_given_where_none_is_wanted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(when_all_rest_the_first_that_began_is_tried, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(who_has_as_many_as_allowed_is_passed_over, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_name_without_an_address_is_not_asked, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

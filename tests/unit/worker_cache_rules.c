/* What may be stored, how long it is fresh, and whom it answers (RFC 9111). */
#include "cache_case.h"

static void what_says_how_long_it_is_fresh_is_stored_and_found(void **state)
{
    (void)state;
    assert_true(store("/a", 200, "cache-control: max-age=60", "content"));
    struct asker asker;
    asker_of(&asker, "/a");
    assert_int_equal(ask(&asker), CACHE_FOUND);
    const struct representation *kept = &asker.lookup.resource->codings[CODING_IDENTITY];
    assert_memory_equal(kept->body, "content", 7);
    assert_int_equal(kept->size, 7);
    let_go(&asker);
    assert_int_equal(counted(COUNTER_proxy_cache_hits), 1);
    assert_int_equal(counted(COUNTER_proxy_cache_misses), 1);
    assert_int_equal(counted(COUNTER_proxy_cache_stored), 1);
}

static void it_is_fresh_for_max_age_seconds_and_no_longer(void **state)
{
    (void)state;
    store("/a", 200, "cache-control: max-age=60", "x");
    pass_time(59);
    assert_true(is_hit("/a"));
    pass_time(1);
    assert_false(is_hit("/a"));
}

static void s_maxage_outranks_max_age_and_max_age_outranks_expires(void **state)
{
    (void)state;
    store("/s", 200, "cache-control: max-age=10, s-maxage=100", "x");
    store("/m", 200, "cache-control: max-age=100\nexpires: " NOW_TEXT, "x");
    pass_time(50);
    assert_true(is_hit("/s"));
    assert_true(is_hit("/m"));
    pass_time(50);
    assert_false(is_hit("/s"));
    assert_false(is_hit("/m"));
}

static void directives_of_several_lines_are_one_list(void **state)
{
    (void)state;
    assert_true(store("/a", 200, "cache-control: max-age=10\ncache-control: s-maxage=100", "x"));
    pass_time(50);
    assert_true(is_hit("/a"));
    assert_false(store("/b", 200, "cache-control: max-age=10\ncache-control: no-store", "x"));
}

static void expires_counts_from_date(void **state)
{
    (void)state;
    store("/a", 200, "date: " NOW_TEXT "\nexpires: Sun, 06 Nov 1994 08:50:37 GMT", "x");
    pass_time(59);
    assert_true(is_hit("/a"));
    pass_time(1);
    assert_false(is_hit("/a"));
    assert_false(store("/b", 200, "date: " NOW_TEXT "\nexpires: 0", "x"));
}

static void age_on_arrival_is_taken_off(void **state)
{
    (void)state;
    store("/a", 200, "cache-control: max-age=60\nage: 50", "x");
    pass_time(9);
    assert_true(is_hit("/a"));
    pass_time(1);
    assert_false(is_hit("/a"));
}

static void an_old_date_is_an_age_too(void **state)
{
    (void)state;
    store("/a", 200, "cache-control: max-age=60\ndate: Sun, 06 Nov 1994 08:48:47 GMT", "x");
    pass_time(9);
    assert_true(is_hit("/a"));
    pass_time(1);
    assert_false(is_hit("/a"));
}

static void what_came_slowly_is_as_old_as_its_request(void **state)
{
    (void)state;
    struct asker asker;
    asker_of(&asker, "/a");
    assert_int_equal(ask(&asker), CACHE_LEADS);
    struct cache_fill *fill = asker.lookup.fill;
    pass_time(30);
    assert_int_equal(head(&asker, 200, "cache-control: max-age=60", 0), CACHE_KEPT);
    cache_fill_finish(fill);
    let_go(&asker);
    pass_time(29);
    assert_true(is_hit("/a"));
    pass_time(1);
    assert_false(is_hit("/a"));
}

static void steps_of_the_wall_clock_age_nothing(void **state)
{
    (void)state;
    store("/a", 200, "cache-control: max-age=60\ndate: " NOW_TEXT, "x");
    when.now_s += 86400;
    assert_true(is_hit("/a"));
    when.now_s -= 2 * 86400;
    assert_true(is_hit("/a"));
    pass_time(60);
    assert_false(is_hit("/a"));
}

static void a_guess_is_a_tenth_of_how_long_it_had_not_changed(void **state)
{
    (void)state;
    struct asker asker;
    /* 1,000 s old: 100 s; bounded by the site's own limit. */
    const char *lines = "date: " NOW_TEXT "\nlast-modified: Sun, 06 Nov 1994 08:32:57 GMT";
    asker_of(&asker, "/a");
    asker.request.heuristic_s = 3600;
    assert_true(fetch(&asker, 200, lines, "x"));
    asker_of(&asker, "/b");
    asker.request.heuristic_s = 30;
    assert_true(fetch(&asker, 200, lines, "x"));
    pass_time(29);
    assert_true(is_hit("/a"));
    assert_true(is_hit("/b"));
    pass_time(70);
    assert_true(is_hit("/a"));
    assert_false(is_hit("/b"));
    pass_time(1);
    assert_false(is_hit("/a"));
}

static void nothing_is_guessed_when_that_is_off_or_of_a_query(void **state)
{
    (void)state;
    const char *lines = "date: " NOW_TEXT "\nlast-modified: Sun, 06 Nov 1994 08:32:57 GMT";
    struct asker asker;
    asker_of(&asker, "/off");
    assert_true(fetch(&asker, 200, lines, "x")); /* kept to be validated */
    assert_false(is_hit("/off"));
    asker_of(&asker, "/a?q");
    asker.request.heuristic_s = 3600;
    assert_true(fetch(&asker, 200, lines, "x"));
    assert_false(is_hit("/a?q"));
}

static void a_guess_answers_nobody_who_shows_who_they_are(void **state)
{
    (void)state;
    struct asker asker;
    asker_of(&asker, "/a");
    asker.request.heuristic_s = 3600;
    fetch(&asker, 200, "last-modified: Sun, 06 Nov 1994 00:00:00 GMT", "x");
    assert_true(is_hit("/a"));
    asker_of(&asker, "/a");
    asker.request.cookies = true;
    assert_int_equal(ask(&asker), CACHE_PASS);
}

static void no_store_private_and_cookies_are_kept_for_nobody(void **state)
{
    (void)state;
    static const char *const LINES[] = {"cache-control: no-store, max-age=60",
                                        "cache-control: private, max-age=60",
                                        "cache-control: private=\"x\", max-age=60",
                                        "cache-control: public, max-age=60\nset-cookie: a=b",
                                        "cache-control: max-age=60\nvary: *",
                                        "cache-control: max-age=0",
                                        "cache-control: max-age=no",
                                        "content-type: text/html"};
    for (size_t i = 0; i < sizeof(LINES) / sizeof(LINES[0]); i++) {
        char target[16];
        snprintf(target, sizeof(target), "/%zu", i);
        assert_false(store(target, 200, LINES[i], "x"));
        assert_int_equal(probe(target), CACHE_PASS);
    }
}

static void statuses_that_are_not_understood_are_not_kept(void **state)
{
    (void)state;
    static const int KEPT[] = {200, 203, 300, 301, 302, 307, 308, 404, 405, 410, 414, 501};
    static const int NOT[] = {206, 304, 400, 401, 403, 429, 500, 502, 503, 504};
    char target[16];
    for (size_t i = 0; i < sizeof(KEPT) / sizeof(KEPT[0]); i++) {
        snprintf(target, sizeof(target), "/%d", KEPT[i]);
        assert_true(store(target, KEPT[i], "cache-control: max-age=60", "x"));
        assert_true(is_hit(target));
    }
    for (size_t i = 0; i < sizeof(NOT) / sizeof(NOT[0]); i++) {
        snprintf(target, sizeof(target), "/%d", NOT[i]);
        assert_false(store(target, NOT[i], "cache-control: max-age=60", "x"));
    }
}

static void a_stored_error_is_answered_as_it_was(void **state)
{
    (void)state;
    struct asker asker;
    struct response response = {0};
    struct field fields[] = {{SPAN_LITERAL("if-none-match"), SPAN_LITERAL("*")}};
    struct request request = {.method = SPAN_LITERAL("GET"), .fields = fields, .fields_count = 1};
    store("/gone", 404, "cache-control: max-age=60\ncontent-type: text/html", "none");
    asker_of(&asker, "/gone");
    assert_int_equal(ask(&asker), CACHE_FOUND);
    respond_resource(&response, &request, NULL, NULL, asker.lookup.resource);
    assert_int_equal(response.status, 404);
    assert_int_equal(response.length, 4);
    let_go(&asker);
}

static void credentialed(struct asker *asker, const char *target, bool authorization)
{
    asker_of(asker, target);
    if (authorization)
        asker_with(asker, "authorization", "Basic eA==");
    else
        asker->request.cookies = true;
}

static void answers_to_credentials_are_kept_only_when_they_say_so(void **state)
{
    (void)state;
    for (int authorization = 0; authorization < 2; authorization++) {
        struct asker asker;
        char target[32];
        snprintf(target, sizeof(target), "/%d/", authorization);
        credentialed(&asker, target, authorization);
        assert_false(fetch(&asker, 200, "cache-control: max-age=60", "x"));
        snprintf(target, sizeof(target), "/%d/revalidate", authorization);
        credentialed(&asker, target, authorization);
        assert_false(fetch(&asker, 200, "cache-control: max-age=60, must-revalidate", "x"));
        snprintf(target, sizeof(target), "/%d/public", authorization);
        credentialed(&asker, target, authorization);
        assert_true(fetch(&asker, 200, "cache-control: public, max-age=60", "x"));
        assert_true(is_hit(target));
        snprintf(target, sizeof(target), "/%d/shared", authorization);
        credentialed(&asker, target, authorization);
        assert_true(fetch(&asker, 200, "cache-control: s-maxage=60", "x"));
        assert_true(is_hit(target));
    }
}

static void what_is_one_clients_own_keeps_nobody_else_from_the_cache(void **state)
{
    (void)state;
    struct asker asker;
    credentialed(&asker, "/a", false);
    assert_false(fetch(&asker, 200, "cache-control: max-age=60", "mine"));
    credentialed(&asker, "/a", false);
    assert_int_equal(ask(&asker), CACHE_PASS);
    assert_true(store("/a", 200, "cache-control: max-age=60", "everyone's"));
    credentialed(&asker, "/a", false);
    assert_int_equal(ask(&asker), CACHE_FOUND);
    let_go(&asker);
}

static void no_cache_is_kept_and_asked_for_each_time(void **state)
{
    (void)state;
    struct asker one, other;
    struct field conditions[2];
    assert_true(store("/a", 200, "cache-control: no-cache\netag: \"1\"", "x"));
    asker_of(&one, "/a");
    asker_of(&other, "/a");
    assert_int_equal(ask(&one), CACHE_LEADS);
    assert_int_equal(ask(&other), CACHE_LEADS); /* neither waits for the other's answer */
    assert_int_equal(cache_fill_conditions(one.lookup.fill, conditions), 1);
    assert_true(span_equal(conditions[0].value, SPAN_LITERAL("\"1\"")));
    assert_int_equal(head(&one, 304, "etag: \"1\"", 0), CACHE_REFRESHED);
    assert_int_equal(head(&other, 304, "etag: \"1\"", 0), CACHE_REFRESHED);
    assert_memory_equal(one.lookup.resource->codings[CODING_IDENTITY].body, "x", 1);
    let_go(&one);
    let_go(&other);
    assert_int_equal(counted(COUNTER_proxy_cache_revalidated), 2);
}

/* ---- Vary ---- */

static void responses_that_vary_answer_the_requests_they_are_for(void **state)
{
    (void)state;
    struct asker asker;
    asker_of(&asker, "/a");
    asker_with(&asker, "accept-language", "de");
    assert_true(fetch(&asker, 200, "cache-control: max-age=60\nvary: Accept-Language", "deutsch"));
    asker_of(&asker, "/a");
    asker_with(&asker, "accept-language", "en");
    assert_true(fetch(&asker, 200, "cache-control: max-age=60\nvary: Accept-Language", "english"));
    asker_of(&asker, "/a");
    asker_with(&asker, "accept-language", "de");
    assert_int_equal(ask(&asker), CACHE_FOUND);
    assert_memory_equal(asker.lookup.resource->codings[CODING_IDENTITY].body, "deutsch", 7);
    let_go(&asker);
    assert_int_equal(probe("/a"), CACHE_LEADS);
}

static void codings_are_compared_by_what_is_taken_not_by_how_it_is_written(void **state)
{
    (void)state;
    struct asker asker;
    asker_of(&asker, "/a");
    asker_with(&asker, "accept-encoding", "gzip, deflate, br");
    fetch(&asker, 200, "cache-control: max-age=60\nvary: accept-encoding", "x");
    static const char *const SAME[] = {"br, gzip,deflate", "gzip;q=0.5, BR, deflate;q=0.001"};
    static const char *const OTHER[] = {"gzip", "gzip, deflate, br, zstd", "gzip, deflate, br;q=0",
                                        "*", "br, deflate, gzip, identity;q=0"};
    for (size_t i = 0; i < 2; i++) {
        asker_of(&asker, "/a");
        asker_with(&asker, "accept-encoding", SAME[i]);
        assert_int_equal(ask(&asker), CACHE_FOUND);
        let_go(&asker);
    }
    for (size_t i = 0; i < 5; i++) {
        asker_of(&asker, "/a");
        asker_with(&asker, "accept-encoding", OTHER[i]);
        assert_int_equal(ask(&asker), CACHE_LEADS);
        cache_fill_abandon(asker.lookup.fill, 0);
    }
}

static void this_servers_own_cookie_is_no_reason_to_vary(void **state)
{
    (void)state;
    struct asker asker;
    store("/a", 200, "cache-control: public, max-age=60\nvary: cookie", "x");
    asker_of(&asker, "/a");
    asker_with(&asker, "cookie", "__Host-herald=abc");
    assert_int_equal(ask(&asker), CACHE_FOUND);
    let_go(&asker);
    asker_of(&asker, "/a");
    asker_with(&asker, "cookie", "__Host-herald=abc; lang=de");
    assert_int_equal(ask(&asker), CACHE_LEADS);
    cache_fill_abandon(asker.lookup.fill, 0);
}

static void a_response_may_vary_on_eight_fields_and_no_more(void **state)
{
    (void)state;
    assert_true(
        store("/8", 200, "cache-control: max-age=60\nvary: a, b, c, d\nvary: e, f, g, h", "x"));
    assert_true(is_hit("/8"));
    assert_false(
        store("/9", 200, "cache-control: max-age=60\nvary: a, b, c, d\nvary: e, f, g, h, i", "x"));
}

static void what_a_response_varies_on_may_be_so_long_and_no_longer(void **state)
{
    (void)state;
    static char value[CACHE_VARY_BYTES + 1];
    /* "=", the value, and the end of its line are kept. */
    for (int over = 0; over < 2; over++) {
        struct asker asker;
        size_t length = CACHE_VARY_BYTES - 2 + (size_t)over;
        memset(value, 'v', length);
        value[length] = '\0';
        asker_of(&asker, over ? "/over" : "/at");
        asker_with(&asker, "x", value);
        assert_int_equal(fetch(&asker, 200, "cache-control: max-age=60\nvary: x", "x"), !over);
    }
}

static void a_url_may_be_so_long_and_no_longer(void **state)
{
    (void)state;
    static char target[CACHE_KEY_MAX + 1];
    const size_t rest = strlen("https://www.example.com");
    memset(target, 'a', CACHE_KEY_MAX - rest + 1);
    target[0] = '/';
    assert_int_equal(probe(target), CACHE_PASS);
    target[CACHE_KEY_MAX - rest] = '\0';
    assert_int_equal(probe(target), CACHE_LEADS);
}

static void urls_are_compared_as_urls_are(void **state)
{
    (void)state;
    struct asker asker;
    store("/a", 200, "cache-control: max-age=60", "x");
    asker_of(&asker, "/a");
    asker.request.authority = SPAN_LITERAL("WWW.Example.com:443");
    assert_int_equal(ask(&asker), CACHE_FOUND);
    let_go(&asker);
    assert_int_equal(probe("/a?x"), CACHE_LEADS);
    assert_int_equal(probe("/A"), CACHE_LEADS);
    asker_of(&asker, "/a");
    asker.request.scheme = SPAN_LITERAL("http");
    assert_int_equal(ask(&asker), CACHE_LEADS);
    cache_fill_abandon(asker.lookup.fill, 0);
    asker_of(&asker, "/a");
    asker.request.authority = SPAN_LITERAL("www.example.com:8443");
    assert_int_equal(ask(&asker), CACHE_LEADS);
    cache_fill_abandon(asker.lookup.fill, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_OF(what_says_how_long_it_is_fresh_is_stored_and_found),
        TEST_OF(it_is_fresh_for_max_age_seconds_and_no_longer),
        TEST_OF(s_maxage_outranks_max_age_and_max_age_outranks_expires),
        TEST_OF(directives_of_several_lines_are_one_list),
        TEST_OF(expires_counts_from_date),
        TEST_OF(age_on_arrival_is_taken_off),
        TEST_OF(an_old_date_is_an_age_too),
        TEST_OF(what_came_slowly_is_as_old_as_its_request),
        TEST_OF(steps_of_the_wall_clock_age_nothing),
        TEST_OF(a_guess_is_a_tenth_of_how_long_it_had_not_changed),
        TEST_OF(nothing_is_guessed_when_that_is_off_or_of_a_query),
        TEST_OF(a_guess_answers_nobody_who_shows_who_they_are),
        TEST_OF(no_store_private_and_cookies_are_kept_for_nobody),
        TEST_OF(statuses_that_are_not_understood_are_not_kept),
        TEST_OF(a_stored_error_is_answered_as_it_was),
        TEST_OF(answers_to_credentials_are_kept_only_when_they_say_so),
        TEST_OF(what_is_one_clients_own_keeps_nobody_else_from_the_cache),
        TEST_OF(no_cache_is_kept_and_asked_for_each_time),
        TEST_OF(responses_that_vary_answer_the_requests_they_are_for),
        TEST_OF(codings_are_compared_by_what_is_taken_not_by_how_it_is_written),
        TEST_OF(this_servers_own_cookie_is_no_reason_to_vary),
        TEST_OF(a_response_may_vary_on_eight_fields_and_no_more),
        TEST_OF(what_a_response_varies_on_may_be_so_long_and_no_longer),
        TEST_OF(a_url_may_be_so_long_and_no_longer),
        TEST_OF(urls_are_compared_as_urls_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

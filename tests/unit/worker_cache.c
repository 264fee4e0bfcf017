/* Fetches shared, what is stored replaced, refreshed, invalidated and evicted. */
#include "cache_case.h"

#include <errno.h>

static const char FRESH[] = "cache-control: max-age=60\netag: \"1\"";

/* ---- one fetch for many ---- */

static void one_leads_and_the_others_wait_for_its_answer(void **state)
{
    (void)state;
    struct asker askers[100];
    for (size_t i = 0; i < 100; i++) {
        asker_of(&askers[i], "/a");
        assert_int_equal(ask(&askers[i]), i ? CACHE_WAITS : CACHE_LEADS);
    }
    struct cache_fill *fill = askers[0].lookup.fill;
    assert_int_equal(head(&askers[0], 200, FRESH, 4), CACHE_KEPT);
    for (size_t i = 1; i < 100; i++) {
        assert_int_equal(askers[i].answer, CACHE_FOUND);
        assert_int_equal(askers[i].answers, 1);
        assert_ptr_equal(askers[i].lookup.resource, askers[0].lookup.resource);
    }
    assert_true(cache_fill_append(fill, "body", 4));
    assert_non_null(cache_fill_finish(fill));
    for (size_t i = 0; i < 100; i++)
        let_go(&askers[i]);
    assert_int_equal(counted(COUNTER_proxy_cache_misses), 1);
    assert_int_equal(counted(COUNTER_proxy_cache_joined), 99);
}

static void ready(void *context)
{
    ++*(unsigned *)context;
}

static size_t take(struct growth_reader *reader, char *out, size_t max, bool *last)
{
    ptrdiff_t n = reader->source.available(&reader->source, max, last);
    if (n < 0)
        return 0;
    reader->source.take(&reader->source, (uint8_t *)out, (size_t)n);
    return (size_t)n;
}

static void readers_begin_while_the_content_grows(void **state)
{
    (void)state;
    struct asker leader, late;
    unsigned told = 0;
    char text[16];
    bool last = false;
    asker_of(&leader, "/a");
    asker_of(&late, "/a");
    ask(&leader);
    struct cache_fill *fill = leader.lookup.fill;
    head(&leader, 200, FRESH, GROWTH_UNKNOWN);
    assert_true(leader.lookup.resource->origin->unbounded);
    cache_fill_append(fill, "abc", 3);
    assert_int_equal(ask(&late), CACHE_FOUND);
    struct growth_reader *reader = growth_read(late.lookup.resource->origin->growth, ready, &told);
    assert_int_equal(take(reader, text, sizeof(text), &last), 3);
    assert_memory_equal(text, "abc", 3);
    assert_false(last);
    assert_int_equal(reader->source.available(&reader->source, 16, &last), -EAGAIN);
    cache_fill_append(fill, "de", 2);
    assert_int_equal(told, 1);
    assert_non_null(cache_fill_finish(fill));
    assert_int_equal(told, 2);
    assert_int_equal(take(reader, text, sizeof(text), &last), 2);
    assert_true(last);
    growth_read_no_more(reader);
    let_go(&leader);
    let_go(&late);
    asker_of(&late, "/a");
    assert_int_equal(ask(&late), CACHE_FOUND); /* whole: it has a length now */
    assert_false(late.lookup.resource->origin->unbounded);
    assert_int_equal(late.lookup.resource->codings[CODING_IDENTITY].size, 5);
    let_go(&late);
}

static void a_fill_goes_on_while_somebody_wants_it(void **state)
{
    (void)state;
    struct asker leader, other;
    asker_of(&leader, "/a");
    asker_of(&other, "/a");
    ask(&leader);
    struct cache_fill *fill = leader.lookup.fill;
    assert_false(cache_fill_wanted(fill)); /* by anyone but who leads */
    ask(&other);
    assert_true(cache_fill_wanted(fill));
    cache_cancel(&other.lookup);
    assert_false(cache_fill_wanted(fill));
    head(&leader, 200, FRESH, 40000);
    assert_true(cache_fill_wanted(fill));
    let_go(&leader);
    assert_false(cache_fill_wanted(fill));
    cache_fill_keep(fill);
    assert_true(cache_fill_wanted(fill));
    assert_null(cache_fill_abandon(fill, 0));
    assert_int_equal(other.answers, 0);
    assert_int_equal(probe("/a"), CACHE_LEADS);
}

static void a_little_content_is_read_to_its_end_in_any_case(void **state)
{
    (void)state;
    struct asker leader;
    asker_of(&leader, "/a");
    ask(&leader);
    struct cache_fill *fill = leader.lookup.fill;
    head(&leader, 200, FRESH, 4);
    let_go(&leader);
    assert_true(cache_fill_wanted(fill));
    cache_fill_append(fill, "body", 4);
    assert_non_null(cache_fill_finish(fill));
    assert_true(is_hit("/a"));
}

static void when_the_leader_leaves_the_next_one_leads(void **state)
{
    (void)state;
    struct asker askers[3];
    for (size_t i = 0; i < 3; i++) {
        asker_of(&askers[i], "/a");
        ask(&askers[i]);
    }
    assert_null(cache_fill_abandon(askers[0].lookup.fill, 0));
    assert_int_equal(askers[1].answer, CACHE_LEADS);
    assert_int_equal(askers[2].answers, 0);
    struct cache_fill *fill = askers[1].lookup.fill;
    head(&askers[1], 200, FRESH, 0);
    assert_int_equal(askers[2].answer, CACHE_FOUND);
    cache_fill_finish(fill);
    let_go(&askers[1]);
    let_go(&askers[2]);
}

static void a_fetch_that_fails_fails_for_all_who_wait(void **state)
{
    (void)state;
    struct asker leader, other;
    asker_of(&leader, "/a");
    asker_of(&other, "/a");
    ask(&leader);
    ask(&other);
    assert_null(cache_fill_abandon(leader.lookup.fill, 504));
    assert_int_equal(other.answer, CACHE_FAILED);
    assert_int_equal(other.lookup.status, 504);
    assert_int_equal(probe("/a"), CACHE_LEADS);
}

static void what_is_not_kept_is_fetched_by_each_for_itself_from_then_on(void **state)
{
    (void)state;
    struct asker askers[3];
    for (size_t i = 0; i < 3; i++) {
        asker_of(&askers[i], "/a");
        ask(&askers[i]);
    }
    assert_int_equal(head(&askers[0], 200, "cache-control: private", 4), CACHE_NOT_KEPT);
    assert_int_equal(askers[1].answer, CACHE_PASS);
    assert_int_equal(askers[2].answer, CACHE_PASS);
    pass_time(CACHE_PASS_MS / 1000 - 1);
    assert_int_equal(probe("/a"), CACHE_PASS);
    pass_time(1);
    assert_int_equal(probe("/a"), CACHE_LEADS);
}

static void a_passed_answer_tells_whether_the_next_has_to_be(void **state)
{
    (void)state;
    struct asker asker;
    struct said said = say("cache-control: private");
    store("/a", 200, "cache-control: private", "x");
    pass_time(CACHE_PASS_MS / 1000 - 1);
    asker_of(&asker, "/a");
    const struct field *fields = said_fields(&said);
    cache_passed(cache, &asker.request, 200, fields, said.count);
    pass_time(1);
    assert_int_equal(probe("/a"), CACHE_PASS);
    struct said other = say("cache-control: max-age=60");
    fields = said_fields(&other);
    cache_passed(cache, &asker.request, 200, fields, other.count);
    assert_int_equal(probe("/a"), CACHE_LEADS);
}

static void waiters_for_another_variant_ask_again(void **state)
{
    (void)state;
    struct asker german, english;
    asker_of(&german, "/a");
    asker_with(&german, "accept-language", "de");
    asker_of(&english, "/a");
    asker_with(&english, "accept-language", "en");
    ask(&german);
    assert_int_equal(ask(&english), CACHE_WAITS);
    struct cache_fill *fill = german.lookup.fill;
    head(&german, 200, "cache-control: max-age=60\nvary: accept-language", 0);
    assert_int_equal(english.answer, CACHE_LEADS);
    cache_fill_finish(fill);
    let_go(&german);
    cache_fill_abandon(english.lookup.fill, 0);
    /* Now that it is known by what answers vary, nobody waits for another's. */
    pass_time(60);
    asker_of(&german, "/a");
    asker_with(&german, "accept-language", "de");
    asker_of(&english, "/a");
    asker_with(&english, "accept-language", "en");
    assert_int_equal(ask(&german), CACHE_LEADS);
    assert_int_equal(ask(&english), CACHE_LEADS);
    cache_fill_abandon(german.lookup.fill, 0);
    cache_fill_abandon(english.lookup.fill, 0);
}

static void parts_and_heads_are_cut_from_what_is_stored_and_never_led(void **state)
{
    (void)state;
    struct asker asker;
    struct response response = {0};
    struct field fields[] = {{SPAN_LITERAL("range"), SPAN_LITERAL("bytes=1-2")}};
    struct request request = {.method = SPAN_LITERAL("GET"), .fields = fields, .fields_count = 1};
    asker_of(&asker, "/a");
    asker.request.partial = true;
    assert_int_equal(ask(&asker), CACHE_PASS);
    asker_of(&asker, "/a");
    asker.request.head = true;
    assert_int_equal(ask(&asker), CACHE_PASS);
    store("/a", 200, FRESH, "abcd");
    asker_of(&asker, "/a");
    asker.request.partial = true;
    assert_int_equal(ask(&asker), CACHE_FOUND);
    respond_resource(&response, &request, NULL, NULL, asker.lookup.resource);
    assert_int_equal(response.status, 206);
    assert_int_equal(response.offset, 1);
    assert_int_equal(response.length, 2);
    let_go(&asker);
}

/* ---- what is partial ---- */

static void what_ended_early_is_not_stored(void **state)
{
    (void)state;
    struct asker asker;
    asker_of(&asker, "/a");
    ask(&asker);
    struct cache_fill *fill = asker.lookup.fill;
    head(&asker, 200, FRESH, 10);
    cache_fill_append(fill, "12345", 5);
    assert_null(cache_fill_finish(fill)); /* it says that it is whole; its length says otherwise */
    assert_int_equal(asker.lookup.resource->origin->growth->failure, -EIO);
    let_go(&asker);
    assert_int_equal(probe("/a"), CACHE_LEADS);
}

static void what_is_longer_than_it_said_is_not_stored(void **state)
{
    (void)state;
    struct asker asker;
    asker_of(&asker, "/a");
    ask(&asker);
    struct cache_fill *fill = asker.lookup.fill;
    head(&asker, 200, FRESH, 3);
    assert_true(cache_fill_append(fill, "12345", 5)); /* taken, and the end of it */
    assert_null(cache_fill_finish(fill));
    let_go(&asker);
    assert_int_equal(probe("/a"), CACHE_LEADS);
}

/* ---- limits ---- */

static void an_entry_larger_than_the_limit_is_not_kept(void **state)
{
    (void)state;
    struct asker asker;
    asker_of(&asker, "/at");
    ask(&asker);
    struct cache_fill *fill = asker.lookup.fill;
    assert_int_equal(head(&asker, 200, FRESH, ENTRY_MAX), CACHE_KEPT);
    cache_fill_abandon(fill, 0);
    let_go(&asker);
    asker_of(&asker, "/over");
    ask(&asker);
    assert_int_equal(head(&asker, 200, FRESH, ENTRY_MAX + 1), CACHE_NOT_KEPT);
}

static void what_outgrows_the_limit_is_read_to_its_end_and_not_stored(void **state)
{
    (void)state;
    static char block[16384], out[16384];
    struct asker asker;
    unsigned told = 0;
    bool last = false;
    size_t sent = 0, got = 0;
    asker_of(&asker, "/a");
    ask(&asker);
    struct cache_fill *fill = asker.lookup.fill;
    head(&asker, 200, FRESH, GROWTH_UNKNOWN);
    struct growth *growth = asker.lookup.resource->origin->growth;
    struct growth_reader *reader = growth_read(growth, ready, &told);
    while (sent < 4 * ENTRY_MAX) {
        for (size_t i = 0; i < sizeof(block); i++)
            block[i] = (char)((sent + i) * 7 >> 4);
        if (cache_fill_append(fill, block, sizeof(block))) {
            sent += sizeof(block);
            continue; /* until it is full, nothing is read */
        }
        size_t n = take(reader, out, sizeof(out), &last);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(out[i], (char)((got + i) * 7 >> 4));
        got += n;
    }
    assert_true(growth->room <= GROWTH_WINDOW_BYTES + sizeof(block));
    assert_int_equal(probe("/a"), CACHE_LEADS); /* who comes now begins anew */
    assert_null(cache_fill_finish(fill));
    while (!last)
        got += take(reader, out, sizeof(out), &last);
    assert_int_equal(got, sent);
    growth_read_no_more(reader);
    let_go(&asker);
}

static void the_least_recently_used_goes_first(void **state)
{
    (void)state;
    static char content[20000];
    memset(content, 'x', sizeof(content) - 1);
    cache_destroy(cache);
    cache_open(100000);
    assert_true(store("/1", 200, FRESH, content));
    assert_true(store("/2", 200, FRESH, content));
    assert_true(store("/3", 200, FRESH, content));
    assert_true(is_hit("/1"));
    assert_true(store("/4", 200, FRESH, content));
    assert_true(store("/5", 200, FRESH, content));
    assert_int_equal(counted(COUNTER_proxy_cache_evictions), 1);
    assert_false(is_hit("/2"));
    assert_true(is_hit("/1"));
    assert_true(is_hit("/5"));
}

static void what_streams_still_read_counts_until_they_are_done(void **state)
{
    (void)state;
    static char content[40000];
    struct asker readers[2], asker;
    memset(content, 'x', sizeof(content) - 1);
    cache_destroy(cache);
    cache_open(100000);
    store("/1", 200, FRESH, content);
    store("/2", 200, FRESH, content);
    for (int i = 0; i < 2; i++) {
        asker_of(&readers[i], i ? "/2" : "/1");
        assert_int_equal(ask(&readers[i]), CACHE_FOUND);
    }
    asker_of(&asker, "/3");
    assert_false(fetch(&asker, 200, FRESH, content));
    assert_true(is_hit("/1"));
    let_go(&readers[0]);
    let_go(&readers[1]);
    pass_time(CACHE_PASS_MS / 1000);
    asker_of(&asker, "/3");
    assert_true(fetch(&asker, 200, FRESH, content));
}

static void fetches_under_way_have_their_room_kept_for_them(void **state)
{
    (void)state;
    struct asker one, other;
    cache_destroy(cache);
    cache_open(ENTRY_MAX + 4096);
    asker_of(&one, "/1");
    asker_of(&other, "/2");
    ask(&one);
    ask(&other);
    struct cache_fill *fill = one.lookup.fill;
    assert_int_equal(head(&one, 200, FRESH, GROWTH_UNKNOWN), CACHE_KEPT);
    assert_int_equal(head(&other, 200, FRESH, GROWTH_UNKNOWN), CACHE_NOT_KEPT);
    cache_fill_append(fill, "x", 1);
    cache_fill_finish(fill);
    let_go(&one);
    assert_true(store("/3", 200, FRESH, "x")); /* what was not needed is free again */
}

static void variants_of_one_url_are_bounded(void **state)
{
    (void)state;
    char language[16];
    for (int i = 0; i <= CACHE_VARIANTS_MAX; i++) {
        struct asker asker;
        snprintf(language, sizeof(language), "l%d", i);
        asker_of(&asker, "/a");
        asker_with(&asker, "accept-language", language);
        assert_true(fetch(&asker, 200, "cache-control: max-age=60\nvary: accept-language", "x"));
    }
    for (int i = 0; i <= CACHE_VARIANTS_MAX; i++) {
        struct asker asker;
        snprintf(language, sizeof(language), "l%d", i);
        asker_of(&asker, "/a");
        asker_with(&asker, "accept-language", language);
        assert_int_equal(ask(&asker), i ? CACHE_FOUND : CACHE_LEADS);
        if (asker.lookup.fill)
            cache_fill_abandon(asker.lookup.fill, 0);
        let_go(&asker);
    }
}

/* ---- validation ---- */

static void a_304_makes_what_was_stored_fresh_for_all_who_wait(void **state)
{
    (void)state;
    struct asker leader, other;
    struct field conditions[2];
    store("/a", 200,
          "cache-control: max-age=60\netag: W/\"1\"\nx-kind: old\n"
          "last-modified: Sun, 06 Nov 1994 08:00:00 GMT",
          "body");
    pass_time(60);
    asker_of(&leader, "/a");
    asker_of(&other, "/a");
    assert_int_equal(ask(&leader), CACHE_LEADS);
    assert_int_equal(ask(&other), CACHE_WAITS);
    assert_int_equal(cache_fill_conditions(leader.lookup.fill, conditions), 2);
    assert_true(span_equal(conditions[0].name, SPAN_LITERAL("if-none-match")));
    assert_true(span_equal(conditions[0].value, SPAN_LITERAL("W/\"1\"")));
    assert_true(span_equal(conditions[1].name, SPAN_LITERAL("if-modified-since")));
    assert_int_equal(
        head(&leader, 304, "cache-control: max-age=30\nx-kind: new\ncontent-type: a/b", 0),
        CACHE_REFRESHED);
    assert_int_equal(other.answer, CACHE_FOUND);
    assert_int_equal(other.lookup.way, CACHE_WAY_REVALIDATED);
    const struct representation *kept = &other.lookup.resource->codings[CODING_IDENTITY];
    assert_memory_equal(kept->body, "body", 4);
    assert_true(span_equal(field_find(kept->fields, kept->fields_count, SPAN_LITERAL("x-kind")),
                           SPAN_LITERAL("new")));
    assert_null(field_find(kept->fields, kept->fields_count, SPAN_LITERAL("content-type")).data);
    let_go(&leader);
    let_go(&other);
    pass_time(29);
    assert_true(is_hit("/a"));
    pass_time(1);
    assert_false(is_hit("/a"));
}

static void a_new_answer_takes_the_stale_ones_place(void **state)
{
    (void)state;
    struct asker asker;
    store("/a", 200, FRESH, "old");
    pass_time(60);
    assert_true(store("/a", 200, "cache-control: max-age=60\netag: \"2\"", "new!"));
    asker_of(&asker, "/a");
    ask(&asker);
    assert_memory_equal(asker.lookup.resource->codings[CODING_IDENTITY].body, "new!", 4);
    let_go(&asker);
}

static void an_answer_not_to_be_kept_takes_the_stale_one_away(void **state)
{
    (void)state;
    struct field conditions[2];
    struct asker asker;
    store("/a", 200, FRESH, "old");
    pass_time(60);
    assert_false(store("/a", 200, "cache-control: no-store", "new"));
    pass_time(CACHE_PASS_MS / 1000);
    asker_of(&asker, "/a");
    assert_int_equal(ask(&asker), CACHE_LEADS);
    assert_int_equal(cache_fill_conditions(asker.lookup.fill, conditions), 0);
    cache_fill_abandon(asker.lookup.fill, 0);
}

/* The version that the push table knows. */
static uint64_t validator_of(const char *target)
{
    struct asker asker;
    asker_of(&asker, target);
    assert_int_equal(ask(&asker), CACHE_FOUND);
    uint64_t validator = asker.lookup.resource->validator;
    let_go(&asker);
    return validator;
}

static void the_version_is_that_of_the_tag_else_of_the_date_else_of_the_content(void **state)
{
    (void)state;
    store("/tag1", 200, FRESH, "one");
    store("/tag2", 200, FRESH, "other");
    assert_int_equal(validator_of("/tag1"), validator_of("/tag2"));
    store("/tag3", 200, "cache-control: max-age=60\netag: \"2\"", "one");
    assert_int_not_equal(validator_of("/tag1"), validator_of("/tag3"));
    const char *dated = "cache-control: max-age=60\nlast-modified: Sun, 06 Nov 1994 08:00:00 GMT";
    store("/date1", 200, dated, "one");
    store("/date2", 200, dated, "other");
    assert_int_equal(validator_of("/date1"), validator_of("/date2"));
    store("/plain1", 200, "cache-control: max-age=60", "one");
    store("/plain2", 200, "cache-control: max-age=60", "other");
    store("/plain3", 200, "cache-control: max-age=60", "one");
    assert_int_not_equal(validator_of("/plain1"), validator_of("/plain2"));
    assert_int_equal(validator_of("/plain1"), validator_of("/plain3"));
}

/* ---- stale, when that is allowed (RFC 5861) ---- */

static void while_it_is_validated_the_stale_one_is_answered(void **state)
{
    (void)state;
    struct asker asker, other;
    store("/a", 200, "cache-control: max-age=60, stale-while-revalidate=30\netag: \"1\"", "old");
    pass_time(60);
    asker_of(&asker, "/a");
    assert_int_equal(ask(&asker), CACHE_FOUND);
    assert_int_equal(asker.lookup.way, CACHE_WAY_STALE);
    assert_non_null(asker.lookup.fill); /* which nobody has to wait for */
    assert_true(cache_fill_wanted(asker.lookup.fill));
    asker_of(&other, "/a");
    assert_int_equal(ask(&other), CACHE_FOUND);
    assert_null(other.lookup.fill);
    let_go(&asker);
    let_go(&other);
    assert_int_equal(head(&asker, 304, "cache-control: max-age=60", 0), CACHE_REFRESHED);
    let_go(&asker);
    assert_true(is_hit("/a"));
    pass_time(90);
    assert_int_equal(probe("/a"), CACHE_LEADS);
}

static void for_an_error_the_stale_one_stands_as_long_as_it_says(void **state)
{
    (void)state;
    struct asker leader, other;
    const char *lines = "cache-control: max-age=60, stale-if-error=30\netag: \"1\"";
    store("/a", 200, lines, "old");
    pass_time(60);
    asker_of(&leader, "/a");
    asker_of(&other, "/a");
    ask(&leader);
    ask(&other);
    assert_int_equal(head(&leader, 503, "", 0), CACHE_STALE);
    assert_int_equal(other.answer, CACHE_FOUND);
    let_go(&leader);
    let_go(&other);
    asker_of(&leader, "/a");
    ask(&leader);
    struct resource *stale = cache_fill_abandon(leader.lookup.fill, 502);
    assert_non_null(stale);
    resource_release(stale);
    pass_time(30);
    asker_of(&leader, "/a");
    ask(&leader);
    assert_null(cache_fill_abandon(leader.lookup.fill, 502));
}

static void must_revalidate_allows_nothing_stale(void **state)
{
    (void)state;
    struct asker asker;
    store("/a", 200,
          "cache-control: max-age=60, must-revalidate, stale-while-revalidate=30, "
          "stale-if-error=30\netag: \"1\"",
          "old");
    pass_time(60);
    asker_of(&asker, "/a");
    assert_int_equal(ask(&asker), CACHE_LEADS);
    assert_null(cache_fill_abandon(asker.lookup.fill, 502));
}

/* ---- unsafe requests ---- */

static void an_unsafe_request_makes_what_is_stored_void(void **state)
{
    (void)state;
    store("/a", 200, FRESH, "x");
    store("/b", 200, FRESH, "x");
    cache_invalidate(cache, SPAN_LITERAL("https"), SPAN_LITERAL("WWW.example.com"),
                     SPAN_LITERAL("/a"));
    assert_false(is_hit("/a"));
    assert_true(is_hit("/b"));
    assert_int_equal(counted(COUNTER_proxy_cache_invalidations), 1);
}

static void what_was_being_fetched_meanwhile_is_not_stored(void **state)
{
    (void)state;
    struct asker asker, late;
    asker_of(&asker, "/a");
    ask(&asker);
    struct cache_fill *fill = asker.lookup.fill;
    head(&asker, 200, FRESH, 1);
    cache_invalidate(cache, SPAN_LITERAL("https"), SPAN_LITERAL("www.example.com"),
                     SPAN_LITERAL("/a"));
    asker_of(&late, "/a");
    assert_int_equal(ask(&late), CACHE_LEADS);
    cache_fill_abandon(late.lookup.fill, 0);
    cache_fill_append(fill, "x", 1);
    assert_null(cache_fill_finish(fill));
    let_go(&asker);
    assert_int_equal(probe("/a"), CACHE_LEADS);
}

/* ---- answers ---- */

static void an_answer_tells_its_age_and_how_long_a_client_may_keep_it(void **state)
{
    (void)state;
    struct asker asker;
    struct response response = {0};
    struct request request = {.method = SPAN_LITERAL("GET")};
    store("/a", 200, "cache-control: max-age=60, s-maxage=600\nage: 20\nx-own: 1", "abc");
    asker_of(&asker, "/a");
    ask(&asker);
    respond_resource(&response, &request, NULL, NULL, asker.lookup.resource);
    assert_int_equal(response.status, 200);
    assert_int_equal(response.ttl_s, 40);
    assert_true(span_equal(field_find(response.fields, response.fields_count, SPAN_LITERAL("age")),
                           SPAN_LITERAL("20")));
    assert_true(span_equal(
        field_find(response.fields, response.fields_count, SPAN_LITERAL("content-length")),
        SPAN_LITERAL("3")));
    assert_true(field_find(response.fields, response.fields_count, SPAN_LITERAL("x-own")).data !=
                NULL);
    let_go(&asker);
}

static void a_clients_own_conditions_are_answered_from_what_is_stored(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value;
        int status;
    } CASES[] = {{"if-none-match", "\"1\"", 304},
                 {"if-none-match", "W/\"1\"", 304},
                 {"if-none-match", "\"2\"", 200},
                 {"if-match", "\"1\"", 412}, /* the origin's tag is weak */
                 {"if-modified-since", "Sun, 06 Nov 1994 08:00:00 GMT", 304},
                 {"if-modified-since", "Sun, 06 Nov 1994 07:59:59 GMT", 200}};
    store("/a", 200,
          "cache-control: max-age=60\netag: W/\"1\"\n"
          "last-modified: Sun, 06 Nov 1994 08:00:00 GMT",
          "abc");
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct asker asker;
        struct response response = {0};
        struct field field = {span_of(CASES[i].name), span_of(CASES[i].value)};
        struct request request = {
            .method = SPAN_LITERAL("GET"), .fields = &field, .fields_count = 1};
        asker_of(&asker, "/a");
        ask(&asker);
        respond_resource(&response, &request, NULL, NULL, asker.lookup.resource);
        assert_int_equal(response.status, CASES[i].status);
        let_go(&asker);
    }
}

static void an_origins_many_fields_need_room_of_the_callers(void **state)
{
    (void)state;
    struct asker asker;
    struct response response = {0};
    struct field room[32];
    struct request request = {.method = SPAN_LITERAL("GET")};
    store("/few", 200, FRESH, "x");
    store("/many", 200,
          "cache-control: max-age=60\na: 1\nb: 1\nc: 1\nd: 1\ne: 1\nf: 1\ng: 1\nh: 1\ni: 1", "x");
    asker_of(&asker, "/few");
    ask(&asker);
    assert_int_equal(respond_fields_needed(asker.lookup.resource), 0);
    let_go(&asker);
    asker_of(&asker, "/many");
    ask(&asker);
    unsigned needed = respond_fields_needed(asker.lookup.resource);
    assert_in_range(needed, 13, 32);
    response.long_fields = room;
    response.long_room = needed;
    respond_resource(&response, &request, NULL, NULL, asker.lookup.resource);
    assert_ptr_equal(response.fields, room);
    assert_true(field_find(room, response.fields_count, SPAN_LITERAL("i")).data != NULL);
    let_go(&asker);
}

static void what_may_be_pushed_is_a_fresh_200_that_varies_on_nothing_else(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        int status;
        const char *lines;
        enum reason reason;
    } CASES[] = {
        {"/a", 200, "cache-control: max-age=60", REASON_PENDING},
        {"/b", 200, "cache-control: max-age=60\nvary: accept-encoding", REASON_PENDING},
        {"/c", 200, "cache-control: max-age=60\nvary: origin", REASON_NOT_CACHEABLE},
        {"/d", 200, "cache-control: s-maxage=60, max-age=0", REASON_NOT_CACHEABLE},
        {"/e", 404, "cache-control: max-age=60", REASON_NOT_FOUND},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct asker asker;
        assert_true(store(CASES[i].target, CASES[i].status, CASES[i].lines, "x"));
        asker_of(&asker, CASES[i].target);
        assert_int_equal(ask(&asker), CACHE_FOUND);
        assert_int_equal(
            respond_pushable(asker.lookup.resource, NULL, NULL, SPAN_LITERAL("gzip"), NULL),
            CASES[i].reason);
        let_go(&asker);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_OF(one_leads_and_the_others_wait_for_its_answer),
        TEST_OF(readers_begin_while_the_content_grows),
        TEST_OF(a_fill_goes_on_while_somebody_wants_it),
        TEST_OF(a_little_content_is_read_to_its_end_in_any_case),
        TEST_OF(when_the_leader_leaves_the_next_one_leads),
        TEST_OF(a_fetch_that_fails_fails_for_all_who_wait),
        TEST_OF(what_is_not_kept_is_fetched_by_each_for_itself_from_then_on),
        TEST_OF(a_passed_answer_tells_whether_the_next_has_to_be),
        TEST_OF(waiters_for_another_variant_ask_again),
        TEST_OF(parts_and_heads_are_cut_from_what_is_stored_and_never_led),
        TEST_OF(what_ended_early_is_not_stored),
        TEST_OF(what_is_longer_than_it_said_is_not_stored),
        TEST_OF(an_entry_larger_than_the_limit_is_not_kept),
        TEST_OF(what_outgrows_the_limit_is_read_to_its_end_and_not_stored),
        TEST_OF(the_least_recently_used_goes_first),
        TEST_OF(what_streams_still_read_counts_until_they_are_done),
        TEST_OF(fetches_under_way_have_their_room_kept_for_them),
        TEST_OF(variants_of_one_url_are_bounded),
        TEST_OF(a_304_makes_what_was_stored_fresh_for_all_who_wait),
        TEST_OF(a_new_answer_takes_the_stale_ones_place),
        TEST_OF(an_answer_not_to_be_kept_takes_the_stale_one_away),
        TEST_OF(the_version_is_that_of_the_tag_else_of_the_date_else_of_the_content),
        TEST_OF(while_it_is_validated_the_stale_one_is_answered),
        TEST_OF(for_an_error_the_stale_one_stands_as_long_as_it_says),
        TEST_OF(must_revalidate_allows_nothing_stale),
        TEST_OF(an_unsafe_request_makes_what_is_stored_void),
        TEST_OF(what_was_being_fetched_meanwhile_is_not_stored),
        TEST_OF(an_answer_tells_its_age_and_how_long_a_client_may_keep_it),
        TEST_OF(a_clients_own_conditions_are_answered_from_what_is_stored),
        TEST_OF(an_origins_many_fields_need_room_of_the_callers),
        TEST_OF(what_may_be_pushed_is_a_fresh_200_that_varies_on_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

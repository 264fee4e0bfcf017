#include "master/handoff/stats.h"
#include "policy/decision.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct decision decision;

static const struct request page = {
    .scheme = {"https", 5},
    .host = {"www.example.com", 15},
    .path = {"/shop/caf\xc3\xa9", 11},
    .query = {"q=1", 3},
};

static int setup(void **state)
{
    (void)state;
    decision_reset(&decision);
    return 0;
}

static enum reason add(const char *path)
{
    return decision_add(&decision, &page, CANDIDATE_PUSH, span_of(path), "test", NULL);
}

static void every_reason_has_a_word_and_a_sentence(void **state)
{
    (void)state;
    assert_true(REASONS <= STATS_REASONS_MAX);
    for (unsigned i = 0; i < REASONS; i++) {
        const char *word = reason_name((enum reason)i);
        assert_true(word[0] && strlen(reason_prose((enum reason)i)) > 8);
        for (const char *c = word; *c; c++)
            assert_true(islower((unsigned char)*c) || *c == '_');
    }
    assert_string_equal(reason_name(REASON_MAX_BYTES), "max_bytes");
}

static void a_path_is_taken_and_copied(void **state)
{
    char path[] = "/a.css?v=1";
    struct candidate *taken;
    (void)state;
    assert_int_equal(decision_add(&decision, &page, CANDIDATE_HINT, span_of(path), "test", &taken),
                     REASON_PENDING);
    path[1] = 'x';
    assert_int_equal(decision.count, 1);
    assert_ptr_equal(taken, &decision.items[0]);
    assert_true(span_equal(taken->path, SPAN_LITERAL("/a.css?v=1")));
    assert_int_equal(taken->kind, CANDIDATE_HINT);
    assert_int_equal(taken->urgency, CANDIDATE_URGENCY_UNSET);
    assert_int_equal(taken->verdict, REASON_PENDING);
    assert_string_equal(taken->proposer, "test");
    assert_false(taken->resolved);
    assert_ptr_equal(decision_find(&decision, SPAN_LITERAL("/a.css?v=1")), taken);
    assert_null(decision_find(&decision, SPAN_LITERAL("/a.css")));
}

static void what_is_no_path_is_refused(void **state)
{
    static const char *const BAD[] = {
        "",           "a.css",
        "./a.css",    "../a.css",
        "?q",         "#top",
        "/a.css#top", "/a b",
        "/a\tb",      "/a\nb",
        "/a\x7f",     "/caf\xc3\xa9",
        "/a\\b",      "/a\"b",
        "/<a>",       "/..",
        "/.",         "/../a",
        "/a/..",      "/a/../b",
        "/a/./b",     "/%2e%2e/a",
        "/.%2E",      "/a/%2e",
        "/a%00b",     "/a%2fb",
        "/a%2Fb",     "/%",
        "/%4",        "/%zz",
        "mailto:a@b", "javascript:1",
        "https:/a",   "data:text/css,a",
    };
    char longer[DECISION_PATH_MAX + 2];
    (void)state;
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        if (add(BAD[i]) != REASON_BAD_PATH)
            fail_msg("'%s' was not refused", BAD[i]);
    }
    memset(longer, 'a', sizeof(longer));
    longer[0] = '/';
    longer[sizeof(longer) - 1] = '\0';
    assert_int_equal(add(longer), REASON_BAD_PATH);
    longer[DECISION_PATH_MAX] = '\0';
    assert_int_equal(add(longer), REASON_PENDING);
    assert_int_equal(decision.count, 1);
}

static void unusual_paths_are_paths(void **state)
{
    static const char *const GOOD[] = {
        "/a..b",    "/..a",  "/...",   "/.well-known/x",    "/a%20b", "/caf%C3%A9", "/a?x=../..",
        "/a?x=%2f", "/a//b", "/a:b@c", "/~user/[x]{y}|z^`", "/?",     "/a?b?c",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(GOOD) / sizeof(GOOD[0]); i++) {
        if (add(GOOD[i]) != REASON_PENDING)
            fail_msg("'%s' was refused", GOOD[i]);
    }
}

static void a_url_of_the_same_authority_is_cut_to_its_path(void **state)
{
    (void)state;
    assert_int_equal(add("https://www.example.com/a"), REASON_PENDING);
    assert_int_equal(add("HTTPS://WWW.Example.com:443/b"), REASON_PENDING);
    assert_int_equal(add("//www.example.com/c"), REASON_PENDING);
    assert_int_equal(add("https://www.example.com"), REASON_PENDING);
    assert_int_equal(add("https://www.example.com/a"), REASON_DUPLICATE);
    assert_true(span_equal(decision.items[0].path, SPAN_LITERAL("/a")));
    assert_true(span_equal(decision.items[1].path, SPAN_LITERAL("/b")));
    assert_true(span_equal(decision.items[2].path, SPAN_LITERAL("/c")));
    assert_true(span_equal(decision.items[3].path, SPAN_LITERAL("/")));
}

static void another_authority_is_refused(void **state)
{
    static const char *const OTHERS[] = {
        "https://example.com/a",
        "http://www.example.com/a",
        "//cdn.example.com/a",
        "https://www.example.com:8443/a",
        "https://user@www.example.com/a",
        "https:///a",
        "https://www.example.com.evil.org/a",
        "ftp://www.example.com/a",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(OTHERS) / sizeof(OTHERS[0]); i++) {
        if (add(OTHERS[i]) != REASON_OTHER_AUTHORITY)
            fail_msg("'%s' was not refused", OTHERS[i]);
    }
    assert_int_equal(decision.count, 0);
}

static void the_page_itself_is_refused_however_it_is_written(void **state)
{
    (void)state;
    assert_int_equal(add("/shop/caf%C3%A9?q=1"), REASON_SELF);
    assert_int_equal(add("/%73hop/caf%c3%a9?q=1"), REASON_SELF);
    assert_int_equal(add("https://www.example.com/shop/caf%C3%A9?q=1"), REASON_SELF);
    assert_int_equal(add("/shop/caf%C3%A9"), REASON_PENDING);
    assert_int_equal(add("/shop/caf%C3%A9?q=2"), REASON_PENDING);
    assert_int_equal(add("/shop/caf"), REASON_PENDING);
}

static void the_first_proposal_of_a_path_stands(void **state)
{
    struct candidate *taken;
    (void)state;
    assert_int_equal(add("/a.css"), REASON_PENDING);
    decision.items[0].urgency = 2;
    assert_int_equal(
        decision_add(&decision, &page, CANDIDATE_HINT, SPAN_LITERAL("/a.css"), "two", &taken),
        REASON_DUPLICATE);
    assert_null(taken);
    assert_int_equal(decision.count, 1);
    assert_int_equal(decision.items[0].kind, CANDIDATE_PUSH);
    assert_int_equal(decision.items[0].urgency, 2);
}

static void an_origin_can_be_preconnected_to(void **state)
{
    static const char *const BAD[] = {"/a",          "//a.example", "https://",
                                      "https://a/b", "ftp://a",     "https://u@a",
                                      "https://a;b", "https://a b", "a.example"};
    (void)state;
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        if (decision_add(&decision, &page, CANDIDATE_PRECONNECT, span_of(BAD[i]), "t", NULL) !=
            REASON_BAD_PATH)
            fail_msg("'%s' was not refused", BAD[i]);
    }
    assert_int_equal(decision_add(&decision, &page, CANDIDATE_PRECONNECT,
                                  SPAN_LITERAL("https://img.example.com/"), "t", NULL),
                     REASON_PENDING);
    assert_int_equal(decision_add(&decision, &page, CANDIDATE_PRECONNECT,
                                  SPAN_LITERAL("https://img.example.com"), "t", NULL),
                     REASON_DUPLICATE);
    assert_int_equal(decision_add(&decision, &page, CANDIDATE_PRECONNECT,
                                  SPAN_LITERAL("http://[::1]:8080"), "t", NULL),
                     REASON_PENDING);
    assert_true(span_equal(decision.items[0].path, SPAN_LITERAL("https://img.example.com")));
    assert_null(decision_find(&decision, SPAN_LITERAL("https://img.example.com")));
}

static void candidates_beyond_the_limit_are_counted_and_not_kept(void **state)
{
    char path[32];
    (void)state;
    for (unsigned i = 0; i < DECISION_CANDIDATES_MAX + 7; i++) {
        snprintf(path, sizeof(path), "/%u", i);
        assert_int_equal(add(path), i < DECISION_CANDIDATES_MAX ? REASON_PENDING : REASON_TOO_MANY);
    }
    assert_int_equal(decision.count, DECISION_CANDIDATES_MAX);
    assert_int_equal(decision.overflowed, 7);
}

static void text_beyond_the_limit_is_counted_and_not_kept(void **state)
{
    char path[DECISION_PATH_MAX + 1];
    (void)state;
    memset(path, 'a', sizeof(path));
    path[0] = '/';
    path[DECISION_PATH_MAX] = '\0';
    for (unsigned i = 0; i < 20; i++) {
        path[1] = (char)('a' + i);
        assert_int_equal(add(path), i < DECISION_TEXT_MAX / DECISION_PATH_MAX ? REASON_PENDING
                                                                              : REASON_TOO_MANY);
    }
    assert_int_equal(decision.overflowed, 20 - DECISION_TEXT_MAX / DECISION_PATH_MAX);
    assert_null(decision_text(&decision, SPAN_LITERAL("x")).data);
}

static void a_skipped_path_is_refused_before_and_after(void **state)
{
    struct span why = SPAN_LITERAL("rarely used");
    (void)state;
    add("/early.css");
    assert_int_equal(decision_skip(&decision, &page, SPAN_LITERAL("/early.css"), "s", why),
                     REASON_SKIPPED);
    assert_int_equal(decision_skip(&decision, &page, SPAN_LITERAL("/late.css"), "s", why),
                     REASON_SKIPPED);
    assert_int_equal(add("/late.css"), REASON_SKIPPED);
    assert_int_equal(add("/early.css"), REASON_SKIPPED);
    assert_int_equal(decision_skip(&decision, &page, SPAN_LITERAL("late.css"), "s", why),
                     REASON_BAD_PATH);
    assert_int_equal(decision.count, 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(decision.items[i].verdict, REASON_SKIPPED);
        assert_string_equal(decision.items[i].judge, "s");
        assert_true(span_equal(decision.items[i].why, why));
    }
}

static void what_one_proposer_added_can_be_taken_back(void **state)
{
    static const char *const one = "one", *const two = "two";
    (void)state;
    decision_add(&decision, &page, CANDIDATE_PUSH, SPAN_LITERAL("/a"), one, NULL);
    decision_add(&decision, &page, CANDIDATE_PUSH, SPAN_LITERAL("/b"), two, NULL);
    decision_skip(&decision, &page, SPAN_LITERAL("/c"), two, SPAN_LITERAL(""));
    decision_add(&decision, &page, CANDIDATE_PUSH, SPAN_LITERAL("/d"), two, NULL);
    decision_take_back(&decision, 1, two);
    assert_int_equal(decision.count, 2);
    assert_true(span_equal(decision.items[0].path, SPAN_LITERAL("/a")));
    assert_true(span_equal(decision.items[1].path, SPAN_LITERAL("/c")));
    assert_int_equal(add("/d"), REASON_PENDING);
}

/* Such a path names its file as it stands. */
static void a_path_without_encodings_and_query_is_plain(void **state)
{
    static const struct {
        const char *path;
        bool plain;
    } PATHS[] = {{"/", true},
                 {"/a/b-1.2~[c].css", true},
                 {"https://www.example.com/plain.css", true},
                 {"/a%2ecss", false},
                 {"/a.css?", false},
                 {"/b.css?c=d/e", false},
                 {"https://www.example.com/%61", false}};
    (void)state;
    for (size_t i = 0; i < sizeof(PATHS) / sizeof(PATHS[0]); i++) {
        assert_int_equal(add(PATHS[i].path), REASON_PENDING);
        assert_int_equal(decision.items[i].plain, PATHS[i].plain);
    }
}

/* More of them than are remembered, some of which differ only where their marks do not tell. */
static void names_are_judged_alike_however_often_they_come(void **state)
{
    char path[64], bad[64];
    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 2000; i++) {
            struct candidate *taken;
            const char *type = i % 3 ? "css" : "js";
            snprintf(path, sizeof(path), "/%04u/assets/long-enough.%s", i, type);
            snprintf(bad, sizeof(bad), "/%03u\"/assets/long-enough.%s", i / 10, type);
            decision_reset(&decision);
            assert_int_equal(decision_add(&decision, &page, CANDIDATE_PUSH, span_of(path), "test",
                                          &taken),
                             REASON_PENDING);
            assert_int_equal(taken->as, i % 3 ? AS_STYLE : AS_SCRIPT);
            assert_true(taken->plain);
            assert_int_equal(add(bad), REASON_BAD_PATH);
            assert_int_equal(add(path), REASON_DUPLICATE);
        }
    }
}

static void the_page_itself_is_refused_after_it_was_an_asset_elsewhere(void **state)
{
    const struct request other = {
        .scheme = {"https", 5}, .host = {"www.example.com", 15}, .path = {"/news", 5}};
    (void)state;
    assert_int_equal(add("/news"), REASON_PENDING);
    assert_int_equal(decision_add(&decision, &other, CANDIDATE_PUSH, SPAN_LITERAL("/news"), "test",
                                  NULL),
                     REASON_SELF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reason_has_a_word_and_a_sentence),
        cmocka_unit_test_setup(a_path_is_taken_and_copied, setup),
        cmocka_unit_test_setup(what_is_no_path_is_refused, setup),
        cmocka_unit_test_setup(unusual_paths_are_paths, setup),
        cmocka_unit_test_setup(a_url_of_the_same_authority_is_cut_to_its_path, setup),
        cmocka_unit_test_setup(another_authority_is_refused, setup),
        cmocka_unit_test_setup(the_page_itself_is_refused_however_it_is_written, setup),
        cmocka_unit_test_setup(the_first_proposal_of_a_path_stands, setup),
        cmocka_unit_test_setup(an_origin_can_be_preconnected_to, setup),
        cmocka_unit_test_setup(candidates_beyond_the_limit_are_counted_and_not_kept, setup),
        cmocka_unit_test_setup(text_beyond_the_limit_is_counted_and_not_kept, setup),
        cmocka_unit_test_setup(a_skipped_path_is_refused_before_and_after, setup),
        cmocka_unit_test_setup(what_one_proposer_added_can_be_taken_back, setup),
        cmocka_unit_test_setup(names_are_judged_alike_however_often_they_come, setup),
        cmocka_unit_test_setup(the_page_itself_is_refused_after_it_was_an_asset_elsewhere, setup),
        cmocka_unit_test_setup(a_path_without_encodings_and_query_is_plain, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

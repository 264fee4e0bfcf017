/* Pages scanned for their assets, by the real parser, as look-ups ask for it. */
#include "worker/content.h"

#include "tests/unit/content_bench.h"

#define HTTPS SPAN_LITERAL("https")
#define HTTP SPAN_LITERAL("http")
#define EXAMPLE SPAN_LITERAL("www.example.com")

static const char page[] =
    "<!doctype html><html><meta charset=utf-8><link rel=stylesheet href=css/a.css>"
    "<script src=/app.js></script>"
    "<img src=https://www.example.com/logo.png>"
    "<img src=https://other.example/x.png>";

static void ask(struct answer *answer, const char *path, struct span scheme, struct span authority)
{
    answer->lookup.wants_assets = true;
    answer->lookup.scheme = scheme;
    answer->lookup.authority = authority;
    begin_find(answer, &site.routes[0], path);
}

/* The page's assets, waited for. */
static const struct assets *scan(struct answer *answer, const char *path, struct span scheme,
                                 struct span authority)
{
    ask(answer, path, scheme, authority);
    await(answer);
    assert_int_equal(answer->outcome, CONTENT_FOUND);
    return content_assets(answer->resource, scheme, authority);
}

static const struct asset *asset_of(const struct assets *assets, const char *path)
{
    assert_non_null(assets);
    for (size_t i = 0; i < assets->count; i++)
        if (span_equal(assets->items[i].path, span_of(path)))
            return &assets->items[i];
    return NULL;
}

static void run_scans_out(void)
{
    uint64_t end_ms = timer_clock_coarse_ms() + PATIENCE_MS;
    while (content->scans_count && timer_clock_coarse_ms() < end_ms)
        turn_loop(100);
    assert_int_equal(content->scans_count, 0);
}

static void even_the_first_who_asks_gets_the_pages_assets(void **state)
{
    struct answer answer = {0}, again = {0};
    (void)state;
    put_file("index.html", page);
    make_dir("css");
    put_file("css/a.css", "body{color:red}");
    const struct assets *assets = scan(&answer, "/", HTTPS, EXAMPLE);
    assert_int_equal(assets->count, 3);
    assert_int_equal(asset_of(assets, "/css/a.css")->as, AS_STYLE);
    assert_int_equal(asset_of(assets, "/app.js")->as, AS_SCRIPT);
    assert_int_equal(asset_of(assets, "/logo.png")->as, AS_IMAGE);
    ask(&again, "/", HTTPS, EXAMPLE);
    assert_int_equal(again.answered, 1); /* at once, now that it is known */
    assert_ptr_equal(content_assets(again.resource, HTTPS, EXAMPLE), assets);
    forget(&answer);
    forget(&again);
}

static void nobody_waits_for_what_was_not_asked_for(void **state)
{
    struct answer answer = {0};
    (void)state;
    put_file("index.html", page);
    put_file("a.css", "a{}");
    find(&answer, "/");
    assert_int_equal(content->scans_count, 0);
    assert_null(content_assets(answer.resource, HTTPS, EXAMPLE));
    assert_null(scan(&answer, "/a.css", HTTPS, EXAMPLE)); /* no page */
    assert_int_equal(content->scans_count, 0);
    assert_false(content_work(content));
    forget(&answer);
}

static void many_who_wait_share_one_scan(void **state)
{
    static struct answer answers[50];
    (void)state;
    memset(answers, 0, sizeof(answers));
    put_file("index.html", page);
    for (unsigned i = 0; i < 50; i++)
        ask(&answers[i], "/", HTTPS, EXAMPLE);
    for (unsigned i = 0; i < 50; i++) {
        await(&answers[i]);
        assert_true(content->scans_count <= 1);
        assert_int_equal(content_assets(answers[i].resource, HTTPS, EXAMPLE)->count, 3);
        forget(&answers[i]);
    }
}

static void the_fonts_of_the_pages_stylesheets_are_its_assets(void **state)
{
    struct answer answer = {0};
    (void)state;
    put_file("index.html",
             "<!doctype html><html><meta charset=utf-8><link rel=stylesheet href=/a.css>"
             "<link rel=stylesheet href=/none.css><body><p>text");
    put_file("a.css", "@import url(b.css);");
    put_file("b.css", "@font-face{font-family:F;src:url(f/f.woff2) format('woff2')}"
                      "body{font-family:F}");
    const struct assets *assets = scan(&answer, "/", HTTPS, EXAMPLE);
    assert_non_null(asset_of(assets, "/b.css"));
    assert_non_null(asset_of(assets, "/f/f.woff2"));
    assert_int_equal(asset_of(assets, "/f/f.woff2")->as, AS_FONT);
    forget(&answer);
}

static void a_stylesheet_of_another_route_is_read_below_its_root(void **state)
{
    struct answer answer = {0};
    struct config_route both[2] = {{.prefix = (char *)(uintptr_t) "/static/", .root = directory},
                                   site.routes[0]};
    (void)state;
    make_dir("elsewhere");
    make_dir("elsewhere/static");
    both[0].root_fd = open(in_root("elsewhere"), O_PATH | O_DIRECTORY | O_CLOEXEC);
    put_file("index.html", "<!doctype html><html><meta charset=utf-8><link rel=stylesheet "
                           "href=/static/a%20b.css><body><p>t");
    put_file("elsewhere/static/a b.css", "@font-face{font-family:F;src:url(f.woff2)}"
                                         "body{font-family:F}");
    site.routes = both;
    site.routes_count = 2;
    begin_find(&answer, &both[1], "/");
    await(&answer);
    answer.lookup.wants_assets = true;
    answer.lookup.scheme = HTTPS;
    answer.lookup.authority = EXAMPLE;
    begin_find(&answer, &both[1], "/");
    await(&answer);
    assert_non_null(asset_of(content_assets(answer.resource, HTTPS, EXAMPLE), "/static/f.woff2"));
    forget(&answer);
    close(both[0].root_fd);
}

static void each_authority_has_its_own_result(void **state)
{
    struct answer one = {0}, other = {0};
    (void)state;
    put_file("index.html", page);
    const struct assets *assets = scan(&one, "/", HTTPS, EXAMPLE);
    assert_non_null(asset_of(assets, "/logo.png"));
    LIST_OWNER(content->present.next, struct entry, recent)->racy = false;
    assets = scan(&other, "/", HTTP, SPAN_LITERAL("127.0.0.1:8080"));
    assert_ptr_equal(other.resource, one.resource);
    assert_int_equal(assets->count, 2);
    assert_null(asset_of(assets, "/logo.png"));
    assert_non_null(asset_of(content_assets(one.resource, HTTPS, EXAMPLE), "/logo.png"));
    forget(&one);
    forget(&other);
}

/* Authorities are the clients' to make up: beyond the first few, one scan a second is made. */
static void many_authorities_get_no_scan_each(void **state)
{
    static const char *const names[] = {"a.test", "b.test", "c.test", "d.test"};
    struct answer answers[CONTENT_SCAN_AUTHORITIES] = {0}, further = {0};
    (void)state;
    put_file("index.html", page);
    for (unsigned i = 0; i < CONTENT_SCAN_AUTHORITIES; i++) {
        assert_non_null(scan(&answers[i], "/", HTTPS, span_of(names[i])));
        LIST_OWNER(content->present.next, struct entry, recent)->racy = false;
    }
    ask(&further, "/", HTTPS, SPAN_LITERAL("e.test"));
    assert_int_equal(further.answered, 1);
    assert_null(content_assets(further.resource, HTTPS, SPAN_LITERAL("e.test")));
    forget(&further);
    further = (struct answer){0};
    run_loop(CONTENT_SCAN_AGAIN_MS + 20);
    trust();
    assert_non_null(scan(&further, "/", HTTPS, SPAN_LITERAL("e.test")));
    assert_null(content_assets(further.resource, HTTPS, span_of(names[0])));
    forget(&further);
    for (unsigned i = 0; i < CONTENT_SCAN_AUTHORITIES; i++)
        forget(&answers[i]);
}

/* A page of `bytes` whose last asset stands at its end. */
static void put_long_page(size_t bytes)
{
    static const char head[] =
        "<!doctype html><html><meta charset=utf-8><script src=/first.js></script>";
    static const char tail[] = "<script src=/last.js></script>";
    char *text = malloc(bytes);
    for (size_t i = 0; i < bytes; i++)
        text[i] = "<b>x</b>"[i % 8];
    memcpy(text, head, sizeof(head) - 1);
    memset(text + sizeof(head) - 1, ' ', 8);
    memset(text + bytes - sizeof(tail) - 8, ' ', 8);
    memcpy(text + bytes - (sizeof(tail) - 1), tail, sizeof(tail) - 1);
    put_bytes("long.html", text, bytes);
    free(text);
}

static void a_long_page_is_scanned_in_slices(void **state)
{
    struct answer answer = {0};
    unsigned slices = 0;
    (void)state;
    put_long_page(100 * 1000);
    find(&answer, "/long.html");
    ask(&answer, "/long.html", HTTPS, EXAMPLE);
    assert_int_equal(answer.answered, 0);
    while (!answer.answered && slices < 1000) {
        bool more = content_work(content);
        slices++;
        assert_true(more || answer.answered);
    }
    assert_int_equal(slices, (100 * 1000 + ASSETS_SLICE_MAX - 1) / ASSETS_SLICE_MAX);
    assert_non_null(asset_of(content_assets(answer.resource, HTTPS, EXAMPLE), "/last.js"));
    forget(&answer);
}

static void a_page_too_large_for_the_cache_is_scanned_as_it_is_read(void **state)
{
    struct answer answer = {0};
    (void)state;
    put_long_page(CONTENT_SMALL_MAX + 100001);
    ask(&answer, "/long.html", HTTPS, EXAMPLE);
    await(&answer);
    assert_null(answer.resource->codings[CODING_IDENTITY].body);
    run_scans_out(); /* it may take longer than anyone waits */
    const struct assets *assets = content_assets(answer.resource, HTTPS, EXAMPLE);
    assert_non_null(asset_of(assets, "/first.js"));
    forget(&answer);
}

static void of_an_endless_page_only_the_beginning_is_scanned(void **state)
{
    struct answer answer = {0};
    (void)state;
    put_long_page(ASSETS_HTML_MAX + 300000);
    ask(&answer, "/long.html", HTTPS, EXAMPLE);
    await(&answer);
    run_scans_out();
    const struct assets *assets = content_assets(answer.resource, HTTPS, EXAMPLE);
    assert_non_null(asset_of(assets, "/first.js"));
    assert_null(asset_of(assets, "/last.js"));
    forget(&answer);
}

static void nobody_waits_longer_than_the_deadline(void **state)
{
    struct answer answer = {0}, late = {0};
    (void)state;
    put_file("index.html", page);
    find(&answer, "/");
    uint64_t start_ms = timer_clock_coarse_ms();
    ask(&answer, "/", HTTPS, EXAMPLE);
    while (!answer.answered && timer_clock_coarse_ms() - start_ms < 5000) { /* no content_work */
        ring_wait(ring, timers_wait_ns(&timers));
        timers_update(&timers);
        timers_run(&timers);
    }
    assert_in_range(timer_clock_coarse_ms() - start_ms, CONTENT_SCAN_WAIT_MS - 10,
                    CONTENT_SCAN_WAIT_MS + 200);
    assert_int_equal(answer.outcome, CONTENT_FOUND);
    assert_null(content_assets(answer.resource, HTTPS, EXAMPLE));
    ask(&late, "/", HTTPS, EXAMPLE);
    assert_int_equal(late.answered, 1); /* who comes later isn't made to wait again */
    assert_int_equal(timers_wait_ns(&timers), -1);
    run_scans_out(); /* the scan goes on */
    assert_non_null(content_assets(answer.resource, HTTPS, EXAMPLE));
    forget(&answer);
    forget(&late);
}

static void a_changed_page_is_scanned_anew(void **state)
{
    struct answer old = {0}, new = {0};
    (void)state;
    put_file("index.html", page);
    scan(&old, "/", HTTPS, EXAMPLE);
    put_file("index.html",
             "<!doctype html><html><meta charset=utf-8><script src=/new.js></script>");
    age(CONTENT_FRESH_MS);
    const struct assets *assets = scan(&new, "/", HTTPS, EXAMPLE);
    assert_int_equal(assets->count, 1);
    assert_non_null(asset_of(assets, "/new.js"));
    assert_int_equal(content_assets(old.resource, HTTPS, EXAMPLE)->count, 3);
    forget(&old);
    forget(&new);
}

static void a_cancelled_look_up_leaves_the_scan_to_the_others(void **state)
{
    struct answer cancelled = {0}, other = {0};
    (void)state;
    put_file("index.html", page);
    find(&other, "/");
    ask(&cancelled, "/", HTTPS, EXAMPLE);
    ask(&other, "/", HTTPS, EXAMPLE);
    assert_true(content_waiting(&cancelled.lookup));
    content_cancel(&cancelled.lookup);
    await(&other);
    assert_non_null(content_assets(other.resource, HTTPS, EXAMPLE));
    assert_int_equal(cancelled.answered, 0);
    forget(&other);
}

static void a_page_evicted_while_it_is_scanned_lives_until_the_scan_ends(void **state)
{
    struct answer answer = {0};
    (void)state;
    restart(1); /* nothing stays */
    put_file("index.html", page);
    ask(&answer, "/", HTTPS, EXAMPLE);
    content_cancel(&answer.lookup);
    ask(&answer, "/", HTTPS, EXAMPLE);
    await(&answer);
    assert_non_null(content_assets(answer.resource, HTTPS, EXAMPLE));
    forget(&answer);
    run_scans_out();
}

static void a_page_at_no_proper_authority_is_found_without_assets(void **state)
{
    struct answer answer = {0};
    (void)state;
    put_file("index.html", page);
    assert_null(scan(&answer, "/", (struct span){NULL, 0}, (struct span){NULL, 0}));
    assert_null(scan(&answer, "/", HTTPS, SPAN_LITERAL("bad/author ity")));
    run_scans_out();
    forget(&answer);
}

static void the_end_finishes_scans_that_are_under_way(void **state)
{
    static struct answer answers[3];
    (void)state;
    memset(answers, 0, sizeof(answers));
    put_long_page(CONTENT_SMALL_MAX + 100001);
    put_file("index.html", page);
    put_file("other.html", page);
    find(&answers[0], "/long.html");
    find(&answers[1], "/");
    find(&answers[2], "/other.html");
    ask(&answers[0], "/long.html", HTTPS, EXAMPLE);
    ask(&answers[1], "/", HTTPS, EXAMPLE);
    ask(&answers[2], "/other.html", HTTPS, EXAMPLE);
    content_work(content); /* a piece of the long one is being read now */
    content_work(content); /* and a stylesheet is looked for */
    content_work(content);
    content_work(content);
    stop();
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(answers[i].answered, 1);
        forget(&answers[i]);
    }
    content = content_create(ring, &timers, &stats, CONTENT_BYTES_DEFAULT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(even_the_first_who_asks_gets_the_pages_assets),
        BENCH_TEST(nobody_waits_for_what_was_not_asked_for),
        BENCH_TEST(many_who_wait_share_one_scan),
        BENCH_TEST(the_fonts_of_the_pages_stylesheets_are_its_assets),
        BENCH_TEST(a_stylesheet_of_another_route_is_read_below_its_root),
        BENCH_TEST(each_authority_has_its_own_result),
        BENCH_TEST(many_authorities_get_no_scan_each),
        BENCH_TEST(a_long_page_is_scanned_in_slices),
        BENCH_TEST(a_page_too_large_for_the_cache_is_scanned_as_it_is_read),
        BENCH_TEST(of_an_endless_page_only_the_beginning_is_scanned),
        BENCH_TEST(nobody_waits_longer_than_the_deadline),
        BENCH_TEST(a_changed_page_is_scanned_anew),
        BENCH_TEST(a_cancelled_look_up_leaves_the_scan_to_the_others),
        BENCH_TEST(a_page_evicted_while_it_is_scanned_lives_until_the_scan_ends),
        BENCH_TEST(a_page_at_no_proper_authority_is_found_without_assets),
        BENCH_TEST(the_end_finishes_scans_that_are_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

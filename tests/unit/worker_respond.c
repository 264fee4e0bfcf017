#include "worker/respond.h"

#include "worker/content_parts.h"
#include "worker/http_date.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MODIFIED 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT */
#define MODIFIED_TEXT "Sun, 06 Nov 1994 08:49:37 GMT"
#define EARLIER_TEXT "Sun, 06 Nov 1994 08:49:36 GMT"
#define LATER_TEXT "Sun, 06 Nov 1994 08:49:38 GMT"

static struct mime *mime;
static struct resource *plain; /* 10 bytes, no siblings */
static struct resource *coded; /* with all siblings */
static char max_age[] = "public, max-age=600";
static struct config_site site = {.heuristic_s = 300};
static struct config_route route = {.cache_control = max_age};
static struct response response;
static struct field fields[8];
static struct request request;

static void add_representation(struct resource *resource, enum content_coding coding,
                               const char *content)
{
    struct representation *representation = &resource->codings[coding];
    representation->exists = true;
    representation->size = strlen(content);
    representation->body = (uint8_t *)strdup(content);
    representation->stamp = (struct content_stamp){.inode = 1, .modified_s = MODIFIED};
}

static struct resource *resource_of(const char *path, const char *content)
{
    struct resource *resource = resource_create(span_of(path));
    add_representation(resource, CODING_IDENTITY, content);
    return resource;
}

static int set_up(void **state)
{
    (void)state;
    mime = mime_create(MIME_PATH);
    plain = resource_of("/a.txt", "0123456789");
    resource_complete(plain, mime, SPAN_LITERAL("a.txt"));
    coded = resource_of("/b.css", "identity..");
    add_representation(coded, CODING_BROTLI, "br.");
    add_representation(coded, CODING_ZSTD, "zstd.");
    add_representation(coded, CODING_GZIP, "gzip..");
    resource_complete(coded, mime, SPAN_LITERAL("b.css"));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    resource_release(plain);
    resource_release(coded);
    mime_destroy(mime);
    return 0;
}

/* Begins a request without fields. */
static void ask(const char *method)
{
    request =
        (struct request){.method = span_of(method), .path = SPAN_LITERAL("/x"), .fields = fields};
}

static void with(const char *name, struct span value)
{
    assert_true(request.fields_count < 8);
    fields[request.fields_count++] = (struct field){span_of(name), value};
}

static int answer(const struct resource *resource)
{
    memset(&response, 0xa5, sizeof(response));
    respond_resource(&response, &request, &site, &route, resource);
    return response.status;
}

/* The status of a GET of `resource` with one field. */
static int get_with(const struct resource *resource, const char *name, const char *value)
{
    ask("GET");
    with(name, span_of(value));
    return answer(resource);
}

static struct span field(const char *name)
{
    return field_find(response.fields, response.fields_count, span_of(name));
}

static void expect_field(const char *name, const char *value)
{
    struct span found = field(name);
    if (!span_equal(found, span_of(value)) || (value && !found.data))
        fail_msg("%s is '%.*s', not '%s'", name, SPAN_PRINT(found), value);
}

static void expect_no_field(const char *name)
{
    if (field(name).data)
        fail_msg("there is a field %s: '%.*s'", name, SPAN_PRINT(field(name)));
}

static void a_get_has_all_of_the_file_with_its_fields(void **state)
{
    (void)state;
    ask("GET");
    assert_int_equal(answer(plain), 200);
    expect_field("content-type", "text/plain; charset=utf-8");
    expect_field("content-length", "10");
    expect_field("last-modified", MODIFIED_TEXT);
    expect_no_field("accept-ranges");
    expect_field("cache-control", max_age);
    assert_true(span_equal(field("etag"), plain->codings[CODING_IDENTITY].etag));
    assert_true(span_equal(field("date"), http_date_now()));
    expect_no_field("vary");
    expect_no_field("content-encoding");
    assert_int_equal(response.fields_count, 6);
    assert_ptr_equal(response.body, &plain->codings[CODING_IDENTITY]);
    assert_int_equal(response.offset, 0);
    assert_int_equal(response.length, 10);
    assert_true(response.cacheable);
    assert_int_equal(response.ttl_s, 600);
}

static void a_head_has_the_fields_of_a_get_and_nothing_to_send(void **state)
{
    (void)state;
    ask("HEAD");
    with("range", SPAN_LITERAL("bytes=0-1"));
    assert_int_equal(answer(plain), 200);
    expect_field("content-length", "10");
    expect_no_field("content-range");
    assert_int_equal(response.length, 0);
    ask("HEAD");
    respond_status(&response, &request, 404, (struct span){NULL, 0});
    expect_field("content-length", "14");
    assert_int_equal(response.length, 0);
}

static void other_methods_are_told_what_is_allowed(void **state)
{
    (void)state;
    ask("POST");
    assert_int_equal(answer(plain), 405);
    expect_field("allow", "GET, HEAD");
    assert_true(response.length > 0);
    ask("get");
    assert_int_equal(answer(plain), 405);
    ask("OPTIONS");
    respond_status(&response, &request, 405, (struct span){NULL, 0});
    expect_field("allow", "GET, HEAD");
}

static void a_route_without_cache_control_is_fresh_for_the_sites_heuristic(void **state)
{
    struct config_route silent = {0};
    (void)state;
    ask("GET");
    respond_resource(&response, &request, &site, &silent, plain);
    expect_no_field("cache-control");
    assert_true(response.cacheable);
    assert_int_equal(response.ttl_s, 300);
}

static void etags_differ_by_coding_and_content_and_nothing_else(void **state)
{
    struct resource *same = resource_of("/other.txt", "0123456789");
    struct resource *other = resource_of("/a.txt", "012345678x");
    (void)state;
    resource_complete(same, mime, SPAN_LITERAL("other.txt"));
    resource_complete(other, mime, SPAN_LITERAL("a.txt"));
    assert_true(
        span_equal(same->codings[CODING_IDENTITY].etag, plain->codings[CODING_IDENTITY].etag));
    assert_true(same->validator == plain->validator);
    assert_false(
        span_equal(other->codings[CODING_IDENTITY].etag, plain->codings[CODING_IDENTITY].etag));
    assert_true(other->validator != plain->validator);
    for (unsigned i = 0; i < CODINGS; i++)
        for (unsigned j = 0; j < i; j++)
            assert_false(span_equal(coded->codings[i].etag, coded->codings[j].etag));
    resource_release(same);
    resource_release(other);
    struct resource *stored = resource_of("/c.css", "not compressed at all");
    add_representation(stored, CODING_GZIP, "not compressed at all");
    resource_complete(stored, mime, SPAN_LITERAL("c.css"));
    assert_false(
        span_equal(stored->codings[CODING_IDENTITY].etag, stored->codings[CODING_GZIP].etag));
    resource_release(stored);
}

/* The coding that is chosen for this Accept-Encoding: "br", "zstd", "gzip", "" for none, or the
 * status in words when it isn't 200. */
static const char *coding_for(const struct resource *resource, const char *accept)
{
    static char name[16];
    if (get_with(resource, "accept-encoding", accept) == 406)
        return "406";
    assert_int_equal(response.status, 200);
    snprintf(name, sizeof(name), "%.*s", SPAN_PRINT(field("content-encoding")));
    assert_int_equal(response.length, response.body->size);
    return name;
}

static void the_coding_is_the_best_that_is_accepted(void **state)
{
    static const struct {
        const char *accept, *coding;
    } cases[] = {
        {"gzip, deflate, br, zstd", "br"},
        {"gzip, deflate", "gzip"},
        {"zstd,gzip", "zstd"},
        {"x-gzip", "gzip"},
        {"GZIP", "gzip"},
        {"deflate", ""},
        {"", ""},
        {"identity", ""},
        {"*", "br"},
        {"br;q=0, *", "zstd"},
        {"br;q=0.5, gzip;q=0.6", "gzip"},
        {"gzip;q=0.5", "gzip"},
        {"gzip;q=0.001", "gzip"},
        {"gzip;q=0", ""},
        {"identity, gzip;q=0.5", ""},
        {"identity;q=0.5, gzip;q=0.4", ""},
        {"identity;q=0, gzip", "gzip"},
        {"*;q=0, gzip;q=0.1", "gzip"},
        {" gzip ; q=0.5 , br ; q=0.4", "gzip"},
        {"gzip;Q=1.000", "gzip"},
        {"br;q=2, gzip", "gzip"},
        {"br;q=1.001, gzip", "gzip"},
        {"br;q=, gzip", "gzip"},
        {"br;x=1, gzip", "gzip"},
        {",, ,gzip", "gzip"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *coding = coding_for(coded, cases[i].accept);
        if (strcmp(coding, cases[i].coding) != 0)
            fail_msg("'%s' gets '%s', not '%s'", cases[i].accept, coding, cases[i].coding);
    }
    ask("GET");
    assert_int_equal(answer(coded), 200);
    expect_no_field("content-encoding");
}

static void each_request_is_taken_at_its_own_word(void **state)
{
    (void)state;
    assert_string_equal(coding_for(coded, "zstd"), "zstd");
    assert_string_equal(coding_for(coded, "gzip"), "gzip");       /* as long as the one before */
    assert_string_equal(coding_for(coded, "gzip, zstd"), "zstd"); /* begins like it */
    assert_string_equal(coding_for(coded, "gzip"), "gzip");
    ask("GET");
    with("accept-encoding", SPAN_LITERAL("gzip"));
    with("accept-encoding", SPAN_LITERAL("br"));
    answer(coded);
    expect_field("content-encoding", "br");
    assert_string_equal(coding_for(coded, "gzip"), "gzip");
    assert_string_equal(coding_for(coded, ""), "");
    assert_string_equal(coding_for(coded, "gzip"), "gzip");
}

static void accept_encoding_may_come_in_several_lines(void **state)
{
    (void)state;
    ask("GET");
    with("accept-encoding", SPAN_LITERAL("br;q=0.1"));
    with("user-agent", SPAN_LITERAL("x"));
    with("accept-encoding", SPAN_LITERAL("zstd"));
    assert_int_equal(answer(coded), 200);
    expect_field("content-encoding", "zstd");
}

static void only_who_refuses_identity_can_get_nothing(void **state)
{
    (void)state;
    assert_string_equal(coding_for(plain, "br, identity;q=0"), "406");
    expect_field("vary", "accept-encoding");
    assert_string_equal(coding_for(plain, "*;q=0"), "406");
    assert_string_equal(coding_for(coded, "*;q=0"), "406");
    assert_string_equal(coding_for(plain, "br"), "");
    assert_string_equal(coding_for(plain, "*;q=0, identity;q=0.1"), "");
}

static void a_file_with_siblings_always_says_that_it_varies(void **state)
{
    (void)state;
    ask("GET");
    answer(coded);
    expect_field("vary", "accept-encoding");
    get_with(coded, "accept-encoding", "gzip");
    expect_field("vary", "accept-encoding");
    expect_field("content-length", "6");
    ask("GET");
    with("if-none-match", coded->codings[CODING_IDENTITY].etag);
    assert_int_equal(answer(coded), 304);
    expect_field("vary", "accept-encoding");
    get_with(coded, "range", "bytes=0-0");
    assert_int_equal(response.status, 206);
    expect_field("vary", "accept-encoding");
}

/* A list with the current etag between others, the latter holding commas and quotes' neighbours. */
static struct span tag_list(const char *prefix, const char *suffix)
{
    static char text[256];
    struct span etag = plain->codings[CODING_IDENTITY].etag;
    snprintf(text, sizeof(text), "%s%.*s%s", prefix, SPAN_PRINT(etag), suffix);
    return span_of(text);
}

static int get_with_tag(const char *name, const char *prefix, const char *suffix)
{
    ask("GET");
    with(name, tag_list(prefix, suffix));
    return answer(plain);
}

static void if_none_match_compares_weakly(void **state)
{
    (void)state;
    assert_int_equal(get_with_tag("if-none-match", "", ""), 304);
    assert_int_equal(get_with_tag("if-none-match", "W/", ""), 304);
    assert_int_equal(get_with_tag("if-none-match", "\"a\", \"b,c\" , W/\"d\",", ""), 304);
    assert_int_equal(get_with_tag("if-none-match", "", ", \"x\""), 304);
    assert_int_equal(get_with(plain, "if-none-match", "*"), 304);
    assert_int_equal(get_with(plain, "if-none-match", "\"a\", \"b\""), 200);
    assert_int_equal(get_with(plain, "if-none-match", ""), 200);
    assert_int_equal(get_with_tag("if-none-match", "garbage, ", ""), 200);
    assert_int_equal(get_with_tag("if-none-match", "\"unterminated, ", ""), 200);
    ask("HEAD");
    with("if-none-match", tag_list("", ""));
    assert_int_equal(answer(plain), 304);
}

static void a_tag_in_a_second_line_matches_as_well(void **state)
{
    (void)state;
    ask("GET");
    with("if-none-match", SPAN_LITERAL("\"other\""));
    with("if-none-match", tag_list("", ""));
    assert_int_equal(answer(plain), 304);
}

static void the_tag_of_another_coding_does_not_match(void **state)
{
    (void)state;
    ask("GET");
    with("if-none-match", coded->codings[CODING_GZIP].etag);
    with("accept-encoding", SPAN_LITERAL("br"));
    assert_int_equal(answer(coded), 200);
    ask("GET");
    with("if-none-match", coded->codings[CODING_BROTLI].etag);
    with("accept-encoding", SPAN_LITERAL("br"));
    assert_int_equal(answer(coded), 304);
}

static void a_304_has_what_a_cache_needs_and_no_more(void **state)
{
    (void)state;
    assert_int_equal(get_with_tag("if-none-match", "", ""), 304);
    assert_true(span_equal(field("etag"), plain->codings[CODING_IDENTITY].etag));
    expect_field("cache-control", max_age);
    assert_non_null(field("date").data);
    assert_int_equal(response.fields_count, 3);
    assert_int_equal(response.length, 0);
    assert_null(response.body);
    assert_int_equal(response.ttl_s, 600);
}

static void if_modified_since_counts_only_without_if_none_match(void **state)
{
    (void)state;
    assert_int_equal(get_with(plain, "if-modified-since", MODIFIED_TEXT), 304);
    assert_int_equal(get_with(plain, "if-modified-since", LATER_TEXT), 304);
    assert_int_equal(get_with(plain, "if-modified-since", EARLIER_TEXT), 200);
    assert_int_equal(get_with(plain, "if-modified-since", "yesterday"), 200);
    ask("GET");
    with("if-modified-since", SPAN_LITERAL(LATER_TEXT));
    with("if-none-match", SPAN_LITERAL("\"other\""));
    assert_int_equal(answer(plain), 200);
    ask("GET");
    with("if-modified-since", SPAN_LITERAL(LATER_TEXT));
    with("if-modified-since", SPAN_LITERAL(LATER_TEXT));
    assert_int_equal(answer(plain), 200);
}

static void if_match_compares_strongly(void **state)
{
    (void)state;
    assert_int_equal(get_with_tag("if-match", "\"a\", ", ""), 200);
    assert_int_equal(get_with(plain, "if-match", "*"), 200);
    assert_int_equal(get_with_tag("if-match", "W/", ""), 412);
    assert_int_equal(get_with(plain, "if-match", "\"a\""), 412);
    assert_int_equal(get_with(plain, "if-match", ""), 412);
}

static void if_unmodified_since_counts_only_without_if_match(void **state)
{
    (void)state;
    assert_int_equal(get_with(plain, "if-unmodified-since", MODIFIED_TEXT), 200);
    assert_int_equal(get_with(plain, "if-unmodified-since", EARLIER_TEXT), 412);
    ask("GET");
    with("if-unmodified-since", SPAN_LITERAL(EARLIER_TEXT));
    with("if-match", SPAN_LITERAL("*"));
    assert_int_equal(answer(plain), 200);
}

static void preconditions_are_tried_in_the_rfcs_order(void **state)
{
    (void)state;
    ask("GET"); /* if-match fails before if-none-match is looked at */
    with("if-none-match", tag_list("", ""));
    with("if-match", SPAN_LITERAL("\"other\""));
    assert_int_equal(answer(plain), 412);
    ask("GET"); /* if-none-match is looked at before range */
    with("range", SPAN_LITERAL("bytes=0-0"));
    with("if-none-match", tag_list("", ""));
    assert_int_equal(answer(plain), 304);
}

static void one_range_gets_its_bytes(void **state)
{
    static const struct {
        const char *range, *content_range, *length;
        uint64_t offset;
    } cases[] = {
        {"bytes=0-0", "bytes 0-0/10", "1", 0},
        {"bytes=2-5", "bytes 2-5/10", "4", 2},
        {"bytes=9-9", "bytes 9-9/10", "1", 9},
        {"bytes=4-", "bytes 4-9/10", "6", 4},
        {"bytes=4-99", "bytes 4-9/10", "6", 4},
        {"bytes=0-18446744073709551615", "bytes 0-9/10", "10", 0},
        {"bytes=0-99999999999999999999999", "bytes 0-9/10", "10", 0},
        {"bytes=-3", "bytes 7-9/10", "3", 7},
        {"bytes=-10", "bytes 0-9/10", "10", 0},
        {"bytes=-99", "bytes 0-9/10", "10", 0},
        {"Bytes=1-2", "bytes 1-2/10", "2", 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (get_with(plain, "range", cases[i].range) != 206)
            fail_msg("'%s' gets %d", cases[i].range, response.status);
        expect_field("content-range", cases[i].content_range);
        expect_field("content-length", cases[i].length);
        assert_int_equal(response.offset, cases[i].offset);
        assert_int_equal(response.length, atoi(cases[i].length));
        assert_non_null(field("etag").data);
        assert_non_null(field("last-modified").data);
        assert_non_null(field("cache-control").data);
    }
}

static void a_range_that_is_no_single_valid_one_gets_the_whole(void **state)
{
    static const char *const ranges[] = {
        "bytes=0-1,3-4", "bytes=",     "bytes=-",   "bytes=5-4",   "bytes=a-b",
        "bytes=1-2x",    "bytes 0-1",  "items=0-1", "bytes=0x1-2", "bytes=--1",
        "bytes=1-2-3",   "bytes=+1-2", "",          "bytes",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        if (get_with(plain, "range", ranges[i]) != 200)
            fail_msg("'%s' gets %d", ranges[i], response.status);
        expect_field("content-length", "10");
        expect_no_field("content-range");
    }
    ask("GET");
    with("range", SPAN_LITERAL("bytes=0-1"));
    with("range", SPAN_LITERAL("bytes=0-1"));
    assert_int_equal(answer(plain), 200);
}

static void a_range_beyond_the_end_is_refused_with_the_length(void **state)
{
    static const char *const ranges[] = {"bytes=10-", "bytes=10-11", "bytes=-0",
                                         "bytes=18446744073709551615-",
                                         "bytes=99999999999999999999999-"};
    (void)state;
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        if (get_with(plain, "range", ranges[i]) != 416)
            fail_msg("'%s' gets %d", ranges[i], response.status);
        expect_field("content-range", "bytes */10");
        assert_null(response.body);
        assert_false(response.cacheable);
    }
}

static void an_empty_file_has_no_ranges(void **state)
{
    struct resource *empty = resource_of("/e.txt", "");
    (void)state;
    resource_complete(empty, mime, SPAN_LITERAL("e.txt"));
    assert_int_equal(get_with(empty, "range", "bytes=0-"), 416);
    expect_field("content-range", "bytes */0");
    assert_int_equal(get_with(empty, "range", "bytes=-5"), 200);
    expect_field("content-length", "0");
    assert_int_equal(response.length, 0);
    resource_release(empty);
}

static int range_if(struct span validator)
{
    ask("GET");
    with("range", SPAN_LITERAL("bytes=2-3"));
    with("if-range", validator);
    return answer(plain);
}

static void a_range_applies_only_if_the_validator_of_if_range_does(void **state)
{
    (void)state;
    assert_int_equal(range_if(tag_list("", "")), 206);
    assert_int_equal(range_if(tag_list("W/", "")), 200);
    assert_int_equal(range_if(tag_list("", ", \"x\"")), 200);
    assert_int_equal(range_if(SPAN_LITERAL("\"other\"")), 200);
    assert_int_equal(range_if(SPAN_LITERAL(MODIFIED_TEXT)), 206);
    assert_int_equal(range_if(SPAN_LITERAL(EARLIER_TEXT)), 200);
    assert_int_equal(range_if(SPAN_LITERAL(LATER_TEXT)), 200);
    assert_int_equal(range_if(SPAN_LITERAL("*")), 200);
    ask("GET"); /* a false if-range makes even an unsatisfiable range a whole answer */
    with("range", SPAN_LITERAL("bytes=99-"));
    with("if-range", SPAN_LITERAL("\"other\""));
    assert_int_equal(answer(plain), 200);
}

static void a_date_within_the_current_second_is_no_strong_validator(void **state)
{
    struct resource *fresh = resource_of("/a.txt", "0123456789");
    (void)state;
    fresh->codings[CODING_IDENTITY].stamp.modified_s = http_date_seconds();
    resource_complete(fresh, mime, SPAN_LITERAL("a.txt"));
    ask("GET");
    with("range", SPAN_LITERAL("bytes=2-3"));
    with("if-range", span_of(fresh->last_modified));
    assert_int_equal(answer(fresh), 200);
    resource_release(fresh);
}

static void last_modified_is_never_in_the_future(void **state)
{
    struct resource *future = resource_of("/a.txt", "0123456789");
    (void)state;
    future->codings[CODING_IDENTITY].stamp.modified_s = http_date_seconds() + 5000;
    resource_complete(future, mime, SPAN_LITERAL("a.txt"));
    assert_in_range(future->modified, http_date_seconds() - 2, http_date_seconds());
    resource_release(future);
}

static void an_error_has_a_short_text(void **state)
{
    (void)state;
    ask("GET");
    respond_status(&response, &request, 404, (struct span){NULL, 0});
    assert_int_equal(response.status, 404);
    assert_true(span_equal(response.text, SPAN_LITERAL("404 Not Found\n")));
    assert_int_equal(response.length, response.text.length);
    expect_field("content-length", "14");
    expect_field("content-type", "text/plain");
    expect_no_field("location");
    assert_non_null(field("date").data);
    assert_false(response.cacheable);
}

static void a_redirect_says_where_to(void **state)
{
    (void)state;
    ask("GET");
    respond_status(&response, &request, 308, SPAN_LITERAL("https://www.example.com/"));
    assert_int_equal(response.status, 308);
    expect_field("location", "https://www.example.com/");
}

static void a_target_is_decoded_once_and_cut_at_its_query(void **state)
{
    static const struct {
        const char *target, *path, *query;
    } cases[] = {
        {"/", "/", ""},
        {"/a/b.css", "/a/b.css", ""},
        {"/a%20b?c=d%20e", "/a b", "c=d%20e"},
        {"/a?", "/a", ""},
        {"/?a?b", "/", "a?b"},
        {"/%2561", "/%61", ""},
        {"/%C3%A9", "/\xc3\xa9", ""},
        {"/a//b/", "/a//b/", ""},
        {"/...", "/...", ""},
        {"/.a/..b/c./d..", "/.a/..b/c./d..", ""},
        {"/a;b=c,d@e:f", "/a;b=c,d@e:f", ""},
        {"/%3F%23", "/?#", ""},
        {"/a?../..%2f%00", "/a", "../..%2f%00"},
    };
    char out[64];
    struct span path, query;
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (respond_path(span_of(cases[i].target), out, &path, &query) != 0)
            fail_msg("'%s' is refused", cases[i].target);
        assert_true(span_equal(path, span_of(cases[i].path)));
        assert_true(span_equal(query, span_of(cases[i].query)));
    }
}

static void a_target_that_could_mean_another_file_is_refused(void **state)
{
    static const char *const targets[] = {
        "",          "*",
        "a",         "http://h/",
        "?a",        "%2fa",
        "/..",       "/../",
        "/a/..",     "/a/../b",
        "/./a",      "/a/.",
        "/%2e%2e/a", "/a/%2E.",
        "/.%2e",     "/%2e",
        "/a%2fb",    "/a%2Fb",
        "/a%5cb",    "/a\\b",
        "/a%00",     "/index.html%00.css",
        "/a%0a",     "/a%1F",
        "/a%7f",     "/a\nb",
        "/a b",      "/a\x7f",
        "/a%",       "/a%2",
        "/a%zz",     "/a%+1",
        "/a#b",      "/a?b#c",
        "/a?b c",    "/a?b\r",
        "/a%?20",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        size_t length = strlen(targets[i]);
        char *target = malloc(length + 1), *out = malloc(length + 1);
        struct span path, query;
        memcpy(target, targets[i], length);
        if (respond_path(span_make(target, length), out, &path, &query) != -EINVAL)
            fail_msg("'%s' is taken", targets[i]);
        free(target);
        free(out);
    }
    struct span path, query;
    char out[8];
    assert_int_equal(respond_path(span_make("/a\0b", 4), out, &path, &query), -EINVAL);
}

static void encoding_is_the_inverse_of_decoding(void **state)
{
    char bytes[256], encoded[768], decoded[768];
    struct span path, query;
    size_t length = 0;
    (void)state;
    bytes[length++] = '/';
    for (int c = 0x20; c < 0x100; c++)
        if (c != 0x7f && c != '\\')
            bytes[length++] = (char)c;
    size_t written = respond_path_encode(span_make(bytes, length), encoded, sizeof(encoded));
    assert_true(written > length);
    assert_int_equal(respond_path(span_make(encoded, written), decoded, &path, &query), 0);
    assert_true(span_equal(path, span_make(bytes, length)));
    assert_int_equal(respond_path_encode(span_make(bytes, length), encoded, written), written);
    assert_int_equal(respond_path_encode(span_make(bytes, length), encoded, written - 1), 0);
}

static void freshness_is_what_cache_control_says_to_a_private_cache(void **state)
{
    static const struct {
        const char *text;
        uint32_t ttl_s;
        bool storable;
    } cases[] = {
        {"", 77, true},
        {"public", 77, true},
        {"max-age=60", 60, true},
        {"Max-Age=60", 60, true},
        {"max-age=\"60\"", 60, true},
        {"max-age=0", 0, true},
        {"public, max-age=31536000, immutable", 31536000, true},
        {"max-age=10, max-age=20", 10, true},
        {"s-maxage=10", 77, true},
        {"max-age=5, s-maxage=10", 5, true},
        {"private, max-age=5", 5, true},
        {"must-revalidate, max-age=5", 5, true},
        {"no-cache", 0, true},
        {"no-cache, max-age=60", 0, true},
        {"no-cache=\"set-cookie, x\", max-age=60", 0, true},
        {"no-store", 0, false},
        {"max-age=60, no-store", 0, false},
        {"max-age=99999999999999999999", 2147483648, true},
        {"max-age=4294967296", 2147483648, true},
        {"max-age=-1", 0, true},
        {"max-age=", 0, true},
        {"max-age", 0, true},
        {"max-age=1.5", 0, true},
        {"max-age=abc", 0, true},
        {"ext=\"no-store, max-age=1\"", 77, true},
        {"ext=\"a\\\", no-store\", max-age=3", 3, true},
        {"ext=\"unterminated, no-store", 77, true},
        {",, max-age=3 ,", 3, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool storable = !cases[i].storable;
        struct field field = {SPAN_LITERAL("cache-control"), span_of(cases[i].text)};
        uint32_t ttl_s = respond_freshness(&field, 1, 77, &storable);
        if (ttl_s != cases[i].ttl_s || storable != cases[i].storable)
            fail_msg("'%s' gives %u, %d", cases[i].text, ttl_s, storable);
    }
}

#define T0 "Sun, 22 Nov 2026 10:00:00 GMT"
#define T60 "Sun, 22 Nov 2026 10:01:00 GMT"

/* RFC 9111 4.2.1: max-age, then Expires less Date, then the heuristic; Age has passed already. */
static void freshness_is_what_all_fields_together_say(void **state)
{
    static const struct {
        const char *fields[8]; /* names and values, NULL at the end */
        uint32_t ttl_s;
    } cases[] = {
        {{"expires", T60, "date", T0}, 60},
        {{"date", T0, "expires", T60}, 60},
        {{"expires", "Sunday, 22-Nov-26 10:01:00 GMT", "date", T0}, 60},
        {{"expires", "Sun Nov 22 10:01:00 2026", "date", T0}, 60},
        {{"expires", T0, "date", T60}, 0},
        {{"expires", T0, "date", T0}, 0},
        {{"expires", "0", "date", T0}, 0},
        {{"expires", "", "date", T0}, 0},
        {{"expires", "-1"}, 0},
        {{"expires", "Tue, 01 Jan 2036 00:00:00 +0100", "date", T0}, 0},
        {{"expires", T60, "expires", T0, "date", T0}, 60},
        {{"cache-control", "max-age=5", "expires", T60, "date", T0}, 5},
        {{"cache-control", "max-age=x", "expires", T60, "date", T0}, 0},
        {{"cache-control", "s-maxage=5", "expires", T60, "date", T0}, 60},
        {{"cache-control", "public", "expires", T60, "date", T0}, 60},
        {{"cache-control", "no-cache", "expires", T60, "date", T0}, 0},
        {{"expires", "Thu, 01 Jan 1970 00:00:00 GMT"}, 0},
        {{"expires", "Fri, 31 Dec 9999 23:59:59 GMT", "date", T0}, 2147483648},
        {{"cache-control", "public", "cache-control", "max-age=9"}, 9},
        {{"cache-control", "max-age=9", "cache-control", "max-age=3"}, 9},
        {{"cache-control", "max-age=9", "cache-control", "no-cache"}, 0},
        {{"cache-control", "max-age=9", "age", "4"}, 5},
        {{"cache-control", "max-age=9", "age", "9"}, 0},
        {{"cache-control", "max-age=9", "age", "10"}, 0},
        {{"cache-control", "max-age=9", "age", "soon"}, 9},
        {{"expires", T60, "date", T0, "age", "50"}, 10},
        {{"age", "7"}, 70},
        {{"date", T0}, 77},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct field said[4];
        size_t count = 0;
        for (; count < 4 && cases[i].fields[2 * count]; count++)
            said[count] = (struct field){span_of(cases[i].fields[2 * count]),
                                         span_of(cases[i].fields[2 * count + 1])};
        uint32_t ttl_s = respond_freshness(said, count, 77, NULL);
        if (ttl_s != cases[i].ttl_s)
            fail_msg("case %zu: %s: %s gives %u", i, cases[i].fields[0], cases[i].fields[1], ttl_s);
    }
}

/* Without a Date, or one that can't be read, the response is of now (RFC 9110 6.6.1). */
static void an_expires_without_a_date_counts_from_now(void **state)
{
    char text[HTTP_DATE_LENGTH + 1];
    struct field said[2] = {{SPAN_LITERAL("expires"), {NULL, 0}},
                            {SPAN_LITERAL("date"), SPAN_LITERAL("lately")}};
    (void)state;
    http_date_format(http_date_seconds() + 1000, text);
    said[0].value = span_of(text);
    for (size_t count = 1; count <= 2; count++)
        assert_in_range(respond_freshness(said, count, 77, NULL), 990, 1000);
}

static bool is_public(const char *cache_control, const char *name, const char *value,
                      bool with_cookies)
{
    struct response answer = {.status = 200, .cacheable = true, .ttl_s = 3600};
    answer.fields = answer.inline_fields;
    answer.fields[answer.fields_count++] =
        (struct field){SPAN_LITERAL("cache-control"), span_of(cache_control)};
    answer.ttl_s = respond_freshness(answer.fields, 1, 3600, &answer.cacheable);
    if (name)
        answer.fields[answer.fields_count++] = (struct field){span_of(name), span_of(value)};
    return respond_is_public(&answer, with_cookies);
}

static void a_response_is_public_only_when_a_shared_cache_may_hand_it_to_anyone(void **state)
{
    (void)state;
    assert_true(is_public("max-age=60", NULL, NULL, false));
    assert_true(is_public("", NULL, NULL, false));
    assert_true(is_public("max-age=0, s-maxage=60", NULL, NULL, false));
    assert_true(is_public("max-age=60", "vary", "Accept-Encoding", false));
    assert_false(is_public("max-age=0", NULL, NULL, false));
    assert_false(is_public("max-age=60, s-maxage=0", NULL, NULL, false));
    assert_false(is_public("no-store", NULL, NULL, false));
    assert_false(is_public("no-cache", NULL, NULL, false));
    assert_false(is_public("private, max-age=60", NULL, NULL, false));
    assert_false(is_public("private, s-maxage=60", NULL, NULL, false));
    assert_false(is_public("public, max-age=60", "set-cookie", "a=b", false));
    assert_false(is_public("public, max-age=60", "vary", "accept-encoding, cookie", false));
    assert_false(is_public("public, max-age=60", "vary", "*", false));
}

static void what_was_asked_for_with_cookies_is_public_only_when_it_says_so(void **state)
{
    (void)state;
    assert_false(is_public("max-age=60", NULL, NULL, true));
    assert_true(is_public("public, max-age=60", NULL, NULL, true));
    assert_true(is_public("s-maxage=60", NULL, NULL, true));
    assert_false(is_public("public, no-store", NULL, NULL, true));
}

static enum reason pushable(const char *cache_control, const char *accept)
{
    char text[64];
    struct config_route other = {0};
    snprintf(text, sizeof(text), "%s", cache_control ? cache_control : "");
    other.cache_control = cache_control ? text : NULL;
    return respond_pushable(coded, &site, &other, span_of(accept), NULL);
}

static void only_what_a_client_may_keep_is_pushed(void **state)
{
    const struct representation *representation = NULL;
    (void)state;
    assert_int_equal(pushable(NULL, "br"), REASON_PENDING);
    assert_int_equal(pushable("max-age=60", NULL), REASON_PENDING);
    assert_int_equal(pushable("no-store", "br"), REASON_NOT_CACHEABLE);
    assert_int_equal(pushable("private, max-age=60", "br"), REASON_NOT_CACHEABLE);
    assert_int_equal(pushable("no-cache", "br"), REASON_NOT_CACHEABLE);
    assert_int_equal(pushable("max-age=0", "br"), REASON_NOT_CACHEABLE);
    assert_int_equal(pushable("max-age=60", "*;q=0"), REASON_NOT_FOUND);
    respond_pushable(coded, &site, &route, SPAN_LITERAL("gzip, zstd"), &representation);
    assert_ptr_equal(representation, &coded->codings[CODING_ZSTD]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_get_has_all_of_the_file_with_its_fields),
        cmocka_unit_test(a_head_has_the_fields_of_a_get_and_nothing_to_send),
        cmocka_unit_test(other_methods_are_told_what_is_allowed),
        cmocka_unit_test(a_route_without_cache_control_is_fresh_for_the_sites_heuristic),
        cmocka_unit_test(etags_differ_by_coding_and_content_and_nothing_else),
        cmocka_unit_test(the_coding_is_the_best_that_is_accepted),
        cmocka_unit_test(each_request_is_taken_at_its_own_word),
        cmocka_unit_test(accept_encoding_may_come_in_several_lines),
        cmocka_unit_test(only_who_refuses_identity_can_get_nothing),
        cmocka_unit_test(a_file_with_siblings_always_says_that_it_varies),
        cmocka_unit_test(if_none_match_compares_weakly),
        cmocka_unit_test(a_tag_in_a_second_line_matches_as_well),
        cmocka_unit_test(the_tag_of_another_coding_does_not_match),
        cmocka_unit_test(a_304_has_what_a_cache_needs_and_no_more),
        cmocka_unit_test(if_modified_since_counts_only_without_if_none_match),
        cmocka_unit_test(if_match_compares_strongly),
        cmocka_unit_test(if_unmodified_since_counts_only_without_if_match),
        cmocka_unit_test(preconditions_are_tried_in_the_rfcs_order),
        cmocka_unit_test(one_range_gets_its_bytes),
        cmocka_unit_test(a_range_that_is_no_single_valid_one_gets_the_whole),
        cmocka_unit_test(a_range_beyond_the_end_is_refused_with_the_length),
        cmocka_unit_test(an_empty_file_has_no_ranges),
        cmocka_unit_test(a_range_applies_only_if_the_validator_of_if_range_does),
        cmocka_unit_test(a_date_within_the_current_second_is_no_strong_validator),
        cmocka_unit_test(last_modified_is_never_in_the_future),
        cmocka_unit_test(an_error_has_a_short_text),
        cmocka_unit_test(a_redirect_says_where_to),
        cmocka_unit_test(a_target_is_decoded_once_and_cut_at_its_query),
        cmocka_unit_test(a_target_that_could_mean_another_file_is_refused),
        cmocka_unit_test(encoding_is_the_inverse_of_decoding),
        cmocka_unit_test(freshness_is_what_cache_control_says_to_a_private_cache),
        cmocka_unit_test(freshness_is_what_all_fields_together_say),
        cmocka_unit_test(an_expires_without_a_date_counts_from_now),
        cmocka_unit_test(only_what_a_client_may_keep_is_pushed),
        cmocka_unit_test(a_response_is_public_only_when_a_shared_cache_may_hand_it_to_anyone),
        cmocka_unit_test(what_was_asked_for_with_cookies_is_public_only_when_it_says_so),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

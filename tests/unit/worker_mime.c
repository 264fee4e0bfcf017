#include "worker/mime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void expect(const struct mime *mime, const char *path, const char *type)
{
    assert_string_equal(mime_of(mime, span_of(path)), type);
}

/* A table made from `text`. */
static struct mime *table_of(const char *text)
{
    char path[] = "/tmp/herald-mime-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    struct mime *mime = mime_create(path);
    unlink(path);
    assert_non_null(mime);
    return mime;
}

static void the_machines_table_knows_what_pages_are_made_of(void **state)
{
    struct mime *mime = mime_create(MIME_PATH);
    (void)state;
    assert_non_null(mime);
    expect(mime, "index.html", "text/html; charset=utf-8");
    expect(mime, "/css/site.css", "text/css; charset=utf-8");
    expect(mime, "/js/app.js", "text/javascript; charset=utf-8");
    expect(mime, "/js/app.mjs", "text/javascript; charset=utf-8");
    expect(mime, "/f/a.woff2", "font/woff2");
    expect(mime, "/i/a.svg", "image/svg+xml");
    expect(mime, "/i/a.avif", "image/avif");
    expect(mime, "/m.wasm", "application/wasm");
    expect(mime, "/app.webmanifest", "application/manifest+json");
    expect(mime, "/a.tar.gz", "application/gzip"); /* from the file, not built in */
    mime_destroy(mime);
}

static void a_missing_file_leaves_the_built_in_types(void **state)
{
    struct mime *mime = mime_create("/nonexistent/mime.types");
    (void)state;
    assert_non_null(mime);
    expect(mime, "a.html", "text/html; charset=utf-8");
    expect(mime, "a.tar.gz", MIME_UNKNOWN);
    mime_destroy(mime);
}

static void the_built_in_types_cannot_be_broken_by_the_file(void **state)
{
    struct mime *mime = table_of("application/x-javascript js\ntext/x-wrong css\n");
    (void)state;
    expect(mime, "a.js", "text/javascript; charset=utf-8");
    expect(mime, "a.css", "text/css; charset=utf-8");
    mime_destroy(mime);
}

static void the_first_line_for_an_extension_counts(void **state)
{
    struct mime *mime = table_of("a/first\t\tqq rr\nb/second qq ss # tt\n");
    (void)state;
    expect(mime, "x.qq", "a/first");
    expect(mime, "x.rr", "a/first");
    expect(mime, "x.ss", "b/second");
    expect(mime, "x.tt", MIME_UNKNOWN);
    mime_destroy(mime);
}

static void a_type_that_could_break_a_field_is_not_taken(void **state)
{
    struct mime *mime = table_of("evil/\x01type q1\nno-slash q2\na/b:c q3\na/good q4");
    (void)state;
    expect(mime, "x.q1", MIME_UNKNOWN);
    expect(mime, "x.q2", MIME_UNKNOWN);
    expect(mime, "x.q3", MIME_UNKNOWN);
    expect(mime, "x.q4", "a/good");
    mime_destroy(mime);
}

static void the_last_extension_of_the_last_segment_counts_in_any_case(void **state)
{
    struct mime *mime = mime_create(MIME_PATH);
    (void)state;
    expect(mime, "/a.css/b.HTML", "text/html; charset=utf-8");
    expect(mime, "/a.css/b", MIME_UNKNOWN);
    expect(mime, "/a.css.", MIME_UNKNOWN);
    expect(mime, "/", MIME_UNKNOWN);
    expect(mime, "", MIME_UNKNOWN);
    expect(mime, "/x.thisextensionislongerthananyentrycouldbe", MIME_UNKNOWN);
    mime_destroy(mime);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_machines_table_knows_what_pages_are_made_of),
        cmocka_unit_test(a_missing_file_leaves_the_built_in_types),
        cmocka_unit_test(the_built_in_types_cannot_be_broken_by_the_file),
        cmocka_unit_test(the_first_line_for_an_extension_counts),
        cmocka_unit_test(a_type_that_could_break_a_field_is_not_taken),
        cmocka_unit_test(the_last_extension_of_the_last_segment_counts_in_any_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

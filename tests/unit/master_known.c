/* Which files a site's known resources are, and by which paths. */
#include "master/known.h"

#include "worker/content.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char top[] = "/tmp/herald-known-XXXXXX";
static char found[65536]; /* each path and a space */
static struct config_route routes[4];
static struct config_site site;

static void on_found(void *context, const struct known_file *file)
{
    size_t used = strlen(found);
    (void)context;
    assert_ptr_equal(file->site, &site);
    snprintf(found + used, sizeof(found) - used, "%.*s ", SPAN_PRINT(file->path));
}

static void make(const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", top, name);
    for (char *slash = path + strlen(top) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(path, 0755);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void add_route(const char *prefix, const char *root, bool symlinks)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", top, root);
    mkdir(path, 0755);
    routes[site.routes_count++] =
        (struct config_route){.prefix = strdup(prefix), .root = strdup(path),
                              .root_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC),
                              .symlinks = symlinks};
}

static int set_up(void **state)
{
    (void)state;
    strcpy(top + strlen(top) - 6, "XXXXXX");
    assert_non_null(mkdtemp(top));
    site = (struct config_site){.routes = routes};
    found[0] = '\0';
    return 0;
}

static int tear_down(void **state)
{
    char command[600];
    (void)state;
    for (size_t i = 0; i < site.routes_count; i++) {
        close(routes[i].root_fd);
        free(routes[i].prefix);
        free(routes[i].root);
    }
    snprintf(command, sizeof(command), "rm -rf %s", top);
    return system(command);
}

static bool walk(struct known *known)
{
    *known = (struct known){.found = on_found, .complete = true};
    known_walk(known, &site);
    return known->complete;
}

static bool has(const char *path)
{
    char wanted[512];
    snprintf(wanted, sizeof(wanted), "%s ", path);
    const char *at = strstr(found, wanted);
    while (at && at != found && at[-1] != ' ')
        at = strstr(at + 1, wanted);
    return at != NULL;
}

static void files_are_found_by_the_paths_they_are_asked_for(void **state)
{
    struct known known;
    (void)state;
    make("www/index.html", "x");
    make("www/assets/a.css", "x");
    make("www/docs/index.html", "x");
    make("www/docs/myindex.html", "x");
    add_route("/", "www", false);
    assert_true(walk(&known));
    assert_int_equal(known.files, 4);
    assert_true(has("/") && has("/index.html") && has("/assets/a.css"));
    assert_true(has("/docs/") && has("/docs/index.html") && has("/docs/myindex.html"));
    assert_false(has("/docs/my") || has("/assets/") || has("/assets"));
}

static void a_file_counts_only_below_the_root_that_its_route_serves(void **state)
{
    struct known known;
    (void)state;
    make("www/assets/hidden.css", "x");
    make("www/page.html", "x");
    make("cdn/assets/seen.css", "x");
    make("cdn/unseen.html", "x");
    add_route("/assets/", "cdn", false);
    add_route("/more/", "www", false); /* the same root twice is walked once */
    add_route("/", "www", false);
    assert_true(walk(&known));
    assert_string_equal(found, "/assets/seen.css /page.html ");
}

static void links_are_followed_where_the_route_does_and_never_out_of_the_root(void **state)
{
    struct known known;
    char path[512];
    (void)state;
    make("www/real.css", "x");
    make("out/secret.css", "x");
    add_route("/", "www", true);
    snprintf(path, sizeof(path), "%s/www/link.css", top);
    assert_int_equal(symlink("real.css", path), 0);
    snprintf(path, sizeof(path), "%s/www/out", top);
    assert_int_equal(symlink("../out", path), 0);
    snprintf(path, sizeof(path), "%s/www/round", top);
    assert_int_equal(symlink(".", path), 0);
    walk(&known);
    assert_true(has("/real.css") && has("/link.css") && has("/round/real.css"));
    assert_false(has("/out/secret.css"));
    assert_false(known.complete); /* a circle ends at the depth's bound */
    routes[0].symlinks = false;
    found[0] = '\0';
    assert_true(walk(&known));
    assert_string_equal(found, "/real.css ");
}

static void what_is_no_file_is_not_found(void **state)
{
    struct known known;
    char path[512];
    (void)state;
    make("www/a.css", "x");
    add_route("/", "www", false);
    snprintf(path, sizeof(path), "%s/www/fifo", top);
    assert_int_equal(mkfifo(path, 0644), 0);
    assert_true(walk(&known));
    assert_string_equal(found, "/a.css ");
}

static void a_route_without_a_root_has_no_files(void **state)
{
    struct known known;
    (void)state;
    site.routes_count = 1;
    routes[0] = (struct config_route){.prefix = strdup("/"), .root_fd = -1};
    assert_true(walk(&known));
    assert_int_equal(known.files, 0);
}

static uint16_t validator_of(const char *name)
{
    uint16_t validator = 0;
    struct known_file file = {&site, &routes[0], span_of("/"), name};
    assert_int_equal(known_validator(&file, &validator), 0);
    return validator;
}

static void a_validator_changes_with_the_content_alone(void **state)
{
    (void)state;
    make("www/a.css", "one");
    make("www/b.css", "one");
    make("www/empty.css", "");
    add_route("/", "www", false);
    uint16_t before = validator_of("a.css");
    assert_int_equal(validator_of("b.css"), before);
    make("www/a.css", "two");
    assert_int_not_equal(validator_of("a.css"), before);
    make("www/a.css", "one");
    assert_int_equal(validator_of("a.css"), before);
    validator_of("empty.css");
    struct known_file missing = {&site, &routes[0], span_of("/"), "none.css"};
    assert_int_equal(known_validator(&missing, &before), -ENOENT);
    struct known_file directory = {&site, &routes[0], span_of("/"), "."};
    assert_int_equal(known_validator(&directory, &before), -EINVAL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(files_are_found_by_the_paths_they_are_asked_for),
        TEST(a_file_counts_only_below_the_root_that_its_route_serves),
        TEST(links_are_followed_where_the_route_does_and_never_out_of_the_root),
        TEST(what_is_no_file_is_not_found),
        TEST(a_route_without_a_root_has_no_files),
        TEST(a_validator_changes_with_the_content_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "tests/unit/policy_fixture.h"

#include <sys/mman.h>
#include <xxhash.h>

static struct bundle *open_bundle(struct fixture *f)
{
    struct bundle *bundle = NULL;
    f->bundle = bundle_create(&f->config, &f->fault);
    if (f->bundle < 0)
        fail_msg("%s: %s", f->fault.where, f->fault.what);
    assert_int_equal(bundle_open(f->bundle, &bundle, &f->fault), 0);
    return bundle;
}

static void done(struct fixture *f, struct bundle *bundle)
{
    bundle_close(bundle);
    close(f->bundle);
    f->bundle = -1;
}

static void cannot_create(struct fixture *f, int rc, const char *where, const char *what)
{
    int got = bundle_create(&f->config, &f->fault);
    if (got >= 0)
        close(got);
    assert_int_equal(got, rc);
    assert_non_null(strstr(f->fault.where, where));
    assert_non_null(strstr(f->fault.what, what));
}

static void policies_and_data_are_found_by_name(void **state)
{
    struct fixture *f = *state;
    policy_file(f, "shop.lua", "return {}");
    policy_file(f, "lib/prices.json", "[1]");
    policy_file(f, "empty.txt", "");
    struct bundle *bundle = open_bundle(f);
    assert_true(
        span_equal(bundle_find(bundle, SPAN_LITERAL("shop.lua")), SPAN_LITERAL("return {}")));
    assert_true(
        span_equal(bundle_find(bundle, SPAN_LITERAL("lib/prices.json")), SPAN_LITERAL("[1]")));
    assert_non_null(bundle_find(bundle, SPAN_LITERAL("empty.txt")).data);
    assert_true(bundle_find(bundle, SPAN_LITERAL("preload.lua")).length > 100);
    assert_null(bundle_find(bundle, SPAN_LITERAL("shop")).data);
    assert_null(bundle_find(bundle, SPAN_LITERAL("")).data);
    assert_null(bundle_find(bundle, SPAN_LITERAL("../shop.lua")).data);
    for (size_t i = 1; i < bundle_count(bundle); i++)
        assert_true(memcmp(bundle_name(bundle, i - 1).data, bundle_name(bundle, i).data, 3) <= 0);
    done(f, bundle);
}

static void the_folder_wins_over_the_stock(void **state)
{
    struct fixture *f = *state;
    policy_file(f, "preload.lua", "mine");
    struct bundle *bundle = open_bundle(f);
    assert_true(span_equal(bundle_find(bundle, SPAN_LITERAL("preload.lua")), SPAN_LITERAL("mine")));
    done(f, bundle);
}

static void other_files_are_left_out(void **state)
{
    struct fixture *f = *state;
    policy_file(f, "README.md", "x");
    policy_file(f, ".hidden.lua", "x");
    policy_file(f, ".git/config.txt", "x");
    policy_file(f, "a.lua~", "x");
    policy_file(f, "1/2/3/4/kept.lua", "x");
    policy_file(f, "1/2/3/4/5/deep.lua", "x");
    f->config.policy.stock_fd = -1;
    struct bundle *bundle = open_bundle(f);
    assert_int_equal(bundle_count(bundle), 1);
    assert_true(span_equal(bundle_name(bundle, 0), SPAN_LITERAL("1/2/3/4/kept.lua")));
    done(f, bundle);
}

static void the_stock_brings_no_annotations_and_no_examples(void **state)
{
    struct fixture *f = *state;
    struct bundle *bundle = open_bundle(f);
    assert_true(bundle_count(bundle) >= 4);
    for (size_t i = 0; i < bundle_count(bundle); i++)
        assert_false(span_find(bundle_name(bundle, i), '/') < bundle_name(bundle, i).length);
    done(f, bundle);
}

static void a_symbolic_link_is_refused(void **state)
{
    struct fixture *f = *state;
    char path[128];
    snprintf(path, sizeof(path), "%s/a.lua", f->dir);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    cannot_create(f, -ELOOP, "a.lua", "symbolic link");
}

static void what_is_no_regular_file_is_refused(void **state)
{
    struct fixture *f = *state;
    char path[128];
    snprintf(path, sizeof(path), "%s/a.lua", f->dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    cannot_create(f, -EINVAL, "a.lua", "regular file");
}

static void a_large_file_is_refused(void **state)
{
    struct fixture *f = *state;
    char *text = calloc(1, BUNDLE_FILE_MAX + 1);
    write_file(f->dir, "a.json", text, BUNDLE_FILE_MAX);
    done(f, open_bundle(f));
    write_file(f->dir, "a.json", text, BUNDLE_FILE_MAX + 1);
    free(text);
    cannot_create(f, -EFBIG, "a.json", "256 KiB");
}

static void too_much_in_all_is_refused(void **state)
{
    struct fixture *f = *state;
    char name[32];
    char *text = calloc(1, BUNDLE_FILE_MAX);
    for (unsigned i = 0; i <= BUNDLE_BYTES_MAX / BUNDLE_FILE_MAX; i++) {
        snprintf(name, sizeof(name), "%03u.txt", i);
        write_file(f->dir, name, text, BUNDLE_FILE_MAX);
    }
    free(text);
    cannot_create(f, -E2BIG, "", "16 MiB");
}

static void too_many_files_are_refused(void **state)
{
    struct fixture *f = *state;
    char name[32];
    for (unsigned i = 0; i <= BUNDLE_FILES_MAX; i++) {
        snprintf(name, sizeof(name), "%04u.txt", i);
        policy_file(f, name, "");
    }
    cannot_create(f, -E2BIG, ".txt", "1024");
}

static void a_long_path_is_refused(void **state)
{
    struct fixture *f = *state;
    policy_file(f, "a-folder-with-quite-a-long-name/and-a-file-with-another.lua", "");
    cannot_create(f, -ENAMETOOLONG, "and-a-file", "56 bytes");
}

static uint64_t version(struct fixture *f)
{
    struct bundle *bundle = open_bundle(f);
    uint64_t name = bundle_version(bundle);
    done(f, bundle);
    return name;
}

static void the_version_is_the_content_and_nothing_else(void **state)
{
    struct fixture *f = *state;
    policy_file(f, "a.lua", "return 1");
    use_policy(f, "a.lua", "{}");
    uint64_t first = version(f);
    policy_file(f, "a.lua", "return 1");
    policy_file(f, "README.md", "changed");
    assert_true(version(f) == first);
    policy_file(f, "a.lua", "return 2");
    uint64_t second = version(f);
    assert_true(second != first);
    policy_file(f, "a.lua", "return 1");
    assert_true(version(f) == first);
    f->policies[0].arguments = (char *)(uintptr_t) "{\"n\":1}";
    assert_true(version(f) != first);
}

static void without_any_folder_the_bundle_is_empty(void **state)
{
    struct fixture *f = *state;
    close(f->config.policy.dir_fd);
    close(f->config.policy.stock_fd);
    f->config.policy.dir_fd = f->config.policy.stock_fd = -1;
    f->config.policy.dir = NULL;
    struct bundle *bundle = open_bundle(f);
    assert_int_equal(bundle_count(bundle), 0);
    done(f, bundle);
}

static void a_bundle_cannot_be_written_to(void **state)
{
    struct fixture *f = *state;
    done(f, open_bundle(f));
    f->bundle = bundle_create(&f->config, &f->fault);
    assert_int_equal(pwrite(f->bundle, "x", 1, 0), -1);
    assert_int_equal(ftruncate(f->bundle, 0), -1);
    assert_true(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, f->bundle, 0) == MAP_FAILED);
}

static void a_file_without_seals_is_no_bundle(void **state)
{
    struct fixture *f = *state;
    struct bundle *bundle;
    int fd = memfd_create("loose", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(bundle_open(fd, &bundle, &f->fault), -EPERM);
    assert_non_null(strstr(f->fault.what, "sealed"));
    close(fd);
}

/* Opens `bytes` of `text` as a sealed bundle. */
static int open_text(const unsigned char *text, size_t bytes, struct fault *fault)
{
    struct bundle *bundle = NULL;
    int fd = memfd_create("other", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(write(fd, text, bytes), (ssize_t)bytes);
    assert_int_equal(
        fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), 0);
    int rc = bundle_open(fd, &bundle, fault);
    close(fd);
    if (rc == 0)
        bundle_close(bundle);
    return rc;
}

static void a_bundle_changed_anywhere_is_refused(void **state)
{
    struct fixture *f = *state;
    unsigned char *text = calloc(1, 65536);
    f->config.policy.stock_fd = -1;
    policy_file(f, "a.lua", "return function() end");
    policy_file(f, "b.json", "{}");
    f->bundle = bundle_create(&f->config, &f->fault);
    ssize_t bytes = pread(f->bundle, text, 65536, 0);
    assert_true(bytes > 64 && bytes < 65536);
    assert_int_equal(open_text(text, (size_t)bytes, &f->fault), 0);
    for (ssize_t i = 0; i < bytes; i++) {
        text[i] ^= 1;
        assert_int_equal(open_text(text, (size_t)bytes, &f->fault), -EINVAL);
        text[i] ^= 1;
    }
    for (ssize_t i = 0; i < bytes; i += 7)
        assert_int_equal(open_text(text, (size_t)i, &f->fault), -EINVAL);
    free(text);
}

/* Its header: magic, bytes, version, lists, count; then entries of four 32-bit numbers. */
static void entries_are_checked_even_when_the_hash_is_right(void **state)
{
    static const struct {
        size_t offset;
        uint32_t value;
    } WRONG[] = {
        {32, 0x10000000}, {40, 0xffffffff}, {44, 0xffffffff}, {44, 0},
        {44, 60},         {48, 0xffffffff}, {52, 0xffffffff}, {56, 0},
    };
    struct fixture *f = *state;
    unsigned char *text = calloc(1, 65536);
    f->config.policy.stock_fd = -1;
    policy_file(f, "a.lua", "return function() end, 'so that sixty bytes are within the bundle'");
    policy_file(f, "b.json", "{}");
    f->bundle = bundle_create(&f->config, &f->fault);
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
        size_t bytes = (size_t)pread(f->bundle, text, 65536, 0);
        memcpy(text + WRONG[i].offset, &WRONG[i].value, sizeof(WRONG[i].value));
        uint64_t hash = XXH3_64bits(text + 24, bytes - 24);
        memcpy(text + 16, &hash, sizeof(hash));
        if (open_text(text, bytes, &f->fault) != -EINVAL)
            fail_msg("case %zu is taken", i);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(policies_and_data_are_found_by_name, setup, teardown),
        cmocka_unit_test_setup_teardown(the_folder_wins_over_the_stock, setup, teardown),
        cmocka_unit_test_setup_teardown(other_files_are_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(the_stock_brings_no_annotations_and_no_examples, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_symbolic_link_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_regular_file_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_large_file_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(too_much_in_all_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(too_many_files_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_long_path_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(the_version_is_the_content_and_nothing_else, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(without_any_folder_the_bundle_is_empty, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bundle_cannot_be_written_to, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_without_seals_is_no_bundle, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bundle_changed_anywhere_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(entries_are_checked_even_when_the_hash_is_right, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

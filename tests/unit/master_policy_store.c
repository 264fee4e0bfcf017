#include "master/policy_store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct policy_store store;
static struct fault fault;
static char directory[64];
static uint32_t spare[STORE_SPARE];

static void open_store(unsigned keep)
{
    if (policy_store_open(&store, directory, keep, &fault) < 0)
        fail_msg("%s: %s", fault.where, fault.what);
}

static void reopen(void)
{
    unsigned keep = store.keep;
    policy_store_close(&store);
    open_store(keep);
}

static int setup(void **state)
{
    (void)state;
    snprintf(directory, sizeof(directory), "/tmp/herald-store-XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    open_store(20);
    return 0;
}

static int teardown(void **state)
{
    char command[128];
    (void)state;
    policy_store_close(&store);
    snprintf(command, sizeof(command), "rm -r %s", directory);
    return system(command);
}

/* Any content will do: what a bundle is, the store does not look at. */
static uint32_t put(const char *content)
{
    int fd = memfd_create("content", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(write(fd, content, strlen(content)), (ssize_t)strlen(content));
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE), 0);
    int64_t number = policy_store_put(&store, fd, "alice", "why", spare, &fault);
    close(fd);
    if (number < 0)
        fail_msg("%s: %s", fault.where, fault.what);
    return (uint32_t)number;
}

static void use(uint32_t number)
{
    assert_int_equal(policy_store_activate(&store, number, "bob", "used", &fault), 0);
}

static void path_of(const char *name, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/policies/%s", directory, name);
}

static void what_is_stored_is_there_after_opening_again(void **state)
{
    char text[16] = "";
    (void)state;
    assert_int_equal(put("one"), 1);
    assert_int_equal(put("two"), 2);
    use(2);
    reopen();
    assert_int_equal(store.count, 2);
    assert_int_equal(store.active, 2);
    assert_int_equal(store.next, 3);
    const struct stored_version *version = policy_store_find(&store, 1);
    assert_string_equal(version->author, "alice");
    assert_string_equal(version->message, "why");
    assert_string_equal(store.events[0].author, "bob");
    int fd = policy_store_bundle(&store, 1, &fault);
    assert_int_equal(pread(fd, text, sizeof(text), 0), 3);
    assert_string_equal(text, "one");
    assert_int_equal(fcntl(fd, F_GET_SEALS) & F_SEAL_WRITE, F_SEAL_WRITE);
    close(fd);
}

static void equal_content_is_one_version(void **state)
{
    (void)state;
    assert_int_equal(put("same"), 1);
    assert_int_equal(put("same"), 1);
    assert_int_equal(put("other"), 2);
    assert_int_equal(store.count, 2);
}

static void files_are_private(void **state)
{
    char path[PATH_MAX];
    struct stat st;
    (void)state;
    put("x");
    use(1);
    path_of("", path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    path_of("v1.policies", path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    path_of("state", path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void a_file_torn_anywhere_is_left_out(void **state)
{
    char path[PATH_MAX], content[4096];
    (void)state;
    put("the content of a version");
    path_of("v1.policies", path);
    int fd = open(path, O_RDONLY);
    ssize_t length = read(fd, content, sizeof(content));
    close(fd);
    for (ssize_t i = 0; i < length; i += 5) {
        assert_int_equal(truncate(path, 0), 0);
        fd = open(path, O_WRONLY);
        assert_int_equal(write(fd, content, (size_t)i), i);
        close(fd);
        reopen();
        assert_int_equal(store.count, 0);
    }
}

static void a_file_that_others_may_write_is_left_out(void **state)
{
    char path[PATH_MAX];
    (void)state;
    put("x");
    path_of("v1.policies", path);
    assert_int_equal(chmod(path, 0644), 0);
    reopen();
    assert_int_equal(store.count, 0);
}

static void a_directory_that_is_open_to_others_is_refused(void **state)
{
    char path[PATH_MAX];
    (void)state;
    policy_store_close(&store);
    path_of("", path);
    assert_int_equal(chmod(path, 0755), 0);
    assert_int_equal(policy_store_open(&store, directory, 20, &fault), -EPERM);
    assert_non_null(strstr(fault.what, "mode 0700"));
}

static void numbers_are_not_used_again(void **state)
{
    (void)state;
    put("one");
    use(1);
    put("two");
    assert_int_equal(policy_store_discard(&store, 2, &fault), 0);
    assert_int_equal(policy_store_save(&store, &fault), 0);
    reopen();
    assert_int_equal(put("three"), 3);
}

static void the_previous_version_is_the_last_good_one(void **state)
{
    (void)state;
    for (char c = 'a'; c <= 'd'; c++)
        put((char[]){c, '\0'});
    assert_int_equal(policy_store_previous(&store), 0);
    use(1);
    assert_int_equal(policy_store_previous(&store), 0);
    use(2);
    use(3);
    assert_int_equal(policy_store_previous(&store), 2);
    policy_store_find(&store, 2)->standing = STORED_QUARANTINED;
    assert_int_equal(policy_store_previous(&store), 1);
    policy_store_find(&store, 3)->standing = STORED_ROLLED_BACK;
    use(1);
    assert_int_equal(policy_store_previous(&store), 0); /* nothing else is good */
    use(4);
    reopen();
    assert_int_equal(policy_store_previous(&store), 1);
    assert_int_equal(policy_store_find(&store, 2)->standing, STORED_QUARANTINED);
}

static void the_oldest_go_but_what_is_used_stays(void **state)
{
    (void)state;
    store.keep = 4;
    put("a");
    put("b");
    use(1);
    use(2);
    put("c");
    store.canary = 3;
    for (char c = 'd'; c <= 'k'; c++)
        put((char[]){c, '\0'});
    assert_int_equal(store.count, 4);
    assert_non_null(policy_store_find(&store, 1)); /* what a rollback would bring */
    assert_non_null(policy_store_find(&store, 2));
    assert_non_null(policy_store_find(&store, 3));
    assert_non_null(policy_store_find(&store, 11));
    assert_int_equal(policy_store_discard(&store, 1, &fault), -EBUSY);
    assert_non_null(strstr(fault.what, "rollback"));
    assert_int_equal(policy_store_discard(&store, 3, &fault), -EBUSY);
}

static void spares_stay_though_nothing_uses_them_yet(void **state)
{
    (void)state;
    store.keep = 3;
    put("a");
    put("b");
    put("c");
    spare[1] = 1;
    put("d");
    assert_non_null(policy_store_find(&store, 1));
    assert_null(policy_store_find(&store, 2));
    spare[1] = 0;
    put("e");
    assert_null(policy_store_find(&store, 1));
}

static void a_version_that_is_gone_cannot_be_activated(void **state)
{
    (void)state;
    put("a");
    use(1);
    assert_int_equal(policy_store_activate(&store, 7, "bob", "used", &fault), -ENOENT);
    assert_non_null(strstr(fault.what, "no version v7"));
    assert_int_equal(store.active, 1);
    assert_int_equal(store.events_count, 1);
}

static void a_bundle_that_could_be_cut_short_is_refused(void **state)
{
    (void)state;
    char id[STORE_ID_LENGTH + 1];
    int fd = memfd_create("content", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(write(fd, "a", 1), 1);
    assert_int_equal(policy_store_put(&store, fd, "alice", "why", spare, &fault), -EPERM);
    assert_int_equal(policy_store_id(fd, id), -EPERM);
    assert_int_equal(store.count, 0);
    close(fd);
}

static void an_activation_that_cannot_be_kept_changes_nothing(void **state)
{
    (void)state;
    put("a");
    put("b");
    use(1);
    int fd = store.directory_fd;
    store.directory_fd = open("/proc/self", O_RDONLY | O_DIRECTORY);
    assert_true(policy_store_activate(&store, 2, "bob", "used", &fault) < 0);
    close(store.directory_fd);
    store.directory_fd = fd;
    assert_int_equal(store.active, 1);
    assert_int_equal(policy_store_find(&store, 2)->used, 0);
}

static void events_are_bounded(void **state)
{
    (void)state;
    for (int i = 0; i < 3 * STORE_EVENTS_MAX; i++)
        policy_store_note(&store, "x", "event %d", i);
    assert_int_equal(store.events_count, STORE_EVENTS_MAX);
    assert_string_equal(store.events[STORE_EVENTS_MAX - 1].what, "event 95");
}

static void a_text_cut_within_a_character_does_not_keep_the_state_from_being_saved(void **state)
{
    (void)state;
    policy_store_note(&store, "\xc3", "%s", "\xe2\x82");
    assert_int_equal(policy_store_save(&store, &fault), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(what_is_stored_is_there_after_opening_again),
        CASE(equal_content_is_one_version),
        CASE(files_are_private),
        CASE(a_file_torn_anywhere_is_left_out),
        CASE(a_file_that_others_may_write_is_left_out),
        CASE(a_directory_that_is_open_to_others_is_refused),
        CASE(numbers_are_not_used_again),
        CASE(the_previous_version_is_the_last_good_one),
        CASE(the_oldest_go_but_what_is_used_stays),
        CASE(an_activation_that_cannot_be_kept_changes_nothing),
        CASE(events_are_bounded),
        CASE(spares_stay_though_nothing_uses_them_yet),
        CASE(a_version_that_is_gone_cannot_be_activated),
        CASE(a_bundle_that_could_be_cut_short_is_refused),
        CASE(a_text_cut_within_a_character_does_not_keep_the_state_from_being_saved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

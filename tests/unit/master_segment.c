#include "master/handoff/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define TABLE (UINT64_C(2) << 20)

static char directory[PATH_MAX];
static char path[PATH_MAX + 16];
static char keys_path[PATH_MAX + 16];

static int setup(void **state)
{
    const char *base = getenv("TMPDIR");
    (void)state;
    snprintf(directory, sizeof(directory), "%s/herald-segment-XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(directory))
        return -1;
    snprintf(path, sizeof(path), "%s/table", directory);
    snprintf(keys_path, sizeof(keys_path), "%s/keys", directory);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    unlink(keys_path);
    return rmdir(directory); /* fails when a temporary file was left behind */
}

static void create(struct segment *segment)
{
    struct fault fault = {0};
    assert_int_equal(segment_create(segment, TABLE, &fault), 0);
}

static uint64_t *words(const struct segment *segment)
{
    return segment->pushes;
}

static int load(struct segment *segment, struct fault *fault)
{
    uint64_t boottime_s;
    uint64_t age_s;
    memset(fault, 0, sizeof(*fault));
    return segment_load(segment, SEGMENT_PART_PUSHES, path, &boottime_s, &age_s, fault);
}

static void flip_byte(const char *name, off_t at)
{
    unsigned char byte;
    int fd = open(name, O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x40;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static bool table_is_zero(const struct segment *segment)
{
    for (uint64_t i = 0; i < TABLE / 8; i++)
        if (words(segment)[i])
            return false;
    return true;
}

static void a_fresh_segment_is_private_sealed_and_empty(void **state)
{
    struct segment segment;
    struct stat st;
    (void)state;
    create(&segment);
    assert_int_equal(fstat(segment.fd, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal((uint64_t)st.st_size, segment.header->bytes);
    assert_int_equal(ftruncate(segment.fd, st.st_size + 4096), -1);
    assert_int_equal(ftruncate(segment.fd, 4096), -1);
    assert_int_equal(fcntl(segment.fd, F_GET_SEALS) & F_SEAL_SEAL, F_SEAL_SEAL);
    assert_int_equal(fstat(segment.secrets_fd, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(segment.header->magic, SEGMENT_MAGIC);
    assert_int_equal((uintptr_t)segment.pushes % 64, 0);
    assert_int_equal((char *)segment.pushes - (char *)segment.header,
                     segment.header->pushes_offset);
    assert_true(table_is_zero(&segment));
    segment_finish(&segment);
    segment_finish(&segment);
}

static void a_child_sees_what_the_parent_writes_and_the_other_way_round(void **state)
{
    struct segment segment;
    int status;
    (void)state;
    create(&segment);
    words(&segment)[5] = 55;
    pid_t pid = fork();
    if (pid == 0) {
        words(&segment)[6] = words(&segment)[5] + 11;
        atomic_store(&segment.slots[3].heartbeat, 9);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(words(&segment)[6], 66);
    assert_int_equal(atomic_load(&segment.slots[3].heartbeat), 9);
    segment_finish(&segment);
}

static void a_table_that_is_no_power_of_two_or_out_of_bounds_is_refused(void **state)
{
    struct segment segment;
    struct fault fault = {0};
    (void)state;
    assert_int_equal(segment_create(&segment, 3u << 20, &fault), -EINVAL);
    assert_non_null(strstr(fault.what, "power of two"));
    assert_int_equal(segment_create(&segment, 1u << 19, &fault), -EINVAL);
    assert_int_equal(segment_create(&segment, UINT64_C(1) << 33, &fault), -EINVAL);
}

static void every_segment_has_keys_of_its_own(void **state)
{
    struct segment a;
    struct segment b;
    (void)state;
    create(&a);
    create(&b);
    assert_memory_not_equal(a.secrets->hash_key, b.secrets->hash_key, 16);
    assert_memory_not_equal(a.secrets->log_key, a.secrets->hash_key, 16);
    assert_memory_not_equal(&a.secrets->tickets[0], &a.secrets->tickets[1],
                            sizeof(struct ticket_key));
    assert_memory_not_equal(&a.secrets->tickets[1], &a.secrets->tickets[2],
                            sizeof(struct ticket_key));
    segment_finish(&a);
    segment_finish(&b);
}

static void a_rotation_puts_a_new_key_in_front_and_drops_the_oldest(void **state)
{
    struct segment segment;
    struct ticket_key before[SEGMENT_TICKET_KEYS];
    (void)state;
    create(&segment);
    uint32_t epoch = atomic_load(&segment.secrets->ticket_epoch);
    memcpy(before, segment.secrets->tickets, sizeof(before));
    segment_rotate_tickets(&segment);
    assert_int_equal(atomic_load(&segment.secrets->ticket_epoch), epoch + 1);
    assert_memory_equal(&segment.secrets->tickets[1], before, 2 * sizeof(before[0]));
    assert_memory_not_equal(&segment.secrets->tickets[0], &before[0], sizeof(before[0]));
    segment_finish(&segment);
}

static void kept_secrets_come_back_in_the_next_segment_but_tickets_do_not(void **state)
{
    struct segment first;
    struct segment second;
    struct stat st;
    struct fault fault = {0};
    (void)state;
    create(&first);
    assert_int_equal(segment_keep_secrets(&first, keys_path, &fault), 0);
    assert_int_equal(stat(keys_path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    create(&second);
    assert_int_equal(segment_keep_secrets(&second, keys_path, &fault), 0);
    assert_memory_equal(first.secrets->hash_key, second.secrets->hash_key, 16);
    assert_memory_equal(first.secrets->log_key, second.secrets->log_key, 16);
    assert_memory_equal(first.secrets->cookie_key, second.secrets->cookie_key, 32);
    assert_memory_not_equal(first.secrets->tickets, second.secrets->tickets,
                            sizeof(first.secrets->tickets));
    segment_finish(&first);
    segment_finish(&second);
}

static void refused_keys(struct segment *segment, int rc, const char *what)
{
    struct fault fault = {0};
    uint8_t before[16];
    memcpy(before, segment->secrets->hash_key, 16);
    assert_int_equal(segment_keep_secrets(segment, keys_path, &fault), rc);
    assert_string_equal(fault.where, keys_path);
    assert_non_null(strstr(fault.what, what));
    assert_memory_equal(before, segment->secrets->hash_key, 16);
}

static void a_key_file_of_another_mode_owner_size_or_kind_is_refused(void **state)
{
    struct segment segment;
    struct fault fault = {0};
    char other[PATH_MAX + 32];
    (void)state;
    create(&segment);
    assert_int_equal(segment_keep_secrets(&segment, keys_path, &fault), 0);
    assert_int_equal(chmod(keys_path, 0640), 0);
    refused_keys(&segment, -EPERM, "mode must be 0600");
    assert_int_equal(chmod(keys_path, 0600), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(keys_path, 65534, 65534), 0);
        refused_keys(&segment, -EPERM, "another user");
        assert_int_equal(chown(keys_path, 0, 0), 0);
    }
    flip_byte(keys_path, 0);
    refused_keys(&segment, -EINVAL, "not a file of herald's keys");
    assert_int_equal(truncate(keys_path, 40), 0);
    refused_keys(&segment, -EINVAL, "not a file of herald's keys");
    snprintf(other, sizeof(other), "%s-real", keys_path);
    assert_int_equal(rename(keys_path, other), 0);
    assert_int_equal(symlink(other, keys_path), 0);
    refused_keys(&segment, -ELOOP, "cannot be opened");
    unlink(other);
    segment_finish(&segment);
}

static void a_saved_table_comes_back_word_for_word(void **state)
{
    struct segment first;
    struct segment second;
    struct fault fault = {0};
    uint64_t boottime_s = 0;
    uint64_t age_s = 99;
    (void)state;
    create(&first);
    assert_int_equal(segment_keep_secrets(&first, keys_path, &fault), 0);
    words(&first)[0] = 1;
    words(&first)[100000] = UINT64_C(0xfedcba9876543210);
    words(&first)[TABLE / 8 - 1] = 3;
    assert_int_equal(segment_save(&first, SEGMENT_PART_PUSHES, path, &fault), 0);
    create(&second);
    assert_int_equal(segment_keep_secrets(&second, keys_path, &fault), 0);
    assert_int_equal(segment_load(&second, SEGMENT_PART_PUSHES, path, &boottime_s, &age_s, &fault),
                     1);
    assert_memory_equal(first.pushes, second.pushes, TABLE);
    assert_true(boottime_s > 0);
    assert_true(age_s <= 5);
    segment_finish(&first);
    segment_finish(&second);
}

static void saving_and_loading_an_empty_table_takes_no_memory(void **state)
{
    struct segment segment;
    struct stat before;
    struct stat after;
    struct stat file;
    struct fault fault = {0};
    (void)state;
    create(&segment);
    words(&segment)[TABLE / 16] = 7;
    assert_int_equal(fstat(segment.fd, &before), 0);
    assert_int_equal(segment_save(&segment, SEGMENT_PART_PUSHES, path, &fault), 0);
    assert_int_equal(load(&segment, &fault), 1);
    assert_int_equal(fstat(segment.fd, &after), 0);
    assert_int_equal(stat(path, &file), 0);
    assert_true(after.st_blocks * 512 <= before.st_blocks * 512 + 2 * 65536);
    assert_true(file.st_blocks * 512 < 256 * 1024);
    segment_finish(&segment);
}

static void no_saved_table_is_no_fault(void **state)
{
    struct segment segment;
    struct fault fault;
    (void)state;
    create(&segment);
    assert_int_equal(load(&segment, &fault), 0);
    assert_string_equal(fault.what, "");
    segment_finish(&segment);
}

static void refused_table(struct segment *segment, const char *what)
{
    struct fault fault;
    assert_int_equal(load(segment, &fault), -EINVAL);
    assert_string_equal(fault.where, path);
    assert_non_null(strstr(fault.what, what));
    assert_true(table_is_zero(segment));
}

static void what_was_learned_comes_back_and_is_no_table(void **state)
{
    struct segment first, second;
    struct fault fault = {0};
    uint64_t boottime_s, age_s;
    (void)state;
    create(&first);
    create(&second);
    assert_int_equal(segment_keep_secrets(&first, keys_path, &fault), 0);
    assert_int_equal(segment_keep_secrets(&second, keys_path, &fault), 0);
    ((char *)first.names)[0] = 1;
    ((char *)first.names)[SEGMENT_NAMES_BYTES - 1] = 2;
    ((char *)first.learned)[0] = 3;
    ((char *)first.learned)[SEGMENT_LEARNED_BYTES - 1] = 4;
    words(&first)[0] = 5;
    assert_int_equal(segment_save(&first, SEGMENT_PART_LEARNED, path, &fault), 0);
    assert_int_equal(segment_load(&second, SEGMENT_PART_LEARNED, path, &boottime_s, &age_s, &fault),
                     1);
    assert_memory_equal(first.names, second.names, SEGMENT_NAMES_BYTES);
    assert_memory_equal(first.learned, second.learned, SEGMENT_LEARNED_BYTES);
    assert_true(table_is_zero(&second));
    refused_table(&second, "is not a saved table");
    assert_int_equal(segment_save(&first, SEGMENT_PART_PUSHES, path, &fault), 0);
    assert_int_equal(segment_load(&second, SEGMENT_PART_LEARNED, path, &boottime_s, &age_s, &fault),
                     -EINVAL);
    assert_non_null(strstr(fault.what, "is no file of learned sets"));
    segment_finish(&first);
    segment_finish(&second);
}

static void a_torn_or_foreign_table_is_refused_and_leaves_an_empty_one(void **state)
{
    struct segment segment;
    struct segment stranger;
    struct fault fault = {0};
    (void)state;
    create(&segment);
    create(&stranger);
    words(&segment)[10] = 10;
    words(&segment)[200000] = 11;
    assert_int_equal(segment_save(&segment, SEGMENT_PART_PUSHES, path, &fault), 0);
    memset(segment.pushes, 0, TABLE);
    refused_table(&stranger, "other keys");
    flip_byte(path, 4096 + 200000 * 8); /* a bit of a word */
    refused_table(&segment, "checksum is wrong");
    flip_byte(path, 4096 + 200000 * 8);
    flip_byte(path, 4096 + 150000 * 8); /* a bit where a hole was */
    refused_table(&segment, "checksum is wrong");
    flip_byte(path, 4096 + 150000 * 8);
    flip_byte(path, 24); /* the time it was saved at */
    refused_table(&segment, "checksum is wrong");
    flip_byte(path, 24);
    assert_int_equal(load(&segment, &fault), 1);
    memset(segment.pushes, 0, TABLE);
    flip_byte(path, 8);
    refused_table(&segment, "another layout");
    flip_byte(path, 8);
    flip_byte(path, 0);
    refused_table(&segment, "not a saved table");
    flip_byte(path, 0);
    assert_int_equal(truncate(path, 4096 + TABLE - 8), 0);
    refused_table(&segment, "torn");
    assert_int_equal(truncate(path, 20), 0);
    refused_table(&segment, "torn");
    segment_finish(&segment);
    segment_finish(&stranger);
}

static void a_table_saved_in_the_future_is_refused(void **state)
{
    struct segment segment;
    struct fault fault = {0};
    (void)state;
    create(&segment);
    assert_int_equal(segment_save(&segment, SEGMENT_PART_PUSHES, path, &fault), 0);
    flip_byte(path, 32 + 5); /* a high byte of the wall-clock time */
    refused_table(&segment, "in the future");
    segment_finish(&segment);
}

static void a_table_of_another_size_is_refused(void **state)
{
    struct segment small;
    struct segment large;
    struct fault fault = {0};
    (void)state;
    create(&small);
    assert_int_equal(segment_create(&large, 2 * TABLE, &fault), 0);
    assert_int_equal(segment_save(&large, SEGMENT_PART_PUSHES, path, &fault), 0);
    refused_table(&small, "another size");
    segment_finish(&small);
    segment_finish(&large);
}

static void a_save_that_fails_leaves_the_last_one_and_no_litter(void **state)
{
    struct segment segment;
    struct fault fault = {0};
    (void)state;
    create(&segment);
    assert_int_equal(segment_save(&segment, SEGMENT_PART_PUSHES, "/nonexistent/table", &fault),
                     -ENOENT);
    assert_string_equal(fault.where, "/nonexistent/table");
    words(&segment)[1] = 1;
    assert_int_equal(segment_save(&segment, SEGMENT_PART_PUSHES, path, &fault), 0);
    assert_int_equal(segment_save(&segment, SEGMENT_PART_PUSHES, path, &fault), 0);
    memset(segment.pushes, 0, TABLE);
    assert_int_equal(load(&segment, &fault), 1);
    assert_int_equal(words(&segment)[1], 1);
    segment_finish(&segment);
}

/* A writer changes two halves of each word together; no saved word may mix two writes. */
static void a_table_in_use_is_saved_without_torn_words(void **state)
{
    struct segment segment;
    struct fault fault = {0};
    int status;
    (void)state;
    create(&segment);
    pid_t pid = fork();
    if (pid == 0) {
        _Atomic uint64_t *table = segment.pushes;
        alarm(20);
        for (uint64_t n = 1;; n++)
            for (unsigned i = 0; i < 4096; i++)
                atomic_store_explicit(&table[i], n << 32 | n, memory_order_relaxed);
    }
    while (words(&segment)[4095] == 0) /* its alarm ends it, and this, at the latest */
        assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
    for (int round = 0; round < 20; round++) {
        struct segment copy;
        create(&copy);
        memcpy(copy.secrets->key_id, segment.secrets->key_id, 8);
        assert_int_equal(segment_save(&segment, SEGMENT_PART_PUSHES, path, &fault), 0);
        assert_int_equal(load(&copy, &fault), 1);
        for (unsigned i = 0; i < 4096; i++)
            assert_int_equal(words(&copy)[i] >> 32, words(&copy)[i] & 0xffffffffu);
        segment_finish(&copy);
    }
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    segment_finish(&segment);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fresh_segment_is_private_sealed_and_empty),
        cmocka_unit_test(a_child_sees_what_the_parent_writes_and_the_other_way_round),
        cmocka_unit_test(a_table_that_is_no_power_of_two_or_out_of_bounds_is_refused),
        cmocka_unit_test(every_segment_has_keys_of_its_own),
        cmocka_unit_test(a_rotation_puts_a_new_key_in_front_and_drops_the_oldest),
#define WITH_FILES(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        WITH_FILES(kept_secrets_come_back_in_the_next_segment_but_tickets_do_not),
        WITH_FILES(a_key_file_of_another_mode_owner_size_or_kind_is_refused),
        WITH_FILES(a_saved_table_comes_back_word_for_word),
        WITH_FILES(saving_and_loading_an_empty_table_takes_no_memory),
        WITH_FILES(no_saved_table_is_no_fault),
        WITH_FILES(what_was_learned_comes_back_and_is_no_table),
        WITH_FILES(a_torn_or_foreign_table_is_refused_and_leaves_an_empty_one),
        WITH_FILES(a_table_saved_in_the_future_is_refused),
        WITH_FILES(a_table_of_another_size_is_refused),
        WITH_FILES(a_save_that_fails_leaves_the_last_one_and_no_litter),
        WITH_FILES(a_table_in_use_is_saved_without_torn_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "master/keeper.h"
#include "master/slots.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct loop loop;
static struct segment segment;
static struct keeper keeper;
static char directory[64];
static char table_path[PATH_MAX];
static char learned_path[PATH_MAX];
static char keys_path[PATH_MAX];

static int setup(void **state)
{
    (void)state;
    snprintf(directory, sizeof(directory), "/tmp/herald-keeper-XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    snprintf(table_path, sizeof(table_path), "%s/push-table", directory);
    snprintf(learned_path, sizeof(learned_path), "%s/learned", directory);
    snprintf(keys_path, sizeof(keys_path), "%s/keys", directory);
    memset(&keeper, 0, sizeof(keeper));
    return loop_init(&loop);
}

static int teardown(void **state)
{
    (void)state;
    keeper_abandon(&keeper);
    segment_finish(&segment);
    loop_finish(&loop);
    unlink(table_path);
    unlink(learned_path);
    unlink(keys_path);
    return rmdir(directory); /* fails when a temporary file was left behind */
}

static void start(int64_t now_ms)
{
    struct fault fault = {0};
    assert_int_equal(segment_create(&segment, UINT64_C(1) << 20, &fault), 0);
    if (keeper_init(&keeper, &loop, &segment, directory, now_ms, &fault) < 0)
        fail_msg("%s: %s", fault.where, fault.what);
}

static struct push_key key_of(uint64_t n)
{
    return (struct push_key){.bucket_hash = n * 7, .tag = n + 1};
}

static struct push_table table_of(void)
{
    struct push_table table;
    assert_int_equal(push_table_attach(&table, segment.pushes, segment.header->pushes_bytes, 1), 0);
    return table;
}

static void hold(unsigned from, unsigned count)
{
    struct push_table table = table_of();
    for (unsigned n = from; n < from + count; n++)
        assert_true(push_table_note(&table, key_of(n), 1, PUSH_HELD, 86400, PUSH_KNOWN));
}

static unsigned held(unsigned count)
{
    struct push_table table = table_of();
    unsigned sum = 0;
    for (unsigned n = 0; n < count; n++)
        sum += push_table_peek(&table, key_of(n), 1) == PUSH_HELD;
    return sum;
}

static void what_is_held_survives_an_end_and_a_start(void **state)
{
    (void)state;
    start(0);
    hold(0, 100);
    keeper_finish(&keeper);
    segment_finish(&segment);
    start(0);
    assert_int_equal(held(100), 100);
}

static void it_is_saved_by_a_child_every_few_minutes(void **state)
{
    struct stat st;
    (void)state;
    start(1000);
    hold(0, 50);
    assert_int_equal(keeper_step(&keeper, 2000), 1000 + KEEPER_SAVE_MS);
    assert_false(keeper.helper.running);
    keeper_step(&keeper, 1000 + KEEPER_SAVE_MS);
    assert_true(keeper.helper.running);
    for (int i = 0; i < 1000 && keeper.helper.running; i++)
        loop_wait(&loop, loop_now_ms() + 10);
    assert_false(keeper.helper.running);
    assert_int_equal(stat(table_path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    keeper_abandon(&keeper); /* as if the machine went down now */
    segment_finish(&segment);
    start(0);
    assert_int_equal(held(50), 50);
}

static void a_table_without_its_keys_starts_empty(void **state)
{
    (void)state;
    start(0);
    hold(0, 100);
    keeper_finish(&keeper);
    segment_finish(&segment);
    unlink(keys_path);
    start(0);
    assert_int_equal(held(100), 0);
}

static void a_start_that_failed_leaves_the_saved_table_alone(void **state)
{
    (void)state;
    start(0);
    hold(0, 100);
    keeper_finish(&keeper);
    segment_finish(&segment);
    start(0);
    memset(segment.pushes, 0, segment.header->pushes_bytes);
    keeper_abandon(&keeper);
    keeper_finish(&keeper);
    segment_finish(&segment);
    start(0);
    assert_int_equal(held(100), 100);
}

int main(void)
{
#define WITH_STATE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_STATE(what_is_held_survives_an_end_and_a_start),
        WITH_STATE(it_is_saved_by_a_child_every_few_minutes),
        WITH_STATE(a_table_without_its_keys_starts_empty),
        WITH_STATE(a_start_that_failed_leaves_the_saved_table_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

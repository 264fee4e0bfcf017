/* A dictionary that processes share: what it keeps, what goes first, and what nobody can break. */
#include "policy/shared_dict.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define BYTES (UINT64_C(256) << 10)
#define OWNER 7

static const uint8_t KEY[16] = {1, 2, 3};
static struct shared_dict dict;
static char text[SHARED_VALUE_MAX];

static int setup(void **state)
{
    *state = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(*state, MAP_FAILED);
    return shared_dict_attach(&dict, *state, BYTES, OWNER, KEY);
}

static int teardown(void **state)
{
    struct shared_census census;
    shared_dict_census(&dict, &census);
    assert_int_equal(census.damaged, 0);
    return munmap(*state, BYTES);
}

static enum shared_result set_text(const char *key, struct span value, uint32_t ttl_s, uint32_t now)
{
    struct shared_value wanted = {.type = SHARED_STRING, .text = value};
    return shared_dict_set(&dict, span_of(key), &wanted, ttl_s, now);
}

static enum shared_result set_number(const char *key, double value, uint32_t ttl_s, uint32_t now)
{
    struct shared_value wanted = {.type = SHARED_NUMBER, .number = value};
    return shared_dict_set(&dict, span_of(key), &wanted, ttl_s, now);
}

static double number(const char *key, uint32_t now)
{
    struct shared_value value = {0};
    if (shared_dict_get(&dict, span_of(key), now, &value, text) != SHARED_DONE)
        return -1;
    assert_int_equal(value.type, SHARED_NUMBER);
    return value.number;
}

static bool has_text(const char *key, struct span wanted)
{
    struct shared_value value = {0};
    return shared_dict_get(&dict, span_of(key), 1, &value, text) == SHARED_DONE &&
           value.type == SHARED_STRING && span_equal(value.text, wanted);
}

static void values_keep_their_types(void **state)
{
    struct shared_value value = {.type = SHARED_BOOLEAN, .number = 0};
    (void)state;
    assert_int_equal(shared_dict_set(&dict, span_of("b"), &value, 0, 1), SHARED_DONE);
    value.number = 1;
    assert_int_equal(shared_dict_get(&dict, span_of("b"), 1, &value, text), SHARED_DONE);
    assert_true(value.type == SHARED_BOOLEAN && value.number == 0);
    assert_int_equal(set_number("n", -0.125, 0, 1), SHARED_DONE);
    assert_true(number("n", 1) == -0.125);
    assert_int_equal(set_text("n", SPAN_LITERAL("now a text"), 0, 1), SHARED_DONE);
    assert_true(has_text("n", SPAN_LITERAL("now a text")));
    assert_int_equal(set_text("n", SPAN_LITERAL(""), 0, 1), SHARED_DONE);
    assert_true(has_text("n", SPAN_LITERAL("")));
    assert_int_equal(set_number("n", 5, 0, 1), SHARED_DONE);
    assert_true(number("n", 1) == 5);
}

static void odd_keys_are_keys(void **state)
{
    char longest[SHARED_KEY_MAX + 1];
    struct shared_value value = {.type = SHARED_NUMBER, .number = 3};
    (void)state;
    memset(longest, 'k', sizeof(longest));
    const struct span keys[] = {SPAN_LITERAL("a\0b"), SPAN_LITERAL("a\0c"), SPAN_LITERAL("\0"),
                                SPAN_LITERAL("\xff\xfe"), span_make(longest, SHARED_KEY_MAX)};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        value.number = (double)i;
        assert_int_equal(shared_dict_set(&dict, keys[i], &value, 0, 1), SHARED_DONE);
    }
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        assert_int_equal(shared_dict_get(&dict, keys[i], 1, &value, text), SHARED_DONE);
        assert_true(value.number == (double)i);
    }
    assert_int_equal(shared_dict_set(&dict, span_make(longest, sizeof(longest)), &value, 0, 1),
                     SHARED_BAD_KEY);
    assert_int_equal(shared_dict_get(&dict, span_make("", 0), 1, &value, text), SHARED_BAD_KEY);
}

static void a_string_of_8_kib_fits_and_one_byte_more_does_not(void **state)
{
    static char large[SHARED_VALUE_MAX + 1];
    char key[SHARED_KEY_MAX + 1];
    (void)state;
    memset(large, 'x', sizeof(large));
    memset(key, 'k', SHARED_KEY_MAX);
    key[SHARED_KEY_MAX] = 0;
    for (char round = 'a'; round < 'f'; round++) {
        large[SHARED_VALUE_MAX - 1] = round;
        assert_int_equal(set_text(key, span_make(large, SHARED_VALUE_MAX), 0, 1), SHARED_DONE);
        assert_true(has_text(key, span_make(large, SHARED_VALUE_MAX)));
    }
    assert_int_equal(set_text(key, span_make(large, SHARED_VALUE_MAX + 1), 0, 1), SHARED_TOO_LARGE);
    assert_true(has_text(key, span_make(large, SHARED_VALUE_MAX)));
}

static void a_value_expires_at_its_second(void **state)
{
    double sum;
    (void)state;
    set_number("short", 1, 10, 100);
    set_number("long", 2, 0, 100);
    assert_true(number("short", 109) == 1);
    assert_true(number("short", 110) == -1);
    assert_true(number("long", UINT32_MAX) == 2);
    set_number("short", 1, 10, 200);
    shared_dict_incr(&dict, span_of("short"), 1, 0, 1000, 205, &sum);
    assert_true(number("short", 209) == 2);
    assert_true(number("short", 210) == -1);
    set_number("short", 3, 5, 300);
    set_number("short", 4, 0, 301);
    assert_true(number("short", 1000) == 4);
}

static void add_succeeds_where_there_is_nothing(void **state)
{
    struct shared_value value = {.type = SHARED_NUMBER, .number = 1};
    (void)state;
    assert_int_equal(shared_dict_add(&dict, span_of("a"), &value, 5, 100), SHARED_DONE);
    assert_int_equal(shared_dict_add(&dict, span_of("a"), &value, 5, 104), SHARED_EXISTS);
    assert_int_equal(shared_dict_add(&dict, span_of("a"), &value, 5, 105), SHARED_DONE);
    assert_int_equal(shared_dict_delete(&dict, span_of("a"), 106), SHARED_DONE);
    assert_int_equal(shared_dict_delete(&dict, span_of("a"), 106), SHARED_ABSENT);
}

static void incr_begins_at_its_init_and_refuses_what_is_no_number(void **state)
{
    double sum = 0;
    (void)state;
    assert_int_equal(shared_dict_incr(&dict, span_of("n"), 2, 40, 0, 1, &sum), SHARED_DONE);
    assert_true(sum == 42);
    assert_int_equal(shared_dict_incr(&dict, span_of("n"), -0.5, 40, 0, 1, &sum), SHARED_DONE);
    assert_true(sum == 41.5 && number("n", 1) == 41.5);
    set_text("t", SPAN_LITERAL("7"), 0, 1);
    assert_int_equal(shared_dict_incr(&dict, span_of("t"), 1, 0, 0, 1, &sum), SHARED_NO_NUMBER);
    assert_true(has_text("t", SPAN_LITERAL("7")));
}

/* Every key of one bucket. */
static unsigned fill(uint32_t bucket, unsigned count, uint32_t ttl_s, char keys[][16])
{
    unsigned found = 0;
    for (unsigned n = 0; found < count; n++) {
        snprintf(keys[found], 16, "k%u", n);
        uint32_t before = atomic_load(&dict.lines[bucket].writes);
        set_number(keys[found], n, ttl_s, 1);
        if (atomic_load(&dict.lines[bucket].writes) != before)
            found++;
        else
            shared_dict_delete(&dict, span_of(keys[found]), 1);
    }
    return found;
}

static void a_full_bucket_gives_up_what_was_written_least_recently(void **state)
{
    static char keys[SHARED_ENTRIES + 1][16];
    double sum;
    (void)state;
    fill(3, SHARED_ENTRIES, 0, keys);
    assert_int_equal(atomic_load(&dict.lines[3].evictions), 0);
    shared_dict_incr(&dict, span_of(keys[0]), 1000, 0, 0, 1, &sum);
    fill(3, SHARED_ENTRIES + 1, 0, keys); /* the same keys again, and one more */
    assert_int_equal(atomic_load(&dict.lines[3].evictions), 1);
    assert_true(number(keys[0], 1) == -1);
    assert_true(number(keys[1], 1) >= 0);
}

static void what_expires_first_goes_before_what_stays(void **state)
{
    static char keys[SHARED_ENTRIES + 1][16];
    (void)state;
    fill(2, SHARED_ENTRIES, 0, keys);
    set_number(keys[70], 1, 500, 1);
    set_number(keys[90], 1, 400, 1);
    for (unsigned n = 1000000; atomic_load(&dict.lines[2].evictions) == 0; n++) {
        char key[16];
        snprintf(key, sizeof(key), "m%u", n);
        set_number(key, 0, 0, 1);
    }
    assert_true(number(keys[90], 1) == -1);
    assert_true(number(keys[70], 1) == 1 && number(keys[0], 1) >= 0);
    assert_true(number(keys[70], 501) == -1);
}

static void numbers_of_a_full_bucket_change_without_evicting(void **state)
{
    static char keys[SHARED_ENTRIES][16];
    double sum;
    (void)state;
    fill(1, SHARED_ENTRIES, 0, keys);
    for (unsigned i = 0; i < 10 * SHARED_ENTRIES; i++)
        assert_int_equal(
            shared_dict_incr(&dict, span_of(keys[i % SHARED_ENTRIES]), 1, 0, 0, 1, &sum),
            SHARED_DONE);
    assert_int_equal(atomic_load(&dict.lines[1].evictions), 0);
}

static void strings_of_any_size_go_round_in_a_full_dictionary(void **state)
{
    static char value[SHARED_VALUE_MAX];
    struct shared_census census;
    unsigned there = 0;
    char key[32];
    (void)state;
    memset(value, 'v', sizeof(value));
    for (unsigned n = 0; n < 20000; n++) {
        size_t length = (size_t)(n * 2654435761u) % (sizeof(value) + 1);
        snprintf(key, sizeof(key), "key-%u", n % 3000);
        assert_int_equal(set_text(key, span_make(value, length), n % 7, n / 100 + 1), SHARED_DONE);
        struct shared_value got;
        assert_int_equal(shared_dict_get(&dict, span_of(key), n / 100 + 1, &got, text),
                         SHARED_DONE);
        assert_int_equal(got.text.length, length);
    }
    for (unsigned n = 0; n < 3000; n++) {
        struct shared_value got;
        snprintf(key, sizeof(key), "key-%u", n);
        there += shared_dict_get(&dict, span_of(key), 201, &got, text) == SHARED_DONE;
    }
    shared_dict_census(&dict, &census);
    assert_true(census.evictions > 0 && there > 20 && census.damaged == 0);
}

static void what_is_dry_tells_and_changes_nothing(void **state)
{
    double sum;
    (void)state;
    set_number("n", 1, 0, 1);
    dict.dry = true;
    shared_dict_incr(&dict, span_of("n"), 5, 0, 0, 1, &sum);
    assert_true(sum == 6);
    assert_int_equal(set_number("other", 1, 0, 1), SHARED_DONE);
    assert_int_equal(shared_dict_delete(&dict, span_of("n"), 1), SHARED_DONE);
    dict.dry = false;
    assert_true(number("n", 1) == 1 && number("other", 1) == -1);
}

static void a_private_copy_is_read_while_its_locks_are_held(void **state)
{
    set_number("n", 1, 0, 1);
    for (uint32_t i = 0; i < dict.count; i++)
        atomic_store(&dict.lines[i].owner, 99);
    pid_t child = fork();
    if (child == 0) {
        struct shared_value value;
        dict.alone = true;
        _exit(shared_dict_get(&dict, span_of("n"), 1, &value, text) != SHARED_DONE);
    }
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(shared_dict_release(&dict, 99), dict.count);
    (void)state;
}

static void a_lock_that_stays_held_is_busy_until_its_holder_is_known_to_be_dead(void **state)
{
    (void)state;
    set_number("n", 1, 0, 1);
    for (uint32_t i = 0; i < dict.count; i++)
        atomic_store(&dict.lines[i].owner, 99);
    assert_int_equal(set_number("n", 2, 0, 1), SHARED_BUSY);
    assert_string_equal(shared_dict_why(SHARED_BUSY), "busy");
    assert_int_equal(shared_dict_release(&dict, 98), 0);
    assert_int_equal(set_number("n", 2, 0, 1), SHARED_BUSY);
    assert_int_equal(shared_dict_release(&dict, 99), dict.count);
    assert_int_equal(set_number("n", 2, 0, 1), SHARED_DONE);
}

static struct shared_load load_at(uint32_t now_s)
{
    struct shared_load load;
    shared_dict_load(&dict, now_s, &load);
    return load;
}

static void how_full_it_is_can_be_told(void **state)
{
    (void)state;
    assert_int_equal(load_at(1).entries, 0);
    assert_int_equal(load_at(1).room, dict.count * SHARED_UNITS * SHARED_UNIT);
    set_number("n", 1, 0, 1);
    set_text("for a while", SPAN_LITERAL("value"), 10, 1);
    assert_int_equal(load_at(10).entries, 2);
    assert_int_equal(load_at(10).bytes, 2 * SHARED_UNIT);
    assert_int_equal(load_at(11).entries, 1); /* the other has expired */
    assert_int_equal(load_at(1).evictions + load_at(1).refusals, 0);
}

static void what_is_refused_and_what_is_evicted_is_counted(void **state)
{
    char *large = test_calloc(1, SHARED_VALUE_MAX + 1);
    (void)state;
    assert_int_equal(set_text("long", span_make(large, SHARED_VALUE_MAX + 1), 0, 1),
                     SHARED_TOO_LARGE);
    assert_int_equal(load_at(1).refusals, 1);
    for (unsigned i = 0; i < 4 * dict.count; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%u", i);
        assert_int_equal(set_text(key, span_make(large, SHARED_VALUE_MAX), 0, 1), SHARED_DONE);
    }
    assert_true(load_at(1).evictions >= 3 * dict.count); /* one such value fills half a bucket */
    for (uint32_t i = 0; i < dict.count; i++)
        atomic_store(&dict.lines[i].owner, 99);
    assert_int_equal(set_number("n", 2, 0, 1), SHARED_BUSY);
    assert_int_equal(load_at(1).refusals, 2);
    shared_dict_release(&dict, 99);
    test_free(large);
}

static unsigned resident_pages(void *memory)
{
    unsigned char resident[BYTES / 4096];
    unsigned pages = 0;
    assert_int_equal(mincore(memory, BYTES, resident), 0);
    for (size_t i = 0; i < sizeof(resident); i++)
        pages += resident[i] & 1;
    return pages;
}

static void telling_how_full_it_is_takes_no_memory(void **state)
{
    set_number("n", 1, 0, 1);
    unsigned before = resident_pages(*state);
    assert_true(before < BYTES / 4096 / 2);
    load_at(1);
    assert_int_equal(resident_pages(*state), before);
}

static void garbage_in_memory_harms_nobody_else(void **state)
{
    (void)state;
    unsigned random = 1;
    unsigned char *bytes = (unsigned char *)dict.buckets;
    for (size_t i = 0; i < dict.count * sizeof(struct shared_bucket); i++)
        bytes[i] = (unsigned char)((random = random * 1103515245u + 12345u) >> 16);
    for (unsigned n = 0; n < 2000; n++) {
        char key[16];
        double sum;
        struct shared_value value;
        snprintf(key, sizeof(key), "g%u", n);
        shared_dict_get(&dict, span_of(key), 1, &value, text);
        assert_int_equal(set_text(key, span_make(text, n % 100), 0, 1), SHARED_DONE);
        shared_dict_incr(&dict, span_of(key), 1, 0, 0, 1, &sum);
    }
    memset(bytes, 0, dict.count * sizeof(struct shared_bucket));
}

static void memory_that_cannot_be_one_is_refused(void **state)
{
    struct shared_dict other;
    assert_int_equal(shared_dict_attach(&other, *state, SHARED_BYTES_MIN - 1, 1, KEY), -EINVAL);
    assert_int_equal(shared_dict_attach(&other, (char *)*state + 8, BYTES, 1, KEY), -EINVAL);
    assert_int_equal(shared_dict_attach(&other, *state, BYTES, 0, KEY), -EINVAL);
    assert_int_equal(shared_dict_attach(&other, *state, SHARED_BYTES_MIN, 1, KEY), 0);
    assert_int_equal(other.count, 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(values_keep_their_types),
        TEST(odd_keys_are_keys),
        TEST(a_string_of_8_kib_fits_and_one_byte_more_does_not),
        TEST(a_value_expires_at_its_second),
        TEST(add_succeeds_where_there_is_nothing),
        TEST(incr_begins_at_its_init_and_refuses_what_is_no_number),
        TEST(a_full_bucket_gives_up_what_was_written_least_recently),
        TEST(what_expires_first_goes_before_what_stays),
        TEST(numbers_of_a_full_bucket_change_without_evicting),
        TEST(strings_of_any_size_go_round_in_a_full_dictionary),
        TEST(what_is_dry_tells_and_changes_nothing),
        TEST(a_private_copy_is_read_while_its_locks_are_held),
        TEST(a_lock_that_stays_held_is_busy_until_its_holder_is_known_to_be_dead),
        TEST(how_full_it_is_can_be_told),
        TEST(what_is_refused_and_what_is_evicted_is_counted),
        TEST(telling_how_full_it_is_takes_no_memory),
        TEST(garbage_in_memory_harms_nobody_else),
        TEST(memory_that_cannot_be_one_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

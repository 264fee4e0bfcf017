#include "worker/ledger.h"

#include "worker/http2.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define VALIDATOR 0x123
#define LIFE_S 86400

static struct push_bucket buckets[64];
static struct push_table table;
static struct stats stats;
static struct ledger ledger;
static unsigned results[4];
static uint64_t bytes_told;
static struct ledger_sink sink;

static void on_result(void *context, struct ledger_entry *entry, enum push_result result)
{
    (void)context;
    results[result]++;
    bytes_told = entry->bytes;
}

static int setup(void **state)
{
    (void)state;
    memset(buckets, 0, sizeof(buckets));
    memset(&stats, 0, sizeof(stats));
    memset(results, 0, sizeof(results));
    ledger = (struct ledger){0};
    sink = (struct ledger_sink){.table = &table, .stats = &stats, .result = on_result};
    return push_table_attach(&table, buckets, sizeof(buckets), 1);
}

static int teardown(void **state)
{
    (void)state;
    ledger_abandon(&ledger, &sink);
    ledger_finish(&ledger);
    return 0;
}

static struct push_key key_of(int32_t id)
{
    return (struct push_key){(uint64_t)id * 0x9e3779b97f4a7c15u, (uint64_t)id + 1};
}

static enum push_answer belief(int32_t id)
{
    return push_table_peek(&table, key_of(id), VALIDATOR);
}

static void push(int32_t id)
{
    struct push_token token;
    assert_int_equal(push_table_claim(&table, key_of(id), VALIDATOR, PUSH_KNOWN, &token),
                     PUSH_CLAIMED);
    struct ledger_entry *entry = ledger_open(&ledger, id);
    assert_non_null(entry);
    entry->pushed = true;
    entry->key = key_of(id);
    entry->token = token;
    entry->validator = VALIDATOR;
    entry->life_s = LIFE_S;
    entry->declined_s = LIFE_S;
    ledger.pushes_open++;
}

static void a_push_is_held_once_its_last_byte_was_acknowledged_and_not_before(void **state)
{
    (void)state;
    push(2);
    ledger_sent(&ledger, 2);
    ledger_flushed(&ledger, 1000, 0);
    ledger_acknowledged(&ledger, 999, &sink);
    assert_int_equal(belief(2), PUSH_ELSEWHERE);
    ledger_acknowledged(&ledger, 1000, &sink);
    assert_int_equal(belief(2), PUSH_HELD);
    assert_int_equal(results[PUSH_RESULT_DELIVERED], 1);
    assert_int_equal(ledger.pushes_open, 0);
}

static void a_push_is_unfinished_until_its_last_byte_is_in_the_output(void **state)
{
    (void)state;
    push(2);
    push(4);
    assert_int_equal(ledger.pushes_open, 2);
    ledger_sent(&ledger, 2);
    assert_int_equal(ledger.pushes_open, 1);
    ledger_flushed(&ledger, 10, 0);
    ledger_acknowledged(&ledger, 10, &sink);
    ledger_lose(&ledger, 4, &sink);
    assert_int_equal(ledger.pushes_open, 0);
}

static void a_push_still_being_sent_is_not_held_whatever_is_acknowledged(void **state)
{
    (void)state;
    push(2);
    ledger_flushed(&ledger, 1000, 0);
    ledger_acknowledged(&ledger, 100000, &sink);
    assert_int_equal(belief(2), PUSH_ELSEWHERE);
}

static void a_last_byte_not_handed_to_the_kernel_yet_is_not_acknowledged(void **state)
{
    (void)state;
    push(2);
    ledger_flushed(&ledger, 500, 0);
    ledger_sent(&ledger, 2);
    ledger_acknowledged(&ledger, 500, &sink);
    assert_int_equal(belief(2), PUSH_ELSEWHERE);
    ledger_flushed(&ledger, 700, 0);
    ledger_acknowledged(&ledger, 700, &sink);
    assert_int_equal(belief(2), PUSH_HELD);
}

static void an_end_that_is_not_written_yet_is_acknowledged_with_a_later_flush(void **state)
{
    (void)state;
    push(2);
    push(4);
    ledger_sent(&ledger, 2);
    ledger_sent(&ledger, 4);
    ledger_flushed(&ledger, 500, 4);
    ledger_acknowledged(&ledger, 500, &sink);
    assert_int_equal(belief(2), PUSH_HELD);
    assert_int_equal(belief(4), PUSH_ELSEWHERE);
    ledger_flushed(&ledger, 700, 0);
    ledger_acknowledged(&ledger, 699, &sink);
    assert_int_equal(belief(4), PUSH_ELSEWHERE);
    ledger_acknowledged(&ledger, 700, &sink);
    assert_int_equal(belief(4), PUSH_HELD);
}

static void a_cancelled_push_is_declined(void **state)
{
    (void)state;
    push(2);
    ledger_reset(&ledger, 2, HTTP2_CANCEL, &sink);
    assert_int_equal(belief(2), PUSH_DECLINED);
    assert_int_equal(results[PUSH_RESULT_CANCELLED], 1);
    assert_int_equal(ledger.pushes_open, 0);
}

static void a_refused_push_is_declined(void **state)
{
    (void)state;
    push(2);
    ledger_reset(&ledger, 2, HTTP2_REFUSED_STREAM, &sink);
    assert_int_equal(belief(2), PUSH_DECLINED);
    assert_int_equal(results[PUSH_RESULT_REFUSED], 1);
}

static void a_cancel_that_comes_after_the_acknowledgement_turns_held_into_declined(void **state)
{
    (void)state;
    push(2);
    ledger_sent(&ledger, 2);
    ledger_flushed(&ledger, 10, 0);
    ledger_acknowledged(&ledger, 10, &sink);
    ledger_reset(&ledger, 2, HTTP2_CANCEL, &sink);
    assert_int_equal(belief(2), PUSH_DECLINED);
}

static void a_second_reset_of_the_same_stream_says_nothing_new(void **state)
{
    (void)state;
    push(2);
    ledger_reset(&ledger, 2, HTTP2_CANCEL, &sink);
    ledger_reset(&ledger, 2, HTTP2_CANCEL, &sink);
    assert_int_equal(results[PUSH_RESULT_CANCELLED], 1);
}

static void another_error_returns_the_entry_to_absent(void **state)
{
    (void)state;
    push(2);
    ledger_reset(&ledger, 2, HTTP2_INTERNAL_ERROR, &sink);
    assert_int_equal(belief(2), PUSH_ABSENT);
    assert_int_equal(results[PUSH_RESULT_LOST], 1);
}

static void a_goaway_below_a_push_returns_it_to_absent(void **state)
{
    (void)state;
    for (int32_t id = 2; id <= 8; id += 2)
        push(id);
    for (int32_t id = 2; id <= 6; id += 2)
        ledger_sent(&ledger, id);
    ledger_flushed(&ledger, 10, 0);
    ledger_lose_above(&ledger, 4, &sink);
    assert_int_equal(ledger.open, 2);
    assert_int_equal(ledger.pushes_open, 0);
    ledger_acknowledged(&ledger, 10, &sink);
    assert_int_equal(belief(2), PUSH_HELD);
    assert_int_equal(belief(4), PUSH_HELD);
    assert_int_equal(belief(6), PUSH_ABSENT);
    assert_int_equal(belief(8), PUSH_ABSENT);
    ledger_lose_above(&ledger, 0, &sink); /* what was acknowledged arrived */
    assert_int_equal(belief(4), PUSH_HELD);
}

static void what_a_passing_client_was_given_ends_with_its_connection(void **state)
{
    (void)state;
    for (int32_t id = 2; id <= 6; id += 2) {
        push(id);
        ledger_find(&ledger, id)->passing = id != 2;
        ledger_sent(&ledger, id);
    }
    ledger_flushed(&ledger, 10, 0);
    ledger_acknowledged(&ledger, 10, &sink);
    ledger_reset(&ledger, 6, HTTP2_CANCEL, &sink);
    assert_int_equal(belief(4), PUSH_HELD);
    assert_int_equal(belief(6), PUSH_DECLINED);
    ledger_abandon(&ledger, &sink);
    assert_int_equal(belief(2), PUSH_HELD);
    assert_int_equal(belief(4), PUSH_ABSENT);
    assert_int_equal(belief(6), PUSH_ABSENT);
}

static void a_connection_that_dies_first_returns_every_open_entry_to_absent(void **state)
{
    (void)state;
    push(2);
    push(4);
    ledger_sent(&ledger, 2);
    ledger_flushed(&ledger, 10, 0);
    ledger_acknowledged(&ledger, 10, &sink);
    ledger_abandon(&ledger, &sink);
    assert_int_equal(belief(2), PUSH_HELD);
    assert_int_equal(belief(4), PUSH_ABSENT);
    assert_int_equal(ledger.open, 0);
}

static void a_request_of_the_clients_own_is_noted_when_acknowledged(void **state)
{
    (void)state;
    struct ledger_entry *entry = ledger_open(&ledger, 1);
    entry->key = key_of(1);
    entry->validator = VALIDATOR;
    entry->life_s = LIFE_S;
    ledger_sent(&ledger, 1);
    ledger_flushed(&ledger, 10, 0);
    assert_int_equal(belief(1), PUSH_ABSENT);
    ledger_acknowledged(&ledger, 10, &sink);
    assert_int_equal(belief(1), PUSH_HELD);
    assert_int_equal(results[PUSH_RESULT_DELIVERED], 0);
}

static void the_last_256_are_kept_and_open_ones_are_never_forgotten(void **state)
{
    (void)state;
    for (int32_t id = 2; id <= 2 * LEDGER_MAX; id += 2)
        assert_non_null(ledger_open(&ledger, id));
    assert_false(ledger_reserve(&ledger));
    assert_null(ledger_open(&ledger, 2 * LEDGER_MAX + 2));
    ledger_lose(&ledger, 2, &sink);
    assert_true(ledger_reserve(&ledger));
    assert_non_null(ledger_open(&ledger, 2 * LEDGER_MAX + 2));
    assert_null(ledger_find(&ledger, 2));
    assert_non_null(ledger_find(&ledger, 4));
}

static void one_that_stays_open_does_not_keep_later_ones_from_being_forgotten(void **state)
{
    (void)state;
    push(2);
    push(4);
    ledger_lose(&ledger, 4, &sink);
    for (int32_t id = 6; id <= 6 * LEDGER_MAX; id += 2) {
        assert_true(ledger_reserve(&ledger));
        push(id);
        ledger_lose(&ledger, id, &sink);
    }
    assert_non_null(ledger_find(&ledger, 2));
    assert_null(ledger_find(&ledger, 4));
    assert_non_null(ledger_find(&ledger, 6 * LEDGER_MAX));
    ledger_sent(&ledger, 2);
    ledger_flushed(&ledger, 10, 0);
    ledger_acknowledged(&ledger, 10, &sink);
    assert_int_equal(belief(2), PUSH_HELD);
    assert_int_equal(ledger.open, 0);
}

static void the_result_is_told_with_the_bytes_that_went_out(void **state)
{
    (void)state;
    push(2);
    push(4);
    ledger_count(&ledger, 2, 500);
    ledger_sent(&ledger, 2);
    ledger_flushed(&ledger, 1000, 0);
    ledger_acknowledged(&ledger, 1000, &sink);
    assert_int_equal(bytes_told, 500);
    ledger_count(&ledger, 4, 30);
    ledger_reset(&ledger, 4, HTTP2_CANCEL, &sink);
    assert_int_equal(bytes_told, 30);
    ledger_count(&ledger, 99, 1); /* nobody's */
}

/* A life of nothing is no belief, but who waits for the answer is told. */
static void an_answer_that_an_outcome_waits_for_is_told_and_may_leave_no_belief(void **state)
{
    static char outcome;
    (void)state;
    struct ledger_entry *entry = ledger_open(&ledger, 1);
    entry->key = key_of(1);
    entry->validator = VALIDATOR;
    entry->outcome = (struct outcome *)(void *)&outcome;
    ledger_sent(&ledger, 1);
    ledger_flushed(&ledger, 10, 0);
    ledger_acknowledged(&ledger, 10, &sink);
    assert_int_equal(results[PUSH_RESULT_DELIVERED], 1);
    assert_int_equal(belief(1), PUSH_ABSENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(a_push_is_held_once_its_last_byte_was_acknowledged_and_not_before),
        TEST(a_push_is_unfinished_until_its_last_byte_is_in_the_output),
        TEST(a_push_still_being_sent_is_not_held_whatever_is_acknowledged),
        TEST(a_last_byte_not_handed_to_the_kernel_yet_is_not_acknowledged),
        TEST(an_end_that_is_not_written_yet_is_acknowledged_with_a_later_flush),
        TEST(a_cancelled_push_is_declined),
        TEST(a_refused_push_is_declined),
        TEST(a_cancel_that_comes_after_the_acknowledgement_turns_held_into_declined),
        TEST(a_second_reset_of_the_same_stream_says_nothing_new),
        TEST(another_error_returns_the_entry_to_absent),
        TEST(a_goaway_below_a_push_returns_it_to_absent),
        TEST(what_a_passing_client_was_given_ends_with_its_connection),
        TEST(a_connection_that_dies_first_returns_every_open_entry_to_absent),
        TEST(a_request_of_the_clients_own_is_noted_when_acknowledged),
        TEST(the_last_256_are_kept_and_open_ones_are_never_forgotten),
        TEST(one_that_stays_open_does_not_keep_later_ones_from_being_forgotten),
        cmocka_unit_test_setup_teardown(the_result_is_told_with_the_bytes_that_went_out, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            an_answer_that_an_outcome_waits_for_is_told_and_may_leave_no_belief, setup, teardown),
    };
    return cmocka_run_group_tests_name("worker_ledger", tests, NULL, NULL);
}

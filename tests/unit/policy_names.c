#include "policy/names.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SETS 4
#define HOUR UINT64_C(3600)

static struct names_set sets[SETS];
static struct names names;
static uint64_t now_s = 1000000;

static int setup(void **state)
{
    (void)state;
    memset(sets, 0, sizeof(sets));
    return names_attach(&names, sets, sizeof(sets));
}

/* Spreads a small number over all bits, as a keyed hash does. */
static uint64_t spread(uint64_t n)
{
    n = (n + 1) * UINT64_C(0x9e3779b97f4a7c15);
    n ^= n >> 29;
    n *= UINT64_C(0xbf58476d1ce4e5b9);
    return n ^ n >> 32;
}

/* A resource of set 0. */
static uint64_t resource_of(unsigned n)
{
    return spread(n) & ~(uint64_t)(SETS - 1);
}

static struct span path_of(unsigned n)
{
    static char text[32];
    snprintf(text, sizeof(text), "/assets/%u.css", n);
    return span_of(text);
}

static uint32_t note(unsigned n, unsigned voter)
{
    return names_note(&names, resource_of(n), spread(100000 + voter), SPAN_LITERAL("one.example"),
                      path_of(n), now_s);
}

static uint32_t note_by(unsigned n, unsigned voters)
{
    uint32_t id = 0;
    for (unsigned voter = 0; voter < voters; voter++)
        id = note(n, voter);
    return id;
}

static bool memory_has(const char *text)
{
    return memmem(sets, sizeof(sets), text, strlen(text)) != NULL;
}

static void a_name_is_public_once_five_voters_asked_for_it(void **state)
{
    struct names_entry entry;
    (void)state;
    assert_int_equal(note_by(1, NAMES_SEEN_MIN - 1), 0);
    assert_int_equal(names_find(&names, resource_of(1), now_s), 0);
    uint32_t id = note(1, NAMES_SEEN_MIN - 1);
    assert_int_not_equal(id, 0);
    assert_int_equal(names_find(&names, resource_of(1), now_s), id);
    assert_true(names_read(&names, id, &entry));
    assert_true(span_equal(entry.site, SPAN_LITERAL("one.example")));
    assert_true(span_equal(entry.path, SPAN_LITERAL("/assets/1.css")));
    assert_true(entry.resource == resource_of(1));
}

static void the_text_of_a_name_that_is_not_public_is_nowhere_in_the_memory(void **state)
{
    (void)state;
    note_by(7, NAMES_SEEN_MIN - 1);
    assert_false(memory_has("/assets/7"));
    assert_false(memory_has("one.example"));
    note(7, NAMES_SEEN_MIN);
    assert_true(memory_has("/assets/7.css"));
}

static void one_voter_counts_once_however_often_it_asks(void **state)
{
    (void)state;
    note_by(1, NAMES_SEEN_MIN - 1);
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(note(1, i % (NAMES_SEEN_MIN - 1)), 0);
    assert_int_not_equal(note(1, 77), 0);
}

static void voters_of_other_names_do_not_count(void **state)
{
    (void)state;
    for (unsigned voter = 0; voter < 50; voter++)
        assert_int_equal(note(voter, voter), 0);
    assert_int_equal(names_walk(&names, NULL, NULL).names, 0);
    assert_int_equal(names_walk(&names, NULL, NULL).pending, NAMES_WAYS);
}

static void of_many_names_that_crowd_a_set_all_become_public_in_the_end(void **state)
{
    (void)state;
    for (unsigned voter = 0; voter < 60; voter++)
        for (unsigned n = 0; n < NAMES_WAYS; n++)
            note(n, voter);
    assert_int_equal(names_walk(&names, NULL, NULL).names, NAMES_WAYS);
}

/* The clock of a machine that was started anew: a name is not given up for having lain there. */
static void names_that_were_saved_are_as_recent_as_they_were(void **state)
{
    (void)state;
    for (unsigned n = 0; n < NAMES_WAYS; n++)
        assert_int_not_equal(note_by(n, NAMES_SEEN_MIN), 0);
    names_rebase(&names, now_s, 60, 7);
    now_s = 7;
    assert_int_equal(note_by(50, 20), 0);
    for (unsigned n = 0; n < NAMES_WAYS; n++)
        assert_int_not_equal(names_find(&names, resource_of(n), now_s), 0);
    names_rebase(&names, now_s, 24 * 3600, 7);
    assert_int_not_equal(note_by(50, 20), 0);
}

static void a_name_in_use_is_not_given_up(void **state)
{
    (void)state;
    for (unsigned n = 0; n < NAMES_WAYS; n++)
        assert_int_not_equal(note_by(n, NAMES_SEEN_MIN), 0);
    assert_int_equal(note_by(50, 20), 0);
    for (unsigned n = 0; n < NAMES_WAYS; n++)
        assert_int_not_equal(names_find(&names, resource_of(n), now_s), 0);
}

static void the_coldest_name_makes_room_and_its_id_is_void(void **state)
{
    uint32_t ids[NAMES_WAYS];
    struct names_entry entry;
    (void)state;
    for (unsigned n = 0; n < NAMES_WAYS; n++)
        ids[n] = note_by(n, NAMES_SEEN_MIN);
    now_s += HOUR;
    for (unsigned n = 0; n < NAMES_WAYS; n++)
        if (n != 3)
            assert_int_equal(names_find(&names, resource_of(n), now_s), ids[n]);
    uint32_t id = note_by(50, NAMES_SEEN_MIN);
    assert_int_not_equal(id, 0);
    assert_int_not_equal(id, ids[3]);
    assert_int_equal(names_find(&names, resource_of(3), now_s), 0);
    assert_false(names_read(&names, ids[3], &entry));
    assert_true(names_read(&names, id, &entry));
    assert_true(span_equal(entry.path, SPAN_LITERAL("/assets/50.css")));
}

static void names_that_were_given_up_have_to_be_asked_for_by_five_again(void **state)
{
    (void)state;
    for (unsigned n = 0; n < NAMES_WAYS; n++)
        note_by(n, NAMES_SEEN_MIN);
    now_s += HOUR;
    note_by(50, NAMES_SEEN_MIN);
    unsigned gone = 0;
    while (names_find(&names, resource_of(gone), now_s))
        gone++;
    assert_int_equal(note_by(gone, NAMES_SEEN_MIN - 1), 0);
}

static void long_names_never_become_public(void **state)
{
    char path[NAMES_TEXT_MAX + 1];
    (void)state;
    memset(path, 'x', sizeof(path));
    for (unsigned voter = 0; voter < 20; voter++)
        assert_int_equal(names_note(&names, 8, spread(voter), SPAN_LITERAL("s"),
                                    span_make(path, NAMES_TEXT_MAX), now_s), 0);
    for (unsigned voter = 0; voter < NAMES_SEEN_MIN; voter++)
        names_note(&names, 16, spread(voter), SPAN_LITERAL("s"),
                   span_make(path, NAMES_TEXT_MAX - 1), now_s);
    assert_int_not_equal(names_find(&names, 16, now_s), 0);
}

static void a_writer_that_died_leaves_a_place_that_is_used_again(void **state)
{
    (void)state;
    note_by(1, NAMES_SEEN_MIN);
    uint64_t head = atomic_load(&sets[0].heads[0]);
    atomic_store(&sets[0].heads[0], (head & ~UINT64_C(0x3000)) | 1 << 12); /* WRITING */
    assert_int_equal(names_find(&names, resource_of(1), now_s), 0);
    assert_int_equal(note_by(1, NAMES_SEEN_MIN), 0); /* its writer may only be slow */
    now_s += HOUR;
    assert_int_not_equal(note_by(1, NAMES_SEEN_MIN), 0);
}

static void a_text_that_two_wrote_is_not_believed_and_goes(void **state)
{
    struct names_entry entry;
    (void)state;
    uint32_t id = note_by(1, NAMES_SEEN_MIN);
    atomic_fetch_xor(&sets[0].texts[0].words[2], 1);
    assert_false(names_read(&names, id, &entry));
    assert_int_equal(names_find(&names, resource_of(1), now_s), 0);
    uint32_t again = note_by(1, NAMES_SEEN_MIN);
    assert_int_not_equal(again, 0);
    assert_int_not_equal(again, id);
    assert_true(names_read(&names, again, &entry));
}

static void an_id_that_nobody_gave_reads_as_absent(void **state)
{
    struct names_entry entry;
    (void)state;
    note_by(1, NAMES_SEEN_MIN);
    for (uint32_t bit = 0; bit < 32; bit++)
        assert_false(names_read(&names, UINT32_C(1) << bit, &entry) && bit != 14);
    assert_false(names_read(&names, 0, &entry));
    assert_false(names_read(&names, UINT32_MAX, &entry));
}

static void count_one(void *context, uint32_t id, const struct names_entry *entry)
{
    assert_int_not_equal(id, 0);
    assert_true(span_starts(entry->path, SPAN_LITERAL("/assets/")));
    ++*(unsigned *)context;
}

static void a_walk_visits_every_public_name(void **state)
{
    unsigned visited = 0;
    (void)state;
    for (unsigned n = 0; n < 3; n++)
        note_by(n, NAMES_SEEN_MIN);
    note(9, 1);
    struct names_load load = names_walk(&names, count_one, &visited);
    assert_int_equal(visited, 3);
    assert_int_equal(load.names, 3);
    assert_int_equal(load.pending, 1);
    assert_int_equal(load.room, SETS * NAMES_WAYS);
}

static void memory_of_another_shape_is_refused(void **state)
{
    struct names other;
    (void)state;
    assert_int_equal(names_attach(&other, NULL, sizeof(sets)), -EINVAL);
    assert_int_equal(names_attach(&other, sets, 0), -EINVAL);
    assert_int_equal(names_attach(&other, sets, sizeof(sets[0]) * 3), -EINVAL);
    assert_int_equal(names_attach(&other, sets, sizeof(sets) - 1), -EINVAL);
    assert_int_equal(names_attach(&other, (char *)sets + 8, sizeof(sets[0])), -EINVAL);
}

#define A_TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        A_TEST(a_name_is_public_once_five_voters_asked_for_it),
        A_TEST(the_text_of_a_name_that_is_not_public_is_nowhere_in_the_memory),
        A_TEST(one_voter_counts_once_however_often_it_asks),
        A_TEST(voters_of_other_names_do_not_count),
        A_TEST(of_many_names_that_crowd_a_set_all_become_public_in_the_end),
        A_TEST(a_name_in_use_is_not_given_up),
        A_TEST(names_that_were_saved_are_as_recent_as_they_were),
        A_TEST(the_coldest_name_makes_room_and_its_id_is_void),
        A_TEST(names_that_were_given_up_have_to_be_asked_for_by_five_again),
        A_TEST(long_names_never_become_public),
        A_TEST(a_writer_that_died_leaves_a_place_that_is_used_again),
        A_TEST(a_text_that_two_wrote_is_not_believed_and_goes),
        A_TEST(an_id_that_nobody_gave_reads_as_absent),
        A_TEST(a_walk_visits_every_public_name),
        A_TEST(memory_of_another_shape_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

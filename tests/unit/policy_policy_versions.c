#include "policy/policy_versions.h"

#include "tests/unit/policy_fixture.h"

static struct segment_header header;
static struct segment_slot slot;
static struct policy_versions versions;

static void begin(struct fixture *f)
{
    header = (struct segment_header){0};
    memset(&slot, 0, sizeof(slot));
    use_policy(f, "p.lua", "{}");
    policy_versions_init(&versions, &f->config, &f->host, &header, &slot);
}

/* Loads `source` as the version `number`. */
static int load(struct fixture *f, uint32_t number, const char *source)
{
    policy_file(f, "p.lua", source);
    int bundle = bundle_create(&f->config, &f->fault);
    assert_true(bundle >= 0);
    int rc = policy_versions_load(&versions, number, bundle, &f->fault);
    close(bundle);
    return rc;
}

static void activate(uint32_t active, uint32_t canary, uint32_t permille)
{
    atomic_store(&header.versions, segment_versions_word(active, canary, permille));
}

static uint64_t client_of(uint64_t n)
{
    return (n + 1) * UINT64_C(0xd1342543de82ef95);
}

static uint32_t taken(uint64_t id)
{
    struct policy_version *version = policy_versions_take(&versions, id);
    uint32_t number = version ? version->number : 0;
    policy_version_release(version);
    return number;
}

#define POLICY "return { api = 1, on_request = function() end }"

static void a_canary_has_its_share_whatever_its_number(void **state)
{
    (void)state;
    for (uint32_t number = 1; number < 40; number += 3)
        for (uint32_t permille = 50; permille <= 500; permille *= 10) {
            unsigned has = 0;
            for (uint64_t n = 0; n < 20000; n++) {
                uint64_t id = client_of(n);
                has += policy_canary_has(number, permille, id);
            }
            assert_in_range(has, 20 * permille * 85 / 100, 20 * permille * 115 / 100);
        }
}

static void a_larger_share_has_the_same_clients_and_more(void **state)
{
    unsigned others = 0;
    (void)state;
    for (uint64_t n = 0; n < 5000; n++) {
        uint64_t id = client_of(n);
        bool was = false;
        for (uint32_t permille = 0; permille <= 1000; permille += 50) {
            bool is = policy_canary_has(7, permille, id);
            assert_false(was && !is);
            was = is;
        }
        assert_true(was);
        others += policy_canary_has(7, 100, id) != policy_canary_has(8, 100, id);
    }
    assert_in_range(others, 600, 1200); /* another version has others: 2 * 10 % * 90 % of 5,000 */
}

static void the_word_in_the_header_is_followed(void **state)
{
    struct fixture *f = *state;
    uint64_t id = client_of(1);
    begin(f);
    assert_int_equal(load(f, 1, POLICY), 0);
    assert_int_equal(load(f, 2, POLICY " -- 2"), 0);
    assert_int_equal(taken(id), 0);
    activate(1, 0, 0);
    assert_int_equal(taken(id), 1);
    activate(2, 0, 0);
    assert_int_equal(taken(id), 2);
    activate(9, 0, 0); /* it is not here */
    assert_int_equal(taken(id), 2);
    activate(1, 2, 1000);
    assert_int_equal(taken(id), 2);
    activate(0, 0, 0);
    assert_int_equal(taken(id), 0);
    policy_versions_finish(&versions);
}

static void a_version_lives_until_its_last_request(void **state)
{
    struct fixture *f = *state;
    uint64_t id = client_of(1);
    begin(f);
    assert_int_equal(load(f, 1, POLICY), 0);
    assert_int_equal(load(f, 2, POLICY " -- 2"), 0);
    activate(1, 0, 0);
    struct policy_version *held = policy_versions_take(&versions, id);
    activate(2, 0, 0);
    policy_versions_forget(&versions, 1);
    assert_non_null(held->vm);
    assert_non_null(policy_version_list(held, &f->site, &f->route));
    assert_int_equal(taken(id), 2);
    policy_version_release(held);
    assert_ptr_equal(versions.list->number, 2);
    assert_null(versions.list->next);
    policy_versions_finish(&versions);
}

static void those_that_linger_are_bounded(void **state)
{
    struct fixture *f = *state;
    uint64_t id = client_of(1);
    struct policy_version *held[40];
    char source[80];
    begin(f);
    for (uint32_t i = 0; i < 40; i++) {
        snprintf(source, sizeof(source), POLICY " -- %u", i);
        assert_int_equal(load(f, i + 1, source), 0);
        activate(i + 1, 0, 0);
        held[i] = policy_versions_take(&versions, id);
        if (i > 0)
            policy_versions_forget(&versions, i);
    }
    assert_null(held[0]->vm); /* its last results go unheard */
    assert_non_null(held[39]->vm);
    assert_null(policy_version_list(held[0], &f->site, &f->route));
    for (unsigned i = 0; i < 40; i++)
        policy_version_release(held[i]);
    policy_versions_finish(&versions);
}

static void no_more_than_eight_are_kept(void **state)
{
    struct fixture *f = *state;
    char source[80];
    begin(f);
    for (uint32_t i = 1; i <= SEGMENT_VERSIONS_MAX + 1; i++) {
        snprintf(source, sizeof(source), POLICY " -- %u", i);
        assert_int_equal(load(f, i, source), i <= SEGMENT_VERSIONS_MAX ? 0 : -EBUSY);
    }
    policy_versions_forget(&versions, 3);
    assert_int_equal(load(f, 100, POLICY), 0);
    policy_versions_finish(&versions);
}

static void a_version_that_does_not_load_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    begin(f);
    assert_true(load(f, 1, "return {") < 0);
    assert_null(versions.list);
    for (unsigned i = 0; i < SEGMENT_VERSIONS_MAX; i++)
        assert_int_equal(atomic_load(&slot.versions[i].number), 0);
    assert_int_equal(atomic_load(&slot.in_policy), 0);
    policy_versions_finish(&versions);
}

static void the_slot_bears_the_number_while_a_hook_runs(void **state)
{
    struct fixture *f = *state;
    uint64_t id = client_of(1);
    begin(f);
    assert_int_equal(load(f, 5, POLICY), 0);
    activate(5, 0, 0);
    struct policy_version *version = policy_versions_take(&versions, id);
    policy_version_enter(version);
    assert_int_equal(atomic_load(&slot.in_policy), 5);
    policy_versions_failed(&versions, POLICY_SOFT_DEADLINE);
    assert_true(policy_version_leave(version));
    assert_int_equal(atomic_load(&slot.in_policy), 0);
    assert_int_equal(atomic_load(&version->health->soft), 1);
    policy_version_release(version);
    policy_versions_finish(&versions);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_canary_has_its_share_whatever_its_number),
        CASE(a_larger_share_has_the_same_clients_and_more),
        CASE(the_word_in_the_header_is_followed),
        CASE(a_version_lives_until_its_last_request),
        CASE(those_that_linger_are_bounded),
        CASE(no_more_than_eight_are_kept),
        CASE(a_version_that_does_not_load_leaves_nothing),
        CASE(the_slot_bears_the_number_while_a_hook_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "policy/identity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t hash_key[16] = "sixteen byte key";
static const uint8_t other_key[16] = "another key here";
static const uint8_t cookie_key[32] = "thirty-two bytes for the cookie.";

#define SITE SPAN_LITERAL("www.example.com")

static struct client_id client(uint8_t n)
{
    struct client_id id = {.bytes = {n, 2, 3}, .minted_s = 0x65432100};
    return id;
}

/* The example of the SipHash paper's appendix. */
static void the_hash_is_siphash_2_4(void **state)
{
    uint8_t key[16], input[15];
    (void)state;
    for (uint8_t i = 0; i < 16; i++)
        key[i] = i;
    memcpy(input, key, sizeof input);
    assert_int_equal(identity_hash(key, span_make(input, sizeof input)),
                     UINT64_C(0xa129ca6149be45e5));
}

static void minted_ids_differ(void **state)
{
    struct client_id ids[64];
    (void)state;
    for (unsigned i = 0; i < 64; i++) {
        identity_mint(&ids[i]);
        for (unsigned j = 0; j < i; j++)
            assert_memory_not_equal(&ids[i], &ids[j], sizeof ids[i]);
    }
}

static void a_stored_client_depends_on_id_site_and_key(void **state)
{
    struct client_id one = client(1), two = client(2);
    uint64_t stored = identity_client(hash_key, &one, SITE);
    (void)state;
    assert_int_equal(identity_client(hash_key, &one, SITE), stored);
    assert_int_not_equal(identity_client(hash_key, &two, SITE), stored);
    assert_int_not_equal(identity_client(hash_key, &one, SPAN_LITERAL("example.com")), stored);
    assert_int_not_equal(identity_client(other_key, &one, SITE), stored);
}

static void a_resource_depends_on_authority_path_and_key(void **state)
{
    uint64_t id = identity_resource(hash_key, SITE, SPAN_LITERAL("/a.css"));
    (void)state;
    assert_int_equal(identity_resource(hash_key, SITE, SPAN_LITERAL("/a.css")), id);
    assert_int_not_equal(identity_resource(hash_key, SITE, SPAN_LITERAL("/a.css?1")), id);
    assert_int_not_equal(identity_resource(other_key, SITE, SPAN_LITERAL("/a.css")), id);
    assert_int_not_equal(
        identity_resource(hash_key, SPAN_LITERAL("www.example.com/"), SPAN_LITERAL("a.css")), id);
    assert_int_not_equal(
        identity_resource(hash_key, SPAN_LITERAL("/a.css"), SPAN_LITERAL("www.example.com")), id);
}

static void long_names_count_to_their_last_byte(void **state)
{
    char path[40000];
    uint64_t id;
    (void)state;
    memset(path, 'x', sizeof path);
    id = identity_resource(hash_key, SITE, span_make(path, sizeof path));
    path[sizeof path - 1] = 'y';
    assert_int_not_equal(identity_resource(hash_key, SITE, span_make(path, sizeof path)), id);
}

static void a_push_key_depends_on_client_and_resource(void **state)
{
    struct push_key key = identity_push_key(hash_key, 1, 2);
    struct push_key swapped = identity_push_key(hash_key, 2, 1);
    struct push_key rekeyed = identity_push_key(other_key, 1, 2);
    (void)state;
    assert_int_not_equal(key.bucket_hash, swapped.bucket_hash);
    assert_int_not_equal(key.tag, swapped.tag);
    assert_int_not_equal(key.bucket_hash, rekeyed.bucket_hash);
    assert_int_not_equal(key.tag, rekeyed.tag);
}

/* Every bit of both halves is set in half of the keys: 100,000 throws, six standard deviations. */
static void push_keys_spread_over_all_buckets_and_tags(void **state)
{
    unsigned ones[64 + PUSH_TAG_BITS] = {0};
    (void)state;
    for (uint64_t i = 0; i < 100000; i++) {
        struct push_key key = identity_push_key(hash_key, i, 3);
        assert_true(key.tag != 0 && key.tag >> PUSH_TAG_BITS == 0);
        for (unsigned bit = 0; bit < 64; bit++)
            ones[bit] += (unsigned)(key.bucket_hash >> bit & 1);
        for (unsigned bit = 0; bit < PUSH_TAG_BITS; bit++)
            ones[64 + bit] += (unsigned)(key.tag >> bit & 1);
    }
    for (unsigned i = 0; i < 64 + PUSH_TAG_BITS; i++)
        assert_in_range(ones[i], 50000 - 950, 50000 + 950);
}

/* A saved table is read by later builds: these values must never change. */
static void names_stay_the_same_from_build_to_build(void **state)
{
    struct client_id id = client(1);
    uint64_t stored = identity_client(hash_key, &id, SITE);
    uint64_t resource = identity_resource(hash_key, SITE, SPAN_LITERAL("/a.css"));
    struct push_key key = identity_push_key(hash_key, stored, resource);
    char cookie[IDENTITY_COOKIE_LENGTH + 1], text[IDENTITY_TEXT_LENGTH + 1];
    (void)state;
    identity_cookie_make(cookie_key, SITE, &id, cookie);
    identity_client_text(other_key, stored, text);
    assert_int_equal(stored, UINT64_C(0x6dd7ede7c42fa567));
    assert_int_equal(resource, UINT64_C(0x233458bc90c79c23));
    assert_int_equal(key.bucket_hash, UINT64_C(0x97cf67dbaa1e5bc8));
    assert_int_equal(key.tag, UINT64_C(0xf6da348d));
    assert_int_equal(identity_validator(SPAN_LITERAL("\"5e8-abc\"")), 3589);
    assert_string_equal(cookie, "AQIDAAAAAAAAAAAAAAAAAAAhQ2XiPkbd6B9SNZbAixeDpz0-");
    assert_string_equal(text, "2a218d69b5f76ce3");
}

static void one_address_has_as_many_voters_as_it_may(void **state)
{
    const struct span near = SPAN_LITERAL("\x7f\0\0\1"), far = SPAN_LITERAL("\x7f\0\0\2");
    uint64_t voters[3] = {0};
    unsigned count = 0;
    (void)state;
    for (uint64_t n = 1; n <= 1000; n++) {
        uint64_t voter = identity_voter(hash_key, n * 0x9e3779b97f4a7c15, near, 3);
        unsigned i = 0;
        while (i < count && voters[i] != voter)
            i++;
        assert_true(i < 3);
        voters[i] = voter;
        count += i == count;
    }
    assert_int_equal(count, 3);
    for (unsigned i = 0; i < 3; i++)
        for (uint64_t n = 0; n < 3; n++)
            assert_true(identity_voter(hash_key, n, far, 3) != voters[i]);
}

static void without_a_bound_each_client_is_a_voter_whatever_its_address(void **state)
{
    (void)state;
    uint64_t voter = identity_voter(hash_key, 1, SPAN_LITERAL("abcd"), 0);
    assert_true(voter == identity_voter(hash_key, 1, SPAN_LITERAL("efgh"), 0));
    assert_true(voter != identity_voter(hash_key, 2, SPAN_LITERAL("abcd"), 0));
    assert_true(voter != 1);
}

static void validators_take_all_values_evenly(void **state)
{
    static unsigned seen[1 << PUSH_VALIDATOR_BITS];
    char etag[32];
    (void)state;
    for (unsigned i = 0; i < 400000; i++) {
        int length = snprintf(etag, sizeof etag, "\"%u\"", i);
        uint16_t validator = identity_validator(span_make(etag, (size_t)length));
        assert_true(validator >> PUSH_VALIDATOR_BITS == 0);
        seen[validator]++;
    }
    for (unsigned i = 0; i < 1 << PUSH_VALIDATOR_BITS; i++)
        assert_in_range(seen[i], 40, 170);
}

static void an_empty_name_is_a_name(void **state)
{
    struct span none = {NULL, 0};
    struct client_id id = client(1);
    (void)state;
    assert_int_equal(identity_validator(none), identity_validator(SPAN_LITERAL("")));
    assert_int_not_equal(identity_resource(hash_key, none, SPAN_LITERAL("/")),
                         identity_resource(hash_key, SITE, SPAN_LITERAL("/")));
    assert_int_not_equal(identity_client(hash_key, &id, none), 0);
}

static void digits_are_those_that_printf_writes(void **state)
{
    static const uint64_t EDGES[] = {0, 9, 10, 15, 16, 0x99999999aaaaaaaa, UINT64_MAX};
    char digits[17] = "", expected[17];
    uint64_t number = 1;
    (void)state;
    for (unsigned i = 0; i < 10000; i++) {
        number = number * UINT64_C(6364136223846793005) + 1;
        uint64_t shown = i < sizeof(EDGES) / sizeof(EDGES[0]) ? EDGES[i] : number;
        identity_digits(shown, digits);
        snprintf(expected, sizeof(expected), "%016llx", (unsigned long long)shown);
        assert_string_equal(digits, expected);
    }
}

static void a_clients_text_turns_back_into_the_client(void **state)
{
    char text[IDENTITY_TEXT_LENGTH + 1], rekeyed[IDENTITY_TEXT_LENGTH + 1];
    uint64_t stored = UINT64_C(0x0123456789abcdef), back;
    (void)state;
    for (unsigned i = 0; i < 10000; i++) {
        stored = stored * UINT64_C(6364136223846793005) + 1;
        identity_client_text(hash_key, stored, text);
        assert_int_equal(strlen(text), IDENTITY_TEXT_LENGTH);
        assert_true(identity_client_parse(hash_key, span_of(text), &back));
        assert_int_equal(back, stored);
        identity_client_text(other_key, stored, rekeyed);
        assert_string_not_equal(text, rekeyed);
    }
}

static void a_malformed_text_is_no_client(void **state)
{
    static const char *const bad[] = {"",
                                      "0123456789abcde",
                                      "0123456789abcdef0",
                                      "0123456789abcdeF",
                                      "0123456789abcdeg",
                                      "0x23456789abcdef",
                                      " 123456789abcdef"};
    uint64_t stored;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(identity_client_parse(hash_key, span_of(bad[i]), &stored));
    assert_false(identity_client_parse(hash_key, span_make("0123456789abcde\0", 16), &stored));
}

static void a_cookie_reads_back_for_its_site_only(void **state)
{
    struct client_id id, read;
    char value[IDENTITY_COOKIE_LENGTH + 1];
    uint8_t rekeyed[32];
    (void)state;
    identity_mint(&id);
    identity_cookie_make(cookie_key, SITE, &id, value);
    assert_int_equal(strlen(value), IDENTITY_COOKIE_LENGTH);
    assert_true(identity_cookie_read(cookie_key, SITE, span_of(value), &read));
    assert_memory_equal(&read, &id, sizeof id);
    assert_false(
        identity_cookie_read(cookie_key, SPAN_LITERAL("example.com"), span_of(value), &read));
    memcpy(rekeyed, cookie_key, sizeof rekeyed);
    rekeyed[31] ^= 1;
    assert_false(identity_cookie_read(rekeyed, SITE, span_of(value), &read));
}

static void a_cookie_tells_when_its_client_was_minted(void **state)
{
    struct client_id id = client(9), read;
    char value[IDENTITY_COOKIE_LENGTH + 1], other[IDENTITY_COOKIE_LENGTH + 1];
    (void)state;
    identity_cookie_make(cookie_key, SITE, &id, value);
    assert_true(identity_cookie_read(cookie_key, SITE, span_of(value), &read));
    assert_int_equal(read.minted_s, id.minted_s);
    /* The time of one cookie does not fit another of the same client. */
    id.minted_s++;
    identity_cookie_make(cookie_key, SITE, &id, other);
    memcpy(value + 20, other + 20, 8);
    assert_false(identity_cookie_read(cookie_key, SITE, span_of(value), &read));
}

static void the_time_of_minting_is_no_part_of_the_name(void **state)
{
    struct client_id id = client(9);
    uint64_t stored = identity_client(hash_key, &id, SITE);
    (void)state;
    id.minted_s++;
    assert_int_equal(identity_client(hash_key, &id, SITE), stored);
}

static void an_age_counts_from_the_minting(void **state)
{
    struct client_id id;
    (void)state;
    identity_mint(&id);
    assert_in_range(identity_age(&id), 0, 5);
    id.minted_s -= 100;
    assert_in_range(identity_age(&id), 100, 105);
    id.minted_s += 1000; /* the wall clock was set back */
    assert_int_equal(identity_age(&id), UINT32_MAX);
}

static void a_packed_id_unpacks_to_itself(void **state)
{
    struct client_id id = client(9), back = client(1);
    uint8_t bytes[IDENTITY_BYTES + 1];
    (void)state;
    identity_pack(&id, bytes);
    assert_int_equal(bytes[16], 0x00);
    assert_int_equal(bytes[19], 0x65);
    assert_false(identity_unpack(span_make(bytes, IDENTITY_BYTES - 1), &back));
    assert_false(identity_unpack(span_make(bytes, IDENTITY_BYTES + 1), &back));
    assert_false(identity_unpack(span_make(NULL, 0), &back));
    assert_true(identity_unpack(span_make(bytes, IDENTITY_BYTES), &back));
    assert_memory_equal(&back, &id, sizeof id);
}

static void a_stripped_cookie_list_has_all_but_ours(void **state)
{
    static const struct {
        const char *list, *kept;
    } cases[] = {
        {"", ""},
        {"a=1", "a=1"},
        {"a=1; b=2", "a=1; b=2"},
        {"a=1;b=2", "a=1; b=2"},
        {"herald=x", ""},
        {"__Host-herald=x", ""},
        {"__Host-herald=x; a=1", "a=1"},
        {"a=1; __Host-herald=x; b=2", "a=1; b=2"},
        {"a=1; herald=x", "a=1"},
        {"herald=x; herald=y;;; herald", ""},
        {" herald =x; a", "a"},
        {"Herald=x; heralds=y; xherald=z", "Herald=x; heralds=y; xherald=z"},
        {"a;b;c;d;e;f", "a; b; c; d; e; f"},
        {"=herald; a==herald=", "=herald; a==herald="},
    };
    char out[128];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t length = identity_cookie_strip(span_of(cases[i].list), out);
        assert_true(length <= 2 * strlen(cases[i].list));
        out[length] = '\0';
        assert_string_equal(out, cases[i].kept);
    }
}

/* Any character changed into any other of the 256 bytes: 48 x 255 forgeries. */
static void a_cookie_with_one_byte_changed_is_refused(void **state)
{
    struct client_id id = client(9), read = client(1), before = read;
    char value[IDENTITY_COOKIE_LENGTH + 1];
    (void)state;
    identity_cookie_make(cookie_key, SITE, &id, value);
    for (unsigned at = 0; at < IDENTITY_COOKIE_LENGTH; at++) {
        char good = value[at];
        for (unsigned byte = 0; byte < 256; byte++) {
            if ((char)byte == good)
                continue;
            value[at] = (char)byte;
            assert_false(identity_cookie_read(cookie_key, SITE,
                                              span_make(value, IDENTITY_COOKIE_LENGTH), &read));
        }
        value[at] = good;
    }
    assert_memory_equal(&read, &before, sizeof read);
}

static void a_cookie_of_another_length_is_refused(void **state)
{
    struct client_id id = client(9), read;
    char value[IDENTITY_COOKIE_LENGTH + 2];
    (void)state;
    identity_cookie_make(cookie_key, SITE, &id, value);
    for (size_t length = 0; length < IDENTITY_COOKIE_LENGTH; length++)
        assert_false(identity_cookie_read(cookie_key, SITE, span_make(value, length), &read));
    value[IDENTITY_COOKIE_LENGTH] = '=';
    assert_false(identity_cookie_read(cookie_key, SITE,
                                      span_make(value, IDENTITY_COOKIE_LENGTH + 1), &read));
    assert_false(identity_cookie_read(cookie_key, SITE, (struct span){NULL, 0}, &read));
}

static void a_bucket_is_stable_even_and_dealt_anew_by_another_salt(void **state)
{
    unsigned held_out = 0, both = 0;
    (void)state;
    for (uint64_t n = 0; n < 40000; n++) {
        uint64_t stored = identity_site(hash_key, span_make(&n, sizeof n));
        uint32_t bucket = identity_bucket(hash_key, stored, SPAN_LITERAL("holdout"), 1000);
        assert_true(bucket < 1000);
        assert_int_equal(identity_bucket(hash_key, stored, SPAN_LITERAL("holdout"), 1000), bucket);
        bool canary = identity_bucket(hash_key, stored, SPAN_LITERAL("canary"), 1000) < 100;
        held_out += bucket < 100;
        both += bucket < 100 && canary;
    }
    assert_true(held_out > 4000 - 240 && held_out < 4000 + 240); /* four deviations */
    assert_true(both > 400 - 80 && both < 400 + 80);
    assert_int_equal(identity_bucket(hash_key, 7, SPAN_LITERAL("x"), 1), 0);
}

static void a_site_has_an_id_of_its_own(void **state)
{
    (void)state;
    assert_int_equal(identity_site(hash_key, SITE), identity_site(hash_key, SITE));
    assert_true(identity_site(hash_key, SITE) != identity_site(hash_key, SPAN_LITERAL("x")));
    assert_true(identity_site(hash_key, SITE) != identity_site(other_key, SITE));
    assert_true(identity_site(hash_key, SITE) !=
                identity_resource(hash_key, SITE, SPAN_LITERAL("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hash_is_siphash_2_4),
        cmocka_unit_test(minted_ids_differ),
        cmocka_unit_test(a_stored_client_depends_on_id_site_and_key),
        cmocka_unit_test(a_resource_depends_on_authority_path_and_key),
        cmocka_unit_test(long_names_count_to_their_last_byte),
        cmocka_unit_test(a_push_key_depends_on_client_and_resource),
        cmocka_unit_test(push_keys_spread_over_all_buckets_and_tags),
        cmocka_unit_test(names_stay_the_same_from_build_to_build),
        cmocka_unit_test(validators_take_all_values_evenly),
        cmocka_unit_test(an_empty_name_is_a_name),
        cmocka_unit_test(digits_are_those_that_printf_writes),
        cmocka_unit_test(a_clients_text_turns_back_into_the_client),
        cmocka_unit_test(a_malformed_text_is_no_client),
        cmocka_unit_test(a_bucket_is_stable_even_and_dealt_anew_by_another_salt),
        cmocka_unit_test(a_site_has_an_id_of_its_own),
        cmocka_unit_test(a_cookie_reads_back_for_its_site_only),
        cmocka_unit_test(a_cookie_tells_when_its_client_was_minted),
        cmocka_unit_test(the_time_of_minting_is_no_part_of_the_name),
        cmocka_unit_test(an_age_counts_from_the_minting),
        cmocka_unit_test(a_packed_id_unpacks_to_itself),
        cmocka_unit_test(a_stripped_cookie_list_has_all_but_ours),
        cmocka_unit_test(a_cookie_with_one_byte_changed_is_refused),
        cmocka_unit_test(a_cookie_of_another_length_is_refused),
        cmocka_unit_test(one_address_has_as_many_voters_as_it_may),
        cmocka_unit_test(without_a_bound_each_client_is_a_voter_whatever_its_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

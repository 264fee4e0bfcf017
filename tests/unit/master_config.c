#include "master/handoff/config_key.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static uint64_t duration(const char *text)
{
    uint64_t ms = 0;
    return config_parse_duration(span_of(text), &ms) == 0 ? ms : UINT64_MAX;
}

static uint64_t size(const char *text)
{
    uint64_t bytes = 0;
    return config_parse_size(span_of(text), &bytes) == 0 ? bytes : UINT64_MAX;
}

static void a_duration_is_a_number_and_a_unit(void **state)
{
    (void)state;
    assert_int_equal(duration("8ms"), 8);
    assert_int_equal(duration("10s"), 10000);
    assert_int_equal(duration("5m"), 300000);
    assert_int_equal(duration("2h"), 7200000);
    assert_int_equal(duration("30d"), UINT64_C(2592000000));
    assert_int_equal(duration("0s"), 0);
    static const char *const BAD[] = {"",   "s",    "10",  "10 s", "-1s",  "+1s", "1.5s",
                                      "1S", "1sec", "1s ", " 1s",  "0x1s", "1e3s"};
    for (size_t i = 0; i < COUNT(BAD); i++)
        if (duration(BAD[i]) != UINT64_MAX)
            fail_msg("\"%s\" is no duration", BAD[i]);
}

static void a_size_is_a_number_of_bytes_or_of_a_binary_unit(void **state)
{
    (void)state;
    assert_int_equal(size("4096"), 4096);
    assert_int_equal(size("64KiB"), 65536);
    assert_int_equal(size("1MiB"), 1048576);
    assert_int_equal(size("4GiB"), UINT64_C(4294967296));
    assert_int_equal(size("1TiB"), UINT64_C(1) << 40);
    static const char *const BAD[] = {"", "KiB", "1KB", "1k", "1 MiB", "1mib", "-1", "1.5MiB"};
    for (size_t i = 0; i < COUNT(BAD); i++)
        if (size(BAD[i]) != UINT64_MAX)
            fail_msg("\"%s\" is no size", BAD[i]);
}

static void a_number_past_64_bits_is_out_of_range(void **state)
{
    uint64_t value;
    (void)state;
    assert_int_equal(config_parse_size(SPAN_LITERAL("18446744073709551615"), &value), 0);
    assert_true(value == UINT64_MAX);
    assert_int_equal(config_parse_size(SPAN_LITERAL("18446744073709551616"), &value), -ERANGE);
    assert_int_equal(config_parse_size(SPAN_LITERAL("16777216TiB"), &value), -ERANGE);
    assert_int_equal(config_parse_duration(SPAN_LITERAL("999999999999999d"), &value), -ERANGE);
    assert_int_equal(config_parse_duration(SPAN_LITERAL("99999999999999999999999s"), &value),
                     -ERANGE);
}

static void what_is_formatted_parses_to_the_same_value(void **state)
{
    static const uint64_t VALUES[] = {0,       1,
                                      7,       1000,
                                      1024,    60000,
                                      90000,   86400000,
                                      5 << 20, UINT64_C(3) << 30,
                                      12345,   3600000,
                                      1 << 10, UINT64_C(1) << 42};
    char text[CONFIG_FORMAT_MAX];
    (void)state;
    for (size_t i = 0; i < COUNT(VALUES); i++) {
        assert_int_equal(duration(config_format_duration(VALUES[i], text)), VALUES[i]);
        assert_int_equal(size(config_format_size(VALUES[i], text)), VALUES[i]);
    }
    assert_string_equal(config_format_duration(90000, text), "90s");
    assert_string_equal(config_format_duration(0, text), "0s");
    assert_string_equal(config_format_size(1536, text), "1536");
    assert_string_equal(config_format_size(0, text), "0");
}

static void an_address_is_literal_and_has_a_port(void **state)
{
    struct sockaddr_storage address;
    struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
    socklen_t length;
    (void)state;
    assert_int_equal(config_parse_address(SPAN_LITERAL("127.0.0.1:8080"), &address, &length), 0);
    assert_int_equal(length, sizeof(*v4));
    assert_int_equal(v4->sin_family, AF_INET);
    assert_int_equal(ntohs(v4->sin_port), 8080);
    assert_int_equal(ntohl(v4->sin_addr.s_addr), INADDR_LOOPBACK);
    assert_int_equal(config_parse_address(SPAN_LITERAL("[::1]:443"), &address, &length), 0);
    assert_int_equal(length, sizeof(*v6));
    assert_int_equal(v6->sin6_family, AF_INET6);
    assert_int_equal(ntohs(v6->sin6_port), 443);
    assert_memory_equal(&v6->sin6_addr, &in6addr_loopback, sizeof(in6addr_loopback));
    assert_int_equal(config_parse_address(SPAN_LITERAL(":443"), &address, &length), 0);
    assert_memory_equal(&v6->sin6_addr, &in6addr_any, sizeof(in6addr_any));
}

static void names_and_half_addresses_are_refused(void **state)
{
    static const char *const BAD[] = {
        "",
        ":",
        "localhost:80",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:0",
        "[::1]",
        "::1:80",
        "[::1:80",
        "127.0.0.1:65536",
        "1.2.3:80",
        "1.2.3.4.5:80",
        "[1.2.3.4]:80",
        "[]:80",
        "[::1]:80a",
        "127.0.0.1: 80",
        "127.0.0.1:+8",
        "*:80",
        "[fe80::1%lo]:80",
        "[00000000000000000000000000000000000000000000000000000000000]:80"};
    struct sockaddr_storage address;
    socklen_t length;
    (void)state;
    for (size_t i = 0; i < COUNT(BAD); i++)
        if (config_parse_address(span_of(BAD[i]), &address, &length) != -EINVAL)
            fail_msg("\"%s\" is no address to listen on", BAD[i]);
    assert_int_equal(config_parse_address(span_make("1.2.3.4\0:80", 11), &address, &length),
                     -EINVAL);
}

/* ---- a config made by hand ---- */

static char *names_a[] = {(char *)"www.example.com", (char *)"example.net"};
static char *aliases_a[] = {(char *)"example.com"};
static char *names_b[] = {(char *)"*"};
static struct config_route routes_a[] = {
    {.prefix = (char *)"/assets/img/", .root_fd = -1},
    {.prefix = (char *)"/assets/", .exact = true, .root_fd = -1},
    {.prefix = (char *)"/assets/", .root_fd = -1},
    {.prefix = (char *)"/feed", .exact = true, .root_fd = -1},
    {.prefix = (char *)"/", .root_fd = -1},
};
static struct config_route routes_b[] = {{.prefix = (char *)"/", .root_fd = -1}};
static struct config_site sites[] = {
    {.names = names_b, .names_count = 1, .routes = routes_b, .routes_count = 1},
    {.names = names_a,
     .names_count = 2,
     .aliases = aliases_a,
     .aliases_count = 1,
     .routes = routes_a,
     .routes_count = 5},
};

static const struct config_site *find_site(const struct config *config, const char *host)
{
    return config_site(config, span_of(host));
}

static void a_site_is_found_by_any_of_its_names_in_any_case(void **state)
{
    struct config config = {.sites = sites, .sites_count = 2};
    (void)state;
    assert_ptr_equal(find_site(&config, "www.example.com"), &sites[1]);
    assert_ptr_equal(find_site(&config, "WWW.Example.COM"), &sites[1]);
    assert_ptr_equal(find_site(&config, "example.net"), &sites[1]);
    assert_ptr_equal(find_site(&config, "example.com"), &sites[1]);
    assert_true(config_is_alias(&sites[1], SPAN_LITERAL("Example.com")));
    assert_false(config_is_alias(&sites[1], SPAN_LITERAL("www.example.com")));
}

static void any_other_host_gets_the_default_site_or_none(void **state)
{
    struct config config = {.sites = sites, .sites_count = 2};
    struct config without = {.sites = sites + 1, .sites_count = 1};
    (void)state;
    assert_ptr_equal(find_site(&config, "other.org"), &sites[0]);
    assert_ptr_equal(find_site(&config, ""), &sites[0]);
    assert_ptr_equal(find_site(&config, "www.example.com.evil"), &sites[0]);
    assert_null(find_site(&without, "other.org"));
}

static const char *route_of(const char *path)
{
    static char text[64];
    const struct config_route *route = config_route(&sites[1], span_of(path));
    snprintf(text, sizeof(text), "%s%s", route->prefix, route->exact ? "" : "*");
    return text;
}

static void the_longest_prefix_wins(void **state)
{
    (void)state;
    assert_string_equal(route_of("/"), "/*");
    assert_string_equal(route_of("/index.html"), "/*");
    assert_string_equal(route_of("/assets/a.css"), "/assets/*");
    assert_string_equal(route_of("/assets/"), "/assets/");
    assert_string_equal(route_of("/assets/img/logo.png"), "/assets/img/*");
    assert_string_equal(route_of("/assets"), "/*");
    assert_string_equal(route_of("/feed"), "/feed");
    assert_string_equal(route_of("/feeds"), "/*");
    assert_string_equal(route_of("/Feed"), "/*");
}

/* ---- keys ---- */

static void every_key_has_prose_and_a_default_within_its_bounds(void **state)
{
    size_t total = 0;
    (void)state;
    for (int scope = 0; scope < CONFIG_SCOPES; scope++) {
        size_t count;
        const struct config_key *keys = config_keys((enum config_scope)scope, &count);
        assert_true(count > 0);
        for (size_t i = 0; i < count; i++) {
            const struct config_key *key = &keys[i];
            assert_non_null(key->prose);
            assert_true(strlen(key->prose) > 5);
            assert_ptr_equal(config_key_find((enum config_scope)scope, key->name), key);
            if (config_key_is_number(key) && key->number)
                assert_true(key->number >= key->least && key->number <= key->most);
            if (config_key_is_number(key) && key->size == 4)
                assert_true(key->most <= UINT32_MAX);
        }
        total += count;
    }
    assert_true(total > 50);
    assert_null(config_key_find(CONFIG_SITE, "user"));
}

static void a_number_is_stored_in_its_member_alone(void **state)
{
    struct config_push push;
    const struct config_key *streams = config_key_find(CONFIG_PUSH, "max_streams");
    const struct config_key *bytes = config_key_find(CONFIG_PUSH, "max_bytes");
    (void)state;
    memset(&push, 0xa5, sizeof(push));
    config_key_set_number(streams, &push, 7);
    assert_int_equal(push.max_streams, 7);
    assert_int_equal(push.max_bytes, UINT64_C(0xa5a5a5a5a5a5a5a5));
    config_key_set_number(bytes, &push, UINT64_C(1) << 40);
    assert_int_equal(push.max_bytes, UINT64_C(1) << 40);
    assert_int_equal(config_key_number(streams, &push), 7);
    assert_int_equal(config_key_number(bytes, &push), UINT64_C(1) << 40);
}

/* ---- encoding; the loader's tests encode whole configs ---- */

#define MINIMAL                                                                                   \
    "{\"path\":null,\"files\":[\"a.lua\"],\"warnings\":[],\"user\":\"u\",\"workers\":1,"          \
    "\"state\":\"/s\",\"clients\":{\"table\":1048576,\"identify\":[\"tls\"],\"remember\":0,"      \
    "\"per_address\":0},"                                                                        \
    "\"cache\":{\"memory\":67108864,\"entry\":2097152},"                                          \
    "\"policy\":{\"dir\":null,\"soft\":0,\"hard\":0,\"memory\":8388608,\"keep\":20,"              \
    "\"watch\":false,\"window\":60,\"failures\":2,\"soft_strikes\":20,\"hard_strikes\":3},"     \
    "\"log\":{\"access\":null,\"error\":\"stderr\"},\"admin\":{\"socket\":\"/a\",\"http\":null}," \
    "\"limits\":%s,\"listen\":[{\"tls\":true,\"redirect\":null,\"address\":\"%s\",\"place\":[0,4]}],\"tls\":[],"    \
    "\"sites\":[],\"places\":[],\"shared\":[]}"

/* The limits as config_encode writes them. */
static char *limits_json(void)
{
    char *text = NULL;
    size_t length = 0;
    size_t count;
    const struct config_key *keys = config_keys(CONFIG_LIMITS, &count);
    FILE *out = open_memstream(&text, &length);
    for (size_t i = 0; i < count; i++)
        fprintf(out, "%c\"%s\":%llu", i ? ',' : '{', keys[i].name,
                (unsigned long long)keys[i].number);
    fputs("}", out);
    fclose(out);
    return text;
}

static char *minimal(const char *address)
{
    char *limits = limits_json();
    char *text = NULL;
    assert_true(asprintf(&text, MINIMAL, limits, address) > 0);
    free(limits);
    return text;
}

static int decode(const char *text, size_t length)
{
    struct config *config = NULL;
    struct fault fault = {0};
    int rc = config_decode(span_make(text, length), &config, &fault);
    if (rc == 0)
        config_destroy(config);
    else
        assert_string_not_equal(fault.what, "");
    return rc;
}

static void a_decoded_config_encodes_to_the_same_text(void **state)
{
    char *text = minimal("127.0.0.1:80");
    struct config *config = NULL;
    struct fault fault = {0};
    (void)state;
    assert_int_equal(config_decode(span_of(text), &config, &fault), 0);
    assert_int_equal(config->listens_count, 1);
    assert_int_equal(config->listens[0].line, 4);
    assert_string_equal(config->listens[0].file, "a.lua");
    assert_int_equal(config->policy.dir_fd, -1);
    assert_int_equal(config->limits.idle, 60000);
    char *once = config_encode(config);
    config_destroy(config);
    assert_non_null(once);
    assert_int_equal(config_decode(span_of(once), &config, &fault), 0);
    char *twice = config_encode(config);
    assert_string_equal(once, twice);
    config_destroy(config);
    free(text);
    free(once);
    free(twice);
}

static void a_torn_text_is_refused_wherever_it_is_torn(void **state)
{
    char *text = minimal("127.0.0.1:80");
    size_t length = strlen(text);
    (void)state;
    assert_int_equal(decode(text, length), 0);
    for (size_t i = 0; i < length; i++)
        assert_true(decode(text, i) < 0);
    free(text);
}

static void a_text_with_any_byte_changed_never_breaks_the_decoder(void **state)
{
    static const char BYTES[] = {'"', '{', ']', '0', '-', 'n', ',', ' ', 'e', (char)0xff, 0};
    char *text = minimal("127.0.0.1:80");
    size_t length = strlen(text);
    (void)state;
    for (size_t i = 0; i < length; i++) {
        char kept = text[i];
        for (size_t k = 0; k < sizeof(BYTES); k++) {
            text[i] = BYTES[k];
            decode(text, length);
        }
        text[i] = kept;
    }
    free(text);
}

static void an_address_that_is_none_is_refused(void **state)
{
    char *text = minimal("localhost:80");
    (void)state;
    assert_true(decode(text, strlen(text)) < 0);
    free(text);
}

static void an_empty_config_is_destroyed_as_well(void **state)
{
    (void)state;
    config_destroy(NULL);
    config_destroy(config_create());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_duration_is_a_number_and_a_unit),
        cmocka_unit_test(a_size_is_a_number_of_bytes_or_of_a_binary_unit),
        cmocka_unit_test(a_number_past_64_bits_is_out_of_range),
        cmocka_unit_test(what_is_formatted_parses_to_the_same_value),
        cmocka_unit_test(an_address_is_literal_and_has_a_port),
        cmocka_unit_test(names_and_half_addresses_are_refused),
        cmocka_unit_test(a_site_is_found_by_any_of_its_names_in_any_case),
        cmocka_unit_test(any_other_host_gets_the_default_site_or_none),
        cmocka_unit_test(the_longest_prefix_wins),
        cmocka_unit_test(every_key_has_prose_and_a_default_within_its_bounds),
        cmocka_unit_test(a_number_is_stored_in_its_member_alone),
        cmocka_unit_test(a_decoded_config_encodes_to_the_same_text),
        cmocka_unit_test(a_torn_text_is_refused_wherever_it_is_torn),
        cmocka_unit_test(a_text_with_any_byte_changed_never_breaks_the_decoder),
        cmocka_unit_test(an_address_that_is_none_is_refused),
        cmocka_unit_test(an_empty_config_is_destroyed_as_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

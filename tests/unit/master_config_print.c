#include "master/config/config_print.h"

#include "tests/unit/config_case.h"

#include <jansson.h>

/* What a config means, without where it was said. */
static void strip(json_t *json)
{
    static const char *const PLACES[] = {"place", "places", "files", "path", "warnings"};
    const char *key;
    json_t *value;
    size_t index;
    for (size_t i = 0; i < sizeof(PLACES) / sizeof(PLACES[0]); i++)
        if (json_is_object(json))
            json_object_del(json, PLACES[i]);
    json_object_foreach(json, key, value) strip(value);
    json_array_foreach(json, index, value) strip(value);
}

static char *meaning(const struct config *config)
{
    char *encoded = config_encode(config);
    assert_non_null(encoded);
    json_t *json = json_loads(encoded, 0, NULL);
    assert_non_null(json);
    strip(json);
    char *text = json_dumps(json, JSON_INDENT(1) | JSON_SORT_KEYS);
    json_decref(json);
    free(encoded);
    return text;
}

static char *print(const struct config *config)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    config_print(config, out);
    assert_int_equal(fclose(out), 0);
    return text;
}

/* Loads `lua`, prints it, loads that, prints it: means and reads the same. */
static void check_round_trip(const char *lua)
{
    struct config *config = case_load(lua);
    char *meant = meaning(config);
    char *once = print(config);
    config_destroy(config);
    config = case_load(once);
    char *means = meaning(config);
    char *twice = print(config);
    config_destroy(config);
    assert_string_equal(meant, means);
    assert_string_equal(once, twice);
    free(meant);
    free(means);
    free(once);
    free(twice);
}

static void a_short_config_prints_as_one_that_means_the_same(void **state)
{
    (void)state;
    check_round_trip(CASE_BASE);
    check_round_trip("listen = { { ':443', tls = true } } site { root = '.' }");
}

static void every_key_survives(void **state)
{
    (void)state;
    mkdir("d", 0755);
    case_write("d/a.lua", "site { names = { 'b' }, root = 'b', remember = 'never' }");
    check_round_trip(
        "user = 'daemon' workers = 5 state = 'st'\n"
        "listen = { { '[::1]:443', tls = true }, '127.0.0.1:8080', ':81' }\n"
        "tls = { { sni = '*.a.b', cert = 'c.pem', key = 'k.pem' }, { sni = '*' } }\n"
        "clients = { table = '2MiB', identify = { 'tls' }, remember = '36h',\n"
        "            per_address = 7 }\n"
        "policy = { dir = 'p', soft = '12ms', hard = '99ms', memory = '300KiB', keep = 3 }\n"
        "log = { access = 'off', error = 'e.log' }\n"
        "admin = { socket = 's.sock', http = '[::1]:1' }\n"
        "cache = { memory = '5MiB', entry = '3KiB' }\n"
        "limits = { idle = '61s', requests = 5, body_rate = 0, stream_buffer = '17KiB' }\n"
        "site { names = { 'a', '127.0.0.1', '[::1]' }, aliases = { 'x' }, root = 'r',\n"
        "  symlinks = true, identify = { 'connection', 'cookie' }, remember = '1d',\n"
        "  heuristic = '90s', declined = '0s', debug_header = true, cache_control = 'no-cache',\n"
        "  push = { max_streams = 0, max_bytes = '0', holdout = 0.0125 }, policies = { 'scan' },\n"
        "  routes = { ['/a/*'] = { root = 'q' }, ['/a'] = { policies = {} },\n"
        "    ['/o/*'] = { origin = { 'http://a.b', 'https://[::1]:8', 'unix:s.sock',\n"
        "      timeout = '5s', connect_timeout = '90ms', retries = 0, rest = '3s',\n"
        "      connections = 7, lookup = '2m', host = 'x.y:1', trust_forwarded = true, verify = false, ca = 'o.pem' } },\n"
        "    ['/p/*'] = { origin = 'http://10.0.0.7:8080', cache = false },\n"
        "    ['/end'] = { cache_control = 'x=\"y\"', symlinks = false,\n"
        "                 push = { max_bytes = '3', holdout = 1 } } } }\n"
        "include 'd/*.lua'");
}

static void texts_with_any_character_survive(void **state)
{
    (void)state;
    check_round_trip(CASE_LISTEN
                     "site { root = 'a\"b\\\\c\\n1\\t\\127\\1212 gr\\195\\188n', routes = {\n"
                     "  ['/\"x\"\\\\y'] = { root = \"'\" } } }");
}

static void arguments_of_policies_survive(void **state)
{
    (void)state;
    check_round_trip(
        CASE_LISTEN
        "site { root = '/x', policies = { 'a', { 'b' }, { 'c', n = 1, f = -0.125, big = 1e300,\n"
        "  on = true, off = false, s = 'q\"\\\\\\n\\0011\\127', ['end'] = 1, ['a b'] = 2,\n"
        "  ['\"'] = 3, [''] = 4, ['1x'] = 5, l = { 1, { 2, { x = { y = {} } } }, 'z' }, e = {} } "
        "},\n"
        "  routes = { ['/r'] = { policies = { { 'c', n = 2 }, 'a' } } } }");
}

static void a_config_without_a_file_prints_as_one_that_means_the_same(void **state)
{
    struct config *config = NULL;
    struct fault fault = {0};
    (void)state;
    assert_int_equal(config_for_root(".", &config, &fault), 0);
    char *meant = meaning(config);
    char *text = print(config);
    config_destroy(config);
    config = case_load(text);
    char *means = meaning(config);
    assert_string_equal(meant, means);
    config_destroy(config);
    free(meant);
    free(means);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_short_config_prints_as_one_that_means_the_same),
        cmocka_unit_test(every_key_survives),
        cmocka_unit_test(texts_with_any_character_survive),
        cmocka_unit_test(arguments_of_policies_survive),
        cmocka_unit_test(a_config_without_a_file_prints_as_one_that_means_the_same),
    };
    return cmocka_run_group_tests(tests, case_enter, case_leave);
}

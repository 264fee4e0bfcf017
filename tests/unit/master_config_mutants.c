/* Configs that went wrong anywhere: whatever they say, the reader answers with a config or a fault.
 */
#include "master/config/config_print.h"

#include "tests/unit/config_case.h"

static const char SEED_CONFIG[] =
    "user = 'daemon'\nworkers = 'auto'\nstate = '/var/lib/herald'\n"
    "listen = { { '[::]:443', tls = true }, '127.0.0.1:8080', ':81' }\n"
    "tls = { { sni = '*.example.com', cert = 'c.pem', key = 'k.pem' }, { sni = \"*\" } }\n"
    "clients = { table = '64MiB', identify = { 'cookie', 'tls' }, remember = '30d' }\n"
    "policy = { dir = 'policies', soft = '8ms', memory = '8MiB' }\n"
    "log = { access = [[access.json]], error = 'stderr' }\n"
    "limits = { idle = '60s', header_fields = 100, stream_buffer = '64KiB' }\n"
    "local roots = { a = '/srv/a', ['b'] = '/srv/b' } -- two\n"
    "for name, root in pairs(roots) do\n"
    "  site { names = { name .. '.test' }, aliases = { 'www.' .. name }, root = root,\n"
    "    policies = { 'scan', { 'learned', max = 6, of = { 1, 2.5, { x = true } } }, 'x.lua' },\n"
    "    push = { max_streams = 32, max_bytes = '1MiB' }, remember = 'never',\n"
    "    routes = { ['/assets/*'] = { cache_control = 'public' }, ['/a'] = { root = './' } } }\n"
    "end\n"
    "local s = {}; s.root = '/srv'; s['symlinks'] = true\nsite(s)\n"
    "include 'd/*.lua'\n";

static const char *const WORDS[] = {"{",        "}",
                                    "(",        ")",
                                    "[",        "]",
                                    "[[",       "]]",
                                    "=",        "==",
                                    ",",        ";",
                                    ".",        "..",
                                    "'",        "\"",
                                    "\\",       "--",
                                    "--[[",     "nil",
                                    "true",     "1",
                                    "-1",       "1e308",
                                    "0/0",      "''",
                                    "{}",       "end",
                                    "do",       "function()",
                                    "local",    "return",
                                    "site",     "include",
                                    "listen",   "root",
                                    "\n",       "\r",
                                    "\x1b",     "\xff",
                                    "\xc3\xbc", "#",
                                    "\"*\"",    "'/'",
                                    "'10s'",    "for i = 1, 9 do",
                                    "tostring", "('x'):rep(9)",
                                    "...",      "names",
                                    "push",     "goto x"};
#define WORDS_COUNT (sizeof(WORDS) / sizeof(WORDS[0]))

static uint64_t seed = 0x9e3779b97f4a7c15;

static size_t random_below(size_t bound)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (size_t)(seed % bound);
}

/* Cuts out, doubles, overwrites or puts in something at a random place. */
static size_t mutate(char *text, size_t length, size_t room)
{
    char piece[64];
    size_t at = random_below(length);
    size_t cut = random_below(3) ? 0 : random_below(12);
    size_t put = 0;
    if (cut > length - at)
        cut = length - at;
    if (random_below(3) == 0 && length > 60) {
        put = 1 + random_below(40);
        memcpy(piece, text + random_below(length - 40), put);
    } else if (random_below(4)) {
        const char *word = WORDS[random_below(WORDS_COUNT)];
        put = strlen(word);
        memcpy(piece, word, put);
    }
    if (length - cut + put + 2 > room)
        return length;
    memmove(text + at + put, text + at + cut, length - at - cut);
    memcpy(text + at, piece, put);
    length = length - cut + put;
    return length ? length : 1;
}

/* A config that loads must also survive being handed over and printed. */
static void use(struct config *config)
{
    struct config *again = NULL;
    struct fault fault = {0};
    FILE *null = fopen("/dev/null", "w");
    char *text = config_encode(config);
    assert_non_null(text);
    if (config_decode(span_of(text), &again, &fault) < 0)
        fail_msg("%s: %s", fault.what, text);
    config_print(again, null);
    fclose(null);
    free(text);
    config_destroy(again);
}

static unsigned read_mutant(const char *text, size_t length)
{
    struct config_load load;
    struct config *config = NULL;
    struct fault fault = {0};
    case_write_bytes("herald.lua", text, length);
    assert_int_equal(config_load_open(&load, "herald.lua", &fault), 0);
    int rc = config_load_read(&load, &config, &fault);
    config_load_close(&load);
    if (rc == 0) {
        use(config);
        config_destroy(config);
        return 1;
    }
    assert_null(config);
    assert_string_not_equal(fault.what, "");
    assert_non_null(strstr(fault.where, ".lua"));
    for (const char *at = fault.what; *at; at++)
        assert_true((unsigned char)*at >= 0x20);
    return 0;
}

static void a_mutant_is_read_or_refused_with_a_reason(void **state)
{
    char text[4096];
    unsigned rounds = getenv("HERALD_SOAK") ? 60000 : 2000;
    unsigned loaded = 0;
    (void)state;
    mkdir("d", 0755);
    case_write("d/a.lua", "site { names = { 'd' }, root = 'd' }");
    for (unsigned i = 0; i < rounds; i++) {
        size_t length = sizeof(SEED_CONFIG) - 1;
        memcpy(text, SEED_CONFIG, length);
        for (size_t changes = random_below(4); changes-- > 0;)
            length = mutate(text, length, sizeof(text));
        loaded += read_mutant(text, length);
    }
    /* Most mutants are no config, but not all: else this would test the compiler alone. */
    assert_in_range(loaded, rounds / 10, rounds * 9 / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mutant_is_read_or_refused_with_a_reason),
    };
    return cmocka_run_group_tests(tests, case_enter, case_leave);
}

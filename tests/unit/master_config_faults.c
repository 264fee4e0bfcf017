/* What is wrong with a config: one line, with the right file and line, and the nearest word. */
#include "tests/unit/config_case.h"

static void an_unknown_key_names_the_nearest(void **state)
{
    static const struct case_bad BAD[] = {
        {"lisen = {}", "herald.lua:3: unknown key \"lisen\", nearest \"listen\""},
        {"\nmy_root = '/srv'",
         "herald.lua:4: unknown key \"my_root\"; for a variable of your own write `local`"},
        {"limits = {\n  idel = '3s',\n}", "herald.lua:4: unknown key \"idel\" in limits, nearest "
                                          "\"idle\""},
        {"clients = {\n  tabel = 1 }", "herald.lua:4: unknown key \"tabel\" in clients, nearest "
                                       "\"table\""},
        {"site {\n  rooot = '/x' }",
         "herald.lua:4: unknown key \"rooot\" in site, nearest \"root\""},
        {"site { root = '/x',\n push = {\n  max_stream = 1 } }",
         "herald.lua:5: unknown key \"max_stream\" in push, nearest \"max_streams\""},
        {"site { root = '/x', routes = {\n ['/a/*'] = {\n  cache_contol = 'x' } } }",
         "herald.lua:5: unknown key \"cache_contol\" in route \"/a/*\", nearest \"cache_control\""},
        {"listen = { '127.0.0.1:1', {\n  '127.0.0.1:2', tsl = true } }",
         "herald.lua:4: unknown key \"tsl\" in listen, nearest \"tls\""},
        {"tls = {\n { sni = '*',\n   certt = 'x' } }",
         "herald.lua:5: unknown key \"certt\" in tls, nearest \"cert\""},
        {"cache_control = 'x'",
         "herald.lua:3: unknown key \"cache_control\" at the top, it is a key of site"},
        {"site {\n workers = 1 }",
         "herald.lua:4: unknown key \"workers\" in site, it is a key of the top"},
        {"site { root = '/x', [\"a\\nb\"] = 1 }", "herald.lua:3: unknown key \"a?b\" in site"},
        {"clients = {\n identify = { 'cookie',\n 'conection' } }",
         "herald.lua:5: clients.identify: unknown word \"conection\", nearest \"connection\""},
    };
    (void)state;
    case_check_bad(CASE_BASE, BAD, COUNT(BAD));
}

static void texts_of_faults_are_utf8(void **state)
{
    static const char *const TEXTS[][2] = {
        {"plain", "plain"},
        {"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"caf\xe9", "caf?"},                                 /* Latin-1 */
        {"cut \xe2\x82", "cut ??"},                          /* within a character */
        {"\xc0\xaf \xe0\x80\xaf", "?? ???"},                /* overlong */
        {"\xed\xa0\x80 \xf4\x90\x80\x80", "??? ????"},      /* a surrogate; above U+10FFFF */
        {"\xff\x80\xc3x", "???x"},
    };
    char text[64];
    (void)state;
    for (size_t i = 0; i < COUNT(TEXTS); i++) {
        struct fault fault;
        fault_set(&fault, 0, NULL, 0, "%s", TEXTS[i][0]);
        assert_string_equal(fault_text(&fault, text, sizeof(text)), TEXTS[i][1]);
    }
}

static void a_wrong_type_says_what_was_expected_and_what_was_found(void **state)
{
    static const struct case_bad BAD[] = {
        {"workers = 'two'", "herald.lua:3: workers: expected \"auto\" or a whole number from 1 to "
                            "64, found string \"two\""},
        {"workers = {}", "herald.lua:3: workers: expected \"auto\" or a whole number from 1 to 64, "
                         "found an empty table"},
        {"workers = 1.5",
         "herald.lua:3: workers: expected \"auto\" or a whole number from 1 to 64, "
         "found number 1.5"},
        {"workers = 0/0",
         "herald.lua:3: workers: expected \"auto\" or a whole number from 1 to 64, "
         "found number nan"},
        {"workers = 65", "herald.lua:3: workers: expected \"auto\" or a whole number from 1 to 64, "
                         "found number 65"},
        {"user = function() end", "herald.lua:3: user: expected a user's name, found a function"},
        {"user = ''", "herald.lua:3: user: expected a user's name, found string \"\""},
        {"state = true", "herald.lua:3: state: expected a path, found boolean true"},
        {"listen = 'x'", "herald.lua:3: listen: expected a list of addresses, such as { \"127.0.0.1:8080\" }, "
         "found string \"x\""},
        {"listen = { a = 1 }",
         "herald.lua:3: listen: expected a list of addresses, such as { \"127.0.0.1:8080\" }, "
         "found the key \"a\""},
        {"log = 'x'", "herald.lua:3: log: expected a table of keys, found string \"x\""},
        {"log = { 'x' }", "herald.lua:3: log: expected `key = value`, found string \"x\" without a "
                          "key"},
        {"log = { error = 'off' }",
         "herald.lua:3: log.error: expected a path or \"stderr\", found string \"off\""},
        {"limits = { idle = 60 }",
         "herald.lua:3: limits.idle: expected a duration from 100ms to 1d, such as \"500ms\" or "
         "\"10s\", found number 60"},
        {"limits = {\n idle = '60' }",
         "herald.lua:4: limits.idle: expected a duration from 100ms to 1d, such as \"500ms\" or "
         "\"10s\", found string \"60\", nearest \"60s\""},
        {"limits = { idle = '1ms' }",
         "herald.lua:3: limits.idle: expected a duration from 100ms to 1d, such as \"500ms\" or "
         "\"10s\", found string \"1ms\""},
        {"clients = { table = '64MB' }",
         "herald.lua:3: clients.table: expected a size from 1MiB to 4GiB, such as \"64KiB\" or "
         "\"1MiB\", found string \"64MB\", nearest \"64MiB\""},
        {"clients = { table = '512KiB' }",
         "herald.lua:3: clients.table: expected a size from 1MiB to 4GiB, such as \"64KiB\" or "
         "\"1MiB\", found string \"512KiB\""},
        {"clients = { table = '4097MiB' }",
         "herald.lua:3: clients.table: expected a size from 1MiB to 4GiB, such as \"64KiB\" or "
         "\"1MiB\", found string \"4097MiB\""},
        {"clients = { remember = '146d' }", "herald.lua:3: clients.remember: expected \"never\" or "
                                            "a duration from 0s to 145d, such as "
                                            "\"10s\" or \"1d\", found string \"146d\""},
        {"site { root = '/x', declined = '500ms' }",
         "herald.lua:3: declined: expected a duration from 0s to 145d, such as \"10s\" or \"1d\", "
         "found string \"500ms\""},
        {"site { root = '/x',\n symlinks = 'yes' }",
         "herald.lua:4: symlinks: expected true or false, found string \"yes\""},
        {"site { root = '/x', cache_control = 'a\\r\\nSet-Cookie: x' }",
         "herald.lua:3: cache_control: expected the value of a header field, found string "
         "\"a??Set-Cookie: x\""},
        {"site('x')", "herald.lua:3: site: expected one table, as in site { root = \"/srv/www\" }"},
        {"site { 'x' }",
         "herald.lua:3: site: expected `key = value`, found string \"x\" without a key"},
        {"site = {}", "herald.lua:3: site is a function: write site without \"=\""},
        {"site { root = '/x', routes = { '/a' } }",
         "herald.lua:3: routes: expected [\"/path/*\"] = { ... }, found string \"/a\" without a "
         "path"},
        {"site { root = '/x', routes = { ['/a'] = 1 } }",
         "herald.lua:3: route \"/a\": expected a table of keys, found number 1"},
        {"clients = { identify = {} }",
         "herald.lua:3: clients.identify: expected a list of \"cookie\", \"tls\" and "
         "\"connection\", found an empty table"},
    };
    (void)state;
    case_check_bad(CASE_BASE, BAD, COUNT(BAD));
}

static void a_share_is_a_number_from_0_to_1(void **state)
{
    static const struct case_bad BAD[] = {
        {"site { names = { 'x' }, root = '/x', push = { holdout = 5 } }",
         "herald.lua:3: push.holdout: expected a share from 0 to 1, such as 0.05, found number 5, "
         "nearest 0.05"},
        {"site { names = { 'x' }, root = '/x',\n push = { holdout = '2.5%' } }",
         "herald.lua:4: push.holdout: expected a share from 0 to 1, such as 0.05, found string "
         "\"2.5%\", nearest 0.025"},
        {"site { names = { 'x' }, root = '/x', push = { holdout = -0.1 } }",
         "herald.lua:3: push.holdout: expected a share from 0 to 1, such as 0.05, found number "
         "-0.1"},
        {"site { names = { 'x' }, root = '/x', push = { holdout = 0 / 0 } }",
         "herald.lua:3: push.holdout: expected a share from 0 to 1, such as 0.05, found number "
         "nan"},
        {"site { names = { 'x' }, root = '/x', push = { holdout = true } }",
         "herald.lua:3: push.holdout: expected a share from 0 to 1, such as 0.05, found boolean "
         "true"},
        {"site { names = { 'x' }, root = '/x', push = { hold_out = 0.1 } }",
         "herald.lua:3: unknown key \"hold_out\" in push, nearest \"holdout\""},
    };
    (void)state;
    case_check_bad(CASE_BASE, BAD, COUNT(BAD));
}

static void addresses_names_and_certificates_are_checked(void **state)
{
    static const struct case_bad BAD[] = {
        {"listen = { 'localhost:80' }",
         "herald.lua:3: listen: expected a literal address and port, such as \"[::]:443\" or "
         "\"127.0.0.1:8080\", found string \"localhost:80\""},
        {"listen = { '[::]:443',\n ':443' }",
         "herald.lua:4: listen: \":443\" is there twice, first at herald.lua:3"},
        {"listen = { { tls = true } }",
         "herald.lua:3: listen: the address is missing; it stands first, as in { \"[::]:443\", "
         "tls = true }"},
        {"listen = {}", "herald.lua: nothing to listen on: add listen = { \"127.0.0.1:8080\" }"},
        {"tls = { { cert = 'a', key = 'b' } }",
         "herald.lua:3: tls: sni is missing; sni = \"*\" is the default certificate"},
        {"tls = { { sni = 'a', cert = 'b' } }", "herald.lua:3: tls: there is a cert, but no key"},
        {"tls = { { sni = 'a', key = 'b' } }", "herald.lua:3: tls: there is a key, but no cert"},
        {"tls = { { sni = 'a.b', cert = 'c', key = 'k' },\n { sni = 'A.b' } }",
         "herald.lua:4: tls: sni \"a.b\" is there twice, first at herald.lua:3"},
        {"tls = { { sni = 'a.*' } }",
         "herald.lua:3: tls.sni: expected a host name, \"*.host.name\" or \"*\", found string "
         "\"a.*\""},
        {"site { names = { 'a' },\n root = '/x' }\nsite { root = '/y',\n names = { 'b',\n 'A' } }",
         "herald.lua:7: names: \"a\" is there twice, first at herald.lua:3"},
        {"site { names = { 'a' }, aliases = { 'b', 'a' }, root = '/x' }",
         "herald.lua:3: names: \"a\" is there twice, first at herald.lua:3"},
        {"site { root = '/x' }",
         "herald.lua:3: names: \"*\" is there twice, first at herald.lua:2"},
        {"site { names = { 'a:80' }, root = '/x' }",
         "herald.lua:3: names: expected a host name without port, or \"*\", found string \"a:80\""},
        {"site { names = { 'a' }, aliases = { '*' }, root = '/x' }",
         "herald.lua:3: aliases: expected a host name without port, found string \"*\""},
        {"site { names = {}, root = '/x' }",
         "herald.lua:3: names: expected a list of host names, such as { \"www.example.com\" }, "
         "found an empty table"},
        {"site { names = { 'a' },\n routes = {} }",
         "herald.lua:3: site: there is no root and no origin, nothing could be served"},
        {"site { names = { '*' }, aliases = { 'a' }, root = '/x' }",
         "herald.lua:3: site: aliases redirect to the first of names, which is \"*\""},
    };
    (void)state;
    case_check_bad(CASE_BASE, BAD, COUNT(BAD));
    assert_string_equal(case_fault(CASE_LISTEN), "herald.lua: there is no site: add site { root = "
                                                 "\"/srv/www\" }");
}

static void paths_of_routes_are_checked(void **state)
{
    static const struct case_bad BAD[] = {
        {"['api/*'] = {}", "herald.lua:4: routes: \"api/*\": it does not begin with \"/\""},
        {"['/*'] = {}",
         "herald.lua:4: routes: \"/*\": that is the whole site: its keys go to the site itself"},
        {"['/a*'] = {}",
         "herald.lua:4: routes: \"/a*\": \"*\" stands only at the end, after \"/\""},
        {"['/a/*/b'] = {}",
         "herald.lua:4: routes: \"/a/*/b\": \"*\" stands only at the end, after \"/\""},
        {"['/a/../b'] = {}", "herald.lua:4: routes: \"/a/../b\": it has an empty part, \".\" or "
                             "\"..\", which no request's path has"},
        {"['/a//b'] = {}",
         "herald.lua:4: routes: \"/a//b\": it has an empty part, \".\" or \"..\", "
         "which no request's path has"},
        {"['/a/.'] = {}", "herald.lua:4: routes: \"/a/.\": it has an empty part, \".\" or \"..\", "
                          "which no request's path has"},
        {"['/a%20b'] = {}", "herald.lua:4: routes: \"/a%20b\": paths are compared decoded: write "
                            "the character itself"},
        {"['/a?b'] = {}",
         "herald.lua:4: routes: \"/a?b\": it has a query or fragment, which routes "
         "don't look at"},
    };
    char lua[512];
    (void)state;
    for (size_t i = 0; i < COUNT(BAD); i++) {
        snprintf(lua, sizeof(lua), CASE_LISTEN "site { root = '/x', routes = {\n\n%s } }",
                 BAD[i].lua);
        if (strcmp(case_fault(lua), BAD[i].fault) != 0)
            fail_msg("'%s' says '%s'", BAD[i].lua, case_fault(lua));
    }
    static const char *const GOOD[] = {"/a/*",           "/a",     "/a/",         "/a b", "/100%",
                                       "/.well-known/*", "/..a/b", "/gr\xc3\xbcn"};
    for (size_t i = 0; i < COUNT(GOOD); i++) {
        snprintf(lua, sizeof(lua), CASE_LISTEN "site { root = '/x', routes = { ['%s'] = {} } }",
                 GOOD[i]);
        config_destroy(case_load(lua));
    }
}

static void policies_are_named_and_given_plain_arguments(void **state)
{
    static const struct case_bad BAD[] = {
        {"'shop.lua' }",
         "herald.lua:2: policies: \"shop.lua\" is a file below policy.dir, which is "
         "not set"},
        {"'../x.lua' }",
         "herald.lua:2: policies: expected a policy's name, such as \"preload\", or "
         "{ \"preload\", argument = value }, found string \"../x.lua\""},
        {"'.hidden.lua' }",
         "herald.lua:2: policies: expected a policy's name, such as \"preload\", "
         "or { \"preload\", argument = value }, found string \".hidden.lua\""},
        {"'a/b' }", "herald.lua:2: policies: \"a/b\" is neither a stock policy's name nor a .lua "
                    "file"},
        {"{ 'a', 'b' } }", "herald.lua:2: policies: expected a policy's name, such as \"preload\", "
                           "or { \"preload\", argument = value }, found a table"},
        {"{ 'a',\n f = function() end } }",
         "herald.lua:3: policies: an argument is a text, number, boolean, list or table of keys, "
         "found a function"},
        {"{ 'a',\n l = { 1, x = 2 } } }",
         "herald.lua:3: policies: an argument is a text, number, boolean, list or table of keys, "
         "found a list that has keys"},
        {"{ 'a', n = 1/0 } }",
         "herald.lua:2: policies: an argument is a text, number, boolean, list "
         "or table of keys, found number inf"},
    };
    (void)state;
    case_check_bad(CASE_LISTEN "site { root = '/x', policies = { ", BAD, 0);
    for (size_t i = 0; i < COUNT(BAD); i++) {
        char lua[512];
        snprintf(lua, sizeof(lua), CASE_LISTEN "site { root = '/x', policies = { %s }", BAD[i].lua);
        if (strcmp(case_fault(lua), BAD[i].fault) != 0)
            fail_msg("'%s' says '%s'", BAD[i].lua, case_fault(lua));
    }
}

#define SERVER                                                                                     \
    "\"http://HOST[:PORT]\", \"https://HOST[:PORT]\" or \"unix:/PATH\", or a list of them with keys"

static void an_origin_that_is_no_server_is_refused(void **state)
{
    static const struct case_bad BAD[] = {
        {"origin = 8080 }", "herald.lua:2: origin: expected " SERVER ", found number 8080"},
        {"origin = {} }", "herald.lua:2: origin: expected " SERVER ", found an empty table"},
        {"origin = 'ftp://x' }", "herald.lua:2: origin: expected " SERVER ", found string \"ftp://x\""},
        {"origin = 'http://' }", "herald.lua:2: origin: expected " SERVER ", found string \"http://\""},
        {"origin = 'http://x:0' }",
         "herald.lua:2: origin: expected " SERVER ", found string \"http://x:0\""},
        {"origin = 'http://x:65536' }",
         "herald.lua:2: origin: expected " SERVER ", found string \"http://x:65536\""},
        {"origin = 'http://[::1' }",
         "herald.lua:2: origin: expected " SERVER ", found string \"http://[::1\""},
        {"origin = 'http://x/app' }",
         "herald.lua:2: origin: \"http://x/app\": it has a path; requests keep their own"},
        {"origin = 'https://me:pw@x' }",
         "herald.lua:2: origin: \"https://me:pw@x\": names and passwords have no place in it"},
        {"origin = {\n 'http://x', 'http://x' } }",
         "herald.lua:3: origin: \"http://x\" is there twice"},
        {"origin = { 'http://x',\n timout = '5s' } }",
         "herald.lua:3: unknown key \"timout\" in origin, nearest \"timeout\""},
        {"origin = { 'http://x', timeout = 5 } }",
         "herald.lua:2: origin.timeout: expected a duration from 10ms to 1h, such as \"500ms\" or "
         "\"10s\", found number 5"},
        {"origin = { 'http://x', retries = 11 } }",
         "herald.lua:2: origin.retries: expected a whole number from 0 to 10, found number 11"},
        {"origin = { 'http://x', host = 'a b' } }",
         "herald.lua:2: origin.host: expected a host name and perhaps a port, such as "
         "\"app.internal:8080\", found string \"a b\""},
        {"root = '/x', origin = 'http://x' }",
         "herald.lua:2: origin: there is a root too, and only one of the two can answer"},
        {"timeout = '5s', origin = 'http://x' }",
         "herald.lua:2: unknown key \"timeout\" in site, it is a key of origin"},
        {"}", "herald.lua:2: site: there is no root and no origin, nothing could be served"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(BAD); i++) {
        char lua[512];
        snprintf(lua, sizeof(lua), CASE_LISTEN "site { %s", BAD[i].lua);
        if (strcmp(case_fault(lua), BAD[i].fault) != 0)
            fail_msg("'%s' says '%s'", BAD[i].lua, case_fault(lua));
    }
}

static void what_comes_later_is_refused_by_name(void **state)
{
    static const struct case_bad BAD[] = {
        {"site { names = { 'x' }, root = '/x', redirect = 'y' }",
         "herald.lua:3: redirect is not supported in this version (redirecting a route)"},
    };
    (void)state;
    case_check_bad(CASE_BASE, BAD, COUNT(BAD));
}

#define NAMES "; it is a lower-case letter, then up to 31 of a-z, 0-9 and _"

static void a_dictionary_has_a_good_name_and_a_size(void **state)
{
    static const struct case_bad BAD[] = {
        {"shared = 5", "herald.lua:3: shared: expected sizes by name, such as { counters = \"1MiB\" }, "
                       "found number 5"},
        {"shared = {\n 'counters' }",
         "herald.lua:4: shared: expected sizes by name, such as { counters = \"1MiB\" }, "
         "found string \"counters\""},
        {"shared = {\n Counters = '1MiB' }",
         "herald.lua:4: shared: \"Counters\" is no name for a dictionary" NAMES},
        {"shared = { ['2nd'] = '1MiB' }", "herald.lua:3: shared: \"2nd\" is no name for a dictionary" NAMES},
        {"shared = { a23456789012345678901234567890123 = '1MiB' }",
         "herald.lua:3: shared: \"a23456789012345678901234567890123\" is no name for a dictionary" NAMES},
        {"shared = {\n a = '63KiB' }",
         "herald.lua:4: shared.a: expected a size from 64KiB to 1GiB, such as \"1MiB\", found "
         "string \"63KiB\""},
        {"shared = {\n a = '2GiB' }",
         "herald.lua:4: shared.a: expected a size from 64KiB to 1GiB, such as \"1MiB\", found "
         "string \"2GiB\""},
        {"shared = { a = true }", "herald.lua:3: shared.a: expected a size from 64KiB to 1GiB, such as \"1MiB\", found boolean true"},
        {"shared = { a = '1GiB', b = '64KiB' }",
         "herald.lua:3: shared: the dictionaries come to more than 1GiB"},
        {"shared = {}\nfor i = 1, 17 do\n shared['d' .. i] = '64KiB' end",
         "herald.lua:3: shared: 17 dictionaries, 16 at most"},
    };
    (void)state;
    case_check_bad(CASE_BASE, BAD, COUNT(BAD));
}

static void faults_in_tables_that_a_program_made_have_their_line(void **state)
{
    static const struct case_bad BAD[] = {
        {"for i, n in ipairs { 'a', 'b' } do\n  site {\n    names = { n },\n    root = '/' .. n,\n"
         "    frob = i }\nend",
         "herald.lua:7: unknown key \"frob\" in site"},
        {"local function make(n)\n  local s = { names = { n }, root = '/x' }\n"
         "  if n == 'b' then\n    s.remember = 'soon'\n  end\n  return s\nend\n"
         "site(make('a'))\nsite(make('b'))",
         "herald.lua:6: remember: expected \"never\" or a duration from 0s to 145d, such as "
         "\"10s\" "
         "or \"1d\", found string \"soon\""},
        {"local keys = { 'idle',\n 'idel' }\nlocal l = {}\nfor _, k in ipairs(keys) do\n"
         "  l[k] = '5s'\nend\nlimits = l",
         "herald.lua:5: unknown key \"idel\" in limits, nearest \"idle\""},
        {"limits = { idle = '5s',\n  idle = '6s' }",
         "herald.lua:4: idle is given twice in one table"},
        {"limits =\n{\n\nheader = 'x'\n}",
         "herald.lua:6: limits.header: expected a duration from 100ms to 10m, such as \"500ms\" or "
         "\"10s\", found string \"x\""},
        {"workers\n  =\n  'x'", "herald.lua:3: workers: expected \"auto\" or a whole number from 1 "
                                "to 64, found string \"x\""},
        {"workers = 1\nworkers = 'x'\nworkers = 'y' -- the last one counts",
         "herald.lua:5: workers: expected \"auto\" or a whole number from 1 to 64, found string "
         "\"y\""},
    };
    (void)state;
    case_check_bad(CASE_BASE, BAD, COUNT(BAD));
    assert_string_equal(case_fault("listen = {\r\n  '127.0.0.1:1',\r\n  'x'\r\n}\r\n"),
                        "herald.lua:3: listen: expected a literal address and port, such as "
                        "\"[::]:443\" or \"127.0.0.1:8080\", found string \"x\"");
}

static void luas_own_faults_have_their_line(void **state)
{
    static const struct case_bad BAD[] = {
        {"x = = 3", "herald.lua:3: unexpected symbol near '='"},
        {"listen = {\n'a'\nsite {}", "herald.lua:5: '}' expected (to close '{' at line 3) near "
                                     "'site'"},
        {"user = \"abc\n\"", "herald.lua:3: unfinished string near '\"abc'"},
        {"local t = {}\nt.a.b = 1", "herald.lua:4: attempt to index field 'a' (a nil value)"},
        {"user = 'a' .. nil", "herald.lua:3: attempt to concatenate a nil value"},
        {"\nerror('own words')", "herald.lua:4: own words"},
        {"error({})", "herald.lua:3: error() was called with table"},
        {"assert(nil, 'missing')", "herald.lua:3: missing"},
        {"user = os.getenv('USER')", "herald.lua:3: \"os\" is not available in a config"},
        {"user = usr", "herald.lua:3: undeclared variable \"usr\""},
        {"user = workers", "herald.lua:3: \"workers\" is read before it is set"},
        {"for i in pair {} do end",
         "herald.lua:3: undeclared variable \"pair\", nearest \"pairs\""},
        {"error('two\\nlines\\27[0m')", "herald.lua:3: two?lines?[0m"},
    };
    (void)state;
    case_check_bad(CASE_BASE, BAD, COUNT(BAD));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unknown_key_names_the_nearest),
        cmocka_unit_test(texts_of_faults_are_utf8),
        cmocka_unit_test(a_wrong_type_says_what_was_expected_and_what_was_found),
        cmocka_unit_test(a_share_is_a_number_from_0_to_1),
        cmocka_unit_test(addresses_names_and_certificates_are_checked),
        cmocka_unit_test(paths_of_routes_are_checked),
        cmocka_unit_test(policies_are_named_and_given_plain_arguments),
        cmocka_unit_test(an_origin_that_is_no_server_is_refused),
        cmocka_unit_test(what_comes_later_is_refused_by_name),
        cmocka_unit_test(a_dictionary_has_a_good_name_and_a_size),
        cmocka_unit_test(faults_in_tables_that_a_program_made_have_their_line),
        cmocka_unit_test(luas_own_faults_have_their_line),
    };
    return cmocka_run_group_tests(tests, case_enter, case_leave);
}

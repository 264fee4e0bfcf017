/* Specs: what passes, what fails and how it is told, what makes no sense. */
#include "policy_fixture.h"

#include "policy/rehearsal.h"

struct heard {
    unsigned passed, failed;
    char said[4096]; /* "file:line: name\n" and why, of those that failed */
};

static void hear(void *context, const struct rehearsal_case *one)
{
    struct heard *heard = context;
    size_t used = strlen(heard->said);
    assert_int_equal(one->passed, one->said[0] == '\0');
    heard->passed += one->passed;
    heard->failed += !one->passed;
    if (!one->passed)
        snprintf(heard->said + used, sizeof(heard->said) - used, "%s:%d: %s\n%s", one->file,
                 one->line, one->name, one->said);
}

static int rehearse(struct fixture *f, const char *only, struct heard *heard)
{
    struct rehearsal_totals totals = {0};
    memset(heard, 0, sizeof(*heard));
    memset(&f->fault, 0, sizeof(f->fault));
    int bundle = bundle_create(&f->config, &f->fault);
    assert_true(bundle >= 0);
    int rc = rehearsal_run(&f->config, bundle, only, hear, heard, &totals, &f->fault);
    close(bundle);
    assert_int_equal(totals.failed, heard->failed);
    return rc;
}

#define POLICY                                                       \
    "return { api = 1,\n"                                            \
    "  on_request = function(req, push)\n"                           \
    "    if req.save_data then return false, 'thrift' end\n"         \
    "    push:add('/a.css')\n"                                       \
    "    push:add('/b.js')\n"                                        \
    "    if req.path == '/boom' then error('broken') end\n"          \
    "  end,\n"                                                       \
    "  on_push = function(req, r)\n"                                 \
    "    if r.size > 5000 then\n"                                    \
    "      return false, 'big'\n"                                    \
    "    end\n"                                                      \
    "  end }\n"

static void a_spec_says_what_is_pushed_for_which_client(void **state)
{
    struct fixture *f = *state;
    struct heard heard;
    policy_file(f, "p.lua", POLICY);
    policy_file(f, "p_spec.lua",
                "return { files = { ['/a.css'] = 100, ['/b.js'] = '2KiB' },\n"
                " { 'both', push = { '/a.css', '/b.js' } },\n"
                " { 'held', client = { holds = { '/a.css' } }, push = { '/b.js' },\n"
                "   verdicts = { ['/a.css'] = 'held' } },\n"
                " { 'declined', client = { declined = { '/b.js' } }, push = { '/a.css' } },\n"
                " { 'big', files = { ['/b.js'] = 6000 }, verdicts = { ['/b.js'] = 'big' } },\n"
                " { 'gone', files = { ['/b.js'] = false }, verdicts = { ['/b.js'] = 'not_found' },\n"
                "   push = { '/a.css' } },\n"
                " { 'hints', client = { hints = true }, hint = { '/a.css', '/b.js' }, push = {} },\n"
                " { 'no push', client = { push = false }, push = {},\n"
                "   verdicts = { ['/a.css'] = 'push_disabled' } },\n"
                " { 'thrift', request = { headers = { ['save-data'] = 'on' } },\n"
                "   nothing = 'thrift', push = {} },\n"
                " { 'small page', push_max = 150, push = { '/a.css' } },\n"
                " { 'a script is no page', request = '/x.js', push = {} },\n"
                " { 'fails', request = '/boom', fails = 'p.lua:6: broken' },\n"
                " { 'asks', expect = function(got) assert(got.push[2] == '/b.js') end },\n"
                "}\n");
    int rc = rehearse(f, NULL, &heard);
    if (rc)
        print_error("%s", heard.said);
    assert_int_equal(rc, 0);
    assert_int_equal(heard.passed, 12);
}

static void a_failure_tells_the_difference_and_where(void **state)
{
    struct fixture *f = *state;
    struct heard heard;
    policy_file(f, "p.lua", POLICY);
    policy_file(f, "p_spec.lua",
                "return {\n"
                "  { 'wrong', files = { ['/a.css'] = 6000, ['/b.js'] = 1 },\n"
                "    push = { '/a.css', '/c.css' } },\n"
                "  { 'right', push = { '/a.css', '/b.js' } },\n"
                "}\n");
    assert_int_equal(rehearse(f, NULL, &heard), -EINVAL);
    assert_int_equal(heard.passed, 1);
    assert_string_equal(
        heard.said, "p_spec.lua:2: wrong\n"
                    "pushed:\n"
                    "  - /a.css  expected, but vetoed by p.lua, line 10: big\n"
                    "  - /c.css  expected, but nobody proposed it\n"
                    "  + /b.js  not expected, proposed by p.lua, line 5\n"
                    "    expected  /a.css  /c.css\n"
                    "    got       /b.js\n");
    assert_string_equal(f->fault.where, "p_spec.lua");
    assert_int_equal(f->fault.line, 2);
    assert_string_equal(f->fault.what, "the case \"wrong\" fails: pushed: - /a.css  expected, but "
                                       "vetoed by p.lua, line 10: big");
}

static void a_hook_that_fails_fails_its_case(void **state)
{
    struct fixture *f = *state;
    struct heard heard;
    policy_file(f, "p.lua", POLICY);
    policy_file(f, "p_spec.lua", "return { { 'x', request = '/boom', push = {} } }\n");
    assert_int_equal(rehearse(f, NULL, &heard), -EINVAL);
    assert_non_null(strstr(heard.said, "a hook failed:\n  p.lua:6: broken\n"));
}

static void what_makes_no_sense_names_the_nearest(void **state)
{
    static const struct {
        const char *text, *said;
    } CASES[] = {
        {"return { { 'x', psh = {} } }", "there is no key 'psh' in a case; did you mean 'push'?"},
        {"return { fils = {}, { 'x', push = {} } }", "did you mean 'files'?"},
        {"return { { 'x', client = { hold = {} }, push = {} } }", "did you mean 'holds'?"},
        {"return { { 'x', verdicts = { ['/a.css'] = 'hld' } } }", "did you mean 'held'?"},
        {"return { { 'x' } }", "the case expects nothing"},
        {"return { { push = {} } }", "has no name"},
        {"return {}", "1 to 1000 cases"},
        {"return 7", "returns no table of cases"},
        {"return { { 'x', push = '/a' } }", "push is a list of paths"},
        {"return { { 'x', request = 'a', push = {} } }", "begins with '/'"},
        {"return { { 'x', files = { ['/a.css'] = 'much' }, push = {} } }", "a number of bytes"},
        {"return { policy = 'q.lua', { 'x', push = {} } }", "no policy 'q.lua'"},
        {"return { { 'x', push = print } }", "there is no global 'print'"},
        {"return { { 'x', push = assert } }", "functions called 'expect'"},
        {"local t = {} t[1] = t return { t }", "a table that contains itself"},
        {"while true do end", "soft deadline"},
        {"return { { 'x', expect = function() while true do end end } }", "soft deadline"},
        {"return { { 'x', expect = function() return false, 'why' end } }", "returned false: why"},
        {"return { {", "unexpected symbol"},
    };
    struct fixture *f = *state;
    policy_file(f, "p.lua", POLICY);
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct heard heard;
        policy_file(f, "p_spec.lua", CASES[i].text);
        assert_int_equal(rehearse(f, NULL, &heard), -EINVAL);
        if (!strstr(heard.said, CASES[i].said))
            print_error("%s: %s\n", CASES[i].text, heard.said);
        assert_non_null(strstr(heard.said, CASES[i].said));
        assert_true(f->fault.what[0] != '\0');
    }
}

static void a_spec_tries_several_policies_with_arguments(void **state)
{
    struct fixture *f = *state;
    struct heard heard;
    policy_file(f, "both_spec.lua",
                "return { policies = { 'scan', { 'budget', max_count = 1 } },\n"
                "  assets = { ['/'] = { '/a.css', '/b.js' } },\n"
                "  { 'one', push = { '/a.css' }, verdicts = { ['/b.js'] = 'max_count' } } }\n");
    int rc = rehearse(f, "both_spec.lua", &heard);
    if (rc)
        print_error("%s", heard.said);
    assert_int_equal(rc, 0);
    assert_int_equal(rehearse(f, "none_spec.lua", &heard), -ENOENT);
}

static void cases_do_not_see_each_other(void **state)
{
    struct fixture *f = *state;
    struct heard heard;
    policy_file(f, "p.lua", "local n = 0\n"
                            "return function(req, push) n = n + 1 push:add('/' .. n) end\n");
    policy_file(f, "p_spec.lua", "return { { 'a', push = { '/1' } }, { 'b', push = { '/1' } } }\n");
    assert_int_equal(rehearse(f, NULL, &heard), 0);
    assert_int_equal(heard.passed, 2);
}

static void without_specs_there_is_nothing_to_fail(void **state)
{
    struct fixture *f = *state;
    struct heard heard;
    policy_file(f, "p.lua", POLICY);
    assert_int_equal(rehearse(f, NULL, &heard), 0);
    assert_int_equal(heard.passed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_spec_says_what_is_pushed_for_which_client, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_failure_tells_the_difference_and_where, setup, teardown),
        cmocka_unit_test_setup_teardown(a_hook_that_fails_fails_its_case, setup, teardown),
        cmocka_unit_test_setup_teardown(what_makes_no_sense_names_the_nearest, setup, teardown),
        cmocka_unit_test_setup_teardown(a_spec_tries_several_policies_with_arguments, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(cases_do_not_see_each_other, setup, teardown),
        cmocka_unit_test_setup_teardown(without_specs_there_is_nothing_to_fail, setup, teardown),
    };
    return cmocka_run_group_tests_name("policy_rehearsal", tests, NULL, NULL);
}

/* Hooks, what they are given, what they may return, and what loading says of mistakes. */
#include "tests/unit/policy_fixture.h"

static void a_bare_function_is_on_request_for_documents(void **state)
{
    struct fixture *f = *state;
    only_policy(f, "return function(req, push) push:add('/a.css') end");
    must_open(f);
    assert_true(policy_applies(f->list, &f->request));
    page(f);
    proposes(f, 0, "/a.css");
    assert_int_equal(f->decision.items[0].as, AS_STYLE);
    assert_string_equal(f->decision.items[0].proposer, "p.lua");
    f->request.dest = AS_STYLE;
    assert_false(policy_applies(f->list, &f->request));
    page(f);
    assert_int_equal(f->decision.count, 0);
    f->request.dest = AS_DOCUMENT;
    f->request.method = SPAN_LITERAL("HEAD");
    assert_false(policy_applies(f->list, &f->request));
    no_failure(f);
}

static void applies_is_tested_before_any_lua_runs(void **state)
{
    struct fixture *f = *state;
    only_policy(f, "return { api = 1,\n"
                   "  applies = { dest = { 'style', 'script' }, path = { '/shop/*', '*.css' },\n"
                   "              method = '*' },\n"
                   "  on_request = function(_, push) push:add('/x') end }");
    must_open(f);
    static const struct {
        enum asset_as dest;
        const char *path, *method;
        bool applies;
    } CASES[] = {
        {AS_STYLE, "/shop/a", "GET", true},    {AS_SCRIPT, "/b.css", "POST", true},
        {AS_STYLE, "/b.js", "GET", false},     {AS_DOCUMENT, "/shop/a", "GET", false},
        {AS_UNKNOWN, "/shop/a", "GET", false}, {AS_STYLE, "/shop/", "BREW", true},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        f->request.dest = CASES[i].dest;
        f->request.path = span_of(CASES[i].path);
        f->request.method = span_of(CASES[i].method);
        uint64_t calls = policy_vm_calls(f->vm);
        assert_int_equal(policy_applies(f->list, &f->request), CASES[i].applies);
        page(f);
        assert_int_equal(f->decision.count, CASES[i].applies);
        assert_int_equal(policy_vm_calls(f->vm) - calls, CASES[i].applies);
    }
    no_failure(f);
}

static void any_destination_is_a_star(void **state)
{
    struct fixture *f = *state;
    only_policy(f, "return { api = 1, applies = { dest = '*' },\n"
                   "  on_request = function(_, push) push:add('/x') end }");
    must_open(f);
    for (unsigned as = 0; as < AS_KINDS; as++) {
        f->request.dest = (enum asset_as)as;
        assert_true(policy_applies(f->list, &f->request));
    }
}

#define EQUALS(what, value) \
    "  if " what " ~= " value " then error('" what " is ' .. tostring(" what ")) end\n"

static void a_request_shows_all_its_fields(void **state)
{
    struct fixture *f = *state;
    f->fields[0] = (struct field){SPAN_LITERAL("accept"), SPAN_LITERAL("text/html")};
    f->fields[1] = (struct field){SPAN_LITERAL("cookie"), SPAN_LITERAL("a=1; b=\"x=y\"")};
    f->fields[2] = (struct field){SPAN_LITERAL("cookie"), SPAN_LITERAL("c=3;a=9")};
    f->fields[3] = (struct field){SPAN_LITERAL("ect"), SPAN_LITERAL("3g")};
    f->fields[4] = (struct field){SPAN_LITERAL("x-empty"), SPAN_LITERAL("")};
    f->request.fields_count = 5;
    f->request.save_data = true;
    f->request.client.identified_by = IDENTIFY_TLS;
    f->request.client.rtt_us = 1500;
    f->request.client.cwnd_bytes = 14600;
    f->request.client.bandwidth_bps = 5000000000;
    f->has = CLIENT_STALE;
    only_policy(
        f, "return function(req, push)\n" EQUALS("req.id", "\"00112233aabbccdd\"") EQUALS(
               "req.method", "\"GET\"") EQUALS("req.scheme", "\"https\"")
               EQUALS("req.host", "\"www.example.com\"") EQUALS("req.path", "\"/shop/\"") EQUALS(
                   "req.query", "\"q=1\"") EQUALS("req.dest", "\"document\"") EQUALS("req.mode",
                                                                                     "\"navigate\"")
                   EQUALS("req.referer_path", "nil") EQUALS("req.save_data", "true") EQUALS(
                       "req.revalidate", "false") EQUALS("req.headers.accept", "\"text/html\"")
                       EQUALS("req.headers[\"Accept\"]", "\"text/html\"") EQUALS(
                           "req.headers[\"x-empty\"]", "\"\"") EQUALS("req.headers.none", "nil")
                           EQUALS("req.headers[(\"x\"):rep(500)]", "nil") EQUALS(
                               "req.cookies.a", "\"1\"") EQUALS("req.cookies.b", "\"\\\"x=y\\\"\"")
                               EQUALS("req.cookies.c", "\"3\"") EQUALS("req.cookies.d", "nil")
                                   EQUALS("req.client.id", "\"c11e17\"") EQUALS(
                                       "req.client.identified_by",
                                       "\"tls\"") EQUALS("req.client.can.push", "true")
                                       EQUALS("req.client.can.hints",
                                              "false") EQUALS("req.client.rtt_ms", "1.5")
                                           EQUALS("req.client.cwnd_bytes",
                                                  "14600") EQUALS("req.client.bandwidth_bps", "5e9")
                                               EQUALS("req.client.ect", "\"3g\"") EQUALS(
                                                   "req.client:has(\"/a.css\")", "\"stale\"")
                                                   EQUALS("req.client:has(\"/none.css\")", "nil")
                                                       EQUALS("tostring(req)", "\"req\"") EQUALS(
                                                           "tostring(req.client)",
                                                           "\"req.client\"") "  push:add('/done')\n"
                                                                             "end");
    must_open(f);
    page(f);
    no_failure(f);
    proposes(f, 0, "/done");
}

/* It names a client, and policies may log what they see. */
static void the_clients_own_cookie_is_shown_to_no_policy(void **state)
{
    struct fixture *f = *state;
    f->fields[0] = (struct field){SPAN_LITERAL("cookie"), SPAN_LITERAL("__Host-herald=secret")};
    f->fields[1] = (struct field){
        SPAN_LITERAL("cookie"), SPAN_LITERAL("a=1;herald=secret; b=2 ;__Host-herald=secret;heralds=3")};
    f->request.fields_count = 2;
    only_policy(f, "return function(req, push)\n" EQUALS("req.headers.cookie",
                                                         "\"a=1; b=2; heralds=3\"")
                       EQUALS("req.headers.Cookie", "\"a=1; b=2; heralds=3\"")
                           EQUALS("req.cookies.a", "\"1\"") EQUALS("req.cookies.heralds", "\"3\"")
                               EQUALS("req.cookies.herald", "nil")
                                   EQUALS("req.cookies[\"__Host-herald\"]",
                                          "nil") "  push:add('/done')\nend");
    must_open(f);
    page(f);
    no_failure(f);
    proposes(f, 0, "/done");
    close_vm(f);
    f->request.fields_count = 1;
    only_policy(f, "return function(req, push)\n" EQUALS("req.headers.cookie", "nil")
                "  push:add('/done')\nend");
    must_open(f);
    page(f);
    no_failure(f);
}

static void what_is_not_known_of_a_client_is_nil(void **state)
{
    struct fixture *f = *state;
    f->request.client = (struct client_facts){.id = ""};
    f->request.mode = SPAN_LITERAL("");
    f->request.dest = AS_UNKNOWN;
    f->request.referer_path = SPAN_LITERAL("/from");
    f->has = CLIENT_DECLINED;
    only_policy(
        f, "return { api = 1, applies = { dest = '*' }, on_request = function(req, push)\n" EQUALS(
               "req.client.id", "nil") EQUALS("req.client.identified_by", "nil")
               EQUALS("req.client.rtt_ms", "nil") EQUALS("req.client.cwnd_bytes", "nil")
                   EQUALS("req.client.bandwidth_bps", "nil") EQUALS("req.client.ect",
                                                                    "nil") EQUALS("req.mode", "nil")
                       EQUALS("req.dest", "nil") EQUALS("req.referer_path", "\"/from\"")
                           EQUALS("req.client:has(\"/a\")", "\"declined\"") "  push:add('/done')\n"
                                                                            "end }");
    must_open(f);
    page(f);
    no_failure(f);
    proposes(f, 0, "/done");
}

static void a_misspelt_field_is_named_with_the_nearest_one(void **state)
{
    static const struct {
        const char *expression, *what;
    } CASES[] = {
        {"req.pth", "req has no field 'pth'; did you mean 'path'?"},
        {"req.client.cwnd", "client has no field 'cwnd'"},
        {"req.client.can.hint", "can has no field 'hint'; did you mean 'hints'?"},
        {"push:ad('/a')", "push has no field 'ad'; did you mean 'add'?"},
        {"push.budget", "push has no field 'budget'"},
        {"push.byte", "push has no field 'byte'; did you mean 'bytes'?"},
        {"req[1]", "req has no field 'number'"},
        {"policy.verson", "policy has no member 'verson'; did you mean 'version'?"},
        {"policy.args.max", "the policy declares no argument 'max'"},
        {"util.globb('', '')", "util has no member 'globb'; did you mean 'glob'?"},
        {"stats.cancel_ration('/')",
         "stats has no member 'cancel_ration'; did you mean 'cancel_ratio'?"},
        {"assets.off('/')", "assets has no member 'off'; did you mean 'of'?"},
        {"log.inf('x')", "log has no member 'inf'; did you mean 'info'?"},
        {"push:add('/a', { urgent = 1 })", "there is no option 'urgent'; did you mean 'urgency'?"},
        {"push:add('/a', { 1 })", "there is no option '?'"},
        {"push:add('/a', { as = 'styl' })",
         "there is no destination 'styl'; did you mean 'style'?"},
        {"push:add('/a', { as = 1 })", "there is no destination 'number'"},
        {"push:add('/a', { urgency = 8 })", "urgency is an integer from 0 to 7"},
        {"push:add('/a', { urgency = 1.5 })", "urgency is an integer from 0 to 7"},
        {"push:add('/a', { urgency = '1' })", "urgency is an integer from 0 to 7"},
        {"push:add('/a', { incremental = 1 })", "incremental is true or false, not a number"},
        {"push:add('/a', { fetch = 'yes' })", "fetch is true or false, not a string"},
        {"push:add('/a', { why = {} })", "why is a string, not a table"},
        {"push:add('/a', '/b')", "table expected, got string"},
        {"push:add()", "string expected, got no value"},
        {"push:add_all('/a')", "table expected, got string"},
        {"push:add_all({ '/a', 1 })", "item 2 of push:add_all is a path or a table, not a number"},
        {"push:add_all({ { as = 'style' } })", "item 1 of push:add_all has no path, a string"},
        {"push:add_all({ { path = 1 } })", "item 1 of push:add_all has no path, a string"},
        {"push:add_all({ { path = '/a', urgent = 1 } })",
         "there is no option 'urgent'; did you mean 'urgency'?"},
        {"push:add_all({}, { urgent = 1 })", "there is no option 'urgent'"},
        {"(function(t) for i = 1, 1025 do t[i] = '/a' end push:add_all(t) end)({})",
         "push:add_all takes a list of at most 1024"},
        {"push:skip('/a', {})", "string expected, got table"},
        {"push.add('/a')", "push expected, got string"},
        {"req.client:has('a')", "an absolute path is wanted"},
        {"req.client.has(req, '/a')", "req.client expected"},
        {"util.bucket(req, 2)", "req.client expected"},
        {"util.bucket(req.client, 0)", "an integer from 1 is wanted"},
        {"util.bucket(req.client, 0/0)", "an integer from 1 is wanted"},
        {"log.info('x', { f = {} })", "field 'f' is a table"},
        {"log.info('x', { 1 })", "the names of fields are strings"},
        {"log.info('x', { a = 1/0 })", "not a finite number"},
        {"log.info('x', { a = ('x'):rep(3000) })", "more than 2048 bytes"},
        {"policy.data('none.json')", "no file 'none.json'"},
        {"policy.manifest('bad.json')", "bad.json:2: "},
        {"policy.manifest('deep.json')", "deep.json: nested deeper than 64"},
        {"require('hepler')",
         "no file 'hepler.lua' among the policies; did you mean 'helper.lua'?"},
        {"require('')", "no file can be called ''"},
        {"assert(false, 'my words')", "my words"},
    };
    struct fixture *f = *state;
    char text[256];
    policy_file(f, "helper.lua", "return {}");
    write_file(f->root, "bad.json", "{\n\"a\" 1}", 8);
    char deep[200];
    memset(deep, '[', 100);
    memset(deep + 100, ']', 100);
    write_file(f->root, "deep.json", deep, 200);
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        snprintf(text, sizeof(text),
                 "return function(req, push)\n\n  local v = %s\n  return v\nend",
                 CASES[i].expression);
        f->route.policies_count = 0;
        memset(f->failures, 0, sizeof(f->failures));
        only_policy(f, text);
        must_open(f);
        page(f);
        failed_with(f, POLICY_ERROR, "p.lua", 3, CASES[i].what);
        close_vm(f);
    }
}

static void proposals_carry_their_options(void **state)
{
    struct fixture *f = *state;
    only_policy(f, "return function(req, push)\n"
                   "  assert(push:add('/a', { as = 'fetch', urgency = 2, incremental = true, fetch = true,\n"
                   "                          why = 'because', crossorigin = true }))\n"
                   "  assert(push:add('/f.woff2'))\n"
                   "  assert(push:add('/g.woff2', { crossorigin = false }))\n"
                   "  assert(push:hint('/h.js'))\n"
                   "  assert(push:preconnect('https://img.example.com'))\n"
                   "  local taken, why = push:add('/a')\n"
                   "  assert(taken == false and why == 'duplicate')\n"
                   "  assert(select(2, push:add('a')) == 'bad_path')\n"
                   "  assert(select(2, push:add('//other/a')) == 'other_authority')\n"
                   "  assert(select(2, push:add('/shop/?q=1')) == 'self')\n"
                   "  assert(push:skip('/late', 'no'))\n"
                   "  assert(select(2, push:add('/late')) == 'skipped')\n"
                   "  local seen = ''\n"
                   "  for r in push:each() do seen = seen .. r.kind .. r.path .. ' ' end\n"
                   "  assert(seen == 'push/a push/f.woff2 push/g.woff2 hint/h.js '\n"
                   "    .. 'preconnecthttps://img.example.com push/late ', seen)\n"
                   "end");
    must_open(f);
    page(f);
    no_failure(f);
    const struct candidate *a = &f->decision.items[0];
    assert_int_equal(a->as, AS_FETCH);
    assert_int_equal(a->urgency, 2);
    assert_true(a->incremental && a->crossorigin && a->fetch);
    assert_false(f->decision.items[1].fetch);
    assert_true(span_equal(a->why, SPAN_LITERAL("because")));
    assert_true(f->decision.items[1].crossorigin);
    assert_int_equal(f->decision.items[1].urgency, CANDIDATE_URGENCY_UNSET);
    assert_false(f->decision.items[2].crossorigin);
    assert_int_equal(f->decision.items[3].kind, CANDIDATE_HINT);
    assert_int_equal(f->decision.items[3].as, AS_SCRIPT);
    assert_int_equal(f->decision.items[4].kind, CANDIDATE_PRECONNECT);
    assert_int_equal(f->decision.items[5].verdict, REASON_SKIPPED);
}

static void a_list_is_proposed_like_its_items(void **state)
{
    struct fixture *f = *state;
    only_policy(f, "return function(req, push)\n"
                   "  local list = { '/a.css', { path = '/b', as = 'script', urgency = 1 }, '/a.css', 'bad',\n"
                   "                 { path = '/c.woff2', fetch = false, crossorigin = false } }\n"
                   "  assert(push:add_all(list, { urgency = 4, fetch = true, why = 'all' }) == 3)\n"
                   "  assert(push:add_all({}) == 0 and push:add_all({ '/d.woff2' }) == 1)\n"
                   "end");
    must_open(f);
    page(f);
    no_failure(f);
    const struct candidate *items = f->decision.items;
    assert_int_equal(f->decision.count, 4);
    assert_int_equal(items[0].as, AS_STYLE);
    assert_int_equal(items[0].urgency, 4);
    assert_true(items[0].fetch && span_equal(items[0].why, SPAN_LITERAL("all")));
    assert_int_equal(items[1].as, AS_SCRIPT);
    assert_int_equal(items[1].urgency, 1);
    assert_true(items[1].fetch);
    assert_int_equal(items[2].as, AS_FONT);
    assert_int_equal(items[2].urgency, 4);
    assert_false(items[2].fetch || items[2].crossorigin);
    assert_true(items[3].crossorigin);
    assert_int_equal(items[3].urgency, CANDIDATE_URGENCY_UNSET);
}

static void a_response_shows_all_its_fields(void **state)
{
    struct fixture *f = *state;
    struct field fields[] = {{SPAN_LITERAL("server"), SPAN_LITERAL("x")}};
    f->response.fields = fields;
    f->response.fields_count = 1;
    f->links[0] = (struct response_link){.path = SPAN_LITERAL("/l.css"),
                                         .rel = SPAN_LITERAL("preload"),
                                         .as = AS_STYLE,
                                         .fetchpriority = SPAN_LITERAL("high"),
                                         .nopush = true,
                                         .crossorigin = true,
                                         .same_origin = true};
    f->links[1] = (struct response_link){.path = SPAN_LITERAL("https://a.example/"),
                                         .rel = SPAN_LITERAL("preconnect")};
    f->response.links_count = 2;
    only_policy(
        f, "return { api = 1, on_response = function(req, res, push)\n" EQUALS("res.status", "200")
               EQUALS("res.mime", "\"text/html\"") EQUALS("res.size", "1234") EQUALS(
                   "res.etag", "'\"e\"'") EQUALS("res.cacheable", "true") EQUALS("res.ttl_s", "60")
                   EQUALS("res.from", "\"file\"") EQUALS("res.headers.Server", "\"x\"")
                       EQUALS("#res.links", "2") EQUALS("res.links[1].path", "\"/l.css\"") EQUALS(
                           "res.links[1].rel", "\"preload\"") EQUALS("res.links[1].as", "\"style\"")
                           EQUALS("res.links[1].fetchpriority", "\"high\"")
                               EQUALS("res.links[1].nopush", "true")
                                   EQUALS("res.links[1].crossorigin", "true")
                                       EQUALS("res.links[1].same_origin", "true")
                                           EQUALS("res.links[2].path", "\"https://a.example/\"")
                                               EQUALS("res.links[2].as", "nil")
                                                   EQUALS("res.links[2].same_origin",
                                                          "nil") "  push:add('/done')\n"
                                                                 "end }");
    must_open(f);
    page(f);
    respond(f);
    no_failure(f);
    proposes(f, 0, "/done");
}

static void a_list_is_the_callers_own_and_its_records_are_not(void **state)
{
    struct fixture *f = *state;
    f->assets = calloc(1, sizeof(struct assets) + 2 * sizeof(struct asset));
    f->assets->count = 2;
    f->assets->items[0] = (struct asset){.path = SPAN_LITERAL("/1.css"),
                                         .as = AS_STYLE,
                                         .blocking = true,
                                         .priority = ASSETS_PRIORITY_HIGH};
    f->assets->items[1] =
        (struct asset){.path = SPAN_LITERAL("/2.woff2"), .as = AS_FONT, .crossorigin = true};
    only_policy(
        f,
        "return function(req, push)\n"
        "  local list = assets.of(req.path)\n" EQUALS("#list", "2") EQUALS("list[1].path",
                                                                           "\"/1.css\"")
            EQUALS("list[1].as", "\"style\"") EQUALS("list[1].blocking", "true")
                EQUALS("list[1].priority", "\"high\"") EQUALS("list[1].crossorigin", "nil")
                    EQUALS("list[2].blocking", "nil") EQUALS("list[2].crossorigin", "true")
                        EQUALS("#assets.of(\"/elsewhere\")",
                               "0") "  table.remove(list, 1)\n" EQUALS("#list", "1")
                            EQUALS("#assets.of(req.path)",
                                   "2") "  assert(not pcall(function() list[1].note = 'x' end))\n"
                                        "  assert(not pcall(rawset, list[1], 'note', 'x'))\n"
                                        "  assert(getmetatable(list[1]) == false)\n"
                                        "  push:add('/done')\n"
                                        "end");
    must_open(f);
    for (unsigned i = 0; i < 3; i++) {
        page(f);
        no_failure(f);
        proposes(f, 0, "/done");
    }
}

static void a_changed_page_has_other_assets_at_once(void **state)
{
    struct fixture *f = *state;
    char path[32];
    f->assets = calloc(1, sizeof(struct assets) + sizeof(struct asset));
    f->assets->count = 1;
    only_policy(f, "return function(req, push)\n"
                   "  for _, a in ipairs(assets.of(req.path)) do\n"
                   "    push:add(a.path, { as = a.as })\n"
                   "  end\n"
                   "end");
    must_open(f);
    /* In the same memory each time, and more of them than are kept. */
    for (unsigned i = 0; i < 500; i++) {
        snprintf(path, sizeof(path), "/%u.css", i % 100);
        f->assets->items[0] =
            (struct asset){.path = span_of(path), .as = i % 3 ? AS_STYLE : AS_FETCH};
        page(f);
        no_failure(f);
        assert_int_equal(f->decision.count, 1);
        proposes(f, 0, path);
        assert_int_equal(f->decision.items[0].as, i % 3 ? AS_STYLE : AS_FETCH);
    }
}

static void any_veto_wins_and_says_why(void **state)
{
    struct fixture *f = *state;
    policy_file(f, "a.lua",
                "return function(_, push)\n"
                "  for _, p in ipairs({ 'a', 'b', 'c', 'd' }) do push:add('/' .. p) end\n"
                "end");
    policy_file(
        f, "b.lua",
        "return { api = 1, on_push = function(req, r, push)\n"
        "  assert(r.size == 100 and r.mime == 'text/css' and r.etag == '\"v1\"')\n"
        "  assert(r.cacheable and r.has == nil and r.proposer == 'a' and r.urgency == nil)\n"
        "  if r.path == '/a' then return false, 'not today' end\n"
        "  if r.path == '/b' then return 'hint', 'rather' end\n"
        "end }");
    policy_file(f, "c.lua",
                "return { api = 1, on_push = function(req, r, push)\n"
                "  assert(r.path ~= '/a' and push.budget_bytes == 1000)\n"
                "  assert(r.path ~= '/b' or r.kind == 'hint')\n"
                "  if r.path == '/d' then\n"
                "    assert(push.bytes == 100 and push.count == 1)\n"
                "    return false\n"
                "  end\n"
                "end }");
    use_policy(f, "a", "{}");
    use_policy(f, "b", "{}");
    use_policy(f, "c", "{}");
    f->decision.budget_bytes = 1000;
    must_open(f);
    page(f);
    judge(f, 100);
    no_failure(f);
    const struct candidate *items = f->decision.items;
    assert_int_equal(items[0].verdict, REASON_VETOED);
    assert_string_equal(items[0].judge, "b");
    assert_true(span_equal(items[0].why, SPAN_LITERAL("not today")));
    assert_int_equal(items[1].verdict, REASON_PENDING);
    assert_int_equal(items[1].kind, CANDIDATE_HINT);
    assert_true(span_equal(items[1].why, SPAN_LITERAL("rather")));
    assert_int_equal(items[2].verdict, REASON_PENDING);
    assert_null(items[2].judge);
    assert_int_equal(items[3].verdict, REASON_VETOED);
    assert_string_equal(items[3].judge, "c");
}

static void a_failing_judge_vetoes(void **state)
{
    struct fixture *f = *state;
    only_policy(f, "return { api = 1,\n"
                   "  on_request = function(_, push) push:add('/a') end,\n"
                   "  on_push = function(req, r) return r.path.x.y end }");
    must_open(f);
    page(f);
    judge(f, 1);
    failed_with(f, POLICY_ERROR, "p.lua", 3, "there is no 'string.x'");
    assert_int_equal(f->decision.items[0].verdict, REASON_POLICY_FAILED);
    assert_string_equal(f->decision.items[0].judge, "p.lua");
}

static void results_that_mean_nothing_are_errors(void **state)
{
    struct fixture *f = *state;
    only_policy(f, "return { api = 1,\n"
                   "  on_request = function(_, push) push:add('/a') end,\n"
                   "  on_push = function() return 'hold' end }");
    must_open(f);
    page(f);
    judge(f, 1);
    failed_with(f, POLICY_ERROR, "p.lua", 3, "on_push returns nothing, false or 'hint', not a");
    assert_int_equal(f->decision.items[0].verdict, REASON_POLICY_FAILED);
    close_vm(f);
    memset(f->failures, 0, sizeof(f->failures));
    policy_file(f, "p.lua", "return function(_, push) push:add('/a') return {} end");
    must_open(f);
    page(f);
    failed_with(f, POLICY_ERROR, "p.lua", 1, "on_request returns nothing, or false and a word");
    assert_int_equal(f->decision.count, 0);
}

static void a_failing_proposer_proposes_nothing_and_others_go_on(void **state)
{
    struct fixture *f = *state;
    policy_file(f, "a.lua", "return function(_, push) push:add('/a') end");
    policy_file(f, "b.lua", "return function(_, push)\n  push:add('/b')\n  error('no')\nend");
    policy_file(f, "c.lua", "return function(_, push) push:add('/b') end");
    use_policy(f, "a", "{}");
    use_policy(f, "b", "{}");
    use_policy(f, "c", "{}");
    must_open(f);
    page(f);
    failed_with(f, POLICY_ERROR, "b.lua", 3, "no");
    assert_string_equal(f->failed_policy, "b");
    assert_int_equal(f->decision.count, 2);
    proposes(f, 0, "/a");
    proposes(f, 1, "/b");
    assert_string_equal(f->decision.items[1].proposer, "c");
}

static void returning_false_takes_back_and_says_why(void **state)
{
    struct fixture *f = *state;
    only_policy(f, "return function(_, push) push:add('/a') return false, 'a sale is on' end");
    must_open(f);
    page(f);
    no_failure(f);
    assert_int_equal(f->decision.count, 0);
    assert_int_equal(f->decision.notes_count, 1);
    assert_string_equal(f->decision.notes[0].policy, "p.lua");
    assert_true(span_equal(f->decision.notes[0].why, SPAN_LITERAL("a sale is on")));
}

/* Neither an error nor a return that takes back. */
static void ends_beyond_what_a_page_may_have(struct fixture *f, const char *call, unsigned most)
{
    char text[512];
    snprintf(text, sizeof(text),
             "return function(req, push)\n"
             "  for i = 1, 1000 do local path = '/' .. i %s end\n"
             "  push:add('/after') return false, 'it came to its end'\n"
             "end",
             call);
    only_policy(f, text);
    f->config.policy.soft_ms = 500; /* it is not what ends it, however slow this machine is */
    must_open(f);
    page(f);
    no_failure(f);
    assert_int_equal(f->decision.count, DECISION_CANDIDATES_MAX);
    assert_int_equal(f->decision.notes_count, 0);
    assert_in_range(f->decision.overflowed, DECISION_REFUSED_MAX + 1, most);
}

static void a_proposer_that_goes_on_beyond_what_a_page_may_have_is_ended(void **state)
{
    ends_beyond_what_a_page_may_have(*state, "push:add(path)", DECISION_REFUSED_MAX + 1);
}

static void a_pcall_keeps_no_such_proposer_alive(void **state)
{
    ends_beyond_what_a_page_may_have(*state, "pcall(push.add, push, path)", 1000);
}

static void a_proposer_after_one_that_was_ended_has_its_turn(void **state)
{
    struct fixture *f = *state;
    policy_file(f, "many.lua",
                "return function(_, push) for i = 1, 1000 do push:add('/' .. i) end end");
    policy_file(f, "few.lua",
                "return function(req, push) req.vars.seen = true push:add('/few')\n"
                "  return false, 'nothing left' end");
    use_policy(f, "many", "{}");
    use_policy(f, "few", "{}");
    f->config.policy.soft_ms = 500;
    must_open(f);
    page(f);
    no_failure(f);
    assert_int_equal(f->decision.count, DECISION_CANDIDATES_MAX);
    assert_int_equal(f->decision.notes_count, 1);
    assert_string_equal(f->decision.notes[0].policy, "few");
}

static void an_error_in_a_helper_names_the_caller_too(void **state)
{
    struct fixture *f = *state;
    policy_file(f, "lib/helper.lua",
                "local M = {}\n\nfunction M.go(x) local y = x.y return y end\n"
                "return M");
    only_policy(f, "local helper = require('lib.helper')\n"
                   "return function(req)\n"
                   "  local v = helper.go(nil)\n"
                   "  return v\n"
                   "end");
    must_open(f);
    page(f);
    failed_with(f, POLICY_ERROR, "lib/helper.lua", 3, "attempt to index");
    assert_non_null(strstr(f->last.what, "(called at p.lua:3)"));
}

static void objects_die_with_their_hook(void **state)
{
    static const char *const KEPT[] = {"req",         "push",        "req.client",
                                       "req.headers", "req.cookies", "req.client.can"};
    static const char *const USES[] = {"old.path",   "old.bytes", "old.id",
                                       "old.accept", "old.a",     "old.push"};
    struct fixture *f = *state;
    char text[512], what[64];
    for (size_t i = 0; i < sizeof(KEPT) / sizeof(KEPT[0]); i++) {
        snprintf(text, sizeof(text),
                 "local old\nreturn function(req, push)\n"
                 "  if old then return nil, %s end\n  old = %s\nend",
                 USES[i], KEPT[i]);
        snprintf(what, sizeof(what), "%s is used after its hook ended", KEPT[i]);
        f->route.policies_count = 0;
        only_policy(f, text);
        must_open(f);
        for (unsigned n = 0; n < 20; n++) {
            memset(f->failures, 0, sizeof(f->failures));
            page(f);
            if (n > 0)
                failed_with(f, POLICY_ERROR, "p.lua", 3, what);
        }
        close_vm(f);
    }
}

static void a_method_kept_from_an_old_object_checks_it_too(void **state)
{
    struct fixture *f = *state;
    only_policy(f, "local old, add\n"
                   "return function(req, push)\n"
                   "  if old then add(old, '/x') end\n"
                   "  old, add = push, push.add\n"
                   "end");
    must_open(f);
    page(f);
    page(f);
    failed_with(f, POLICY_ERROR, "p.lua", 3, "push is used after its hook ended");
}

static void proposals_end_with_the_proposing_hooks(void **state)
{
    struct fixture *f = *state;
    only_policy(f, "return { api = 1,\n"
                   "  on_request = function(_, push) push:add('/a') end,\n"
                   "  on_push = function(req, r, push) push:add('/b') end }");
    must_open(f);
    page(f);
    judge(f, 1);
    failed_with(f, POLICY_ERROR, "p.lua", 3, "push:add is called in on_push");
    assert_int_equal(f->decision.count, 1);
}

static void vars_last_for_the_request_and_are_shared(void **state)
{
    struct fixture *f = *state;
    policy_file(f, "a.lua",
                "return { api = 1,\n"
                "  on_request = function(req, push)\n"
                "    assert(next(req.vars) == nil)\n"
                "    req.vars.n = 1 push:add('/a')\n"
                "  end,\n"
                "  on_push_result = function(req, r, result)\n"
                "    log.info(result, { n = req.vars.n, path = r.path })\n"
                "  end }");
    policy_file(f, "b.lua",
                "return { api = 1,\n"
                "  on_response = function(req) req.vars.n = req.vars.n + 1 end,\n"
                "  on_push = function(req) req.vars.n = req.vars.n * 10 end }");
    use_policy(f, "a", "{}");
    use_policy(f, "b", "{}");
    must_open(f);
    for (unsigned i = 0; i < 20000; i++) {
        page(f);
        respond(f);
        judge(f, 1);
        policy_on_push_result(f->vm, f->list, &f->request, &f->decision.items[0],
                              PUSH_RESULT_CANCELLED);
        policy_request_done(f->vm, &f->request);
        assert_int_equal(f->request.vars, 0);
    }
    no_failure(f);
    assert_string_equal(f->message, "cancelled");
    assert_string_equal(f->json, "{\"n\":20,\"path\":\"/a\"}");
}

static void vars_of_too_many_requests_are_refused(void **state)
{
    struct fixture *f = *state;
    enum { REQUESTS = 8192 + 1 };
    int *kept = calloc(REQUESTS, sizeof(*kept));
    only_policy(f, "return function(req) req.vars.x = 1 end");
    must_open(f);
    for (unsigned i = 0; i < REQUESTS; i++) {
        f->request.vars = 0;
        page(f);
        kept[i] = f->request.vars;
    }
    failed_with(f, POLICY_ERROR, "p.lua", 1, "8192 requests under way have theirs already");
    for (unsigned i = 0; i < REQUESTS; i++) {
        f->request.vars = kept[i];
        policy_request_done(f->vm, &f->request);
    }
    page(f);
    assert_int_equal(failures(f), 1);
    free(kept);
}

static void only_lists_with_the_hook_want_results(void **state)
{
    struct fixture *f = *state;
    only_policy(f, "return { api = 1, on_push_result = function() end }");
    must_open(f);
    assert_true(policy_wants_results(f->list));
    close_vm(f);
    policy_file(f, "p.lua", "return function() end");
    must_open(f);
    assert_false(policy_wants_results(f->list));
    assert_false(policy_wants_results(NULL));
    assert_false(policy_applies(NULL, &f->request));
}

static void each_policy_of_each_list_has_a_state_of_its_own(void **state)
{
    struct fixture *f = *state;
    struct config_policy other[] = {
        {.name = (char *)(uintptr_t) "p.lua", .arguments = (char *)(uintptr_t) "{\"n\":3}"}};
    struct config_route routes[] = {f->route, f->route, f->route};
    policy_file(f, "counter.lua", "local n = 0\nreturn { up = function() n = n + 1 return n end }");
    policy_file(f, "p.lua",
                "local counter = require('counter')\n"
                "return { api = 1, args = { n = 'number' },\n"
                "  on_request = function(_, push)\n"
                "    push:add('/' .. policy.args.n .. '/' .. counter.up())\n"
                "  end }");
    use_policy(f, "p.lua", "{\"n\":1}");
    use_policy(f, "p.lua", "{\"n\":2}");
    routes[0].policies_count = 2;
    routes[1] = (struct config_route){.policies = other, .policies_count = 1, .list = 1};
    routes[2].policies_count = 0;
    routes[2].list = 2;
    f->site.routes = routes;
    f->site.routes_count = 3;
    f->bundle = bundle_create(&f->config, &f->fault);
    assert_int_equal(policy_vm_create(&f->config, f->bundle, &f->host, &f->vm, &f->fault), 0);
    f->list = policy_vm_list(f->vm, &f->site, &routes[0]);
    page(f);
    page(f);
    proposes(f, 0, "/1/2");
    proposes(f, 1, "/2/2");
    f->list = policy_vm_list(f->vm, &f->site, &routes[1]);
    page(f);
    proposes(f, 0, "/3/1");
    assert_null(policy_vm_list(f->vm, &f->site, &routes[2]));
    no_failure(f);
}

static void arguments_are_checked_against_their_types(void **state)
{
    static const struct {
        const char *arguments, *what;
    } CASES[] = {
        {"{}", "policy 'p.lua' needs the argument 's', a string"},
        {"{\"s\":1}", "takes an argument 's' that is a string"},
        {"{\"s\":\"x\",\"siz\":2}", "takes no argument 'siz'; did you mean 'size'?"},
        {"{\"s\":\"x\",\"maximum\":2}", "takes no argument 'maximum'"},
        {"{\"s\":\"x\",\"n\":\"2\"}", "takes an argument 'n' that is a number"},
        {"{\"s\":\"x\",\"i\":1.5}", "takes an argument 'i' that is a integer"},
        {"{\"s\":\"x\",\"size\":\"2 lots\"}", "takes an argument 'size' that is a size"},
        {"{\"s\":\"x\",\"size\":-1}", "takes an argument 'size' that is a size"},
        {"{\"s\":\"x\",\"time\":\"2x\"}", "takes an argument 'time' that is a duration"},
        {"{\"s\":\"x\",\"b\":1}", "takes an argument 'b' that is a boolean"},
        {"{\"s\":\"x\",\"list\":{\"a\":1}}", "takes an argument 'list' that is a list"},
        {"[1]", "needs the argument 's'"},
        {"{\"s\":\"x\",\"t\":0}", "takes an argument 't' that is a table"},
        {"3", "has arguments that are not a table"},
    };
    struct fixture *f = *state;
    policy_file(f, "p.lua",
                "return { api = 1,\n"
                "  args = { s = 'string', n = 'number?', i = 'integer?', size = 'size?',\n"
                "           time = 'duration?', b = 'boolean?', list = 'list?', t = 'table?' },\n"
                "  init = function(args)\n"
                "    assert(args.s == 'x' and args.n == 2.5 and args.i == 3 and args.b == false)\n"
                "    assert(args.size == 65536 and args.time == 5000 and args.list[2] == 'b')\n"
                "    assert(args.t.k[1] == 1 and policy.args == args)\n"
                "    assert(not pcall(function() args.s = 'y' end))\n"
                "  end }");
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        f->route.policies_count = 0;
        use_policy(f, "p.lua", CASES[i].arguments);
        refuses(f, "site.lua", 7, CASES[i].what);
    }
    f->route.policies_count = 0;
    use_policy(f, "p.lua",
               "{\"s\":\"x\",\"n\":2.5,\"i\":3,\"size\":\"64KiB\",\"time\":\"5s\",\"b\":false,"
               "\"list\":[\"a\",\"b\"],\"t\":{\"k\":[1]}}");
    must_open(f);
}

static void an_optional_argument_left_out_is_nil(void **state)
{
    struct fixture *f = *state;
    only_policy(f, "return { api = 1, args = { max = 'number?', list = 'list?' },\n"
                   "  init = function(args) assert(args.max == nil and not args.list) end }");
    must_open(f);
}

static void mistakes_in_a_policy_file_are_named_with_their_line(void **state)
{
    static const struct {
        const char *text;
        int line;
        const char *what;
    } CASES[] = {
        {"local x = 1\n\n", 1, "returns no table of hooks and no function; is it complete?"},
        {"return 5", 1, "returns no table"},
        {"return {\n  on_request = function() end,\n}", 1, "'api = 1' is missing"},
        {"return {\n  api = 2,\n}", 2, "api is 1 for this version"},
        {"return {\n  api = '1',\n}", 2, "api is 1"},
        {"return {\n  api = 1,\n  on_reqest = function() end,\n}", 3,
         "there is no policy key 'on_reqest'; did you mean 'on_request'?"},
        {"return {\n  api = 1,\n  on_request = 1,\n}", 3, "on_request is a function, not a number"},
        {"return {\n  api = 1,\n  applies = { dst = {} },\n}", 3,
         "there is no key of applies 'dst'; did you mean 'dest'?"},
        {"return {\n  api = 1,\n  applies = {\n    dest = { 'documents' } },\n}", 4,
         "there is no destination 'documents'; did you mean 'document'?"},
        {"return {\n  api = 1,\n  applies = { method = 'get' },\n}", 3, "there is no method 'get'"},
        {"return {\n  api = 1,\n  applies = { path = 'shop/*' },\n}", 3,
         "'shop/*' matches no path"},
        {"return {\n  api = 1,\n  applies = { path = {} },\n}", 3, "a string or a list"},
        {"return {\n  api = 1,\n  applies = 'document',\n}", 3, "applies is a table"},
        {"return {\n  api = 1,\n  args = { max = 'numbr?' },\n}", 3, "did you mean 'number'?"},
        {"return {\n  api = 1,\n  args = { max = 1 },\n}", 3, "is declared by its type"},
        {"return {\n  api = 1,\n  args = 'max',\n}", 3, "args is a table"},
        {"return {\n  api = 1,\n  init = function()\n    local x = nil + 1\n  end,\n}", 4,
         "attempt to perform arithmetic"},
        {"return {\n  api = 1,\n  init = function()\n    assets.of('/')\n  end,\n}", 4,
         "assets.of needs a request"},
        {"local max = policy.args.max\n", 1, "policy.args is known in init and in the hooks"},
        {"local a = {\n\nreturn a", 3, "unexpected symbol near 'return'"},
        {"goto = 1", 1, ""},
    };
    struct fixture *f = *state;
    use_policy(f, "p.lua", "{}");
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        policy_file(f, "p.lua", CASES[i].text);
        refuses(f, "p.lua", CASES[i].line, CASES[i].what);
    }
}

static void a_policy_that_does_not_exist_is_named_with_the_nearest_one(void **state)
{
    struct fixture *f = *state;
    policy_file(f, "shop.lua", "return function() end");
    use_policy(f, "prelaod", "{}");
    refuses(f, "site.lua", 7, "there is no policy 'prelaod'; did you mean 'preload'?");
    f->route.policies_count = 0;
    use_policy(f, "shap.lua", "{}");
    refuses(f, "site.lua", 7, "there is no policy 'shap.lua'; did you mean 'shop.lua'?");
    f->route.policies_count = 0;
    use_policy(f, "../shop.lua", "{}");
    refuses(f, "site.lua", 7, "there is no policy '../shop.lua'");
    f->route.policies_count = 0;
    use_policy(f, "a-policy-whose-name-is-longer-than-any-file-in-a-bundle.lua", "{}");
    refuses(f, "site.lua", 7, "too long");
}

static void data_is_part_of_the_version(void **state)
{
    struct fixture *f = *state;
    policy_file(f, "lib/d.json", "{\"a\": [1, 2.5, true, null, \"x\\u0041\"], \"e\": {}}");
    policy_file(f, "d.txt", "line\n");
    only_policy(f, "local d = policy.data('lib/d.json')\n"
                   "assert(d.a[1] == 1 and d.a[2] == 2.5 and d.a[3] == true and d.a[4] == nil)\n"
                   "assert(d.a[5] == 'xA' and next(d.e) == nil)\n"
                   "assert(policy.data('lib/d.json') == d)\n"
                   "assert(policy.data('d.txt') == 'line\\n')\n"
                   "assert(policy.name == 'p.lua' and #policy.version == 16)\n"
                   "return function(_, push) push:add('/' .. policy.version) end");
    must_open(f);
    page(f);
    no_failure(f);
    assert_int_equal(f->decision.items[0].path.length, 17);
    close_vm(f);
    policy_file(f, "d.json", "[1,\n2,,]");
    policy_file(f, "p.lua", "\nlocal d = policy.data('d.json')\n");
    refuses(f, "p.lua", 2, "d.json:2: ");
}

static void a_manifest_is_read_again_when_it_changes(void **state)
{
    struct fixture *f = *state;
    only_policy(f, "local last\n"
                   "return function(_, push)\n"
                   "  local m = policy.manifest('m.json')\n"
                   "  push:add(m and m.path or '/none')\n"
                   "  push:add(m == last and '/same' or '/other')\n"
                   "  last = m\n"
                   "end");
    must_open(f);
    page(f);
    proposes(f, 0, "/none");
    proposes(f, 1, "/same");
    write_file(f->root, "m.json", "{\"path\": \"/1\"}", 14);
    page(f);
    proposes(f, 0, "/1");
    proposes(f, 1, "/other");
    page(f);
    proposes(f, 1, "/same");
    write_file(f->root, "m.json", "{\"path\": \"/2\"}", 14);
    f->file_version++;
    page(f);
    proposes(f, 0, "/2");
    proposes(f, 1, "/other");
    no_failure(f);
    f->file_version++;
    write_file(f->root, "m.json", "{\"path\":", 8);
    page(f);
    failed_with(f, POLICY_ERROR, "p.lua", 3, "m.json:1: ");
}

static void log_lines_carry_their_fields_as_json(void **state)
{
    struct fixture *f = *state;
    only_policy(f, "return { api = 1,\n"
                   "  init = function() log.info('loaded') end,\n"
                   "  on_request = function(req)\n"
                   "    log.info('hello', { z = 1.5, a = 'q\"\\\\\\n\\1', m = true, big = 1e15,\n"
                   "      bad = 'x\\255\\195\\169\\237\\160\\128' })\n"
                   "  end }");
    must_open(f);
    assert_int_equal(f->logged, 1);
    assert_string_equal(f->message, "loaded");
    assert_string_equal(f->json, "");
    assert_false(f->log_had_request);
    page(f);
    no_failure(f);
    assert_int_equal(f->logged, 2);
    assert_true(f->log_had_request);
    assert_string_equal(f->message, "hello");
    assert_string_equal(f->json, "{\"a\":\"q\\\"\\\\\\u000a\\u0001\","
                                 "\"bad\":\"x\\ufffd\xc3\xa9\\ufffd\\ufffd\\ufffd\","
                                 "\"big\":1e+15,\"m\":true,\"z\":1.5}");
}

static void buckets_are_even_and_stay(void **state)
{
    struct fixture *f = *state;
    unsigned counts[4] = {0}, other = 0;
    char first[32];
    only_policy(f, "return function(req, push)\n"
                   "  local b = util.bucket(req.client, 4)\n"
                   "  assert(b == util.bucket(req.client, 4))\n"
                   "  assert(util.bucket(req.client, 1) == 0)\n"
                   "  push:add('/' .. b)\n"
                   "  push:add('/s' .. util.bucket(req.client, 4, 'salt'))\n"
                   "end");
    must_open(f);
    for (unsigned i = 0; i < 4000; i++) {
        snprintf(f->request.client.id, sizeof(f->request.client.id), "%016x", i);
        page(f);
        char b = f->decision.items[0].path.data[1];
        assert_true(b >= '0' && b <= '3');
        counts[b - '0']++;
        other += f->decision.items[1].path.data[2] != b;
    }
    for (unsigned i = 0; i < 4; i++)
        assert_true(counts[i] > 850 && counts[i] < 1150);
    assert_true(other > 2500 && other < 3500);
    /* Without an id the request's own decides. */
    f->request.client.id[0] = '\0';
    page(f);
    snprintf(first, sizeof(first), "%.*s", SPAN_PRINT(f->decision.items[0].path));
    page(f);
    proposes(f, 0, first);
    no_failure(f);
}

static void check_finds_what_opening_would(void **state)
{
    struct fixture *f = *state;
    only_policy(f, "return {\n  api = 1,\n  init = function() log.info('x') error('no') end }");
    f->bundle = bundle_create(&f->config, &f->fault);
    assert_int_equal(policy_check(&f->config, f->bundle, &f->fault), -EINVAL);
    assert_string_equal(f->fault.where, "p.lua");
    assert_int_equal(f->fault.line, 3);
    close_vm(f);
    policy_file(f, "p.lua", "return function() end");
    f->bundle = bundle_create(&f->config, &f->fault);
    assert_int_equal(policy_check(&f->config, f->bundle, &f->fault), 0);
}

static void limits_have_defaults_and_bounds(void **state)
{
    struct fixture *f = *state;
    struct policy_limits limits;
    assert_int_equal(policy_limits(&f->config, &limits, &f->fault), 0);
    assert_int_equal(limits.memory_bytes, 8 * 1024 * 1024);
    assert_true(limits.soft_ms >= 8 && limits.hard_ms > limits.soft_ms);
    f->config.policy.memory_bytes = 1024;
    assert_int_equal(policy_limits(&f->config, &limits, &f->fault), -ERANGE);
    only_policy(f, "return function() end");
    assert_int_equal(try_open(f), -ERANGE);
    close_vm(f);
    f->config.policy.memory_bytes = 0;
    f->config.policy.soft_ms = 1;
    assert_int_equal(try_open(f), -ERANGE);
    assert_non_null(strstr(f->fault.what, "policy.soft"));
}

static void no_policies_need_no_bundle(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(policy_vm_create(&f->config, -1, &f->host, &f->vm, &f->fault), 0);
    assert_null(policy_vm_list(f->vm, &f->site, &f->route));
    page(f);
    no_failure(f);
}

static void a_state_dropped_in_mid_request_forgets_its_vars(void **state)
{
    struct fixture *f = *state;
    only_policy(f, "return { api = 1,\n"
                   "  on_request = function(req, push) req.vars.x = 1 push:add('/a') end,\n"
                   "  on_response = function(req)\n"
                   "    if req.save_data then ('a'):rep(60):find(('.-'):rep(12) .. 'b') end\n"
                   "    req.vars.x = (req.vars.x or 0) + 1\n"
                   "  end }");
    must_open(f);
    f->request.save_data = true;
    page(f);
    respond(f);
    failed_with(f, POLICY_HARD_DEADLINE, "p.lua", 3, "hard deadline");
    proposes(f, 0, "/a");
    f->request.save_data = false;
    respond(f);
    policy_request_done(f->vm, &f->request);
    page(f);
    respond(f);
    assert_int_equal(failures(f), 1);
    policy_request_done(f->vm, &f->request);
}

static void a_state_that_cannot_be_made_again_is_tried_again_later(void **state)
{
    struct fixture *f = *state;
    only_policy(f, "log.info('loading') local _ = 1\n"
                   "return function(req, push)\n"
                   "  if req.save_data then ('a'):rep(60):find(('.-'):rep(12) .. 'b') end\n"
                   "  push:add('/a')\n"
                   "end");
    must_open(f);
    f->request.save_data = true;
    f->log_takes_ms = 500;
    page(f);
    assert_int_equal(f->failures[POLICY_HARD_DEADLINE], 1);
    assert_int_equal(f->failures[POLICY_ERROR], 1);
    assert_string_equal(f->last.where, "p.lua");
    assert_non_null(strstr(f->last.what, "deadline: loading"));
    assert_int_equal(f->logged, 2);
    f->request.save_data = false;
    f->log_takes_ms = 0;
    unsigned silent = 0;
    for (page(f); f->decision.count == 0 && silent < 5000; page(f))
        silent++;
    assert_true(silent > 100 && silent < 5000);
    assert_int_equal(f->logged, 3);
    proposes(f, 0, "/a");
    assert_int_equal(failures(f), 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_bare_function_is_on_request_for_documents),
        TEST(applies_is_tested_before_any_lua_runs),
        TEST(any_destination_is_a_star),
        TEST(a_request_shows_all_its_fields),
        TEST(the_clients_own_cookie_is_shown_to_no_policy),
        TEST(what_is_not_known_of_a_client_is_nil),
        TEST(a_misspelt_field_is_named_with_the_nearest_one),
        TEST(proposals_carry_their_options),
        TEST(a_list_is_proposed_like_its_items),
        TEST(a_response_shows_all_its_fields),
        TEST(a_list_is_the_callers_own_and_its_records_are_not),
        TEST(a_changed_page_has_other_assets_at_once),
        TEST(any_veto_wins_and_says_why),
        TEST(a_failing_judge_vetoes),
        TEST(results_that_mean_nothing_are_errors),
        TEST(a_failing_proposer_proposes_nothing_and_others_go_on),
        TEST(returning_false_takes_back_and_says_why),
        TEST(a_proposer_that_goes_on_beyond_what_a_page_may_have_is_ended),
        TEST(a_pcall_keeps_no_such_proposer_alive),
        TEST(a_proposer_after_one_that_was_ended_has_its_turn),
        TEST(an_error_in_a_helper_names_the_caller_too),
        TEST(objects_die_with_their_hook),
        TEST(a_method_kept_from_an_old_object_checks_it_too),
        TEST(proposals_end_with_the_proposing_hooks),
        TEST(vars_last_for_the_request_and_are_shared),
        TEST(vars_of_too_many_requests_are_refused),
        TEST(only_lists_with_the_hook_want_results),
        TEST(each_policy_of_each_list_has_a_state_of_its_own),
        TEST(arguments_are_checked_against_their_types),
        TEST(an_optional_argument_left_out_is_nil),
        TEST(mistakes_in_a_policy_file_are_named_with_their_line),
        TEST(a_policy_that_does_not_exist_is_named_with_the_nearest_one),
        TEST(data_is_part_of_the_version),
        TEST(a_manifest_is_read_again_when_it_changes),
        TEST(log_lines_carry_their_fields_as_json),
        TEST(buckets_are_even_and_stay),
        TEST(check_finds_what_opening_would),
        TEST(limits_have_defaults_and_bounds),
        TEST(no_policies_need_no_bundle),
        TEST(a_state_dropped_in_mid_request_forgets_its_vars),
        TEST(a_state_that_cannot_be_made_again_is_tried_again_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

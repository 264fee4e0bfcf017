/* The stock policies, on what a worker would give them. */
#include "tests/unit/policy_fixture.h"

#include "policy/rehearsal.h"

static void stock(struct fixture *f, const char *name, const char *arguments)
{
    use_policy(f, name, arguments);
    must_open(f);
}

static void link_to(struct fixture *f, const char *path, const char *rel, bool same_origin)
{
    f->links[f->response.links_count++] = (struct response_link){
        .path = span_of(path), .rel = span_of(rel), .same_origin = same_origin};
}

static void preload_pushes_what_the_response_names(void **state)
{
    struct fixture *f = *state;
    link_to(f, "/a.css", "preload", true);
    f->links[0].as = AS_STYLE;
    link_to(f, "/data", "preload", true);
    f->links[1].as = AS_FETCH;
    f->links[1].crossorigin = true;
    link_to(f, "/hero.webp", "preload", true);
    f->links[2].fetchpriority = SPAN_LITERAL("high");
    link_to(f, "/late.png", "preload", true);
    f->links[3].fetchpriority = SPAN_LITERAL("low");
    link_to(f, "/m.mjs", "modulepreload", true);
    stock(f, "preload", "{}");
    page(f);
    assert_int_equal(f->decision.count, 0);
    respond(f);
    no_failure(f);
    const struct candidate *items = f->decision.items;
    assert_int_equal(f->decision.count, 5);
    proposes(f, 0, "/a.css");
    assert_int_equal(items[0].as, AS_STYLE);
    assert_int_equal(items[0].urgency, CANDIDATE_URGENCY_UNSET);
    assert_false(items[0].crossorigin);
    assert_int_equal(items[1].as, AS_FETCH);
    assert_true(items[1].crossorigin);
    assert_int_equal(items[2].as, AS_IMAGE);
    assert_int_equal(items[2].urgency, 4);
    assert_false(items[2].crossorigin);
    assert_int_equal(items[3].urgency, 6);
    assert_int_equal(items[4].as, AS_SCRIPT);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(items[i].kind, CANDIDATE_PUSH);
}

static void preload_honours_nopush_and_leaves_others_alone(void **state)
{
    struct fixture *f = *state;
    link_to(f, "/a.css", "preload", true);
    f->links[0].nopush = true;
    link_to(f, "https://cdn.example.com/b.css", "preload", false);
    link_to(f, "/next", "prefetch", true);
    link_to(f, "/c.css", "stylesheet", true);
    link_to(f, "https://img.example.com", "preconnect", false);
    stock(f, "preload", "{}");
    page(f);
    respond(f);
    no_failure(f);
    assert_int_equal(f->decision.count, 2);
    proposes(f, 0, "/a.css");
    assert_int_equal(f->decision.items[0].kind, CANDIDATE_HINT);
    proposes(f, 1, "https://img.example.com");
    assert_int_equal(f->decision.items[1].kind, CANDIDATE_PRECONNECT);
}

static void options_of_one_link_do_not_leak_into_the_next(void **state)
{
    struct fixture *f = *state;
    link_to(f, "/a.woff2", "preload", true);
    f->links[0].as = AS_FONT;
    f->links[0].crossorigin = true;
    f->links[0].fetchpriority = SPAN_LITERAL("high");
    link_to(f, "/b", "preload", true);
    stock(f, "preload", "{}");
    page(f);
    respond(f);
    no_failure(f);
    assert_int_equal(f->decision.items[1].as, AS_DOCUMENT);
    assert_false(f->decision.items[1].crossorigin);
    assert_int_equal(f->decision.items[1].urgency, CANDIDATE_URGENCY_UNSET);
}

static void find_assets(struct fixture *f)
{
    f->assets = calloc(1, sizeof(struct assets) + ASSETS_IN_TEST * sizeof(struct asset));
    struct asset *items = f->assets->items;
    items[0] = (struct asset){.path = SPAN_LITERAL("/a.css"), .as = AS_STYLE, .blocking = true};
    items[1] = (struct asset){.path = SPAN_LITERAL("/b.js"), .as = AS_SCRIPT, .blocking = true};
    items[2] = (struct asset){.path = SPAN_LITERAL("/c.woff2"), .as = AS_FONT, .crossorigin = true};
    items[3] = (struct asset){.path = SPAN_LITERAL("/d"), .as = AS_IMAGE};
    items[4] = (struct asset){
        .path = SPAN_LITERAL("/e.png"), .as = AS_IMAGE, .priority = ASSETS_PRIORITY_LOW};
    f->assets->count = 5;
}

static void scan_proposes_in_order_what_blocks_first(void **state)
{
    enum { UNSET = CANDIDATE_URGENCY_UNSET }; /* herald ranks it by what it is */
    static const uint8_t URGENCIES[] = {UNSET, UNSET, UNSET, UNSET, 6};
    static const char *const PATHS[] = {"/a.css", "/b.js", "/c.woff2", "/d", "/e.png"};
    struct fixture *f = *state;
    find_assets(f);
    stock(f, "scan", "{}");
    page(f);
    no_failure(f);
    assert_int_equal(f->decision.count, 5);
    for (unsigned i = 0; i < 5; i++) {
        proposes(f, i, PATHS[i]);
        assert_int_equal(f->decision.items[i].as, f->assets->items[i].as);
        assert_int_equal(f->decision.items[i].urgency, URGENCIES[i]);
        assert_int_equal(f->decision.items[i].crossorigin, i == 2);
    }
}

static void scan_proposes_nothing_while_the_page_is_unread(void **state)
{
    struct fixture *f = *state;
    stock(f, "scan", "{}");
    page(f);
    no_failure(f);
    assert_int_equal(f->decision.count, 0);
}

static void scan_stops_at_its_maximum(void **state)
{
    struct fixture *f = *state;
    find_assets(f);
    stock(f, "scan", "{\"max\":2}");
    page(f);
    no_failure(f);
    assert_int_equal(f->decision.count, 2);
}

static void put_manifest(struct fixture *f, const char *text)
{
    write_file(f->root, "build/assets.json", text, strlen(text));
    f->file_version++;
}

static void visit(struct fixture *f, const char *path)
{
    f->request.path = span_of(path);
    f->request.query = SPAN_LITERAL("");
    page(f);
    no_failure(f);
}

static void manifest_lists_the_assets_of_a_page(void **state)
{
    struct fixture *f = *state;
    put_manifest(f,
                 "{ \"/\": [\"/app.css\", { \"path\": \"/app\", \"as\": \"script\",\n"
                 "  \"urgency\": 2 }], \"/shop/*\": [\"/shop.css\"],\n"
                 "  \"/shop/cart*\": [\"/cart.css\"], \"/shop/cart\": [], \"*\": [\"/all.css\"] }");
    stock(f, "manifest", "{\"file\":\"build/assets.json\"}");
    visit(f, "/");
    assert_int_equal(f->decision.count, 2);
    proposes(f, 0, "/app.css");
    proposes(f, 1, "/app");
    assert_int_equal(f->decision.items[1].as, AS_SCRIPT);
    assert_int_equal(f->decision.items[1].urgency, 2);
    visit(f, "/shop/shoes");
    assert_int_equal(f->decision.count, 1);
    proposes(f, 0, "/shop.css");
    visit(f, "/shop/cart/1");
    proposes(f, 0, "/cart.css");
    visit(f, "/shop/cart");
    assert_int_equal(f->decision.count, 0);
    visit(f, "/about");
    proposes(f, 0, "/all.css");
}

static void manifest_follows_its_file(void **state)
{
    struct fixture *f = *state;
    stock(f, "manifest", "{\"file\":\"build/assets.json\"}");
    visit(f, "/");
    assert_int_equal(f->decision.count, 0);
    put_manifest(f, "{ \"/*\": [\"/one.css\"] }");
    visit(f, "/");
    proposes(f, 0, "/one.css");
    put_manifest(f, "{ \"/?\": [\"/none.css\"], \"/*\": [\"/two.css\"] }");
    visit(f, "/");
    proposes(f, 0, "/two.css");
}

static void a_broken_manifest_is_an_error_with_its_line(void **state)
{
    struct fixture *f = *state;
    put_manifest(f, "{\n  \"/\": [\"/a.css\",]\n}");
    stock(f, "manifest", "{\"file\":\"build/assets.json\"}");
    f->request.path = SPAN_LITERAL("/");
    page(f);
    assert_int_equal(f->failures[POLICY_ERROR], 1);
    assert_string_equal(f->last.where, "manifest.lua");
    assert_non_null(strstr(f->last.what, "build/assets.json:2: "));
}

static void manifest_needs_its_file_argument(void **state)
{
    struct fixture *f = *state;
    use_policy(f, "manifest", "{}");
    refuses(f, "site.lua", 7, "policy 'manifest' needs the argument 'file', a string");
    f->route.policies_count = 0;
    use_policy(f, "manifest", "{\"flie\":\"x\",\"file\":\"y\"}");
    refuses(f, "site.lua", 7, "takes no argument 'flie'; did you mean 'file'?");
}

static unsigned accepted_of_five(struct fixture *f, const char *arguments)
{
    f->route.policies_count = 0;
    memset(f->failures, 0, sizeof(f->failures));
    use_policy(f, "scan", "{}");
    stock(f, "budget", arguments);
    page(f);
    judge(f, 100);
    no_failure(f);
    for (unsigned i = 0; i < f->decision.count; i++) {
        const struct candidate *item = &f->decision.items[i];
        assert_int_equal(item->verdict, i < f->decision.accepted ? REASON_PENDING : REASON_VETOED);
        if (item->verdict == REASON_VETOED)
            assert_string_equal(item->judge, "budget");
    }
    close_vm(f);
    return f->decision.accepted;
}

static void budget_accepts_what_fits_in_order(void **state)
{
    struct fixture *f = *state;
    find_assets(f);
    f->decision.budget_bytes = 350;
    assert_int_equal(accepted_of_five(f, "{}"), 3);
    assert_true(span_equal(f->decision.items[3].why, SPAN_LITERAL("over_budget")));
    f->decision.budget_bytes = 500;
    assert_int_equal(accepted_of_five(f, "{}"), 5);
    f->decision.budget_bytes = 0;
    assert_int_equal(accepted_of_five(f, "{}"), 0);
    assert_int_equal(accepted_of_five(f, "{\"max_bytes\":200}"), 0);
    f->decision.budget_bytes = 1 << 20;
    assert_int_equal(accepted_of_five(f, "{\"max_bytes\":200}"), 2);
    assert_int_equal(accepted_of_five(f, "{\"max_bytes\":\"1KiB\"}"), 5);
    assert_int_equal(accepted_of_five(f, "{\"max_bytes\":\"1KiB\",\"max_count\":4}"), 4);
    assert_true(span_equal(f->decision.items[4].why, SPAN_LITERAL("max_count")));
    assert_int_equal(accepted_of_five(f, "{\"max_count\":0,\"max_bytes\":\"1KiB\"}"), 0);
}

/* Proposes /app.css and /other.css, of which `cancelled` of 100 promises of the first were cancelled
 * so far. Returns what becomes of the first. */
static const struct candidate *judged(struct fixture *f, const char *arguments, unsigned cancelled)
{
    f->route.policies_count = 0;
    f->figures = (struct tally_figures){.resource = 256};
    f->figures.counts[TALLY_PROMISED] = 100;
    f->figures.counts[TALLY_CANCELLED] = cancelled;
    f->figures.counts[TALLY_DELIVERED] = 100 - cancelled;
    only_policy(f, "return function(req, push) push:add('/app.css') push:add('/other.css') end");
    stock(f, "budget", arguments);
    f->decision.budget_bytes = 1000;
    page(f);
    judge(f, 100);
    no_failure(f);
    assert_int_equal(f->decision.items[1].verdict, REASON_PENDING);
    assert_int_equal(f->decision.items[1].kind, CANDIDATE_PUSH);
    close_vm(f);
    return &f->decision.items[0];
}

static void budget_only_hints_what_clients_keep_cancelling(void **state)
{
    struct fixture *f = *state;
    const struct candidate *first = judged(f, "{}", 51);
    assert_int_equal(first->kind, CANDIDATE_HINT);
    assert_string_equal(first->judge, "budget");
    assert_true(span_equal(first->why, SPAN_LITERAL("mostly_cancelled")));
    assert_int_equal(f->decision.accepted, 1);
    assert_int_equal(judged(f, "{}", 50)->kind, CANDIDATE_PUSH);
    assert_int_equal(judged(f, "{\"max_cancelled\":0.1}", 11)->kind, CANDIDATE_HINT);
    assert_int_equal(judged(f, "{\"max_cancelled\":0.1}", 10)->kind, CANDIDATE_PUSH);
    assert_int_equal(judged(f, "{\"max_cancelled\":1}", 100)->kind, CANDIDATE_PUSH);
}

static void budget_takes_no_threshold_that_is_no_share(void **state)
{
    struct fixture *f = *state;
    use_policy(f, "budget", "{\"max_cancelled\":50}");
    assert_true(try_open(f) < 0);
    assert_non_null(strstr(f->fault.what, "max_cancelled is a share, from 0 to 1; 50 is not"));
    close_vm(f);
    f->route.policies_count = 0;
    use_policy(f, "budget", "{\"max_canceled\":0.5}");
    assert_true(try_open(f) < 0);
    assert_non_null(strstr(f->fault.what, "max_cancelled"));
}

static void stats_tell_shares_once_enough_is_known(void **state)
{
    struct fixture *f = *state;
    only_policy(f, "local function say(x) return x == nil and 'nil' or tostring(x) end\n"
                   "return function()\n"
                   "  local p = '/app.css'\n"
                   "  log.info(say(stats.accept_ratio(p)) .. ' ' .. say(stats.cancel_ratio(p)) ..\n"
                   "    ' ' .. say(stats.rerequest_ratio(p)) .. ' ' .. say(stats.waste_bytes(p)) ..\n"
                   "    ' ' .. say(stats.waste_bytes('/never.css')))\n"
                   "end");
    must_open(f);
    f->figures.counts[TALLY_DELIVERED] = TALLY_ENOUGH - 1;
    page(f);
    assert_string_equal(f->message, "nil nil nil nil nil");
    f->figures.counts[TALLY_DELIVERED] = 24;
    f->figures.counts[TALLY_CANCELLED] = 8;
    f->figures.counts[TALLY_REREQUESTED] = 6;
    f->figures.bytes[TALLY_CANCELLED] = 1000;
    f->figures.bytes[TALLY_DELIVERED] = 9999;
    f->figures.bytes[TALLY_REREQUESTED] = 234;
    page(f);
    assert_string_equal(f->message, "0.75 0.25 0.25 1234 nil");
    f->host.path_figures = NULL; /* a host that knows nothing */
    page(f);
    assert_string_equal(f->message, "nil nil nil nil nil");
    no_failure(f);
}

static void stock_policies_are_short(void **state)
{
    static const char *const NAMES[] = {"preload", "scan", "manifest", "learned", "budget"};
    char path[256], line[256];
    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        unsigned code = 0;
        bool commented = false;
        snprintf(path, sizeof(path), "%s/%s.lua", HERALD_STOCK_DIR, NAMES[i]);
        FILE *in = fopen(path, "r");
        assert_non_null(in);
        while (fgets(line, sizeof(line), in)) {
            bool comment = strncmp(line, "--", 2) == 0;
            commented = commented || comment;
            code += !comment && line[0] != '\n';
        }
        fclose(in);
        assert_true(commented);
        assert_true(code <= 44);
    }
}

static void said(void *context, const struct rehearsal_case *one)
{
    (void)context;
    if (!one->passed)
        print_error("%s:%d: %s\n%s", one->file, one->line, one->name, one->said);
}

/* Runs the specs of a folder. Returns how many cases there were. */
static unsigned run_specs(struct fixture *f, const char *folder)
{
    struct rehearsal_totals totals = {0};
    close(f->config.policy.dir_fd);
    f->config.policy.dir_fd = open_folder(folder);
    int bundle = bundle_create(&f->config, &f->fault);
    assert_true(bundle >= 0);
    int rc = rehearsal_run(&f->config, bundle, NULL, said, NULL, &totals, &f->fault);
    close(bundle);
    assert_int_equal(rc, 0);
    assert_int_equal(totals.failed, 0);
    return totals.cases;
}

static void the_specs_of_the_stock_policies_pass(void **state)
{
    assert_true(run_specs(*state, HERALD_STOCK_DIR) >= 16);
}

static void the_specs_of_the_examples_pass(void **state)
{
    assert_true(run_specs(*state, HERALD_STOCK_DIR "/examples") >= 21);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(preload_pushes_what_the_response_names),
        TEST(preload_honours_nopush_and_leaves_others_alone),
        TEST(options_of_one_link_do_not_leak_into_the_next),
        TEST(scan_proposes_in_order_what_blocks_first),
        TEST(scan_proposes_nothing_while_the_page_is_unread),
        TEST(scan_stops_at_its_maximum),
        TEST(manifest_lists_the_assets_of_a_page),
        TEST(manifest_follows_its_file),
        TEST(a_broken_manifest_is_an_error_with_its_line),
        TEST(manifest_needs_its_file_argument),
        TEST(budget_accepts_what_fits_in_order),
        TEST(budget_only_hints_what_clients_keep_cancelling),
        TEST(budget_takes_no_threshold_that_is_no_share),
        TEST(stats_tell_shares_once_enough_is_known),
        TEST(stock_policies_are_short),
        TEST(the_specs_of_the_stock_policies_pass),
        TEST(the_specs_of_the_examples_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

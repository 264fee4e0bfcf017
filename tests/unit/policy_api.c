/* The API's table is what the bindings do and what the documents say. */
#include "policy/api.h"
#include "tests/unit/policy_fixture.h"

#define TOP HERALD_STOCK_DIR "/.."

static char *read_text(const char *path)
{
    FILE *in = fopen(path, "r");
    char *text = calloc(1, 1 << 20);
    assert_non_null(in);
    assert_true(fread(text, 1, (1 << 20) - 1, in) > 0);
    fclose(in);
    return text;
}

static char *written(void (*write)(FILE *))
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    write(out);
    fclose(out);
    assert_true(size > 1000);
    return text;
}

/* `begin` and `end` are the lines around what is written; without them it is the whole file. */
static void is_up_to_date(const char *path, void (*write)(FILE *), const char *begin,
                          const char *end)
{
    char *text = read_text(path);
    char *wanted = written(write);
    char *from = begin ? strstr(text, begin) : text;
    assert_non_null(from);
    from += begin ? strlen(begin) : 0;
    char *to = end ? strstr(from, end) : from + strlen(from);
    assert_non_null(to);
    *to = '\0';
    if (strcmp(from, wanted) != 0)
        fail_msg("%s differs from policy/api.def: run build/tests/policy_api", path);
    free(text);
    free(wanted);
}

static void the_annotations_are_up_to_date(void **state)
{
    (void)state;
    is_up_to_date(HERALD_STOCK_DIR "/meta/herald.lua", api_write_meta, NULL, NULL);
}

static void the_globals_of_luacheck_are_up_to_date(void **state)
{
    (void)state;
    is_up_to_date(TOP "/.luacheckrc", api_write_luacheck, NULL, NULL);
}

static void the_manual_is_up_to_date(void **state)
{
    (void)state;
    is_up_to_date(HERALD_STOCK_DIR "/herald-policy.7", api_write_manual, ".\\\" BEGIN REFERENCE\n",
                  ".\\\" END REFERENCE\n");
}

static void every_entry_has_its_prose(void **state)
{
    (void)state;
    for (size_t i = 0; i < API_WORDS; i++) {
        size_t length = strlen(API[i].prose);
        assert_true(length > 3 && API[i].prose[length - 1] == '.');
        if (API[i].kind == API_IS_FIELD)
            assert_true(API[i].arguments[0]);
    }
    for (size_t i = 0; i < HOOKS; i++)
        assert_true(strlen(API_HOOKS[i].prose) > 10);
}

/* How a policy reaches each object that hooks are given. */
static const struct {
    enum api_word object;
    const char *hook, *arguments, *reach;
} OBJECTS_OF_HOOKS[] = {
    {API_req, "on_request", "req", "req"},
    {API_client, "on_request", "req", "req.client"},
    {API_can, "on_request", "req", "req.client.can"},
    {API_push, "on_request", "req, push", "push"},
    {API_res, "on_response", "req, res", "res"},
    {API_r, "on_push", "req, r", "r"},
    {API_policy, "on_request", "req", "policy"},
    {API_assets, "on_request", "req", "assets"},
    {API_learn, "on_request", "req", "learn"},
    {API_util, "on_request", "req", "util"},
    {API_log, "on_request", "req", "log"},
};

static void every_field_of_the_table_can_be_read(void **state)
{
    struct fixture *f = *state;
    char text[8192];
    size_t entries = 0;
    for (size_t i = 0; i < sizeof(OBJECTS_OF_HOOKS) / sizeof(OBJECTS_OF_HOOKS[0]); i++) {
        enum api_word object = OBJECTS_OF_HOOKS[i].object;
        int used = snprintf(
            text, sizeof(text), "return { api = 1, %s = function(%s) local o = %s local _\n",
            OBJECTS_OF_HOOKS[i].hook, OBJECTS_OF_HOOKS[i].arguments, OBJECTS_OF_HOOKS[i].reach);
        for (unsigned word = object + 1; word < (unsigned)api_end(object); word++, entries++) {
            bool called = API[word].kind != API_IS_FIELD;
            used += snprintf(text + used, sizeof(text) - (size_t)used,
                             "    _ = o.%s assert(%s or type(_) == 'function')\n", API[word].name,
                             called ? "false" : "true");
        }
        snprintf(text + used, sizeof(text) - (size_t)used, "    log.info('read') end }");
        f->route.policies_count = 0;
        f->logged = 0;
        policy_file(f, "proposer.lua", "return function(_, push) push:add('/a') end");
        use_policy(f, "proposer", "{}");
        only_policy(f, text);
        must_open(f);
        page(f);
        respond(f);
        judge(f, 1);
        no_failure(f);
        assert_int_equal(f->logged, 1);
        close_vm(f);
    }
    assert_true(entries > 50);
}

static void the_records_have_the_fields_of_the_table(void **state)
{
    struct fixture *f = *state;
    char text[4096];
    f->links[0] = (struct response_link){.path = SPAN_LITERAL("/l.css"),
                                         .rel = SPAN_LITERAL("preload"),
                                         .as = AS_STYLE,
                                         .fetchpriority = SPAN_LITERAL("high"),
                                         .nopush = true,
                                         .crossorigin = true,
                                         .same_origin = true};
    f->response.links_count = 1;
    f->assets = calloc(1, sizeof(struct assets) + sizeof(struct asset));
    f->assets->count = 1;
    f->assets->items[0] = (struct asset){.path = SPAN_LITERAL("/a.css"),
                                         .as = AS_STYLE,
                                         .priority = ASSETS_PRIORITY_LOW,
                                         .blocking = true,
                                         .crossorigin = true};
    int used = snprintf(text, sizeof(text), "local known = {");
    for (unsigned word = API_link + 1; word < (unsigned)api_end(API_link); word++)
        used += snprintf(text + used, sizeof(text) - (size_t)used, "l_%s=1,", API[word].name);
    for (unsigned word = API_asset + 1; word < (unsigned)api_end(API_asset); word++)
        used += snprintf(text + used, sizeof(text) - (size_t)used, "a_%s=1,", API[word].name);
    snprintf(
        text + used, sizeof(text) - (size_t)used,
        "}\nreturn { api = 1, on_response = function(req, res)\n"
        "  for k in pairs(res.links[1]) do assert(known['l_' .. k], k) known['l_' .. k] = nil end\n"
        "  for k in pairs(assets.of(req.path)[1]) do\n"
        "    assert(known['a_' .. k], k) known['a_' .. k] = nil end\n"
        "  assert(next(known) == nil, next(known))\n"
        "end }");
    only_policy(f, text);
    must_open(f);
    page(f);
    respond(f);
    no_failure(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_annotations_are_up_to_date),
        cmocka_unit_test(the_globals_of_luacheck_are_up_to_date),
        cmocka_unit_test(the_manual_is_up_to_date),
        cmocka_unit_test(every_entry_has_its_prose),
        cmocka_unit_test_setup_teardown(every_field_of_the_table_can_be_read, setup, teardown),
        cmocka_unit_test_setup_teardown(the_records_have_the_fields_of_the_table, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

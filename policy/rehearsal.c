/* Running specs: each file, each case of it, and telling what came of them. */
#include "policy/rehearsal.h"

#include "policy/api.h"
#include "policy/rehearsal_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct rehearsal {
    const struct config *config;
    int bundle_fd;
    struct bundle *bundle;
    rehearsal_told *told;
    void *context;
    struct rehearsal_totals totals;
    struct fault first; /* failure */
};

bool rehearsal_is_spec(struct span name)
{
    return span_ends(name, SPAN_LITERAL(REHEARSAL_ENDING));
}

/* The first line of what was said, and the line after it when that is only a heading. */
static void note_first(struct rehearsal *rehearsal, const struct rehearsal_case *one)
{
    struct span rest = span_of(one->said);
    struct span heading = span_make(rest.data, span_find(rest, '\n'));
    struct span more = span_after(rest, heading.length < rest.length ? heading.length + 1
                                                                     : heading.length);
    bool joined = span_ends(heading, SPAN_LITERAL(":"));
    more.length = joined ? span_find(more, '\n') : 0;
    more = span_trim(more);
    if (rehearsal->first.what[0])
        return;
    fault_set(&rehearsal->first, 0, one->file, one->line, "%s%s%s%.*s%s%.*s",
              one->name[0] ? "the case \"" : "", one->name, one->name[0] ? "\" fails: " : "",
              SPAN_PRINT(heading), more.length ? " " : "", SPAN_PRINT(more));
}

static void tell(struct rehearsal *rehearsal, const char *file, int line, const char *name,
                 const char *said)
{
    struct rehearsal_case one = {file, line, name, !said[0], said};
    rehearsal->totals.failed += !one.passed;
    if (!one.passed)
        note_first(rehearsal, &one);
    if (rehearsal->told)
        rehearsal->told(rehearsal->context, &one);
}

static void tell_fault(struct rehearsal *rehearsal, const char *file, int line, const char *name,
                       const struct fault *fault)
{
    char text[FAULT_WHERE_MAX + FAULT_WHAT_MAX + 32];
    bool here = strcmp(fault->where, file) == 0;
    if (here && fault->line) {
        snprintf(text, sizeof(text), "%s\n", fault->what);
        line = fault->line;
    } else {
        fault_text(fault, text, sizeof(text) - 1);
        strcat(text, "\n");
    }
    tell(rehearsal, file, line, name, text);
}

/* ---- what a spec may say ---- */

/* Refuses the keys of `table` that are not among the entries of `word`, or of `also`. */
static int check_keys(json_t *table, enum api_word word, enum api_word also, const char *what,
                      struct fault *fault)
{
    const char *names[2 * API_NAMES_MAX];
    const char *more[API_NAMES_MAX];
    const char *key;
    json_t *value;
    size_t count = 0;
    api_names(word, names);
    api_names(also, more);
    while (names[count])
        count++;
    for (size_t i = 0; also != word && more[i]; i++)
        names[count++] = more[i];
    names[count] = NULL;
    json_object_foreach(table, key, value)
    {
        size_t i = 0;
        while (names[i] && strcmp(names[i], key) != 0)
            i++;
        if (names[i] || strcmp(key, "items") == 0)
            continue;
        const char *nearest = fault_nearest(key, names);
        return fault_set(fault, -EINVAL, NULL, 0, "there is no key '%s' in a %s%s%s%s", key, what,
                         nearest ? "; did you mean '" : "", nearest ? nearest : "",
                         nearest ? "'?" : "");
    }
    return 0;
}

static int check_parts(json_t *table, struct fault *fault)
{
    const char *path;
    json_t *file;
    int rc = check_keys(json_object_get(table, "request"), API_given_request, API_given_request,
                        "request", fault);
    if (rc == 0)
        rc = check_keys(json_object_get(table, "client"), API_given_client, API_given_client,
                        "client", fault);
    if (rc == 0)
        rc = check_keys(json_object_get(table, "response"), API_given_response, API_given_response,
                        "response", fault);
    json_object_foreach(json_object_get(table, "files"), path, file)
    {
        if (rc == 0)
            rc = check_keys(file, API_given_file, API_given_file, "file", fault);
    }
    return rc;
}

static int check_case(json_t *test, struct fault *fault)
{
    static const char *const EXPECTED[] = {"push",  "hint",  "verdicts", "nothing",
                                           "fails", "expect"};
    bool expects = false;
    int rc = check_keys(test, API_case, API_spec, "case", fault);
    if (rc == 0)
        rc = check_parts(test, fault);
    for (size_t i = 0; i < sizeof(EXPECTED) / sizeof(EXPECTED[0]); i++)
        expects = expects || json_object_get(test, EXPECTED[i]);
    if (rc == 0 && (json_object_get(test, "policies") || json_object_get(test, "policy") ||
                    json_object_get(test, "args")))
        rc = fault_set(fault, -EINVAL, NULL, 0,
                       "policies and their arguments are the whole spec's, not a case's");
    if (rc == 0 && !expects)
        rc = fault_set(fault, -EINVAL, NULL, 0,
                       "the case expects nothing; give it push, hint, verdicts, nothing, fails or "
                       "expect");
    return rc;
}

/* ---- running ---- */

static int run_case(struct spec *spec, struct stage_run *run, size_t i, FILE *out,
                    struct fault *fault)
{
    int rc = check_case(run->test, fault);
    if (rc < 0)
        return rc;
    rc = stage_run_case(run, fault);
    if (rc == 0)
        rc = expect_compare(run, out, fault);
    if (rc >= 0 && json_is_true(json_object_get(run->test, "expect"))) {
        json_t *got = expect_value(run);
        struct fault own = {0};
        if (!got || spec_expect(spec, i, got, &own) < 0)
            fprintf(out, "expect:\n  line %d: %s\n", own.line, own.what);
        json_decref(got);
    }
    stage_finish(run);
    return rc < 0 ? rc : 0;
}

static void run_and_tell(struct rehearsal *rehearsal, struct spec *spec, struct stage_run *run,
                         size_t i)
{
    struct fault fault = {0};
    char *said = NULL;
    size_t size = 0;
    json_t *items = json_is_array(run->test) ? run->test : json_object_get(run->test, "items");
    const char *name = json_string_value(json_array_get(items, 0));
    FILE *out = open_memstream(&said, &size);
    rehearsal->totals.cases++;
    run->line = spec_line(spec, i);
    int rc = out ? run_case(spec, run, i, out, &fault) : -ENOMEM;
    if (out)
        fclose(out);
    if (!name)
        fault_set(&fault, rc = -EINVAL, NULL, 0, "case %zu has no name: { \"its name\", push = ... }",
                  i + 1);
    if (rc < 0)
        tell_fault(rehearsal, run->file, run->line, name ? name : "", &fault);
    else
        tell(rehearsal, run->file, run->line, name, said ? said : "memory ran out\n");
    free(said);
}

static void run_cases(struct rehearsal *rehearsal, struct spec *spec, const char *file)
{
    json_t *value = spec_value(spec);
    json_t *cases = json_is_array(value) ? value : json_object_get(value, "items");
    struct stage_run *run = calloc(1, sizeof(*run));
    struct fault fault = {0};
    int rc = run ? 0 : fault_set(&fault, -ENOMEM, NULL, 0, "memory ran out");
    if (rc == 0)
        rc = check_keys(value, API_spec, API_spec, "spec", &fault);
    if (rc == 0)
        rc = check_parts(value, &fault);
    if (rc == 0 && (json_array_size(cases) == 0 || json_array_size(cases) > REHEARSAL_CASES_MAX))
        rc = fault_set(&fault, -EINVAL, NULL, 0, "a spec has 1 to %d cases; this one has %zu",
                       REHEARSAL_CASES_MAX, json_array_size(cases));
    if (rc < 0) {
        tell_fault(rehearsal, file, 1, "", &fault);
        free(run);
        return;
    }
    for (size_t i = 0; i < json_array_size(cases); i++) {
        *run = (struct stage_run){.config = rehearsal->config,
                                  .bundle_fd = rehearsal->bundle_fd,
                                  .bundle = rehearsal->bundle,
                                  .file = file,
                                  .spec = json_is_array(value) ? NULL : value,
                                  .test = json_array_get(cases, i)};
        run_and_tell(rehearsal, spec, run, i);
    }
    free(run);
}

static void run_spec(struct rehearsal *rehearsal, const char *file)
{
    struct spec *spec = NULL;
    struct fault fault = {0};
    rehearsal->totals.specs++;
    if (spec_open(rehearsal->config, rehearsal->bundle_fd, file, &spec, &fault) < 0)
        tell_fault(rehearsal, file, 1, "", &fault);
    else
        run_cases(rehearsal, spec, file);
    spec_close(spec);
}

static int run_all(struct rehearsal *rehearsal, const char *only)
{
    const struct bundle *bundle = rehearsal->bundle;
    char name[BUNDLE_NAME_MAX + 1];
    bool found = false;
    for (size_t i = 0; i < bundle_count(bundle); i++) {
        struct span file = bundle_name(bundle, i);
        if (!rehearsal_is_spec(file) || (only && !span_equal(file, span_of(only))))
            continue;
        found = true;
        snprintf(name, sizeof(name), "%.*s", SPAN_PRINT(file));
        run_spec(rehearsal, name);
    }
    return found || !only ? 0 : -ENOENT;
}

int rehearsal_run(const struct config *config, int bundle_fd, const char *only,
                  rehearsal_told *told, void *context, struct rehearsal_totals *totals,
                  struct fault *fault)
{
    struct rehearsal rehearsal = {
        .config = config, .bundle_fd = bundle_fd, .told = told, .context = context};
    int rc = bundle_open(bundle_fd, &rehearsal.bundle, fault);
    if (rc < 0)
        return rc;
    rc = run_all(&rehearsal, only);
    bundle_close(rehearsal.bundle);
    if (totals)
        *totals = rehearsal.totals;
    if (rc < 0)
        return fault_set(fault, rc, only, 0, "there is no such spec among the policies");
    if (rehearsal.totals.failed == 0)
        return 0;
    if (fault)
        *fault = rehearsal.first;
    return -EINVAL;
}

/* What came of a case, beside what its spec expects, told so that a person sees what differs. */
#include "policy/rehearsal_parts.h"

#include <errno.h>
#include <string.h>

#define NOT_PROPOSED "not_proposed"

static bool is_in(const json_t *list, struct span text)
{
    json_t *value;
    size_t i;
    json_array_foreach(list, i, value)
    {
        if (span_equal(span_make(json_string_value(value), json_string_length(value)), text))
            return true;
    }
    return false;
}

static const struct candidate *find(const struct decision *decision, struct span path)
{
    for (unsigned i = 0; i < decision->count; i++) {
        if (span_equal(decision->items[i].path, path))
            return &decision->items[i];
    }
    return NULL;
}

/* "vetoed by budget, line 20: over_budget" */
static void print_verdict(FILE *out, const struct candidate *candidate)
{
    fprintf(out, "%s", reason_name(candidate->verdict));
    if (candidate->judge)
        fprintf(out, " by %s", candidate->judge);
    if (candidate->judge && candidate->judge_line)
        fprintf(out, ", line %d", candidate->judge_line);
    if (candidate->judge && candidate->why.length)
        fprintf(out, ": %.*s", SPAN_PRINT(candidate->why));
    if (!candidate->judge && candidate->verdict != REASON_PUSHED)
        fprintf(out, ": %s", reason_prose(candidate->verdict));
}

static void print_proposer(FILE *out, const struct candidate *candidate)
{
    fprintf(out, "proposed by %s", candidate->proposer);
    if (candidate->proposed_line)
        fprintf(out, ", line %d", candidate->proposed_line);
}

/* The paths with this verdict, in order. */
static json_t *paths_with(const struct decision *decision, enum reason verdict)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < decision->count; i++) {
        const struct candidate *item = &decision->items[i];
        if (item->verdict == verdict)
            json_array_append_new(list, json_stringn_nocheck(item->path.data, item->path.length));
    }
    return list;
}

static void print_list(FILE *out, const char *label, const json_t *list)
{
    fprintf(out, "    %s", label);
    for (size_t i = 0; i < json_array_size(list); i++)
        fprintf(out, "%s%s", i ? "  " : "", json_string_value(json_array_get(list, i)));
    fprintf(out, "%s\n", json_array_size(list) ? "" : "nothing");
}

/* Which paths are missing and which are too many; or else that only the order differs. */
static void print_differences(const struct stage_run *run, const char *what, const json_t *expected,
                              const json_t *got, FILE *out)
{
    json_t *value;
    size_t i;
    fprintf(out, "%s:\n", what);
    json_array_foreach(expected, i, value)
    {
        struct span path = span_make(json_string_value(value), json_string_length(value));
        const struct candidate *candidate = find(&run->decision, path);
        if (is_in(got, path))
            continue;
        fprintf(out, "  - %.*s  expected, but ", SPAN_PRINT(path));
        if (candidate)
            print_verdict(out, candidate);
        else
            fputs("nobody proposed it", out);
        fputc('\n', out);
    }
    bool same = json_array_size(expected) == json_array_size(got);
    json_array_foreach(got, i, value)
    {
        struct span path = span_make(json_string_value(value), json_string_length(value));
        if (is_in(expected, path))
            continue;
        same = false;
        fprintf(out, "  + %.*s  not expected, ", SPAN_PRINT(path));
        print_proposer(out, find(&run->decision, path));
        fputc('\n', out);
    }
    if (same)
        fputs("  the order differs, or a path is expected twice\n", out);
    print_list(out, "expected  ", expected);
    print_list(out, "got       ", got);
}

static int compare_paths(const struct stage_run *run, const char *key, const char *what,
                         enum reason verdict, FILE *out, struct fault *fault)
{
    json_t *expected = stage_member(run, key);
    json_t *value;
    size_t i;
    if (!expected)
        return 0;
    if (!json_is_array(expected))
        return fault_set(fault, -EINVAL, run->file, run->line, "%s is a list of paths", key);
    json_array_foreach(expected, i, value)
    {
        if (!json_is_string(value))
            return fault_set(fault, -EINVAL, run->file, run->line, "%s is a list of paths", key);
    }
    json_t *got = paths_with(&run->decision, verdict);
    int differs = !json_equal(expected, got);
    if (differs)
        print_differences(run, what, expected, got, out);
    json_decref(got);
    return differs;
}

static bool is_verdict(const char *word)
{
    for (unsigned i = 0; i < REASONS; i++) {
        if (strcmp(reason_name((enum reason)i), word) == 0)
            return true;
    }
    return strcmp(word, NOT_PROPOSED) == 0;
}

static const char *nearest_verdict(const char *word)
{
    const char *words[REASONS + 2];
    for (unsigned i = 0; i < REASONS; i++)
        words[i] = reason_name((enum reason)i);
    words[REASONS] = NOT_PROPOSED;
    words[REASONS + 1] = NULL;
    return fault_nearest(word, words);
}

/* Whether the candidate's verdict is the word, or the policy's own word for it is. */
static bool agrees(const struct candidate *candidate, const char *word)
{
    if (!candidate)
        return strcmp(word, NOT_PROPOSED) == 0;
    return strcmp(reason_name(candidate->verdict), word) == 0 ||
           (candidate->judge && span_equal(candidate->why, span_of(word)));
}

static int compare_verdict(const struct stage_run *run, const char *path, const char *word,
                           FILE *out)
{
    const struct candidate *candidate = find(&run->decision, span_of(path));
    const char *nearest = is_verdict(word) ? NULL : nearest_verdict(word);
    if (agrees(candidate, word))
        return 0;
    fprintf(out, "verdicts:\n  %s  expected %s, got ", path, word);
    if (candidate)
        print_verdict(out, candidate);
    else
        fputs(NOT_PROPOSED, out);
    if (nearest)
        fprintf(out, " (there is no verdict '%s'; did you mean '%s'?)", word, nearest);
    fputc('\n', out);
    return 1;
}

static int compare_verdicts(const struct stage_run *run, FILE *out, struct fault *fault)
{
    json_t *expected = stage_member(run, "verdicts");
    const char *path;
    json_t *word;
    int differences = 0;
    if (expected && !json_is_object(expected) && json_array_size(expected) > 0)
        return fault_set(fault, -EINVAL, run->file, run->line,
                         "verdicts is a table of paths and words");
    json_object_foreach(expected, path, word)
    {
        if (!json_is_string(word))
            return fault_set(fault, -EINVAL, run->file, run->line,
                             "the verdict on %s is to be a word", path);
        differences += compare_verdict(run, path, json_string_value(word), out);
    }
    return differences;
}

static int compare_nothing(const struct stage_run *run, FILE *out)
{
    json_t *expected = stage_member(run, "nothing");
    const struct decision *decision = &run->decision;
    if (!json_is_string(expected))
        return 0;
    for (unsigned i = 0; i < decision->notes_count; i++) {
        if (span_equal(decision->notes[i].why, span_of(json_string_value(expected))))
            return 0;
    }
    fprintf(out, "nothing:\n  expected a hook to return false, \"%s\"; ",
            json_string_value(expected));
    if (decision->notes_count == 0)
        fputs("none returned false", out);
    for (unsigned i = 0; i < decision->notes_count; i++)
        fprintf(out, "%s%s returned false, \"%.*s\"", i ? ", " : "", decision->notes[i].policy,
                SPAN_PRINT(decision->notes[i].why));
    fputc('\n', out);
    return 1;
}

static int compare_failure(const struct stage_run *run, FILE *out)
{
    char text[FAULT_WHERE_MAX + FAULT_WHAT_MAX + 16];
    const char *expected = json_string_value(stage_member(run, "fails"));
    fault_text(&run->failure, text, sizeof(text));
    if (!expected && !run->failures)
        return 0;
    if (expected && run->failures && strstr(text, expected))
        return 0;
    if (!run->failures)
        fprintf(out, "fails:\n  expected an error with \"%s\"; there was none\n", expected);
    else
        fprintf(out, "a hook failed:\n  %s\n", text);
    return 1;
}

int expect_compare(const struct stage_run *run, FILE *out, struct fault *fault)
{
    int pushes = compare_paths(run, "push", "pushed", REASON_PUSHED, out, fault);
    int hints = pushes < 0 ? 0 : compare_paths(run, "hint", "hinted", REASON_HINTED, out, fault);
    int verdicts = pushes < 0 || hints < 0 ? 0 : compare_verdicts(run, out, fault);
    if (pushes < 0 || hints < 0 || verdicts < 0)
        return -EINVAL;
    return pushes + hints + verdicts + compare_nothing(run, out) + compare_failure(run, out);
}

json_t *expect_value(const struct stage_run *run)
{
    const struct decision *decision = &run->decision;
    json_t *verdicts = json_object(), *why = json_object(), *nothing = json_array();
    for (unsigned i = 0; i < decision->count; i++) {
        const struct candidate *item = &decision->items[i];
        char path[DECISION_PATH_MAX + 1];
        snprintf(path, sizeof(path), "%.*s", SPAN_PRINT(item->path));
        json_object_set_new_nocheck(verdicts, path, json_string(reason_name(item->verdict)));
        if (item->why.length)
            json_object_set_new_nocheck(why, path,
                                        json_stringn_nocheck(item->why.data, item->why.length));
    }
    for (unsigned i = 0; i < decision->notes_count; i++)
        json_array_append_new(nothing, json_stringn_nocheck(decision->notes[i].why.data
                                                                ? decision->notes[i].why.data
                                                                : "",
                                                            decision->notes[i].why.length));
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:O}", "push",
                     paths_with(decision, REASON_PUSHED), "hint",
                     paths_with(decision, REASON_HINTED), "verdicts", verdicts, "why", why,
                     "nothing", nothing, "logs", run->logs);
}

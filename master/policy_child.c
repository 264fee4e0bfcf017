#include "master/policy_child.h"

#include "master/helper.h"
#include "policy/policy_versions.h"
#include "policy/rehearsal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SHOWN_MAX 160

/* Adds the line of the source that the fault names. */
static void show_line(int bundle_fd, struct fault *fault)
{
    struct bundle *bundle;
    struct fault ignored;
    if (fault->line <= 0 || bundle_open(bundle_fd, &bundle, &ignored) < 0)
        return;
    struct span text = bundle_find(bundle, span_of(fault->where));
    for (int line = 1; text.data && line < fault->line; line++) {
        size_t end = span_find(text, '\n');
        text = span_after(text, end < text.length ? end + 1 : end);
    }
    if (text.data)
        text.length = span_find(text, '\n');
    text = span_trim(text);
    size_t used = strlen(fault->what);
    if (text.length && text.length <= SHOWN_MAX)
        snprintf(fault->what + used, sizeof(fault->what) - used, "\n%6d | %.*s", fault->line,
                 SPAN_PRINT(text));
    bundle_close(bundle);
}

static int run_specs(const struct policy_child *child, int bundle_fd,
                     struct rehearsal_totals *totals, struct fault *fault)
{
    int rc = rehearsal_run(child->config, bundle_fd, NULL, NULL, NULL, totals, fault);
    size_t used = strlen(fault->what);
    while (rc < 0 && used && fault->what[used - 1] == '\n')
        fault->what[--used] = '\0';
    if (rc < 0 && totals->failed > 1)
        snprintf(fault->what + used, sizeof(fault->what) - used,
                 "\n%u of %u cases failed; herald policy test shows them all", totals->failed,
                 totals->cases);
    return rc;
}

static int judge(const struct policy_child *child, int *bundle_fd, struct rehearsal_totals *totals,
                 struct fault *fault)
{
    *bundle_fd = bundle_create_with(child->config, child->one, fault);
    if (*bundle_fd < 0)
        return *bundle_fd;
    int rc = policy_check(child->config, *bundle_fd, fault);
    if (rc < 0)
        show_line(*bundle_fd, fault);
    return rc == 0 && child->specs ? run_specs(child, *bundle_fd, totals, fault) : rc;
}

int policy_child_answer(int socket, const struct policy_child *child)
{
    char text[FAULT_WHERE_MAX + FAULT_WHAT_MAX + 32];
    struct fault fault = {0}, stored = {0};
    struct rehearsal_totals totals = {0};
    int bundle_fd;
    if (judge(child, &bundle_fd, &totals, &fault) == 0) {
        snprintf(text, sizeof(text), "%u %u", totals.specs, totals.cases);
        return helper_answer(socket, span_of(text), bundle_fd);
    }
    if (child->stored_fd < 0 ||
        policy_versions_check(child->config, child->stored_fd, &stored) < 0)
        return helper_refuse(socket, &fault);
    return helper_answer(socket, span_of(fault_text(&fault, text, sizeof(text))), -1);
}

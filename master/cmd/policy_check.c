/* `herald policy check`: compiles what a config names, and says what it will run with. */
#include "master/cmd/policy.h"

#include "master/confined.h"
#include "master/resources.h"
#include "policy/bundle.h"
#include "policy/policy_lint.h"
#include "policy/policy_vm.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CPU_S 20
#define WALL_MS 30000
#define OUTPUT_MAX (1024 * 1024)

/* ---- in the child ---- */

static void warned(void *context, const struct fault *fault)
{
    char text[FAULT_WHERE_MAX + FAULT_WHAT_MAX + 16];
    json_array_append_new(context, json_string(fault_text(fault, text, sizeof(text))));
}

static json_t *judge(const struct config *config)
{
    struct fault fault = {0};
    struct policy_limits limits = {0};
    char text[FAULT_WHERE_MAX + FAULT_WHAT_MAX + 16];
    json_t *warnings = json_array();
    int rc = policy_limits(config, &limits, &fault);
    int bundle = rc == 0 ? bundle_create(config, &fault) : rc;
    rc = bundle < 0 ? bundle : policy_check(config, bundle, &fault);
    if (bundle >= 0)
        policy_lint(config, bundle, warned, warnings);
    json_t *answer = json_pack("{s:b, s:o, s:i, s:i, s:i, s:I}", "ok", rc == 0, "warnings", warnings,
                               "tick_ms", (int)limits.tick_ms, "soft_ms", (int)limits.soft_ms,
                               "hard_ms", (int)limits.hard_ms, "memory_bytes",
                               (json_int_t)limits.memory_bytes);
    if (rc < 0)
        json_object_set_new(answer, "error", json_string(fault_text(&fault, text, sizeof(text))));
    return answer;
}

static void child(void *argument, int out)
{
    json_t *answer = judge(argument);
    char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
    if (text)
        confined_write(out, text, strlen(text));
    free(text);
    json_decref(answer);
}

static int run_confined(struct config *config, json_t **answer, struct fault *fault)
{
    struct confined confined = {
        .run = child,
        .argument = config,
        .keep = {config->policy.stock_fd, config->policy.dir_fd},
        .keep_count = config->policy.dir_fd >= 0 ? 2 : 1,
        .user = config->user,
        .cpu_s = CPU_S,
        .wall_ms = WALL_MS,
        .output_max = OUTPUT_MAX,
        .what = "checking the policies",
        .where = config->policy.dir,
    };
    char *output = NULL;
    size_t length = 0;
    int rc = confined_run(&confined, &output, &length, fault);
    *answer = rc == 0 ? json_loadb(output, length, 0, NULL) : NULL;
    free(output);
    if (rc == 0 && !*answer)
        rc = fault_set(fault, -EPROTO, config->policy.dir, 0, "checking the policies ended early");
    return rc;
}

/* ---- what is said ---- */

static int number(const json_t *object, const char *key)
{
    return (int)json_integer_value(json_object_get(object, key));
}

static void print_limits(const json_t *answer)
{
    int tick_ms = number(answer, "tick_ms");
    printf("  a hook is stopped after %d to %d ms of CPU time (policy.soft), its state dropped after "
           "%d to %d ms (policy.hard)\n",
           number(answer, "soft_ms") - tick_ms, number(answer, "soft_ms"),
           number(answer, "hard_ms") - tick_ms, number(answer, "hard_ms"));
    printf("  a version has %d KiB of memory (policy.memory)\n",
           (int)(json_integer_value(json_object_get(answer, "memory_bytes")) / 1024));
}

static void print_lists(const struct config *config)
{
    for (size_t s = 0; s < config->sites_count; s++) {
        const struct config_site *site = &config->sites[s];
        for (size_t r = 0; r < site->routes_count; r++) {
            const struct config_route *route = &site->routes[r];
            if (route->policies_count == 0)
                continue;
            printf("  %s %s:", site->names[0], route->prefix);
            for (size_t p = 0; p < route->policies_count; p++)
                printf(" %s", route->policies[p].name);
            putchar('\n');
        }
    }
}

static int print_answer(const struct config *config, json_t *answer, bool json)
{
    bool ok = json_is_true(json_object_get(answer, "ok"));
    const char *error = json_string_value(json_object_get(answer, "error"));
    json_t *warning;
    size_t i;
    if (json) {
        json_dumpf(answer, stdout, JSON_COMPACT);
        putchar('\n');
        return ok ? CMD_DONE : CMD_FAILED;
    }
    json_array_foreach(json_object_get(answer, "warnings"), i, warning)
        fprintf(stderr, "warning: %s\n", json_string_value(warning));
    if (!ok) {
        fprintf(stderr, "herald: %s\n", error ? error : "the policies are not good");
        return CMD_FAILED;
    }
    printf("policies: ok\n");
    print_lists(config);
    print_limits(answer);
    return CMD_DONE;
}

static int open_policies(const char *path, const char *root, struct config **config,
                         struct fault *fault)
{
    struct config_source source;
    int rc = cmd_source(path, root, &source, fault);
    if (rc == 0)
        rc = stage_load(&source, config, fault);
    return rc == 0 ? resources_open_policies(*config, fault) : rc;
}

int cmd_policy_check(int argc, char **argv)
{
    const char *path = NULL, *root = NULL;
    bool json = false;
    const struct cmd_option options[] = {
        {"--config", 'c', "FILE", "the config that names the policies", &path, NULL},
        {"--root", 0, "DIR", "check what `run --root DIR` would use", &root, NULL},
        {"--json", 0, NULL, "as JSON", NULL, &json},
        {0},
    };
    const struct cmd_syntax syntax = {
        "policy check", "Compiles the policies that a config names, and says what looks wrong.",
        options};
    struct config *config = NULL;
    struct fault fault = {0};
    json_t *answer = NULL;
    int status = cmd_parse(&syntax, argc, argv);
    if (status != CMD_GO_ON)
        return status;
    int rc = open_policies(path, root, &config, &fault);
    if (rc == 0)
        rc = run_confined(config, &answer, &fault);
    status = rc < 0 ? cmd_fault(&fault, json) : print_answer(config, answer, json);
    json_decref(answer);
    config_destroy(config);
    return status;
}

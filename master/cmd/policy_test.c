/* `herald policy test`: runs specs in a child that can do no harm, and tells what differs. */
#include "master/cmd/policy.h"

#include "master/confined.h"
#include "master/resources.h"
#include "policy/bundle.h"
#include "policy/rehearsal.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CPU_S 60
#define WALL_MS 120000
#define OUTPUT_MAX (16 * 1024 * 1024)

/* ---- in the child ---- */

struct task {
    const struct config *config;
    const char *only; /* a spec's name, or NULL */
    json_t *cases;
};

/* What a spec says need not be UTF-8. */
static json_t *text_json(const char *text)
{
    char *copy = strdup(text);
    if (copy)
        fault_make_utf8(copy);
    json_t *string = json_string(copy ? copy : "memory ran out");
    free(copy);
    return string;
}

static void told(void *context, const struct rehearsal_case *one)
{
    struct task *task = context;
    json_array_append_new(task->cases,
                          json_pack("{s:o, s:i, s:o, s:b, s:o}", "file", text_json(one->file),
                                    "line", one->line, "name", text_json(one->name), "ok",
                                    one->passed, "said", text_json(one->said)));
}

static json_t *run_specs(struct task *task)
{
    struct rehearsal_totals totals = {0};
    struct fault fault = {0};
    char text[FAULT_WHERE_MAX + FAULT_WHAT_MAX + 32];
    task->cases = json_array();
    int bundle = bundle_create(task->config, &fault);
    int rc = bundle < 0
                 ? bundle
                 : rehearsal_run(task->config, bundle, task->only, told, task, &totals, &fault);
    if (bundle >= 0)
        close(bundle);
    json_t *answer =
        json_pack("{s:b, s:i, s:i, s:i, s:o}", "ok", rc == 0, "specs", (int)totals.specs, "cases",
                  (int)totals.cases, "failed", (int)totals.failed, "results", task->cases);
    if (rc < 0 && !totals.failed)
        json_object_set_new(answer, "error", json_string(fault_text(&fault, text, sizeof(text))));
    return answer;
}

static void child(void *argument, int out)
{
    json_t *answer = run_specs(argument);
    char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
    if (text)
        confined_write(out, text, strlen(text));
    free(text);
    json_decref(answer);
}

/* ---- what is said ---- */

static json_int_t number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static void print_indented(const char *text)
{
    while (*text) {
        size_t length = strcspn(text, "\n");
        printf("    %.*s\n", (int)length, text);
        text += length + (text[length] == '\n');
    }
}

/* A line for each spec; for each case that failed its place, its name and what differs. */
static void print_results(const json_t *answer)
{
    json_t *results = json_object_get(answer, "results");
    size_t count = json_array_size(results);
    for (size_t i = 0, next; i < count; i = next) {
        const char *file = json_string_value(json_object_get(json_array_get(results, i), "file"));
        unsigned failed = 0;
        for (next = i; next < count; next++) {
            json_t *one = json_array_get(results, next);
            if (strcmp(json_string_value(json_object_get(one, "file")), file) != 0)
                break;
            failed += !json_is_true(json_object_get(one, "ok"));
        }
        printf("%s  %s: %zu case%s\n", failed ? "FAIL" : "ok  ", file, next - i,
               next - i == 1 ? "" : "s");
        for (size_t k = i; failed && k < next; k++) {
            json_t *one = json_array_get(results, k);
            if (json_is_true(json_object_get(one, "ok")))
                continue;
            printf("  %s:%" JSON_INTEGER_FORMAT ": %s\n", file, number(one, "line"),
                   json_string_value(json_object_get(one, "name")));
            print_indented(json_string_value(json_object_get(one, "said")));
        }
    }
}

static int print_answer(json_t *answer, bool json)
{
    bool ok = json_is_true(json_object_get(answer, "ok"));
    const char *error = json_string_value(json_object_get(answer, "error"));
    if (json) {
        json_dumpf(answer, stdout, JSON_COMPACT);
        putchar('\n');
        return ok ? CMD_DONE : CMD_FAILED;
    }
    print_results(answer);
    if (error) {
        fprintf(stderr, "herald: %s\n", error);
        return CMD_FAILED;
    }
    json_int_t failed = number(answer, "failed");
    printf("%" JSON_INTEGER_FORMAT " specs, %" JSON_INTEGER_FORMAT " cases: ",
           number(answer, "specs"), number(answer, "cases"));
    if (number(answer, "specs") == 0)
        printf("there are no files called *%s\n", REHEARSAL_ENDING);
    else if (ok)
        printf("all passed\n");
    else
        printf("%" JSON_INTEGER_FORMAT " failed\n", failed);
    return ok ? CMD_DONE : CMD_FAILED;
}

/* ---- which policies ---- */

/* The folder and the spec that `path` names: a folder, a spec, or a policy that has one. */
static int split_path(const char *path, char **folder, char **only, struct fault *fault)
{
    struct stat status;
    if (stat(path, &status) < 0)
        return fault_set(fault, -errno, path, 0, "%s", strerror(errno));
    if (S_ISDIR(status.st_mode)) {
        *folder = strdup(path);
        return *folder ? 0 : -ENOMEM;
    }
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    struct span file = span_of(name);
    if (!span_ends(file, SPAN_LITERAL(".lua")))
        return fault_set(fault, -EINVAL, path, 0, "neither a folder nor a *.lua file");
    *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    if (rehearsal_is_spec(file))
        *only = strdup(name);
    else if (asprintf(only, "%.*s%s", (int)file.length - 4, name, REHEARSAL_ENDING) < 0)
        *only = NULL;
    return *folder && *only ? 0 : fault_set(fault, -ENOMEM, path, 0, "memory ran out");
}

static int open_folder(const char *path, int *fd, struct fault *fault)
{
    *fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return *fd < 0 ? fault_set(fault, -errno, path, 0, "%s", strerror(errno)) : 0;
}

/* A config without sites, for the policies of one folder. */
static int config_of_folder(const char *folder, struct config **config, struct fault *fault)
{
    *config = config_create();
    if (!*config || !((*config)->policy.dir = strdup(folder)))
        return fault_set(fault, -ENOMEM, folder, 0, "memory ran out");
    int rc = open_folder(folder, &(*config)->policy.dir_fd, fault);
    return rc < 0 ? rc : open_folder(HERALD_STOCK_DIR, &(*config)->policy.stock_fd, fault);
}

static int config_of_source(const char *path, const char *root, struct config **config,
                            struct fault *fault)
{
    struct config_source source;
    int rc = cmd_source(path, root, &source, fault);
    if (rc == 0)
        rc = stage_load(&source, config, fault);
    if (rc == 0 && !(*config)->policy.dir)
        return fault_set(fault, -EINVAL, (*config)->path, 0,
                         "names no policy.dir; name a folder or a file: herald policy test DIR");
    if (rc == 0)
        rc = open_folder((*config)->policy.dir, &(*config)->policy.dir_fd, fault);
    return rc < 0 ? rc : open_folder(HERALD_STOCK_DIR, &(*config)->policy.stock_fd, fault);
}

/* The spec of the policy that `word` names in policy.dir: "shop" for shop.lua's. */
static int find_named(const struct config *config, const char *word, char **only,
                      struct fault *fault)
{
    struct span name = span_of(word);
    bool whole = span_ends(name, SPAN_LITERAL(".lua"));
    if (whole && rehearsal_is_spec(name))
        *only = strdup(word);
    else if (asprintf(only, "%.*s%s", (int)(name.length - (whole ? 4 : 0)), word,
                      REHEARSAL_ENDING) < 0)
        *only = NULL;
    if (!*only)
        return fault_set(fault, -ENOMEM, word, 0, "memory ran out");
    if (faccessat(config->policy.dir_fd, *only, F_OK, 0) == 0)
        return 0;
    return fault_set(fault, -ENOENT, word, 0, "no such folder or file here, and no %s in %s", *only,
                     config->policy.dir);
}

static int run_confined(struct config *config, const char *only, json_t **answer,
                        struct fault *fault)
{
    struct task task = {config, only, NULL};
    struct confined confined = {
        .run = child,
        .argument = &task,
        .keep = {config->policy.stock_fd, config->policy.dir_fd},
        .keep_count = 2,
        .user = config->user,
        .cpu_s = CPU_S,
        .wall_ms = WALL_MS,
        .output_max = OUTPUT_MAX,
        .what = "running the specs",
        .where = config->policy.dir,
    };
    char *output = NULL;
    size_t length = 0;
    int rc = confined_run(&confined, &output, &length, fault);
    *answer = rc == 0 ? json_loadb(output, length, 0, NULL) : NULL;
    free(output);
    if (rc == 0 && !*answer)
        rc = fault_set(fault, -EPROTO, config->policy.dir, 0, "running the specs ended early");
    return rc;
}

int cmd_policy_test(int argc, char **argv)
{
    const char *path = NULL, *root = NULL;
    const char *texts[1] = {NULL};
    bool json = false;
    const struct cmd_option options[] = {
        {"--config", 'c', "FILE", "the config whose policy.dir is meant", &path, NULL},
        {"--json", 0, NULL, "as JSON", NULL, &json},
        {0},
    };
    const struct cmd_syntax syntax = {
        "policy test",
        "Runs the specs (*_spec.lua) of a folder, or one of them, by its file, its policy's or, "
        "in\n"
        "policy.dir, its policy's name; by default all of policy.dir.",
        options};
    struct cmd_words words = {"[DIR|FILE|NAME]", texts, 0, 1, 0};
    struct config *config = NULL;
    struct fault fault = {0};
    json_t *answer = NULL;
    char *folder = NULL, *only = NULL;
    int status = cmd_parse_words(&syntax, &words, argc, argv);
    if (status != CMD_GO_ON)
        return status;
    bool named = texts[0] && !strchr(texts[0], '/') && access(texts[0], F_OK) < 0;
    int rc = texts[0] && !named ? split_path(texts[0], &folder, &only, &fault) : 0;
    if (rc == 0)
        rc = folder ? config_of_folder(folder, &config, &fault)
                    : config_of_source(path, root, &config, &fault);
    if (rc == 0 && named)
        rc = find_named(config, texts[0], &only, &fault);
    if (rc == 0)
        rc = run_confined(config, only, &answer, &fault);
    status = rc < 0 ? cmd_fault(&fault, json) : print_answer(answer, json);
    json_decref(answer);
    config_destroy(config);
    free(folder);
    free(only);
    return status;
}

/* `herald check`: whether a config is good, what it means, and how far its table reaches. Nothing
 * that runs is touched. */
#include "master/cmd/cmd.h"

#include "master/config/config_load.h"
#include "master/config/config_names.h"
#include "master/config/config_print.h"
#include "master/config/config_value.h"
#include "master/confined.h"
#include "master/resources.h"
#include "master/self_signed.h"
#include "policy/bundle.h"
#include "policy/deadline.h"
#include "policy/push_upkeep.h"
#include "worker/tls.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK_CPU_S 20
#define CHECK_WALL_MS 30000
#define LOST_MAX 0.01 /* the share of beliefs that the summary's table may lose to full buckets */
#define RESOURCES 50  /* of one client, in the summary */
#define SHOWN_MAX 8   /* sites that the summary names */

/* ---- certificates and policies, in a child ---- */

/* What the kernel's ticks allow is known only here. */
static int check_deadlines(const struct config *config, struct fault *fault)
{
    struct deadline_limits limits;
    struct fault own = {0};
    const char *file;
    int line;
    int rc = deadline_limits(config->policy.soft_ms, config->policy.hard_ms, &limits, &own);
    if (rc == 0)
        return 0;
    config_place(config, config->policy.soft_ms ? "policy.soft" : "policy.hard", &file, &line);
    return fault_set(fault, rc, file, line, "%s", own.what);
}

/* What only libraries can judge: whether certificates and keys fit, whether policies compile. This
 * is where the parts of a config that other modules read are looked at. */
static int check_parts(struct config *config, struct fault *fault)
{
    char *made = NULL;
    size_t length = 0;
    int rc = self_signed_make(config, &made, &length, fault);
    free(made);
    if (rc == 0)
        rc = tls_check(config, fault);
    if (rc == 0)
        rc = check_deadlines(config, fault);
    int bundle = rc == 0 ? bundle_create(config, fault) : -1;
    if (rc == 0)
        rc = bundle < 0 ? bundle : policy_check(config, bundle, fault);
    if (bundle >= 0)
        close(bundle);
    return rc;
}

static void run_parts(void *argument, int out)
{
    struct fault fault = {0};
    if (check_parts(argument, &fault) < 0)
        confined_write(out, &fault, sizeof(fault));
}

static int check_confined(struct config *config, struct fault *fault)
{
    struct confined confined = {
        .run = run_parts,
        .argument = config,
        .keep = {config->policy.stock_fd, config->policy.dir_fd},
        .keep_count = config->policy.dir_fd >= 0 ? 2 : 1,
        .user = config->user,
        .cpu_s = CHECK_CPU_S,
        .wall_ms = CHECK_WALL_MS,
        .output_max = sizeof(*fault),
        .what = "checking certificates and policies",
        .where = config->files_count ? config->files[0] : NULL,
    };
    char *output = NULL;
    size_t length = 0;
    int rc = confined_run(&confined, &output, &length, fault);
    if (rc == 0 && length == sizeof(*fault)) {
        memcpy(fault, output, sizeof(*fault));
        fault->where[sizeof(fault->where) - 1] = 0;
        fault->what[sizeof(fault->what) - 1] = 0;
        rc = -EINVAL;
    }
    free(output);
    return rc;
}

/* ---- what is said ---- */

static void print_warnings(const struct config *config)
{
    for (size_t i = 0; i < config->warnings_count; i++)
        fprintf(stderr, "warning: %s\n", config->warnings[i]);
}

static void print_sites(const struct config *config)
{
    printf("  sites       ");
    for (size_t i = 0; i < config->sites_count && i < SHOWN_MAX; i++) {
        const struct config_site *site = &config->sites[i];
        printf("%s%s", i ? ", " : "", site->names[0]);
        if (site->names_count > 1)
            printf(" and %zu more names", site->names_count - 1);
        if (site->routes_count > 1)
            printf(" (%zu routes)", site->routes_count - 1);
    }
    if (config->sites_count > SHOWN_MAX)
        printf(" and %zu more", config->sites_count - SHOWN_MAX);
    printf("\n");
}

static void print_listens(const struct config *config)
{
    printf("  listens     ");
    for (size_t i = 0; i < config->listens_count; i++)
        printf("%s%s%s", i ? ", " : "", config->listens[i].text,
               config->listens[i].tls ? " (TLS)" : "");
    printf("\n");
}

static void print_summary(const struct config *config, const char *name)
{
    char size[CONFIG_FORMAT_MAX];
    struct deadline_limits limits;
    uint64_t entries = push_capacity(config->table_bytes, LOST_MAX);
    printf("%s: ok\n", name);
    print_sites(config);
    print_listens(config);
    printf("  workers     %u%s%s\n", config->workers, geteuid() == 0 ? ", as " : "",
           geteuid() == 0 ? config->user : "");
    if (deadline_limits(config->policy.soft_ms, config->policy.hard_ms, &limits, NULL) == 0)
        printf("  policies    stopped after %u to %u ms of CPU time, dropped after %u to %u ms\n",
               (limits.soft_ticks - 1) * limits.tick_ms, limits.soft_ticks * limits.tick_ms,
               (limits.hard_ticks - 1) * limits.tick_ms, limits.hard_ticks * limits.tick_ms);
    printf("  push table  %s: %" PRIu64 " clients x %d resources, losing less than %g %%\n",
           config_format_size(config->table_bytes, size), entries / RESOURCES, RESOURCES,
           LOST_MAX * 100);
    printf("  state       %s\n", config->state_dir);
}

/* {"ok":true,"file":...,"warnings":[...],"table":{...},"config":{...}} */
static void print_json(const struct config *config, const char *name)
{
    uint64_t entries = push_capacity(config->table_bytes, LOST_MAX);
    char *text = config_encode(config);
    fputs("{\"ok\":true,\"file\":", stdout);
    value_write_json_text(name, stdout);
    fputs(",\"warnings\":[", stdout);
    for (size_t i = 0; i < config->warnings_count; i++) {
        fputs(i ? "," : "", stdout);
        value_write_json_text(config->warnings[i], stdout);
    }
    printf("],\"table\":{\"bytes\":%" PRIu64 ",\"entries\":%" PRIu64 "},\"config\":%s}\n",
           config->table_bytes, entries, text ? text : "null");
    free(text);
}

static int print_fault(const struct fault *fault, bool json)
{
    char text[FAULT_WHERE_MAX + FAULT_WHAT_MAX + 16];
    if (!json) {
        fprintf(stderr, "%s\n", fault_text(fault, text, sizeof(text)));
        return CMD_FAILED;
    }
    fputs("{\"ok\":false,\"error\":", stdout);
    value_write_json_text(fault_text(fault, text, sizeof(text)), stdout);
    fputs(",\"file\":", stdout);
    value_write_json_text(fault->where, stdout);
    printf(",\"line\":%d,\"what\":", fault->line);
    value_write_json_text(fault->what, stdout);
    fputs("}\n", stdout);
    return CMD_FAILED;
}

int cmd_check(int argc, char **argv)
{
    const char *path = NULL;
    const char *root = NULL;
    bool print = false;
    bool json = false;
    const struct cmd_option options[] = {
        {"--config", 'c', "FILE", "the config (default: herald.lua here, or /etc/herald's)", &path,
         NULL},
        {"--root", 0, "DIR", "check what `run --root DIR` would use", &root, NULL},
        {"--print", 0, NULL, "print the config with all defaults, in its own language", NULL,
         &print},
        {"--json", 0, NULL, "as JSON", NULL, &json},
        {0},
    };
    const struct cmd_syntax syntax = {"check", "Says whether a config is good, and what it means.",
                                      options};
    struct config_source source;
    struct config *config = NULL;
    struct fault fault = {0};
    int status = cmd_parse(&syntax, argc, argv);
    if (status != CMD_GO_ON)
        return status;
    int rc = cmd_source(path, root, &source, &fault);
    if (rc == 0)
        rc = stage_load(&source, &config, &fault);
    if (rc == 0)
        rc = resources_open(config, &fault);
    if (rc == 0)
        rc = resources_check_log(config, "log.access", config->log.access, &fault);
    if (rc == 0)
        rc = resources_check_log(config, "log.error", config->log.error, &fault);
    if (rc == 0)
        rc = check_confined(config, &fault);
    if (rc == 0) {
        config_names_look_up(config);
        config_names_warn(config);
    }
    const char *name = config && config->files_count ? config->files[0] : "";
    if (rc < 0) {
        status = print_fault(&fault, json);
    } else {
        status = CMD_DONE;
        if (!json)
            print_warnings(config);
        if (json)
            print_json(config, name);
        else if (print)
            config_print(config, stdout);
        else
            print_summary(config, name);
    }
    config_destroy(config);
    return status;
}

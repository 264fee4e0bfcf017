#include "master/cmd/duration.h"
#include "master/cmd/remote.h"
#include "master/cmd/status_waste.h"

#include <stdio.h>
#include <string.h>

#define EVENTS_SHOWN 5

static json_int_t number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static const char *word(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "-";
}

/* "1.5 MiB" */
static void print_bytes(json_int_t bytes)
{
    char text[STATUS_BYTES_MAX];
    printf("%s", status_bytes((double)bytes, text));
}

static void print_list(const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        printf("%s%s", i ? ", " : "", json_string_value(json_array_get(list, i)));
    if (json_array_size(list) == 0)
        printf("-");
}

static void print_head(const json_t *status)
{
    printf("herald %s, pid %" JSON_INTEGER_FORMAT ", %s for ", word(status, "version"),
           number(status, "pid"), word(status, "state"));
    char text[DURATION_TEXT_MAX];
    printf("%s", duration_text(number(status, "uptime_s"), text));
    printf("\ngeneration %" JSON_INTEGER_FORMAT, number(status, "generation"));
    if (json_is_string(json_object_get(status, "config")))
        printf(", config %s", word(status, "config"));
    if (json_is_string(json_object_get(status, "user")))
        printf(", workers run as %s", word(status, "user"));
    putchar('\n');
    const json_t *reload = json_object_get(status, "last_reload");
    if (json_is_object(reload))
        printf("last reload %s: %s%s\n", word(reload, "at"),
               json_is_true(json_object_get(reload, "ok")) ? "done" : "failed, ",
               json_is_true(json_object_get(reload, "ok")) ? "" : word(reload, "error"));
}

static void print_places(const json_t *status)
{
    const json_t *listens = json_object_get(status, "listens");
    const json_t *sites = json_object_get(status, "sites");
    printf("\nlistens");
    for (size_t i = 0; i < json_array_size(listens); i++)
        printf("  %s", word(json_array_get(listens, i), "url"));
    putchar('\n');
    for (size_t i = 0; i < json_array_size(sites); i++) {
        const json_t *site = json_array_get(sites, i);
        printf("site     ");
        print_list(json_object_get(site, "names"));
        printf("  root %s  policies ", word(site, "root"));
        print_list(json_object_get(site, "policies"));
        putchar('\n');
    }
}

static void print_worker(const json_t *worker)
{
    printf("%6" JSON_INTEGER_FORMAT " ", number(worker, "share"));
    if (json_object_get(worker, "pid"))
        printf("%4" JSON_INTEGER_FORMAT " %8" JSON_INTEGER_FORMAT " ", number(worker, "slot"),
               number(worker, "pid"));
    else
        printf("%4s %8s ", "-", "-");
    printf("%-9s %10" JSON_INTEGER_FORMAT " %12" JSON_INTEGER_FORMAT " %11" JSON_INTEGER_FORMAT
           " %8" JSON_INTEGER_FORMAT "\n",
           word(worker, "state"), number(worker, "generation"), number(worker, "connections"),
           number(worker, "requests"), number(worker, "restarts"));
}

static void print_workers(const json_t *status)
{
    const json_t *workers = json_object_get(status, "workers");
    printf("\n%6s %4s %8s %-9s %10s %12s %11s %8s\n", "worker", "slot", "pid", "state",
           "generation", "connections", "requests", "restarts");
    for (size_t i = 0; i < json_array_size(workers); i++)
        print_worker(json_array_get(workers, i));
}

static void print_skips(json_t *skips)
{
    bool any = false;
    for (void *at = json_object_iter(skips); at; at = json_object_iter_next(skips, at)) {
        printf("%s%" JSON_INTEGER_FORMAT " %s", any ? ", " : "",
               json_integer_value(json_object_iter_value(at)), json_object_iter_key(at));
        any = true;
    }
    if (!any)
        printf("none");
}

static void print_table(const json_t *table)
{
    json_int_t used = number(table, "held") + number(table, "declined") + number(table, "claimed");
    json_int_t room = number(table, "entries_max");
    json_int_t age_s = number(table, "counted_s_ago");
    printf("%" JSON_INTEGER_FORMAT " held, %" JSON_INTEGER_FORMAT " declined, %" JSON_INTEGER_FORMAT
           " being sent: %.2f %% of ",
           number(table, "held"), number(table, "declined"), number(table, "claimed"),
           room ? 100.0 * (double)used / (double)room : 0.0);
    print_bytes(number(table, "bytes"));
    if (number(table, "evictions"))
        printf(", %" JSON_INTEGER_FORMAT " evicted", number(table, "evictions"));
    if (!json_object_get(table, "counted_s_ago"))
        printf(" (not counted yet)");
    else if (age_s > 0)
        printf(" (counted %" JSON_INTEGER_FORMAT " s ago)", age_s);
}

/* Nothing, as long as no page was watched. */
static void print_learned(const json_t *status)
{
    const json_t *names = json_object_get(status, "names");
    const json_t *learned = json_object_get(status, "learned");
    json_int_t used = number(learned, "pages") + number(learned, "assets");
    if (used == 0)
        return;
    printf("\nlearned  %" JSON_INTEGER_FORMAT " pages, %" JSON_INTEGER_FORMAT
           " assets of pages: %.2f %% of the room; %" JSON_INTEGER_FORMAT
           " names are public: %.2f %%",
           number(learned, "pages"), number(learned, "assets"),
           100.0 * (double)used / (double)number(learned, "room"), number(names, "public"),
           100.0 * (double)number(names, "public") / (double)number(names, "room"));
}

/* What became of requests for proxied resources that went by way of the caches; nothing where no route
 * has an origin. */
static void print_cache(const json_t *status)
{
    static const char *const keys[] = {"hits", "misses", "joined", "revalidated", "stale",
                                       "evictions"};
    const json_t *counters = json_object_get(status, "counters");
    char name[32];
    if (number(counters, "proxy_cache_misses") == 0)
        return;
    printf("\ncache    ");
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        snprintf(name, sizeof(name), "proxy_cache_%s", keys[i]);
        printf("%s%" JSON_INTEGER_FORMAT " %s", i ? ", " : "", number(counters, name), keys[i]);
    }
}

static void print_pushes(const json_t *status)
{
    static const char *const keys[] = {"promised", "delivered", "cancelled", "refused", "lost"};
    const json_t *push = json_object_get(status, "push");
    printf("\npushes   ");
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        printf("%" JSON_INTEGER_FORMAT " %s, ", number(push, keys[i]), keys[i]);
    print_bytes(number(push, "bytes"));
    printf("\nskipped  ");
    print_skips(json_object_get(status, "skips"));
    printf("\ntable    ");
    print_table(json_object_get(status, "table"));
    print_learned(status);
    print_cache(status);
    putchar('\n');
}

/* The versions of the policies, what was done with them last, and whether the files differ. */
static void print_policies(const json_t *status)
{
    const json_t *policy = json_object_get(status, "policy");
    const json_t *files = json_object_get(policy, "files");
    const json_t *events = json_object_get(policy, "events");
    if (!json_object_get(policy, "active"))
        return;
    printf("\npolicies ");
    if (number(policy, "active"))
        printf("v%" JSON_INTEGER_FORMAT " active", number(policy, "active"));
    else
        printf("none active");
    if (number(policy, "canary"))
        printf(", v%" JSON_INTEGER_FORMAT " for %.1f %% of the clients", number(policy, "canary"),
               (double)number(policy, "permille") / 10);
    if (number(policy, "shadow"))
        printf(", v%" JSON_INTEGER_FORMAT " shadow", number(policy, "shadow"));
    printf(json_is_true(json_object_get(files, "watched")) ? ", files watched\n" : "\n");
    if (strcmp(word(files, "state"), "differ") == 0 && number(files, "version"))
        printf("         the files are those of v%" JSON_INTEGER_FORMAT "\n",
               number(files, "version"));
    else if (strcmp(word(files, "state"), "differ") == 0)
        printf("         the files differ from it: herald policy diff, herald policy load --use\n");
    else if (strcmp(word(files, "state"), "bad") == 0)
        printf("         the files are bad: %s\n", word(files, "error"));
    for (size_t i = 0; i < json_array_size(events) && i < EVENTS_SHOWN; i++) {
        const json_t *event = json_array_get(events, i);
        printf("         %s  %s, by %s\n", word(event, "at"), word(event, "what"),
               word(event, "by"));
    }
}

/* The policies' dictionaries. */
static void print_shared(const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        json_int_t room = number(one, "room");
        printf("%s%-20s %" JSON_INTEGER_FORMAT " entries, ", i ? "         " : "\nshared   ",
               word(one, "name"), number(one, "entries"));
        print_bytes(number(one, "bytes"));
        printf(": %.1f %% of ", room ? 100.0 * (double)number(one, "bytes") / (double)room : 0.0);
        print_bytes(room);
        printf("; %" JSON_INTEGER_FORMAT " evicted, %" JSON_INTEGER_FORMAT " refused\n",
               number(one, "evictions"), number(one, "refusals"));
    }
}

/* The servers behind origins: those that rest say so. */
static void print_origins(const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        printf("%s%-28s ", i ? "         " : "\norigins  ", word(one, "server"));
        if (number(one, "resting"))
            printf("rests at %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT
                   " workers for %" JSON_INTEGER_FORMAT " s; ",
                   number(one, "resting"), number(one, "of"), number(one, "until_s"));
        if (number(one, "failures"))
            printf("failed %" JSON_INTEGER_FORMAT " times since it last answered\n",
                   number(one, "failures"));
        else
            printf("has not failed\n");
    }
}

static void print_switch(const json_t *status)
{
    const json_t *push = json_object_get(json_object_get(status, "policy"), "push");
    const json_t *sites = json_object_get(push, "off_sites");
    if (json_is_true(json_object_get(push, "off")))
        printf("\nPUSHES ARE SWITCHED OFF: herald push on\n");
    if (json_array_size(sites)) {
        printf("\nPUSHES ARE SWITCHED OFF for ");
        print_list(sites);
        putchar('\n');
    }
}

static void print_all(const json_t *status)
{
    print_head(status);
    print_places(status);
    print_workers(status);
    print_switch(status);
    print_pushes(status);
    status_print_waste(json_object_get(status, "waste"));
    print_policies(status);
    print_shared(json_object_get(status, "shared"));
    print_origins(json_object_get(status, "origins"));
}

int cmd_status(int argc, char **argv)
{
    struct remote remote = {0};
    struct fault fault = {0};
    bool experiment = false;
    const struct cmd_option options[] = {{"--experiment", 0, NULL,
                                          "what pushing does for clients, against those held out",
                                          NULL, &experiment},
                                         REMOTE_OPTIONS(remote),
                                         {0}};
    const struct cmd_syntax syntax = {
        "status", "Says how a running herald fares: its workers, what it pushed, and why not more.",
        options};
    int status = cmd_parse(&syntax, argc, argv);
    if (status != CMD_GO_ON)
        return status;
    json_t *request = json_pack("{s:s, s:b}", "verb", "status", "experiment", experiment);
    json_t *answer = remote_call(&remote, request, NULL, &fault);
    json_decref(request);
    if (!answer)
        return cmd_fault(&fault, remote.json);
    if (remote.json)
        return remote_print_json(answer);
    status = remote_refused(answer) ? CMD_FAILED : CMD_DONE;
    if (status == CMD_DONE && experiment)
        status_print_experiment(json_object_get(answer, "experiment"));
    else if (status == CMD_DONE)
        print_all(answer);
    json_decref(answer);
    return status;
}

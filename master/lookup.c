#include "master/lookup.h"

#include "master/config/config_names.h"
#include "master/report.h"
#include "master/resources.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- in the child ---- */

static void write_line(struct config_server *server, void *context)
{
    if (server->named && server->addresses[0])
        fprintf(context, "%s %s\n", server->host, server->addresses);
}

static void forget(struct config_server *server, void *context)
{
    (void)context;
    if (server->named)
        server->addresses[0] = 0;
}

/* Answers a line for each name that has addresses: "NAME ADDRESS,ADDRESS". */
static int look_up_body(int socket, void *context)
{
    struct lookup *lookup = context;
    struct config *config = lookup->generation->config;
    char *text = NULL;
    size_t length = 0;
    resources_forget_keys(config);
    config_names_each(config, forget, NULL);
    config_names_look_up(config);
    FILE *out = open_memstream(&text, &length);
    if (!out)
        return 1;
    config_names_each(config, write_line, out);
    return fclose(out) == 0 ? helper_answer(socket, span_make(text, length), -1) : 1;
}

/* ---- in the master ---- */

/* What an unprivileged child says is looked at before it is believed. */
static void take_line(struct generation *generation, char *line)
{
    char *space = strchr(line, ' ');
    if (!space)
        return;
    *space = 0;
    if (config_are_addresses(space + 1) && generation_addresses(generation, line, space + 1) > 0)
        report_info("origin: %s has other addresses: %s", line, space + 1);
}

static void looked_up(struct helper *helper, int rc, struct span answer, int fd,
                      const struct fault *fault)
{
    struct lookup *lookup = OWNER_OF(helper, struct lookup, helper);
    char line[1024];
    (void)fd;
    if (rc < 0)
        report_fault("origins keep the addresses they had", fault);
    while (rc == 0 && lookup->generation && answer.length) {
        size_t length = span_find(answer, '\n');
        if (length < sizeof(line)) {
            memcpy(line, answer.data, length);
            line[length] = 0;
            take_line(lookup->generation, line);
        }
        answer = span_after(answer, length < answer.length ? length + 1 : length);
    }
}

int64_t lookup_step(struct lookup *lookup, struct loop *loop, struct generation *serving,
                    int64_t now_ms)
{
    struct fault fault;
    uint64_t interval_ms = serving ? config_names_interval(serving->config) : 0;
    if (lookup->generation != serving || (serving && lookup->number != serving->number)) {
        lookup_cancel(lookup);
        lookup->generation = serving;
        lookup->number = serving ? serving->number : 0;
        lookup->due_ms = now_ms + (int64_t)interval_ms;
    }
    if (lookup->helper.running) {
        helper_tick(&lookup->helper, now_ms);
        return lookup->helper.running ? lookup->helper.deadline_ms : now_ms;
    }
    if (!interval_ms)
        return LOOP_NEVER;
    if (now_ms < lookup->due_ms)
        return lookup->due_ms;
    lookup->due_ms = now_ms + (int64_t)interval_ms;
    lookup->helper.done = looked_up;
    if (helper_start(&lookup->helper, loop, "looking up the origins' names", &serving->user, NULL,
                     0, look_up_body, lookup, &fault) < 0) {
        report_fault("origins keep the addresses they had", &fault);
        return lookup->due_ms;
    }
    return lookup->helper.deadline_ms;
}

void lookup_cancel(struct lookup *lookup)
{
    helper_cancel(&lookup->helper);
    lookup->generation = NULL;
}

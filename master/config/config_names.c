#include "master/config/config_names.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* One name under way; several servers may have it. */
struct question {
    struct question *next;
    struct gaicb call;
    struct addrinfo hints;
};

struct questions {
    struct question *first;
    int rc;
};

void config_names_each(struct config *config,
                       void (*each)(struct config_server *server, void *context), void *context)
{
    for (size_t i = 0; i < config->sites_count; i++)
        for (size_t j = 0; j < config->sites[i].routes_count; j++) {
            struct config_origin *origin = &config->sites[i].routes[j].origin;
            for (size_t k = 0; k < origin->servers_count; k++)
                each(&origin->servers[k], context);
        }
}

static struct question *find(const struct questions *questions, const char *name)
{
    struct question *question = questions->first;
    while (question && strcmp(question->call.ar_name, name) != 0)
        question = question->next;
    return question;
}

static void ask(struct config_server *server, void *context)
{
    struct questions *questions = context;
    if (!server->named || find(questions, server->host))
        return;
    struct question *question = calloc(1, sizeof(*question));
    if (!question) {
        questions->rc = -ENOMEM;
        return;
    }
    question->hints = (struct addrinfo){
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    question->call.ar_name = server->host;
    question->call.ar_request = &question->hints;
    question->next = questions->first;
    questions->first = question;
    struct gaicb *list[] = {&question->call};
    if (getaddrinfo_a(GAI_NOWAIT, list, 1, NULL) != 0)
        questions->rc = -ENOMEM;
}

static bool have(const char *list, const char *address)
{
    size_t length = strlen(address);
    for (; *list; list += strcspn(list, ","), list += *list == ',')
        if (strncmp(list, address, length) == 0 && (!list[length] || list[length] == ','))
            return true;
    return false;
}

static void write_addresses(const struct addrinfo *answer, char text[CONFIG_ADDRESSES_TEXT_MAX])
{
    size_t length = 0;
    unsigned count = 0;
    text[0] = 0;
    for (; answer && count < CONFIG_ADDRESSES_MAX; answer = answer->ai_next) {
        char one[INET6_ADDRSTRLEN];
        const void *bytes = answer->ai_family == AF_INET
                                ? (const void *)&((struct sockaddr_in *)answer->ai_addr)->sin_addr
                                : &((struct sockaddr_in6 *)answer->ai_addr)->sin6_addr;
        if (!inet_ntop(answer->ai_family, bytes, one, sizeof(one)) || have(text, one))
            continue;
        if (length)
            text[length++] = ',';
        strcpy(text + length, one);
        length += strlen(one);
        count++;
    }
}

static void answer(struct config_server *server, void *context)
{
    struct questions *questions = context;
    struct question *question = server->named ? find(questions, server->host) : NULL;
    char text[CONFIG_ADDRESSES_TEXT_MAX];
    if (!question || gai_error(&question->call) != 0)
        return;
    write_addresses(question->call.ar_result, text);
    char *copy = strdup(text);
    if (!copy) {
        questions->rc = -ENOMEM;
        return;
    }
    free(server->addresses);
    server->addresses = copy;
}

/* Until all are answered, or the time is up. */
static void await(const struct questions *questions)
{
    struct timespec now, end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += CONFIG_NAMES_WAIT_MS / 1000;
    for (struct question *question = questions->first; question; question = question->next) {
        const struct gaicb *list[] = {&question->call};
        while (gai_error(&question->call) == EAI_INPROGRESS) {
            clock_gettime(CLOCK_MONOTONIC, &now);
            int64_t left_ns =
                (end.tv_sec - now.tv_sec) * INT64_C(1000000000) + end.tv_nsec - now.tv_nsec;
            if (left_ns <= 0)
                return;
            struct timespec wait = {left_ns / 1000000000, left_ns % 1000000000};
            gai_suspend(list, 1, &wait);
        }
    }
}

int config_names_look_up(struct config *config)
{
    struct questions questions = {0};
    config_names_each(config, ask, &questions);
    await(&questions);
    config_names_each(config, answer, &questions);
    while (questions.first) {
        struct question *question = questions.first;
        questions.first = question->next;
        if (gai_error(&question->call) == EAI_INPROGRESS &&
            gai_cancel(&question->call) != EAI_CANCELED)
            continue; /* a thread still writes to it; the child ends soon */
        if (question->call.ar_result)
            freeaddrinfo(question->call.ar_result);
        free(question);
    }
    return questions.rc;
}

static int warn(struct config *config, const struct config_origin *origin, const char *name)
{
    struct fault warning;
    char text[FAULT_WHERE_MAX + FAULT_WHAT_MAX + 16];
    fault_set(&warning, 0, origin->file, origin->line,
              "origin: no address is known of \"%s\", requests to it fail until there is one",
              name);
    char **warnings = reallocarray(config->warnings, config->warnings_count + 1, sizeof(*warnings));
    if (!warnings)
        return -ENOMEM;
    config->warnings = warnings;
    warnings[config->warnings_count] = strdup(fault_text(&warning, text, sizeof(text)));
    return warnings[config->warnings_count++] ? 0 : -ENOMEM;
}

/* Routes that took their origin from the site have its place: one line tells of all. */
static bool is_told(const struct config *config, size_t site, size_t route,
                    const struct config_server *server)
{
    for (size_t i = 0; i <= site; i++)
        for (size_t j = 0; j < (i == site ? route : config->sites[i].routes_count); j++) {
            const struct config_origin *origin = &config->sites[i].routes[j].origin;
            for (size_t k = 0; k < origin->servers_count; k++)
                if (origin->servers[k].named && strcmp(origin->servers[k].host, server->host) == 0)
                    return true;
        }
    return false;
}

int config_names_warn(struct config *config)
{
    int rc = 0;
    for (size_t i = 0; i < config->sites_count; i++)
        for (size_t j = 0; j < config->sites[i].routes_count; j++) {
            const struct config_origin *origin = &config->sites[i].routes[j].origin;
            for (size_t k = 0; rc == 0 && k < origin->servers_count; k++) {
                const struct config_server *server = &origin->servers[k];
                if (server->named && !server->addresses[0] && !is_told(config, i, j, server))
                    rc = warn(config, origin, server->host);
            }
        }
    return rc;
}

uint64_t config_names_interval(const struct config *config)
{
    uint64_t least_ms = 0;
    for (size_t i = 0; i < config->sites_count; i++)
        for (size_t j = 0; j < config->sites[i].routes_count; j++) {
            const struct config_origin *origin = &config->sites[i].routes[j].origin;
            uint64_t ms = (uint64_t)origin->lookup_s * 1000;
            for (size_t k = 0; k < origin->servers_count; k++)
                if (origin->servers[k].named && (!least_ms || ms < least_ms))
                    least_ms = ms;
        }
    return least_ms;
}

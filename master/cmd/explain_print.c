/* An answer of `herald explain`, for a person. */
#include "master/cmd/explain.h"

#include "master/cmd/duration.h"
#include "policy/decision.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char *word(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static json_int_t number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static void print_duration(json_int_t s)
{
    char text[DURATION_TEXT_MAX];
    fputs(duration_text(s, text), stdout);
}

/* Texts come from requests and policies, which may hold anything. */
static void print_text(const char *text)
{
    for (; *text; text++)
        putchar(iscntrl((unsigned char)*text) ? '?' : *text);
}

static void print_bytes(json_int_t bytes, int width)
{
    char text[32];
    double value = (double)bytes;
    if (bytes < 1024)
        snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT " B", bytes);
    else if (bytes < 1024 * 1024)
        snprintf(text, sizeof(text), "%.1f KiB", value / 1024);
    else
        snprintf(text, sizeof(text), "%.1f MiB", value / 1024 / 1024);
    printf("%*s", width, text);
}

static const char *prose_of(const char *verdict)
{
    for (unsigned i = 0; i < REASONS; i++) {
        if (strcmp(reason_name((enum reason)i), verdict) == 0)
            return reason_prose((enum reason)i);
    }
    return "";
}

static const json_t *belief_of(const json_t *answer, const char *path)
{
    json_t *one;
    size_t i;
    json_array_foreach(json_object_get(answer, "beliefs"), i, one)
    {
        if (strcmp(word(one, "path"), path) == 0)
            return one;
    }
    return NULL;
}

/* "budget, line 19: over_budget", or the sentence for it, and since when the client holds it. */
static void print_reason(const json_t *answer, const json_t *candidate)
{
    const char *verdict = word(candidate, "verdict");
    const char *judge = word(candidate, "judge");
    const char *detail = word(candidate, "detail");
    const json_t *belief = belief_of(answer, word(candidate, "path"));
    if (*judge) {
        printf("by ");
        print_text(judge);
        if (number(candidate, "judge_line"))
            printf(", line %" JSON_INTEGER_FORMAT, number(candidate, "judge_line"));
        printf("%s", *detail ? ": " : "");
    } else if (strcmp(verdict, "pushed") != 0) {
        printf("%s%s", prose_of(verdict), *detail ? ": " : "");
    }
    print_text(detail);
    if (!belief)
        return;
    printf("; ");
    if (json_object_get(belief, "age_s")) {
        printf("since ");
        print_duration(number(belief, "age_s"));
        printf(" ago, ");
    }
    printf("believed for another ");
    print_duration(number(belief, "left_s"));
}

static void print_candidate(const json_t *answer, const json_t *candidate, int width)
{
    const char *verdict = word(candidate, "verdict");
    const char *path = word(candidate, "path");
    printf("  %-13s ", verdict);
    print_text(path);
    printf("%*s  ", width - (int)strlen(path) > 0 ? width - (int)strlen(path) : 0, "");
    if (json_object_get(candidate, "size") && number(candidate, "size"))
        print_bytes(number(candidate, "size"), 10);
    else
        printf("%10s", "");
    printf("  from ");
    print_text(word(candidate, "by"));
    if (number(candidate, "line"))
        printf(":%" JSON_INTEGER_FORMAT, number(candidate, "line"));
    bool pushed = strcmp(verdict, "pushed") == 0;
    if (!pushed || *word(candidate, "detail")) {
        printf(pushed ? "  " : "; ");
        print_reason(answer, candidate);
    }
    putchar('\n');
}

static void print_client(const json_t *answer)
{
    const char *client = word(answer, "client");
    bool live = json_object_get(answer, "can_push");
    if (live && strcmp(word(answer, "identified_by"), "connection") == 0)
        printf("a client that was never here");
    else if (*client)
        printf("client %s (by %s)", client, word(answer, "identified_by"));
    else
        printf("a client that nothing is kept of");
    if (json_object_get(answer, "can_push"))
        printf(", which takes %s", json_is_true(json_object_get(answer, "can_push")) ? "pushes"
                                   : json_is_true(json_object_get(answer, "can_hints"))
                                       ? "hints"
                                       : "neither pushes nor hints");
    if (json_object_get(answer, "cwnd_bytes")) {
        printf("; round trip %.1f ms, window ", (double)number(answer, "rtt_us") / 1000);
        print_bytes(number(answer, "cwnd_bytes"), 0);
    }
    putchar('\n');
}

static void print_head(const json_t *answer)
{
    printf("%s %s://", word(answer, "method"), word(answer, "scheme"));
    print_text(word(answer, "host"));
    print_text(word(answer, "path"));
    if (number(answer, "status")) /* an origin that is not asked gives none */
        printf("  %" JSON_INTEGER_FORMAT, number(answer, "status"));
    putchar('\n');
    if (*word(answer, "time") && !json_object_get(answer, "can_push"))
        printf("  at %s\n", word(answer, "time"));
    printf("  ");
    print_client(answer);
}

static void print_candidates(const json_t *answer)
{
    json_t *list = json_object_get(answer, "push");
    json_t *one;
    size_t i, width = 0, pushed = 0, hinted = 0;
    json_array_foreach(list, i, one)
    {
        size_t length = strlen(word(one, "path"));
        width = length > width && length <= 60 ? length : width;
        pushed += strcmp(word(one, "verdict"), "pushed") == 0;
        hinted += strcmp(word(one, "verdict"), "hinted") == 0;
    }
    if (!list)
        return;
    if (json_object_get(answer, "budget")) {
        printf("  budget ");
        print_bytes(number(answer, "budget"), 0);
        putchar('\n');
    }
    printf("  %zu proposed, %zu pushed, %zu hinted", json_array_size(list), pushed, hinted);
    if (*word(answer, "version"))
        printf(" by policies %s", word(answer, "version"));
    putchar('\n');
    json_array_foreach(list, i, one) print_candidate(answer, one, (int)width);
}

void explain_print(const json_t *answer)
{
    json_t *one;
    size_t i;
    const char *error = word(answer, "error");
    if (*error) {
        print_text(error);
        putchar('\n');
        return;
    }
    print_head(answer);
    if (*word(answer, "not_asked"))
        printf("  no policy was asked: %s\n", word(answer, "not_asked"));
    if (*word(answer, "origin"))
        printf("  %s\n", word(answer, "origin"));
    if (*word(answer, "note"))
        printf("  %s\n", word(answer, "note"));
    if (*word(answer, "push_off"))
        printf("  nothing can be pushed: %s\n", word(answer, "push_off"));
    print_candidates(answer);
    json_array_foreach(json_object_get(answer, "nothing_from"), i, one)
    {
        printf("  nothing from ");
        print_text(word(one, "by"));
        printf("%s", *word(one, "detail") ? ", which says: " : "");
        print_text(word(one, "detail"));
        putchar('\n');
    }
    if (number(answer, "push_overflow"))
        printf("  %" JSON_INTEGER_FORMAT " more were proposed than a page may have\n",
               number(answer, "push_overflow"));
    json_array_foreach(json_object_get(answer, "log"), i, one)
    {
        printf("  log: ");
        print_text(json_string_value(one));
        putchar('\n');
    }
}

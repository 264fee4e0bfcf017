#include "master/cmd/echo.h"

#include "policy/decision.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

/* Text that grows to ECHO_TEXT_MAX and is cut there. */
struct echo {
    char *text;
    size_t used;
};

static void add(struct echo *echo, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct echo *echo, const char *format, ...)
{
    va_list arguments;
    size_t room = ECHO_TEXT_MAX - echo->used;
    va_start(arguments, format);
    int n = vsnprintf(echo->text + echo->used, room, format, arguments);
    va_end(arguments);
    if (n > 0)
        echo->used += (size_t)n < room ? (size_t)n : room - 1;
}

/* Paths come from clients; what a terminal would obey becomes '?'. */
static void add_path(struct echo *echo, const char *path)
{
    for (size_t i = 0; i < 200 && path[i]; i++) {
        unsigned char c = (unsigned char)path[i];
        add(echo, "%c", c < 0x20 || c >= 0x7f ? '?' : c);
    }
}

static enum reason reason_of(const char *name)
{
    for (unsigned i = 0; i < REASONS; i++)
        if (name && strcmp(reason_name((enum reason)i), name) == 0)
            return (enum reason)i;
    return REASON_PENDING;
}

struct tally {
    unsigned by_reason[REASONS];
    unsigned candidates;
    json_int_t pushed_bytes;
};

static void tally_up(struct tally *tally, const json_t *candidates)
{
    for (size_t i = 0; i < json_array_size(candidates); i++) {
        const json_t *one = json_array_get(candidates, i);
        enum reason reason = reason_of(json_string_value(json_object_get(one, "verdict")));
        tally->by_reason[reason]++;
        tally->candidates++;
        if (reason == REASON_PUSHED)
            tally->pushed_bytes += json_integer_value(json_object_get(one, "size"));
    }
}

/* The reasons why candidates were not pushed, the more frequent first. */
static void add_skips(struct echo *echo, struct tally *tally)
{
    for (;;) {
        unsigned most = REASON_PUSHED;
        tally->by_reason[REASON_PUSHED] = 0;
        for (unsigned i = 0; i < REASONS; i++)
            if (tally->by_reason[i] > tally->by_reason[most])
                most = i;
        if (tally->by_reason[most] == 0)
            return;
        add(echo, "; %u not: %s", tally->by_reason[most], reason_prose((enum reason)most));
        tally->by_reason[most] = 0;
    }
}

static void add_verdicts(struct echo *echo, const json_t *line, const json_t *candidates)
{
    struct tally tally = {0};
    const char *off = json_string_value(json_object_get(line, "push_off"));
    tally_up(&tally, candidates);
    unsigned pushed = tally.by_reason[REASON_PUSHED];
    unsigned hinted = tally.by_reason[REASON_HINTED];
    tally.by_reason[REASON_HINTED] = 0;
    if (pushed)
        add(echo, "%u pushed, %.1f KiB", pushed, (double)tally.pushed_bytes / 1024);
    else
        add(echo, "nothing pushed");
    if (hinted)
        add(echo, "; %u hinted", hinted);
    if (off && !pushed)
        add(echo, ": %s", off);
    else if (tally.candidates == 0)
        add(echo, ": no policy proposed anything");
    else if (pushed + hinted < tally.candidates)
        add_skips(echo, &tally);
}

static bool is_document(const char *path)
{
    size_t length = strcspn(path, "?");
    struct span bare = {path, length};
    return span_ends(bare, SPAN_LITERAL("/")) || span_ends(bare, SPAN_LITERAL(".html")) ||
           span_ends(bare, SPAN_LITERAL(".htm"));
}

const char *echo_line(struct span json, char *text)
{
    struct echo echo = {text, 0};
    json_t *line = json_loadb(json.data, json.length, 0, NULL);
    const char *method = json_string_value(json_object_get(line, "method"));
    const char *path = json_string_value(json_object_get(line, "path"));
    json_int_t status = json_integer_value(json_object_get(line, "status"));
    const json_t *candidates = json_object_get(line, "push");
    bool off = json_object_get(line, "push_off");
    bool page = json_is_array(candidates) &&
                (json_array_size(candidates) || off || (path && is_document(path)));
    const char *said = NULL;
    text[0] = '\0';
    if (method && path && (page || status >= 400)) {
        add(&echo, "%.16s ", method);
        add_path(&echo, path);
        add(&echo, " %d", (int)status);
        if (page) {
            add(&echo, ": ");
            add_verdicts(&echo, line, candidates);
        }
        said = text;
    }
    json_decref(line);
    return said;
}

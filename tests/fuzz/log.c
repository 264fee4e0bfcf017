/* Any bytes in a line of the log, which must be JSON all the same, and one line. */
#include "tests/fuzz/input.h"

#include "master/handoff/log.h"

#include <jansson.h>

static void check(struct span line)
{
    if (!line.length)
        return;
    json_t *parsed = json_loadb(line.data, line.length, JSON_ALLOW_NUL, NULL);
    MUST(json_is_object(parsed) && json_is_string(json_object_get(parsed, "value")));
    MUST(span_find(line, '\n') == line.length - 1);
    for (size_t at = 0; at + 1 < line.length; at++)
        MUST((unsigned char)line.data[at] >= 0x20 && line.data[at] != 0x7f);
    json_decref(parsed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct log log;
    struct input input = input_make(data, size);
    if (!log.size)
        MUST(log_init(&log, 2048) == 0);
    /* Two lines: the second one may find the half full. */
    for (int i = 0; i < 2; i++) {
        log_begin(&log);
        log_string(&log, "value", input_line(&input));
        log_open_array(&log, "list");
        log_string(&log, NULL, input_line(&input));
        log_close_array(&log);
        log_number(&log, "number", (int64_t)input.rest.length - 9);
        log_end(&log);
    }
    struct span waiting = log_take(&log);
    size_t first = span_find(waiting, '\n') + (waiting.length > 0);
    check(span_make(waiting.data, first));
    check(span_after(waiting, first));
    struct span text = input_take(&input, input.rest.length);
    log_text(&log, "warn", "%.*s", SPAN_PRINT(text));
    waiting = log_take(&log);
    MUST(!waiting.length || span_find(waiting, '\n') == waiting.length - 1);
    input_finish(&input);
    return 0;
}

#include "master/cmd/policy_remote.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

bool policy_remote_number(const char *text, uint32_t *number)
{
    char *end;
    text += *text == 'v';
    if (!isdigit((unsigned char)*text))
        return false;
    unsigned long value = strtoul(text, &end, 10);
    *number = (uint32_t)value;
    return *end == '\0' && value > 0 && value <= UINT32_MAX;
}

json_t *policy_remote_call(const struct remote *remote, json_t *request, int *status)
{
    struct fault fault = {0};
    if (!request)
        fault_set(&fault, -EILSEQ, NULL, 0, "what was asked for is not UTF-8");
    json_t *answer = request ? remote_call(remote, request, NULL, &fault) : NULL;
    json_decref(request);
    *status = CMD_FAILED;
    if (!answer) {
        cmd_fault(&fault, remote->json);
        return NULL;
    }
    if (json_is_true(json_object_get(answer, "ok")))
        return answer;
    if (remote->json) {
        remote_print_json(answer);
        return NULL;
    }
    remote_refused(answer);
    json_decref(answer);
    return NULL;
}

static int number_at(const json_t *answer, const char *key)
{
    return (int)json_integer_value(json_object_get(answer, key));
}

void policy_remote_print(const json_t *answer)
{
    int version = number_at(answer, "version");
    bool active = json_is_true(json_object_get(answer, "active"));
    int64_t us = json_integer_value(json_object_get(answer, "us"));
    printf("v%d %s on %d/%d workers in ", version, active ? "active" : "loaded",
           number_at(answer, "workers"), number_at(answer, "of"));
    if (us >= 10000)
        printf("%" PRId64 " ms", us / 1000);
    else
        printf("%.1f ms", (double)us / 1000);
    int left = number_at(answer, "left"); /* a rollback goes past what was itself rolled back */
    if (active && left && left == number_at(answer, "previous"))
        printf("; undo: herald policy rollback\n");
    else if (active && left)
        printf("; undo: herald policy use v%d\n", left);
    else if (active)
        printf("\n");
    else
        printf("; use it: herald policy use v%d\n", version);
}

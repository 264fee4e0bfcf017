#include "master/policy_health.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int64_t part_length(const struct health_limits *limits)
{
    int64_t length = limits->window_ms / HEALTH_PARTS;
    return length > 0 ? length : 1;
}

/* Empties the parts that lie between the newest one and `part`. */
static void turn_to(struct health *health, int64_t part)
{
    if (part - health->part >= HEALTH_PARTS)
        memset(health->parts, 0, sizeof(health->parts));
    else
        for (int64_t i = health->part + 1; i <= part; i++)
            memset(&health->parts[i % HEALTH_PARTS], 0, sizeof(health->parts[0]));
    health->part = part;
}

void health_add(struct health *health, const struct health_limits *limits, int64_t now_ms,
                const struct health_counts *more)
{
    int64_t length = part_length(limits);
    if (health->part_ms != length) { /* new, or the config has another window now */
        memset(health, 0, sizeof(*health));
        health->part_ms = length;
        health->part = now_ms / length;
    }
    assert(now_ms / length >= health->part);
    turn_to(health, now_ms / length);
    struct health_counts *counts = &health->parts[health->part % HEALTH_PARTS];
    counts->pages += more->pages;
    counts->failures += more->failures;
    counts->soft += more->soft;
    counts->hard += more->hard;
    counts->wedged += more->wedged;
}

struct health_counts health_sum(const struct health *health, const struct health_limits *limits,
                                int64_t now_ms)
{
    struct health_counts sum = {0};
    int64_t length = part_length(limits);
    int64_t now = now_ms / length;
    if (health->part_ms != length)
        return sum;
    for (int64_t part = now - HEALTH_PARTS + 1; part <= health->part; part++) {
        if (part < 0 || part <= health->part - HEALTH_PARTS)
            continue;
        const struct health_counts *counts = &health->parts[part % HEALTH_PARTS];
        sum.pages += counts->pages;
        sum.failures += counts->failures;
        sum.soft += counts->soft;
        sum.hard += counts->hard;
        sum.wedged += counts->wedged;
    }
    return sum;
}

bool health_is_bad(const struct health_counts *counts, const struct health_limits *limits,
                   bool *severe, char text[HEALTH_TEXT_MAX])
{
    int64_t window_s = (limits->window_ms + 999) / 1000;
    *severe = true;
    /* It had the time of forty hard deadlines: no chance of the moment, and it costs every
     * connection of a worker each time. */
    if (limits->hard && counts->wedged) {
        snprintf(text, HEALTH_TEXT_MAX,
                 "one of its hooks did not end and its worker had to be killed");
        return true;
    }
    if (limits->hard && counts->hard >= limits->hard) {
        snprintf(text, HEALTH_TEXT_MAX,
                 "%" PRIu64 " hard deadlines, kills or crashes within %" PRId64 " s", counts->hard,
                 window_s);
        return true;
    }
    if (limits->soft && counts->soft >= limits->soft) {
        snprintf(text, HEALTH_TEXT_MAX, "%" PRIu64 " soft deadlines within %" PRId64 " s",
                 counts->soft, window_s);
        return true;
    }
    *severe = false;
    if (!limits->failures_percent || counts->failures < HEALTH_FAILURES_MIN ||
        counts->failures * 100 < counts->pages * limits->failures_percent)
        return false;
    snprintf(text, HEALTH_TEXT_MAX,
             "it failed on %" PRIu64 " of %" PRIu64 " pages within %" PRId64 " s", counts->failures,
             counts->pages, window_s);
    return true;
}

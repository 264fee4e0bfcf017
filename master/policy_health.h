/* Whether a version of the policies does well: what went wrong with it in a sliding window. Pure
 * arithmetic on times that the caller tells. */
#ifndef HERALD_POLICY_HEALTH_H
#define HERALD_POLICY_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#define HEALTH_PARTS 60        /* of the window */
#define HEALTH_FAILURES_MIN 10 /* failures: fewer say nothing of a rate */

struct health_counts {
    uint64_t pages;    /* decisions made */
    uint64_t failures; /* of them, those in which a hook failed */
    uint64_t soft;     /* soft deadlines: twenty in a window are too many */
    uint64_t hard;     /* hard deadlines, kills and crashes: three are */
    uint64_t wedged;   /* of them, workers that had to be killed since a hook did not end: one is */
};

/* When a version is to go; from the config's `policy`. */
struct health_limits {
    int64_t window_ms;
    uint32_t failures_percent; /* of the pages; 0: however many fail */
    uint32_t soft;
    uint32_t hard;
};

struct health {
    int64_t part_ms; /* the length of a part; 0: nothing was counted yet */
    int64_t part;    /* the number of the newest */
    struct health_counts parts[HEALTH_PARTS];
};

/* Adds what was counted by `now_ms`, which never runs back. */
void health_add(struct health *health, const struct health_limits *limits, int64_t now_ms,
                const struct health_counts *more);

/* What the window holds at `now_ms`. */
struct health_counts health_sum(const struct health *health, const struct health_limits *limits,
                                int64_t now_ms);

/* Whether that is too much: writes why to `text`, "3 hard deadlines or crashes within 60 s".
 * `*severe`: a worker was lost or held up for it. */
#define HEALTH_TEXT_MAX 160
bool health_is_bad(const struct health_counts *counts, const struct health_limits *limits,
                   bool *severe, char text[HEALTH_TEXT_MAX]);

#endif

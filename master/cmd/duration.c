#include "master/cmd/duration.h"

#include <stdbool.h>
#include <stdio.h>

const char *duration_text(long long seconds, char text[DURATION_TEXT_MAX])
{
    static const struct {
        long long s;
        const char *unit;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    size_t length = 0;
    unsigned written = 0;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]) && written < 2; i++) {
        if (seconds < units[i].s && !written && units[i].s > 1)
            continue;
        length += (size_t)snprintf(text + length, DURATION_TEXT_MAX - length, "%s%lld %s",
                                   written ? " " : "", seconds / units[i].s, units[i].unit);
        seconds %= units[i].s;
        written++;
    }
    return text;
}

#include "master/backoff.h"

int64_t backoff_next(struct backoff *backoff, int64_t served_ms)
{
    if (served_ms >= BACKOFF_HEALTHY_MS || backoff->delay_ms == 0)
        backoff->delay_ms = BACKOFF_LEAST_MS;
    else
        backoff->delay_ms *= 2;
    if (backoff->delay_ms > BACKOFF_MOST_MS)
        backoff->delay_ms = BACKOFF_MOST_MS;
    return backoff->delay_ms;
}

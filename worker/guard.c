#include "worker/guard.h"

#include <stdbool.h>

#define RESETS_JUDGED_FROM 200 /* streams: from here on half of them reset is too many */
#define SERVER_RESETS_WINDOW_S 30
#define SMALL_DATA_MAX 32 /* octets of a DATA frame that is more frame than content */
#define SMALL_DATA_RATE 5000 /* DATA frames of a few octets a second that cost a whole limit */
#define HEADER_EXCESS 4 /* times the limits of a header list: no longer a 431, but an attack */
#define WHOLE_LIMIT 1000 /* tokens of the account that using up one limit costs */

static void fill(struct guard_bucket *bucket, uint64_t burst, uint64_t now_ms)
{
    bucket->milli_tokens = burst * 1000;
    bucket->filled_ms = now_ms;
}

void guard_init(struct guard *guard, const struct config_limits *limits, const uint64_t *now_ms)
{
    *guard = (struct guard){.limits = limits, .now_ms = now_ms};
    fill(&guard->ping, limits->ping_rate, *now_ms);
    fill(&guard->settings, limits->settings_rate, *now_ms);
    fill(&guard->resets, limits->reset_burst, *now_ms);
    fill(&guard->server_resets, limits->server_resets, *now_ms);
    fill(&guard->unknown, limits->unknown_rate, *now_ms);
    fill(&guard->account, limits->misbehaviour * WHOLE_LIMIT, *now_ms);
}

/* `rate_milli`: thousandths of a token a millisecond, that is tokens a second. */
static bool take_some(struct guard_bucket *bucket, uint64_t burst, uint64_t rate_milli,
                      uint64_t milli_tokens, uint64_t now_ms)
{
    uint64_t most = burst * 1000;
    uint64_t earned = (now_ms - bucket->filled_ms) * rate_milli;
    bucket->filled_ms = now_ms;
    bucket->milli_tokens = bucket->milli_tokens + earned > most ? most
                                                                : bucket->milli_tokens + earned;
    if (bucket->milli_tokens < milli_tokens)
        return false;
    bucket->milli_tokens -= milli_tokens;
    return true;
}

static bool take(struct guard_bucket *bucket, uint64_t burst, uint64_t rate_milli, uint64_t now_ms)
{
    return take_some(bucket, burst, rate_milli, 1000, now_ms);
}

static bool trip(struct guard *guard, enum counter counter)
{
    guard->failed = true;
    guard->tripped = counter;
    return false;
}

static bool count_client_reset(struct guard *guard)
{
    const struct config_limits *limits = guard->limits;
    guard->resets_total++;
    if (!take(&guard->resets, limits->reset_burst, limits->reset_rate, *guard->now_ms))
        return false;
    return guard->requests < RESETS_JUDGED_FROM || guard->resets_total * 2 < guard->requests;
}

/* How many events of this kind use up its limit; 0: what the client has earned, which costs the
 * account nothing. */
static uint64_t limit_of(const struct guard *guard, enum guard_event event)
{
    const struct config_limits *limits = guard->limits;
    switch (event) {
    case GUARD_PING:
        return limits->ping_rate;
    case GUARD_SETTINGS:
        return limits->settings_rate;
    case GUARD_PRIORITY:
        return guard->priorities > limits->priority_per_request * guard->requests
                   ? limits->priority_base
                   : 0;
    case GUARD_WINDOW_UPDATE:
        return guard->window_updates > guard->bytes_sent / 1024 ? limits->window_update_base : 0;
    case GUARD_EMPTY_DATA:
        return 100 * limits->empty_data; /* the limit is for those in a row */
    case GUARD_SMALL_DATA:
        return SMALL_DATA_RATE;
    case GUARD_CLIENT_RESET:
        return limits->reset_burst > limits->reset_rate ? limits->reset_burst : limits->reset_rate;
    case GUARD_SERVER_RESET:
        return limits->server_resets;
    case GUARD_UNKNOWN:
        return limits->unknown_rate;
    default:
        return 0;
    }
}

static bool count_kind(struct guard *guard, enum guard_event event)
{
    const struct config_limits *limits = guard->limits;
    uint64_t now_ms = *guard->now_ms;
    switch (event) {
    case GUARD_PING:
        return take(&guard->ping, limits->ping_rate, limits->ping_rate, now_ms) ||
               trip(guard, COUNTER_limit_ping);
    case GUARD_SETTINGS:
        return take(&guard->settings, limits->settings_rate, limits->settings_rate, now_ms) ||
               trip(guard, COUNTER_limit_settings);
    case GUARD_PRIORITY:
        return ++guard->priorities <=
                   limits->priority_base + limits->priority_per_request * guard->requests ||
               trip(guard, COUNTER_limit_priority);
    case GUARD_WINDOW_UPDATE:
        return ++guard->window_updates <= limits->window_update_base + guard->bytes_sent / 1024 ||
               trip(guard, COUNTER_limit_window_update);
    case GUARD_EMPTY_DATA:
        return ++guard->empty_data <= limits->empty_data || trip(guard, COUNTER_limit_empty_data);
    case GUARD_DATA:
    case GUARD_SMALL_DATA:
        guard->empty_data = 0;
        return true;
    case GUARD_CLIENT_RESET:
        return count_client_reset(guard) || trip(guard, COUNTER_limit_reset);
    case GUARD_PUSH_RESET:
        return ++guard->push_resets <= limits->reset_burst + guard->promises ||
               trip(guard, COUNTER_limit_reset);
    case GUARD_SERVER_RESET:
        /* The whole allowance comes back over the window. */
        return take(&guard->server_resets, limits->server_resets,
                    limits->server_resets / SERVER_RESETS_WINDOW_S + 1, now_ms) ||
               trip(guard, COUNTER_limit_server_reset);
    case GUARD_HEADERS:
        guard->continuations = 0;
        return true;
    case GUARD_CONTINUATION:
        return ++guard->continuations <= limits->continuations ||
               trip(guard, COUNTER_limit_continuation);
    case GUARD_PROMISE:
        guard->promises++;
        return true;
    case GUARD_REQUEST:
        guard->requests++;
        return true;
    case GUARD_UNKNOWN:
        return take(&guard->unknown, limits->unknown_rate, limits->unknown_rate, now_ms) ||
               trip(guard, COUNTER_limit_unknown);
    case GUARD_EVENTS:
        break;
    }
    return true;
}

/* Each kind may stay below its limit while all of them together do not. */
static bool charge(struct guard *guard, enum guard_event event)
{
    uint64_t limit = limit_of(guard, event);
    if (!limit)
        return true;
    return take_some(&guard->account, guard->limits->misbehaviour * WHOLE_LIMIT, WHOLE_LIMIT,
                     WHOLE_LIMIT * 1000 / limit, *guard->now_ms) ||
           trip(guard, COUNTER_limit_misbehaviour);
}

enum guard_event guard_event_of(const struct frame_header *header)
{
    switch (header->type) {
    case FRAME_PING:
        return GUARD_PING;
    case FRAME_SETTINGS:
        return GUARD_SETTINGS;
    case FRAME_PRIORITY:
    case FRAME_PRIORITY_UPDATE:
        return GUARD_PRIORITY;
    case FRAME_WINDOW_UPDATE:
        return GUARD_WINDOW_UPDATE;
    case FRAME_RST_STREAM:
        return header->stream_id % 2 ? GUARD_CLIENT_RESET : GUARD_PUSH_RESET;
    case FRAME_HEADERS:
        return GUARD_HEADERS;
    case FRAME_CONTINUATION:
        return GUARD_CONTINUATION;
    case FRAME_DATA:
        if (header->flags & FRAME_END_STREAM || header->length > SMALL_DATA_MAX)
            return GUARD_DATA;
        return header->length ? GUARD_SMALL_DATA : GUARD_EMPTY_DATA;
    case FRAME_PUSH_PROMISE: /* an error of its own */
        return GUARD_EVENTS;
    default: /* GOAWAY too: one or two are honest */
        return GUARD_UNKNOWN;
    }
}

bool guard_count(struct guard *guard, enum guard_event event)
{
    return count_kind(guard, event) && charge(guard, event);
}

void guard_begin_fields(struct guard *guard)
{
    guard->block_fields = guard->block_bytes = 0;
}

bool guard_count_field(struct guard *guard, size_t bytes)
{
    const struct config_limits *limits = guard->limits;
    guard->block_fields++;
    guard->block_bytes += bytes;
    if (guard->failed)
        return false;
    return (guard->block_fields <= HEADER_EXCESS * limits->header_fields &&
            guard->block_bytes <= HEADER_EXCESS * limits->header_bytes) ||
           trip(guard, COUNTER_limit_bomb);
}

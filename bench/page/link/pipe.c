#include "bench/page/link/pipe.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int pipe_init(struct pipe *pipe, const struct pipe_settings *settings)
{
    assert(settings->loss >= 0 && settings->loss <= 1);
    *pipe = (struct pipe){.settings = *settings};
    pipe->random = settings->seed * 2 + 1;
    pipe->packets = calloc(PIPE_PACKETS_MAX, sizeof(*pipe->packets));
    return pipe->packets ? 0 : -ENOMEM;
}

void pipe_finish(struct pipe *pipe)
{
    free(pipe->packets);
    pipe->packets = NULL;
}

static struct pipe_packet *packet_at(const struct pipe *pipe, size_t count)
{
    return &pipe->packets[count % PIPE_PACKETS_MAX];
}

/* Evenly spread over 0 to 1 (splitmix64): the same sequence for the same seed. */
static double chance(struct pipe *pipe)
{
    uint64_t x = pipe->random += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    x ^= x >> 31;
    return (double)(x >> 11) / (double)(1ULL << 53);
}

static void serialise(struct pipe *pipe, uint64_t now_ns)
{
    while (pipe->serialised < pipe->taken) {
        const struct pipe_packet *packet = packet_at(pipe, pipe->serialised);
        if (packet->serialised_ns > now_ns)
            return;
        pipe->queued_bytes -= packet->length;
        pipe->serialised++;
    }
}

static uint64_t serialising_takes(const struct pipe *pipe, size_t length)
{
    uint64_t rate = pipe->settings.rate_bps;
    return rate ? (uint64_t)length * 8 * 1000000000 / rate : 0;
}

enum pipe_verdict pipe_put(struct pipe *pipe, uint64_t now_ns, const uint8_t *bytes, size_t length)
{
    assert(length <= PIPE_PACKET_MAX);
    serialise(pipe, now_ns);
    if (pipe->settings.loss > 0 && chance(pipe) < pipe->settings.loss) {
        pipe->counts.lost++;
        return PIPE_LOST;
    }
    if (pipe->settings.queue_bytes && pipe->queued_bytes + length > pipe->settings.queue_bytes) {
        pipe->counts.dropped++;
        return PIPE_DROPPED;
    }
    if (pipe->taken - pipe->delivered == PIPE_PACKETS_MAX) {
        pipe->counts.overruns++;
        return PIPE_OVERRUN;
    }
    struct pipe_packet *packet = packet_at(pipe, pipe->taken++);
    uint64_t begins_ns = pipe->free_ns > now_ns ? pipe->free_ns : now_ns;
    pipe->free_ns = begins_ns + serialising_takes(pipe, length);
    packet->serialised_ns = pipe->free_ns;
    packet->due_ns = pipe->free_ns + pipe->settings.delay_ns;
    packet->length = length;
    memcpy(packet->bytes, bytes, length);
    pipe->queued_bytes += length;
    if (pipe->queued_bytes > pipe->counts.queue_max)
        pipe->counts.queue_max = pipe->queued_bytes;
    return PIPE_TAKEN;
}

uint64_t pipe_next(const struct pipe *pipe)
{
    return pipe->delivered < pipe->taken ? packet_at(pipe, pipe->delivered)->due_ns : PIPE_NEVER;
}

const struct pipe_packet *pipe_take(struct pipe *pipe, uint64_t now_ns)
{
    if (pipe_next(pipe) > now_ns)
        return NULL;
    serialise(pipe, now_ns);
    const struct pipe_packet *packet = packet_at(pipe, pipe->delivered++);
    uint64_t late_ns = now_ns - packet->due_ns;
    pipe->counts.packets++;
    pipe->counts.bytes += packet->length;
    pipe->counts.late_packets += late_ns > PIPE_LATE_NS;
    if (late_ns > pipe->counts.late_max_ns)
        pipe->counts.late_max_ns = late_ns;
    return packet;
}

const struct pipe_packet *pipe_last(const struct pipe *pipe)
{
    return packet_at(pipe, pipe->taken - 1);
}

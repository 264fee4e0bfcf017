/* One direction of an emulated link: what a packet meets between being sent and being received.
 *
 * In this order: random loss; a drop-tail queue, bounded in bytes; a serialiser that takes
 * length / rate for each packet; a constant delay. All times are in nanoseconds of the caller's
 * clock, which must not run back; nothing here reads a clock, so that tests bring their own. */
#ifndef PAGE_LINK_PIPE_H
#define PAGE_LINK_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PIPE_PACKET_MAX 1600  /* bytes: more than any packet of an MTU of 1500 */
#define PIPE_PACKETS_MAX 8192 /* between the ends at one time; more are an overrun */
#define PIPE_NEVER UINT64_MAX

enum pipe_verdict {
    PIPE_TAKEN,
    PIPE_LOST,    /* by chance */
    PIPE_DROPPED, /* the queue was full */
    PIPE_OVERRUN, /* the emulator's own room was full: what is measured now is worth nothing */
};

struct pipe_settings {
    uint64_t rate_bps;  /* 0: no limit */
    uint64_t delay_ns;  /* of propagation */
    size_t queue_bytes; /* waiting to be serialised; 0: no limit */
    double loss;        /* 0 to 1 */
    uint64_t seed;      /* of the losses */
};

struct pipe_counts {
    uint64_t packets, bytes; /* delivered, with their IP headers */
    uint64_t lost, dropped, overruns;
    size_t queue_max;      /* bytes */
    uint64_t late_max_ns;  /* by how much a packet left after its time */
    uint64_t late_packets; /* those that left more than PIPE_LATE_NS after it */
};

#define PIPE_LATE_NS 1000000

struct pipe_packet {
    uint64_t serialised_ns, due_ns;
    size_t length;
    uint8_t bytes[PIPE_PACKET_MAX];
};

struct pipe {
    struct pipe_settings settings;
    struct pipe_counts counts;
    struct pipe_packet *packets;         /* owned: a ring of PIPE_PACKETS_MAX */
    size_t taken, serialised, delivered; /* counted up for ever; each at most the one before */
    size_t queued_bytes;
    uint64_t free_ns; /* when the serialiser is done with what it has */
    uint64_t random;
};

/* Returns 0 or -ENOMEM. */
int pipe_init(struct pipe *pipe, const struct pipe_settings *settings);
void pipe_finish(struct pipe *pipe);

/* A packet of at most PIPE_PACKET_MAX bytes was sent at `now_ns`. The bytes are copied. */
enum pipe_verdict pipe_put(struct pipe *pipe, uint64_t now_ns, const uint8_t *bytes, size_t length);

/* When the next packet is due at the other end, or PIPE_NEVER. */
uint64_t pipe_next(const struct pipe *pipe);

/* The packet that is due at `now_ns`, counted as delivered then, or NULL. It stays readable until
 * the next call of pipe_put. */
const struct pipe_packet *pipe_take(struct pipe *pipe, uint64_t now_ns);

/* The packet that pipe_put took last, for a trace. */
const struct pipe_packet *pipe_last(const struct pipe *pipe);

#endif

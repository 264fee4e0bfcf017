/* Which stream ids of a connection its client has used, and what else is to be known of those that
 * are not open (RFC 9113 5.1.1). */
#ifndef HERALD_STREAM_IDS_H
#define HERALD_STREAM_IDS_H

#include <stdbool.h>
#include <stdint.h>

#define STREAM_IDS_GAPS_MAX 8 /* runs of ids; of more, the last ones are known */
#define STREAM_IDS_RESETS_KEPT 128

/* All zero: none was used. */
struct stream_ids {
    int32_t last; /* the highest one that the client used */
    struct {
        int32_t first, last;
    } gaps[STREAM_IDS_GAPS_MAX]; /* that it passed over, and thereby closed */
    unsigned gaps_count;
    int32_t resets[STREAM_IDS_RESETS_KEPT];
    unsigned resets_next;
};

/* The client opens `id`, above all that it used before. */
void stream_ids_open(struct stream_ids *ids, int32_t id);

/* Whether the client passed over `id`. */
bool stream_ids_passed_over(const struct stream_ids *ids, int32_t id);

/* This side resets `id`: frames of it may be under way. */
void stream_ids_reset(struct stream_ids *ids, int32_t id);

/* Whether this side reset `id`, lately. */
bool stream_ids_were_reset(const struct stream_ids *ids, int32_t id);

#endif

/* What a connection's peer has sent in bulk and is not looked at yet: the bytes, in order, and the
 * connection's place in the line of those whose turn is to come. Pure: no clock, no socket.
 *
 * Little that comes passes as it comes. What is more waits, and is looked at in slices, those of all
 * connections in turn; how large they are follows from how long the last ones took, so that frames
 * which are dear to decode come in few bytes. */
#ifndef HERALD_INPUT_H
#define HERALD_INPUT_H

#include "master/handoff/span.h"
#include "worker/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INPUT_SLICE_MIN 64
#define INPUT_SLICE 1024 /* of a connection that nothing is known of */
#define INPUT_SLICE_MAX 8192
#define INPUT_SLICE_NS 16000          /* that a slice is to take about */
#define INPUT_WAITING_MAX (16 * 1024) /* bytes: a peer with more waiting is not received from, */
#define INPUT_WAITING_LOW (8 * 1024)  /* until no more than this is left, */
#define INPUT_BULK_MS 10000           /* and then in portions for so long, */
#define INPUT_PORTION (32 * 1024)     /* of this size while each comes full */

struct input {
    uint8_t *bytes;  /* owned; NULL while nothing waits or is received into them */
    size_t at, end;  /* of `bytes`: what waits */
    size_t room;
    size_t slice;    /* bytes that are looked at in one go */
    uint64_t wakeup; /* in which something last passed, */
    size_t passed;   /* and how many bytes did */
    bool bulk;       /* it is received in portions: much may come at once, */
    uint64_t bulk_ms; /* as it did until then; */
    bool flows;      /* and the last portion was full */
    bool receiving;  /* the next comes behind `end`: nothing of `bytes` may move */
    bool ended;      /* the peer sends nothing more: */
    int end_result;  /* how receiving ended, which is looked at behind all that waits */
    struct link turn; /* its place in the line of those whose turn is to come */
};

void input_init(struct input *input);

/* Forgets what waits. Not one that stands in line. */
void input_clear(struct input *input);

/* Once nothing is received any more. */
void input_finish(struct input *input);

static inline size_t input_length(const struct input *input)
{
    return input->end - input->at;
}

/* Whether `length` bytes that come in this wake-up may be looked at as they come: nothing waits, and
 * no more than a slice passes in a wake-up. */
static inline bool input_passes(struct input *input, uint64_t wakeup, size_t length)
{
    if (input_length(input) || list_has(&input->turn))
        return false;
    if (input->wakeup != wakeup) {
        input->wakeup = wakeup;
        input->passed = 0;
    }
    input->passed += length;
    return input->passed <= input->slice;
}

/* Puts bytes behind what waits. Returns 0 or -ENOMEM. */
int input_keep(struct input *input, const void *data, size_t length);

/* Where INPUT_PORTION bytes are to be received, so that they need not be put there; NULL when memory
 * runs out. Only input_received may follow but what takes or forgets. */
void *input_receive(struct input *input);

/* That is over: `length` bytes came, or none. */
void input_received(struct input *input, size_t length);

/* What is to be looked at next: a slice at most, borrowed until the next call that changes `input`. */
struct span input_next(const struct input *input);

/* The next `length` bytes were looked at. */
void input_taken(struct input *input, size_t length);

/* A slice took so long: chooses how large the next is. `length`: what waited before it. */
void input_took(struct input *input, size_t length, uint64_t ns);

/* True while so much waits that no more is to be received. `full`: what this said last. */
static inline bool input_is_full(const struct input *input, bool full)
{
    return input_length(input) > (full ? INPUT_WAITING_LOW : INPUT_WAITING_MAX);
}

/* So much waited that the peer was not received from. */
static inline void input_came_in_bulk(struct input *input, uint64_t now_ms)
{
    input->bulk = true;
    input->bulk_ms = now_ms;
}

/* Less came than there was room for: there was no more. */
static inline void input_came_short(struct input *input, uint64_t now_ms)
{
    input->flows = false;
    if (input->bulk && (!input->bulk_ms || now_ms - input->bulk_ms >= INPUT_BULK_MS))
        input->bulk = false;
}

#endif

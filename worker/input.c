#include "worker/input.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_LEAST (16 * 1024)

void input_init(struct input *input)
{
    *input = (struct input){.slice = INPUT_SLICE, .bulk = true};
}

/* An idle connection keeps nothing. */
static void let_go(struct input *input)
{
    if (input->receiving)
        return;
    free(input->bytes);
    input->bytes = NULL;
    input->at = input->end = input->room = 0;
}

void input_clear(struct input *input)
{
    assert(!list_has(&input->turn));
    input->at = input->end;
    let_go(input);
}

void input_finish(struct input *input)
{
    input->receiving = false;
    input_clear(input);
}

static int make_room(struct input *input, size_t length)
{
    assert(!input->receiving);
    size_t have = input_length(input);
    size_t room = input->room ? input->room : ROOM_LEAST;
    if (input->at) {
        memmove(input->bytes, input->bytes + input->at, have);
        input->at = 0;
        input->end = have;
    }
    while (room < have + length)
        room *= 2;
    if (room == input->room)
        return 0;
    uint8_t *bytes = realloc(input->bytes, room);
    if (!bytes)
        return -ENOMEM;
    input->bytes = bytes;
    input->room = room;
    return 0;
}

int input_keep(struct input *input, const void *data, size_t length)
{
    if (input->room - input->end < length && make_room(input, length) < 0)
        return -ENOMEM;
    memcpy(input->bytes + input->end, data, length);
    input->end += length;
    return 0;
}

void *input_receive(struct input *input)
{
    if (input->room - input->end < INPUT_PORTION && make_room(input, INPUT_PORTION) < 0)
        return NULL;
    input->receiving = true;
    return input->bytes + input->end;
}

void input_received(struct input *input, size_t length)
{
    assert(input->receiving && length <= input->room - input->end);
    input->receiving = false;
    input->end += length;
    if (input->at == input->end)
        let_go(input);
}

struct span input_next(const struct input *input)
{
    size_t length = input_length(input);
    if (!length)
        return (struct span){0};
    return span_make(input->bytes + input->at, length < input->slice ? length : input->slice);
}

void input_taken(struct input *input, size_t length)
{
    assert(length <= input_length(input));
    input->at += length;
    if (input->at == input->end)
        let_go(input);
}

void input_took(struct input *input, size_t length, uint64_t ns)
{
    size_t looked_at = length && length < input->slice ? length : input->slice;
    if (ns > 2 * INPUT_SLICE_NS)
        input->slice = (size_t)(looked_at * (uint64_t)INPUT_SLICE_NS / ns);
    else if (ns < INPUT_SLICE_NS / 2 && length >= input->slice)
        input->slice *= 2;
    if (input->slice < INPUT_SLICE_MIN)
        input->slice = INPUT_SLICE_MIN;
    if (input->slice > INPUT_SLICE_MAX)
        input->slice = INPUT_SLICE_MAX;
}

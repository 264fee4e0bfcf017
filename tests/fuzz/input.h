/* What a fuzz target is given, taken apart. Every part is a block of its own of exactly its length,
 * so that the sanitizer sees who reads one byte too many; all live until input_finish. */
#ifndef HERALD_TESTS_FUZZ_INPUT_H
#define HERALD_TESTS_FUZZ_INPUT_H

#include "master/handoff/span.h"

#include <stdint.h>
#include <stdlib.h>

#define INPUT_PARTS_MAX 64

struct input {
    struct span rest;
    char *parts[INPUT_PARTS_MAX];
    unsigned parts_count;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline struct input input_make(const uint8_t *data, size_t size)
{
    return (struct input){.rest = span_make(data, size)};
}

/* The next byte, or 0 at the end. */
static inline uint8_t input_byte(struct input *input)
{
    if (!input->rest.length)
        return 0;
    uint8_t byte = (uint8_t)input->rest.data[0];
    input->rest = span_after(input->rest, 1);
    return byte;
}

/* The next `length` bytes, or as many as there are. */
static inline struct span input_take(struct input *input, size_t length)
{
    if (length > input->rest.length)
        length = input->rest.length;
    if (length == 0 || input->parts_count == INPUT_PARTS_MAX)
        return (struct span){NULL, 0};
    char *part = malloc(length);
    if (!part)
        abort();
    memcpy(part, input->rest.data, length);
    input->parts[input->parts_count++] = part;
    input->rest = span_after(input->rest, length);
    return span_make(part, length);
}

/* What stands before the next line feed, which is dropped. */
static inline struct span input_line(struct input *input)
{
    struct span line = input_take(input, span_find(input->rest, '\n'));
    input_byte(input);
    return line;
}

static inline void input_finish(struct input *input)
{
    while (input->parts_count > 0)
        free(input->parts[--input->parts_count]);
}

/* What must hold for any input. */
#define MUST(condition) ((condition) ? (void)0 : abort())

#endif

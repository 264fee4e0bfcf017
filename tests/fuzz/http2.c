/* A connection of frames: each is a type, flags, a stream and a length of one byte each, and as
 * many bytes; from type 0xf0 on, its low bits count bytes that are sent as they are. The first
 * byte tells how the input is cut. Every request gets a 103, a promise and an answer. */
#include "tests/default_limits.h"
#include "tests/fuzz/http2_streams.h"

#define FRAMES_MAX 400

/* Makes the wire's bytes of what the fuzzer said. Returns their number. */
static size_t compose(struct input *input, uint8_t *wire)
{
    size_t at = HTTP2_PREFACE_LENGTH;
    memcpy(wire, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", at);
    for (unsigned i = 0; i < FRAMES_MAX && input->rest.length; i++) {
        uint8_t type = input_byte(input);
        size_t length = type & 0x0f;
        if (type < 0xf0) {
            uint8_t flags = input_byte(input), id = input_byte(input);
            length = input_byte(input);
            if (length > input->rest.length)
                length = input->rest.length;
            memcpy(wire + at, (uint8_t[]){0, 0, (uint8_t)length, type, flags, 0, 0, 0, id}, 9);
            at += 9;
        } else if (length > input->rest.length) {
            length = input->rest.length;
        }
        memcpy(wire + at, input->rest.data, length);
        input->rest = span_after(input->rest, length);
        at += length;
    }
    return at;
}

/* Writes all that can be written now. */
static void drain(void)
{
    size_t room = HTTP2_ROOM_MIN;
    uint8_t *out = malloc(room);
    ptrdiff_t n;
    unsigned rounds = 0;
    while ((n = http2_produce(http2, out, room)) > 0) {
        MUST((size_t)n <= room && ++rounds < 4000);
        streams_resume();
    }
    MUST(n == 0);
    free(out);
}

/* Feeds the bytes in pieces that are blocks of their own. */
static void feed(const uint8_t *wire, size_t length, size_t piece)
{
    int rc = 0;
    for (size_t at = 0; at < length && rc == 0; at += piece) {
        size_t n = piece < length - at ? piece : length - at;
        uint8_t *copy = malloc(n);
        memcpy(copy, wire + at, n);
        rc = http2_receive(http2, copy, n);
        free(copy);
        MUST(rc == 0 || rc == -EPROTO);
        MUST(http2_open_streams(http2) <= streams_count());
        drain();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t now_ms = 1000;
    struct input input = input_make(data, size);
    struct guard guard;
    size_t piece = (size_t)input_byte(&input) * 16 + 1;
    uint8_t *wire = malloc(HTTP2_PREFACE_LENGTH + 9 * FRAMES_MAX + size);
    size_t length = compose(&input, wire);
    if (!streams_context)
        MUST((streams_context = http2_context_create(&EVENTS, &DEFAULT_LIMITS)) != NULL);
    guard_init(&guard, &DEFAULT_LIMITS, &now_ms);
    http2 = http2_create(streams_context, &guard, &streams_context);
    feed(wire, length, piece);
    if (piece & 16)
        http2_shutdown_notice(http2);
    http2_goaway(http2, HTTP2_NO_ERROR);
    drain();
    http2_destroy(http2);
    streams_end();
    free(wire);
    return 0;
}

#include "worker/frames.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* A preface of 3 bytes, a DATA frame of 5, a PRIORITY_UPDATE for stream 7, an empty SETTINGS, and a
 * PRIORITY_UPDATE too short to name a stream. */
static const uint8_t INPUT[] = {
    'P', 'R', 'I',                                             /* preface */
    0, 0, 5, 0x0, 0x1, 0x80, 0, 0, 3, 'h', 'e', 'l', 'l', 'o', /* DATA, reserved bit set */
    0, 0, 7, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 7, 'u', '=', '1',   /* PRIORITY_UPDATE */
    0, 0, 0, 0x4, 0, 0, 0, 0, 0,                               /* SETTINGS */
    0, 0, 2, 0x10, 0, 0, 0, 0, 0, 1, 2,                        /* PRIORITY_UPDATE, too short */
};

static const struct frame_header EXPECTED[] = {
    {5, FRAME_DATA, FRAME_END_STREAM, 3, 0},
    {7, FRAME_PRIORITY_UPDATE, 0, 0, 7},
    {0, FRAME_SETTINGS, 0, 0, 0},
    {2, FRAME_PRIORITY_UPDATE, 0, 0, 0},
};

/* Looks at INPUT in pieces of `piece` bytes, and checks every header and where it ended. */
static void look(size_t piece)
{
    static const size_t ENDS[] = {12, 30, 42, 51};
    struct frames frames;
    size_t found = 0;
    frames_init(&frames, 3);
    for (size_t start = 0; start < sizeof(INPUT); start += piece) {
        size_t end = start + piece < sizeof(INPUT) ? start + piece : sizeof(INPUT);
        size_t at = start;
        while (at < end) {
            struct frame_header header;
            size_t seen;
            bool complete = frames_next(&frames, INPUT + at, end - at, &seen, &header);
            at += seen;
            if (!complete) {
                assert_int_equal(at, end);
                break;
            }
            assert_true(found < 4);
            assert_memory_equal(&header, &EXPECTED[found], sizeof(header));
            assert_int_equal(at, ENDS[found]);
            found++;
        }
    }
    assert_int_equal(found, 4);
}

static void every_header_is_seen_however_the_input_is_cut(void **state)
{
    (void)state;
    for (size_t piece = 1; piece <= sizeof(INPUT); piece++)
        look(piece);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_header_is_seen_however_the_input_is_cut),
    };
    return cmocka_run_group_tests_name("worker_frames", tests, NULL, NULL);
}

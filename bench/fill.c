/* Writes a state directory whose push table knows as many entries as asked for, of clients that do
 * not exist, as a server that many clients had visited would have saved it:
 *
 *   build/bench/fill STATE_DIR ENTRIES TABLE_BYTES */
#include "master/handoff/segment.h"
#include "policy/push_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LIFE_S (30 * 86400)

/* Position and tag of an entry are a keyed hash: any even spread will do (splitmix64). */
static uint64_t spread(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static int fill(struct segment *segment, unsigned long entries, struct fault *fault)
{
    struct push_table table;
    uint64_t state = 1;
    int rc = push_table_attach(&table, segment->pushes, segment->header->pushes_bytes, 1);
    if (rc < 0)
        return fault_set(fault, rc, "push table", 0, "cannot be used: %s", strerror(-rc));
    for (unsigned long i = 0; i < entries; i++) {
        struct push_key key = {.bucket_hash = spread(&state), .tag = spread(&state) >> 30 | 1};
        push_table_note(&table, key, (uint16_t)(i & 0xfff), PUSH_HELD, LIFE_S, PUSH_KNOWN);
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct segment segment = {0};
    struct fault fault;
    char path[512], text[FAULT_WHERE_MAX + FAULT_WHAT_MAX + 16];
    if (argc != 4) {
        fprintf(stderr, "usage: fill STATE_DIR ENTRIES TABLE_BYTES\n");
        return 2;
    }
    mkdir(argv[1], 0700);
    int rc = segment_create(&segment, strtoull(argv[3], NULL, 10), &fault);
    snprintf(path, sizeof(path), "%s/keys", argv[1]);
    if (rc == 0)
        rc = segment_keep_secrets(&segment, path, &fault);
    if (rc == 0)
        rc = fill(&segment, strtoul(argv[2], NULL, 10), &fault);
    snprintf(path, sizeof(path), "%s/push-table", argv[1]);
    if (rc == 0)
        rc = segment_save(&segment, SEGMENT_PART_PUSHES, path, &fault);
    if (rc < 0)
        fprintf(stderr, "fill: %s\n", fault_text(&fault, text, sizeof(text)));
    segment_finish(&segment);
    return rc < 0;
}

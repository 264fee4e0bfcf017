#include "worker/stream_ids.h"

#include <assert.h>

void stream_ids_open(struct stream_ids *ids, int32_t id)
{
    assert(id > ids->last);
    int32_t next = ids->last ? ids->last + 2 : 1;
    if (id > next) {
        unsigned at =
            ids->gaps_count < STREAM_IDS_GAPS_MAX ? ids->gaps_count++ : STREAM_IDS_GAPS_MAX - 1;
        ids->gaps[at].first = next;
        ids->gaps[at].last = id - 2;
    }
    ids->last = id;
}

bool stream_ids_passed_over(const struct stream_ids *ids, int32_t id)
{
    for (unsigned i = 0; i < ids->gaps_count; i++)
        if (id >= ids->gaps[i].first && id <= ids->gaps[i].last)
            return true;
    return false;
}

void stream_ids_reset(struct stream_ids *ids, int32_t id)
{
    ids->resets[ids->resets_next++ % STREAM_IDS_RESETS_KEPT] = id;
}

bool stream_ids_were_reset(const struct stream_ids *ids, int32_t id)
{
    for (unsigned i = 0; i < STREAM_IDS_RESETS_KEPT; i++)
        if (ids->resets[i] == id)
            return true;
    return false;
}

#include "worker/ledger.h"

#include "worker/http2.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST 16

void ledger_finish(struct ledger *ledger)
{
    assert(ledger->open == 0);
    free(ledger->entries);
    *ledger = (struct ledger){0};
}

static struct ledger_entry *entry_at(const struct ledger *ledger, unsigned i)
{
    return &ledger->entries[(ledger->first + i) & (ledger->room - 1)];
}

static bool grow(struct ledger *ledger)
{
    unsigned room = ledger->room ? ledger->room * 2 : ROOM_FIRST;
    struct ledger_entry *entries = calloc(room, sizeof(*entries));
    if (!entries)
        return false;
    for (unsigned i = 0; i < ledger->count; i++)
        entries[i] = *entry_at(ledger, i);
    free(ledger->entries);
    ledger->entries = entries;
    ledger->room = room;
    ledger->first = 0;
    return true;
}

/* The number of the first entry that may be open. */
static unsigned first_open(struct ledger *ledger)
{
    while (ledger->closed < ledger->count &&
           entry_at(ledger, ledger->closed)->state == LEDGER_SETTLED)
        ledger->closed++;
    return ledger->closed;
}

static bool has_room(const struct ledger *ledger)
{
    return ledger->open < LEDGER_MAX;
}

/* The oldest that was settled is forgotten; what is open before it, a long download say, moves up. */
static void forget_one(struct ledger *ledger)
{
    unsigned settled = 0;
    while (entry_at(ledger, settled)->state != LEDGER_SETTLED)
        settled++;
    for (; settled > 0; settled--)
        *entry_at(ledger, settled) = *entry_at(ledger, settled - 1);
    ledger->first = (ledger->first + 1) & (ledger->room - 1);
    ledger->count--;
    ledger->closed -= ledger->closed > 0;
}

bool ledger_reserve(struct ledger *ledger)
{
    return has_room(ledger) &&
           (ledger->count < ledger->room || ledger->room == LEDGER_MAX || grow(ledger));
}

struct ledger_entry *ledger_open(struct ledger *ledger, int32_t id)
{
    if (!ledger_reserve(ledger))
        return NULL;
    if (ledger->count == ledger->room)
        forget_one(ledger);
    struct ledger_entry *entry = entry_at(ledger, ledger->count++);
    *entry = (struct ledger_entry){.id = id, .state = LEDGER_SENDING};
    ledger->open++;
    return entry;
}

/* Searched from the newest: what is asked for was mostly opened lately. */
struct ledger_entry *ledger_find(struct ledger *ledger, int32_t id)
{
    for (unsigned i = ledger->count; i-- > 0;)
        if (entry_at(ledger, i)->id == id)
            return entry_at(ledger, i);
    return NULL;
}

void ledger_count(struct ledger *ledger, int32_t id, uint64_t bytes)
{
    struct ledger_entry *entry = ledger_find(ledger, id);
    if (entry)
        entry->bytes = bytes;
}

void ledger_sent(struct ledger *ledger, int32_t id)
{
    struct ledger_entry *entry = ledger_find(ledger, id);
    if (!entry || entry->state != LEDGER_SENDING)
        return;
    entry->state = LEDGER_SENT;
    if (entry->pushed)
        ledger->pushes_open--; /* its stream closes: the client's limit counts it no more */
}

void ledger_flushed(struct ledger *ledger, uint64_t offset, int32_t unwritten)
{
    if (ledger->open == 0)
        return;
    for (unsigned i = first_open(ledger); i < ledger->count; i++) {
        struct ledger_entry *entry = entry_at(ledger, i);
        if (entry->state == LEDGER_SENT && !entry->flushed && entry->id != unwritten) {
            entry->flushed = true;
            entry->offset = offset;
        }
    }
}

/* Closes an open entry's books; its result is told when it was a push. */
static void settled(struct ledger *ledger, struct ledger_entry *entry, enum push_result result,
                    const struct ledger_sink *sink)
{
    assert(entry->state == LEDGER_SENDING || entry->state == LEDGER_SENT);
    if (entry->pushed && entry->state == LEDGER_SENDING)
        ledger->pushes_open--;
    entry->state = LEDGER_SETTLED;
    ledger->open--;
    if (entry->pushed || entry->outcome)
        sink->result(sink->context, entry, result);
}

static void hold(struct ledger *ledger, struct ledger_entry *entry, const struct ledger_sink *sink)
{
    if (entry->pushed) {
        /* A claim that had lapsed settles nothing, but what was delivered is known all the same. */
        if (!push_table_settle(sink->table, &entry->token, PUSH_HELD, entry->life_s))
            push_table_note(sink->table, entry->key, entry->validator, PUSH_HELD, entry->life_s,
                            (enum push_standing)entry->standing);
        stats_add(sink->stats, COUNTER_pushes_delivered, 1);
    } else if (entry->life_s) {
        push_table_note(sink->table, entry->key, entry->validator, PUSH_HELD, entry->life_s,
                        (enum push_standing)entry->standing);
        stats_add(sink->stats, COUNTER_settled_requests, 1);
    }
    settled(ledger, entry, PUSH_RESULT_DELIVERED, sink);
}

void ledger_acknowledged(struct ledger *ledger, uint64_t acked, const struct ledger_sink *sink)
{
    for (unsigned i = first_open(ledger); ledger->open && i < ledger->count; i++) {
        struct ledger_entry *entry = entry_at(ledger, i);
        if (entry->state == LEDGER_SENT && entry->flushed && entry->offset <= acked)
            hold(ledger, entry, sink);
    }
}

static void lose(struct ledger *ledger, struct ledger_entry *entry, const struct ledger_sink *sink)
{
    if (entry->pushed) {
        push_table_settle(sink->table, &entry->token, PUSH_ABSENT, 0);
        stats_add(sink->stats, COUNTER_pushes_lost, 1);
    }
    settled(ledger, entry, PUSH_RESULT_LOST, sink);
}

static void decline(struct ledger *ledger, struct ledger_entry *entry, uint32_t error,
                    const struct ledger_sink *sink)
{
    bool open = entry->state != LEDGER_SETTLED;
    if (!open || !push_table_settle(sink->table, &entry->token, PUSH_DECLINED, entry->declined_s))
        push_table_note(sink->table, entry->key, entry->validator, PUSH_DECLINED,
                        entry->declined_s, (enum push_standing)entry->standing);
    stats_add(sink->stats,
              error == HTTP2_CANCEL ? COUNTER_pushes_cancelled : COUNTER_pushes_refused, 1);
    enum push_result result =
        error == HTTP2_CANCEL ? PUSH_RESULT_CANCELLED : PUSH_RESULT_REFUSED;
    if (open)
        settled(ledger, entry, result, sink);
    else
        sink->result(sink->context, entry, result);
}

void ledger_reset(struct ledger *ledger, int32_t id, uint32_t error, const struct ledger_sink *sink)
{
    struct ledger_entry *entry = ledger_find(ledger, id);
    if (!entry)
        return;
    bool refused = error == HTTP2_CANCEL || error == HTTP2_REFUSED_STREAM;
    if (entry->pushed && refused)
        decline(ledger, entry, error, sink);
    else if (entry->state != LEDGER_SETTLED)
        lose(ledger, entry, sink);
    entry->id = 0; /* a second reset says nothing new */
}

void ledger_lose(struct ledger *ledger, int32_t id, const struct ledger_sink *sink)
{
    struct ledger_entry *entry = ledger_find(ledger, id);
    if (entry && (entry->state == LEDGER_SENDING || entry->state == LEDGER_SENT))
        lose(ledger, entry, sink);
}

void ledger_lose_above(struct ledger *ledger, int32_t last, const struct ledger_sink *sink)
{
    for (unsigned i = 0; ledger->open && i < ledger->count; i++) {
        struct ledger_entry *entry = entry_at(ledger, i);
        bool open = entry->state == LEDGER_SENDING || entry->state == LEDGER_SENT;
        if (entry->pushed && open && entry->id > last)
            lose(ledger, entry, sink);
    }
}

void ledger_abandon(struct ledger *ledger, const struct ledger_sink *sink)
{
    for (unsigned i = 0; i < ledger->count; i++) {
        struct ledger_entry *entry = entry_at(ledger, i);
        if (entry->state == LEDGER_SENDING || entry->state == LEDGER_SENT)
            lose(ledger, entry, sink);
        else if (entry->passing)
            push_table_forget(sink->table, entry->key);
    }
}

void ledger_renew(struct ledger *ledger, struct push_table *table)
{
    for (unsigned i = 0; ledger->open && i < ledger->count; i++) {
        struct ledger_entry *entry = entry_at(ledger, i);
        if (entry->pushed && (entry->state == LEDGER_SENDING || entry->state == LEDGER_SENT))
            push_table_renew(table, &entry->token);
    }
}

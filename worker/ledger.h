/* What one connection has sent and not yet seen acknowledged: the way from "sending" to "held".
 *
 * An entry is opened when a response begins, sent when its last byte went into the output, settled
 * when the peer's kernel has acknowledged that byte. A client that cancels may do so after that, so
 * the last LEDGER_MAX entries are kept, by stream id. */
#ifndef HERALD_LEDGER_H
#define HERALD_LEDGER_H

#include "master/handoff/stats.h"
#include "policy/policy_vm.h"
#include "policy/push_table.h"

#include <stdbool.h>
#include <stdint.h>

#define LEDGER_MAX 256 /* a power of two */

enum ledger_state { LEDGER_FREE, LEDGER_SENDING, LEDGER_SENT, LEDGER_SETTLED };

struct ledger_entry {
    int32_t id;
    uint8_t state;    /* enum ledger_state */
    bool pushed;      /* a promise with a claim; else the client's own request */
    bool flushed;     /* `offset` is known */
    bool passing;     /* of a client that nobody can know again on another connection */
    uint16_t validator;
    uint8_t standing; /* enum push_standing */
    unsigned candidate; /* of the page's decision */
    uint32_t life_s;
    uint32_t declined_s;
    uint64_t offset;  /* SENT: bytes of the connection queued up to and with the response's last */
    struct push_key key;
    struct push_token token;
    uint64_t bytes;    /* of the response's content that went out, once it ended */
    uint64_t resource; /* identity_resource, of a push */
    uint64_t site;     /* identity_site, of a push */
    uint64_t version;  /* of the policies that decided on a push */
    uint8_t ended;     /* enum tally_kind, as it was counted; TALLY_PROMISED: not yet */
    struct outcome *outcome; /* of the page that it belongs to; NULL: of none, or settled */
    struct page *page; /* a reference, when a policy wants to know the result; else NULL */
};

struct ledger {
    struct ledger_entry *entries; /* a ring of `room`, NULL until needed */
    unsigned room;
    unsigned first, count;
    unsigned closed; /* the oldest entries, all of them settled: nothing is looked for among them */
    unsigned open; /* SENDING or SENT */
    unsigned pushes_open; /* pushes whose last byte is not in the output: "promised and unfinished" */
    uint64_t looked_ms; /* when TCP_INFO was last read */
};

/* Told of the end of each push, and of each answer that an outcome waits for. */
typedef void ledger_result(void *context, struct ledger_entry *entry, enum push_result result);

struct ledger_sink {
    struct push_table *table;
    struct stats *stats;
    ledger_result *result;
    void *context;
};

void ledger_finish(struct ledger *ledger); /* nothing may be open */

/* Opens an entry for stream `id`, its claim or note to be filled in by the caller. NULL when
 * LEDGER_MAX entries are open or memory runs out. Valid until the next open. */
struct ledger_entry *ledger_open(struct ledger *ledger, int32_t id);

/* Makes room for another entry, so that the next ledger_open cannot fail. Returns false when
 * LEDGER_MAX are open or memory runs out. */
bool ledger_reserve(struct ledger *ledger);

struct ledger_entry *ledger_find(struct ledger *ledger, int32_t id);

/* How much content of stream `id` has gone out when it ends, in whichever way. */
void ledger_count(struct ledger *ledger, int32_t id, uint64_t bytes);

/* The stream's last byte is in the output: it will be flushed next, or as ledger_flushed says. */
void ledger_sent(struct ledger *ledger, int32_t id);

/* The output so far has been handed to the kernel, `offset` bytes since the connection began; but for
 * the end of stream `unwritten` (0: of none), which waits for a later flush. */
void ledger_flushed(struct ledger *ledger, uint64_t offset, int32_t unwritten);

/* The peer's kernel has acknowledged `acked` bytes: settles what is complete. */
void ledger_acknowledged(struct ledger *ledger, uint64_t acked, const struct ledger_sink *sink);

/* The peer reset stream `id`: a promise becomes declined (CANCEL, REFUSED_STREAM) or absent. Also
 * right for entries that were settled as held. Unknown ids are nothing. */
void ledger_reset(struct ledger *ledger, int32_t id, uint32_t error,
                  const struct ledger_sink *sink);

/* The stream failed on this side or was never promised: its entry returns to absent. */
void ledger_lose(struct ledger *ledger, int32_t id, const struct ledger_sink *sink);

/* The peer's GOAWAY: it takes no promised stream above `last`, sent or not (RFC 9113 6.8). What of
 * these is open returns to absent; what it has acknowledged it has. */
void ledger_lose_above(struct ledger *ledger, int32_t last, const struct ledger_sink *sink);

/* The connection ends: what is still open returns to absent, and so does what a passing client was
 * given. */
void ledger_abandon(struct ledger *ledger, const struct ledger_sink *sink);

/* Gives the open claims more time: call while bytes progress. */
void ledger_renew(struct ledger *ledger, struct push_table *table);

#endif

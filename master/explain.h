/* `herald explain`: what a worker would decide for a request, found out by running a worker's code in
 * an unprivileged child that sees the segment and changes nothing of it (worker/rehearse.h). */
#ifndef HERALD_EXPLAIN_H
#define HERALD_EXPLAIN_H

#include "master/control.h"
#include "master/helper.h"

#define EXPLAIN_QUESTIONS_MAX 64 /* of one command */

struct generation;
struct supervisor;

struct explain {
    struct helper helper;
    struct control *control;
    struct control_handle asker; /* whom the answer under way is for */
};

/* Begins what `request`, a command of the verb "explain", asks for: {"questions": [{"url", "method",
 * "headers": [[name, value]...], "client", "no_push", "streams_max", "rtt_us", "cwnd_bytes",
 * "bandwidth_bps"}...]}, all but "url" optional. The answer, perhaps later, is {"ok": true,
 * "answers": [text...]}, each text a JSON object. The supervisor serves. */
void explain_run(struct supervisor *supervisor, struct control_handle client, json_t *request);

/* Returns when it is to be called next. */
int64_t explain_step(struct explain *explain, int64_t now_ms);

/* Ends one under way without an answer. */
void explain_cancel(struct explain *explain);

#endif

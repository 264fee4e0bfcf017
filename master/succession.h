/* How one generation follows another: a config is staged, its workers become ready, it is promoted,
 * and the one before it drains. Whatever fails on the way leaves the one that serves in place. */
#ifndef HERALD_SUCCESSION_H
#define HERALD_SUCCESSION_H

#include "master/supervisor.h"

/* Sets up staging and begins the first one. */
void succession_begin(struct supervisor *supervisor);

/* Begins a reload, or notes that another is wanted after the one under way. */
void succession_reload(struct supervisor *supervisor);

/* True while a config is being staged or its workers start. */
bool succession_under_way(const struct supervisor *supervisor);

/* Tells whoever waits for the reload under way how it ended; `said` is the fault. */
void succession_answer(struct supervisor *supervisor, bool ok, const char *said);

/* Lets a generation go: it drains once nothing waits on addresses that are given up, or after
 * SUPERVISOR_LAST_CALL_MS. */
void succession_leave(struct supervisor *supervisor, struct generation *generation, int64_t now_ms);

/* Gives up what is being staged; its workers drain. */
void succession_cancel(struct supervisor *supervisor, int64_t now_ms);

/* In a child that is about to run Lua: forgets the keys of clients, tickets and certificates. */
void succession_shed(struct supervisor *supervisor);

/* Does what is due. Returns when it is to be called next. */
int64_t succession_step(struct supervisor *supervisor, int64_t now_ms);

#endif

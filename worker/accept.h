/* Accepting: one multishot operation for each listener of the shares this worker serves. */
#ifndef HERALD_ACCEPT_H
#define HERALD_ACCEPT_H

#include <stdbool.h>

struct acceptor;
struct worker;

/* Makes the acceptor for the worker's own share, its listeners armed. NULL when memory runs out. */
struct acceptor *acceptor_create(struct worker *worker);

/* Accepts from another share too, while its own worker is down; and no more. */
void acceptor_adopt(struct acceptor *acceptor, unsigned share);
void acceptor_release(struct acceptor *acceptor, unsigned share);

/* Stops accepting. What the kernel has accepted already is still served. */
void acceptor_stop(struct acceptor *acceptor);

/* True when no operation is armed: it may be destroyed. */
bool acceptor_idle(const struct acceptor *acceptor);
void acceptor_destroy(struct acceptor *acceptor);

#endif

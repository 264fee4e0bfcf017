/* Certificates for those entries of a config that have none: made by an unprivileged child, once
 * for all workers of a generation. */
#ifndef HERALD_SELF_SIGNED_H
#define HERALD_SELF_SIGNED_H

#include "master/handoff/config.h"

/* In the child: makes a certificate for every entry without a path, puts it into `config`, and
 * writes them all to `*text` (malloc'd, NULL when there are none), `*length` bytes. Returns 0 or
 * -errno with `fault`. */
int self_signed_make(struct config *config, char **text, size_t *length, struct fault *fault);

/* In the master: puts what the child wrote into its own copy of the config. Returns 0, or -EPROTO
 * with `fault` for anything else than certificates for exactly these entries. */
int self_signed_take(struct config *config, struct span text, struct fault *fault);

#endif

/* Watching what clients ask for after a page, for policies that propose it to the next ones
 * (`learn.next`, policy/learned.h).
 *
 * A connection keeps its last few pages, from the first time that a policy asks what is learned of
 * one. What it then asks for within LEARN_WINDOW_MS belongs to the page that the Referer names, or
 * else to its last page; and it counts only when its name may be public (worker/public.h), when it
 * is of the same client, and when that client was proposed nothing of the set at this visit, so that
 * what is pushed does not vouch for itself. Connections without such pages pay one test of a
 * pointer for each request. */
#ifndef HERALD_LEARN_H
#define HERALD_LEARN_H

#include "policy/policy_vm.h"

#include <stdbool.h>

struct learn_visits;
struct stream;

#define LEARN_WINDOW_MS 5000 /* after a page was answered */

/* The worker's side of `learn`, for struct policy_host; `context` is the worker. */
unsigned learn_host_next(void *context, const struct request *request, struct span page,
                         const struct learned_wish *wish, struct policy_learned *items,
                         unsigned room, const char **why);
bool learn_host_note(void *context, const struct request *request, struct span page,
                     struct span path);

/* The response of a stream is built: what it asked for may be an asset of a page before it. To be
 * called for connections that have visits only, and before the push table hears of the answer. */
void learn_answered(struct stream *stream);

#endif

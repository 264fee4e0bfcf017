/* `herald client show` and `forget`: what the push table has about one client, asked for by the id
 * that logs show. Entries bear no names, so the site's known resources (known.h) are looked up one
 * by one, in an unprivileged child that sees the table. */
#ifndef HERALD_CLIENTS_H
#define HERALD_CLIENTS_H

#include "master/control.h"
#include "master/handoff/config.h"
#include "master/handoff/segment.h"
#include "master/helper.h"

#define CLIENTS_LISTED_MAX 2000 /* entries of one answer */

struct clients {
    struct helper helper;
    struct control *control;
    struct control_handle asker; /* whom the look-up under way is for */
};

/* Begins what `request`, a command of the verb "client", asks for: {"do": "show" or "forget", "id",
 * "site" (any of its names; left out: whichever the client is of)}. `client` is answered, perhaps
 * later. `config` and `segment` are of the serving generation, `user` is whom the child becomes. */
void clients_run(struct clients *clients, struct loop *loop, struct control *control,
                 struct control_handle client, const json_t *request, const struct config *config,
                 const struct segment *segment, const struct spawn_user *user);

/* Returns when it is to be called next. */
int64_t clients_step(struct clients *clients, int64_t now_ms);

/* Ends a look-up without an answer. */
void clients_cancel(struct clients *clients);

#endif

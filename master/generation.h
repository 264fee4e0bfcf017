/* A generation: one resolved config, its policies, and the workers that serve them.
 *
 * It is staged (its workers start), then serves, then drains; a staged one that fails goes straight
 * to draining, since its ready workers may have accepted connections already. The serving
 * generation keeps every share accepted from: a worker that goes is replaced after a back-off, a
 * neighbour accepts for it when that takes more than GENERATION_ADOPT_MS, and likewise for retired
 * shares. */
#ifndef HERALD_GENERATION_H
#define HERALD_GENERATION_H

#include "master/seat.h"

#define GENERATION_ADOPT_MS 100
#define GENERATION_DRAIN_GRACE_MS 2000 /* past limits.drain, for the workers to end themselves */
#define GENERATION_RELEASE_MS 200      /* from releasing a retired share to closing it */

enum generation_state { GENERATION_STAGED, GENERATION_SERVING, GENERATION_DRAINING };

struct generation {
    unsigned number;
    enum generation_state state;
    const struct seat_tools *tools;
    struct segment *segment;
    struct config *config; /* owned, and the descriptors below as well */
    struct spawn_user user;
    uint32_t version; /* of the policies, that its workers start with; 0: none */
    int access_fd;
    int error_fd;
    struct seat *seats;
    unsigned seats_count;
    unsigned shares;     /* listener sets: the seats', then retired ones */
    int *listeners;      /* [share * listens_count + listen], filled for each start */
    int *keep;           /* what a worker inherits, likewise */
    int *adopters;       /* by share: the seat that accepts for it besides its own, or -1 */
    unsigned released;   /* the retired share that nobody accepts from, about to be closed; */
    int64_t released_ms; /* since when; 0: none */
    int64_t pulse_ms;    /* the next look at the workers' heartbeats */
    bool failed;         /* staged: it can't become ready */
    struct fault fault;
    struct generation *next;
};

/* What a generation is made of; it takes all of it, also when it can't be made. */
struct generation_parts {
    struct config *config;
    struct spawn_user user;
    uint32_t version; /* of the policies */
    int access_fd;
    int error_fd;
};

/* Returns a generation without workers, owned by the caller, or NULL with `fault`. The listeners
 * are staged already. */
struct generation *generation_create(unsigned number, const struct seat_tools *tools,
                                     struct segment *segment, const struct generation_parts *parts,
                                     struct fault *fault);

/* Only when empty. NULL is accepted. */
void generation_destroy(struct generation *generation);

/* Starts a worker in every seat. On failure the generation is `failed`. */
void generation_start(struct generation *generation, int64_t now_ms);

/* Every worker accepts. */
bool generation_ready(const struct generation *generation);

/* No worker is left. */
bool generation_empty(const struct generation *generation);

/* A staged, ready generation serves from now on. */
void generation_promote(struct generation *generation, int64_t now_ms);

/* Tells the workers to finish what they have, within limits.drain. */
void generation_drain(struct generation *generation, int64_t now_ms);

/* Tells the workers to end at once; they are killed after SEAT_STOP_MS. */
void generation_stop(struct generation *generation, int64_t now_ms);

/* Hands new log descriptors to the workers and keeps them for later ones. Takes both; -1: that log
 * stays as it is. */
void generation_logs(struct generation *generation, int access_fd, int error_fd);

/* An origin's name has these addresses now: for the workers there are, and for later ones. Returns
 * whether that is new, or -ENOMEM. */
int generation_addresses(struct generation *generation, const char *name, const char *addresses);

/* Does what is due: kills, restarts, adoptions, and, unless a stage is under way, the closing of
 * retired shares. Returns when it is to be called next. */
int64_t generation_step(struct generation *generation, bool staging, int64_t now_ms);

/* For seats: fills `handoff` and the keep list for a worker of `seat`. */
size_t generation_handoff(struct generation *generation, const struct seat *seat,
                          struct handoff *handoff);

/* For seats: the worker became ready; it left. */
void generation_seat_ready(struct generation *generation, struct seat *seat, int64_t now_ms);
void generation_seat_left(struct generation *generation, struct seat *seat, const char *how,
                          int64_t now_ms);

#endif

/* Which versions of the policies run: what every worker has, which one decides, and when one is
 * taken out of use because it does badly.
 *
 * A version is stored (policy_store.h), sent to every worker, and decides once all have said that
 * it can run there and a word in the segment changes. Workers that start later get what is in use
 * before they say that they are ready. */
#ifndef HERALD_POLICY_DESK_H
#define HERALD_POLICY_DESK_H

#include "master/handoff/handoff.h"
#include "master/policy_health.h"
#include "master/policy_store.h"

#include <stdbool.h>
#include <stdint.h>

#define DESK_EXAMPLES_MAX 16
#define DESK_EXAMPLE_MAX 512

struct supervisor;
struct seat;

/* A version that workers have. */
struct desk_resident {
    uint32_t number; /* 0: a free place */
    int fd;          /* its bundle */
    struct health health;
    uint64_t pages, failures, soft, hard; /* since it became resident */
    uint64_t compared, differing;         /* as the shadow */
    bool warned; /* that it does badly and nothing can take its place */
};

/* What was read last from a slot. */
struct desk_reading {
    uint32_t number;
    uint64_t pages, failures, soft, hard, compared, differing;
};

struct policy_desk {
    struct supervisor *supervisor;
    struct policy_store store;
    bool is_open;
    struct health_limits limits;
    struct desk_resident residents[SEGMENT_VERSIONS_MAX];
    uint32_t loaded;   /* the version loaded last, perhaps about to be used */
    uint32_t shipping; /* the one that is being sent; 0: none */
    uint32_t arriving; /* that of the generation that is being started; 0: none */
    char arriving_id[STORE_ID_LENGTH + 1]; /* of the files that came with it */
    char files_id[STORE_ID_LENGTH + 1];    /* of the policy files, as they were last looked at */
    char files_fault[STORE_TEXT_MAX];      /* why they cannot be a version; "" when they can */
    struct desk_reading readings[SEGMENT_SLOTS_MAX][SEGMENT_VERSIONS_MAX];
    int64_t look_ms;
    char examples[DESK_EXAMPLES_MAX][DESK_EXAMPLE_MAX]; /* of the shadow's differences */
    unsigned examples_count;
};

/* Opens the store below config->state_dir and says in the segment what it says of pushes. Returns 0
 * or -errno with `fault`. */
int desk_open(struct policy_desk *desk, struct supervisor *supervisor, const struct config *config,
              struct fault *fault);
void desk_close(struct policy_desk *desk);

/* Takes what the config says of versions. */
void desk_configure(struct policy_desk *desk, const struct config *config);

/* policy_store_put; what is loaded, on its way to the workers or to come with a generation is not
 * discarded for it. */
int64_t desk_put(struct policy_desk *desk, int bundle_fd, const char *author, const char *message,
                 struct fault *fault);

/* The version that a generation is to run whose config came with the bundle `bundle_fd` (which is
 * taken; -1: the policy files are not good, and the active version stays). Content that is new is a
 * new version. Content that was rolled back or quarantined, and content that did not change since
 * it was last taken up, leaves the active version as it is. Returns its number, or -errno with
 * `fault`. */
int64_t desk_admit(struct policy_desk *desk, int bundle_fd, const char *author, const char *message,
                   struct fault *fault);

/* That generation serves now, or does not come. */
void desk_promoted(struct policy_desk *desk, uint32_t number, const char *author);
void desk_abandoned(struct policy_desk *desk);

/* Fills in what a new worker is to have: `first` is the version that its generation runs. */
void desk_fill(struct policy_desk *desk, uint32_t first, struct handoff *handoff);

/* Opens a version's bundle, for workers to come. NULL when it cannot be, which is said in the log;
 * also for 0. */
const struct desk_resident *desk_make_resident(struct policy_desk *desk, uint32_t number);

/* The policy files cannot be a version, for this reason. */
void desk_files_are_bad(struct policy_desk *desk, const char *why);

/* Sends a version to every worker that lacks it. Returns 0, or -errno with `fault`. */
int desk_ship(struct policy_desk *desk, uint32_t number, struct fault *fault);

/* How that fares: `*have` of `*of` workers have it. Returns 1 when all do, 0 while some have not
 * answered, -EINVAL with `fault` when one can't run it. */
int desk_shipped(const struct policy_desk *desk, uint32_t number, unsigned *have, unsigned *of,
                 struct fault *fault);

/* Makes a version that was shipped the active one (0: no policies). Returns 0 or -errno with
 * `fault`. */
int desk_use(struct policy_desk *desk, uint32_t number, const char *author, const char *what,
             struct fault *fault);

/* Makes a version that was shipped the canary of `permille` of 1,000 clients, or the shadow; 0: there
 * is none any more. Return 0 or -errno with `fault`. */
int desk_canary(struct policy_desk *desk, uint32_t number, uint32_t permille, const char *author,
                struct fault *fault);
int desk_shadow(struct policy_desk *desk, uint32_t number, const char *author, struct fault *fault);

/* Switches pushes and hints off or on: everywhere, or for the site whose first name is `site`.
 * Returns 0 or -errno with `fault`. */
int desk_push(struct policy_desk *desk, bool off, const char *site, const char *author,
              struct fault *fault);

/* Says in the segment which versions decide, as the store has it. */
void desk_publish(struct policy_desk *desk);

/* Lets workers forget what is not used any more. */
void desk_trim(struct policy_desk *desk);

/* A worker's word (HANDOFF_LOADED, HANDOFF_DIFFERS), `length` bytes. */
void desk_word(struct policy_desk *desk, struct seat *seat, const char *message, size_t length);

/* The version as workers have it; NULL: they do not, or 0. */
struct desk_resident *desk_resident(const struct policy_desk *desk, uint32_t number);

#endif

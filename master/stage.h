/* From a config's source to the parts of a generation, without holding up the master's loop, in
 * three unprivileged children: one reads the config; then the master opens what only it may; one
 * checks the certificates; one bundles and checks the policies. The children that run Lua have no
 * secrets in their memory. */
#ifndef HERALD_STAGE_H
#define HERALD_STAGE_H

#include "master/config/config_load.h"
#include "master/generation.h"
#include "master/helper.h"

/* Where a config comes from. */
enum config_kind { CONFIG_FILE, CONFIG_ROOT, CONFIG_DEMO };
struct config_source {
    enum config_kind origin;
    const char *path; /* the file, NULL: the usual ones; the directory; NULL for the demo */
};

enum stage_step { STAGE_IDLE, STAGE_READ, STAGE_CERTIFICATES, STAGE_POLICIES };

struct stage {
    struct helper helper;
    struct config_load load; /* open while the first child reads */
    enum stage_step step;
    struct loop *loop;
    const struct config_source *source;
    struct generation_parts parts;
    bool specs;    /* run them: there is something to go back to */
    int stored_fd; /* while the policies are checked: what may serve in their place; -1: nothing */
    void *context;
    /* Judges a config whose files could be opened: 0, or -errno and `fault`. */
    int (*admit)(void *context, const struct config *config, struct fault *fault);
    /* In a child that will run Lua: forgets what others must not know. */
    void (*shed)(void *context);
    /* A stored version's bundle that may serve when the policy files are bad, owned by the callee;
     * -1: none may. */
    int (*stored)(void *context);
    /* Staging ended: rc 0, `parts` and the policies' bundle, which become the callee's; or -errno
     * and `fault`. The bundle is -1, with `fault`, when the stored version is to serve. */
    void (*done)(void *context, int rc, const struct generation_parts *parts, int bundle_fd,
                 const struct fault *fault);
};

bool stage_running(const struct stage *stage);

/* Starts staging; `source` outlives it. The result comes by `done`, also for a failure to start. */
void stage_begin(struct stage *stage, struct loop *loop, const struct config_source *source);

/* Returns when it is to be called next. */
int64_t stage_step(struct stage *stage, int64_t now_ms);

/* Ends staging without a result. */
void stage_cancel(struct stage *stage);

/* Reads a config in this process, for commands: 0 and a config owned by the caller, or -errno and
 * `fault`. */
int stage_load(const struct config_source *source, struct config **config, struct fault *fault);

#endif

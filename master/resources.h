/* What only the master may open, because workers lack the privileges: keys, document roots, policy
 * directories, logs, the state directory. */
#ifndef HERALD_RESOURCES_H
#define HERALD_RESOURCES_H

#include "master/handoff/config.h"
#include "master/handoff/fault.h"

#define RESOURCES_PEM_MAX (1024 * 1024)

/* Fills in the config's descriptors and PEM texts, which config_destroy releases. Returns 0, or
 * -errno with `fault` at the config's line; what was opened until then stays the config's. */
int resources_open(struct config *config, struct fault *fault);

/* The policies' directories alone. Returns 0 or -errno with `fault`. */
int resources_open_policies(struct config *config, struct fault *fault);

/* Overwrites the PEM texts in this process's memory: for a child that is about to run Lua. NULL is
 * accepted. */
void resources_forget_keys(struct config *config);

/* Opens a log for appending: a path, "stderr" (a duplicate of it), or NULL: -1, off. `key` is the
 * config's, for the fault. Returns 0 and a descriptor owned by the caller, or -errno. */
int resources_open_log(const struct config *config, const char *key, const char *path, int *fd,
                       struct fault *fault);

/* Says what resources_open_log would say of a folder that does not exist, or a log that is one;
 * makes nothing. The state directory is made before logs are opened, so it need not exist. */
int resources_check_log(const struct config *config, const char *key, const char *path,
                        struct fault *fault);

/* Makes the state directory if it is missing (mode 0700, its parents 0755) and locks it, so that no
 * other master uses it. Returns the lock's descriptor, owned by the caller, or -errno with `fault`:
 * -EWOULDBLOCK when another one holds it. */
int resources_lock_state(const struct config *config, struct fault *fault);

/* Raises the limit of open descriptors to what `config` may need, as far as this process may.
 * Returns the limit that holds now. */
unsigned long resources_raise_descriptors(const struct config *config);

#endif

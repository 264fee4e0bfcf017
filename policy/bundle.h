/* A version's policies as one sealed memfd: the stock policies, the policy directory's files, and
 * what each is called. Made by an unprivileged child, read by every worker; its content names the
 * version. */
#ifndef HERALD_BUNDLE_H
#define HERALD_BUNDLE_H

#include "master/handoff/config.h"
#include "master/handoff/fault.h"
#include "master/handoff/span.h"

#define BUNDLE_FILE_MAX (256 * 1024)        /* bytes of one source or data file */
#define BUNDLE_BYTES_MAX (16 * 1024 * 1024) /* of the whole bundle */

struct bundle;

/* Reads config->policy.stock_fd and dir_fd (regular files below them, no symbolic links, *.lua and
 * data files) into a sealed memfd. Returns the descriptor, owned by the caller, or -errno with
 * `fault`. */
int bundle_create(const struct config *config, struct fault *fault);

/* Maps a bundle. Returns 0 and a bundle owned by the caller, or -errno with `fault`. */
int bundle_open(int fd, struct bundle **bundle, struct fault *fault);
void bundle_close(struct bundle *bundle);

/* The file called `name` ("preload.lua" of the stock ones, "shop.lua" of the directory; the
 * directory's wins), borrowed until close; NULL data when there is none. */
struct span bundle_find(const struct bundle *bundle, struct span name);

/* 64-bit hash of the content, the version's name. */
uint64_t bundle_version(const struct bundle *bundle);

/* Compiles every policy that the config names, in the real sandbox, and runs their `init` hooks.
 * Returns 0 or -errno with `fault`: file, line, what, nearest name. */
int policy_check(const struct config *config, int bundle_fd, struct fault *fault);

#endif

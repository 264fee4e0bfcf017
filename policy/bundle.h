/* A version's policies as one sealed memfd: the stock policies, the policy directory's files, and
 * what each is called. Made by an unprivileged child, read by every worker; its content names the
 * version. */
#ifndef HERALD_BUNDLE_H
#define HERALD_BUNDLE_H

#include "master/handoff/config.h"
#include "master/handoff/fault.h"
#include "master/handoff/span.h"

#include <stddef.h>
#include <stdint.h>

#define BUNDLE_FILE_MAX (256 * 1024)        /* bytes of one source or data file */
#define BUNDLE_BYTES_MAX (16 * 1024 * 1024) /* of the whole bundle */
#define BUNDLE_FILES_MAX 1024
#define BUNDLE_NAME_MAX 56 /* bytes of a file's name with its folders; fits in Lua's messages */

struct bundle;

/* Reads what lies below config->policy.stock_fd and dir_fd (either may be -1) into a sealed memfd,
 * with the policy lists of the config's sites: regular files called *.lua, *.json, *.txt or *.csv,
 * in folders at most 4 deep. Other files and whatever begins with a dot are left out, and so are
 * the stock folder's `meta` and `examples`. A symbolic link by such a name, a file that is too
 * large or that changes while it is read is an error. Returns the descriptor, owned by the caller,
 * or -errno with `fault`. */
int bundle_create(const struct config *config, struct fault *fault);

/* The same, with one more file, which takes the place of what the directory has by this name.
 * `one` may be NULL. */
struct bundle_file {
    const char *name; /* "shop.lua", "lib/prices.json" */
    int fd;           /* open for reading */
};
int bundle_create_with(const struct config *config, const struct bundle_file *one,
                       struct fault *fault);

/* Maps a bundle, `fd` staying the caller's, and checks its seals, layout and hash. Returns 0 and a
 * bundle owned by the caller, or -errno with `fault`. */
int bundle_open(int fd, struct bundle **bundle, struct fault *fault);
void bundle_close(struct bundle *bundle);

/* The file called `name` ("preload.lua" of the stock ones, "shop.lua" or "lib/prices.json" of the
 * directory; the directory's wins), borrowed until close; NULL data when there is none. */
struct span bundle_find(const struct bundle *bundle, struct span name);

/* How many files there are, and the name of file `i` of them, in order of names. */
size_t bundle_count(const struct bundle *bundle);
struct span bundle_name(const struct bundle *bundle, size_t i);

/* The policy lists that it was made with (policy/policy_lists.h). */
struct span bundle_lists(const struct bundle *bundle);

/* 64-bit hash of the content, the version's name. */
uint64_t bundle_version(const struct bundle *bundle);

/* Compiles every policy that the config names, in the real sandbox, and runs their `init` hooks.
 * Returns 0 or -errno with `fault`: file, line, what, nearest name. */
int policy_check(const struct config *config, int bundle_fd, struct fault *fault);

#endif

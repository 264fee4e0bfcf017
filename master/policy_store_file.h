/* A file of the policy store: a header with a checksum, a JSON text, and perhaps a bundle. */
#ifndef HERALD_POLICY_STORE_FILE_H
#define HERALD_POLICY_STORE_FILE_H

#include "master/handoff/fault.h"
#include "master/handoff/span.h"

#include <jansson.h>
#include <stdint.h>

/* Writes `name` below `directory_fd` by way of a file beside it, and syncs both. `json` is
 * borrowed. Returns 0 or -errno. */
int store_file_write(int directory_fd, const char *name, const json_t *json, struct span bundle);

/* Reads `name`. Returns 0, `json` owned by the caller, and the descriptor of the open file with
 * where the bundle lies in it; or -errno with `fault`: -ENOENT, -EINVAL for a file that is torn or
 * foreign, -EPERM for one that others may touch. `path` is the directory's, for the fault. */
struct store_file {
    json_t *json;
    int fd; /* owned by the caller */
    uint64_t bundle_offset;
    uint64_t bundle_bytes;
};
int store_file_read(int directory_fd, const char *path, const char *name, struct store_file *file,
                    struct fault *fault);

/* A member of a file's object as text, cut to `size` bytes; "" where there is none. */
void store_take_text(char *to, size_t size, const json_t *object, const char *key);

/* A member as a number; 0 where there is none. */
json_int_t store_number(const json_t *object, const char *key);

/* What people wrote, as JSON: it need not have stayed UTF-8 where it was cut. Owned by the caller.
 */
json_t *store_text(const char *text);

#endif

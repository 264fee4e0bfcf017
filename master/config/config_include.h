/* The files that a config includes: found and read below the config's own directory, never outside,
 * with the rights of the calling process. */
#ifndef HERALD_CONFIG_INCLUDE_H
#define HERALD_CONFIG_INCLUDE_H

#include <stdbool.h>
#include <stddef.h>

#define INCLUDE_BYTES_MAX (1024 * 1024) /* of one file */
#define INCLUDE_MATCHES_MAX 1000        /* of one pattern */
#define INCLUDE_PATH_MAX 1024

/* Puts into `joined` (INCLUDE_PATH_MAX bytes) what `pattern` is below the config's directory when
 * the file `from` (itself such a path) names it. Returns 0, -ENAMETOOLONG, or -EXDEV for a pattern
 * that is absolute or leads out. */
int include_join(const char *from, const char *pattern, char *joined);

/* Whether the pattern has any of *, ? and [. */
bool include_is_pattern(const char *pattern);

/* The files below `directory` that match `pattern`, sorted by their bytes. Wildcards match no
 * leading dot and no slash; folders are left out; a path without wildcards is returned as it is.
 * Returns 0 and `*count` paths owned by the caller (include_free), or -errno, -E2BIG for too many.
 */
int include_find(int directory, const char *pattern, char ***paths, size_t *count);
void include_free(char **paths, size_t count);

/* What makes two paths the same file. */
struct include_identity {
    unsigned long long device;
    unsigned long long inode;
};

/* Reads an open regular file from its beginning, or opens one below `directory` and reads it.
 * Return 0 and `*text` (NUL-terminated, `*length` bytes, owned by the caller) with its identity, or
 * -errno: -EINVAL for what is no regular file, -EFBIG past INCLUDE_BYTES_MAX. */
int include_read_fd(int fd, char **text, size_t *length, struct include_identity *identity);
int include_read(int directory, const char *path, char **text, size_t *length,
                 struct include_identity *identity);

#endif

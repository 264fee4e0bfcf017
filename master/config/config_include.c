#include "master/config/config_include.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ENTRIES_MAX 100000 /* of one folder that a wildcard looks through */

struct matches {
    char **paths;
    size_t count;
};

int include_join(const char *from, const char *pattern, char *joined)
{
    const char *slash = strrchr(from, '/');
    size_t length = slash ? (size_t)(slash - from) : 0;
    if (pattern[0] == '/')
        return -EXDEV;
    if (length >= INCLUDE_PATH_MAX)
        return -ENAMETOOLONG;
    memcpy(joined, from, length);
    joined[length] = 0;
    while (*pattern) {
        size_t part = strcspn(pattern, "/");
        if (part == 2 && pattern[0] == '.' && pattern[1] == '.') {
            if (length == 0)
                return -EXDEV;
            while (length > 0 && joined[--length] != '/')
                ;
        } else if (part > 0 && !(part == 1 && pattern[0] == '.')) {
            if (length + part + 2 > INCLUDE_PATH_MAX)
                return -ENAMETOOLONG;
            if (length > 0)
                joined[length++] = '/';
            memcpy(joined + length, pattern, part);
            length += part;
        }
        joined[length] = 0;
        pattern += part + (pattern[part] == '/');
    }
    return 0;
}

bool include_is_pattern(const char *pattern)
{
    return strpbrk(pattern, "*?[") != NULL;
}

static int open_below(int directory, const char *path, unsigned flags)
{
    struct open_how how = {.flags = flags | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    long fd = syscall(SYS_openat2, directory, path, &how, sizeof(how));
    return fd < 0 ? -errno : (int)fd;
}

/* O_NONBLOCK: a named pipe must not keep the reader waiting. */
static int open_file(int directory, const char *path)
{
    return open_below(directory, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
}

static int add_match(struct matches *matches, const char *path)
{
    char **paths;
    if (matches->count == INCLUDE_MATCHES_MAX)
        return -E2BIG;
    paths = reallocarray(matches->paths, matches->count + 1, sizeof(*paths));
    if (!paths)
        return -ENOMEM;
    matches->paths = paths;
    paths[matches->count] = strdup(path);
    if (!paths[matches->count])
        return -ENOMEM;
    matches->count++;
    return 0;
}

static bool is_folder(int directory, const char *path)
{
    struct stat status;
    int fd = open_below(directory, path, O_PATH);
    bool folder = fd >= 0 && fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);
    if (fd >= 0)
        close(fd);
    return folder;
}

static int match(int directory, const char *path, const char *pattern, struct matches *matches);

static int match_entries(int directory, DIR *entries, const char *path, const char *part,
                         const char *rest, struct matches *matches)
{
    char found[INCLUDE_PATH_MAX];
    const struct dirent *entry;
    int rc = 0;
    for (unsigned i = 0; rc == 0 && (entry = readdir(entries)); i++) {
        if (i == ENTRIES_MAX)
            return -E2BIG;
        if (fnmatch(part, entry->d_name, FNM_PERIOD | FNM_PATHNAME) != 0)
            continue;
        if ((size_t)snprintf(found, sizeof(found), "%s%s%s", path, *path ? "/" : "",
                             entry->d_name) >= sizeof(found))
            return -ENAMETOOLONG;
        if (is_folder(directory, found) == (rest != NULL))
            rc = rest ? match(directory, found, rest, matches) : add_match(matches, found);
    }
    return rc;
}

/* Adds what the first part of `pattern` matches in the folder `path`, and goes on below. */
static int match(int directory, const char *path, const char *pattern, struct matches *matches)
{
    char part[INCLUDE_PATH_MAX];
    size_t length = strcspn(pattern, "/");
    const char *rest = pattern[length] ? pattern + length + 1 : NULL;
    if (!include_is_pattern(pattern)) {
        if ((size_t)snprintf(part, sizeof(part), "%s%s%s", path, *path ? "/" : "", pattern) >=
            sizeof(part))
            return -ENAMETOOLONG;
        int fd = open_below(directory, part, O_PATH);
        if (fd >= 0)
            close(fd);
        return fd >= 0 ? add_match(matches, part) : fd == -ENOENT ? 0 : fd;
    }
    snprintf(part, sizeof(part), "%.*s", (int)length, pattern);
    int fd = open_below(directory, *path ? path : ".", O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return fd == -ENOENT || fd == -ENOTDIR ? 0 : fd;
    DIR *entries = fdopendir(fd);
    if (!entries) {
        close(fd);
        return -ENOMEM;
    }
    int rc = match_entries(directory, entries, path, part, rest, matches);
    closedir(entries);
    return rc;
}

static int by_bytes(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

int include_find(int directory, const char *pattern, char ***paths, size_t *count)
{
    struct matches matches = {0};
    char start[INCLUDE_PATH_MAX];
    const char *rest = pattern;
    size_t length = 0;
    int rc;
    /* The part before the first wildcard needs only be passed through, not be readable. */
    while (strchr(rest, '/') && strpbrk(rest, "*?[") > strchr(rest, '/'))
        rest = strchr(rest, '/') + 1;
    if (rest > pattern)
        length = (size_t)(rest - pattern) - 1;
    if (length >= sizeof(start))
        return -ENAMETOOLONG;
    memcpy(start, pattern, length);
    start[length] = 0;
    rc = include_is_pattern(pattern) ? match(directory, start, rest, &matches)
                                     : add_match(&matches, pattern);
    if (rc < 0) {
        include_free(matches.paths, matches.count);
        return rc;
    }
    if (matches.count > 1)
        qsort(matches.paths, matches.count, sizeof(*matches.paths), by_bytes);
    *paths = matches.paths;
    *count = matches.count;
    return 0;
}

void include_free(char **paths, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(paths[i]);
    free(paths);
}

int include_read_fd(int fd, char **text, size_t *length, struct include_identity *identity)
{
    struct stat status;
    ssize_t got = 1;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode))
        return S_ISDIR(status.st_mode) ? -EISDIR : -EINVAL;
    char *bytes = malloc(INCLUDE_BYTES_MAX + 2);
    if (!bytes)
        return -ENOMEM;
    for (*length = 0; got > 0 && *length <= INCLUDE_BYTES_MAX; *length += (size_t)got) {
        got = pread(fd, bytes + *length, INCLUDE_BYTES_MAX + 1 - *length, (off_t)*length);
        if (got < 0)
            break;
    }
    int rc = got < 0 ? -errno : *length > INCLUDE_BYTES_MAX ? -EFBIG : 0;
    if (rc < 0) {
        free(bytes);
        return rc;
    }
    bytes[*length] = 0;
    *text = realloc(bytes, *length + 1);
    if (!*text)
        *text = bytes;
    *identity = (struct include_identity){status.st_dev, status.st_ino};
    return 0;
}

int include_read(int directory, const char *path, char **text, size_t *length,
                 struct include_identity *identity)
{
    int fd = open_file(directory, path);
    if (fd < 0)
        return fd;
    int rc = include_read_fd(fd, text, length, identity);
    close(fd);
    return rc;
}

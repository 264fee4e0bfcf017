/* Reading a past request back from the access log. */
#include "master/cmd/explain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE_BYTES (1024 * 1024)
#define LINE_BYTES_MAX (512 * 1024) /* a longer one is none of the access log's */

/* The request's own line, and not another one that names it: that has a status. */
static json_t *parse_line(const char *line, size_t length, const char *id)
{
    json_t *object = json_loadb(line, length, 0, NULL);
    const char *own = json_string_value(json_object_get(object, "id"));
    if (own && strcmp(own, id) == 0 && json_object_get(object, "status"))
        return object;
    json_decref(object);
    return NULL;
}

/* The last line in `data` that is the request's. */
static json_t *find_in(const char *data, size_t length, const char *id)
{
    char pattern[64];
    size_t pattern_length =
        (size_t)snprintf(pattern, sizeof(pattern), "\"id\":\"%.40s\"", id);
    json_t *found = NULL;
    const char *at = data;
    while ((at = memmem(at, (size_t)(data + length - at), pattern, pattern_length))) {
        const char *start = memrchr(data, '\n', (size_t)(at - data));
        const char *end = memchr(at, '\n', (size_t)(data + length - at));
        start = start ? start + 1 : data;
        end = end ? end : data + length;
        json_t *line = parse_line(start, (size_t)(end - start), id);
        if (line) {
            json_decref(found);
            found = line;
        }
        at = end;
    }
    return found;
}

/* From the end to the start, in pieces that overlap by the longest line. */
static json_t *search(int fd, off_t size, const char *id, struct fault *fault)
{
    size_t room = PIECE_BYTES + LINE_BYTES_MAX;
    off_t stop = size > EXPLAIN_LOG_BYTES ? size - EXPLAIN_LOG_BYTES : 0;
    json_t *found = NULL;
    char *data = malloc(room);
    if (!data)
        fault_set(fault, -ENOMEM, NULL, 0, "out of memory");
    for (off_t end = size; data && !found && end > stop; end -= PIECE_BYTES) {
        off_t start = end > PIECE_BYTES ? end - PIECE_BYTES : 0;
        off_t beyond = size - end < LINE_BYTES_MAX ? size : end + LINE_BYTES_MAX;
        ssize_t n = pread(fd, data, (size_t)(beyond - start), start);
        if (n < 0) {
            fault_set(fault, -errno, NULL, 0, "%s", strerror(errno));
            break;
        }
        found = find_in(data, (size_t)n, id);
    }
    free(data);
    return found;
}

json_t *explain_find(const char *path, const char *id, struct fault *fault)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        fault_set(fault, -EINVAL, path, 0, "the access log cannot be read: %s",
                  fd < 0 ? strerror(errno) : "it is no file");
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    fault->what[0] = '\0';
    json_t *found = search(fd, status.st_size, id, fault);
    close(fd);
    if (!found && !fault->what[0])
        fault_set(fault, -ENOENT, path, 0,
                  "no request has the id %s%s; an older log may have it (log.access is read from "
                  "its end)",
                  id, status.st_size > EXPLAIN_LOG_BYTES ? " in its last 256 MiB" : "");
    else if (!found)
        snprintf(fault->where, sizeof(fault->where), "%s", path);
    return found;
}

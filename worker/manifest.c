#include "worker/manifest.h"

#include "worker/page.h"
#include "worker/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOOK_MS 1000

/* One file of one site. */
struct manifest {
    struct manifest *next;
    const struct config_site *site;
    char *path;
    char *content; /* NULL when it could not be read */
    size_t length;
    int failure;
    uint64_t version;
    uint64_t looked_ms;
    struct timespec modified;
    ino_t inode;
};

static int open_beneath(int root_fd, const char *path)
{
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    while (*path == '/')
        path++;
    int fd = (int)syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
    return fd < 0 ? -errno : fd;
}

static int read_whole(int fd, size_t length, char *out)
{
    size_t at = 0;
    while (at < length) {
        ssize_t n = pread(fd, out + at, length - at, (off_t)at);
        if (n < 0)
            return -errno;
        if (n == 0)
            return -EIO;
        at += (size_t)n;
    }
    return 0;
}

static int load(struct manifest *manifest, int fd, const struct stat *stat)
{
    size_t length = (size_t)stat->st_size;
    char *content = malloc(length + 1);
    if (!content)
        return -ENOMEM;
    int rc = read_whole(fd, length, content);
    if (rc < 0) {
        free(content);
        return rc;
    }
    free(manifest->content);
    manifest->content = content;
    manifest->length = length;
    manifest->modified = stat->st_mtim;
    manifest->inode = stat->st_ino;
    manifest->version++;
    return 0;
}

static int look(struct manifest *manifest, int root_fd)
{
    struct stat stat;
    int fd = open_beneath(root_fd, manifest->path);
    if (fd < 0)
        return fd;
    int rc = fstat(fd, &stat) < 0 ? -errno : 0;
    if (rc == 0 && (!S_ISREG(stat.st_mode) || stat.st_size > MANIFEST_BYTES_MAX))
        rc = -EFBIG;
    bool same = manifest->content && stat.st_ino == manifest->inode &&
                stat.st_mtim.tv_sec == manifest->modified.tv_sec &&
                stat.st_mtim.tv_nsec == manifest->modified.tv_nsec &&
                (size_t)stat.st_size == manifest->length;
    if (rc == 0 && !same)
        rc = load(manifest, fd, &stat);
    close(fd);
    return rc;
}

static struct manifest *find(struct worker *worker, const struct config_site *site,
                             struct span path)
{
    unsigned count = 0;
    struct manifest *manifest;
    for (manifest = worker->manifests; manifest; manifest = manifest->next, count++)
        if (manifest->site == site && span_equal(span_of(manifest->path), path))
            return manifest;
    if (count >= MANIFESTS_MAX)
        return NULL;
    manifest = calloc(1, sizeof(*manifest));
    if (!manifest)
        return NULL;
    manifest->path = strndup(path.data, path.length);
    if (!manifest->path) {
        free(manifest);
        return NULL;
    }
    manifest->site = site;
    manifest->next = worker->manifests;
    worker->manifests = manifest;
    return manifest;
}

int manifest_read(void *context, const struct request *request, struct span path,
                  struct span *content, uint64_t *version)
{
    struct worker *worker = context;
    const struct page *page = request->context;
    const struct config_site *site = page->site; /* its stream may have ended */
    const struct config_route *route = &site->routes[site->routes_count - 1];
    struct manifest *manifest = find(worker, site, path);
    if (!manifest)
        return -ENOMEM;
    uint64_t now = worker->timers.now_ms;
    if (!manifest->looked_ms || now - manifest->looked_ms >= LOOK_MS) {
        manifest->looked_ms = now;
        manifest->failure = look(manifest, route->root_fd);
    }
    if (manifest->failure)
        return manifest->failure;
    *content = span_make(manifest->content, manifest->length);
    *version = manifest->version;
    return 0;
}

void manifests_finish(struct worker *worker)
{
    while (worker->manifests) {
        struct manifest *manifest = worker->manifests;
        worker->manifests = manifest->next;
        free(manifest->content);
        free(manifest->path);
        free(manifest);
    }
}

#include "master/resources.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define DESCRIPTORS_BESIDE_CONNECTIONS 2048 /* files being sent, listeners, logs */

static int key_fault(const struct config *config, const char *key, const char *path, int rc,
                     struct fault *fault)
{
    const char *file;
    int line;
    config_place(config, key, &file, &line);
    return fault_set(fault, rc, file, line, "%s \"%s\" cannot be opened: %s", key, path,
                     strerror(-rc));
}

static int directory_open(const char *path)
{
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int roots_open(struct config *config, struct fault *fault)
{
    for (size_t i = 0; i < config->sites_count; i++) {
        for (size_t j = 0; j < config->sites[i].routes_count; j++) {
            struct config_route *route = &config->sites[i].routes[j];
            if (!route->root)
                continue;
            int fd = directory_open(route->root);
            if (fd < 0)
                return fault_set(fault, fd, route->file, route->line,
                                 "root \"%s\" cannot be opened: %s", route->root, strerror(-fd));
            route->root_fd = fd;
        }
    }
    return 0;
}

int resources_open_policies(struct config *config, struct fault *fault)
{
    int fd = directory_open(HERALD_STOCK_DIR);
    if (fd < 0)
        return fault_set(fault, fd, HERALD_STOCK_DIR, 0, "the stock policies cannot be opened: %s",
                         strerror(-fd));
    config->policy.stock_fd = fd;
    if (!config->policy.dir)
        return 0;
    fd = directory_open(config->policy.dir);
    if (fd < 0)
        return key_fault(config, "policy.dir", config->policy.dir, fd, fault);
    config->policy.dir_fd = fd;
    return 0;
}

static int pem_read_fd(int fd, char *text, size_t *length)
{
    *length = 0;
    while (*length <= RESOURCES_PEM_MAX) {
        ssize_t n = read(fd, text + *length, RESOURCES_PEM_MAX + 1 - *length);
        if (n == 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0)
            *length += (size_t)n;
        if (*length > RESOURCES_PEM_MAX)
            return -EFBIG;
    }
    return 0;
}

/* Leaves no copy of a key behind: the buffer it was read into is cleared. */
static int pem_read(const char *path, struct span *pem)
{
    size_t length = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    char *text = malloc(RESOURCES_PEM_MAX + 1);
    int rc = text ? pem_read_fd(fd, text, &length) : -ENOMEM;
    close(fd);
    char *copy = rc == 0 ? malloc(length + 1) : NULL;
    if (rc == 0 && !copy)
        rc = -ENOMEM;
    if (copy) {
        memcpy(copy, text, length);
        copy[length] = '\0';
        *pem = span_make(copy, length);
    }
    if (text)
        explicit_bzero(text, RESOURCES_PEM_MAX + 1);
    free(text);
    return rc;
}

static int certificate_read(struct config_certificate *certificate, const char *what,
                            const char *path, struct span *pem, struct fault *fault)
{
    if (!path)
        return 0;
    int rc = pem_read(path, pem);
    return rc == 0 ? 0
                   : fault_set(fault, rc, certificate->file, certificate->line,
                               "%s \"%s\" cannot be read: %s", what, path, strerror(-rc));
}

static int certificates_read(struct config *config, struct fault *fault)
{
    for (size_t i = 0; i < config->certificates_count; i++) {
        struct config_certificate *one = &config->certificates[i];
        int rc = certificate_read(one, "cert", one->cert_path, &one->cert_pem, fault);
        if (rc == 0)
            rc = certificate_read(one, "key", one->key_path, &one->key_pem, fault);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int authorities_read(struct config *config, struct fault *fault)
{
    for (size_t i = 0; i < config->sites_count; i++)
        for (size_t j = 0; j < config->sites[i].routes_count; j++) {
            struct config_origin *origin = &config->sites[i].routes[j].origin;
            int rc =
                origin->ca && origin->servers_count ? pem_read(origin->ca, &origin->ca_pem) : 0;
            if (rc < 0)
                return fault_set(fault, rc, origin->file, origin->line,
                                 "origin.ca \"%s\" cannot be read: %s", origin->ca, strerror(-rc));
        }
    return 0;
}

int resources_open(struct config *config, struct fault *fault)
{
    int rc = roots_open(config, fault);
    if (rc == 0)
        rc = resources_open_policies(config, fault);
    if (rc == 0)
        rc = certificates_read(config, fault);
    if (rc == 0)
        rc = authorities_read(config, fault);
    return rc;
}

void resources_forget_keys(struct config *config)
{
    for (size_t i = 0; config && i < config->certificates_count; i++) {
        struct config_certificate *one = &config->certificates[i];
        if (one->key_pem.length)
            explicit_bzero((void *)(uintptr_t)one->key_pem.data, one->key_pem.length);
    }
}

int resources_open_log(const struct config *config, const char *key, const char *path, int *fd,
                       struct fault *fault)
{
    *fd = -1;
    if (!path)
        return 0;
    if (strcmp(path, "stderr") == 0)
        *fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    else
        *fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
    if (*fd < 0)
        return key_fault(config, key, path, -errno, fault);
    if (strcmp(path, "stderr") != 0)
        fcntl(*fd, F_SETFL, O_APPEND); /* O_NONBLOCK was for a FIFO that nobody reads */
    return 0;
}

static bool is_or_is_above(const char *folder, const char *path)
{
    size_t length = strlen(folder);
    return strncmp(folder, path, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

int resources_check_log(const struct config *config, const char *key, const char *path,
                        struct fault *fault)
{
    char folder[PATH_MAX];
    struct stat status;
    if (!path || path[0] != '/')
        return 0;
    if (stat(path, &status) == 0)
        return S_ISDIR(status.st_mode) ? key_fault(config, key, path, -EISDIR, fault) : 0;
    size_t length = (size_t)(strrchr(path, '/') - path);
    if (length >= sizeof(folder))
        return key_fault(config, key, path, -ENAMETOOLONG, fault);
    memcpy(folder, path, length);
    folder[length] = '\0';
    int fd = directory_open(length ? folder : "/");
    if (fd >= 0)
        close(fd);
    else if (!is_or_is_above(folder, config->state_dir))
        return key_fault(config, key, path, fd, fault);
    return 0;
}

/* Makes the parents of `path`, which is absolute. */
static int make_parents(const char *path)
{
    char parent[PATH_MAX];
    if (strlen(path) >= sizeof(parent))
        return -ENAMETOOLONG;
    strcpy(parent, path);
    for (char *slash = strchr(parent + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(parent, 0755) < 0 && errno != EEXIST)
            return -errno;
        *slash = '/';
    }
    return 0;
}

int resources_lock_state(const struct config *config, struct fault *fault)
{
    const char *path = config->state_dir;
    char lock[PATH_MAX];
    int rc = make_parents(path);
    if (rc == 0 && mkdir(path, 0700) < 0 && errno != EEXIST)
        rc = -errno;
    if (rc < 0)
        return key_fault(config, "state", path, rc, fault);
    if (snprintf(lock, sizeof(lock), "%s/lock", path) >= (int)sizeof(lock))
        return key_fault(config, "state", path, -ENAMETOOLONG, fault);
    int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return key_fault(config, "state", lock, -errno, fault);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        rc = -errno;
        close(fd);
        if (rc == -EWOULDBLOCK)
            return fault_set(fault, rc, path, 0, "another herald uses this state directory");
        return key_fault(config, "state", lock, rc, fault);
    }
    return fd;
}

unsigned long resources_raise_descriptors(const struct config *config)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)config->limits.connections + DESCRIPTORS_BESIDE_CONNECTIONS;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 0;
    if (limit.rlim_cur < wanted) {
        struct rlimit raised = {wanted, limit.rlim_max < wanted ? wanted : limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &raised) < 0) {
            raised = (struct rlimit){limit.rlim_max, limit.rlim_max};
            setrlimit(RLIMIT_NOFILE, &raised);
        }
        getrlimit(RLIMIT_NOFILE, &limit);
    }
    return (unsigned long)limit.rlim_cur;
}

#include "master/known.h"

#include "worker/content.h"
#include "worker/timer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define INDEX "index.html"

/* One root's walk; `path` is where it stands, "/" first. */
struct walk {
    struct known *known;
    const struct config_site *site;
    const struct config_route *root; /* the first route that has this root */
    bool symlinks;                   /* some route with this root follows them */
    char path[PATH_MAX];
};

/* Beneath the root, however names and links change meanwhile. */
static int open_beneath(const struct config_route *route, const char *name, int flags)
{
    struct open_how how = {
        .flags = (unsigned)(O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags),
        .resolve = (uint64_t)(RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS |
                              (route->symlinks ? 0 : RESOLVE_NO_SYMLINKS)),
    };
    int fd = (int)syscall(SYS_openat2, route->root_fd, name, &how, sizeof(how));
    return fd < 0 ? -errno : fd;
}

static bool same_root(const struct config_route *a, const struct config_route *b)
{
    return a->root && b->root && strcmp(a->root, b->root) == 0;
}

static void tell(struct walk *walk, struct span path)
{
    const struct config_route *route = config_route(walk->site, path);
    const char *name = walk->path + 1;
    if (!same_root(route, walk->root))
        return;
    const struct known_file file = {walk->site, route, path, name};
    walk->known->found(walk->known->context, &file);
}

static void take_file(struct walk *walk, size_t length)
{
    size_t parent = length - (sizeof(INDEX) - 1);
    walk->known->files++;
    tell(walk, span_make(walk->path, length));
    if (length > sizeof(INDEX) - 1 && walk->path[parent - 1] == '/' &&
        strcmp(walk->path + parent, INDEX) == 0)
        tell(walk, span_make(walk->path, parent));
}

static bool out_of_bounds(const struct walk *walk)
{
    return walk->known->files >= KNOWN_FILES_MAX ||
           (walk->known->files % 256 == 0 && timer_clock_ms() > walk->known->until_ms);
}

static mode_t type_of(const struct walk *walk, int fd, const struct dirent *entry)
{
    struct stat st;
    if (entry->d_type == DT_DIR || entry->d_type == DT_REG)
        return DTTOIF(entry->d_type);
    if (entry->d_type != DT_UNKNOWN && !(entry->d_type == DT_LNK && walk->symlinks))
        return 0;
    int rc = fstatat(fd, entry->d_name, &st, walk->symlinks ? 0 : AT_SYMLINK_NOFOLLOW);
    return rc < 0 ? 0 : st.st_mode & S_IFMT;
}

static bool walk_directory(struct walk *walk, size_t length, unsigned depth);

/* Returns false when the bounds are reached. */
static bool take_entry(struct walk *walk, int fd, const struct dirent *entry, size_t length,
                       unsigned depth)
{
    size_t name = strlen(entry->d_name);
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
        return true;
    if (length + name + 2 > sizeof(walk->path)) {
        walk->known->complete = false;
        return true;
    }
    memcpy(walk->path + length, entry->d_name, name + 1);
    mode_t type = type_of(walk, fd, entry);
    if (S_ISREG(type)) {
        if (out_of_bounds(walk))
            return false;
        take_file(walk, length + name);
    } else if (S_ISDIR(type)) {
        memcpy(walk->path + length + name, "/", 2);
        return walk_directory(walk, length + name + 1, depth + 1);
    }
    return true;
}

static bool walk_directory(struct walk *walk, size_t length, unsigned depth)
{
    struct config_route beneath = *walk->root;
    beneath.symlinks = walk->symlinks;
    int fd = depth > KNOWN_DEPTH_MAX
                 ? -ELOOP
                 : open_beneath(&beneath, length > 1 ? walk->path + 1 : ".", O_DIRECTORY);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    bool within = true;
    if (!directory) {
        walk->known->complete = false;
        if (fd >= 0)
            close(fd);
        return true;
    }
    for (struct dirent *entry; within && (entry = readdir(directory));)
        within = take_entry(walk, fd, entry, length, depth);
    closedir(directory);
    return within;
}

void known_walk(struct known *known, const struct config_site *site)
{
    if (!known->until_ms)
        known->until_ms = timer_clock_ms() + KNOWN_WALK_MS;
    for (size_t i = 0; i < site->routes_count; i++) {
        struct walk walk = {
            .known = known, .site = site, .root = &site->routes[i], .path = "/"};
        bool first = walk.root->root != NULL;
        for (size_t j = 0; j < site->routes_count; j++) {
            if (!same_root(&site->routes[j], walk.root))
                continue;
            first &= j >= i;
            walk.symlinks |= site->routes[j].symlinks;
        }
        if (first && !walk_directory(&walk, 1, 0))
            known->complete = false;
    }
}

int known_validator(const struct known_file *file, uint16_t *validator)
{
    int fd = open_beneath(file->route, file->name, 0);
    if (fd < 0)
        return fd;
    int rc = content_validator(fd, validator);
    close(fd);
    return rc;
}

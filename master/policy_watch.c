#include "master/policy_watch.h"

#include "master/handoff/span.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 4 /* as in a bundle */
#define EVENTS                                                                          \
    (IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | \
     IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define LINK_EVENTS (IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_ONLYDIR | IN_MASK_ADD)
#define STEPS_MAX 256 /* names on the way, those of links' targets among them */

/* The files of a bundle; what editors keep beside them has other names. */
static bool is_policy_file(const char *name)
{
    static const char *const ENDINGS[] = {".lua", ".json", ".txt", ".csv"};
    for (size_t i = 0; name[0] != '.' && i < sizeof(ENDINGS) / sizeof(ENDINGS[0]); i++)
        if (span_ends(span_of(name), span_of(ENDINGS[i])))
            return true;
    return false;
}

/* A name in the folder that inotify calls `folder`; never 0. */
static uint64_t who_is(int folder, const char *name)
{
    uint64_t who = 14695981039346656037u ^ (uint64_t)folder;
    for (const char *at = name; *at; at++)
        who = (who ^ (uint64_t)(unsigned char)*at) * 1099511628211u;
    return who ? who : 1;
}

/* ---- what is watched ---- */

static void watch_folder(struct policy_watch *watch, const char *path, unsigned depth)
{
    char below[PATH_MAX];
    struct dirent *item;
    if (watch->folders_count == POLICY_WATCH_FOLDERS_MAX)
        return;
    int number = inotify_add_watch(watch->fd, path, depth ? EVENTS | IN_DONT_FOLLOW : EVENTS);
    if (number < 0)
        return;
    watch->folders[watch->folders_count++] = number;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (depth ? O_NOFOLLOW : 0));
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder && fd >= 0)
        close(fd);
    while (folder && depth < DEPTH_MAX && (item = readdir(folder))) {
        bool may_be_folder = item->d_type == DT_DIR || item->d_type == DT_UNKNOWN;
        int length = snprintf(below, sizeof(below), "%s/%s", path, item->d_name);
        if (item->d_name[0] != '.' && may_be_folder && length < (int)sizeof(below))
            watch_folder(watch, below, depth + 1);
    }
    if (folder)
        closedir(folder);
}

/* A path that is walked name by name: `done` is free of symbolic links, `rest` is to be walked. */
struct walk {
    char done[PATH_MAX];
    char rest[PATH_MAX];
};

static void watch_link(struct policy_watch *watch, const char *folder, const char *name)
{
    int number = watch->links_count == POLICY_WATCH_LINKS_MAX
                     ? -1
                     : inotify_add_watch(watch->fd, folder, LINK_EVENTS);
    if (number >= 0)
        watch->links[watch->links_count++] =
            (struct policy_watch_link){.parent = number, .who = who_is(number, name)};
}

/* Takes one name from `rest`; where it is a link, what that leads to stands in its place, and the
 * link is watched. Returns false at the end, or when the path grows too long. */
static bool walk_on(struct policy_watch *watch, struct walk *walk)
{
    char path[PATH_MAX], target[PATH_MAX], rest[PATH_MAX];
    const char *name = walk->rest + strspn(walk->rest, "/");
    size_t length = strcspn(name, "/");
    const char *done = walk->done[0] ? walk->done : name == walk->rest ? "." : "/";
    if (!length ||
        snprintf(path, sizeof(path), "%s/%.*s", done, (int)length, name) >= (int)sizeof(path) ||
        snprintf(rest, sizeof(rest), "%s", name + length) >= (int)sizeof(rest))
        return false;
    ssize_t n = readlink(path, target, sizeof(target) - 1);
    if (n <= 0) { /* no link, or nothing */
        memcpy(walk->done, path, sizeof(path));
        memcpy(walk->rest, rest, sizeof(rest));
        return true;
    }
    target[n] = '\0';
    watch_link(watch, done, path + strlen(path) - length);
    if (target[0] == '/')
        walk->done[0] = '\0';
    else
        snprintf(walk->done, sizeof(walk->done), "%s", strcmp(done, "/") ? done : "/.");
    return snprintf(walk->rest, sizeof(walk->rest), "%s%s", target, rest) < (int)sizeof(walk->rest);
}

static void watch_links(struct policy_watch *watch)
{
    struct walk walk = {.done = ""};
    snprintf(walk.rest, sizeof(walk.rest), "%s", watch->dir);
    for (unsigned steps = 0; steps < STEPS_MAX && walk_on(watch, &walk); steps++)
        ;
}

static bool is_folder(const struct policy_watch *watch, int number)
{
    for (unsigned i = 0; i < watch->folders_count; i++)
        if (watch->folders[i] == number)
            return true;
    return false;
}

static const struct policy_watch_link *link_in(const struct policy_watch *watch, int number)
{
    for (unsigned i = 0; i < watch->links_count; i++)
        if (watch->links[i].parent == number)
            return &watch->links[i];
    return NULL;
}

/* Lets go of what was watched before and lies on the way no more. */
static void forget_others(struct policy_watch *watch, const struct policy_watch *before)
{
    for (unsigned i = 0; i < before->folders_count; i++)
        if (!is_folder(watch, before->folders[i]) && !link_in(watch, before->folders[i]))
            inotify_rm_watch(watch->fd, before->folders[i]);
    for (unsigned i = 0; i < before->links_count; i++)
        if (!is_folder(watch, before->links[i].parent) && !link_in(watch, before->links[i].parent))
            inotify_rm_watch(watch->fd, before->links[i].parent);
}

/* Watches the way and all folders; those that are watched already stay so. The links come first:
 * one that changes meanwhile is told then. */
static int begin(struct policy_watch *watch)
{
    const struct policy_watch before = *watch;
    if (watch->fd < 0)
        watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (watch->fd < 0)
        return -errno;
    memset(watch->open, 0, sizeof(watch->open));
    watch->folders_count = watch->links_count = 0;
    watch_links(watch);
    watch_folder(watch, watch->dir, 0);
    forget_others(watch, &before);
    return 0;
}

int policy_watch_open(struct policy_watch *watch, const char *dir, struct fault *fault)
{
    *watch = (struct policy_watch){.fd = -1, .dir = strdup(dir)};
    int rc = watch->dir ? begin(watch) : -ENOMEM;
    if (rc < 0) {
        policy_watch_close(watch);
        return fault_set(fault, rc, dir, 0, "cannot be watched: %s", strerror(-rc));
    }
    watch->again_ms = watch->folders_count ? 0 : 1;
    return 0;
}

void policy_watch_close(struct policy_watch *watch)
{
    if (watch->fd >= 0)
        close(watch->fd);
    free(watch->dir);
    *watch = (struct policy_watch){.fd = -1};
}

/* ---- what is told ---- */

/* Notes that a file is being written, or that it was closed. */
static void note(struct policy_watch *watch, const struct inotify_event *event, bool open)
{
    uint64_t who = who_is(event->wd, event->name);
    uint64_t *place = NULL;
    for (unsigned i = 0; i < POLICY_WATCH_OPEN_MAX; i++) {
        if (watch->open[i] == who) {
            place = &watch->open[i];
            break;
        }
        if (!watch->open[i] && !place)
            place = &watch->open[i];
    }
    if (place && (open || *place == who))
        *place = open ? who : 0;
}

/* Whether this tells that a link on the way is another one now, or that it is gone with its folder.
 */
static bool is_of_link(const struct policy_watch *watch, const struct inotify_event *event)
{
    for (unsigned i = 0; i < watch->links_count; i++)
        if (watch->links[i].parent == event->wd &&
            (event->mask & IN_IGNORED ||
             (event->len && watch->links[i].who == who_is(event->wd, event->name))))
            return true;
    return false;
}

static void take(struct policy_watch *watch, const struct inotify_event *event, int64_t now_ms)
{
    bool moved = is_of_link(watch, event) ||
                 event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_Q_OVERFLOW | IN_UNMOUNT);
    if (!moved && (event->mask & IN_IGNORED || !is_folder(watch, event->wd)))
        return; /* a removal that was told, or another file beside a link */
    bool folder = moved || event->mask & IN_ISDIR;
    if (folder)
        watch->again_ms = now_ms + POLICY_WATCH_QUIET_MS;
    else if (!event->len || !is_policy_file(event->name))
        return;
    if (!folder)
        note(watch, event, event->mask & IN_MODIFY);
    watch->due_ms = now_ms + POLICY_WATCH_QUIET_MS;
}

void policy_watch_read(struct policy_watch *watch, int64_t now_ms)
{
    _Alignas(struct inotify_event) char buffer[8192];
    ssize_t n;
    while ((n = read(watch->fd, buffer, sizeof(buffer))) > 0)
        for (ssize_t at = 0; at < n;) {
            const struct inotify_event *event = (const void *)(buffer + at);
            take(watch, event, now_ms);
            at += (ssize_t)(sizeof(*event) + event->len);
        }
}

static bool being_written(const struct policy_watch *watch)
{
    for (unsigned i = 0; i < POLICY_WATCH_OPEN_MAX; i++)
        if (watch->open[i])
            return true;
    return false;
}

bool policy_watch_due(struct policy_watch *watch, int64_t now_ms)
{
    if (watch->fd < 0)
        return false;
    if (watch->again_ms && now_ms >= watch->again_ms) {
        bool was_there = watch->folders_count > 0;
        begin(watch);
        watch->again_ms = watch->folders_count ? 0 : now_ms + POLICY_WATCH_AGAIN_MS;
        if (watch->folders_count && !was_there)
            watch->due_ms = now_ms + POLICY_WATCH_QUIET_MS;
    }
    if (!watch->due_ms || now_ms < watch->due_ms || being_written(watch))
        return false;
    watch->due_ms = 0;
    return true;
}

int64_t policy_watch_next(const struct policy_watch *watch)
{
    int64_t next = INT64_MAX;
    if (watch->again_ms)
        next = watch->again_ms;
    if (watch->due_ms && watch->due_ms < next && !being_written(watch))
        next = watch->due_ms;
    return next;
}

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

/* The files of a bundle; what editors keep beside them has other names. */
static bool is_policy_file(const char *name)
{
    static const char *const ENDINGS[] = {".lua", ".json", ".txt", ".csv"};
    for (size_t i = 0; name[0] != '.' && i < sizeof(ENDINGS) / sizeof(ENDINGS[0]); i++)
        if (span_ends(span_of(name), span_of(ENDINGS[i])))
            return true;
    return false;
}

static void watch_folder(struct policy_watch *watch, const char *path, unsigned depth)
{
    char below[PATH_MAX];
    struct dirent *item;
    if (watch->folders == POLICY_WATCH_FOLDERS_MAX ||
        inotify_add_watch(watch->fd, path, depth ? EVENTS | IN_DONT_FOLLOW : EVENTS) < 0)
        return;
    watch->folders++;
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

/* Watches all folders; those that are watched already stay so. */
static int begin(struct policy_watch *watch)
{
    if (watch->fd < 0)
        watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (watch->fd < 0)
        return -errno;
    memset(watch->open, 0, sizeof(watch->open));
    watch->folders = 0;
    watch_folder(watch, watch->dir, 0);
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
    watch->again_ms = watch->folders ? 0 : 1;
    return 0;
}

void policy_watch_close(struct policy_watch *watch)
{
    if (watch->fd >= 0)
        close(watch->fd);
    free(watch->dir);
    *watch = (struct policy_watch){.fd = -1};
}

/* Notes that a file is being written, or that it was closed. */
static void note(struct policy_watch *watch, const struct inotify_event *event, bool open)
{
    uint64_t who = 14695981039346656037u ^ (uint64_t)event->wd;
    uint64_t *place = NULL;
    for (const char *at = event->name; *at; at++)
        who = (who ^ (uint64_t)(unsigned char)*at) * 1099511628211u;
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

static void take(struct policy_watch *watch, const struct inotify_event *event, int64_t now_ms)
{
    if (event->mask & IN_IGNORED) /* follows a removal that was told */
        return;
    bool folder = event->mask & IN_ISDIR ||
                  event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_Q_OVERFLOW | IN_UNMOUNT);
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
        bool was_there = watch->folders > 0;
        begin(watch);
        watch->again_ms = watch->folders ? 0 : now_ms + POLICY_WATCH_AGAIN_MS;
        if (watch->folders && !was_there)
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

/* Whether the files of a policy directory changed: by renames over them, by plain writes, or
 * because a symbolic link on the way to the directory leads elsewhere now (current -> releases/42),
 * once all is quiet and every file that was being written is closed. */
#ifndef HERALD_POLICY_WATCH_H
#define HERALD_POLICY_WATCH_H

#include "master/handoff/fault.h"

#include <stdbool.h>
#include <stdint.h>

#define POLICY_WATCH_QUIET_MS 150  /* between the last change and the look */
#define POLICY_WATCH_AGAIN_MS 1000 /* until a directory that is gone is looked for again */
#define POLICY_WATCH_OPEN_MAX 64   /* files that are being written; more are not waited for */
#define POLICY_WATCH_FOLDERS_MAX 256
#define POLICY_WATCH_LINKS_MAX 8 /* on the way to the directory; those beyond are not watched */

/* A symbolic link on the way to the directory. */
struct policy_watch_link {
    int parent;   /* inotify's number of the folder that it lies in */
    uint64_t who; /* the link's name in that folder, by a hash */
};

struct policy_watch {
    int fd; /* inotify's, for reading; -1: not open */
    char *dir;
    int64_t due_ms;   /* when the files are to be looked at; 0: nothing changed */
    int64_t again_ms; /* when the directory is looked for again; 0: it is watched */
    uint64_t open[POLICY_WATCH_OPEN_MAX];  /* who is being written, by a hash; 0: a free place */
    int folders[POLICY_WATCH_FOLDERS_MAX]; /* inotify's numbers of what lies below the directory */
    unsigned folders_count;
    struct policy_watch_link links[POLICY_WATCH_LINKS_MAX];
    unsigned links_count;
};

/* Watches what lies below `dir`. A directory that does not exist yet is waited for. Returns 0 or
 * -errno with `fault`. */
int policy_watch_open(struct policy_watch *watch, const char *dir, struct fault *fault);

/* One whose fd is -1 is accepted. */
void policy_watch_close(struct policy_watch *watch);

/* Takes what inotify has to tell; to be called when the descriptor is readable. */
void policy_watch_read(struct policy_watch *watch, int64_t now_ms);

/* True, once, when something changed and all is quiet. */
bool policy_watch_due(struct policy_watch *watch, int64_t now_ms);

/* When to ask again, INT64_MAX for when the descriptor is readable. */
int64_t policy_watch_next(const struct policy_watch *watch);

#endif

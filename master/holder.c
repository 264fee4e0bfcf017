#include "master/holder.h"

#include "master/spawn.h"

#include <ctype.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROCESSES_MAX 8192
#define TCP_LISTENING 0x0a
#define PID_TEXT_MAX 12

/* The inode of a socket that listens on `port`, from /proc/net/tcp or tcp6; 0: none. */
static unsigned long listening_inode(const char *path, unsigned port, unsigned *uid)
{
    char line[512];
    unsigned long inode = 0;
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    while (!inode && fgets(line, sizeof(line), file)) {
        unsigned local;
        unsigned state;
        unsigned long found;
        if (sscanf(line,
                   " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*x:%*x %*x:%*x %*x %u %*d %lu",
                   &local, &state, uid, &found) == 4 &&
            local == port && state == TCP_LISTENING)
            inode = found;
    }
    fclose(file);
    return inode;
}

static bool process_has(const char *pid, const char *target)
{
    char path[300];
    char link[64];
    struct dirent *entry;
    bool found = false;
    snprintf(path, sizeof(path), "/proc/%s/fd", pid);
    DIR *directory = opendir(path);
    if (!directory)
        return false;
    while (!found && (entry = readdir(directory))) {
        ssize_t n = readlinkat(dirfd(directory), entry->d_name, link, sizeof(link) - 1);
        if (n > 0) {
            link[n] = '\0';
            found = strcmp(link, target) == 0;
        }
    }
    closedir(directory);
    return found;
}

static void process_name(const char *pid, char *name, size_t size)
{
    char path[300];
    snprintf(path, sizeof(path), "/proc/%s/comm", pid);
    FILE *file = fopen(path, "re");
    snprintf(name, size, "a process");
    if (!file)
        return;
    if (fgets(name, (int)size, file))
        name[strcspn(name, "\n")] = '\0';
    fclose(file);
}

static bool is_worker(const char *name)
{
    return strcmp(name, SPAWN_WORKER_NAME) == 0;
}

/* Finds a process that has `target`, and none of our workers if there is another: their master has
 * their sockets as well. */
static bool find_process(const char *target, char *name, size_t size, char *pid)
{
    struct dirent *entry;
    bool found = false;
    DIR *directory = opendir("/proc");
    if (!directory)
        return false;
    for (int i = 0; i < PROCESSES_MAX && (entry = readdir(directory)); i++) {
        if (!isdigit((unsigned char)entry->d_name[0]) || !process_has(entry->d_name, target))
            continue;
        process_name(entry->d_name, name, size);
        snprintf(pid, PID_TEXT_MAX, "%.10s", entry->d_name);
        found = true;
        if (!is_worker(name))
            break;
    }
    closedir(directory);
    return found;
}

enum holder holder_of_port(unsigned port, char *text)
{
    char target[64];
    char name[32];
    char pid[PID_TEXT_MAX];
    unsigned uid = 0;
    unsigned long inode = listening_inode("/proc/net/tcp", port, &uid);
    if (!inode)
        inode = listening_inode("/proc/net/tcp6", port, &uid);
    if (!inode)
        return HOLDER_NONE;
    snprintf(target, sizeof(target), "socket:[%lu]", inode);
    if (find_process(target, name, sizeof(name), pid)) {
        snprintf(text, HOLDER_TEXT_MAX, "%s (pid %s)", name, pid);
        return is_worker(name) ? HOLDER_GOES : HOLDER_LIVES;
    }
    snprintf(text, HOLDER_TEXT_MAX, "a process of user %u", uid);
    /* The descriptors of another user's processes are root's to see alone. */
    return geteuid() == 0 || geteuid() == uid ? HOLDER_GOES : HOLDER_LIVES;
}

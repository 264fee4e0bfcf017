#include "master/holder.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROCESSES_MAX 8192
#define TCP_LISTENING 0x0a

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

/* As holder_of_port, with whether a process was found. */
static bool look(unsigned port, char *text, bool *found)
{
    char target[64];
    char name[32];
    unsigned uid = 0;
    struct dirent *entry;
    unsigned long inode = listening_inode("/proc/net/tcp", port, &uid);
    *found = false;
    if (!inode)
        inode = listening_inode("/proc/net/tcp6", port, &uid);
    DIR *directory = inode ? opendir("/proc") : NULL;
    if (!directory)
        return false;
    snprintf(target, sizeof(target), "socket:[%lu]", inode);
    for (int i = 0; !*found && i < PROCESSES_MAX && (entry = readdir(directory)); i++) {
        if (!isdigit((unsigned char)entry->d_name[0]) || !process_has(entry->d_name, target))
            continue;
        process_name(entry->d_name, name, sizeof(name));
        snprintf(text, HOLDER_TEXT_MAX, "%s (pid %.10s)", name, entry->d_name);
        *found = true;
    }
    closedir(directory);
    if (!*found)
        snprintf(text, HOLDER_TEXT_MAX, "a process of user %u", uid);
    return true;
}

bool holder_of_port(unsigned port, char *text)
{
    bool found;
    return look(port, text, &found);
}

bool holder_is_seen(unsigned port)
{
    char text[HOLDER_TEXT_MAX];
    bool found;
    return look(port, text, &found) && found;
}

/* The configuration, from a file, a directory or nothing to a struct config.
 *
 * A config is a program, so it runs in a child without privileges. That child could often not even
 * open it (a checkout below a home of mode 0700), and doesn't know what the master may do. So
 * reading has two steps: config_load_open, in the process that has the privileges, opens the file
 * and its directory and notes what the config's defaults depend on; config_load_read, in a process
 * that has none, does the rest with those two descriptors. config_load does both with a child of
 * its own. */
#ifndef HERALD_CONFIG_LOAD_H
#define HERALD_CONFIG_LOAD_H

#include "master/config/config_resolve.h"
#include "master/handoff/config.h"
#include "master/handoff/fault.h"

#define CONFIG_LOAD_FILE "herald.lua" /* in the current directory; else: */
#define CONFIG_LOAD_SYSTEM_FILE "/etc/herald/herald.lua"

/* What config_load_read works on. */
struct config_load {
    int file_fd;      /* the config, to be kept open for the reading child; -1: there is no file */
    int directory_fd; /* its directory, O_PATH, to be kept too; -1 likewise */
    char *path;       /* of the file, absolute; or NULL */
    char *prefix;     /* what faults put before names of that directory: "", "conf/" */
    char *name;       /* the file's name in its directory */
    char *root;       /* the directory to be served when there is no file */
    char *directory;  /* absolute, where relative paths begin */
    char *state;      /* the default state directory */
    struct config_facts facts;
};

/* Opens the config at `path` (NULL: CONFIG_LOAD_FILE or else CONFIG_LOAD_SYSTEM_FILE). Returns 0
 * and a `load` to be closed, or -errno with `fault`. */
int config_load_open(struct config_load *load, const char *path, struct fault *fault);

/* For a config without a file, that serves the directory `root`: TLS on 127.0.0.1:8443 with a
 * self-signed certificate, cleartext on 127.0.0.1:8080, the policies preload, scan and budget. NULL
 * is the demo's site. Otherwise as config_load_open. */
int config_load_open_root(struct config_load *load, const char *root, struct fault *fault);

/* Runs and resolves what was opened. No key, certificate, root or policy is looked at. To be called
 * without privileges, and not in a process that has to live: a config can crash Lua. Returns 0 and
 * a config owned by the caller, or -errno with `fault`. */
int config_load_read(const struct config_load *load, struct config **config, struct fault *fault);

void config_load_close(struct config_load *load);

/* Opens, reads in a child of its own, and closes. Blocks for as long as the config takes, 10 s at
 * most; whatever becomes of the child, the caller gets a fault. Return 0 and a config owned by the
 * caller, or -errno with `fault`. The config's warnings are part of it. */
int config_load(const char *path, struct config **config, struct fault *fault);
int config_for_root(const char *root, struct config **config, struct fault *fault);
int config_for_demo(struct config **config, struct fault *fault);

#endif

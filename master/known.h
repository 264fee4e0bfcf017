/* The resources of a site that can be enumerated: the files below its roots, by the paths that
 * clients ask for. Reads directories, so it is for an unprivileged child. */
#ifndef HERALD_KNOWN_H
#define HERALD_KNOWN_H

#include "master/handoff/config.h"

#include <stdbool.h>
#include <stdint.h>

#define KNOWN_FILES_MAX 1000000
#define KNOWN_DEPTH_MAX 32
#define KNOWN_WALK_MS 8000

struct known_file {
    const struct config_site *site;
    const struct config_route *route; /* the one that serves it */
    struct span path; /* as it is asked for, decoded: "/assets/a b.css", "/docs/" for its index */
    const char *name; /* of the file, relative to the route's root */
};

struct known {
    void (*found)(void *context, const struct known_file *file); /* which borrows everything */
    void *context;
    int64_t until_ms; /* CLOCK_MONOTONIC; 0: the first walk sets it KNOWN_WALK_MS from now */
    uint64_t files;   /* found so far */
    bool complete;    /* false: there are more than the bounds above allow, or some can't be read */
};

/* Calls known->found for each file that `site` serves, and for the directory that an index.html
 * stands for. The routes' roots are open. */
void known_walk(struct known *known, const struct config_site *site);

/* The 12 bits that the push table has of the file's version, in `*validator`. Returns 0 or -errno. */
int known_validator(const struct known_file *file, uint16_t *validator);

#endif

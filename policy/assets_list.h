/* The assets found so far, and the result made of them. */
#ifndef HERALD_ASSETS_LIST_H
#define HERALD_ASSETS_LIST_H

#include "policy/assets.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct assets_found {
    char *path; /* owned by the list */
    uint32_t hash;
    uint32_t position; /* in the page; of what a stylesheet needs: the stylesheet's */
    uint32_t sequence; /* of discovery, which decides among equal positions */
    enum asset_as as;
    enum assets_priority priority;
    bool blocking;
    bool crossorigin;
    bool module;
};

struct assets_list {
    struct assets_found items[ASSETS_MAX];
    size_t count;
    bool turned_away; /* there was one more than fits */
};

/* Adds what `found` says, with a copy of `path`; a path that is there already keeps its place and
 * takes on what is new. Returns 0 or -ENOMEM. */
int assets_list_add(struct assets_list *list, const char *path, const struct assets_found *found);
void assets_list_finish(struct assets_list *list);

/* Sorts the list and copies it into one block, owned by the caller. NULL when out of memory. */
struct assets *assets_list_result(struct assets_list *list);

#endif

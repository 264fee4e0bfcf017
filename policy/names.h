/* Names of public resources, in memory that all workers share: (site, path) <-> a small id.
 *
 * Whose business a name is cannot be told from the name, so its text is written only once
 * NAMES_SEEN_MIN distinct voters have asked for it; until then there is nothing of it but keyed
 * hashes. Which requests may count at all is the caller's to judge: no query, no credentials, a
 * response that a shared cache may store and that sets no cookie.
 *
 * A voter stands for a client. It is a keyed hash, so that nobody outside can choose which ones
 * collide, and the caller bounds how many of them one address has (identity_voter).
 *
 * Everything is a word that is swapped whole, or a text that carries a checksum of itself and its
 * id: a process may be killed anywhere, and what it left unfinished reads as absent and is used
 * again later. Nothing here blocks, allocates or makes a system call. */
#ifndef HERALD_NAMES_H
#define HERALD_NAMES_H

#include "master/handoff/span.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAMES_SEEN_MIN 5   /* distinct voters that make a name public */
#define NAMES_WAYS 8       /* names, and voters of names that are not public yet, of one set */
#define NAMES_TEXT_MAX 236 /* bytes of site and path together; longer names never become public */
#define NAMES_SETS_MAX 2048

/* A name's text. Written by the process whose head says NAME_WRITING, read by anyone: it counts
 * only where `check` is the hash of the id, `resource` and `words`. */
struct names_text {
    _Atomic uint64_t resource; /* identity_resource of site and path */
    _Atomic uint64_t check;
    _Atomic uint64_t words[30]; /* the two lengths, then site and path */
};

/* What a resource's hash leads to. */
struct names_set {
    /* One voter of one name that is not public yet: tag (36 bits), voter (16), time (12). */
    _Alignas(64) _Atomic uint64_t seen[NAMES_WAYS];
    /* Of each text: tag (32 bits), incarnation (18), state (2), when it was last used (12). */
    _Alignas(64) _Atomic uint64_t heads[NAMES_WAYS];
    struct names_text texts[NAMES_WAYS];
};

/* This process's view of a table that lies in memory it does not own. */
struct names {
    struct names_set *sets;
    uint64_t mask; /* number of sets - 1 */
};

/* A name, copied out of the table; the spans lie in `text`. */
struct names_entry {
    uint64_t resource;
    struct span site; /* as it was given to names_note: a site's first name */
    struct span path;
    char text[NAMES_TEXT_MAX];
};

/* How full the table is. Exact only while nobody writes. */
struct names_load {
    uint64_t room;    /* names that fit */
    uint64_t names;   /* that are public */
    uint64_t pending; /* voters of names that are not */
};

/* Attaches to `bytes` of memory at `base`: a power of two, up to NAMES_SETS_MAX, of struct
 * names_set. Zeroed memory is an empty table. Returns 0 or -EINVAL. */
int names_attach(struct names *names, void *base, size_t bytes);

/* `voter` asked for the resource `resource`, which is `path` of `site`, and the answer may be known
 * to everyone. now_s: seconds of a clock that all processes share. Returns the name's id, or 0
 * while it is not public (this voter was counted), when it is too long, or when its set is full of
 * names in use. */
uint32_t names_note(struct names *names, uint64_t resource, uint64_t voter, struct span site,
                    struct span path, uint64_t now_s);

/* The id of a public name, or 0. Marks it as used. An id is never 0, and is not given to another
 * name before 262,143 others have had its place. */
uint32_t names_find(struct names *names, uint64_t resource, uint64_t now_s);

/* Copies the name of `id`. Returns false when it is no longer, or never was, in the table. */
bool names_read(struct names *names, uint32_t id, struct names_entry *entry);

/* As learned_rebase (policy/learned.h). */
void names_rebase(struct names *names, uint64_t saved_boottime_s, uint64_t saved_age_s,
                  uint64_t now_s);

/* Walks the whole table, which may be mapped read-only, and tells `visit` (may be NULL) of each
 * public name. */
struct names_load names_walk(const struct names *names,
                             void (*visit)(void *context, uint32_t id,
                                           const struct names_entry *entry),
                             void *context);

#endif

/* The versions of the policies on disk: their content, who made them, which of them runs.
 *
 * STATE/policies/ (mode 0700) has a file for each version, written once, and `state`, which says
 * what they are to be used for and what was done with them. Every file is written beside its name
 * and renamed, and bears a checksum; one that is torn, foreign or open to others is said in the log
 * and left alone. */
#ifndef HERALD_POLICY_STORE_H
#define HERALD_POLICY_STORE_H

#include "master/handoff/fault.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#define STORE_ID_LENGTH 32
#define STORE_AUTHOR_MAX 48
#define STORE_MESSAGE_MAX 200
#define STORE_TEXT_MAX 400
#define STORE_EVENTS_MAX 32
#define STORE_SITES_MAX 64
#define STORE_SITE_MAX 256

enum stored_standing {
    STORED_GOOD,
    STORED_ROLLED_BACK, /* active again only when somebody says so */
    STORED_QUARANTINED, /* likewise; herald took it out of use itself */
};

struct stored_version {
    uint32_t number;
    char id[STORE_ID_LENGTH + 1]; /* XXH128 of the bundle */
    char author[STORE_AUTHOR_MAX];
    char message[STORE_MESSAGE_MAX + 1];
    int64_t made_s; /* seconds since 1970 */
    uint64_t bytes;
    uint64_t used; /* grows with each activation; 0: never */
    enum stored_standing standing;
    char why[STORE_TEXT_MAX]; /* of a standing that is not good */
};

/* Something that was done: shown by `herald status`. */
struct stored_event {
    int64_t at_s;
    char author[STORE_AUTHOR_MAX];
    char what[STORE_TEXT_MAX];
};

struct policy_store {
    int directory_fd; /* -1: not open */
    char *path;
    unsigned keep;
    struct stored_version *versions; /* in order of their numbers */
    unsigned count;
    uint32_t next; /* the next version's number */
    uint64_t uses;
    uint32_t active; /* 0: none */
    uint32_t canary;
    uint32_t permille;
    uint32_t shadow;
    char seen[STORE_ID_LENGTH + 1]; /* what the policy files were when they were last taken up */
    bool push_off;                  /* everywhere */
    char sites_off[STORE_SITES_MAX][STORE_SITE_MAX]; /* first names of sites without pushes */
    unsigned sites_off_count;
    struct stored_event events[STORE_EVENTS_MAX]; /* the oldest first */
    unsigned events_count;
};

/* Makes STATE/policies if it is missing and reads what is there. `keep`: how many versions to keep.
 * Returns 0 or -errno with `fault`. */
int policy_store_open(struct policy_store *store, const char *state_dir, unsigned keep,
                      struct fault *fault);

/* A zeroed store is accepted. */
void policy_store_close(struct policy_store *store);

/* Stores a bundle, which stays the caller's; content that is there already keeps its number, author
 * and message. Discards the oldest versions past `keep`, but for those in use, the one that a
 * rollback would bring, and those of `spare` (0: none). A bundle that could still change is
 * refused. Returns the number, or -errno with `fault`. */
#define STORE_SPARE 3
int64_t policy_store_put(struct policy_store *store, int bundle_fd, const char *author,
                         const char *message, const uint32_t spare[STORE_SPARE],
                         struct fault *fault);

/* The version, or NULL. Borrowed until the next put or discard. */
struct stored_version *policy_store_find(const struct policy_store *store, uint32_t number);
struct stored_version *policy_store_find_id(const struct policy_store *store, const char *id);

/* The id of a bundle's content. Returns 0 or -errno. */
int policy_store_id(int bundle_fd, char id[STORE_ID_LENGTH + 1]);

/* A version's bundle as a sealed memfd, owned by the caller, or -errno with `fault`. */
int policy_store_bundle(const struct policy_store *store, uint32_t number, struct fault *fault);

/* The file of a version below the store's path. */
#define STORE_NAME_MAX 32
void policy_store_name(uint32_t number, char name[STORE_NAME_MAX]);

/* Makes `number` (0: none) the active one and notes it. Returns 0, or -errno with `fault` and
 * nothing changed: -ENOENT when there is no such version. */
int policy_store_activate(struct policy_store *store, uint32_t number, const char *author,
                          const char *what, struct fault *fault);

/* The version that a rollback would make active: the one used last before the active one, whose
 * standing is good; or 0. */
uint32_t policy_store_previous(const struct policy_store *store);

/* Removes a version that is neither in use nor the last good one. Returns 0, or -errno with
 * `fault`. */
int policy_store_discard(struct policy_store *store, uint32_t number, struct fault *fault);

/* Notes an event; kept by the next save. */
void policy_store_note(struct policy_store *store, const char *author, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Writes the state. Returns 0 or -errno with `fault`. */
int policy_store_save(struct policy_store *store, struct fault *fault);

/* Reads it, for policy_store_open: once, when the versions are known. What is wrong with it goes to
 * the log. */
void policy_store_read_state(struct policy_store *store);

#endif

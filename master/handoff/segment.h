/* The shared segment: what all processes of one herald see, across worker crashes, generations and
 * restarts. Made once by the master as a memfd, sealed in size, inherited by fork.
 *
 *   header | slots[SEGMENT_SLOTS_MAX], pages each | names | learned | tally |
 *   figures | dictionaries, as the config says | push table, a power of two of buckets
 *
 * The push table comes last: its sweeps and saves go from hole to hole up to the segment's end.
 *
 * A second memfd holds the secrets; it is mapped by master and workers only. */
#ifndef HERALD_SEGMENT_H
#define HERALD_SEGMENT_H

#include "master/handoff/fault.h"
#include "master/handoff/stats.h"

#include <stdbool.h>
#include <stdint.h>

#define SEGMENT_MAGIC UINT64_C(0x31646c6172656821)
#define SEGMENT_LAYOUT 7 /* changes whenever a struct below or the push table's words change */
#define SEGMENT_SLOTS_MAX 128
#define SEGMENT_NAMES_BYTES (UINT64_C(17) << 18) /* 16,384 names (policy/names.h) */
#define SEGMENT_CHUNK_BYTES 65536u /* the unit that is saved, or left out when it is all zero */
#define SEGMENT_LEARNED_BYTES (UINT64_C(6) << 20) /* 4,096 buckets (policy/learned.h) */
#define SEGMENT_TALLY_BYTES (512 * 1024)          /* policy/tally.h */
#define SEGMENT_FIGURES_BYTES (512 * 1024)        /* policy/figures.h */
#define SEGMENT_SHARED_MAX 16 /* dictionaries (policy/shared_dict.h) */
#define SEGMENT_TICKET_KEYS 3
#define SEGMENT_SERVERS_MAX 64        /* of origins, of which a worker tells how they do */
#define SEGMENT_VERSIONS_MAX 8        /* versions of the policies that a worker has at once */
#define SEGMENT_PUSH_OFF_SITES_MAX 64 /* sites whose pushes are switched off */

enum slot_state { SLOT_EMPTY, SLOT_STARTING, SLOT_READY, SLOT_DRAINING, SLOT_DEAD };

/* How one version of the policies fares in one worker. A place is given to another version only by
 * setting `number` to 0 first. */
struct segment_version {
    _Atomic uint32_t number; /* 0: nobody's */
    _Atomic uint64_t pages;     /* decisions made */
    _Atomic uint64_t failures;  /* of them, those in which a hook failed */
    _Atomic uint64_t soft;      /* hooks stopped by the soft deadline */
    _Atomic uint64_t hard;      /* hooks that had to be left */
    _Atomic uint64_t compared;  /* pages decided beside the version that runs */
    _Atomic uint64_t differing; /* of them, those decided otherwise */
} __attribute__((aligned(64)));

/* A server of an origin, as one worker finds it. */
struct segment_server {
    _Atomic uint64_t key;      /* segment_key of its text in the config; 0: free */
    _Atomic uint32_t failures; /* since it last answered */
    _Atomic uint64_t until_ms; /* CLOCK_MONOTONIC: it rests until then; 0: it was not seen to fail */
};

/* One worker's page(s). The worker writes the second part, the master the first. Slot indices are
 * unique among running workers of all generations, and so is the push table's owner id, which is
 * the slot's index + 1. A slot is given out again only after its worker was reaped and the push
 * table was swept of its claims. */
struct segment_slot {
    _Atomic uint32_t state; /* enum slot_state */
    _Atomic int32_t pid;
    _Atomic uint32_t generation;
    _Atomic uint32_t incarnation; /* grows with each worker started in this slot */
    _Atomic int64_t started_ms;   /* CLOCK_BOOTTIME */

    _Alignas(64) _Atomic uint64_t heartbeat; /* grows with every wake-up of the loop, and every page */
    _Atomic uint32_t connections;            /* open now */
    _Atomic uint32_t in_policy; /* the version of which a hook is running; 0: none is */
    struct segment_version versions[SEGMENT_VERSIONS_MAX];
    struct segment_server servers[SEGMENT_SERVERS_MAX];
    struct stats stats;
} __attribute__((aligned(4096)));

enum segment_push_off { PUSH_OFF_NOWHERE, PUSH_OFF_EVERYWHERE, PUSH_OFF_SOME_SITES };

struct segment_header {
    uint64_t magic;
    uint32_t layout;
    uint32_t header_bytes; /* offset of the slots */
    uint64_t slots_offset;
    uint64_t tally_offset;
    uint64_t figures_offset;
    uint64_t pushes_offset;
    uint64_t pushes_bytes;
    uint64_t names_offset;
    uint64_t names_bytes;
    uint64_t learned_offset;
    uint64_t shared_offsets[SEGMENT_SHARED_MAX]; /* of the dictionaries, in the config's order */
    uint64_t shared_bytes[SEGMENT_SHARED_MAX];   /* of each; 0: there is none */
    uint64_t bytes;              /* of the whole segment */
    _Atomic uint32_t push_off;   /* enum segment_push_off */
    _Atomic uint32_t generation; /* the one that serves */
    _Atomic uint64_t sweep_at;   /* next bucket of the incremental sweep of dead words */
    _Atomic uint64_t versions;   /* which versions decide: segment_versions_word */
    _Atomic uint32_t shadow;     /* the version that is asked beside them; 0: none */
    _Atomic uint64_t push_off_sites[SEGMENT_PUSH_OFF_SITES_MAX]; /* segment_key; 0: free */
} __attribute__((aligned(4096)));

/* One session ticket key (RFC 5077's form: name, AES-256-CBC key, HMAC-SHA-256 key). */
struct ticket_key {
    uint8_t name[16];
    uint8_t cipher[32];
    uint8_t mac[32];
};

/* Ticket keys are never saved; the others are, in a file of mode 0600. The master writes
 * tickets[], then ticket_epoch; readers copy a key when the epoch changed. tickets[0] encrypts. */
struct segment_secrets {
    uint8_t hash_key[16];   /* push table positions and stored client ids */
    uint8_t log_key[16];    /* client hashes shown to people */
    uint8_t cookie_key[32]; /* the cookie's MAC */
    uint8_t key_id[8];      /* random; names these keys in a saved table */
    _Atomic uint32_t ticket_epoch;
    struct ticket_key tickets[SEGMENT_TICKET_KEYS];
};

/* The mapping of this process. */
struct segment {
    int fd;
    int secrets_fd;
    struct segment_header *header;
    struct segment_slot *slots;
    void *tally;   /* SEGMENT_TALLY_BYTES */
    void *figures; /* SEGMENT_FIGURES_BYTES */
    void *pushes;
    void *names;
    void *learned; /* SEGMENT_LEARNED_BYTES */
    void *shared[SEGMENT_SHARED_MAX]; /* the dictionaries; NULL: there is none */
    struct segment_secrets *secrets;
};

/* What of a segment the config sizes. */
struct segment_sizes {
    uint64_t table; /* of the push table: a power of two, 1 MiB to 4 GiB */
    uint64_t shared[SEGMENT_SHARED_MAX]; /* of the dictionaries: whole pages; 0 behind the last */
};

/* Makes the segment and fresh secrets. Returns 0 or -errno with `fault`. */
int segment_create_sized(struct segment *segment, const struct segment_sizes *sizes,
                         struct fault *fault);

/* As segment_create_sized, without dictionaries. */
int segment_create(struct segment *segment, uint64_t table_bytes, struct fault *fault);

/* Which versions decide, as one word that changes at once: the active one, the canary (0: none), and
 * how many of 1,000 clients have the canary. */
#define SEGMENT_VERSION_BITS 27
#define SEGMENT_VERSION_MOST ((UINT32_C(1) << SEGMENT_VERSION_BITS) - 1)
static inline uint64_t segment_versions_word(uint32_t active, uint32_t canary, uint32_t permille)
{
    return (uint64_t)active | (uint64_t)canary << SEGMENT_VERSION_BITS |
           (uint64_t)permille << (2 * SEGMENT_VERSION_BITS);
}

/* What names a site in `push_off_sites`, and a server: an FNV-1a hash of its first name or its text,
 * never 0. */
uint64_t segment_key(const char *name);

/* Whether pushes are switched off for the site whose first name is `name`. */
bool segment_push_is_off(const struct segment_header *header, const char *name);

/* From here on what this process writes into the segment and the secrets is its own, and it sees what
 * others write only where it wrote nothing; called again, what it wrote is forgotten. The ticket
 * keys are wiped. Returns 0 or -errno. */
int segment_privatize(struct segment *segment);

/* Unmaps and closes. A zeroed segment is accepted. */
void segment_finish(struct segment *segment);

/* New ticket key in front, the oldest one dropped. */
void segment_rotate_tickets(struct segment *segment);

/* Loads hash, log and cookie keys and their id from `path`, or makes the file (mode 0600) from the fresh ones.
 * A file of another size, mode or owner is refused. Returns 0 or -errno with `fault`. */
int segment_keep_secrets(struct segment *segment, const char *path, struct fault *fault);

/* What is saved, each to a file of its own. */
enum segment_part {
    SEGMENT_PART_PUSHES,  /* the push table */
    SEGMENT_PART_LEARNED, /* the names and the learned sets, which mean nothing without them */
};

/* Saves a part, checksummed and with wall-clock time, by writing beside `path` and renaming. It may
 * be in use. Returns 0 or -errno with `fault`. */
int segment_save(const struct segment *segment, enum segment_part part, const char *path,
                 struct fault *fault);

/* Loads what segment_save wrote into a fresh segment. Returns 1 when loaded, 0 when there is no
 * file, -errno with `fault` for one that is torn, foreign, of another layout, size or key, or that
 * was saved in the future; the part is empty then. `*saved_boottime_s` and `*saved_age_s` tell what
 * push_table_rebase, names_rebase and learned_rebase need. */
int segment_load(struct segment *segment, enum segment_part part, const char *path,
                 uint64_t *saved_boottime_s, uint64_t *saved_age_s, struct fault *fault);

#endif

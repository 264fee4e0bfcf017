/* What the files of content.h share among themselves: the cache (content.c), the loads that make
 * its versions (content_file.c, content_resource.c), reads of large files (content_read.c) and the
 * scans of pages (content_scan.c). */
#ifndef HERALD_CONTENT_PARTS_H
#define HERALD_CONTENT_PARTS_H

#include "policy/identity.h"
#include "worker/content.h"
#include "worker/mime.h"
#include "worker/timer.h"

#include <linux/openat2.h>
#include <sys/stat.h>

#define CONTENT_BUCKETS 32768       /* a power of two */
#define CONTENT_RECENT 256          /* entries found without a hash, a power of two */
#define CONTENT_ENTRIES_MAX 65536   /* versions kept */
#define CONTENT_ABSENT_MAX 1024     /* paths kept that name nothing that can be served */
#define CONTENT_DESCRIPTORS_MAX 512 /* of versions kept */
#define CONTENT_LOADS_MAX 32       /* under way, with one operation each: cold ones take a thread */
#define CONTENT_QUEUE_MAX 8192     /* loads waiting for one of those */
#define CONTENT_READS_MAX 32       /* pieces of large files under way */
#define CONTENT_ANSWERS_NS 100000  /* of a wake-up, for those who waited for loads */
#define CONTENT_ATTEMPTS_MAX 4     /* at reading a file that keeps changing */
#define CONTENT_SIBLINGS_MS 10000  /* how often the precompressed siblings are looked at */
#define CONTENT_PATH_MAX 4000      /* bytes of a path; the kernel takes 4,095 */
#define CONTENT_SCANS_MAX 64       /* under way */
#define CONTENT_SCAN_AUTHORITIES 4 /* results kept of one page, each for another authority */
#define CONTENT_SCAN_AGAIN_MS 1000 /* between two scans of a page for further ones */

/* The entry of one path below one root. It is in the table from its first look-up on; in one of the
 * two lists of the least recently used while it has an outcome that may be dropped. */
struct entry {
    struct entry *next; /* in its bucket */
    struct link recent;
    struct link waiters;
    struct load *load;    /* under way, or NULL */
    uint64_t siblings_ms; /* when the last look at the file's siblings began */
    size_t bytes;         /* counted for it */
    unsigned descriptors;
    bool racy; /* it was read so soon after a write that a later one may not show */
    uint64_t hash;

    /* What finding a fresh one takes, close together. */
    struct resource *resource; /* a reference; FOUND only */
    uint64_t checked_ms;       /* when the look at the file began that told `outcome` */
    uint64_t turn;             /* content->turn when it was last moved to the front of its list */
    enum content_outcome outcome;
    bool known; /* `outcome` is */
    bool symlinks;
    int root_fd;
    size_t path_length;
    char path[];
};

/* One look at a file: whether the known version still is the file, and if not, making the new one.
 * When it is over it stays while those who waited for it are answered. */
struct load {
    struct ring_op op;
    struct link queue; /* for its beginning; then in `answers` */
    struct link waiters; /* once it is over: who has no answer yet, */
    enum content_outcome outcome; /* which is this, and `resource` */
    struct content *content;
    struct entry *entry;       /* NULL once it is over */
    struct resource *checked;  /* compared with the files: the entry's, or `resource` when new */
    struct resource *resource; /* being made, or NULL */
    bool siblings;             /* the check includes them */
    bool racy;
    unsigned coding; /* enum content_coding that is worked on */
    unsigned attempts;
    int fd;
    size_t read;
    uint64_t began_ms;
    struct content_stamp stamp; /* of `fd`, before it was read */
    struct open_how how;
    struct statx stat;
    size_t name_length; /* of the file's name, without a sibling's suffix */
    char name[];        /* relative to the root */
};

struct read_slot {
    struct ring_op op;
    struct content *content;
    struct content_reader *reader; /* NULL: free */
    size_t got;
    struct statx stat;
};

struct content {
    struct ring *ring;
    struct timers *timers;
    struct stats *stats;
    struct mime *mime;
    bool ending;
    uint8_t key[IDENTITY_HASH_KEY_BYTES]; /* of the table's hash: clients choose paths */
    struct entry **buckets;
    struct entry *recent[CONTENT_RECENT]; /* by recent_slot: the one last found there, or NULL */

    size_t bytes, bytes_max;
    unsigned descriptors;
    unsigned present_count, absent_count;
    struct link present, absent; /* most recently used first */
    uint64_t turn;               /* entries put into one of these so far */

    unsigned loads_running, loads_queued;
    bool loads_starting;
    struct link loads_queue;

    struct link answers; /* loads that are over, whose waiters take turns */
    uint64_t answering_ns;       /* used up of this wake-up's CONTENT_ANSWERS_NS */

    unsigned reads_running;
    struct read_slot reads[CONTENT_READS_MAX];
    struct link reads_queue;

    unsigned scans_count;
    struct link scans_ready;   /* a slice of work can be done */
    struct link scans_waiting; /* for a read or a stylesheet */
    struct timer scan_timer;
};

/* A hash of content, the same on every machine. */
uint64_t content_hash(const void *data, size_t length);

/* content.c: the load is over (content_file.c's), and is content.c's from now on. FOUND comes with a
 * reference in load->resource, or with none when entry->resource was found unchanged. */
void content_loaded(struct load *load, enum content_outcome outcome);

/* Gives one look-up, which is in no list, its answer, unless it waits on for the scan of its page.
 */
void content_answer(struct content *content, struct content_lookup *lookup,
                    enum content_outcome outcome, struct resource *resource);

/* content_file.c: a look at the entry's file, begun now or queued. Returns 0, -ENOMEM, or -EBUSY
 * when too many are queued. */
int content_load(struct content *content, struct entry *entry, uint64_t now_ms);
void content_loads_end(struct content *content);

/* content_resource.c: a version without representations yet; a reference to it, or NULL. */
struct resource *resource_create(struct span path);

/* Whether two versions are the same, in all their representations. */
bool resource_same(const struct resource *a, const struct resource *b);

/* Fills in what follows from the representations: validator, fields, texts. `name` is the file's.
 */
void resource_complete(struct resource *resource, const struct mime *mime, struct span name);

/* The memory a version takes. */
size_t resource_bytes(const struct resource *resource);
unsigned resource_descriptors(const struct resource *resource);

struct content_stamp stamp_of(const struct statx *stat);
bool stamp_equal(const struct content_stamp *a, const struct content_stamp *b);
bool stamp_older(const struct content_stamp *a, const struct content_stamp *b);

/* What a sibling's file name ends with: ".br"; "" for CODING_IDENTITY. */
const char *coding_suffix(unsigned coding);

/* content_read.c */
void content_reads_end(struct content *content);

/* content_scan.c: what content_work does for scans. */
bool content_scans_work(struct content *content);

/* True when `lookup` was put among those that wait for the scan of `resource`. */
bool content_scan_wait(struct content *content, struct content_lookup *lookup,
                       struct resource *resource);
void content_scans_end(struct content *content);
void content_scans_free(struct page_scan *scans);
void content_scan_timer_fired(struct timer *timer);

#endif

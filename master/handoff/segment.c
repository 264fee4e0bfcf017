#include "master/handoff/segment.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#define TABLE_BYTES_MIN (UINT64_C(1) << 20)
#define TABLE_BYTES_MAX (UINT64_C(1) << 32)
#define CHUNK_BYTES 65536u /* the unit that is saved, or left out when it is all zero */

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

static_assert(sizeof(struct segment_header) == 4096, "the header is one page");
static_assert(sizeof(struct segment_slot) % 4096 == 0, "slots share no page");
static_assert(offsetof(struct segment_slot, heartbeat) % 64 == 0,
              "master and worker write different cache lines");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "processes share the words without locks");
static_assert(SEGMENT_NAMES_BYTES % 4096 == 0, "regions share no page");
static_assert(TABLE_BYTES_MIN % CHUNK_BYTES == 0, "a table is whole chunks");

/* What a saved table starts with; the table's chunks follow at SAVED_OFFSET. */
#define SAVED_MAGIC UINT64_C(0x3162617464617268)
#define SAVED_OFFSET 4096
struct saved_header {
    uint64_t magic;
    uint32_t layout;
    uint32_t header_bytes;
    uint64_t pushes_bytes;
    uint64_t boottime_s;
    uint64_t wall_s;
    uint8_t key_id[8];           /* of the keys that the positions and tags were made with */
    XXH128_canonical_t checksum; /* of the members above, then each chunk's offset and bytes */
};

struct saved_secrets {
    char magic[8];
    uint8_t hash_key[16];
    uint8_t log_key[16];
    uint8_t cookie_key[32];
    uint8_t key_id[8];
};
static const char SECRETS_MAGIC[8] = "heraldk1";
static_assert(sizeof(struct saved_secrets) == 80, "the file has no padding");

static uint64_t clock_s(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec;
}

/* Kernels before 6.3 don't know MFD_NOEXEC_SEAL. */
static int sealed_memfd(const char *name, uint64_t bytes)
{
    int rc;
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL)
        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    if (fchmod(fd, 0600) < 0 || ftruncate(fd, (off_t)bytes) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
        rc = -errno;
        close(fd);
        return rc;
    }
    return fd;
}

static int random_fill(void *data, size_t length)
{
    uint8_t *at = data;
    while (length) {
        ssize_t n = getrandom(at, length, 0);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            at += n;
            length -= (size_t)n;
        }
    }
    return 0;
}

static int secrets_create(struct segment *segment)
{
    segment->secrets_fd = sealed_memfd("herald-secrets", sizeof(struct segment_secrets));
    if (segment->secrets_fd < 0)
        return segment->secrets_fd;
    void *at = mmap(NULL, sizeof(struct segment_secrets), PROT_READ | PROT_WRITE, MAP_SHARED,
                    segment->secrets_fd, 0);
    if (at == MAP_FAILED)
        return -errno;
    segment->secrets = at;
    madvise(at, sizeof(struct segment_secrets), MADV_DONTDUMP);
    return random_fill(at, offsetof(struct segment_secrets, ticket_epoch));
}

/* Where each region lies, all of them in whole pages. */
static struct segment_header layout_of(const struct segment_sizes *sizes)
{
    struct segment_header header = {
        .magic = SEGMENT_MAGIC,
        .layout = SEGMENT_LAYOUT,
        .header_bytes = sizeof(struct segment_header),
        .slots_offset = sizeof(struct segment_header),
        .names_bytes = SEGMENT_NAMES_BYTES,
        .pushes_bytes = sizes->table,
    };
    header.names_offset =
        header.slots_offset + sizeof(struct segment_slot) * SEGMENT_SLOTS_MAX;
    header.learned_offset = header.names_offset + header.names_bytes;
    header.tally_offset = header.learned_offset + SEGMENT_LEARNED_BYTES;
    header.figures_offset = header.tally_offset + SEGMENT_TALLY_BYTES;
    uint64_t at = header.figures_offset + SEGMENT_FIGURES_BYTES;
    for (unsigned i = 0; i < SEGMENT_SHARED_MAX && sizes->shared[i]; i++) {
        header.shared_offsets[i] = at;
        header.shared_bytes[i] = sizes->shared[i];
        at += sizes->shared[i];
    }
    header.pushes_offset = at;
    header.bytes = header.pushes_offset + header.pushes_bytes;
    return header;
}

static int header_create(struct segment *segment, const struct segment_sizes *sizes)
{
    struct segment_header header = layout_of(sizes);
    segment->fd = sealed_memfd("herald-segment", header.bytes);
    if (segment->fd < 0)
        return segment->fd;
    char *at = mmap(NULL, header.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, segment->fd, 0);
    if (at == MAP_FAILED)
        return -errno;
    segment->header = (struct segment_header *)(void *)at;
    segment->slots = (struct segment_slot *)(void *)(at + header.slots_offset);
    segment->names = at + header.names_offset;
    segment->learned = at + header.learned_offset;
    segment->tally = at + header.tally_offset;
    segment->figures = at + header.figures_offset;
    segment->pushes = at + header.pushes_offset;
    for (unsigned i = 0; i < SEGMENT_SHARED_MAX && header.shared_bytes[i]; i++)
        segment->shared[i] = at + header.shared_offsets[i];
    *segment->header = header;
    return 0;
}

int segment_create(struct segment *segment, uint64_t table_bytes, struct fault *fault)
{
    struct segment_sizes sizes = {.table = table_bytes};
    return segment_create_sized(segment, &sizes, fault);
}

int segment_create_sized(struct segment *segment, const struct segment_sizes *sizes,
                         struct fault *fault)
{
    uint64_t table_bytes = sizes->table;
    *segment = (struct segment){.fd = -1, .secrets_fd = -1};
    if (table_bytes < TABLE_BYTES_MIN || table_bytes > TABLE_BYTES_MAX ||
        (table_bytes & (table_bytes - 1)))
        return fault_set(fault, -EINVAL, "clients.table", 0,
                         "%llu bytes is not a power of two from 1 MiB to 4 GiB",
                         (unsigned long long)table_bytes);
    int rc = header_create(segment, sizes);
    if (rc >= 0)
        rc = secrets_create(segment);
    if (rc < 0) {
        segment_finish(segment);
        return fault_set(fault, rc, "shared segment", 0, "cannot be made: %s", strerror(-rc));
    }
    for (unsigned i = 0; i < SEGMENT_TICKET_KEYS; i++)
        segment_rotate_tickets(segment);
    return 0;
}

/* Over the mapping that is there, so that every pointer into it stays good. */
static int map_privately(void *at, size_t bytes, int fd)
{
    void *mapped = mmap(at, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, fd, 0);
    return mapped == MAP_FAILED ? -errno : 0;
}

int segment_privatize(struct segment *segment)
{
    size_t bytes = segment->header->bytes;
    int rc = map_privately(segment->header, bytes, segment->fd);
    if (rc == 0)
        rc = map_privately(segment->secrets, sizeof(*segment->secrets), segment->secrets_fd);
    if (rc == 0)
        explicit_bzero(segment->secrets->tickets, sizeof(segment->secrets->tickets));
    return rc;
}

void segment_finish(struct segment *segment)
{
    if (segment->header) {
        munmap(segment->header, segment->header->bytes);
        close(segment->fd);
    } else if (segment->fd > 0) {
        close(segment->fd);
    }
    if (segment->secrets)
        munmap(segment->secrets, sizeof(struct segment_secrets));
    if (segment->secrets_fd > 0)
        close(segment->secrets_fd);
    memset(segment, 0, sizeof(*segment));
}

uint64_t segment_key(const char *name)
{
    uint64_t key = 14695981039346656037u;
    for (; *name; name++)
        key = (key ^ (uint64_t)(unsigned char)*name) * 1099511628211u;
    return key ? key : 1;
}

bool segment_push_is_off(const struct segment_header *header, const char *name)
{
    uint32_t where = atomic_load_explicit(&header->push_off, memory_order_relaxed);
    if (where != PUSH_OFF_SOME_SITES)
        return where == PUSH_OFF_EVERYWHERE;
    uint64_t key = segment_key(name);
    for (unsigned i = 0; i < SEGMENT_PUSH_OFF_SITES_MAX; i++)
        if (atomic_load_explicit(&header->push_off_sites[i], memory_order_relaxed) == key)
            return true;
    return false;
}

void segment_rotate_tickets(struct segment *segment)
{
    struct ticket_key fresh;
    struct segment_secrets *secrets = segment->secrets;
    if (random_fill(&fresh, sizeof(fresh)) < 0)
        return; /* the old keys stay good; the next hour tries again */
    memmove(&secrets->tickets[1], &secrets->tickets[0],
            sizeof(secrets->tickets) - sizeof(secrets->tickets[0]));
    secrets->tickets[0] = fresh;
    atomic_fetch_add_explicit(&secrets->ticket_epoch, 1, memory_order_release);
    explicit_bzero(&fresh, sizeof(fresh));
}

static int write_all(int fd, const void *data, size_t length, off_t offset)
{
    const char *at = data;
    while (length) {
        ssize_t n = pwrite(fd, at, length, offset);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            at += n;
            length -= (size_t)n;
            offset += n;
        }
    }
    return 0;
}

/* Returns 0, -errno, or -EIO for a file that ends too early. */
static int read_all(int fd, void *data, size_t length, off_t offset)
{
    char *at = data;
    while (length) {
        ssize_t n = pread(fd, at, length, offset);
        if (n == 0)
            return -EIO;
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            at += n;
            length -= (size_t)n;
            offset += n;
        }
    }
    return 0;
}

/* A fresh file beside `path`, whose name goes to `beside` (PATH_MAX bytes). */
static int beside_open(const char *path, char *beside)
{
    int n = snprintf(beside, PATH_MAX, "%s.XXXXXX", path);
    if (n < 0 || n >= PATH_MAX)
        return -ENAMETOOLONG;
    int fd = mkostemp(beside, O_CLOEXEC);
    return fd < 0 ? -errno : fd; /* mkostemp's mode is 0600 */
}

/* Takes `fd`; gives the file its name when `rc` is 0, else removes it. */
static int beside_commit(int fd, const char *beside, const char *path, int rc)
{
    if (rc == 0 && fsync(fd) < 0)
        rc = -errno;
    if (rc == 0 && rename(beside, path) < 0)
        rc = -errno;
    if (rc < 0)
        unlink(beside);
    close(fd);
    return rc;
}

/* Opens a private file of ours: regular, owned by this user, mode 0600 at most. */
static int private_open(const char *path, struct stat *st, struct fault *fault)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        int rc = -errno;
        return rc == -ENOENT ? rc
                             : fault_set(fault, rc, path, 0, "cannot be opened: %s", strerror(-rc));
    }
    const char *why = NULL;
    if (fstat(fd, st) < 0 || !S_ISREG(st->st_mode))
        why = "is not a regular file";
    else if (st->st_uid != geteuid())
        why = "belongs to another user; remove it, or run herald as that user";
    else if (st->st_mode & 077)
        why = "is open to others; its mode must be 0600";
    if (!why)
        return fd;
    close(fd);
    return fault_set(fault, -EPERM, path, 0, "%s", why);
}

static int secrets_save(const struct segment *segment, const char *path)
{
    char beside[PATH_MAX];
    struct saved_secrets saved;
    int fd = beside_open(path, beside);
    if (fd < 0)
        return fd;
    memcpy(saved.magic, SECRETS_MAGIC, sizeof(saved.magic));
    memcpy(saved.hash_key, segment->secrets->hash_key, sizeof(saved.hash_key));
    memcpy(saved.log_key, segment->secrets->log_key, sizeof(saved.log_key));
    memcpy(saved.cookie_key, segment->secrets->cookie_key, sizeof(saved.cookie_key));
    memcpy(saved.key_id, segment->secrets->key_id, sizeof(saved.key_id));
    int rc = beside_commit(fd, beside, path, write_all(fd, &saved, sizeof(saved), 0));
    explicit_bzero(&saved, sizeof(saved));
    return rc;
}

int segment_keep_secrets(struct segment *segment, const char *path, struct fault *fault)
{
    struct stat st;
    struct saved_secrets saved;
    int rc;
    int fd = private_open(path, &st, fault);
    if (fd == -ENOENT) {
        rc = secrets_save(segment, path);
        return rc == 0 ? 0 : fault_set(fault, rc, path, 0, "cannot be made: %s", strerror(-rc));
    }
    if (fd < 0)
        return fd;
    if (st.st_size != sizeof(saved)) {
        rc = -EINVAL;
    } else {
        rc = read_all(fd, &saved, sizeof(saved), 0);
        if (rc == 0 && memcmp(saved.magic, SECRETS_MAGIC, sizeof(saved.magic)) != 0)
            rc = -EINVAL;
    }
    close(fd);
    if (rc == -EINVAL)
        return fault_set(fault, rc, path, 0,
                         "is not a file of herald's keys; remove it to have "
                         "new ones made");
    if (rc < 0)
        return fault_set(fault, rc, path, 0, "cannot be read: %s", strerror(-rc));
    memcpy(segment->secrets->hash_key, saved.hash_key, sizeof(saved.hash_key));
    memcpy(segment->secrets->log_key, saved.log_key, sizeof(saved.log_key));
    memcpy(segment->secrets->cookie_key, saved.cookie_key, sizeof(saved.cookie_key));
    memcpy(segment->secrets->key_id, saved.key_id, sizeof(saved.key_id));
    explicit_bzero(&saved, sizeof(saved));
    return 0;
}

static void checksum_header(XXH3_state_t *state, const struct saved_header *header)
{
    XXH3_128bits_reset(state);
    XXH3_128bits_update(state, header, offsetof(struct saved_header, checksum));
}

static void checksum_chunk(XXH3_state_t *state, uint64_t offset, const uint64_t *words)
{
    XXH3_128bits_update(state, &offset, sizeof(offset));
    XXH3_128bits_update(state, words, CHUNK_BYTES);
}

static bool checksum_finish(XXH3_state_t *state, XXH128_canonical_t *checksum)
{
    XXH128_canonical_t is;
    XXH128_canonicalFromHash(&is, XXH3_128bits_digest(state));
    bool same = memcmp(&is, checksum, sizeof(is)) == 0;
    *checksum = is;
    return same;
}

/* Copies a chunk word by word, since workers change it meanwhile. Returns whether any word is
 * set. */
static bool chunk_copy(uint64_t *to, const _Atomic uint64_t *from)
{
    uint64_t any = 0;
    for (size_t i = 0; i < CHUNK_BYTES / sizeof(*to); i++) {
        to[i] = atomic_load_explicit(&from[i], memory_order_relaxed);
        any |= to[i];
    }
    return any != 0;
}

/* The first chunk at or after `offset` of `length` bytes of `fd` from `base` that may hold data,
 * or `length`. Reading a hole through a mapping would fill it with memory. */
static uint64_t chunk_next(int fd, uint64_t base, uint64_t offset, uint64_t length)
{
    if (offset >= length)
        return length;
    off_t data = lseek(fd, (off_t)(base + offset), SEEK_DATA);
    if (data < 0)
        return errno == ENXIO ? length : offset;
    uint64_t at = ((uint64_t)data - base) / CHUNK_BYTES * CHUNK_BYTES;
    return at < offset ? offset : at < length ? at : length;
}

static int chunks_save(const struct segment *segment, int fd, XXH3_state_t *state, uint64_t *words)
{
    const struct segment_header *header = segment->header;
    uint64_t base = header->pushes_offset;
    uint64_t length = header->pushes_bytes;
    for (uint64_t at = chunk_next(segment->fd, base, 0, length); at < length;
         at = chunk_next(segment->fd, base, at + CHUNK_BYTES, length)) {
        const char *chunk = (const char *)segment->pushes + at;
        if (!chunk_copy(words, (const _Atomic uint64_t *)(const void *)chunk))
            continue;
        int rc = write_all(fd, words, CHUNK_BYTES, (off_t)(SAVED_OFFSET + at));
        if (rc < 0)
            return rc;
        checksum_chunk(state, at, words);
    }
    return ftruncate(fd, (off_t)(SAVED_OFFSET + length)) < 0 ? -errno : 0;
}

static int table_save(const struct segment *segment, int fd)
{
    struct saved_header saved;
    memset(&saved, 0, sizeof(saved));
    saved.magic = SAVED_MAGIC;
    saved.layout = SEGMENT_LAYOUT;
    saved.header_bytes = sizeof(saved);
    saved.pushes_bytes = segment->header->pushes_bytes;
    saved.boottime_s = clock_s(CLOCK_BOOTTIME);
    saved.wall_s = clock_s(CLOCK_REALTIME);
    memcpy(saved.key_id, segment->secrets->key_id, sizeof(saved.key_id));
    XXH3_state_t *state = XXH3_createState();
    uint64_t *words = malloc(CHUNK_BYTES);
    int rc = state && words ? 0 : -ENOMEM;
    if (rc == 0) {
        checksum_header(state, &saved);
        rc = chunks_save(segment, fd, state, words);
    }
    if (rc == 0) {
        checksum_finish(state, &saved.checksum);
        rc = write_all(fd, &saved, sizeof(saved), 0);
    }
    free(words);
    XXH3_freeState(state);
    return rc;
}

int segment_save(const struct segment *segment, const char *path, struct fault *fault)
{
    char beside[PATH_MAX];
    int rc;
    int fd = beside_open(path, beside);
    rc = fd < 0 ? fd : beside_commit(fd, beside, path, table_save(segment, fd));
    return rc == 0 ? 0 : fault_set(fault, rc, path, 0, "cannot be saved: %s", strerror(-rc));
}

/* Gives the table's memory back and leaves it all zero. */
static void table_clear(struct segment *segment)
{
    const struct segment_header *header = segment->header;
    if (fallocate(segment->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  (off_t)header->pushes_offset, (off_t)header->pushes_bytes) < 0)
        memset(segment->pushes, 0, header->pushes_bytes);
}

static bool chunk_any(const uint64_t *words)
{
    uint64_t any = 0;
    for (size_t i = 0; i < CHUNK_BYTES / sizeof(*words); i++)
        any |= words[i];
    return any != 0;
}

/* Returns 0, or -EBADMSG for a checksum that differs. */
static int table_load(struct segment *segment, int fd, struct saved_header *saved)
{
    uint64_t length = saved->pushes_bytes;
    XXH3_state_t *state = XXH3_createState();
    uint64_t *words = malloc(CHUNK_BYTES);
    int rc = state && words ? 0 : -ENOMEM;
    if (rc == 0)
        checksum_header(state, saved);
    for (uint64_t at = chunk_next(fd, SAVED_OFFSET, 0, length); rc == 0 && at < length;
         at = chunk_next(fd, SAVED_OFFSET, at + CHUNK_BYTES, length)) {
        rc = read_all(fd, words, CHUNK_BYTES, (off_t)(SAVED_OFFSET + at));
        if (rc == 0 && chunk_any(words)) {
            checksum_chunk(state, at, words);
            memcpy((char *)segment->pushes + at, words, CHUNK_BYTES);
        }
    }
    if (rc == 0 && !checksum_finish(state, &saved->checksum))
        rc = -EBADMSG;
    free(words);
    XXH3_freeState(state);
    if (rc < 0)
        table_clear(segment);
    return rc;
}

/* Why the file cannot be this segment's table, or NULL. */
static const char *saved_refusal(const struct segment *segment, const struct saved_header *saved,
                                 uint64_t file_bytes)
{
    if (saved->magic != SAVED_MAGIC)
        return "is not a saved table";
    if (saved->layout != SEGMENT_LAYOUT || saved->header_bytes != sizeof(*saved))
        return "was saved by a version with another layout";
    if (saved->pushes_bytes != segment->header->pushes_bytes)
        return "has another size than clients.table";
    if (file_bytes != SAVED_OFFSET + saved->pushes_bytes)
        return "is torn: its length is wrong";
    if (memcmp(saved->key_id, segment->secrets->key_id, sizeof(saved->key_id)) != 0)
        return "was saved under other keys";
    if (saved->wall_s > clock_s(CLOCK_REALTIME))
        return "was saved in the future: the clock ran back";
    return NULL;
}

int segment_load(struct segment *segment, const char *path, uint64_t *saved_boottime_s,
                 uint64_t *saved_age_s, struct fault *fault)
{
    struct stat st;
    struct saved_header saved;
    int fd = private_open(path, &st, fault);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    int rc = read_all(fd, &saved, sizeof(saved), 0);
    const char *why = rc == -EIO ? "is torn: its length is wrong" : NULL;
    if (rc == 0)
        why = saved_refusal(segment, &saved, (uint64_t)st.st_size);
    if (rc == 0 && !why) {
        rc = table_load(segment, fd, &saved);
        if (rc == -EBADMSG)
            why = "is torn: its checksum is wrong";
    }
    close(fd);
    if (why)
        return fault_set(fault, -EINVAL, path, 0, "%s", why);
    if (rc < 0)
        return fault_set(fault, rc, path, 0, "cannot be read: %s", strerror(-rc));
    *saved_boottime_s = saved.boottime_s;
    *saved_age_s = clock_s(CLOCK_REALTIME) - saved.wall_s;
    return 1;
}

/* What is kept of a segment over a stop: its keys, and the parts that are saved to files. */
#include "master/handoff/segment.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

static_assert((SEGMENT_NAMES_BYTES + SEGMENT_LEARNED_BYTES) % SEGMENT_CHUNK_BYTES == 0,
              "what is learned is whole chunks");

/* What a saved part starts with; its chunks follow at SAVED_OFFSET. */
#define SAVED_OFFSET 4096
struct saved_header {
    uint64_t magic;
    uint32_t layout;
    uint32_t header_bytes;
    uint64_t bytes; /* of the part */
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

/* ---- parts ---- */

/* A part as it lies in the segment, and what is said of a file that is none. */
struct region {
    uint64_t magic;
    void *at;
    uint64_t offset, bytes; /* of the segment */
    const char *no_such, *no_size;
};

static struct region region_of(const struct segment *segment, enum segment_part part)
{
    const struct segment_header *header = segment->header;
    if (part == SEGMENT_PART_LEARNED)
        return (struct region){.magic = UINT64_C(0x316e72616c617268),
                               .at = segment->names,
                               .offset = header->names_offset,
                               .bytes = header->names_bytes + SEGMENT_LEARNED_BYTES,
                               .no_such = "is no file of learned sets",
                               .no_size = "was saved by a version with another layout"};
    return (struct region){.magic = UINT64_C(0x3162617464617268),
                           .at = segment->pushes,
                           .offset = header->pushes_offset,
                           .bytes = header->pushes_bytes,
                           .no_such = "is not a saved table",
                           .no_size = "has another size than clients.table"};
}

static void checksum_header(XXH3_state_t *state, const struct saved_header *header)
{
    XXH3_128bits_reset(state);
    XXH3_128bits_update(state, header, offsetof(struct saved_header, checksum));
}

static void checksum_chunk(XXH3_state_t *state, uint64_t offset, const uint64_t *words)
{
    XXH3_128bits_update(state, &offset, sizeof(offset));
    XXH3_128bits_update(state, words, SEGMENT_CHUNK_BYTES);
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
    for (size_t i = 0; i < SEGMENT_CHUNK_BYTES / sizeof(*to); i++) {
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
    uint64_t at = ((uint64_t)data - base) / SEGMENT_CHUNK_BYTES * SEGMENT_CHUNK_BYTES;
    return at < offset ? offset : at < length ? at : length;
}

static int chunks_save(const struct segment *segment, const struct region *region, int fd,
                       XXH3_state_t *state, uint64_t *words)
{
    uint64_t base = region->offset;
    uint64_t length = region->bytes;
    for (uint64_t at = chunk_next(segment->fd, base, 0, length); at < length;
         at = chunk_next(segment->fd, base, at + SEGMENT_CHUNK_BYTES, length)) {
        const char *chunk = (const char *)region->at + at;
        if (!chunk_copy(words, (const _Atomic uint64_t *)(const void *)chunk))
            continue;
        int rc = write_all(fd, words, SEGMENT_CHUNK_BYTES, (off_t)(SAVED_OFFSET + at));
        if (rc < 0)
            return rc;
        checksum_chunk(state, at, words);
    }
    return ftruncate(fd, (off_t)(SAVED_OFFSET + length)) < 0 ? -errno : 0;
}

static int region_save(const struct segment *segment, const struct region *region, int fd)
{
    struct saved_header saved;
    memset(&saved, 0, sizeof(saved));
    saved.magic = region->magic;
    saved.layout = SEGMENT_LAYOUT;
    saved.header_bytes = sizeof(saved);
    saved.bytes = region->bytes;
    saved.boottime_s = clock_s(CLOCK_BOOTTIME);
    saved.wall_s = clock_s(CLOCK_REALTIME);
    memcpy(saved.key_id, segment->secrets->key_id, sizeof(saved.key_id));
    XXH3_state_t *state = XXH3_createState();
    uint64_t *words = malloc(SEGMENT_CHUNK_BYTES);
    int rc = state && words ? 0 : -ENOMEM;
    if (rc == 0) {
        checksum_header(state, &saved);
        rc = chunks_save(segment, region, fd, state, words);
    }
    if (rc == 0) {
        checksum_finish(state, &saved.checksum);
        rc = write_all(fd, &saved, sizeof(saved), 0);
    }
    free(words);
    XXH3_freeState(state);
    return rc;
}

int segment_save(const struct segment *segment, enum segment_part part, const char *path,
                 struct fault *fault)
{
    const struct region region = region_of(segment, part);
    char beside[PATH_MAX];
    int rc;
    int fd = beside_open(path, beside);
    rc = fd < 0 ? fd : beside_commit(fd, beside, path, region_save(segment, &region, fd));
    return rc == 0 ? 0 : fault_set(fault, rc, path, 0, "cannot be saved: %s", strerror(-rc));
}

/* Gives the region's memory back and leaves it all zero. */
static void region_clear(const struct segment *segment, const struct region *region)
{
    if (fallocate(segment->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)region->offset,
                  (off_t)region->bytes) < 0)
        memset(region->at, 0, region->bytes);
}

static bool chunk_any(const uint64_t *words)
{
    uint64_t any = 0;
    for (size_t i = 0; i < SEGMENT_CHUNK_BYTES / sizeof(*words); i++)
        any |= words[i];
    return any != 0;
}

/* Returns 0, or -EBADMSG for a checksum that differs. */
static int region_load(const struct segment *segment, const struct region *region, int fd,
                       struct saved_header *saved)
{
    uint64_t length = saved->bytes;
    XXH3_state_t *state = XXH3_createState();
    uint64_t *words = malloc(SEGMENT_CHUNK_BYTES);
    int rc = state && words ? 0 : -ENOMEM;
    if (rc == 0)
        checksum_header(state, saved);
    for (uint64_t at = chunk_next(fd, SAVED_OFFSET, 0, length); rc == 0 && at < length;
         at = chunk_next(fd, SAVED_OFFSET, at + SEGMENT_CHUNK_BYTES, length)) {
        rc = read_all(fd, words, SEGMENT_CHUNK_BYTES, (off_t)(SAVED_OFFSET + at));
        if (rc == 0 && chunk_any(words)) {
            checksum_chunk(state, at, words);
            memcpy((char *)region->at + at, words, SEGMENT_CHUNK_BYTES);
        }
    }
    if (rc == 0 && !checksum_finish(state, &saved->checksum))
        rc = -EBADMSG;
    free(words);
    XXH3_freeState(state);
    if (rc < 0)
        region_clear(segment, region);
    return rc;
}

/* Why the file cannot be that region of this segment, or NULL. */
static const char *saved_refusal(const struct segment *segment, const struct region *region,
                                 const struct saved_header *saved, uint64_t file_bytes)
{
    if (saved->magic != region->magic)
        return region->no_such;
    if (saved->layout != SEGMENT_LAYOUT || saved->header_bytes != sizeof(*saved))
        return "was saved by a version with another layout";
    if (saved->bytes != region->bytes)
        return region->no_size;
    if (file_bytes != SAVED_OFFSET + saved->bytes)
        return "is torn: its length is wrong";
    if (memcmp(saved->key_id, segment->secrets->key_id, sizeof(saved->key_id)) != 0)
        return "was saved under other keys";
    if (saved->wall_s > clock_s(CLOCK_REALTIME))
        return "was saved in the future: the clock ran back";
    return NULL;
}

int segment_load(struct segment *segment, enum segment_part part, const char *path,
                 uint64_t *saved_boottime_s, uint64_t *saved_age_s, struct fault *fault)
{
    const struct region region = region_of(segment, part);
    struct stat st;
    struct saved_header saved;
    int fd = private_open(path, &st, fault);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    int rc = read_all(fd, &saved, sizeof(saved), 0);
    const char *why = rc == -EIO ? "is torn: its length is wrong" : NULL;
    if (rc == 0)
        why = saved_refusal(segment, &region, &saved, (uint64_t)st.st_size);
    if (rc == 0 && !why) {
        rc = region_load(segment, &region, fd, &saved);
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

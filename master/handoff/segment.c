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

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

static_assert(sizeof(struct segment_header) == 4096, "the header is one page");
static_assert(sizeof(struct segment_slot) % 4096 == 0, "slots share no page");
static_assert(offsetof(struct segment_slot, heartbeat) % 64 == 0,
              "master and worker write different cache lines");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "processes share the words without locks");
static_assert(SEGMENT_NAMES_BYTES % 4096 == 0, "regions share no page");
static_assert(TABLE_BYTES_MIN % SEGMENT_CHUNK_BYTES == 0, "a table is whole chunks");

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

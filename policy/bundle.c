#include "policy/bundle.h"

#include "policy/policy_lists.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <xxhash.h>

#define MAGIC UINT64_C(0x32656c646e756221)
#define DEPTH_MAX 4
#define TOO_LARGE "the policy files come to more than 16 MiB"
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* A bundle is this header, the entries in order of their names, the config's policy lists, which
 * are part of what a version is, then names and contents. */
struct header {
    uint64_t magic;
    uint64_t bytes;   /* of the whole bundle */
    uint64_t version; /* XXH3 of what follows */
    uint64_t lists_bytes;
    uint64_t count;
};

struct entry {
    uint32_t name_offset; /* from the bundle's start */
    uint32_t name_length;
    uint32_t data_offset;
    uint32_t data_length;
};

struct bundle {
    const char *base;
    size_t bytes;
    const struct entry *entries;
    size_t count;
    struct span lists;
};

struct file {
    char name[BUNDLE_NAME_MAX + 1];
    char *data;
    size_t length;
};

/* What is being gathered. */
struct gathering {
    struct file files[BUNDLE_FILES_MAX];
    size_t count;
    size_t bytes;
    char *lists;
    const char *folder; /* as the fault is to call it */
    bool is_stock;
    struct fault *fault;
};

static bool is_policy_file(const char *name)
{
    static const char *const ENDINGS[] = {".lua", ".json", ".txt", ".csv"};
    for (size_t i = 0; i < sizeof(ENDINGS) / sizeof(ENDINGS[0]); i++) {
        if (span_ends(span_of(name), span_of(ENDINGS[i])))
            return true;
    }
    return false;
}

/* The stock policies' specs are theirs: the directory's policies of the same names are others. */
static bool is_spec(const char *name)
{
    return span_ends(span_of(name), SPAN_LITERAL("_spec.lua"));
}

static int refuse(struct gathering *gathering, int rc, const char *name, const char *what)
{
    char where[FAULT_WHERE_MAX + BUNDLE_NAME_MAX];
    snprintf(where, sizeof(where), "%s/%.*s", gathering->folder, BUNDLE_NAME_MAX, name);
    return fault_set(gathering->fault, rc, where, 0, "%s", what);
}

static struct file *find_file(struct gathering *gathering, const char *name)
{
    for (size_t i = 0; i < gathering->count; i++) {
        if (strcmp(gathering->files[i].name, name) == 0)
            return &gathering->files[i];
    }
    return NULL;
}

/* Takes `data`, malloc'd, also when it fails. */
static int keep(struct gathering *gathering, const char *name, char *data, size_t length)
{
    struct file *file = find_file(gathering, name);
    if (!file && gathering->count == BUNDLE_FILES_MAX) {
        free(data);
        return refuse(gathering, -E2BIG, name, "more than 1024 policy files");
    }
    if (!file) {
        file = &gathering->files[gathering->count++];
        snprintf(file->name, sizeof(file->name), "%s", name);
    }
    gathering->bytes += length - file->length;
    free(file->data);
    file->data = data;
    file->length = length;
    if (gathering->bytes > BUNDLE_BYTES_MAX)
        return refuse(gathering, -E2BIG, name, TOO_LARGE);
    return 0;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static ssize_t read_whole(int fd, char *data, size_t size)
{
    size_t have = 0;
    while (have < size) {
        ssize_t n = read(fd, data + have, size - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        have += (size_t)n;
    }
    return (ssize_t)have;
}

static int gather_file(struct gathering *gathering, int fd, const char *name)
{
    struct stat before, after;
    if (fstat(fd, &before) < 0)
        return refuse(gathering, -errno, name, strerror(errno));
    if (!S_ISREG(before.st_mode))
        return refuse(gathering, -EINVAL, name, "not a regular file");
    if (before.st_size > BUNDLE_FILE_MAX)
        return refuse(gathering, -EFBIG, name, "larger than 256 KiB");
    char *data = malloc((size_t)before.st_size + 1);
    if (!data)
        return refuse(gathering, -ENOMEM, name, "memory ran out");
    ssize_t length = read_whole(fd, data, (size_t)before.st_size + 1);
    if (length < 0 || fstat(fd, &after) < 0) {
        free(data);
        return refuse(gathering, length < 0 ? (int)length : -EIO, name, "it cannot be read");
    }
    if (length != before.st_size || !is_same(&before, &after)) {
        free(data);
        return refuse(gathering, -EAGAIN, name, "it changed while it was read; try again");
    }
    return keep(gathering, name, data, (size_t)length);
}

static int open_beneath(int folder, const char *name, uint64_t flags)
{
    struct open_how how = {
        .flags = flags | O_CLOEXEC | O_NOFOLLOW,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    int fd = (int)syscall(SYS_openat2, folder, name, &how, sizeof(how));
    return fd < 0 ? -errno : fd;
}

static int gather_folder(struct gathering *gathering, int root, const char *prefix, unsigned depth);

static int gather_entry(struct gathering *gathering, int root, const char *name, unsigned depth)
{
    struct stat status;
    if (fstatat(root, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : refuse(gathering, -errno, name, strerror(errno));
    if (S_ISDIR(status.st_mode)) {
        bool unused =
            gathering->is_stock && (strcmp(name, "meta") == 0 || strcmp(name, "examples") == 0);
        return unused || depth == DEPTH_MAX ? 0 : gather_folder(gathering, root, name, depth + 1);
    }
    if (!is_policy_file(name) || (gathering->is_stock && is_spec(name)))
        return 0;
    if (S_ISLNK(status.st_mode))
        return refuse(gathering, -ELOOP, name, "a symbolic link; policies are regular files");
    int fd = open_beneath(root, name, O_RDONLY | O_NONBLOCK);
    if (fd < 0)
        return refuse(gathering, fd, name, strerror(-fd));
    int rc = gather_file(gathering, fd, name);
    close(fd);
    return rc;
}

/* Everything in the folder `prefix` ("" for the root itself) below `root`. */
static int gather_folder(struct gathering *gathering, int root, const char *prefix, unsigned depth)
{
    char name[BUNDLE_NAME_MAX + 1];
    int rc = 0;
    int fd = open_beneath(root, prefix[0] ? prefix : ".", O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return refuse(gathering, fd, prefix, strerror(-fd));
    DIR *folder = fdopendir(fd);
    if (!folder) {
        close(fd);
        return refuse(gathering, -ENOMEM, prefix, "memory ran out");
    }
    struct dirent *item;
    while (rc == 0 && (item = readdir(folder))) {
        if (item->d_name[0] == '.')
            continue;
        int length =
            snprintf(name, sizeof(name), "%s%s%s", prefix, prefix[0] ? "/" : "", item->d_name);
        if (length >= 0 && (size_t)length < sizeof(name))
            rc = gather_entry(gathering, root, name, depth);
        else if (is_policy_file(item->d_name))
            rc = refuse(gathering, -ENAMETOOLONG, item->d_name, "its path is above 56 bytes");
    }
    closedir(folder);
    return rc;
}

/* The hash of all that follows the header's `version`. */
static uint64_t version_of(const char *base, size_t bytes)
{
    size_t start = offsetof(struct header, lists_bytes);
    return XXH3_64bits(base + start, bytes - start);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct file *)a)->name, ((const struct file *)b)->name);
}

/* Lays the gathered files out in `base`, `bytes` long. */
static void lay_out(const struct gathering *gathering, char *base, size_t bytes)
{
    struct header *header = (struct header *)base;
    struct entry *entries = (struct entry *)(base + sizeof(*header));
    size_t at = sizeof(*header) + gathering->count * sizeof(*entries);
    memcpy(base + at, gathering->lists, strlen(gathering->lists));
    at += strlen(gathering->lists);
    for (size_t i = 0; i < gathering->count; i++) {
        const struct file *file = &gathering->files[i];
        size_t name_length = strlen(file->name);
        entries[i] = (struct entry){(uint32_t)at, (uint32_t)name_length,
                                    (uint32_t)(at + name_length), (uint32_t)file->length};
        memcpy(base + at, file->name, name_length);
        memcpy(base + at + name_length, file->data, file->length);
        at += name_length + file->length;
    }
    assert(at == bytes);
    header->magic = MAGIC;
    header->bytes = bytes;
    header->count = gathering->count;
    header->lists_bytes = strlen(gathering->lists);
    header->version = version_of(base, bytes);
}

static int write_out(struct gathering *gathering)
{
    int rc;
    size_t bytes = sizeof(struct header) + strlen(gathering->lists);
    for (size_t i = 0; i < gathering->count; i++)
        bytes +=
            sizeof(struct entry) + strlen(gathering->files[i].name) + gathering->files[i].length;
    if (bytes > BUNDLE_BYTES_MAX)
        return fault_set(gathering->fault, -E2BIG, NULL, 0, TOO_LARGE);
    int fd = memfd_create("herald-policies", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return fault_set(gathering->fault, -errno, NULL, 0, "no memory file for the policies");
    if (ftruncate(fd, (off_t)bytes) < 0)
        goto fail;
    char *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        goto fail;
    lay_out(gathering, base, bytes);
    munmap(base, bytes);
    if (fcntl(fd, F_ADD_SEALS, SEALS) < 0)
        goto fail;
    return fd;
fail:
    rc = -errno;
    close(fd);
    return fault_set(gathering->fault, rc, NULL, 0, "no memory for the policies: %s",
                     strerror(-rc));
}

/* The one file given beside the folder takes the place of its namesake there. */
static int gather_one(struct gathering *gathering, const struct bundle_file *one)
{
    if (strlen(one->name) > BUNDLE_NAME_MAX)
        return refuse(gathering, -ENAMETOOLONG, one->name, "its path is above 56 bytes");
    if (!is_policy_file(one->name))
        return refuse(gathering, -EINVAL, one->name,
                      "no policy file: their names end in .lua, .json, .txt or .csv");
    return gather_file(gathering, one->fd, one->name);
}

int bundle_create(const struct config *config, struct fault *fault)
{
    return bundle_create_with(config, NULL, fault);
}

int bundle_create_with(const struct config *config, const struct bundle_file *one,
                       struct fault *fault)
{
    int rc = 0;
    struct gathering *gathering = calloc(1, sizeof(*gathering));
    if (!gathering)
        return fault_set(fault, -ENOMEM, NULL, 0, "memory ran out");
    gathering->fault = fault;
    gathering->folder = "stock policies";
    gathering->is_stock = true;
    if (config->policy.stock_fd >= 0)
        rc = gather_folder(gathering, config->policy.stock_fd, "", 0);
    gathering->is_stock = false;
    gathering->folder = config->policy.dir ? config->policy.dir : "policies";
    if (rc == 0 && config->policy.dir_fd >= 0)
        rc = gather_folder(gathering, config->policy.dir_fd, "", 0);
    if (rc == 0 && one)
        rc = gather_one(gathering, one);
    if (rc == 0) {
        gathering->lists = policy_lists_text(config);
        rc = gathering->lists ? 0 : fault_set(fault, -ENOMEM, NULL, 0, "memory ran out");
    }
    qsort(gathering->files, gathering->count, sizeof(gathering->files[0]), by_name);
    if (rc == 0)
        rc = write_out(gathering);
    for (size_t i = 0; i < gathering->count; i++)
        free(gathering->files[i].data);
    free(gathering->lists);
    free(gathering);
    return rc;
}

static bool within(const struct bundle *bundle, uint32_t offset, uint32_t length)
{
    return offset <= bundle->bytes && length <= bundle->bytes - offset;
}

static struct span entry_name(const struct bundle *bundle, const struct entry *entry)
{
    return span_make(bundle->base + entry->name_offset, entry->name_length);
}

static int compare(struct span a, struct span b)
{
    int order = memcmp(a.data, b.data, a.length < b.length ? a.length : b.length);
    return order ? order : (a.length > b.length) - (a.length < b.length);
}

/* Who made the bundle was no more trusted than the policies in it. */
static bool is_well_formed(struct bundle *bundle)
{
    const struct header *header = (const struct header *)bundle->base;
    size_t room = bundle->bytes - sizeof(*header);
    if (header->magic != MAGIC || header->bytes != bundle->bytes ||
        header->count > room / sizeof(struct entry))
        return false;
    if (header->version != version_of(bundle->base, bundle->bytes))
        return false;
    bundle->count = (size_t)header->count;
    bundle->entries = (const struct entry *)(bundle->base + sizeof(*header));
    room -= bundle->count * sizeof(struct entry);
    if (header->lists_bytes > room)
        return false;
    bundle->lists = span_make((const char *)(bundle->entries + bundle->count),
                              (size_t)header->lists_bytes);
    for (size_t i = 0; i < bundle->count; i++) {
        const struct entry *entry = &bundle->entries[i];
        if (!within(bundle, entry->name_offset, entry->name_length) ||
            !within(bundle, entry->data_offset, entry->data_length))
            return false;
        if (entry->name_length == 0 || entry->name_length > BUNDLE_NAME_MAX)
            return false;
        if (i > 0 && compare(entry_name(bundle, entry - 1), entry_name(bundle, entry)) >= 0)
            return false;
    }
    return true;
}

int bundle_open(int fd, struct bundle **bundle, struct fault *fault)
{
    struct stat status;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS)
        return fault_set(fault, -EPERM, NULL, 0, "the policies are not in a sealed memory file");
    if (fstat(fd, &status) < 0)
        return fault_set(fault, -errno, NULL, 0, "the policies cannot be read");
    size_t bytes = (size_t)status.st_size;
    if (bytes < sizeof(struct header) || bytes > BUNDLE_BYTES_MAX)
        return fault_set(fault, -EINVAL, NULL, 0, "the policies' bundle has a wrong size");
    struct bundle *made = calloc(1, sizeof(*made));
    void *base = made ? mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (base == MAP_FAILED) {
        free(made);
        return fault_set(fault, -ENOMEM, NULL, 0, "no memory for the policies");
    }
    made->base = base;
    made->bytes = bytes;
    if (!is_well_formed(made)) {
        bundle_close(made);
        return fault_set(fault, -EINVAL, NULL, 0, "the policies' bundle is damaged");
    }
    *bundle = made;
    return 0;
}

void bundle_close(struct bundle *bundle)
{
    if (!bundle)
        return;
    munmap((void *)bundle->base, bundle->bytes);
    free(bundle);
}

struct span bundle_find(const struct bundle *bundle, struct span name)
{
    size_t low = 0, high = bundle->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct entry *entry = &bundle->entries[middle];
        int order = compare(name, entry_name(bundle, entry));
        if (order == 0)
            return span_make(bundle->base + entry->data_offset, entry->data_length);
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return (struct span){NULL, 0};
}

size_t bundle_count(const struct bundle *bundle)
{
    return bundle->count;
}

struct span bundle_name(const struct bundle *bundle, size_t i)
{
    assert(i < bundle->count);
    return entry_name(bundle, &bundle->entries[i]);
}

struct span bundle_lists(const struct bundle *bundle)
{
    return bundle->lists;
}

uint64_t bundle_version(const struct bundle *bundle)
{
    return ((const struct header *)bundle->base)->version;
}

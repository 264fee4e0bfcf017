#include "master/policy_store.h"

#include "master/policy_store_file.h"
#include "master/report.h"
#include "policy/bundle.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#define VERSIONS_MAX 4096

void policy_store_name(uint32_t number, char name[STORE_NAME_MAX])
{
    snprintf(name, STORE_NAME_MAX, "v%u.policies", number);
}

/* The number in a version's file name, or 0. */
static uint32_t number_of(const char *name)
{
    char again[STORE_NAME_MAX];
    unsigned number = 0;
    if (name[0] != 'v' || !isdigit((unsigned char)name[1]))
        return 0;
    number = (unsigned)strtoul(name + 1, NULL, 10);
    policy_store_name(number, again);
    return strcmp(again, name) == 0 ? number : 0;
}

/* ---- the versions' files ---- */

static int by_number(const void *a, const void *b)
{
    uint32_t x = ((const struct stored_version *)a)->number;
    uint32_t y = ((const struct stored_version *)b)->number;
    return (x > y) - (x < y);
}

static struct stored_version *add(struct policy_store *store)
{
    struct stored_version *more =
        realloc(store->versions, (store->count + 1) * sizeof(*store->versions));
    if (!more)
        return NULL;
    store->versions = more;
    struct stored_version *version = &more[store->count++];
    memset(version, 0, sizeof(*version));
    return version;
}

static int read_version(struct policy_store *store, const char *name, struct fault *fault)
{
    struct store_file file;
    int rc = store_file_read(store->directory_fd, store->path, name, &file, fault);
    if (rc < 0)
        return rc;
    struct stored_version *version = add(store);
    if (version) {
        version->number = number_of(name);
        version->made_s = store_number(file.json, "made");
        version->bytes = file.bundle_bytes;
        store_take_text(version->id, sizeof(version->id), file.json, "id");
        store_take_text(version->author, sizeof(version->author), file.json, "author");
        store_take_text(version->message, sizeof(version->message), file.json, "message");
        if (version->number >= store->next)
            store->next = version->number + 1;
    }
    json_decref(file.json);
    close(file.fd);
    return version ? 0 : -ENOMEM;
}

static int read_versions(struct policy_store *store, struct fault *fault)
{
    struct dirent *item;
    struct fault bad;
    int fd = openat(store->directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder) {
        int rc = -errno;
        if (fd >= 0)
            close(fd);
        return fault_set(fault, rc, store->path, 0, "cannot be read: %s", strerror(-rc));
    }
    while ((item = readdir(folder)) && store->count < VERSIONS_MAX)
        if (number_of(item->d_name) && read_version(store, item->d_name, &bad) < 0)
            report_fault("a version of the policies is left out", &bad);
    closedir(folder);
    if (store->count)
        qsort(store->versions, store->count, sizeof(*store->versions), by_number);
    return 0;
}

/* ---- opening ---- */

static int directory_open(const char *path, struct fault *fault)
{
    struct stat st;
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return fault_set(fault, -errno, path, 0, "cannot be made: %s", strerror(errno));
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) < 0) {
        int rc = -errno;
        if (fd >= 0)
            close(fd);
        return fault_set(fault, rc, path, 0, "cannot be opened: %s", strerror(-rc));
    }
    if (st.st_uid == geteuid() && !(st.st_mode & 077))
        return fd;
    close(fd);
    return fault_set(fault, -EPERM, path, 0,
                     "must belong to the user that runs herald, with mode 0700");
}

int policy_store_open(struct policy_store *store, const char *state_dir, unsigned keep,
                      struct fault *fault)
{
    char path[PATH_MAX];
    *store = (struct policy_store){.directory_fd = -1, .keep = keep, .next = 1};
    if (snprintf(path, sizeof(path), "%s/policies", state_dir) >= (int)sizeof(path))
        return fault_set(fault, -ENAMETOOLONG, state_dir, 0, "the path is too long");
    store->path = strdup(path);
    if (!store->path)
        return fault_set(fault, -ENOMEM, path, 0, "out of memory");
    store->directory_fd = directory_open(path, fault);
    int rc = store->directory_fd < 0 ? store->directory_fd : read_versions(store, fault);
    if (rc < 0) {
        policy_store_close(store);
        return rc;
    }
    policy_store_read_state(store);
    return 0;
}

void policy_store_close(struct policy_store *store)
{
    if (!store->path)
        return;
    if (store->directory_fd >= 0)
        close(store->directory_fd);
    free(store->path);
    free(store->versions);
    *store = (struct policy_store){.directory_fd = -1};
}

/* ---- versions ---- */

struct stored_version *policy_store_find(const struct policy_store *store, uint32_t number)
{
    for (unsigned i = 0; i < store->count; i++)
        if (store->versions[i].number == number)
            return &store->versions[i];
    return NULL;
}

struct stored_version *policy_store_find_id(const struct policy_store *store, const char *id)
{
    for (unsigned i = 0; i < store->count; i++)
        if (strcmp(store->versions[i].id, id) == 0)
            return &store->versions[i];
    return NULL;
}

uint32_t policy_store_previous(const struct policy_store *store)
{
    const struct stored_version *active = policy_store_find(store, store->active);
    const struct stored_version *best = NULL;
    for (unsigned i = 0; i < store->count; i++) {
        const struct stored_version *version = &store->versions[i];
        if (version == active || version->standing != STORED_GOOD || !version->used ||
            (active && version->used > active->used))
            continue;
        if (!best || version->used > best->used)
            best = version;
    }
    return best ? best->number : 0;
}

static bool in_use(const struct policy_store *store, uint32_t number)
{
    return number == store->active || number == store->canary || number == store->shadow ||
           number == policy_store_previous(store);
}

static void forget(struct policy_store *store, struct stored_version *version)
{
    char name[STORE_NAME_MAX];
    unsigned i = (unsigned)(version - store->versions);
    policy_store_name(version->number, name);
    if (unlinkat(store->directory_fd, name, 0) < 0 && errno != ENOENT)
        report_warn("%s/%s cannot be removed: %s", store->path, name, strerror(errno));
    memmove(version, version + 1, (store->count - i - 1) * sizeof(*version));
    store->count--;
}

static bool is_among(uint32_t number, const uint32_t spare[STORE_SPARE])
{
    for (unsigned i = 0; i < STORE_SPARE; i++)
        if (spare[i] == number)
            return true;
    return false;
}

static void discard_oldest(struct policy_store *store, uint32_t newest,
                           const uint32_t spare[STORE_SPARE])
{
    for (unsigned i = 0; i < store->count && store->count > store->keep;) {
        uint32_t number = store->versions[i].number;
        if (number == newest || is_among(number, spare) || in_use(store, number))
            i++;
        else
            forget(store, &store->versions[i]);
    }
}

/* A mapping of the bundle, which comes from a child that ran Lua: what could be cut short while it
 * is read would kill the master. */
static int map(int bundle_fd, struct span *bundle)
{
    struct stat st;
    int seals = fcntl(bundle_fd, F_GET_SEALS);
    if (seals < 0 || (seals & (F_SEAL_SHRINK | F_SEAL_WRITE)) != (F_SEAL_SHRINK | F_SEAL_WRITE))
        return -EPERM;
    if (fstat(bundle_fd, &st) < 0)
        return -errno;
    if (st.st_size <= 0 || st.st_size > BUNDLE_BYTES_MAX)
        return -EFBIG;
    void *base = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, bundle_fd, 0);
    if (base == MAP_FAILED)
        return -errno;
    *bundle = span_make(base, (size_t)st.st_size);
    return 0;
}

static void id_of(struct span bundle, char id[STORE_ID_LENGTH + 1])
{
    XXH128_hash_t hash = XXH3_128bits(bundle.data, bundle.length);
    snprintf(id, STORE_ID_LENGTH + 1, "%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
}

int policy_store_id(int bundle_fd, char id[STORE_ID_LENGTH + 1])
{
    struct span bundle;
    int rc = map(bundle_fd, &bundle);
    if (rc < 0)
        return rc;
    id_of(bundle, id);
    munmap((void *)bundle.data, bundle.length);
    return 0;
}

static int write_version(struct policy_store *store, const struct stored_version *version,
                         struct span bundle)
{
    char name[STORE_NAME_MAX];
    policy_store_name(version->number, name);
    json_t *text =
        json_pack("{s:s, s:o, s:o, s:I}", "id", version->id, "author", store_text(version->author),
                  "message", store_text(version->message), "made", (json_int_t)version->made_s);
    int rc = text ? store_file_write(store->directory_fd, name, text, bundle) : -ENOMEM;
    json_decref(text);
    return rc;
}

static int64_t put_new(struct policy_store *store, struct span bundle,
                       const struct stored_version *like, struct fault *fault)
{
    struct stored_version *version = add(store);
    if (!version)
        return fault_set(fault, -ENOMEM, store->path, 0, "out of memory");
    *version = *like;
    version->number = store->next;
    version->made_s = (int64_t)time(NULL);
    version->bytes = bundle.length;
    int rc = write_version(store, version, bundle);
    if (rc < 0) {
        store->count--;
        return fault_set(fault, rc, store->path, 0, "the version cannot be stored: %s",
                         strerror(-rc));
    }
    return store->next++;
}

int64_t policy_store_put(struct policy_store *store, int bundle_fd, const char *author,
                         const char *message, const uint32_t spare[STORE_SPARE],
                         struct fault *fault)
{
    struct span bundle;
    struct stored_version like = {.standing = STORED_GOOD};
    int rc = map(bundle_fd, &bundle);
    if (rc < 0)
        return fault_set(fault, rc, NULL, 0, "the policies' bundle cannot be read: %s",
                         strerror(-rc));
    id_of(bundle, like.id);
    snprintf(like.author, sizeof(like.author), "%s", author);
    snprintf(like.message, sizeof(like.message), "%s", message);
    const struct stored_version *same = policy_store_find_id(store, like.id);
    int64_t number = same ? (int64_t)same->number : put_new(store, bundle, &like, fault);
    munmap((void *)bundle.data, bundle.length);
    if (number > 0 && !same)
        discard_oldest(store, (uint32_t)number, spare);
    return number;
}

/* Copies part of `from` into a memory file and seals it. */
static int sealed_copy(int from, uint64_t offset, uint64_t bytes)
{
    off_t at = (off_t)offset;
    off_t end = (off_t)(offset + bytes);
    int fd = memfd_create("herald-policies", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    while (at < end) {
        ssize_t n = sendfile(fd, from, &at, (size_t)(end - at));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            int rc = n < 0 ? -errno : -EIO;
            close(fd);
            return rc;
        }
    }
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0)
        return fd;
    int rc = -errno;
    close(fd);
    return rc;
}

int policy_store_bundle(const struct policy_store *store, uint32_t number, struct fault *fault)
{
    char name[STORE_NAME_MAX];
    struct store_file file;
    policy_store_name(number, name);
    int rc = store_file_read(store->directory_fd, store->path, name, &file, fault);
    if (rc < 0)
        return rc;
    int fd = sealed_copy(file.fd, file.bundle_offset, file.bundle_bytes);
    json_decref(file.json);
    close(file.fd);
    return fd >= 0 ? fd
                   : fault_set(fault, fd, store->path, 0, "v%u cannot be read: %s", number,
                               strerror(-fd));
}

int policy_store_activate(struct policy_store *store, uint32_t number, const char *author,
                          const char *what, struct fault *fault)
{
    struct stored_version *version = policy_store_find(store, number);
    if (!version && number)
        return fault_set(fault, -ENOENT, NULL, 0, "there is no version v%u", number);
    struct stored_version before = version ? *version : (struct stored_version){0};
    uint32_t active = store->active;
    unsigned events = store->events_count;
    if (version) {
        version->used = ++store->uses;
        version->standing = STORED_GOOD;
        version->why[0] = '\0';
    }
    store->active = number;
    policy_store_note(store, author, "%s", what);
    int rc = policy_store_save(store, fault);
    if (rc < 0) {
        if (version)
            *version = before;
        store->active = active;
        if (store->events_count > events)
            store->events_count = events;
    }
    return rc;
}

int policy_store_discard(struct policy_store *store, uint32_t number, struct fault *fault)
{
    struct stored_version *version = policy_store_find(store, number);
    if (!version)
        return fault_set(fault, -ENOENT, NULL, 0, "there is no version v%u", number);
    if (in_use(store, number))
        return fault_set(fault, -EBUSY, NULL, 0, "v%u is %s", number,
                         number == store->active   ? "active"
                         : number == store->canary ? "the canary"
                         : number == store->shadow ? "the shadow"
                                                   : "what a rollback would bring back");
    forget(store, version);
    return 0;
}

void policy_store_note(struct policy_store *store, const char *author, const char *format, ...)
{
    va_list arguments;
    if (store->events_count == STORE_EVENTS_MAX) {
        memmove(store->events, store->events + 1,
                (STORE_EVENTS_MAX - 1) * sizeof(store->events[0]));
        store->events_count--;
    }
    struct stored_event *event = &store->events[store->events_count++];
    event->at_s = (int64_t)time(NULL);
    snprintf(event->author, sizeof(event->author), "%s", author);
    va_start(arguments, format);
    vsnprintf(event->what, sizeof(event->what), format, arguments);
    va_end(arguments);
}

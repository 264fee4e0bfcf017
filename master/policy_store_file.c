#include "master/policy_store_file.h"

#include "policy/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define MAGIC UINT64_C(0x3173656963696c70)
#define TEXT_BYTES_MAX (1024 * 1024)
#define NAME_MAX_BYTES 64

struct header {
    uint64_t magic;
    uint64_t text_bytes;
    uint64_t bundle_bytes;
    XXH128_canonical_t checksum; /* of what follows */
};

static int write_all(int fd, const void *data, size_t length)
{
    const char *at = data;
    while (length) {
        ssize_t n = write(fd, at, length);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            at += n;
            length -= (size_t)n;
        }
    }
    return 0;
}

static int fill(int fd, const char *text, struct span bundle)
{
    struct header header = {
        .magic = MAGIC, .text_bytes = strlen(text), .bundle_bytes = bundle.length};
    XXH3_state_t *state = XXH3_createState();
    if (!state)
        return -ENOMEM;
    XXH3_128bits_reset(state);
    XXH3_128bits_update(state, text, header.text_bytes);
    XXH3_128bits_update(state, bundle.data ? bundle.data : "", bundle.length);
    XXH128_canonicalFromHash(&header.checksum, XXH3_128bits_digest(state));
    XXH3_freeState(state);
    int rc = write_all(fd, &header, sizeof(header));
    if (rc == 0)
        rc = write_all(fd, text, header.text_bytes);
    if (rc == 0)
        rc = write_all(fd, bundle.data, bundle.length);
    return rc == 0 && fsync(fd) < 0 ? -errno : rc;
}

int store_file_write(int directory_fd, const char *name, const json_t *json, struct span bundle)
{
    char beside[NAME_MAX_BYTES];
    char *text = json_dumps(json, JSON_COMPACT);
    if (!text)
        return -ENOMEM;
    /* One master writes here: it holds the state directory's lock. */
    snprintf(beside, sizeof(beside), ".%s.new", name);
    int fd = openat(directory_fd, beside,
                    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    int rc = fd < 0 ? -errno : fill(fd, text, bundle);
    free(text);
    if (fd >= 0)
        close(fd);
    if (rc == 0 && renameat(directory_fd, beside, directory_fd, name) < 0)
        rc = -errno;
    if (rc == 0 && fsync(directory_fd) < 0)
        rc = -errno;
    if (rc < 0)
        unlinkat(directory_fd, beside, 0);
    return rc;
}

/* Why this file is none of ours, or NULL. */
static const char *refusal(const struct stat *st)
{
    if (!S_ISREG(st->st_mode))
        return "is not a regular file";
    if (st->st_uid != geteuid())
        return "belongs to another user";
    if (st->st_mode & 077)
        return "is open to others; its mode must be 0600";
    return NULL;
}

/* Takes the mapped file apart. Returns 0, or -EINVAL with `*why`. */
static int take(const char *base, size_t bytes, struct store_file *file, const char **why)
{
    struct header header;
    XXH128_canonical_t checksum;
    json_error_t error;
    *why = "is torn: its length is wrong";
    if (bytes < sizeof(header))
        return -EINVAL;
    memcpy(&header, base, sizeof(header));
    if (header.magic != MAGIC) {
        *why = "is no file of herald's policy store";
        return -EINVAL;
    }
    if (header.text_bytes > TEXT_BYTES_MAX || header.bundle_bytes > BUNDLE_BYTES_MAX ||
        sizeof(header) + header.text_bytes + header.bundle_bytes != bytes)
        return -EINVAL;
    XXH128_canonicalFromHash(
        &checksum, XXH3_128bits(base + sizeof(header), header.text_bytes + header.bundle_bytes));
    *why = "is torn: its checksum is wrong";
    if (memcmp(&checksum, &header.checksum, sizeof(checksum)) != 0)
        return -EINVAL;
    *why = "is damaged: it has no text that can be read";
    file->json = json_loadb(base + sizeof(header), header.text_bytes, 0, &error);
    if (!json_is_object(file->json)) {
        json_decref(file->json);
        return -EINVAL;
    }
    file->bundle_offset = sizeof(header) + header.text_bytes;
    file->bundle_bytes = header.bundle_bytes;
    return 0;
}

int store_file_read(int directory_fd, const char *path, const char *name, struct store_file *file,
                    struct fault *fault)
{
    struct stat st;
    char where[FAULT_WHERE_MAX];
    const char *why = "cannot be examined";
    snprintf(where, sizeof(where), "%s/%s", path, name);
    int fd = openat(directory_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        int rc = -errno;
        return fault_set(fault, rc, where, 0, "cannot be opened: %s", strerror(-rc));
    }
    if (fstat(fd, &st) < 0 || (why = refusal(&st))) {
        close(fd);
        return fault_set(fault, -EPERM, where, 0, "%s", why);
    }
    size_t bytes = (size_t)st.st_size;
    void *base = bytes ? mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    why = "is torn: its length is wrong";
    int rc = base == MAP_FAILED ? -EINVAL : take(base, bytes, file, &why);
    if (base != MAP_FAILED)
        munmap(base, bytes);
    if (rc < 0) {
        close(fd);
        return fault_set(fault, rc, where, 0, "%s", why);
    }
    file->fd = fd;
    return 0;
}

void store_take_text(char *to, size_t size, const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    snprintf(to, size, "%s", text ? text : "");
}

json_int_t store_number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

json_t *store_text(const char *text)
{
    json_t *string = json_string(text);
    return string ? string : json_string("?");
}

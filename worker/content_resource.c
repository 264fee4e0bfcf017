#include "worker/content_parts.h"

#include "worker/growth.h"
#include "worker/http_date.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

static const struct {
    const char *suffix, *name;
    char mark; /* ends the etag */
} coding_facts[CODINGS] = {
    [CODING_BROTLI] = {".br", "br", 'B'},
    [CODING_ZSTD] = {".zst", "zstd", 'Z'},
    [CODING_GZIP] = {".gz", "gzip", 'G'},
    [CODING_IDENTITY] = {"", "", 'W'},
};

const char *coding_suffix(unsigned coding)
{
    return coding_facts[coding].suffix;
}

struct content_stamp stamp_of(const struct statx *stat)
{
    return (struct content_stamp){
        .device = (uint64_t)stat->stx_dev_major << 32 | stat->stx_dev_minor,
        .inode = stat->stx_ino,
        .size = stat->stx_size,
        .modified_s = stat->stx_mtime.tv_sec,
        .modified_ns = stat->stx_mtime.tv_nsec,
        .changed_s = stat->stx_ctime.tv_sec,
        .changed_ns = stat->stx_ctime.tv_nsec,
    };
}

bool stamp_equal(const struct content_stamp *a, const struct content_stamp *b)
{
    static_assert(sizeof(*a) == 48, "the stamp has no padding, so it can be compared as memory");
    return memcmp(a, b, sizeof(*a)) == 0;
}

bool stamp_older(const struct content_stamp *a, const struct content_stamp *b)
{
    return a->modified_s < b->modified_s ||
           (a->modified_s == b->modified_s && a->modified_ns < b->modified_ns);
}

struct resource *resource_create(struct span path)
{
    struct resource *resource = calloc(1, sizeof(*resource) + path.length + 1);
    if (!resource)
        return NULL;
    char *copy = (char *)(resource + 1);
    memcpy(copy, path.data, path.length);
    resource->references = 1;
    resource->path = span_make(copy, path.length);
    for (unsigned i = 0; i < CODINGS; i++) {
        resource->codings[i].coding = (enum content_coding)i;
        resource->codings[i].fd = -1;
    }
    return resource;
}

struct resource *resource_hold(struct resource *resource)
{
    assert(resource->references > 0);
    resource->references++;
    return resource;
}

void resource_release(struct resource *resource)
{
    if (!resource)
        return;
    assert(resource->references > 0);
    if (--resource->references > 0)
        return;
    for (unsigned i = 0; i < CODINGS && !resource->origin; i++) {
        free(resource->codings[i].body);
        if (resource->codings[i].fd >= 0)
            close(resource->codings[i]
                      .fd); /* a read-only file: nothing to flush, nothing to wait for */
    }
    if (resource->origin)
        growth_release(resource->origin->growth);
    content_scans_free(resource->scans);
    free(resource);
}

bool resource_same(const struct resource *a, const struct resource *b)
{
    for (unsigned i = 0; i < CODINGS; i++) {
        const struct representation *one = &a->codings[i], *other = &b->codings[i];
        if (one->exists != other->exists)
            return false;
        if (one->exists && (one->hash != other->hash || !stamp_equal(&one->stamp, &other->stamp)))
            return false;
    }
    return true;
}

size_t resource_bytes(const struct resource *resource)
{
    size_t bytes = sizeof(*resource) + resource->path.length;
    for (unsigned i = 0; i < CODINGS; i++)
        if (resource->codings[i].body)
            bytes += resource->codings[i].size;
    return bytes;
}

unsigned resource_descriptors(const struct resource *resource)
{
    unsigned count = 0;
    for (unsigned i = 0; i < CODINGS; i++)
        count += resource->codings[i].fd >= 0;
    return count;
}

uint64_t content_hash(const void *data, size_t length)
{
    return XXH3_64bits(data, length);
}

/* The content's hash names the same bytes alike on every machine and after every deployment. What
 * is too large to be read as a whole is told apart by all that its inode says. */
static uint64_t hash_of(const struct representation *representation)
{
    if (representation->body)
        return XXH3_64bits(representation->body, representation->size);
    return XXH3_64bits(&representation->stamp, sizeof(representation->stamp));
}

#define ETAG_CHARACTERS 10 /* of five bits of the hash each */

/* HPACK's encoder indexes no etag, so it is sent with each response. Short, and of characters whose
 * Huffman codes have no fewer bits than it takes for the whole to be shorter uncoded (RFC 7541
 * appendix B: seven or eight, ten for the quotes): it is copied, not coded bit by bit. */
static void write_etag(struct representation *representation)
{
    static const char alphabet[] = "BCDEFGHIJKLMNOPQRSTUVWXYZjkqvwxy";
    static_assert(sizeof(alphabet) == 32 + 1, "five bits choose one");
    uint64_t hash = representation->hash;
    char *at = representation->etag_text;
    *at++ = '"';
    for (unsigned i = 0; i < ETAG_CHARACTERS; i++) {
        *at++ = alphabet[hash & 31];
        hash >>= 5;
    }
    *at++ = coding_facts[representation->coding].mark;
    *at++ = '"';
    representation->etag =
        span_make(representation->etag_text, (size_t)(at - representation->etag_text));
}

static void write_length(struct representation *representation)
{
    char *end = representation->length_digits + sizeof(representation->length_digits);
    char *at = end;
    uint64_t left = representation->size;
    do {
        *--at = (char)('0' + left % 10);
        left /= 10;
    } while (left);
    representation->length_text = span_make(at, (size_t)(end - at));
}

static void add_field(struct representation *representation, struct span name, struct span value)
{
    assert(representation->fields_count < REPRESENTATION_FIELDS_MAX);
    representation->own_fields[representation->fields_count++] = (struct field){name, value};
    representation->fields = representation->own_fields;
}

/* Bytes. What comes whole within a connection's first window (RFC 6928: ten segments) is not worth
 * asking for in parts, or again from where it broke off; who asks for a range gets it all the same,
 * which is why the field may be left out (RFC 9110 14.3). */
#define RANGES_SAID_ABOVE 14600

static void complete(struct resource *resource, struct representation *representation)
{
    write_etag(representation);
    write_length(representation);
    add_field(representation, SPAN_LITERAL("content-length"), representation->length_text);
    add_field(representation, SPAN_LITERAL("etag"), representation->etag);
    add_field(representation, SPAN_LITERAL("content-type"), span_of(resource->mime));
    add_field(representation, SPAN_LITERAL("last-modified"), span_of(resource->last_modified));
    if (representation->size > RANGES_SAID_ABOVE)
        add_field(representation, SPAN_LITERAL("accept-ranges"), SPAN_LITERAL("bytes"));
    if (resource->any_coded)
        add_field(representation, SPAN_LITERAL("vary"), SPAN_LITERAL("accept-encoding"));
    if (representation->coding != CODING_IDENTITY)
        add_field(representation, SPAN_LITERAL("content-encoding"),
                  span_of(coding_facts[representation->coding].name));
}

void resource_complete(struct resource *resource, const struct mime *mime, struct span name)
{
    struct representation *identity = &resource->codings[CODING_IDENTITY];
    time_t now = http_date_seconds();
    assert(identity->exists);
    resource->mime = mime_of(mime, name);
    resource->as = asset_as_of_path(resource->path);
    resource->modified = identity->stamp.modified_s < now ? identity->stamp.modified_s : now;
    http_date_format(resource->modified, resource->last_modified);
    for (unsigned i = 0; i < CODINGS; i++)
        resource->any_coded |= i != CODING_IDENTITY && resource->codings[i].exists;
    for (unsigned i = 0; i < CODINGS; i++)
        if (resource->codings[i].exists) {
            resource->codings[i].hash = hash_of(&resource->codings[i]);
            complete(resource, &resource->codings[i]);
        }
    resource->validator = identity->hash;
}

/* Reads up to `size` bytes. Returns 0, or -errno: -EIO when there are fewer. */
static int read_whole(int fd, uint8_t *body, size_t size)
{
    for (size_t got = 0; got < size;) {
        ssize_t n = pread(fd, body + got, size - got, (off_t)got);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            return -EIO;
        got += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

int content_validator(int fd, uint16_t *validator)
{
    struct representation file = {0};
    struct statx stat;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stat) < 0)
        return -errno;
    if (!S_ISREG(stat.stx_mode))
        return -EINVAL;
    file.stamp = stamp_of(&stat);
    file.size = stat.stx_size;
    if (file.size <= CONTENT_SMALL_MAX) {
        file.body = malloc(file.size + 1);
        int rc = file.body ? read_whole(fd, file.body, file.size) : -ENOMEM;
        if (rc < 0) {
            free(file.body);
            return rc;
        }
    }
    struct resource resource = {.validator = hash_of(&file)};
    *validator = resource_validator(&resource);
    free(file.body);
    return 0;
}

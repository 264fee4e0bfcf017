#include "bench/pushload/load.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t load_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

/* xorshift64*: choices by chance that can be repeated. */
uint64_t load_random(struct load *load, uint64_t bound)
{
    uint64_t x = load->random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    load->random = x;
    return (x * 0x2545F4914F6CDD1Du >> 16) % bound;
}

void times_add(struct times *times, uint64_t us)
{
    if (times->count == times->room) {
        size_t room = times->room ? times->room * 2 : 1024;
        uint32_t *grown = realloc(times->us, room * sizeof(*grown));
        if (!grown)
            return;
        times->us = grown;
        times->room = room;
    }
    times->us[times->count++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

int resource_find(struct load *load, const char *path, size_t length)
{
    for (unsigned i = 0; i < load->resources_count; i++) {
        const char *known = load->resources[i].path;
        if (strlen(known) == length && memcmp(known, path, length) == 0)
            return (int)i;
    }
    if (load->resources_count == LOAD_RESOURCES_MAX || length >= OPTIONS_TEXT_MAX)
        return -1;
    struct resource *resource = &load->resources[load->resources_count];
    memcpy(resource->path, path, length);
    resource->current = LOAD_NO_VERSION;
    return (int)load->resources_count++;
}

unsigned resource_version(struct resource *resource, const char *etag)
{
    for (unsigned i = 0; i < resource->versions_count; i++)
        if (strcmp(resource->versions[i].etag, etag) == 0)
            return i;
    if (resource->versions_count == LOAD_VERSIONS_MAX || strlen(etag) >= LOAD_ETAG_MAX)
        return LOAD_NO_VERSION;
    strcpy(resource->versions[resource->versions_count].etag, etag);
    return resource->versions_count++;
}

void resource_body(struct load *load, struct resource *resource, unsigned version, uint64_t hash,
                   uint64_t size, bool pushed)
{
    if (!load->options->verify)
        return;
    if (version == LOAD_NO_VERSION) {
        load->totals.unverified += pushed;
        return;
    }
    struct version *known = &resource->versions[version];
    bool same = !known->hashed || (known->hash == hash && known->size == size);
    if (!same)
        load->totals.mismatched++;
    else if (pushed)
        known->seen++;
    if (!known->hashed || !pushed) {
        known->hashed = true;
        known->hash = hash;
        known->size = size;
    }
    known->asked |= !pushed;
}

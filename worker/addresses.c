#include "worker/addresses.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

#define SETS 2048
#define WAYS 8

struct place {
    uint64_t name; /* of the address; 0: free */
    uint32_t connections;
    uint32_t milli_tokens; /* of the rate: a connection takes 1,000 */
    uint64_t filled_ms;
};

struct addresses {
    const struct config_limits *limits;
    const uint64_t *now_ms;
    uint64_t seed;
    struct place places[SETS * WAYS];
};

static_assert(ADDRESS_UNCOUNTED != -EBUSY, "told apart by their values");

int addresses_create(const struct config_limits *limits, const uint64_t *now_ms,
                     struct addresses **addresses)
{
    *addresses = NULL;
    if (!limits->address_connections && !limits->address_rate)
        return 0;
    struct addresses *made = calloc(1, sizeof(*made));
    if (!made)
        return -ENOMEM;
    made->limits = limits;
    made->now_ms = now_ms;
    if (getrandom(&made->seed, sizeof(made->seed), 0) != sizeof(made->seed)) {
        free(made);
        return -EIO;
    }
    *addresses = made;
    return 0;
}

void addresses_destroy(struct addresses *addresses)
{
    free(addresses);
}

/* 0 for what is no internet address. */
static uint64_t name_of(const struct addresses *addresses, const struct sockaddr_storage *peer)
{
    const struct sockaddr_in *four = (const struct sockaddr_in *)peer;
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)peer;
    uint64_t name = 0;
    if (peer->ss_family == AF_INET)
        name = XXH3_64bits_withSeed(&four->sin_addr, 4, addresses->seed) | 1;
    else if (peer->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&six->sin6_addr))
        name = XXH3_64bits_withSeed(&six->sin6_addr.s6_addr[12], 4, addresses->seed) | 1;
    else if (peer->ss_family == AF_INET6)
        name = XXH3_64bits_withSeed(&six->sin6_addr, 8, addresses->seed) | 1;
    return name;
}

static uint32_t tokens_now(const struct addresses *addresses, const struct place *place)
{
    uint64_t rate = addresses->limits->address_rate;
    uint64_t tokens = place->milli_tokens + (*addresses->now_ms - place->filled_ms) * rate;
    return (uint32_t)(tokens < rate * 1000 ? tokens : rate * 1000);
}

/* Forgotten without loss: it has no connection, and its rate is whole again. */
static bool is_idle(const struct addresses *addresses, const struct place *place)
{
    return !place->connections &&
           tokens_now(addresses, place) >= addresses->limits->address_rate * 1000;
}

static struct place *find(struct addresses *addresses, uint64_t name)
{
    struct place *set = &addresses->places[name / 2 % SETS * WAYS];
    struct place *free_place = NULL;
    for (unsigned i = 0; i < WAYS; i++) {
        if (set[i].name == name)
            return &set[i];
        if (!set[i].name || is_idle(addresses, &set[i]))
            free_place = &set[i];
    }
    if (free_place)
        *free_place = (struct place){.name = name,
                                     .milli_tokens =
                                         (uint32_t)addresses->limits->address_rate * 1000,
                                     .filled_ms = *addresses->now_ms};
    return free_place;
}

int addresses_enter(struct addresses *addresses, const struct sockaddr_storage *peer)
{
    const struct config_limits *limits = addresses->limits;
    uint64_t name = name_of(addresses, peer);
    struct place *place = name ? find(addresses, name) : NULL;
    if (!place)
        return ADDRESS_UNCOUNTED;
    if (limits->address_connections && place->connections >= limits->address_connections)
        return -EBUSY;
    if (limits->address_rate) {
        place->milli_tokens = tokens_now(addresses, place);
        place->filled_ms = *addresses->now_ms;
        if (place->milli_tokens < 1000)
            return -EBUSY;
        place->milli_tokens -= 1000;
    }
    place->connections++;
    return (int)(place - addresses->places);
}

void addresses_leave(struct addresses *addresses, int place)
{
    if (place == ADDRESS_UNCOUNTED)
        return;
    assert(place >= 0 && place < SETS * WAYS && addresses->places[place].connections > 0);
    addresses->places[place].connections--;
}
